"""What an answer holds beside its text: tools that the server ran, calls, sources.

HTML in which all that a model or a server wrote is escaped, and the same as plain text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from html import escape
from typing import Any, NamedTuple

from groq_magic.answer import Answer
from groq_magic.errors import ParseError, printable
from groq_magic.markdown import render
from groq_magic.wire.protocol import ToolCall
from groq_magic.wire.sources import Source, sources_in

_LONGEST_SHOWN = 20_000  # characters of a call's arguments, of code and of an output
_MOST_TOOLS = 100
_MOST_IMAGES = 8
_LARGEST_IMAGE = 2_000_000  # characters of base64
_LARGEST_METADATA = 20_000  # characters
_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}")
_DATA_URL = re.compile(r"data:image/(png|jpeg|webp|gif);base64,([A-Za-z0-9+/]+={0,2})")
_IMAGES = ("png", "jpeg", "webp", "gif")
_FENCE = "~" * 8
_SEARCHES = ("search", "browser_search", "web_search", "browser.search")
_RUNS = ("python", "code_interpreter")
_READS = ("browser.open", "browser.find", "visit", "visit_website")
_QUIET = "font-size:13px;line-height:1.6;margin:0 0 6px"
_SCROLLS = "white-space:pre-wrap;max-height:20em;overflow:auto;margin:0 0 6px"


class Beside(NamedTuple):
    """HTML or plain text, empty where there is nothing to show."""

    tools: str
    """Above the text: what the server did for the answer."""
    calls: str
    """Below the text: what the model asks for, its sources, and what the server refused."""


def beside(answer: Answer) -> Beside:
    """What ``answer`` holds beside its text now."""
    calls = [_code(_call_text(call), "javascript") for call in _calls(answer)]
    tools = "".join(map(_tool_html, _tools(answer)))
    below = "".join(calls) + _sources_html(answer.sources) + _refused_html(answer)
    return Beside(encodable(tools), encodable(below))


def json_fence(answer: Answer) -> tuple[str, str]:
    """What makes a code block of a text that is JSON, before and after it; mostly empty.

    A text is JSON if the request asks for it, or if all of it is an object or an array.
    """
    if not (asks_for_json(answer) or (answer.ended and _is_json(answer.text))):
        return "", ""
    return f"{_FENCE}json\n", ("" if answer.text.endswith("\n") else "\n") + _FENCE


def asks_for_json(answer: Answer) -> bool:
    """Whether the request's ``response_format`` is JSON."""
    match answer.parameters.get("response_format"):
        case {"type": "json_object" | "json_schema"}:
            return True
    return False


def plain_beside(answer: Answer) -> Beside:
    """The same as plain text: a line for each tool and source, and each call."""
    calls = map(_call_text, _calls(answer))
    sources = [f"[{n}] {title}: {url}" for n, (title, url) in enumerate(answer.sources, 1)]
    below = "\n\n".join(filter(None, [*calls, "\n".join(sources)]))
    return Beside(encodable("\n".join(map(_tool_line, _tools(answer)))), encodable(below))


def metadata(answer: Answer) -> dict[str, Any]:
    """The calls, tools, sources and what was refused; what is too large for a file is cut."""
    calls = [{"id": c.id, "name": c.name, "arguments": c.arguments} for c in _calls(answer)]
    tools = [dict(tool) for tool in _tools(answer)]
    if not _fits_a_file([calls, tools]):
        calls = [{**call, "arguments": call["arguments"][:200]} for call in calls[:_MOST_TOOLS]]
        tools = [{"type": _type(tool), "query": _argument(tool)[:200]} for tool in _tools(answer)]
    sources = [source._asdict() for source in answer.sources]
    refused = (answer.failed_generation or "")[:_LONGEST_SHOWN]
    made = {
        "tool_calls": calls,
        "executed_tools": tools,
        "sources": sources,
        "failed_generation": refused,
    }
    return {name: value for name, value in made.items() if value}


def _fits_a_file(value: object) -> bool:
    try:
        return len(json.dumps(value, allow_nan=False)) <= _LARGEST_METADATA
    except (ValueError, RecursionError):  # NaN, or lists in lists in lists
        return False


def encodable(text: str) -> str:
    """The text with "?" for each half of a character: no message and no file can hold one."""
    return text.encode(errors="replace").decode()


def running_tool(answer: Answer) -> str:
    """What the server does now, in words; empty where no tool runs."""
    tool = next(reversed(_tools(answer)), None)
    if answer.ended or answer.text or tool is None or _has_ended(tool):
        return ""
    if _type(tool) in _READS:
        return "reading a page"
    return "searching the web" if _type(tool) in _SEARCHES else f"running {_name(tool)}"


# ---- Calls ----


def _calls(answer: Answer) -> list[ToolCall]:
    return [call for _, call in sorted(answer.tool_calls.items())]


def _call_text(call: ToolCall) -> str:
    """``name({…})`` with the arguments in lines; incomplete ones as they are."""
    try:
        given = call.parse()
    except ParseError:
        arguments = call.arguments
    else:
        arguments = json.dumps(given, indent=2, ensure_ascii=False) if given else ""
    return f"{_line(call.name)}({arguments[:_LONGEST_SHOWN]})"


@lru_cache(maxsize=32)  # a live view shows the same code again and again
def _code(code: str, language: str) -> str:
    return render(f"{_FENCE}{language}\n{printable(code)}\n{_FENCE}")


def _is_json(text: str) -> bool:
    if text.lstrip()[:1] not in ("{", "[") or len(text) > 1_000_000:
        return False
    try:
        return isinstance(json.loads(text), dict | list)
    except (ValueError, RecursionError):
        return False


# ---- Tools that the server ran ----


def _tools(answer: Answer) -> list[Mapping[str, Any]]:
    tools = answer.executed_tools.copy()
    return [tools[index] for index in list(tools)[:_MOST_TOOLS]]


def _type(tool: Mapping[str, Any]) -> str:
    return _line(tool.get("type"))


def _name(tool: Mapping[str, Any]) -> str:
    return "Python" if _type(tool) in _RUNS else _type(tool) or "a tool"


def _line(text: Any) -> str:
    """A text of one line without control characters; empty for any other value."""
    return " ".join(printable(text[:300]).split()) if isinstance(text, str) else ""


def _has_ended(tool: Mapping[str, Any]) -> bool:
    return bool(_output(tool) or sources_in([tool], []) or tool.get("code_results"))


def _output(tool: Mapping[str, Any]) -> str:
    output = tool.get("output")
    return output[:_LARGEST_IMAGE] if isinstance(output, str) else ""


def _argument(tool: Mapping[str, Any]) -> str:
    """The query of a search, the code of a run, or the arguments as they were sent."""
    sent = tool.get("arguments")
    sent = sent[:_LONGEST_SHOWN] if isinstance(sent, str) else ""
    try:
        given = json.loads(sent)
    except (ValueError, RecursionError):
        return sent
    texts = given.values() if isinstance(given, dict) else ()
    return next((text for text in texts if isinstance(text, str)), sent)


def _said(tool: Mapping[str, Any]) -> tuple[str, str, str]:
    """What the tool did, with what, and what that gave."""
    argument = _argument(tool)
    if _type(tool) in _SEARCHES:
        found = len(sources_in([tool], []))
        verb = "Searched the web: " if _has_ended(tool) else "Searches the web: "
        return verb, _line(argument), _count(found, "result") if _has_ended(tool) else ""
    if _type(tool) in _READS:
        return ("Read a page" if _has_ended(tool) else "Reads a page"), "", ""
    verb = "Ran" if _has_ended(tool) else "Runs"
    lines = len(argument.strip().splitlines())
    return f"{verb} {_name(tool)}", "", _count(lines, "line") if _type(tool) in _RUNS else ""


def _count(number: int, noun: str) -> str:
    return f" · {number} {noun}{'' if number == 1 else 's'}"


def _tool_line(tool: Mapping[str, Any]) -> str:
    return "".join(_said(tool))


def _tool_html(tool: Mapping[str, Any]) -> str:
    did, argument, gave = map(escape, _said(tool))
    query = f"<i>{argument}</i>" if argument else ""
    body = "".join(_tool_body(tool))
    return f'<details style="{_QUIET}"><summary>{did}{query}{gave}</summary>{body}</details>'


def _tool_body(tool: Mapping[str, Any]) -> Iterator[str]:
    if sources := sources_in([tool], []):
        yield _links(sources)
        return
    if _type(tool) not in _READS and (argument := _argument(tool)):
        yield _code(argument.rstrip("\n"), "python" if _type(tool) in _RUNS else "")
    if output := _DATA_URL.sub("", _output(tool)).strip():
        yield f'<pre style="{_SCROLLS}">{escape(printable(output[:_LONGEST_SHOWN]))}</pre>'
    yield from list(_images(tool))[:_MOST_IMAGES]


def _images(tool: Mapping[str, Any]) -> Iterator[str]:
    """Only images whose bytes are here: nothing is fetched."""
    for kind, data in _DATA_URL.findall(_output(tool)):
        yield _image(kind, data)
    results = tool.get("code_results")
    for result in results if isinstance(results, list) else ():
        for kind in _IMAGES if isinstance(result, dict) else ():
            data = result.get(kind)
            if not isinstance(data, str) or len(data) > _LARGEST_IMAGE:
                continue
            if _BASE64.fullmatch(data := "".join(data.split())):
                yield _image(kind, data)


def _image(kind: str, data: str) -> str:
    source = f"data:image/{kind};base64,{data}"
    return f'<img alt="An image that the tool made" style="max-width:100%" src="{source}">'


# ---- Sources, and what was refused ----


def _links(sources: list[Source]) -> str:
    rel = 'target="_blank" rel="noopener noreferrer nofollow"'
    links = (f'<a href="{escape(url)}" {rel}>{escape(title)}</a>' for title, url in sources)
    items = (f"<li>{link}</li>" for link in links)
    return f'<ol style="margin:0 0 6px;padding-left:2em">{"".join(items)}</ol>'


def _sources_html(sources: list[Source]) -> str:
    return f'<div style="{_QUIET}">Sources{_links(sources)}</div>' if sources else ""


def _refused_html(answer: Answer) -> str:
    if not answer.failed_generation:
        return ""
    text = escape(printable(answer.failed_generation[:_LONGEST_SHOWN]))
    summary = "What the model wrote, which the server refused"
    details = f'<summary>{summary}</summary><pre style="{_SCROLLS}">{text}</pre>'
    return f'<details style="{_QUIET}">{details}</details>'
