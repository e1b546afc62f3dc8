"""The streams of other libraries as answers: `groq_magic.show`."""
