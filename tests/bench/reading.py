"""How answers read, finished and while they come, beside cmark-gfm and plain re-rendering.

``python -m tests.bench --only reading --corpus FOLDER`` reads the ``text`` of each line of the
folder's ``.jsonl`` files, or, if there are none, its ``.md`` files, as those in ``tests/data``.

A difference is an element that has the same words in only one of the two renderings. A word is
lost if cmark-gfm shows it and we do not. A retraction is an element that vanishes or changes from
one flush to the next, or a visible character that vanishes.
"""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import NamedTuple

from groq_magic.markdown import StreamingMarkdown, render

OWN = Path(__file__).parents[1] / "data" / "answers"


def texts_in(folder: Path) -> list[str]:
    files = sorted(folder.glob("*.jsonl"))
    lines = (line for path in files for line in path.read_text("utf-8").split("\n") if line)
    whole = () if files else sorted(folder.glob("*.md"))
    return [json.loads(line)["text"] for line in lines] + [
        path.read_text("utf-8") for path in whole
    ]


# Finished

_BLOCKS = frozenset("p h1 h2 h3 h4 h5 h6 ul ol li blockquote pre table tr th td".split())
_INLINE = frozenset("em strong s a code sub sup kbd b i u mark small".split())
_SAME = {"del": "s", "img": "a"}
_VOID = frozenset({"br", "hr", "input", "img"})


class Elements(HTMLParser):
    """The elements of a rendering: for each kind and its words, how many there are."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: Counter[tuple[str, str]] = Counter()
        self.text = ""
        self._open: list[tuple[str, int]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _BLOCKS or tag == "br":
            self.text += " "
        begin = len(self.text)
        self.text += dict(attrs).get("alt") or ""
        if tag in _VOID:
            self._add(_SAME.get(tag, tag), begin)
        else:
            self._open.append((tag, begin))

    def handle_endtag(self, tag: str) -> None:
        while self._open and tag not in _VOID:
            last, begin = self._open.pop()
            self._add(_SAME.get(last, last), begin)
            if last == tag:
                break
        self.text += " " if tag in _BLOCKS else ""

    def handle_data(self, data: str) -> None:
        self.text += data

    def _add(self, kind: str, begin: int) -> None:
        words = "".join(words_of(self.text[begin:]))
        if kind in _VOID or (kind in _BLOCKS | _INLINE and words):
            self.found[kind, words] += 1


def words_of(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", text.casefold())


class Difference(NamedTuple):
    """Between our rendering and the reference: elements by kind, and words that are lost."""

    more: Counter[str]
    fewer: Counter[str]
    lost: Counter[str]


def differences(texts: Iterable[str]) -> Difference | None:
    """Of all texts; None if cmarkgfm is not installed."""
    try:
        from cmarkgfm import github_flavored_markdown_to_html as reference
        from cmarkgfm.cmark import Options
    except ImportError:
        return None
    found = Difference(Counter(), Counter(), Counter())
    for text in texts:
        one = difference(text, reference(text, options=Options.CMARK_OPT_UNSAFE))
        for total, part in zip(found, one, strict=True):
            total.update(part)
    return found


def said(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.most_common(12)) or "none"


def difference(text: str, reference: str) -> Difference:
    ours, theirs = Elements(render(text)), Elements(reference)
    words = words_of(ours.text)
    missing = Counter(words_of(theirs.text)) - Counter(words)
    return Difference(
        Counter(kind for kind, _ in (ours.found - theirs.found).elements()),
        Counter(kind for kind, _ in (theirs.found - ours.found).elements()),
        # Without its markup, a word may stand right beside another one.
        Counter({word: count for word, count in missing.items() if word not in "".join(words)}),
    )


# While it comes

_TOKEN = re.compile(
    r"(?P<loose><li[^>]*>\n<p>)|<(?P<tag>\w+)(?P<rest>[^>]*)>|</[^>]*>|(?P<text>[^<]+)"
)
_DELIMITERS = re.compile(r"\s|\\[()\[\]]|\$")  # blanks, and what MathJax takes away


def seen(html: str) -> tuple[str, list[str]]:
    """The visible characters without blanks, and the elements in their order."""
    text, elements = "", list[str]()
    for token in _TOKEN.finditer(html):
        if token["text"]:
            text += token["text"]
        elif token["loose"]:
            elements.append("loose li")
        elif token["tag"] and (token["tag"] != "span" or "mathjax" in token["rest"]):
            elements.append(token["tag"])
    return _DELIMITERS.sub("", unescape(text)), elements


def samples(texts: list[str], length: int) -> tuple[list[str], list[str]]:
    """Some texts without formulas and some with, the same in each run, of about that length."""
    kept: tuple[list[str], list[str]] = ([], [])
    for text in random.Random(1).sample(texts, len(texts)):
        some = kept["mathjax_process" in render(text)]
        some += [text] * (sum(map(len, some)) < length)
    return kept


def per_thousand(texts: Sequence[str], size: int, *, cosmetics: bool) -> float:
    count = sum(retractions(text, size, cosmetics=cosmetics) for text in texts)
    return 1_000 * count / sum(map(len, texts))


def retractions(text: str, size: int, *, cosmetics: bool) -> int:
    """Of a text that is flushed every ``size`` characters; without cosmetics, of re-rendering."""
    markdown, before, count = StreamingMarkdown(cosmetics=cosmetics), "", 0
    for start in range(0, len(text), size):
        markdown.feed(text[start : start + size])
        markdown.flush()
        now = markdown.html
        same = before.rfind("<", 0, max(0, shared(before, now) - 200))  # well before a change
        old, new = seen(before[max(same, 0) :]), seen(now[max(same, 0) :])
        count += vanished(old[0], new[0]) + vanished(old[1], new[1])
        before = now
    return count


def shared(one: str, other: str) -> int:
    """How many characters both begin with."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        is_same = other.startswith(one[low:middle], low)
        low, high = (middle, high) if is_same else (low, middle - 1)
    return low


def vanished(before: Sequence[str], now: Sequence[str]) -> int:
    """How many of the parts before are not there now, in the same order."""
    if now[: len(before)] == before:
        return 0
    matching = SequenceMatcher(None, before, now, autojunk=False).get_matching_blocks()
    return len(before) - sum(block.size for block in matching)
