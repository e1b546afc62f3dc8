"""Growing Markdown: after every flush the HTML is that of one rendering of the text so far."""

from __future__ import annotations

import random
import re
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groq_magic.markdown import Operation, StreamingMarkdown, render
from tests.support.commonmark import examples
from tests.support.markdown import FRAGMENTS, SAMPLE, assert_law, cut, small_limits


def test_the_specification_character_by_character() -> None:
    for example in examples():
        assert_law(iter(example))


@pytest.fixture(params=["limits", "small limits"])
def limits(request: pytest.FixtureRequest) -> Iterator[None]:
    with small_limits() if request.param == "small limits" else nullcontext():
        yield


@pytest.mark.usefixtures("limits")
@pytest.mark.parametrize("first", [0, 25])
@pytest.mark.parametrize("kind", ["fragments", "specification"])
def test_random_documents(kind: str, first: int) -> None:
    """``python -m tests.bench.law`` tries more of them."""
    parts = FRAGMENTS if kind == "fragments" else [*examples(), *FRAGMENTS * 10]
    for seed in range(first, first + 25):
        chance = random.Random(seed)
        text = "".join(chance.choices(parts, k=chance.randint(1, 12)))
        if chance.random() < 0.15:
            text = text.replace("\n", "\r\n")
        assert_law(cut(text, chance, chance.choice([1, 3, 10, 40])))


@given(st.lists(st.sampled_from(FRAGMENTS), max_size=20), st.integers(0, 2**32))
def test_documents_that_hypothesis_finds(parts: list[str], seed: int) -> None:
    assert_law(cut("".join(parts), random.Random(seed), 4))


@given(st.text(max_size=30))
def test_any_text(text: str) -> None:
    assert_law(iter(text))


@pytest.mark.usefixtures("limits")
@pytest.mark.parametrize(
    "text",
    [
        "- foo\n**",  # a marker grows into a thematic break
        "[foo]: /url '\ntitle\n\nb",
        "1. a\n\n2",
        "- [foo\n  ===\nbar]:\n/url",
        '[foo]: https://e.org\n"title\n===\nfoo\nbar"\n',
        "> [foo\n> ===\nbar]:\nhttps://e.org\n",
        "- a\n\n-",  # loose, until it is no item after all
        "- a\n- b\n\n- c\n\n---\n",
        "- ```\n  a\n  ```\n- ```\n  b\n  ```\n\n- c\n",  # items without paragraphs
        "- a | b\n- | -\n",
        "```\ncode\n```x\nmore\n```\n",  # a fence that seems closed and is not
        "```python\nprint()\n```x\n```\n",
        "```\ncode\n  \n\t\n",  # markdown-it drops an unfinished line of spaces
        "|a|b|\n|-|-|\n===\n$$\n$$\n",  # math ends a table, if it is math
        "|a|\n|-|\n\n|b|\n",
        "- b\n\n\t[foo]: https://e.org\n[foo]",  # a definition within an item
        "[foo]\n\n[foo]: https://e.org/a\n\n[foo]: https://e.org/b\n",
        "- [foo]\n- b\n- c\n\n[foo]: https://e.org\n",
        "|[foo]|\n|-|\n|[foo]|\n|x|\n\n[foo]: https://e.org\n",
        "- [foo]\n- b\n- c\n- [foo]: https://e.org\n- d\n- e\n",
        "$$\n- a\n- b\n- c\n$$\n",
        "1) a\n2) b\n3. c\n4. d\n",
        "Then\n$$\nx=1\n$$, where x\n\nb",  # math that seems closed and is not
        "$$\n~~~\n\x0c\n$$",  # white space that is no blank line
        "$$\n- a\n\u00a0\n- b\n$$\n",
        '[foo]: https://e.org\n"t\n===\n\u00a0\nbar"\n',
        "- $$\n- $$x$$\n- $$\n  a\n  $$\n",  # math within items
        "> [q]: https://e.org\n'a\n> b\n'",  # a title goes on in a quote's line
        "> [q]: https://e.org\n'|a|\n-|-\n'\n",
        "# | h\n--|--\n",  # a heading, a formula or a fence is the head of a table after all
        "$$ a | b $$\n--|--\n",
        " ~~~ |\nx\n|-\n",
        "[foo]: https://e.org/|\n--|--\n[foo]\n",
        "> - a\n>   - b\n>\n>     c\n>   - d\n> - e\n>\n> f\n",  # blocks in blocks
        "- a\n\n  > b\n  > c\n  ---\n  ```py\n  d\n\n  e\n  ```\n      f\n\n      g\n- h\n",
        "1. - a\n   - b\n\n   c\n\t- d\n   |e|\n   |-|\n   |f|\n   |g|\n2. h\n",
        "- [x] a task of many words\n  and lines\n  - b\n- [ ] c\n",
        "> some words, **bold\nlazy** words and more\nlazy words\n===\n> a | b\n",
        "- some words in an item\n  that becomes\n  a heading\n  ---\n  b\n",
        "- ```\n\n- a\n",
        "- ```\n  b\n\n  ```\n",
        "some words\n    ```\n    aaa\n    ```\n* s\n",  # what ends a segment is no text after all
        "\u00a0\nsome words below white space that is left out\n",
    ],
)
def test_traps(text: str) -> None:
    assert_law(iter(text))
    assert_law(iter(text.replace("\n", "\r\n")))


def test_a_table_is_not_filled_up_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """The parser ends a table when it has added too many missing cells."""
    parser = sys.modules["markdown_it.rules_block.table"]
    monkeypatch.setattr(parser, "MAX_AUTOCOMPLETED_CELLS", 6553)
    monkeypatch.setattr("groq_magic.markdown.open_leaves.MAX_AUTOCOMPLETED_CELLS", 6553)
    table = "|" + "a|" * 200 + "\n|" + "-|" * 200 + "\n" + "|b|c\n" * 30
    rows = "|" + "d|" * 210 + "\n" + "x\n" * 6
    assert render(table + rows).count("<tr>") == 1 + 30 + 1 + 3
    assert_law(iter([table, *rows.splitlines(keepends=True)]))


# The protocol


class Screen:
    """A view; it has a method for each operation."""

    def __init__(self) -> None:
        self.settled: list[str] = []
        self.opened: list[tuple[str, str]] = []  # what is before and behind the parts of each
        self.shown: tuple[str, ...] = ("", "")

    def follow(self, operations: list[Operation]) -> None:
        for name, *arguments in operations:
            getattr(self, str(name))(*arguments)

    def settle(self, html: str) -> None:
        self.settled.append(html)

    def open(self, html: str) -> None:
        self.opened.append(halves(html))

    def reopen(self, html: str, inner: int) -> None:
        self.opened = [halves(html)]
        for _ in range(inner):
            before, after = self.opened.pop()
            start = start_of_last_child(before)
            self.opened += [(before[:start], after), halves(before[start:])]

    def push(self, html: str) -> None:
        before, after = self.opened[-1]
        self.opened[-1] = before + html, after

    def close(self) -> None:
        before, after = self.opened.pop()
        if self.opened:
            self.push(before + after)
        else:
            self.settled.append(before + after)

    def replace(self, index: int, html: str) -> None:
        self.settled[index] = html

    def tail(self, *shown: str) -> None:
        self.shown = shown

    @property
    def html(self) -> str:
        tail, *parts = self.shown
        inside = ""
        assert len(parts) == max(1, len(self.opened))
        for (before, after), part in zip(reversed(self.opened), reversed(parts), strict=False):
            inside = before + inside + part + after
        return "".join((*self.settled, inside, tail))


def halves(html: str) -> tuple[str, str]:
    """The HTML of a block before and behind the place for its parts."""
    for end in ENDS:
        if html.endswith(end):
            return html.removesuffix(end), end
    raise AssertionError(html)


def start_of_last_child(html: str) -> int:
    """Where the last element begins that is not inside another one; a line end belongs to it."""
    depth = 0
    for tag in reversed(list(re.finditer(r"\n?<(/?)(\w+)[^>]*>", html))):
        depth += 0 if tag[2] in ("br", "hr", "input") else 1 if tag[1] else -1
        if depth == 0:
            return tag.start() if html[tag.start()] == "<" else tag.start() + 1
    raise AssertionError(html)


ENDS = ["</tbody>\n</table>\n", "</code></pre>\n", "</ul>\n", "</ol>\n", "</li>\n"]
ENDS += ["</blockquote>\n", "</p>\n", *(f"</h{n}>\n" for n in (1, 2))]


@pytest.mark.usefixtures("limits")
@pytest.mark.parametrize("size", [1, 2, 3, 7, 33, 1000])
@pytest.mark.parametrize("text", [SAMPLE, SAMPLE.replace("\n", "\r\n")])
@pytest.mark.parametrize("cosmetics", [False, True])
def test_operations_add_up_to_the_html(text: str, size: int, *, cosmetics: bool) -> None:
    markdown, screen = StreamingMarkdown(cosmetics=cosmetics), Screen()
    for start in range(0, len(text), size):
        markdown.feed(text[start : start + size])
        operations = markdown.flush()
        screen.follow(operations)
        assert screen.html == markdown.html
        assert [name for name, *_ in operations[:-1]].count("tail") == 0
        assert not operations or operations[-1][0] == "tail"
    screen.follow(markdown.close())
    assert screen.html == markdown.html == render(text)
    assert screen.shown == ("", "")


def test_each_block_is_one_element() -> None:
    class Counter(HTMLParser):
        depth = roots = 0

        def handle_starttag(self, tag: str, attrs: object) -> None:
            self.roots += self.depth == 0
            self.depth += tag not in ("br", "hr", "input")

        def handle_endtag(self, tag: str) -> None:
            self.depth -= 1

    markdown = StreamingMarkdown()
    markdown.feed(SAMPLE)
    markdown.close()
    for block in markdown.snapshot()["settled"]:
        counter = Counter()
        counter.feed(block)
        assert (counter.roots, counter.depth) == (1, 0), block


def flushed(*deltas: str) -> tuple[StreamingMarkdown, list[Operation]]:
    """A text with a flush after each delta, and the operations of the last one."""
    markdown = StreamingMarkdown(cosmetics=False)
    operations: list[Operation] = []
    for delta in deltas:
        markdown.feed(delta)
        operations = markdown.flush()
    return markdown, operations


@pytest.mark.parametrize(
    ("deltas", "expected"),
    [
        (["a\n", "b\n"], [("tail", "<p>a\nb</p>\n", "")]),
        (["a\n", "\n"], [("settle", "<p>a</p>\n"), ("tail", "", "")]),
        (["> a\n", "\nb"], [("settle",), ("tail", "<p>b</p>\n", "")]),
        (["- a\n", "\nb"], [("tail",)]),
        (["# a\n"], [("settle", '<h1 class="jp-toc-ignore">a</h1>\n'), ("tail", "", "")]),
        (["- a\n- b\n", "- c\n"], [("push", "<li>b</li>\n"), ("tail", "", "<li>c</li>\n")]),
        (["- a\n- b\n", "- c"], [("tail", "", "<li>b</li>\n<li>c</li>\n")]),
        (
            ["- a\n- b\n", "\nc\n"],
            [("push", "<li>b</li>\n"), ("close",), ("tail", "<p>c</p>\n", "")],
        ),
        (["```\na\n", "b\nc"], [("push", "b\n"), ("tail", "", "c")]),
        (
            ["```\na\n", "b<\n```\n"],
            [("push", "b&lt;\n"), ("close",), ("tail", "", "")],
        ),
        (["|a|\n|-|\n|1|\n", "|2|\n"], [("push",), ("tail", "", "")]),
        (["[a]\n\nb\n", "\n[a]: https://e.org\n"], [("settle",), ("replace",), ("tail", "", "")]),
        (["- a\n- b\n- c\n", "\n- d\n"], [("reopen",), ("push",), ("tail",)]),
    ],
)
def test_operations(deltas: list[str], expected: list[Operation]) -> None:
    """An expected operation can leave out its last arguments."""
    operations = flushed(*deltas)[1]
    assert len(operations) == len(expected), operations
    for operation, start in zip(operations, expected, strict=True):
        assert operation[: len(start)] == start


def test_a_late_definition_changes_a_few_blocks_at_a_flush() -> None:
    markdown = StreamingMarkdown()
    markdown.feed("[a]\n\n" * 100 + "[a]: https://e.org\n\n")
    counts = []
    for _ in range(5):
        counts.append(sum(name == "replace" for name, *_ in markdown.flush()))
        markdown.feed("b\n")
    assert counts == [25, 25, 25, 25, 0]
    assert markdown.html.count("<a ") == 100


def test_a_flush_without_text_has_no_operations() -> None:
    assert flushed("a")[0].flush() == []


@pytest.mark.parametrize(
    ("head", "line"),
    [
        ("", "A paragraph.\n\n"),
        ("```python\n", "x = 1\n"),
        ("```python\n", "    value = compute(1)\n"),
        ('```python\n"""\n', "a text that has no end yet, for many lines to come\n"),
        ("", "- an item with `code`\n"),
        ("", "7. an item\n"),
        ("", "- an item\n\n"),
        ("| a | b |\n|---|---|\n", "| 1 | 2 |\n"),
        ("", "- [x] done\n"),
        ("", "## Heading\n"),
        ("", "```sh\nls\n```\n"),
        ("", "> A quoted paragraph.\n>\n"),
        ("", "> Quoted **text** that goes on.\n"),
        ("- a\n", "  - a child of an item\n"),
        ("> - a\n>\n>   ```py\n", ">   x = 1  # so much code\n"),
        ("- a\n  |b|\n  |-|\n", "  | a row in an item |\n"),
        ("", "    x = 1  # indented code\n"),
        ("", "A sentence with **bold** words. "),
        ("- [ ] ", "A sentence with `code` in an item. "),
        ("", "[label]: https://example.org\n"),
        ("$$\n", "x^2 + y^2 + z^2 = 1 \\\\\n"),
    ],
)
def test_operations_do_not_grow_with_the_text(head: str, line: str) -> None:
    markdown = StreamingMarkdown()
    markdown.feed(head)
    sizes = []
    for _ in range(300):
        markdown.feed(line)
        sizes.append(sum(len(str(operation)) for operation in markdown.flush()))
    assert max(sizes[100:]) <= max(sizes[10:100])


def test_code_has_colours_while_it_comes() -> None:
    """Lines of the same chunk come again as the tail; the last one is plain."""
    _, operations = flushed("```python\nprint(1)\n", "print(2)\n", "print(")
    part = str(operations[-1][1])
    assert part.count('"nb"') == 2
    assert "</span>)\nprint(</code>" in part


def test_coloured_code_settles_as_it_will_stay() -> None:
    markdown, names = StreamingMarkdown(), []
    markdown.feed("```python\n")
    for number in range(200):
        markdown.feed(f"def f{number}():\n    return {number}\n\n")
        names += [name for name, *_ in markdown.flush()]
    markdown.feed("```\n")
    names += [name for name, *_ in markdown.close()]
    assert names.count("push") > 5
    assert "reopen" not in names
    assert markdown.html.count('"mi"') == 200
