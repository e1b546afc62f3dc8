"""Groq's protocol over HTTP."""
