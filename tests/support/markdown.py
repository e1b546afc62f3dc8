"""Markdown documents for tests, and the law that a growing document must keep."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from groq_magic.markdown import code, limits, open_leaves, render, segments, stability, streaming
from groq_magic.markdown.streaming import StreamingMarkdown

SAMPLE = """\
# Title

A paragraph with **bold**, `code` and a [link](https://example.org), and
a second line with [ref] in it.

- one
- two

  with a paragraph
- [ ] three
- ```
  code
  ```

1. first
2. second

| a | b |
|---|---|
| 1 | 2 |
| [ref] | `3` |

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


# What documents are put together from at random, beside the specification's examples.
LINES = """
- a
- [ ] t
- [foo]
-
1.
1. x
2. y
   z
 - n
   - nn
- ```\n  code\n  ```
* s
+ p
```py\nprint()\n
```
~~~
    ind
text
[foo]: https://e.org
[bar]: https://e.org 'title
'\n
$$
\\[
\\]
> q
>
> [!NOTE]
• a
##h
|`a|b`|c|\n|-|-|\n|`a|b`|c|
[foo]: a.md
عنصر
---
===
# h
|a|b|\n|-|-|
|a|b|\n|:-:
|1|2|
|3
| x
|[foo]|
"""


INLINE = (
    "$$|\\]|$$, x|- $$\n|- $$x$$\n|\x0c\n|\u00a0\n|> [q]: https://e.org\n'a\n|  ```\n|> - a\n|"
    "[foo]|\\(x\\)|**b|** |*|_|`|~~|![a](https://e.org)|<b>|$5 |$x$ |\t|-|1|https://a.org/x) |\\|é"
    "|\u2028|\0|  \n|\n|\n\n|-\t x\n|</b>|<br>|• |[x](#a)|<!-- |-->|（語）|ع"
)


FRAGMENTS = [line.replace("\\n", "\n") + "\n" for line in LINES.strip().split("\n")]


FRAGMENTS += INLINE.split("|")
# Heads of tables, which other blocks can seem to be, and containers in containers.
FRAGMENTS += [
    "|",
    " | ",
    "--|--\n",
    "# | h\n",
    "~~~ |\n",
    "``` a|b\n",
    "$$ a | b $$\n",
    "> a | b\n",
]
FRAGMENTS += [
    "```py\nx = 1\n",
    "def f():\n    '''x\n",
    "y = 2\n\nz\n",
    "```js\n/* a\n",
    "b() */ c\n",
]
FRAGMENTS += ["[foo]: https://e.org/|\n", "> ", "- ", "1. ", "  ", "    "]


def nested(chance: random.Random) -> str:
    """Lists or quotes in each other, up to 200."""
    if chance.random() < 0.3:
        return "".join("  " * depth + "- a\n" for depth in range(chance.choice([3, 30])))
    markers = chance.choice([["> "], ["- "], ["> ", "- ", "1. "]])
    return "".join(chance.choices(markers, k=chance.choice([2, 5, 30, 50, 200])))


def cut(text: str, chance: random.Random, longest: int) -> Iterator[str]:
    while text:
        size = chance.randint(1, longest)
        yield text[:size]
        text = text[size:]


@contextmanager
def small_limits() -> Iterator[None]:
    """A few characters are many: blocks open in blocks, and paragraphs settle in segments."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streaming, "_SHORT", 0)
        for name, limit in (("SHORTEST", 8), ("_STEP", 4), ("_LONGEST", 24)):
            patch.setattr(segments, name, limit)
        for name, limit in (
            ("_CHUNK", 6),
            ("_CONTEXT", 4),
            ("_LONGEST_CHUNK", 30),
            ("_UNENDED", 50),
        ):
            patch.setattr(code, name, limit)
        for module in (limits, stability, open_leaves):
            patch.setattr(module, "HEAD", 25)
        for module in (limits, stability):
            patch.setattr(module, "REACH", 40)
        yield


def assert_law(deltas: Iterator[str]) -> None:
    """At every flush, and at the end."""
    markdown, text = StreamingMarkdown(cosmetics=False), ""
    for delta in deltas:
        markdown.feed(delta)
        markdown.flush()
        text += delta
        assert markdown.html == render(text.removesuffix("\r")), text  # a CR waits for its LF
    markdown.close()
    assert markdown.html == render(text), text
