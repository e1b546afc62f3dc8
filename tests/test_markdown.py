"""Markdown to safe HTML, whole and growing."""

from __future__ import annotations

import random
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groq_magic.markdown import Replace, Settle, StreamingMarkdown, Tail, render, safe_source

REL = 'rel="noopener noreferrer nofollow" target="_blank"'

SAMPLE = """\
# Title

A paragraph with **bold**, `code` and a [link](https://example.org), and
a second line.

- one
- two

  with a paragraph

1. first
2. second

| a | b |
|---|---|
| 1 | 2 |

> quoted
lazily

```python
print("x")

print("y")
```

Setext
------

$$
a
- b
$$

    indented

[ref] and $x_1$ and \\\\(y\\\\), for $5 or $6.

[ref]: https://example.org/ref
"""


def fed(*deltas: str, flush: bool = True) -> StreamingMarkdown:
    markdown = StreamingMarkdown()
    for delta in deltas:
        markdown.feed(delta)
        if flush:
            markdown.flush()
    return markdown


def replayed(text: str, size: int) -> tuple[list[str], str]:
    """What a view has on the screen that follows the operations."""
    markdown = StreamingMarkdown()
    settled: list[str] = []
    tail = ""
    pieces = [text[i : i + size] for i in range(0, len(text), size)]
    for piece in [*pieces, None]:
        if piece is not None:
            markdown.feed(piece)
        for operation in markdown.flush() if piece is not None else markdown.close():
            if isinstance(operation, Settle):
                settled.append(operation.html)
            elif isinstance(operation, Tail):
                tail = operation.html
            elif isinstance(operation, Replace):
                settled[operation.index] = operation.html
    return settled, tail


@pytest.mark.parametrize("size", [1, 2, 3, 7, 33, 1000])
@pytest.mark.parametrize("text", [SAMPLE, SAMPLE.replace("\n", "\r\n")])
def test_what_a_view_is_told_adds_up_to_the_whole(text: str, size: int) -> None:
    settled, tail = replayed(text, size)
    assert "".join(settled) == render(text)
    assert tail == ""


def test_at_every_character_the_html_is_that_of_the_text_so_far() -> None:
    text = SAMPLE.partition("[ref] and")[
        0
    ]  # a link whose definition comes late is set right at the end
    markdown = StreamingMarkdown()
    for length, character in enumerate(text, 1):
        markdown.feed(character)
        markdown.flush()
        assert markdown.html == render(text[:length])


fragments = st.sampled_from(
    [
        "a",
        " ",
        "\n",
        "\n\n",
        "- ",
        "1. ",
        "# ",
        "> ",
        "```\n",
        "===\n",
        "---\n",
        "*",
        "`",
        "|a|b|\n",
        "|-|-|\n",
        "[a]",
        "[a]: /u\n",
        "(",
        "$",
        "$$\n",
        "\\(",
        "\\)",
        "    ",
        "\t",
        "\r",
        "<b>",
        "\\",
        "é",
    ]
)


@given(st.lists(fragments, max_size=40), st.integers(0, 2**32))
def test_any_text_cut_anywhere_ends_like_the_whole(parts: list[str], seed: int) -> None:
    text = "".join(parts)
    cut = random.Random(seed)
    markdown = StreamingMarkdown()
    start = 0
    while start < len(text):
        end = start + cut.randint(1, 4)
        markdown.feed(text[start:end])
        markdown.flush()
        start = end
    markdown.close()
    assert markdown.html == render(text)


def test_each_block_is_one_element() -> None:
    class Counter(HTMLParser):
        depth = roots = 0

        def handle_starttag(self, tag: str, attrs: object) -> None:
            self.roots += self.depth == 0
            self.depth += tag not in ("br", "hr")
            self.roots += 0

        def handle_endtag(self, tag: str) -> None:
            self.depth -= 1

    for block in replayed(SAMPLE, 5)[0]:
        counter = Counter()
        counter.feed(block)
        assert (counter.roots, counter.depth) == (1, 0), block


def test_most_of_a_long_text_is_settled() -> None:
    markdown = fed(*(["A paragraph.\n\n"] * 100))
    assert len(markdown.settled) >= 99
    assert markdown.tail.count("<p>") <= 1


def test_nothing_new_is_no_operation() -> None:
    assert fed("a").flush() == []


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("<script>x</script>", "&lt;script&gt;"),
        ("<img src=x onerror=y>", "&lt;img"),
        ("a <b>c</b>", "&lt;b&gt;"),
        ("[x](javascript:alert(1))", "<p>[x](javascript:alert(1))</p>"),
        ("[x](JaVaScRiPt:alert(1))", "<p>[x]("),
        ("[x](&#106;avascript:alert(1))", "<p>[x]("),
        ("[x](data:text/html,x)", "<p>[x]("),
        ("[x](//evil.example)", "<p>[x]("),
        ("[x](/lab/tree)", "<p>[x]("),
        ("[x](file:///etc/passwd)", "<p>[x]("),
        ("[x](https://e.org)", f'<a href="https://e.org" {REL}>x</a>'),
        ("[x](mailto:a@e.org)", f'<a href="mailto:a@e.org" {REL}>x</a>'),
        ("<https://e.org>", f'<a href="https://e.org" {REL}>https://e.org</a>'),
        ("![x](https://e.org/i.png)", f'<a href="https://e.org/i.png" {REL}>x</a>'),
        ("![](https://e.org/i.png)", f"{REL}>https://e.org/i.png</a>"),
        ("[![x](https://e.org/i.png)](https://e.org)", f'<a href="https://e.org" {REL}>x</a>'),
        ('```a" onload="x\nb\n```', '<code class="language-a&quot;"'),
        ("``` \nb\n```", "<code style="),
        ('[x](https://e.org "a\\" onload=\\"b")', "&quot; onload=&quot;"),
    ],
)
def test_hostile_text(text: str, html: str) -> None:
    rendered = render(text)
    assert html in rendered
    assert "<img" not in rendered
    assert "<script" not in rendered


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("$x_1$", '<span class="mathjax_process">\\(x_1\\)</span>'),
        ("\\(a*b*c\\)", '<span class="mathjax_process">\\(a*b*c\\)</span>'),
        ("a $$x$$ b", '<span class="mathjax_process">\\[x\\]</span>'),
        ("\\[x<y\\]", '<div class="mathjax_process">\\[x&lt;y\\]</div>'),
        ("$$\na\n- c\n$$", '<div class="mathjax_process">\\[\na\n- c\n\\]</div>'),
        ("\\begin{align}\na\n\\end{align}", '<div class="mathjax_process">\\begin{align}\na\n'),
        ("$5 and $6", "<p>$5 and $6</p>"),
        ("$5-$10", "<p>$5-$10</p>"),
        ("`$x$`", "<code>$x$</code>"),
        ("$$\na\n\nb", "<p>$$\na</p>\n<p>b</p>"),
        ("\\$5 and \\$x", "<p>$5 and $x</p>"),
        ("$</span><script>$", "&lt;script&gt;"),
    ],
)
def test_math(text: str, html: str) -> None:
    assert html in render(text)


def test_tables_and_strikethrough() -> None:
    assert "<td" in render("|a|\n|-|\n|b|")
    assert "<s>x</s>" in render("~~x~~")


def test_deep_nesting_loses_nothing() -> None:
    deep = "".join(f"{'  ' * level}- level {level}\n" for level in range(20))
    rendered = render(deep + "\nafter")
    assert all(f"level {level}" in rendered for level in range(20))
    assert "after" in rendered


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("a < b <b>", "a < b &lt;b>"),
        ("<img src=x onerror=y>", "&lt;img src=x onerror=y>"),
        ("</div><!-- x --><?php", "&lt;/div>&lt;!-- x -->&lt;?php"),
        ("![x](https://e.org)", "&#33;[x](https://e.org)"),
        ("\\![x](https://e.org)", "\\&#33;[x](https://e.org)"),
        ("a\rb\r```\nx\n```\n<img>", "a\nb\n```\nx\n```\n&lt;img>"),
        ("[x](javascript:y)", "[x]\\(javascript:y)"),
        ("[x]( JavaScript:y)", "[x]\\( JavaScript:y)"),
        ("[x](https://e.org)", "[x](https://e.org)"),
        ("[x]: javascript:y", "[x]\\: javascript:y"),
        ("```html\n<b>\n```", "```html\n<b>\n```"),
        ("plain *text*", "plain *text*"),
    ],
)
def test_the_source_that_other_renderers_get(text: str, source: str) -> None:
    assert safe_source(text) == source


@given(st.text())
def test_no_text_raises(text: str) -> None:
    render(text)
    safe_source(text)
    fed(text)
