"""The magic in a real kernel, over the Jupyter protocol."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.demo import Demo
from tests.support.kernels import (
    WIDGET,
    Kernel,
    bundle,
    custom,
    running_kernel,
    widget_of,
)

TOKENS_PER_SECOND = 200


@pytest.fixture(scope="module")
def kernel(server: Demo, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    home = tmp_path_factory.mktemp("home")
    environment = {**os.environ, "GROQ_BASE_URL": server.base_url, "IPYTHONDIR": str(home)}
    environment.pop("GROQ_API_KEY", None)
    with running_kernel(environment, str(home)) as kernel:
        kernel.run("%reload_ext groq_magic")
        kernel.run("import os; from groq_magic import stream")
        yield kernel


def test_the_cell_returns_before_the_answer_ends(kernel: Kernel, server: Demo) -> None:
    run = kernel.run("%%groq -m demo/slow -o slow\nA long history of notebooks")
    assert run.reply is not None
    assert run.reply["content"]["status"] == "ok"
    server.until("streaming")
    assert kernel.run("print(6 * 7)").stdout == "42\n"
    assert server.seen()[-1]["state"] == "streaming"
    kernel.run("slow.stop()")


def test_the_static_output_of_a_cell(kernel: Kernel) -> None:
    run = kernel.run("%%groq\nExplain server-sent events")
    data, metadata = bundle(kernel.until_static(run))
    assert set(data) == {"text/html", "text/plain"}
    assert "Server-sent events</h2>" in data["text/html"]
    assert data["text/plain"].startswith("## Server-sent events\n\nOne HTTP response")
    assert "<table" in data["text/html"]
    assert metadata["state"] == "done"
    assert metadata["model"] == "openai/gpt-oss-120b"
    assert metadata["parameters"] == {"model": "openai/gpt-oss-120b"}
    assert metadata["finish_reason"] == "stop"
    assert metadata["usage"]["completion_tokens"] > 100
    assert metadata["request_id"].startswith("req_")
    assert 0 < metadata["time_to_first_token"] < metadata["seconds"]


def test_the_widget_comes_first_and_the_static_output_takes_its_place(kernel: Kernel) -> None:
    run = kernel.run("%%groq\ncat names")
    (shown,) = run.of_type("display_data")
    assert "coming" in shown["content"]["data"]["text/plain"]
    static = kernel.until_static(run)
    assert static["content"]["transient"] == shown["content"]["transient"]


def test_batches_are_numbered_and_few(kernel: Kernel) -> None:
    run = kernel.run("%%groq\nExplain server-sent events")
    _, made = bundle(kernel.until_static(run))
    batches = [m for m in custom(run, widget_of(run)) if m["type"] == "batch"]
    assert [batch["n"] for batch in batches] == list(range(1, len(batches) + 1))
    assert 1 < len(batches) < 21 * made["seconds"] + 5
    assert batches[-1]["status"]["state"] == "done"


def test_a_view_that_mounts_gets_a_snapshot_of_everything(kernel: Kernel) -> None:
    run = kernel.run("%%groq\nExplain server-sent events")
    widget = widget_of(run)
    data, _ = bundle(kernel.until_static(run))
    kernel.send_to_widget(widget, {"type": "snapshot"})
    kernel.collect(run, lambda: custom(run, widget)[-1]["type"] == "snapshot")
    snapshot = custom(run, widget)[-1]
    text = snapshot["text"]
    assert "".join(text["settled"]) + text["tail"] in data["text/html"]
    assert snapshot["status"]["state"] == "done"
    assert snapshot["n"] == max(m["n"] for m in custom(run, widget) if m["type"] == "batch")


def test_what_comes_before_a_view_asks_is_in_the_widgets_state(kernel: Kernel) -> None:
    run = kernel.run("%%groq -m demo/slow -o slow\nExplain server-sent events")
    widget = widget_of(run)

    def early() -> list[dict[str, Any] | None]:
        messages = [m["content"] for m in run.messages if m["msg_type"] == "comm_msg"]
        sent = [content["data"] for content in messages if content["comm_id"] == widget]
        return [data["state"]["early"] for data in sent if data["method"] == "update"]

    kernel.collect(run, lambda: len(early()) > 3)
    before, first, *_, last = early()
    assert before is not None
    assert "demo/slow" in before["status"]["header"]
    assert (before["text"]["tail"], before["model_id"]) == ("", widget)
    assert first is not None
    assert first["text"]["tail"].startswith("<")  # the first words, as soon as there are any
    assert last is not None
    assert "never has to" in json.dumps(last["text"])
    kernel.send_to_widget(widget, {"type": "snapshot"})
    kernel.collect(run, lambda: early()[-1] is None)
    count, sent = len(early()), len(custom(run, widget))
    kernel.collect(run, lambda: len(custom(run, widget)) > sent + 10)
    assert len(early()) == count
    kernel.run("slow.stop()")


def test_nothing_early_is_left_behind_the_end(kernel: Kernel) -> None:
    run = kernel.run("%%groq\ncat names")  # whose view never asked
    widget = widget_of(run)
    kernel.until_static(run)

    def states() -> list[Any]:
        data = [m["content"]["data"] for m in run.messages if m["msg_type"] == "comm_msg"]
        return [each["state"]["early"] for each in data if "early" in each.get("state", {})]

    kernel.collect(run, lambda: states()[-1] is None)
    kernel.send_to_widget(widget, {"type": "snapshot"})
    kernel.collect(run, lambda: custom(run, widget)[-1]["type"] == "snapshot")


def test_what_a_kernel_hears_twice_it_answers_once(kernel: Kernel) -> None:
    """ipykernel 7.4 asks where a message belongs, which is the first time it is heard."""
    run = kernel.run("%%groq\ncat names")
    widget = widget_of(run)
    kernel.until_static(run)
    for _ in range(3):
        kernel.send_to_widget(widget, {"type": "snapshot"})
    kernel.send_to_widget(widget, {"type": "static"})
    kernel.send_to_widget(widget, {"type": "snapshot"})
    kinds = lambda: [m["type"] for m in custom(run, widget) if m["type"] != "batch"]  # noqa: E731
    kernel.collect(run, lambda: kinds().count("snapshot") >= 4)
    assert kinds() == ["snapshot"] * 3 + ["static", "snapshot"]


THINKER = """
import asyncio
from groq_magic.answer import Answer
from groq_magic.wire.protocol import Chunk, Delta, Done
from groq_magic.display.show import show

async def thinks():
    for _ in range(600):
        yield Chunk(Delta("", "Hm. "))
        await asyncio.sleep(0.001)
    yield Chunk(Delta("Yes."), "stop")
    yield Done()

show(Answer(thinks()).start(), reasoning=False)
"""


def test_what_is_not_shown_does_not_make_batches_many(kernel: Kernel) -> None:
    run = kernel.run(THINKER)
    _, made = bundle(kernel.until_static(run))
    batches = [m for m in custom(run, widget_of(run)) if m["type"] == "batch"]
    assert 1 < len(batches) < 21 * made["seconds"] + 5


FENCE = """
from groq_magic.answer import Answer
from groq_magic.display.live import LiveView
from groq_magic.wire.protocol import Chunk, Delta, Done

async def fence():
    yield Chunk(Delta("```\\n" + "line\\n" * 10_000 + "The end."), "stop")
    yield Done()

view = LiveView(Answer(fence()).start(), "one")
"""


def test_a_batch_of_several_flushes_has_the_tail_of_the_last(kernel: Kernel) -> None:
    """A view drops its old tail once in a batch, and would show the others beside the last."""
    run = kernel.run(FENCE)
    kernel.until_static(run)
    batches = [m["text"] for m in custom(run, widget_of(run)) if m["type"] == "batch"]
    assert max(map(len, batches)) > 2
    assert [op for ops in batches for op in ops[:-1] if op[0] == "tail"] == []


def test_what_is_beside_the_text_is_not_rendered_on_the_loop(kernel: Kernel) -> None:
    kernel.run(
        "from groq_magic.display import status, widget\n"
        "import threading; threads, original = set(), widget.beside\n"
        "def noted(answer):\n"
        "    threads.add(threading.current_thread().name); return original(answer)\n"
        "widget.beside = status.beside = noted"
    )
    kernel.until_static(kernel.run("%%groq -m demo/search\nWhen?"))
    names = kernel.run("widget.beside = status.beside = original; print(sorted(threads))").stdout
    assert "groq_magic call" in names
    assert "'groq_magic'" not in names


RENDERED = """
import asyncio
from groq_magic.answer import Answer
from groq_magic.display import growing, live
from groq_magic.display.show import show
from groq_magic.runtime import runtime
from groq_magic.wire.protocol import Chunk, Delta, Done

turns, free, original = 0, 0, (growing.StreamingMarkdown, live.static_bundle)

def counted(function):
    def count(*args):
        global free
        before = turns
        try:
            return function(*args)
        finally:
            free += turns - before
    return count

class Counted(growing.StreamingMarkdown):
    flush = counted(growing.StreamingMarkdown.flush)
    close = counted(growing.StreamingMarkdown.close)

growing.StreamingMarkdown, live.static_bundle = Counted, counted(live.static_bundle)

async def turn():
    global turns
    while not answer.ended or not view_is_gone():
        turns += 1
        await asyncio.sleep(0.001)

async def floods():
    yield Chunk(Delta(TEXT), "stop")
    yield Done()

answer = Answer(floods()).start()
view = live.LiveView(answer, "one")
view_is_gone = view.finished.is_set
runtime.loop.job(turn).start()
assert view.finished.wait(120)
growing.StreamingMarkdown, live.static_bundle = original
print(free)
"""


@pytest.mark.parametrize(
    "text",
    [
        "- a\n" * 5_000,
        "*a **b* c** [d " * 700,
        "![a](https://example.org/b) " * 2_000,
        "a\n\n" * 5_000,
        "![a](https://example.org/b)" * 4_000,
    ],
    ids=["items", "paragraph", "images", "paragraphs", "images in a word"],
)
def test_the_loop_runs_on_while_a_text_is_rendered(kernel: Kernel, text: str) -> None:
    """Its turns during flush, close and the making of the output are counted."""
    run = kernel.run(RENDERED.replace("TEXT", repr(text)), timeout=180)
    data, _ = bundle(kernel.until_static(run))
    assert data["text/plain"] == text
    assert int(run.stdout) >= 5


HELD = """
import asyncio, threading
from groq_magic.answer import Answer
from groq_magic.display.show import show
from groq_magic.markdown import StreamingMarkdown
from groq_magic.wire.protocol import Chunk, Delta

flush = StreamingMarkdown.flush
is_flushing, is_released, is_closed = threading.Event(), threading.Event(), threading.Event()

def held(self):
    operations = flush(self)
    is_flushing.set()
    is_released.wait(120)
    return operations

async def endless():
    try:
        yield Chunk(Delta("All **of it**"))
        await asyncio.Event().wait()
    finally:
        is_closed.set()

StreamingMarkdown.flush = held
show(Answer(endless()).start())
print(is_flushing.wait(30))
StreamingMarkdown.flush = flush
"""


def test_a_stop_and_other_answers_are_served_while_a_text_is_rendered(kernel: Kernel) -> None:
    run = kernel.run(HELD)
    assert run.stdout == "True\n"
    widget = widget_of(run)
    batches = lambda: [m for m in custom(run, widget) if m["type"] == "batch"]  # noqa: E731
    kernel.collect(run, lambda: bool(batches()))  # that the answer lives, each second
    assert (batches()[-1]["status"]["state"], batches()[-1]["text"]) == ("streaming", [])
    other = kernel.run("print(stream('cat names').result(30)[:5])", timeout=60)
    assert other.stdout == "Three\n"
    run.messages += other.messages
    kernel.send_to_widget(widget, {"type": "snapshot"})
    kernel.send_to_widget(widget, {"type": "stop"})
    kernel.collect(run, lambda: batches()[-1]["status"]["state"] == "stopped")
    released = kernel.run("print(is_closed.wait(30)); is_released.set()", timeout=60)
    assert released.stdout == "True\n"
    run.messages += released.messages
    data, metadata = bundle(kernel.until_static(run))
    assert "All <strong>of it</strong>" in data["text/html"]
    assert (data["text/plain"], metadata["state"]) == ("All **of it**", "stopped")
    kernel.collect(run, lambda: sum(m["type"] == "snapshot" for m in custom(run, widget)) == 2)
    assert [batch["n"] for batch in batches()] == list(range(1, len(batches()) + 1))
    shown, number = "", 0
    for message in custom(run, widget):
        if message["type"] == "batch":
            number = message["n"]
            shown = next((op[1] for op in message["text"] if op[0] in ("tail", "settle")), shown)
        else:
            assert message["n"] == number
            assert "".join(message["text"]["settled"]) + message["text"]["tail"] == shown


MANY = """
from groq_magic import stream
many = [
    stream("math", model="demo/long", max_completion_tokens=600, display=True) for _ in range(60)
]
for answer in many:
    answer.wait()
"""


def test_many_views_together_send_no_more_than_a_server_lets_through(kernel: Kernel) -> None:
    """jupyter_server drops what is beyond 1,000 messages a second."""
    run = kernel.run(MANY)
    kernel.collect(run, lambda: len(run.of_type("update_display_data")) == 60)
    at = sorted(
        message["header"]["date"].timestamp()
        for message in run.messages
        if message["msg_type"] == "comm_msg"
        and message["content"]["data"].get("content", {}).get("status", {}).get("state")
        == "streaming"
    )
    in_a_second = max(sum(begun <= t < begun + 1 for t in at) for begun in at)
    assert len(at) > 60
    assert in_a_second < 20 * 20 + 60


def test_a_click_on_a_widget_shows_live(kernel: Kernel) -> None:
    """What answers it runs in no cell, and nothing says that nobody watches."""
    run = kernel.run(
        "import ipywidgets; from groq_magic import stream\n"
        "def ask(*_): global asked; asked = stream('math', model='demo/slow', display=True)\n"
        "button = ipywidgets.Button(); button.on_click(ask); print(button.comm.comm_id)"
    )
    kernel.send_to_widget(run.stdout.strip(), {"event": "click"})
    kernel.collect(run, lambda: any("widget-view" in str(m["content"]) for m in run.messages[-50:]))
    again = kernel.run("print(asked.state); asked.stop()")
    assert again.stdout in ("connecting\n", "streaming\n")  # nothing waited for its end


def test_stop_from_the_view(kernel: Kernel, server: Demo) -> None:
    run = kernel.run("%%groq -m demo/slow\nExplain server-sent events")
    widget = widget_of(run)
    kernel.collect(run, lambda: sum(m["type"] == "batch" for m in custom(run, widget)) > 3)
    kernel.send_to_widget(widget, {"type": "stop"})
    data, metadata = bundle(kernel.until_static(run))
    kernel.collect(run, lambda: any(m["type"] == "snapshot" for m in custom(run, widget)))
    assert metadata["state"] == "stopped"
    assert "stopped after" in data["text/html"]
    assert data["text/plain"].startswith("## Server")
    server.until("closed")


def test_stop_is_heard_while_another_cell_runs(
    kernel: Kernel, server: Demo, tmp_path: Path
) -> None:
    run = kernel.run("%%groq -m demo/slow\nExplain server-sent events")
    widget = widget_of(run)
    is_closed = tmp_path / "closed"
    until_closed = f"while not os.path.exists({str(is_closed)!r}): time.sleep(0.01)"
    busy = kernel.start(f"import os, time\n{until_closed}\nprint('It is closed.')")
    kernel.collect(run, lambda: sum(m["type"] == "batch" for m in custom(run, widget)) > 3)
    kernel.send_to_widget(widget, {"type": "stop"})
    server.until("closed")
    busy.messages = run.messages
    assert busy.stdout == ""
    is_closed.touch()
    kernel.collect(busy, lambda: busy.reply is not None)


def test_where_nobody_watches_the_cell_waits(kernel: Kernel, server: Demo) -> None:
    run = kernel.run("%%groq\nExplain server-sent events", interactive=False)
    assert server.seen()[-1]["state"] == "done"
    (shown,) = run.of_type("display_data")
    data, metadata = bundle(shown)
    assert metadata["state"] == "done"
    assert WIDGET not in data


def test_where_nobody_watches_a_failure_fails_the_cell(kernel: Kernel) -> None:
    run = kernel.run("%%groq -m demo/mid-stream-error\nmath", interactive=False)
    (shown,) = run.of_type("display_data")
    data, metadata = bundle(shown)
    assert data["text/plain"].startswith("### The Gaussian")
    assert metadata["state"] == "failed"
    assert run.reply is not None
    assert run.reply["content"]["status"] == "error"
    assert run.error == "APIError: The model is over capacity. Run the cell again."


def test_wait_waits_and_shows_live(kernel: Kernel, server: Demo) -> None:
    run = kernel.run("%%groq --wait\ncat names")
    assert server.seen()[-1]["state"] == "done"
    batches = [m for m in custom(run, widget_of(run)) if m["type"] == "batch"]
    assert len(batches) > 1
    assert run.of_type("update_display_data")


def test_where_widgets_are_not_sure_a_waiting_cell_prints(kernel: Kernel) -> None:
    run = kernel.run("%%groq --wait -m demo/slow --max-tokens 40\ncat names", cell="")
    printed = [m for m in run.of_type("stream") if m["content"]["name"] == "stdout"]
    assert len(printed) > 1
    assert run.stdout.startswith("Three names for a cat")
    assert run.of_type("display_data") == []


def test_the_last_answers_again(kernel: Kernel) -> None:
    kernel.until_static(kernel.run("%%groq\ncat names"))
    kernel.until_static(kernel.run("%%groq --max-tokens 20\nmath"))
    (once,) = kernel.run("%groq last").of_type("display_data")
    assert bundle(once)[0]["text/plain"].startswith("### The Gaussian")
    twice = kernel.run("%groq last 2").of_type("display_data")
    texts = [bundle(message)[0]["text/plain"] for message in twice]
    assert texts[0].startswith("Three names")
    assert texts[1].startswith("### The Gaussian")


def test_the_last_answer_while_it_comes(kernel: Kernel) -> None:
    kernel.run("%%groq -m demo/slow -o slow\nExplain server-sent events")
    run = kernel.run("%groq last")
    assert widget_of(run)
    kernel.start("slow.stop()")
    assert bundle(kernel.until_static(run))[1]["state"] == "stopped"


def test_an_interrupt_of_a_waiting_cell_stops_and_keeps(kernel: Kernel, server: Demo) -> None:
    run = kernel.start("%%groq --wait -m demo/slow -o kept\nExplain server-sent events")
    kernel.collect(run, lambda: len(run.of_type("display_data")) > 0)
    widget = widget_of(run)
    kernel.collect(run, lambda: sum(m["type"] == "batch" for m in custom(run, widget)) > 3)
    kernel.manager.interrupt_kernel()
    kernel.collect(run, lambda: run.reply is not None and run.error != "")  # they come apart
    data, metadata = bundle(kernel.until_static(run))
    assert metadata["state"] == "stopped"
    assert data["text/plain"].startswith("## Server")
    assert run.error == "Interrupted: the answer was stopped; its text so far is kept."
    assert kernel.run("print(kept.state)").stdout == "stopped\n"


def test_an_interrupt_before_there_is_a_view_stops_too(kernel: Kernel, server: Demo) -> None:
    kernel.run(
        "from groq_magic.display import show as view; from _thread import interrupt_main\n"
        "painted = view.LiveView\n"
        "view.LiveView = lambda *_, **__: interrupt_main() or __import__('time').sleep(5)"
    )
    run = kernel.run("%%groq -m demo/slow -o early\nExplain server-sent events")
    kernel.run("view.LiveView = painted")
    assert run.error.startswith("Interrupted: the answer was stopped")
    assert kernel.run("print(early.state)").stdout == "stopped\n"


@pytest.mark.parametrize(
    ("model", "state", "text", "said"),
    [
        ("demo/error-401", "failed", "", "401 Invalid API Key. Set GROQ_API_KEY"),
        ("demo/mid-stream-error", "failed", "### The Gaussian", "The model is over capacity."),
        ("demo/cut-off", "failed", "### The Gaussian", "broke"),
        ("demo/reasoning", "done", "### The Gaussian", "Thought"),
        ("demo/rate-limit", "done", "### The Gaussian", "tokens/s"),
    ],
)
def test_every_end_leaves_a_static_output(
    kernel: Kernel, model: str, state: str, text: str, said: str
) -> None:
    run = kernel.run(f"%%groq -m {model}\nmath")
    assert run.reply is not None
    assert run.reply["content"]["status"] == "ok"
    data, metadata = bundle(kernel.until_static(run))
    assert metadata["state"] == state
    assert data["text/plain"].startswith(text)
    assert said in re.sub("<[^>]*>", "", data["text/html"])


def test_a_wait_for_the_rate_limit_is_shown(kernel: Kernel) -> None:
    run = kernel.run("%%groq -m demo/rate-limit\nmath, please")
    kernel.until_static(run)
    shown = [m["status"]["header"] for m in custom(run, widget_of(run)) if "status" in m]
    headers = [re.sub("<[^>]*>", "", header) for header in shown]
    assert any("rate limit · tries again in 2 s (2 of 3)" in header for header in headers)
    assert any("tries again in 1 s" in header for header in headers)


def test_an_answer_cut_at_the_limit_says_so(kernel: Kernel, server: Demo) -> None:
    run = kernel.run("%%groq --max-tokens 20 -t 0 -s 'Be brief.'\nmath")
    data, metadata = bundle(kernel.until_static(run))
    assert metadata["finish_reason"] == "length"
    assert "<b" in data["text/html"]
    assert "Cut at 20 tokens." in data["text/html"]
    assert server.seen()[-1]["body"] == {
        "model": "openai/gpt-oss-120b",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "math"},
        ],
        "stream": True,
        "temperature": 0.0,
        "max_completion_tokens": 20,
    }


def test_the_answer_in_a_variable(kernel: Kernel) -> None:
    kernel.run("%%groq -o cats\ncat names")
    said = kernel.run("print(cats.result()[:21], cats.state, cats.usage.prompt_tokens)")
    assert said.stdout == "Three names for a cat done 2\n"


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("%%groq --colour red\nHello", "unrecognized arguments: --colour red"),
        ("%%groq tell me\nHello", "unrecognized arguments: tell me"),
        ("%%groq -t hot\nHello", "temperature must be a number from 0 to 2, not 'hot'"),
        ("%%groq -t 3\nHello", "temperature must be a number from 0 to 2, not 3.0."),
        ("%%groq --max-tokens 0\nHello", "max_completion_tokens must be a whole number from 1"),
        ("%%groq -o not-a-name\nHello", "-o not-a-name: this cannot be the name of a variable"),
        ("%%groq -o class\nHello", "-o class: this cannot be the name of a variable"),
        ("%%groq -s 'unclosed\nHello", "No closing quotation"),
        ("%%groq\n   \n", "The prompt is empty"),
        ("%groq what", "demo [off]"),
        ("%groq last night", "Usage: %groq last [N]"),
        ("%groq last 0", "Usage: %groq last [N]"),
        ("%groq last 1 2", "Usage: %groq last [N]"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_sent(
    kernel: Kernel, server: Demo, cell: str, message: str
) -> None:
    before = len(server.seen())
    run = kernel.run(cell)
    assert message in run.stdout
    assert run.stdout.startswith("UsageError: ")
    assert len(run.stdout.strip().splitlines()) == 1
    assert run.reply is not None
    assert run.reply["content"]["status"] == "error"
    assert len(server.seen()) == before


def test_without_a_key_one_line_says_how(kernel: Kernel) -> None:
    kernel.run("import os; base = os.environ.pop('GROQ_BASE_URL')")
    run = kernel.run("%%groq\nHello")
    kernel.run("os.environ['GROQ_BASE_URL'] = base")
    assert len(run.stdout.strip().splitlines()) == 1
    assert "GROQ_API_KEY" in run.stdout
    assert "%groq demo" in run.stdout


def test_an_error_of_stream_is_one_line_too(kernel: Kernel) -> None:
    run = kernel.run("from groq_magic import stream; stream('')")
    assert run.error.startswith("InputError: The prompt is empty")
    assert len(run.error.splitlines()) == 1


def test_the_demo_command(kernel: Kernel, server: Demo) -> None:
    kernel.run("os.environ['GROQ_API_KEY'] = 'gsk_not_for_the_demo'")
    before = len(server.seen())
    try:
        on = kernel.run("%groq demo")
        assert "demo server on this machine" in on.stdout
        assert "groq-demo-" not in on.stdout
        kernel.run("from groq_magic.wire.endpoint import Endpoint")
        assert kernel.run("print(Endpoint.from_environment().headers)").stdout == "{}\n"
        text = kernel.run("print(stream('cat names').result())").stdout
        assert "Semicolon" in text
        assert len(server.seen()) == before
        assert "Groq again" in kernel.run("%groq demo off").stdout
        kernel.run("stream('cat names').wait()")
        assert len(server.seen()) == before + 1
    finally:
        kernel.run("del os.environ['GROQ_API_KEY']")


def test_an_interrupt_leaves_the_demo_server_alone(kernel: Kernel) -> None:
    kernel.run("%groq demo")
    busy = kernel.start("import time; print('begun', flush=True); time.sleep(20)")
    kernel.collect(busy, lambda: "begun" in busy.stdout)
    kernel.manager.interrupt_kernel()
    kernel.collect(busy, lambda: busy.reply is not None)
    assert "Semicolon" in kernel.run("print(stream('cat names').result(30))").stdout
    kernel.run("%groq demo off")


def test_a_broken_painting_still_ends_in_the_text(kernel: Kernel) -> None:
    run = kernel.run(
        "from groq_magic.display import live\n"
        "from groq_magic.markdown import StreamingMarkdown\n"
        "closing, making = StreamingMarkdown.close, live.static_bundle\n"
        "StreamingMarkdown.close = live.static_bundle = lambda *_: 1 / 0\n"
        "from groq_magic.answer import Answer\n"
        "from groq_magic.wire.protocol import Chunk, Delta\n"
        "import asyncio; is_shown = []\n"
        "async def chunks():\n"
        "    while not is_shown: await asyncio.sleep(0.01)\n"
        "    yield Chunk(Delta(content='a\\x1b[31mb'), finish_reason='stop')\n"
        "from groq_magic.display.show import show\n"
        "answer = Answer(chunks()).start(); show(answer)\n"
        "is_shown.append(True); answer.wait(); None"
    )
    plain = kernel.until_static(run)["content"]["data"]
    kernel.run("StreamingMarkdown.close, live.static_bundle = closing, making")
    assert plain == {"text/plain": "a[31mb"}  # a terminal may show it


def test_reasoning_that_failed_once_to_be_rendered_is_there_once(kernel: Kernel) -> None:
    run = kernel.run(
        "from groq_magic.markdown import StreamingMarkdown\n"
        "from groq_magic.answer import Answer\n"
        "from groq_magic.display.show import show\n"
        "from groq_magic.wire.protocol import Chunk, Delta\n"
        "import asyncio; flush, failed = StreamingMarkdown.flush, asyncio.Event()\n"
        "def fails_once(self):\n"
        "    if failed.is_set() or 'Hm' not in self._pending[0]: return flush(self)\n"
        "    failed.set(); raise ValueError\n"
        "StreamingMarkdown.flush = fails_once\n"
        "async def chunks():\n"
        "    yield Chunk(Delta('', 'Hm one.\\n\\nHm two.'))\n"
        "    while not failed.is_set(): await asyncio.sleep(0.01)\n"
        "    yield Chunk(Delta('Yes.'), finish_reason='stop')\n"
        "show(Answer(chunks()).start())"
    )
    data = kernel.until_static(run)["content"]["data"]
    kernel.run("StreamingMarkdown.flush = flush")
    assert (data["text/html"].count("Hm two."), data["text/plain"]) == (1, "Yes.")


def test_a_view_of_what_cannot_be_rendered_is_told_of_the_end(kernel: Kernel) -> None:
    run = kernel.run(
        "from groq_magic.markdown import StreamingMarkdown\n"
        "flush, close = StreamingMarkdown.flush, StreamingMarkdown.close\n"
        "StreamingMarkdown.flush = StreamingMarkdown.close = lambda self: 1 / 0\n"
        "answer = stream('cat names', display=True); answer.wait(); None"
    )
    widget = widget_of(run)
    kernel.until_static(run)
    kernel.send_to_widget(widget, {"type": "snapshot"})
    kernel.send_to_widget(widget, {"type": "static"})
    kernel.collect(run, lambda: custom(run, widget)[-1]["type"] == "static")
    kernel.run("StreamingMarkdown.flush, StreamingMarkdown.close = flush, close")
    *_, batch, snapshot, static = custom(run, widget)
    assert batch["status"]["state"] == snapshot["status"]["state"] == "done"
    assert static["output"]["data"]["text/plain"].startswith("Three names")


def test_a_view_that_cannot_be_told_still_leaves_the_text(kernel: Kernel) -> None:
    run = kernel.run(
        "from groq_magic.display.widget import AnswerWidget\n"
        "AnswerWidget.send = lambda *_: 1 / 0\n"
        "answer = stream('cat names', display=True); answer.wait(); None"
    )
    plain = kernel.until_static(run)["content"]["data"]
    kernel.run("del AnswerWidget.send")
    assert plain["text/plain"].startswith("Three names")


def test_at_the_end_of_the_process_no_output_waits_for_another(kernel: Kernel) -> None:
    """There is a second for all of them; here each would wait a minute for the one before."""
    run = kernel.run(
        "from groq_magic.display import live\n"
        "from groq_magic.runtime import runtime\n"
        "interval, live._SWAP_INTERVAL = live._SWAP_INTERVAL, 60\n"
        "many = [stream('math', model='demo/slow', display=True) for _ in range(40)]\n"
        "for answer in many: next(iter(answer))\n"
        "runtime.loop.close()\n"
        "live._SWAP_INTERVAL = interval"
    )
    kernel.collect(run, lambda: len(run.of_type("update_display_data")) == 40)
    states = {bundle(message)[1]["state"] for message in run.of_type("update_display_data")}
    assert states == {"stopped"}


def test_all_widgets_closed_the_answer_still_ends_in_its_place(kernel: Kernel) -> None:
    run = kernel.run("%%groq\nExplain server-sent events")
    kernel.run("import ipywidgets; ipywidgets.Widget.close_all()")
    data, metadata = bundle(kernel.until_static(run))
    assert metadata["state"] == "done"
    assert data["text/plain"].startswith("## Server-sent events")


def test_stream_shows_its_answer_once(kernel: Kernel) -> None:
    run = kernel.run("answer = stream('cat names', display=True)\nanswer")
    kernel.until_static(run)
    assert len(run.of_type("display_data")) == 1
    assert run.of_type("execute_result") == []


def test_an_answer_as_the_last_expression_is_shown(kernel: Kernel) -> None:
    run = kernel.run("stream('cat names')")
    data, _ = bundle(kernel.until_static(run))
    assert "Semicolon" in data["text/html"]
    again = kernel.run("answer")
    assert len(again.of_type("display_data")) == 1


def test_async_reading_in_a_cell(kernel: Kernel) -> None:
    run = kernel.run(
        "pieces = [piece async for piece in stream('cat names')]\n"
        "print(''.join(pieces) == await stream('cat names'))"
    )
    assert run.stdout == "True\n"


def test_the_help(kernel: Kernel) -> None:
    run = kernel.run("%%groq?")
    assert run.reply is not None
    (page,) = run.reply["content"]["payload"]
    for flag in ("--model", "--system", "--temperature", "--max-tokens", "--out", "--wait"):
        assert flag in page["data"]["text/plain"]


def test_unload_and_reload(kernel: Kernel) -> None:
    assert kernel.run("%unload_ext groq_magic").stdout == ""
    assert "not found" in kernel.run("%%groq\nHello").stdout
    assert kernel.run("%load_ext groq_magic").stdout == ""
    assert kernel.run("%reload_ext groq_magic").stdout == ""
    run = kernel.run("%%groq\ncat names")
    assert "Semicolon" in bundle(kernel.until_static(run))[0]["text/html"]


def test_the_magic_is_there_at_the_start_and_has_imported_nothing_heavy(tmp_path: Path) -> None:
    with running_kernel({**os.environ, "IPYTHONDIR": str(tmp_path)}, str(tmp_path)) as fresh:
        run = fresh.run(
            "import sys\n"
            "print(get_ipython().find_cell_magic('groq') is not None)\n"
            "print(sorted({'httpx', 'markdown_it', 'anywidget'} & set(sys.modules)))\n"
            "print([name for name in dir() if 'groq' in name])"
        )
    assert run.stdout == "True\n[]\n[]\n"
