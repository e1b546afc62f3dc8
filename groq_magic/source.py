"""The Markdown of an answer as it is given away: safe in renderers that allow HTML.

JupyterLab is one: in its own Markdown ``<img onerror>`` runs, and an attribute in a code
fence's info string becomes one of the element.
"""

from __future__ import annotations

import re

from .dialect import fenced_lines, with_lf


def safe_source(text: str) -> str:
    """The Markdown of an answer, safe in a renderer that allows HTML.

    Outside code ``<`` is written as an entity where it could begin a tag, and links and
    images are kept only as links to http, https and mailto. What counts as code are
    fences, and code spans of which no two renderers could think differently.

    >>> safe_source("`<b>` <b>")
    '`<b>` &lt;b>'
    """
    text = with_lf(text)
    code = fenced_lines(text)
    lines, is_plain = [], True
    for number, line in enumerate(text.split("\n")):
        if number in code:
            lines.append(line)
            continue
        line = _FENCE.sub(_with_plain_info, line)  # noqa: PLW2901
        # A span that an earlier line of the paragraph began could end in this one.
        is_plain = (is_plain or not line.strip()) and _has_plain_code(line)
        lines.append(_neutral_but_code(line) if is_plain else _neutral(line))
    return "\n".join(lines)


_CODE_SPAN = re.compile(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)")


def _has_plain_code(line: str) -> bool:
    """Whether each backtick is of a code span within the line, without a doubt.

    A ``|`` might part cells, a backslash take a backtick's meaning, a URL take it in.
    """
    if "`" not in line:
        return True
    if re.search(r"[|\\$]", line) or "`" in _CODE_SPAN.sub("", line):
        return False
    return not re.search(r"(?:://|www\.|[@<])[^\s`]*`", _CODE_SPAN.sub("`", line))


def _neutral_but_code(line: str) -> str:
    spans = [match.span() for match in _CODE_SPAN.finditer(line)]
    done, parts = 0, []
    for start, end in spans:
        parts += [_neutral(line[done:start]), line[start:end]]
        done = end
    return "".join(parts) + _neutral(line[done:])


def _neutral(line: str) -> str:
    line = re.sub(r"<(?=[A-Za-z/!?])", "&lt;", line)
    line = line.replace("![", "&#33;[")
    return re.sub(r"\](\(|:)(?!\s*(?:https?|mailto):)", r"]\\\1", line, flags=re.IGNORECASE)


_FENCE = re.compile(r"^([\s>*+.)\d-]*(?:`{3,}(?=[^`]*$)|~{3,}))(.*)$")


def _with_plain_info(fence: re.Match[str]) -> str:
    return fence[1] + re.sub(r"[^\w+#. {}-]", "", fence[2])
