"""A local server that speaks Groq's protocol, and its answers: to try without a key.

python -m groq_magic.demo --port 0 --tokens-per-second 500
"""

from .server import start

__all__ = ["start"]
