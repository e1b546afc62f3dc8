"""The demo server is for the one who started it."""

from __future__ import annotations

import http.client
import os
from base64 import b64decode
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

from groq_magic import Answer, Message, stream
from groq_magic.demo import server as demo_module
from groq_magic.runtime import runtime
from groq_magic.wire.endpoint import Endpoint
from tests.support.demo import Demo

KEY = "gsk_not_for_the_demo"


def status(url: str, body: bytes | None = None, **headers: str) -> int:
    """What the server answers to these headers; 400 where it hangs up."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
    try:
        connection.request("POST" if body else "GET", parts.path, body, headers)
        return connection.getresponse().status
    except ConnectionError:
        return 400
    finally:
        connection.close()


def test_only_who_knows_its_secret_is_answered(demo: Demo) -> None:
    secret = urlsplit(demo.base_url).path.split("/")[1]
    assert len(secret) > 30
    assert status(f"{demo.base_url}/models") == 200
    assert status(f"{demo.base_url}/models".replace(secret, "groq-demo-")) == 404
    assert status(f"{demo.base_url}/models".replace(f"/{secret}", "")) == 404


@pytest.mark.parametrize(
    "path", ["openai/v1/models", "openai/v1/chat/completions", "demo/requests"]
)
@pytest.mark.parametrize(
    "headers", [{"Host": "evil.example"}, {"Host": "127.0.0.1:1"}, {"Origin": "null"}]
)
def test_no_page_of_a_browser_is_answered(demo: Demo, path: str, headers: dict[str, str]) -> None:
    body = b"{}" if path.endswith("completions") else None
    before = len(demo.seen())
    assert status(demo.base_url.removesuffix("openai/v1") + path, body, **headers) == 403
    assert len(demo.seen()) == before


def test_a_body_has_a_largest_size(demo: Demo) -> None:
    url = f"{demo.base_url}/chat/completions"
    before = len(demo.seen())
    assert status(url, b"{}", **{"Content-Length": str(2**25 + 1)}) == 400
    assert len(demo.seen()) == before


def test_it_keeps_no_request_unless_told_to() -> None:
    url = demo_module.start()
    assert stream("cat names", base_url=url).result(60)
    assert status(url.replace("/openai/v1", "/demo/requests")) == 404


def test_it_gets_no_key(monkeypatch: pytest.MonkeyPatch, demo: Demo) -> None:
    monkeypatch.setenv("GROQ_API_KEY", KEY)
    assert Endpoint.from_environment(demo.base_url).api_key is None
    assert Endpoint.from_environment().api_key is None
    elsewhere = demo.base_url.replace("127.0.0.1", "example.org").replace("http:", "https:")
    assert Endpoint.from_environment(elsewhere).api_key == KEY


def test_it_inherits_what_python_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GROQ_API_KEY", "OTHER_TOKEN"):
        monkeypatch.setenv(name, KEY)
    monkeypatch.setattr(runtime.own(demo_module._Demo), "started", None)
    reading, writing = os.pipe()
    os.set_inheritable(reading, True)  # noqa: FBT003  # it has no name
    demo_module.start()
    started = runtime.own(demo_module._Demo).started
    assert started
    try:
        process = psutil.Process(started.process.pid)
        assert KEY not in process.environ().values()
        assert not set(process.environ()) - set(demo_module._NEEDED) - {"LC_CTYPE"}
        inherited = os.fstat(reading).st_ino
        opened = Path(f"/proc/{process.pid}/fd").iterdir()
        assert inherited not in {descriptor.stat().st_ino for descriptor in opened}
    finally:
        started.process.terminate()
        started.process.wait()
        os.close(reading)
        os.close(writing)


def asked(demo: Demo, model: str) -> Answer:
    answer = stream("A question", model=model, base_url=demo.base_url)
    assert answer.wait(60)
    return answer


def test_a_search_has_its_pages(demo: Demo) -> None:
    answer = asked(demo, "demo/search")
    assert (answer.state, answer.finish_reason) == ("done", "stop")
    search, opened = answer.executed_tools.values()
    assert (search["type"], opened["type"]) == ("browser_search", "browser.open")
    assert [source.url[:16] for source in answer.sources] == ["https://example."] * 3
    assert "【1†L4-L4】" in answer.text


def test_a_run_of_python_has_its_output_and_its_picture(demo: Demo) -> None:
    answer = asked(demo, "demo/python")
    (run,) = answer.executed_tools.values()
    assert run["output"] == "mean 27.2\n"
    assert b64decode(run["code_results"][0]["png"]).startswith(b"\x89PNG")


def test_tool_calls_and_what_follows_their_results(demo: Demo) -> None:
    answer = asked(demo, "demo/tools")
    calls = answer.tool_calls.values()
    assert (answer.finish_reason, answer.text) == ("tool_calls", "")
    assert [call.parse()["city"] for call in calls] == ["Paris", "Reykjavík"]
    results = [Message("tool", "three names", tool_call_id=call.id) for call in calls]
    messages = [Message("user", "A question"), Message("assistant", "", tool_calls=calls), *results]
    after = stream(messages, model="demo/tools", base_url=demo.base_url)
    assert after.result(60).startswith("Three names")


def test_an_answer_that_the_filter_ends(demo: Demo) -> None:
    answer = asked(demo, "demo/filter")
    assert (answer.state, answer.finish_reason) == ("done", "content_filter")
    assert answer.text


@pytest.mark.parametrize("model", ["demo/search", "demo/python", "demo/tools", "demo/json"])
def test_an_unstreamed_answer_is_the_same(demo: Demo, model: str) -> None:
    schema = {"type": "json_schema", "json_schema": {"name": "a", "schema": {}}}
    streamed, whole = (
        stream("A question", model=model, base_url=demo.base_url, response_format=form)
        for form in (None, schema)
    )
    assert whole.wait(60)
    assert streamed.wait(60)
    assert len(whole.deltas()) <= 1
    for name in ("text", "reasoning", "finish_reason", "tool_calls", "sources"):
        assert getattr(whole, name) == getattr(streamed, name)
