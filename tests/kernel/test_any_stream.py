"""`show()` in a real kernel: its loop reads asynchronous sources between the cells."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.support.demo import Demo
from tests.support.kernels import Kernel, bundle, running_kernel, widget_of

TOKENS_PER_SECOND = 200
SETUP = """
import asyncio, httpx
from groq_magic import show
client = httpx.AsyncClient(timeout=60)
async def words():
    for word in ("one ", "**two**"):
        await asyncio.sleep(0.01)
        yield word
async def answer_of(model):
    body = {"model": model, "messages": [{"role": "user", "content": "A long history"}]}
    url = "%s/chat/completions"
    sent = client.build_request("POST", url, json=body | {"stream": True})
    response = await client.send(sent, stream=True)
    import json
    class Chunks:
        def __init__(self):
            self.response = response
        async def __aiter__(self):
            async for line in response.aiter_lines():
                if line.startswith("data: {"):
                    yield json.loads(line[6:])
    return Chunks()
"""


@pytest.fixture(scope="module")
def kernel(server: Demo, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    home = tmp_path_factory.mktemp("home")
    with running_kernel({**os.environ, "IPYTHONDIR": str(home)}, str(home)) as kernel:
        assert not kernel.run(SETUP % server.base_url).error
        yield kernel


def test_an_asynchronous_source_is_live_and_then_static(kernel: Kernel) -> None:
    run = kernel.run("show(words())")
    assert not run.of_type("execute_result")  # not its repr, too
    data, metadata = bundle(kernel.until_static(run))
    assert data["text/plain"] == "one **two**"
    assert "<strong>two</strong>" in data["text/html"]
    assert (metadata["model"], metadata["state"]) == ("a stream", "done")


def test_a_stop_closes_a_connection_of_the_kernels_loop(kernel: Kernel, server: Demo) -> None:
    run = kernel.run("slow = show(await answer_of('demo/slow'))")
    kernel.collect(run, lambda: kernel.run("print(bool(slow.text))").stdout == "True\n")
    kernel.send_to_widget(widget_of(run), {"type": "stop"})
    server.until("closed")
    assert kernel.run("print(slow.state, slow.model)").stdout == "stopped demo/slow\n"


def test_where_nobody_watches_the_cell_waits_if_it_can(kernel: Kernel) -> None:
    run = kernel.run("show(iter(['one ', 'two']))", interactive=False)
    (shown,) = run.of_type("display_data")
    assert bundle(shown)[0]["text/plain"] == "one two"


def test_where_nobody_watches_an_awaited_answer_is_in_the_file(kernel: Kernel) -> None:
    run = kernel.run("await show(words())", interactive=False)
    (shown,) = run.of_type("display_data")
    assert "await show(...)" in shown["content"]["data"]["text/plain"]
    (updated,) = run.of_type("update_display_data")  # before the kernel was idle
    assert bundle(updated)[0]["text/plain"] == "one **two**"
    assert updated["content"]["transient"] == shown["content"]["transient"]


def test_a_cell_that_would_hold_its_own_loop_says_so(kernel: Kernel) -> None:
    run = kernel.run("show(words()).result()")
    assert "Wait with: await answer" in run.error
