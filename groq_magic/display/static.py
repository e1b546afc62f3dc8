"""The output that stays in the notebook."""

from __future__ import annotations

import json
import re
from typing import Any

from groq_magic.answer import Answer
from groq_magic.errors import printable
from groq_magic.markdown import render

from .beside import encodable, json_fence, metadata, plain_beside
from .status import DIM, RULE, Status, shown_reasoning

# nbconvert indents the HTML line by line for rst, which runs what follows another line end.
# NEL has no reference of its own.
_LINE_ENDS = {ord(end): f"&#{ord(end)};" for end in "\r\v\f\x1c\x1d\x1e\u2028\u2029"}
_LINE_ENDS[0x85] = "&#10;"
# MathJax, whose version 2 is in nbconvert's pages, typesets our formulas but no prices.
_CLASSES = "groq-answer mathjax_ignore tex2jax_ignore"
# Not JupyterLab's jp-RenderedHTMLCommon, which the output has there anyway: the widgets of other
# hosts bring its styles with light colours, whatever the theme. It halves the last margin.
_TEXT_CLASS = "jp-RenderedMarkdown"
_LAST_MARGIN = re.compile(r"</(?:p|ul|ol|blockquote)>\s*\Z")
# JupyterLab's headings, a size smaller than the notebook's own; controls.css has them, too.
_SIZES = {5: "1.728em", 4: "1.44em", 3: "1.2em", 2: "1.1em", 0: "1em"}
_HEADING_SIZES = ";".join(f"--jp-content-font-size{n}:{size}" for n, size in _SIZES.items())
_TEXT_STYLE = f"overflow-wrap:break-word;{_HEADING_SIZES}"
# The values that the API itself names.
_WORDS = ["none", "default", "minimal", "low", "medium", "high", "parsed", "raw", "hidden"]
_WORDS += ["auto", "on_demand", "flex", "performance", "required"]


def static_bundle(
    answer: Answer, text: str | None = None, reasoning: str | None = None
) -> tuple[dict[str, str], dict[str, Any]]:
    """The output's data by mime type, and its metadata.

    ``text`` and ``reasoning`` are their HTML, if they are rendered already. There is no Markdown
    in the output: renderers disagree on what is code, and exports to LaTeX run TeX commands.
    """
    text = _text_html(answer) if text is None else text
    reasoning = render(shown_reasoning(answer)) if reasoning is None else reasoning
    data = {
        "text/html": _static_html(answer, text, reasoning),
        "text/plain": plain_text(answer),
    }
    return data, {"groq": _metadata(answer)}


def plain_text(answer: Answer) -> str:
    """The answer's Markdown as it came, between its tools and its calls."""
    tools, calls = plain_beside(answer)
    return printable("\n\n".join(filter(None, [tools, answer.text, calls])))


def _text_html(answer: Answer) -> str:
    before, after = json_fence(answer)
    return render(before + answer.text + after)


def _static_html(answer: Answer, text: str, reasoning: str) -> str:
    status = Status.of(answer)
    thought = _thought_html(status.thought, reasoning) if status.thought else ""
    parts = (status.header, thought, status.tools, _boxed(text), status.calls, status.note)
    whole = f'<div class="{_CLASSES}">{"".join(parts)}</div>'
    # In the Markdown that nbconvert makes, a blank line would end the HTML.
    return re.sub(r"\n(?=[^\S\n]*\n)", "&#10;", whole.translate(_LINE_ENDS))


def _thought_html(summary: str, reasoning: str) -> str:
    size = "font-size:13px;line-height:1.6"
    box = f"max-height:20em;overflow:auto;{RULE}"
    return (
        f'<details style="{size};margin:0 0 6px;{DIM}"><summary>{summary}</summary>'
        f'<div style="{box}">{_boxed(reasoning)}</div></details>'
    )


def _boxed(markdown: str) -> str:
    margin = ";margin-bottom:-.5em" if _LAST_MARGIN.search(markdown[-40:]) else ""
    return f'<div class="{_TEXT_CLASS}" style="{_TEXT_STYLE}{margin}">{markdown}</div>'


def _metadata(answer: Answer) -> dict[str, Any]:
    """How the answer was made, without the key, the prompt and secrets in parameters."""
    first = answer.time_to_first_token
    made = {
        "model": answer.model,
        "parameters": dict(filter(_is_plain, answer.parameters.items())),
        "state": answer.state,
        "finish_reason": answer.finish_reason,
        "request_id": answer.request_id,
        "seed": answer.seed,
        "system_fingerprint": answer.system_fingerprint,
        "service_tier": answer.service_tier,
        "usage": answer.usage.to_dict() if answer.usage else None,
        "cost_usd": answer.cost,
        "seconds": round(answer.seconds, 3),
        "time_to_first_token": None if first is None else round(first, 3),
        "error": str(answer.error) if answer.error else None,
        "note": answer.note or None,
        **metadata(answer),
    }
    known = {name: value for name, value in made.items() if value is not None}
    return dict(json.loads(encodable(json.dumps(known, ensure_ascii=False))))


def _is_plain(parameter: tuple[str, object]) -> bool:
    """Whether it holds no text of the user's own: tools or a stop may hold a secret."""
    name, value = parameter
    return name == "model" or isinstance(value, int | float) or value in _WORDS
