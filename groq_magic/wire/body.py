"""The bytes of a response's body, decompressed in small steps where needed."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterable, AsyncIterator
from typing import cast

import httpx

from groq_magic.errors import IncompleteStreamError

_STEP = 64 * 1024
_GZIP = 31  # zlib's number for the format


def body_of(response: httpx.Response) -> AsyncIterator[bytes]:
    """The body as it arrives, plain or with one gzip, which some proxies add.

    Raises `IncompleteStreamError` for any other encoding. httpx itself decompresses every
    encoding that a server names, to any size and in one step: 2 KB can become gigabytes.
    """
    encoding = response.headers.get("content-encoding", "").strip().lower()
    body = cast("AsyncIterable[bytes]", response.stream)
    if encoding in ("", "identity"):
        return aiter(body)
    if encoding in ("gzip", "x-gzip"):
        return _decompressed(body)
    raise _unreadable("in a way that groq_magic did not ask for")


async def _decompressed(body: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    decompressor = zlib.decompressobj(_GZIP)
    async for compressed in body:
        rest = compressed
        while not decompressor.eof:
            try:
                data = decompressor.decompress(rest, _STEP)
            except zlib.error:
                raise _unreadable("wrongly") from None
            rest = decompressor.unconsumed_tail
            yield data
            if not rest and len(data) < _STEP:
                break
            await asyncio.sleep(0)  # other answers and a Stop have their turn


def _unreadable(how: str) -> IncompleteStreamError:
    return IncompleteStreamError(f"The server compressed its answer {how}. Check GROQ_BASE_URL.")
