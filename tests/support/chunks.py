"""Chunks of an answer, and a source of them without a server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

from groq_magic.wire.protocol import Chunk, Delta, Item


def chunk(text: str = "", **more: Any) -> Chunk:
    return Chunk(Delta(text), **more)


async def items(*given: Item | Exception | float) -> AsyncGenerator[Item]:
    """A source that yields, raises, or sleeps so many seconds."""
    for item in given:
        if isinstance(item, Exception):
            raise item
        if isinstance(item, float):
            await asyncio.sleep(item)
        else:
            yield item
