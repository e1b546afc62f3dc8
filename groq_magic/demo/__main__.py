"""``python -m groq_magic.demo``: serve until interrupted."""

from .server import run

run()
