"""What hostile text tries, and what a rendering may consist of."""

from __future__ import annotations

import re
from html.parser import HTMLParser

CANARY = "globalThis.canary=1"

_SCHEMES = [
    f"javascript:{CANARY}",
    f"JaVaScRiPt:{CANARY}",
    f"&#106;avascript:{CANARY}",
    f"&#x6A;&#x61;vascript:{CANARY}",
    f"java&#10;script:{CANARY}",
    f"java&Tab;script:{CANARY}",
    f"javascript&colon;{CANARY}",
    f"\\javascript:{CANARY}",
    f"java\\script:{CANARY}",
    f"\x01javascript:{CANARY}",
    f"%6Aavascript:{CANARY}",
    f"vbscript:{CANARY}",
    f"data:text/html,<script>{CANARY}</script>",
    f"data:text/html;base64,{CANARY}",
    f"data:image/svg+xml,<svg onload={CANARY}>",
    f"data:image/png,{CANARY}",
    "blob:https://evil.example/1",
    "file:///etc/passwd",
    "command:workbench.action",
    "//evil.example/x",
    "/\\evil.example/x",
    "/lab/tree?reset",
    "feed:javascript:1",
    "view-source:x",
]

_HTML = [
    f"<script>{CANARY}</script>",
    f"<SCRIPT SRC=//evil.example/x.js>{CANARY}</SCRIPT>",
    f"<scr<script>ipt>{CANARY}</script>",
    f"<img src=x onerror={CANARY}>",
    f'<img src="x" onerror="{CANARY}"',
    f"<svg/onload={CANARY}>",
    f"<svg><animate onbegin={CANARY} attributeName=x dur=1s>",
    f"<math><mi xlink:href='javascript:{CANARY}'>x</mi></math>",
    f"<body onload={CANARY}>",
    f"<details open ontoggle={CANARY}>",
    f"<input autofocus onfocus={CANARY}>",
    f"<video><source onerror={CANARY}></video>",
    f"<iframe srcdoc='<script>{CANARY}</script>'></iframe>",
    "<iframe src=https://evil.example></iframe>",
    "<link rel=stylesheet href=https://evil.example/x.css>",
    "<style>@import 'https://evil.example/x.css'</style>",
    "<base href=https://evil.example/>",
    "<meta http-equiv=refresh content='0;url=https://evil.example'>",
    f"<a href=javascript:{CANARY}>x</a>",
    f"<form action=javascript:{CANARY}><button>x</button></form>",
    "<object data=https://evil.example></object>",
    "</div></div></details><div class=evil>",
    "</code></pre></p></td></table>",
    "<div",
    "<!-- -->",
    "<!--><script>-->",
    f"<!-- --!><img src=x onerror={CANARY}> -->",
    f"<b onclick={CANARY}>x</b>",
    f'<b><i x="</b><img src=x onerror={CANARY}>"></i></b>',
    "<sub></p></div></sub>",
    "<br onload=x>",
    "<![CDATA[x]]>",
    "<?php x ?>",
    "<!DOCTYPE html>",
    f"<x onclick={CANARY}>",
    "&lt;script&gt;",
]

_MARKDOWN = [
    "![x](https://evil.example/?q=1)",
    "![x][e]\n\n[e]: https://evil.example/?q=1",
    "[![x](https://evil.example/i)](https://evil.example)",
    f'[x](https://e.org "\\" onmouseover=\\"{CANARY}")',
    f"[x](https://e.org '\" onmouseover=\"{CANARY}')",
    f'[x](<https://e.org/" onmouseover="{CANARY}>)',
    f'<https://e.org/"onmouseover="{CANARY}>',
    f'https://e.org/"onmouseover="{CANARY}',
    f'```a" onload="{CANARY}\nb\n```',
    f"```html\n<script>{CANARY}</script>\n```",
    f"~~~<img src=x onerror={CANARY}>\nb\n~~~",
    f"```python\n'''<img src=x onerror={CANARY}>'''\n```",
    f"`<img src=x onerror={CANARY}>`",
    f"`` ` <img src=x onerror={CANARY}> ``",
    f"`a | <img src=x onerror={CANARY}>`",
    f"\\`<img src=x onerror={CANARY}>\\`",
    f"`a\n<img src=x onerror={CANARY}>`",
    f"    <img src=x onerror={CANARY}>",
    f"$<img src=x onerror={CANARY}>$",
    f"$$\n<img src=x onerror={CANARY}>\n$$",
    f"\\(<img src=x onerror={CANARY}>\\)",
    f"\\[</div><img src=x onerror={CANARY}>\\]",
    f"\\begin{{align}}<img src=x onerror={CANARY}>\\end{{align}}",
    f"$\\href{{javascript:{CANARY}}}{{x}}$",
    f"$$\n~~~\n$$\n~~~\n<img src=x onerror={CANARY}>",
    f"\\[\n```\n\\]\n```\n<img src=x onerror={CANARY}>",
    *(
        f"```\na\n```{end}\n<img src=x onerror={CANARY}>\n```"
        for end in (" `", "\t", "\v", " \u2028")
    ),
    "```mermaid\ngraph TD\nA[\"<img src='https://evil.example/'>\"]\n```",
    "\\input{/etc/passwd} \\immediate\\write18{id}",
    "\\end{Verbatim}\n\\input{/etc/passwd}",
    *(f"a{end}.. include:: /etc/passwd{end}# a" for end in "\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"),
    f"https://e.org/`<img src=x onerror={CANARY}>`",
    f"www.e.org/`<img src=x onerror={CANARY}>`",
    f"a@e.org`<img src=x onerror={CANARY}>`",
    f"<https://e.org/`<img src=x onerror={CANARY}>`>",
    f"- [x] <img src=x onerror={CANARY}>",
    f"|<img src=x onerror={CANARY}>|\n|-|\n|<svg/onload={CANARY}>|",
    f"# <img src=x onerror={CANARY}>",
    f"[<img src=x onerror={CANARY}>](https://e.org)",
    f"![<img src=x onerror={CANARY}>](https://e.org)",
    f"[a]: https://e.org '<img src=x onerror={CANARY}>'\n\n[a]",
]

# TeX that reaches beyond its formula: into others of the page, over its text, or into the tab.
UNSAFE_TEX = [
    r"\let\le\ge \def\sin{\cos}",
    r"\gdef\sin{\cos}",
    r"\newcommand{\sin}{\cos}",
    r"\renewcommand{\sin}{\cos}",
    r"\newenvironment{align}{}{}",
    r"\DeclareMathOperator{\sin}{cos}",
    r"\require{html}",
    r"\href{https://evil.example}{\rule{50em}{50em}}",
    r"\url{https://evil.example}",
    r"\class{groq-answer}{x}",
    r"\cssId{site}{x}",
    r"\style{position: fixed}{x}",
    r"\label{x}",
    r"\ref{x}",
    r"\unicode{x202e}",
    r"\smash{x}",
    r"\rlap{\raise{9em}{\text{Key: valid}}}",
    r"\llap{x}",
    r"\mathrlap{x}",
    r"\lower{9em}{x}",
    r"\rule{9em}{9em}",
    r"\kern-99em x",
    r"\mkern-999mu x",
    r"\hskip-99em x",
    r"\hspace{-99em} x",
    r"\mspace{-999mu} x",
    r"\negthinspace x",
    r"\!" * 17 + "x",
    r"\genfrac{}{}{99em}{}{a}{b}",
    r"\above 99em",
    r"\bbox[padding: 99em]{x}",
    r"\enclose{box}[mathbackground=red]{x}",
    r"\cancel[mathbackground=red]{x}",
    r"\color{red;position:fixed}x",
    r"\text{\href{https://evil.example}{x}}",
    r"\ce{A \href{https://evil.example}{x}}",
    r"\begin{matrix}a\\[99em]b\end{matrix}",
    r"\begin{matrix}a\\[-9em]b\end{matrix}",
    r"\begin{matrix}a\\ * [99em]b\end{matrix}",
    r"\begin{array}{@{\hskip-99em}c}x\end{array}",
    r"\begin{array}{p{99em}}x\end{array}",
    r"\begin{evil}x\end{evil}",
    r"\begin {evil}x\end {evil}",
    r"x^^5cdef",
    "x %",
    "{x",
    "x}{",
    r"\left( x",
    r"{\left(}\right)",
    r"\sqrt{" * 112 + "}" * 112,
    r"\left(" * 112 + r"\right)" * 112,
    "x" + "^{x" * 112 + "}" * 112,
    r"\begin{matrix}" * 112 + r"\end{matrix}" * 112,
    r"\displaystyle" * 112 + " x",
    r"\color{red}" * 112 + " x",
    "x" * 4001,
]

ATTACKS = [
    *_HTML,
    *_MARKDOWN,
    *(f"${tex}$" for tex in UNSAFE_TEX),
    *(f"$$\n{tex}\n$$" for tex in UNSAFE_TEX),
    *(f"[x]({url})" for url in _SCHEMES),
    *(f"[x](<{url}>)" for url in _SCHEMES),
    *(f"[x]\n\n[x]: {url}" for url in _SCHEMES),
    *(f"![x]({url})" for url in _SCHEMES),
    *(f"<{url}>" for url in _SCHEMES),
]

_ALLOWED = {
    **dict.fromkeys("em strong s hr br thead tbody tr".split(), ()),
    "ul": ("dir",),
    "blockquote": ("dir", "style"),
    **dict.fromkeys("sub sup kbd b i u mark small del".split(), ()),
    "p": ("hidden", "dir", "style"),
    **dict.fromkeys("h1 h2 h3 h4 h5 h6".split(), ("class", "dir")),
    "ol": ("start", "dir"),
    "li": ("style",),
    "a": ("href", "title", "rel", "target"),
    "pre": ("style",),
    "code": ("class", "style"),
    "span": ("class",),
    "div": ("class", "style"),
    "table": ("style", "dir"),
    "th": ("style",),
    "td": ("style",),
    "input": ("type", "disabled", "checked", "style"),
}
_VALUES = {
    "href": r"(?:https?:|mailto:).*",
    "rel": "noopener noreferrer nofollow",
    "target": "_blank",
    "type": "checkbox",
    "start": r"\d+",
    "hidden": "",
    "dir": "rtl",
    "class": r"[^<>\"']*",
    "style": r"[a-z0-9 .:;,#()-]*",
}


class _Checker(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self._open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in _ALLOWED, tag
        for name, value in attrs:
            assert name in _ALLOWED[tag], (tag, name)
            if name in _VALUES:
                assert re.fullmatch(_VALUES[name], value or "", re.DOTALL | re.IGNORECASE), (
                    name,
                    value,
                )
        if tag not in ("br", "hr", "input"):
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def close(self) -> None:
        super().close()
        assert self._open == []

    def handle_comment(self, data: str) -> None:
        raise AssertionError(data)

    def handle_decl(self, decl: str) -> None:
        raise AssertionError(decl)

    def handle_pi(self, data: str) -> None:
        raise AssertionError(data)

    def unknown_decl(self, data: str) -> None:
        raise AssertionError(data)


def assert_harmless(html: str) -> None:
    """No element, attribute or link but the allowed ones."""
    checker = _Checker()
    checker.feed(html)
    checker.close()
