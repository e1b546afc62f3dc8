"""What the user types: `%%groq` and `%groq`."""
