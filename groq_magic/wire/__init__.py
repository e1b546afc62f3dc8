"""Groq's protocol over HTTP."""

DEFAULT_MODEL = "openai/gpt-oss-120b"
"""Here, since the flags need it at the start of each kernel."""
