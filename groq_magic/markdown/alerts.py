"""GitHub's alerts: a quote whose first line is ``[!NOTE]``, or one of four other kinds.

https://docs.github.com/en/get-started/writing-on-github/getting-started-with-writing-and-formatting-on-github/basic-writing-and-formatting-syntax#alerts
"""

from __future__ import annotations

import re

from markdown_it.rules_core import StateCore
from markdown_it.token import Token

_KIND = re.compile(r"\[!(NOTE|TIP|IMPORTANT|WARNING|CAUTION)\]", re.IGNORECASE)


def alerts_rule(state: StateCore) -> None:
    """The kind is a title of its own line in place of its source."""
    for quote, inline in zip(state.tokens, state.tokens[2:], strict=False):
        children = inline.children or []
        if quote.type != "blockquote_open" or not children or children[0].type != "text":
            continue
        found = _KIND.fullmatch(children[0].content)
        if found and [token.type for token in children[1:2]] in ([], ["softbreak"]):
            children[0].content = found[1].capitalize()
            title = [
                Token("strong_open", "strong", 1),
                children[0],
                Token("strong_close", "strong", -1),
            ]
            rest = [Token("hardbreak", "br", 0), *children[2:]] if children[2:] else []
            inline.children = [*title, *rest]
