"""What an answer holds beside its text: tools that ran, calls, sources, and each kind of end."""

from __future__ import annotations

import io
import json
import re
from contextlib import redirect_stdout
from html.parser import HTMLParser
from typing import Any

import pytest

from groq_magic.accumulator import Accumulator
from groq_magic.answer import Answer
from groq_magic.display.show import show
from groq_magic.display.static import static_bundle
from groq_magic.display.status import Status, note_of, shown_reasoning
from groq_magic.errors import APIError
from groq_magic.runtime import runtime
from groq_magic.wire.models import KnownModels, Model
from groq_magic.wire.protocol import Chunk, Delta, Responded, ToolCall, Usage
from tests.support.attacks import ATTACKS
from tests.support.chunks import chunk, items
from tests.support.waiting import until

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+M8AAAMBAQDJ/pLvAAAAAElFTkSuQmCC"
SEARCH = {"index": 0, "type": "search", "arguments": '{"query": "rain <b>"}'}
FOUND = [{"title": "Rain <1>", "url": "https://example.org/rain?a=1&b=2"}]
RUN = {"index": 0, "type": "python", "arguments": '{"code": "a = 1\\nprint(a)"}'}


def ended(*given: Any, **parameters: Any) -> Answer:
    answer = Answer(items(*given), content=Accumulator("m"), parameters=parameters).start()
    answer.wait(30)
    return answer


def ran(**tool: Any) -> Chunk:
    return Chunk(Delta(executed_tools=(tool,)))


def called(*calls: ToolCall, text: str = "") -> Answer:
    return ended(Chunk(Delta(text, tool_calls=calls)), chunk(finish_reason="tool_calls"))


def html(answer: Answer) -> str:
    return static_bundle(answer)[0]["text/html"]


def plain(answer: Answer) -> str:
    return static_bundle(answer)[0]["text/plain"]


def made(answer: Answer) -> dict[str, Any]:
    return dict(static_bundle(answer)[1]["groq"])


def test_calls_are_shown_whole_and_said_in_a_note() -> None:
    calls = ToolCall(0, "a", "rain", '{"city":"Oslo"}'), ToolCall(1, "b", "now", "null")
    answer = called(*calls)
    assert 'class="language-javascript' in html(answer)
    assert plain(answer) == 'rain({\n  "city": "Oslo"\n})\n\nnow()'
    note = note_of(answer)
    assert note
    assert note.strong == "The model asks for 2 calls."
    assert made(answer)["tool_calls"][0] == {
        "id": "a",
        "name": "rain",
        "arguments": '{"city":"Oslo"}',
    }


def test_arguments_grow_as_they_come() -> None:
    answer = called(ToolCall(0, "a", "rain", '{"city": "Os'))
    assert plain(answer) == 'rain({"city": "Os)'


def test_a_terminal_shows_the_calls_after_the_text() -> None:
    with redirect_stdout(io.StringIO()) as screen:
        show(called(ToolCall(0, "a", "rain", "{}"), text="Wait."))
    assert screen.getvalue() == "Wait.\n\nrain()"


def test_a_search_has_its_query_its_results_and_is_a_source() -> None:
    answer = ended(ran(**SEARCH, search_results={"results": FOUND}), chunk("Wet."))
    shown = html(answer)
    assert "Searched the web: <i>rain &lt;b&gt;</i> · 1 result</summary>" in shown
    link = 'href="https://example.org/rain?a=1&amp;b=2" target="_blank" rel="noopener'
    assert shown.count(link) == 2
    assert shown.count("Rain &lt;1&gt;</a>") == 2
    assert shown.index("Searched") < shown.index("Wet.") < shown.index("Sources")
    assert plain(answer).startswith("Searched the web: rain <b> · 1 result\n\nWet.\n\n[1] Rain <1>")
    assert made(answer)["sources"] == FOUND


def test_a_run_has_its_code_its_output_and_its_images() -> None:
    results = [{"png": PNG, "svg": "<svg/>"}, {"png": "not base64!"}, {"jpeg": "QQ=="}]
    output = "one <b>\ndata:image/gif;base64,QUJD data:image/svg+xml;base64,QUJD"
    answer = ended(ran(**RUN, output=output, code_results=results), chunk("1"))
    shown = html(answer)
    assert "Ran Python · 2 lines</summary>" in shown
    assert 'class="language-python highlight"' in shown
    assert "one &lt;b&gt;" in shown
    assert shown.count("<img ") == 3
    assert f'src="data:image/png;base64,{PNG}"' in shown
    assert "svg+xml" in shown.replace("<img", "")  # as text alone
    assert 'src="data:image/svg' not in shown


def test_a_tool_that_runs_is_said_instead_of_thinking() -> None:
    answer = Answer(
        items(Chunk(Delta(reasoning="Hm")), ran(**SEARCH), 60.0),
        content=Accumulator("m"),
        parameters={},
    ).start()
    try:
        until(lambda: answer.executed_tools)
        status = Status.of(answer)
        assert status.thought == "Searching the web"
        assert "searching the web" in status.header
        assert "Searches the web: <i>rain" in status.tools
    finally:
        answer.stop()


def test_what_the_server_refused_is_kept_and_folded() -> None:
    error = APIError("No such tool", {"failed_generation": '{"name": "<b>"}'})
    answer = ended(chunk("a"), error)
    assert "<summary>What the model wrote, which the server refused</summary>" in html(answer)
    assert "{&quot;name&quot;: &quot;&lt;b&gt;&quot;}" in html(answer)
    assert static_bundle(answer)[1]["groq"]["failed_generation"] == '{"name": "<b>"}'


@pytest.mark.parametrize(
    ("reason", "text", "strong"),
    [
        ("stop", "", "The answer is empty."),
        ("content_filter", "a", "Filtered."),
        ("weather", "a", "Ended early."),
        ("length", "a", "Cut at 1 token."),
        ("stop", "a", None),
    ],
)
def test_each_end_is_said(reason: str, text: str, strong: str | None) -> None:
    note = note_of(ended(chunk(text), chunk(finish_reason=reason)))
    assert (note and note.strong) == strong


@pytest.mark.parametrize(
    ("longest", "minute", "advice"),
    [
        (None, None, "Ask for more with --max-tokens 4000."),
        (3000, None, "Ask for more with --max-tokens 3000."),
        (8000, "2500", "Ask for more with --max-tokens 2400."),
        (1000, None, "No longer answer fits"),
    ],
)
def test_the_advice_after_a_cut_is_a_number_that_fits(
    longest: int | None, minute: str | None, advice: str
) -> None:
    models = [Model("cut", max_completion_tokens=longest)]  # a name that no other test knows
    runtime.own(KnownModels).remember("http://127.0.0.1/", models)
    headers = {"x-ratelimit-limit-tokens": minute} if minute else {}
    usage = Usage(prompt_tokens=100, completion_tokens=1000)
    try:
        end = chunk("a", finish_reason="length", usage=usage)
        source = items(Responded(None, headers), end)
        content = Accumulator("cut")
        answer = Answer(source, content=content, resume=lambda ended, _: ended).start()
        answer.wait(30)
        note = note_of(answer)
    finally:
        runtime.own(KnownModels).remember("http://127.0.0.1/", [])
    assert note
    assert note.rest.startswith(advice)


JSON = '{"**kwargs**": [1, 2]}'


@pytest.mark.parametrize("parameters", [{}, {"response_format": {"type": "json_object"}}])
def test_json_is_a_code_block(parameters: dict[str, Any]) -> None:
    answer = ended(chunk(JSON), chunk(finish_reason="stop"), **parameters)
    assert 'class="language-json highlight"' in html(answer)
    assert "**kwargs**" in html(answer)
    assert plain(answer) == JSON


def test_json_that_was_cut_is_code_if_the_request_asked_for_it() -> None:
    asked = {"response_format": {"type": "json_object"}}
    cut = chunk('{"**a'), chunk(finish_reason="length")
    assert "language-json" in html(ended(*cut, **asked))
    assert "language-json" not in html(ended(*cut))


def test_the_tooltips_say_what_the_tokens_and_the_cost_are() -> None:
    usage = Usage(
        prompt_tokens=2000,
        completion_tokens=371,
        cached_tokens=1792,
        reasoning_tokens=40,
        queue_time=1.5,
    )
    shown = html(ended(chunk("a"), chunk(finish_reason="stop", usage=usage)))
    said = "2,000 for the prompt (1,792 cached), 371 for the answer (40 for reasoning)"
    assert f'title="{said}"' in shown
    assert "queued 1.5 s" in shown


def test_what_is_large_is_cut_in_the_metadata() -> None:
    answer = ended(ran(**{**RUN, "output": "x" * 100_000}), chunk("a"))
    tools = made(answer)["executed_tools"]
    assert tools == [{"type": "python", "query": "a = 1\nprint(a)"}]
    assert len(json.dumps(made(ended(ran(**RUN), chunk("a")))["executed_tools"])) < 200


ALLOWED = {
    **{tag: {"style"} for tag in ("div", "b", "br", "summary", "i", "li", "ol")},
    "details": {"style", "open"},
    "pre": {"style"},
    "code": {"class", "style"},
    "span": {"class", "style", "title", "aria-hidden"},
    "a": {"href", "rel", "target"},
    "img": {"alt", "style", "src"},
}
ADDRESSES = {"href": r"https?://[^\s]+", "src": r"data:image/(png|jpeg|webp|gif);base64,[\w+/]+=*"}


class Allowed(HTMLParser):
    """Only elements, attributes and addresses of ours, and each element closed in its place."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = {name for name, _ in attrs}
        assert tag == "div" or names <= ALLOWED[tag], (tag, names)
        assert names <= {"class", *ALLOWED[tag]}, (tag, names)
        for name, value in attrs:
            assert re.fullmatch(ADDRESSES.get(name, ".*"), value or "", re.DOTALL), value
        self.open += [] if tag in ("br", "img") else [tag]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def attacked(attack: str) -> Answer:
    """An answer that has the attack in all that stands beside its text."""
    found = [{"title": attack, "url": attack}, {"title": attack, "url": "https://e.org/"}]
    found.append({"title": "a", "url": f"https://e.org/{attack}"})
    said = json.dumps({"query": attack, "code": attack})
    results = [{"png": attack, "text": attack}, {"png": PNG + attack}, {"svg": attack}]
    tools: list[dict[str, Any]] = [
        {"type": "search", "arguments": said, "search_results": {"results": found}},
        {"type": "python", "arguments": said, "output": attack, "code_results": results},
        {"type": attack, "arguments": attack, "output": f"data:image/png;base64,{attack}"},
        {"type": "python", "arguments": json.dumps({attack: attack})},
    ]
    calls = ToolCall(0, attack, attack, json.dumps({attack: attack})), ToolCall(1, "", "f", attack)
    numbered: list[dict[str, Any]] = [{**tool, "index": n} for n, tool in enumerate(tools)]
    delta = Delta(
        tool_calls=calls,
        executed_tools=tuple(numbered),
        annotations=({"url_citation": {"title": attack, "url": attack}},),
    )
    last = chunk(json.dumps({attack: attack}), finish_reason=attack)
    end = last if len(attack) % 2 else APIError(attack, {"failed_generation": attack})
    return ended(Chunk(delta), end)


def test_no_attack_beside_the_text_becomes_markup() -> None:
    for attack in ATTACKS:
        answer = attacked(attack)
        allowed = Allowed()
        allowed.feed(html(answer))
        allowed.close()
        assert allowed.open == [], attack
        assert "\x1b" not in plain(answer)


def test_half_a_character_is_replaced_everywhere() -> None:
    """A server may send one, and no message and no file can hold it."""
    half = "\ud83d"
    data, metadata = static_bundle(attacked(half))
    for value in (*data.values(), json.dumps(metadata, ensure_ascii=False)):
        assert value.encode()
        assert "?" in value


def test_what_json_cannot_hold_is_left_out_of_the_metadata() -> None:
    answer = ended(ran(**RUN, score=float("nan")), chunk("a"))
    assert made(answer)["executed_tools"] == [{"type": "python", "query": "a = 1\nprint(a)"}]


def test_an_image_of_white_space_holds_nothing_up() -> None:
    hostile = " " * 1_900_000 + "!"
    assert "<img" not in html(ended(ran(**RUN, code_results=[{"png": hostile}]), chunk("a")))


COMPOUND = (
    "<think>\nI search.\n<tool>\nsearch(rain)\n</tool>\n"
    "<output>Title: <b>\nwet\n</output>\nIf a < b, wet. <too"
)


def test_the_tools_in_the_reasoning_of_compound_models_are_shown_as_tools_alone() -> None:
    def thinking(model: str, end: int) -> Answer:
        given = Chunk(Delta(reasoning=COMPOUND[:end]), model=model), 60.0
        answer = Answer(items(*given), content=Accumulator(model), parameters={}).start()
        while answer.reasoning != COMPOUND[:end]:
            answer.wait(0.01)
        return answer

    before = ""
    for end in range(1, len(COMPOUND) + 1):
        answer = thinking("groq/compound", end)
        shown = shown_reasoning(answer)
        answer.stop()
        assert shown.startswith(before)
        before = shown
    assert before == "\nI search.\n\n\nIf a < b, wet. "
    assert shown_reasoning(answer) == before + "<too"
    assert answer.reasoning == COMPOUND
    other = thinking("m", len(COMPOUND))
    other.stop()
    assert shown_reasoning(other) == COMPOUND
