"""Whole texts: the dialect is rendered as its specifications say, and hostile text is safe."""

from __future__ import annotations

import re
from html import unescape

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.common.utils import escapeHtml

from groq_magic.markdown import code, links, render
from groq_magic.markdown.limits import NESTING
from groq_magic.markdown.parser import _make_parser, parse_blocks
from tests.support.attacks import ATTACKS, assert_harmless
from tests.support.commonmark import examples

DISPLAYED = 'class="mathjax_process tex2jax_process" style="overflow-x:auto;overflow-y:hidden"'
REL = 'rel="noopener noreferrer nofollow" target="_blank"'


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("<script>x</script>", "&lt;script&gt;"),
        ("<img src=x onerror=y>", "&lt;img"),
        ("a <b id=x>c</b>", "a &lt;b id=x&gt;c&lt;/b&gt;"),
        ('<a href="https://e.org">', "<p>&lt;a href=&quot;https://e.org&quot;&gt;</p>"),
        ("[x](javascript:alert(1))", "<p>[x](javascript:alert(1))</p>"),
        ("[x](JaVaScRiPt:alert(1))", "<p>[x]("),
        ("[x](&#106;avascript:alert(1))", "<p>[x]("),
        ("[x](data:text/html,x)", "<p>[x]("),
        ("[x](//evil.example)", "<p>[x]("),
        ("[x](/lab/tree)", "<p><a rel="),
        ("[x]\n\n[x]: /lab/tree", "<p>[x]</p>\n<p>[x]: /lab/tree</p>"),
        ("[x](file:///etc/passwd)", "<p>[x]("),
        ("[x](https://e.org)", f'<a href="https://e.org" {REL}>x</a>'),
        ("[x](mailto:a@e.org)", f'<a href="mailto:a@e.org" {REL}>x</a>'),
        ("<https://e.org>", f'<a href="https://e.org" {REL}>https://e.org</a>'),
        ("![x](https://e.org/i.png)", f'<a href="https://e.org/i.png" {REL}>x</a>'),
        ("![](https://e.org/i.png)", f"{REL}>https://e.org/i.png</a>"),
        ("[![x](https://e.org/i.png)](https://e.org)", f'<a href="https://e.org" {REL}>x</a>'),
        ('```a" onload="x\nb\n```', '<code class="highlight"'),
        ("``` \nb\n```", '<code class="highlight"'),
        ('[x](https://e.org "a\\" onload=\\"b")', "&quot; onload=&quot;"),
    ],
)
def test_hostile_text(text: str, html: str) -> None:
    rendered = render(text)
    assert html in rendered
    assert "<img" not in rendered
    assert "<script" not in rendered


@pytest.mark.parametrize("marker", ["> ", "- ", "1. ", "> - "])
@pytest.mark.parametrize("count", [19, 51, 101, 200])
def test_nothing_vanishes_behind_what_is_nested_too_deep(marker: str, count: int) -> None:
    html = render(f"{marker * count}deep\n\nafter\n\n# and more")
    assert "deep" in html
    assert html.endswith('<p>after</p>\n<h1 class="jp-toc-ignore">and more</h1>\n')


def test_a_deep_list_goes_on_at_each_of_its_levels() -> None:
    deep = "".join("  " * depth + f"- d{depth}\n" for depth in range(60))
    html = render(deep + "  - two\n- one\n")
    assert html.count("<ul>") == NESTING / 2
    assert html.endswith("<li>two</li>\n</ul>\n</li>\n<li>one</li>\n</ul>\n")
    assert all(f"d{depth}" in html for depth in range(60))


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("$x_1$", '<span class="mathjax_process tex2jax_process">\\(x_1\\)</span>'),
        ("\\(a*b*c\\)", '<span class="mathjax_process tex2jax_process">\\(a*b*c\\)</span>'),
        ("a $$x$$ b", '<span class="mathjax_process tex2jax_process">\\[x\\]</span>'),
        ("\\[x<y\\]", f"<div {DISPLAYED}>\\[x&lt;y\\]</div>"),
        ("$$\na\n- c\n$$", f"<div {DISPLAYED}>\\[\na\n- c\n\\]</div>"),
        (
            "\\begin{align}\na\n\\end{align}",
            f"<div {DISPLAYED}>\\begin{{align}}\na\n",
        ),
        ("$5 and $6", "<p>$5 and $6</p>"),
        ("$5-$10", "<p>$5-$10</p>"),
        ("`$x$`", "<code>$x$</code>"),
        ("$$\na\n\nb", "<p>$$\na</p>\n<p>b</p>"),
        ("\\$5 and \\$x", "<p>$5 and $x</p>"),
        ("$</span><script>$", "&lt;script&gt;"),
        (f"${'x' * 2001}$", f"<p>${'x' * 2001}$</p>"),
        (f"\\({'x' * 2001}\\)", f"<p>({'x' * 2001})</p>"),
        ("$x = \\$5$, $6", "\\(x = \\$5\\)</span>, $6"),
        ("$$a$$ and $$b$$", "\\[a\\]</span> and <span"),
        ("$$a$$ and\nb$$", "\\[a\\]</span> and\nb$$"),
        ("$ v_A $：A", "\\( v_A \\)"),
        ("$ \\frac{ab}{c} $", "\\( \\frac{ab}{c} \\)"),
        ("$ 5_000 and $ 6", "<p>$ 5_000 and $ 6</p>"),
        ("$ cd a_b && $ ls", "<p>$ cd a_b &amp;&amp; $ ls</p>"),
        ("$ x_1$", "<p>$ x_1$</p>"),
        ("$ 価格_1 と $", "<p>$ 価格_1 と $</p>"),
    ],
)
def test_math(text: str, html: str) -> None:
    assert html in render(text)


def test_tables_and_strikethrough() -> None:
    assert "<td" in render("|a|\n|-|\n|b|")
    assert "<s>x</s>" in render("~~x~~")


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("- [ ] a", '<li style="list-style-type:none"><input type="checkbox" disabled style='),
        ("- [x] a", '<input type="checkbox" disabled checked style='),
        ("- [X] a", '<input type="checkbox" disabled checked style='),
        ("1. [ ] a", "<input"),
        ("- a\n\n- [ ] b", "<input"),
        ("- [ ]", "<li>[ ]</li>"),
        ("- [y] a", "<li>[y] a</li>"),
        ("- `[ ] a`", "<code>[ ] a</code>"),
        ("[ ] a", "<p>[ ] a</p>"),
        ("- [x] a\n\n[x]: https://e.org", f'<li><a href="https://e.org" {REL}>x</a> a</li>'),
    ],
)
def test_task_lists(text: str, html: str) -> None:
    assert html in render(text)


@pytest.mark.parametrize(
    ("text", "url", "behind"),
    [
        ("https://e.org", "https://e.org", ""),
        ("see http://e.org/a_b_c.", "http://e.org/a_b_c", "."),
        ("(https://e.org/x_(y))", "https://e.org/x_(y)", ")"),
        ("https://e.org?a=1&b=2, and", "https://e.org?a=1&amp;b=2", ", and"),
        ("**https://e.org**", "https://e.org", "</strong>"),
        ("https://e.org/*x", "https://e.org/*x", ""),
        ("|a|\n|-|\n|https://e.org|", "https://e.org", "</td>"),
        ("見てhttps://e.org/x。次", "https://e.org/x", "。次"),
        ("https://e.org（注）", "https://e.org", "（注）"),
    ],
)
def test_bare_urls(text: str, url: str, behind: str) -> None:
    assert f'<a href="{url}" {REL}>{url}</a>{behind}' in render(text)


@pytest.mark.parametrize(
    "text",
    ["a.com", "file.py", "a@b.com", "www.e.org", "xhttps://e.org", "https://", "ftp://e.org"],
)
def test_what_only_looks_like_a_link_is_text(text: str) -> None:
    assert render(text) == f"<p>{text}</p>\n"


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("a<br>b<br/>c<br />d", "a<br>\nb<br>\nc<br>\nd"),
        ("|a|\n|-|\n|b<br>- c|", "b<br>\n- c</td>"),
        ("H<sub>2</sub>O, x<sup>*2*</sup>", "H<sub>2</sub>O, x<sup><em>2</em></sup>"),
        ("[<kbd>Ctrl</kbd>](https://e.org)", "><kbd>Ctrl</kbd></a>"),
        ("**<u>a</u>** <b>b</b><b>c</b>", "<strong><u>a</u></strong> <b>b</b><b>c</b>"),
        ("<b>a <b>b</b> c</b>", "<b>a <b>b</b> c</b>"),
        ("<b>a <i>b</b> c</i>", "<b>a &lt;i&gt;b</b> c&lt;/i&gt;"),
        ("<b>a *b</b> c*", "<b>a *b</b> c*"),
        ("<b>a\n\nb</b>", "<p>&lt;b&gt;a</p>\n<p>b&lt;/b&gt;</p>"),
        ("`<b>`a</b>", "<code>&lt;b&gt;</code>a&lt;/b&gt;"),
        ("\\<b>a</b>", "&lt;b&gt;a&lt;/b&gt;"),
        ("<B>a</B> <br x> <b/>", "&lt;B&gt;a&lt;/B&gt; &lt;br x&gt; &lt;b/&gt;"),
        ('<x y="*a*">*b*', "&lt;x y=&quot;*a*&quot;&gt;<em>b</em>"),
        ("a <!-- *b -->c*", "<p>a c*</p>"),
        ("a\n\n<!-- b\nc -->\n\nd", '<p>a</p>\n<p hidden=""></p>\n<p>d</p>'),
        ("<!-- a\n\nb -->", "<p>&lt;!-- a</p>\n<p>b --&gt;</p>"),
    ],
)
def test_tags(text: str, html: str) -> None:
    assert html in render(text)


@pytest.mark.parametrize(
    ("text", "html"),
    [
        (
            "**注意：**これは**「重要」**です",
            "<strong>注意：</strong>これは<strong>「重要」</strong>です",
        ),
        ("한국어는 **굵게(bold)**를", "<strong>굵게(bold)</strong>를"),
        ("这是**“重要”**的", "<strong>“重要”</strong>的"),
        ("*10%*です。~~（旧）~~新", "<em>10%</em>です。<s>（旧）</s>新"),
        ("2** 3**個", "2** 3**個"),
        ("日本_「語」_で", "日本_「語」_で"),
        ("a**(b)**c", "a**(b)**c"),
        ("a**🎉**b", "a**🎉**b"),
        ("[これ**「x」**](https://e.org)「", "<strong>「x」</strong></a>"),
    ],
)
def test_emphasis_beside_chinese_japanese_and_korean(text: str, html: str) -> None:
    assert html in render(text)


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("[x](#part)", f"<a {REL}>x</a>"),
        ("[x](a.md 't')", f'<a title="t" {REL}>x</a>'),
        ("[x](sandbox:/mnt/a.csv)", f"<a {REL}>x</a>"),
        ("![x](a.png) ![](b.png)", f"<a {REL}>x</a> <a {REL}>b.png</a>"),
        ("[x](other:a)", "<p>[x](other:a)</p>"),
        ("[Ann]: Hello", "<p>[Ann]: Hello</p>"),
        ("a[^1]\n\n[^1]: Note", "<p>a[^1]</p>\n<p>[^1]: Note</p>"),
    ],
)
def test_links_that_lead_nowhere_show_their_text(text: str, html: str) -> None:
    assert html in render(text)


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("• a\n  • b\n• c", "<ul>\n<li>a\n<ul>\n<li>b</li>\n</ul>\n</li>\n<li>c</li>\n</ul>\n"),
        ("a\n•\tb", "<p>a</p>\n<ul>\n<li>b</li>\n</ul>\n"),
        ("> • a", "<blockquote>\n<ul>\n<li>a</li>"),
        ("a • b\n•c", "<p>a • b\n•c</p>\n"),
        ("```\n• a\n```", ">• a\n</code>"),
        ("    • a", ">• a\n</code>"),
        ("a\n     • b", "<p>a\n• b</p>"),
        ("- a\n         • b", "<li>a\n• b</li>"),
        ("- ```\n  • a\n  ```", ">• a\n</code>"),
        ("- x\n\n  • a|b\n  -|-", ">• a</th>"),
        ("$$\n• a\n$$", "\n• a\n"),
        ("##Title", '<h2 class="jp-toc-ignore">Title</h2>\n'),
        ("a\n###見出し ##", '<p>a</p>\n<h3 class="jp-toc-ignore">見出し</h3>\n'),
        ("##a##", '<h2 class="jp-toc-ignore">a</h2>\n'),
        ("##F#", '<h2 class="jp-toc-ignore">F#</h2>\n'),
        ("#tag", "<p>#tag</p>\n"),
        ("#######a", "<p>#######a</p>\n"),
    ],
)
def test_markers(text: str, html: str) -> None:
    assert html in render(text)


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("> [!NOTE]\n> a *b*", "<p><strong>Note</strong><br>\n\na <em>b</em></p>"),
        ("> [!warning]\n>\n> a", "<p><strong>Warning</strong><br>\n</p>\n<p>a</p>"),
        ("- > [!TIP]\n  > a", "<p><strong>Tip</strong><br>\n\na</p>"),
        ("> [!NOTE] a", "<p>[!NOTE] a</p>"),
        ("> [!OTHER]\n> a", "<p>[!OTHER]\na</p>"),
        ("> a\n>\n> [!NOTE]\n> b", "<p>[!NOTE]\nb</p>"),
        ("> `[!NOTE]`\n> a", "<code>[!NOTE]</code>"),
    ],
)
def test_alerts(text: str, html: str) -> None:
    assert html in render(text)


@pytest.mark.parametrize(
    ("row", "cells"),
    [
        ("|`x|y`|z|", ["<code>x|y</code>", "z"]),
        ("|$|x|$|z|", ['<span class="mathjax_process tex2jax_process">\\(|x|\\)</span>', "z"]),
        ("a|\\(x|y\\)", ["a", '<span class="mathjax_process tex2jax_process">\\(x|y\\)</span>']),
        ("|``a`|b``|c|", ["<code>a`|b</code>", "c"]),
        ("|`x\\|y`|z|", ["<code>x|y</code>", "z"]),
        ("|`|`|", ["`", "`"]),
        ("|`a|b`|c|d|", ["`a", "b`"]),
        ("|a|b|c|", ["a", "b"]),
    ],
)
def test_cells(row: str, cells: list[str]) -> None:
    html = render(f"|a|b|\n|-|-|\n{row}\n")
    assert re.findall(r"<td[^>]*>(.*)</td>", html) == cells


def test_a_url_in_a_link_is_one_link() -> None:
    assert render("[https://a.org](https://e.org)").count("<a ") == 1


# Code


def test_code_has_colours_but_for_the_last_line_of_an_open_fence() -> None:
    closed = render("```python\nprint('<b>')\n```")
    assert '<span class="nb">print</span>' in closed
    assert "'&lt;b&gt;'" in closed
    assert render("```python\nprint('<b>')\n") == closed
    assert "<span" not in render("```python\nprint('<b>')")


def test_chunks_of_code_have_the_colours_of_the_whole() -> None:
    """A chunk ends at no line of a text or a comment, though that seems to be a statement."""
    one = 'def one():\n    """Text.\n' + "x = 1\n" * 200 + '"""\n    return 1\n\n'
    text = one + "def two():\n    return 'a'\n\n" * 80
    assert len(code.ended_chunks("python", text)) > 2
    assert code.coloured("python", text, is_open=False) == code._highlighted("python", text)


@pytest.mark.parametrize("language", ["nothing-like-this", "", "text"])
def test_unknown_languages_have_no_colours(language: str) -> None:
    assert "<span" not in render(f"```{language}\nprint(1)\n```")


@pytest.mark.parametrize("text", ["1 " * 600 + "\n", "1" + "\n" * 200, '"""' + "a\n" * 11_000])
def test_very_long_code_has_no_colours(text: str) -> None:
    assert "<span" not in render(f"```python\n{text}```")


def test_chunks_of_yaml_begin_with_lines_that_are_not_indented() -> None:
    text = "a:\n" + "    - b: 1\n      c: |\n        text\n" * 20 + "d: 2\n" + "e:\n  - f\n" * 20
    first, *_ = code.ended_chunks("yaml", text)
    assert text[len(first) :].startswith("d: 2")
    assert code.coloured("yaml", text, is_open=False) == code._highlighted("yaml", text)


def test_the_end_of_very_long_code_has_no_colours() -> None:
    coloured = render("```python\n" + "print(1)\n" * 3_000 + "```").count('"nb"')
    assert 20_000 / 9 < coloured < 24_000 / 9


def test_code_that_takes_a_lexer_long_has_no_colours() -> None:
    assert "<span" not in render("```csharp\n" + "x\n" * 9000 + "```")


def test_every_language_is_known() -> None:
    for language in code._LANGUAGES:
        assert code._highlighted(language, "a = 1\n")


@pytest.mark.parametrize(
    ("text", "is_closed"),
    [
        ("```\na\n```", True),
        ("```\na\n````  ", True),
        ("~~~\na\n~~~", True),
        ("   ```\na\n   ```", True),
        ("- ```\n  a\n  ```", True),
        ("> ```\n> a\n> ```", True),
        ("```\n```", True),
        ("```", False),
        ("```\na", False),
        ("```\na\n``", False),
        ("````\na\n```", False),
        ("```\na\n~~~", False),
        ("```\na\n    ```", False),
        ("```\na\n``` x", False),
        ("- ```\n  a\n\nb", False),
        ("> ```\n> a\nb", False),
    ],
)
def test_whether_a_fence_is_closed(text: str, *, is_closed: bool) -> None:
    (fence,) = (token for token in parse_blocks(text, {}) if token.type == "fence")
    assert fence.meta["closed"] is is_closed


@given(
    st.sampled_from("python js bash html json yaml sql diff console pycon rst tex c".split()),
    st.text(st.sampled_from("ab \n\t'\"<>&(){}$#/\\-+=0é\x0c\u2028"), max_size=60),
)
def test_colours_lose_no_character(language: str, text: str) -> None:
    text += "\n"  # as all code in a closed fence
    assert unescape(re.sub(r"<[^>]*>", "", code._highlighted(language, text))) == text


# CommonMark

# The numbers of the examples that we render in another way than markdown-it-py.
MATH = {12}  # \\[…\\] is a formula
BARE_URLS = {602, 608, 611}  # a URL is a link without < and >
NO_CLASS = {144}  # a fence's language is a word
TAGS = {166, 168, 177, 183, 308, 309, 625, 626}  # comments are left out, and <del> is no text
IN_LINK = {517}  # an image in a link is its description alone


def reference(text: str) -> str:
    """markdown-it-py's output with our rules of safety.

    Raw HTML is escaped, only http, https and mailto links are links, and images are links.
    """
    parser = MarkdownIt("js-default", {"html": True, "maxNesting": 100}).disable("html_block")
    parser.add_render_rule("html_inline", lambda _, tokens, i, *__: escapeHtml(tokens[i].content))
    parser.validateLink = links.is_safe_or_local  # type: ignore[method-assign]
    parser.block.ruler.at("reference", links.reference_rule)

    def as_link(image: re.Match[str]) -> str:
        return f'<a href="{image[1]}">{image[2] or image[1]}</a>'

    image = r'<img src="([^"]*)" alt="([^"]*)"(?: title="[^"]*")?>'
    return re.sub(
        r' href="(?!(?i:https?:|mailto:))[^"]*"', "", re.sub(image, as_link, parser.render(text))
    )


def without_styles(html: str) -> str:
    """The HTML without what we add: styles, colours, and what keeps links safe."""
    html = re.sub(r' (?:style|rel|target)="[^"]*"', "", html)
    html = re.sub(r' class="(?:highlight|jp-toc-ignore)"', "", html).replace(' highlight"', '"')
    return re.sub(r"</?span[^>]*>", "", html).replace("&#39;", "'")


def test_the_specification_is_rendered_as_by_markdown_it() -> None:
    differ = {
        number
        for number, text in enumerate(examples(), 1)
        if without_styles(render(text)) != reference(text)
    }
    assert differ == MATH | BARE_URLS | NO_CLASS | IN_LINK | TAGS


# Attacks


@pytest.mark.parametrize("attack", ATTACKS)
def test_attacks_are_text(attack: str) -> None:
    assert_harmless(render(attack))
    assert_harmless(render(f"- a\n\n  {attack}\n\n> {attack}\n\n| {attack} |\n|---|\n| {attack} |"))


@given(
    st.lists(
        st.sampled_from(
            [*ATTACKS, "`", "```", "~~~\n", "$$\n", "\\[\n", "\n", "|", "[", "](", "<", '"', " "]
        ),
        max_size=6,
    )
)
def test_combined_attacks_are_text(parts: list[str]) -> None:
    assert_harmless(render("".join(parts)))


def test_deep_nesting_loses_nothing() -> None:
    deep = "".join(f"{'  ' * level}- level {level}\n" for level in range(20))
    rendered = render(deep + "\nafter")
    assert all(f"level {level}" in rendered for level in range(20))
    assert "after" in rendered


def test_threads_share_rules_that_are_compiled() -> None:
    parser = _make_parser()
    for ruler in (parser.core.ruler, parser.block.ruler, parser.inline.ruler, parser.inline.ruler2):
        assert ruler.__cache__ is not None


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("سلام", '<p dir="rtl">سلام</p>'),
        ("**1.** שלום, world", '<p dir="rtl">'),
        ("Hello, שלום", "<p>"),
        ("- عنصر\n- two", '<ul dir="rtl">\n<li>عنصر</li>\n<li>two</li>'),
        ("- one\n- عنصر", "<ul>"),
        ("> اقتباس", '<blockquote dir="rtl">\n<p>'),
        ("|الاسم|b|\n|-|-|\n|1|2|", '<table dir="rtl">'),
        ("# عنوان", '<h1 dir="rtl">'),
        ("```\nعنصر\n```", "<pre>"),
    ],
)
def test_the_first_letter_of_a_block_says_from_which_side_it_is_written(
    text: str, html: str
) -> None:
    assert re.sub(' (?:style|class)="[^"]*"', "", render(text)).startswith(html)
