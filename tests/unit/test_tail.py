"""The end of an unfinished text: nothing flashes up for a moment."""

from __future__ import annotations

import re
from html import unescape

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from groq_magic.markdown import StreamingMarkdown, render
from groq_magic.markdown.tail import completed
from tests.support.markdown import FRAGMENTS


def shown(text: str) -> str:
    """The HTML that a view shows for an unfinished text, without styles."""
    markdown = StreamingMarkdown()
    markdown.feed(text)
    markdown.flush()
    return re.sub(
        r' style="[^"]*"| class="(?:highlight|jp-toc-ignore)"| rel="[^"]*"| target="[^"]*"',
        "",
        markdown.html,
    )


FORMULA = '<span class="mathjax_process tex2jax_process">\\(a_1\\)</span>'


@pytest.mark.parametrize(
    ("text", "html"),
    [
        # No heading before it is one.
        ("Some text\n-", "<p>Some text</p>\n"),
        ("Some text\n--", "<p>Some text</p>\n"),
        ("Some text\n=", "<p>Some text</p>\n"),
        ("Some text\n- ", "<p>Some text</p>\n"),
        ("Some text\n-\n", "<h2>Some text</h2>\n"),
        ("#", ""),
        ("## ", ""),
        ("Some text\n##", "<p>Some text</p>\n"),
        # No list, number, quote, rule or fence before it is one.
        ("-", ""),
        ("- ", ""),
        ("- a\n-", "<ul>\n<li>a</li>\n</ul>\n"),
        ("- a\n  -", "<ul>\n<li>a</li>\n</ul>\n"),
        ("1.", ""),
        ("Some text\n2", "<p>Some text</p>\n"),
        ("42", ""),
        ("Text\n\n4", "<p>Text</p>\n"),
        ("1984", "<p>1984</p>\n"),
        (">", ""),
        ("***", ""),
        ("Some text\n``", "<p>Some text</p>\n"),
        ("```py", ""),
        ("```\ncode\n``", "<pre><code>code\n</code></pre>\n"),
        ("```\ncode\n-", "<pre><code>code\n</code></pre>\n"),
        ("```\ncode\n- x", "<pre><code>code\n- x</code></pre>\n"),
        # No item before it has words, and no loose list before it is one.
        ("- a\n\n- ", "<ul>\n<li>a</li>\n</ul>\n"),
        ("- a\n\n  b\n  -", "<ul>\n<li>\n<p>a</p>\n<p>b</p>\n</li>\n</ul>\n"),
        # No unfinished inline markup.
        ("a **bo", "<p>a <strong>bo</strong></p>\n"),
        ("a **bo*", "<p>a <strong>bo</strong></p>\n"),
        ("a **", "<p>a</p>\n"),
        ("a *b **c", "<p>a <em>b <strong>c</strong></em></p>\n"),
        ("***a", "<p><em><strong>a</strong></em></p>\n"),
        ("~~a", "<p><s>a</s></p>\n"),
        ("a `co", "<p>a <code>co</code></p>\n"),
        ("a `", "<p>a</p>\n"),
        ("``a`b", "<p><code>a`b</code></p>\n"),
        ("snake_ca", "<p>snake_ca</p>\n"),
        ("__init_", "<p><strong>init</strong></p>\n"),
        ("5*3", "<p>5*3</p>\n"),
        ("2 * 3", "<p>2 * 3</p>\n"),
        ("Hello!", "<p>Hello!</p>\n"),
        ("see [the do", "<p>see the do</p>\n"),
        ("see [the docs]", "<p>see the docs</p>\n"),
        ("see [the docs](https://exa", "<p>see the docs</p>\n"),
        ("see [the docs](https://e.org)", '<p>see <a href="https://e.org">the docs</a></p>\n'),
        ("a ![picture](https://e", "<p>a picture</p>\n"),
        ("**[", ""),
        ("**[the", "<p><strong>the</strong></p>\n"),
        ("a un**der", "<p>a un<strong>der</strong></p>\n"),
        ("这是*重点", "<p>这是<em>重点</em></p>\n"),
        ("2**3", "<p>2**3</p>\n"),
        ("https://e.or", "<p>https://e.or</p>\n"),
        ("<https://e.or", "<p>https://e.or</p>\n"),
        ("<htt", ""),
        ("Nice![and so on", "<p>Niceand so on</p>\n"),
        ("call f[i](x and then", "<p>call f[i](x and then</p>\n"),
        ("see [it](x and then", "<p>see [it](x and then</p>\n"),
        ("a[i", "<p>a[i</p>\n"),
        ("- [x", ""),
        ("- [ ]", ""),
        ("a[0] and a[1] **b", "<p>a[0] and a[1] <strong>b</strong></p>\n"),
        # No kind of an alert, no bullet.
        ("> [!NO", ""),
        ("> [!NOT", ""),
        ("> [!NOTE]", "<blockquote>\n<p><strong>Note</strong><br>\n</p>\n</blockquote>\n"),
        ("> [!NOTE]\n> a", "<blockquote>\n<p><strong>Note</strong><br>\n\na</p>\n</blockquote>\n"),
        ("Some text\n•", "<p>Some text</p>\n"),
        ("Some text\n• a", "<p>Some text</p>\n<ul>\n<li>a</li>\n</ul>\n"),
        # No tags and no comments.
        ("a <b", "<p>a</p>\n"),
        ("a < b", "<p>a &lt; b</p>\n"),
        ("a <b><sub>", "<p>a</p>\n"),
        ("H<sub>2", "<p>H<sub>2</sub></p>\n"),
        ("H<sub>2</s", "<p>H<sub>2</sub></p>\n"),
        ("<b>a <i>b</b> *c", "<p><b>a &lt;i&gt;b</b> <em>c</em></p>\n"),
        ("> a<br", "<blockquote>\n<p>a</p>\n</blockquote>\n"),
        ("a <!-- b *c", "<p>a</p>\n"),
        ("a <!-- b --> *c", "<p>a  <em>c</em></p>\n"),
        # Emphasis beside letters without blanks between them.
        ("これは**「重", "<p>これは<strong>「重</strong></p>\n"),
        ("見て[地図](https://e", "<p>見て地図</p>\n"),
        ("注意：**重要**こ", "<p>注意：<strong>重要</strong>こ</p>\n"),
        # Formulas, complete or not.
        ("$a_1$ **b", f"<p>{FORMULA} <strong>b</strong></p>\n"),
        ("\\(a*b* c", "<p><span>\\(a*b* c</span></p>\n"),
        ("**so \\(a*b", "<p><strong>so <span>\\(a*b</span></strong></p>\n"),
        ("x $$a_1 *b* c", "<p>x <span>$$a_1 *b* c</span></p>\n"),
        ("\\[\na\n- b\n+ c", "<div>\\[\na\n- b\n+ c</div>\n"),
        ("So *x* is\n$$\n- b\n", "<p>So <em>x</em> is</p>\n<div>$$\n- b</div>\n"),
        (
            "> a\n> \\[\n> - b\n> = c",
            "<blockquote>\n<p>a</p>\n<div>\\[\n- b\n= c</div>\n</blockquote>\n",
        ),
        (
            "- a\n- b:\n  \\begin{align}\n  x\n  - y\n",
            "<ul>\n<li>a</li>\n<li>b:<div>\\begin{align}\nx\n- y</div>\n</li>\n</ul>\n",
        ),
        ("\\begin{al", ""),
        ("$$\na\n$$", '<div class="mathjax_process tex2jax_process">\\[\na\n\\]</div>\n'),
        ("$5 and **b", "<p>$5 and <strong>b</strong></p>\n"),
        # No pipes where a table is to come.
        ("| a | b", ""),
        ("| a | b |\n", ""),
        ("| a | b |\n|--", ""),
        ("Text\n| a |\n", "<p>Text</p>\n"),
        ("| a |\n| b |\n", "<p>| a |\n| b |</p>\n"),
        ("|x| is the absolute", "<p>|x| is the absolute</p>\n"),
        # What is complete is shown as it is.
        ("a **b\n\n", "<p>a **b</p>\n"),
        ("a **b\n\nc", "<p>a **b</p>\n<p>c</p>\n"),
        ("- [x\n- b\n", "<ul>\n<li>[x</li>\n<li>b</li>\n</ul>\n"),
    ],
)
def test_the_end_of_an_unfinished_text(text: str, html: str) -> None:
    assert re.sub(r"\s+</", "</", shown(text)) == re.sub(r"\s+</", "</", html)


def test_a_closed_text_is_shown_as_markdown_says() -> None:
    for text in ("a **bo", "text\n-", "see [the do", "| a | b", "`"):
        markdown = StreamingMarkdown()
        markdown.feed(text)
        markdown.flush()
        markdown.close()
        assert markdown.html == render(text)


MARKUP = "word |**|*|_|`|~~|(|)|\n|$5 |[|]|![|<b>|</b>|<|語|（".split("|")


def words(html: str) -> str:
    """The words, without tags, also where they are text."""
    text = unescape(re.sub(r"<[^>]*>", "", html))
    return re.sub(r"[\W_]+", "", re.sub(r"</?b>", "", text))


@given(
    st.lists(
        st.sampled_from(MARKUP),
        max_size=20,
    )
)
def test_no_word_waits_for_markup_to_be_closed(parts: list[str]) -> None:
    text = "".join(parts) + "end"
    assume("](" not in text)  # what follows is a target, which nobody reads
    assert words(shown(text)) == words(render(text))


@given(st.lists(st.sampled_from(FRAGMENTS), max_size=12), st.text(max_size=5))
def test_no_text_raises(parts: list[str], more: str) -> None:
    shown("".join(parts) + more)
    completed("".join(parts) + more)
