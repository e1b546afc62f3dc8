"""The bytes of a response's body, unpacked in small steps where the server packed them."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterable, AsyncIterator
from typing import cast

import httpx

from groq_magic.errors import IncompleteStreamError

_STEP = 64 * 1024
_GZIP = 31  # what zlib calls that format


def pieces(response: httpx.Response) -> AsyncIterator[bytes]:
    """The body as it comes. Raises `IncompleteStreamError` where it is packed otherwise.

    httpx unpacks all that a server names, to any size, in one go. We ask for no packing, and
    take one gzip, since some proxies add it.
    """
    packing = response.headers.get("content-encoding", "").strip().lower()
    body = cast("AsyncIterable[bytes]", response.stream)
    if packing in ("", "identity"):
        return aiter(body)
    if packing in ("gzip", "x-gzip"):
        return _unpacked(body)
    raise _unreadable("in a way that was not asked for")


async def _unpacked(body: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    unpacker = zlib.decompressobj(_GZIP)
    async for packed in body:
        rest = packed
        while not unpacker.eof:
            try:
                data = unpacker.decompress(rest, _STEP)
            except zlib.error:
                raise _unreadable("wrongly") from None
            rest = unpacker.unconsumed_tail
            yield data
            if not rest and len(data) < _STEP:
                break
            await asyncio.sleep(0)  # other answers come, and a Stop is heard


def _unreadable(how: str) -> IncompleteStreamError:
    return IncompleteStreamError(f"The server packed its answer {how}. Check GROQ_BASE_URL.")
