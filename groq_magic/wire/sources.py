"""The pages that an answer is based on. Pure: no I/O."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, islice
from typing import Any, NamedTuple

from groq_magic.errors import printable

MOST_SOURCES = 100
_MOST_RESULTS = 1_000
_LONGEST_TITLE = 300
_ADDRESS = re.compile(r"https?://[^\s\"<>\\^`{|}]{1,2000}", re.IGNORECASE)


class Source(NamedTuple):
    """A web page that a server's tool read or found.

    >>> Source("Weather in Paris", "https://example.org/paris").title
    'Weather in Paris'
    """

    title: str
    """In one line; the address where the page has none."""
    url: str
    """``http:`` or ``https:``."""


def sources_in(
    executed_tools: Iterable[Mapping[str, Any]], annotations: Iterable[Mapping[str, Any]]
) -> list[Source]:
    r"""The pages in the results of tools, then those in annotations: each once, at most 100.

    >>> found = [{"title": " A\n b", "url": "https://a.example/"}, {"url": "file:///etc"}]
    >>> sources_in([{"search_results": {"results": found}}], [])
    [Source(title='A b', url='https://a.example/')]
    """
    wires = chain(*map(_results, executed_tools), map(_cited, annotations))
    found: dict[str, Source] = {}
    for wire in islice(wires, _MOST_RESULTS):
        if source := _source(wire):
            found.setdefault(source.url, source)
    return list(found.values())[:MOST_SOURCES]


def _results(tool: Mapping[str, Any]) -> Iterator[Any]:
    for results in (tool.get("search_results"), tool.get("browser_results")):
        listed = results.get("results") if isinstance(results, dict) else results
        yield from listed if isinstance(listed, list) else ()


def _cited(annotation: Mapping[str, Any]) -> Any:
    return annotation.get("url_citation") or annotation


def _source(wire: Any) -> Source | None:
    match wire:
        case {"url": str(url)} if _ADDRESS.fullmatch(url) and url.isprintable():
            title = wire.get("title")
            words = title[:_LONGEST_TITLE] if isinstance(title, str) else ""
            return Source(" ".join(printable(words).split()) or url, url)
    return None
