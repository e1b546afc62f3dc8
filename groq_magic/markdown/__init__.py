"""Growing Markdown to safe HTML. Imports nothing else of groq_magic."""
