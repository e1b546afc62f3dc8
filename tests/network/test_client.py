"""What goes over a real socket, and what comes of everything that can go wrong there."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import pickle
import re
import select
import socket
import sys
import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from groq_magic import (
    APIConnectionError,
    APIError,
    AuthenticationError,
    BadRequestError,
    IncompleteStreamError,
    InputError,
    InternalServerError,
    MissingKeyError,
    NotFoundError,
    ParseError,
    RateLimitError,
    SetUpError,
    Usage,
    stream,
)
from groq_magic.answer import Answer
from groq_magic.runtime import runtime
from groq_magic.wire.client import Client
from groq_magic.wire.connect import Connect, _Sockets
from groq_magic.wire.endpoint import Endpoint
from groq_magic.wire.models import KnownModels
from groq_magic.wire.protocol import Waiting
from groq_magic.wire.rate_limits import RateLimits
from tests.support.asker import ask
from tests.support.demo import Demo
from tests.support.event_streams import ERRORS
from tests.support.peer import (
    DONE,
    Connection,
    Script,
    answers,
    begins_then,
    delta,
    event,
    finish,
    peer,
    refusal,
)
from tests.support.waiting import free_port, until

KEY = "gsk_a_key_that_must_not_be_seen"


def test_the_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GROQ_API_KEY", KEY)
    with peer(answers("ok")) as server:
        monkeypatch.setenv("GROQ_BASE_URL", server.base_url)
        answer = stream("Grüße", model="m", system="S", temperature=0.5, max_completion_tokens=9)
        assert answer.result(30) == "ok"
        request = server.connection().request
    assert request.line == "POST /openai/v1/chat/completions HTTP/1.1"
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.headers["accept"] == "text/event-stream"
    assert request.headers["accept-encoding"] == "identity"
    assert "Grüße".encode() in request.body
    assert request.json == {
        "model": "m",
        "messages": [
            {"role": "system", "content": "S"},
            {"role": "user", "content": "Grüße"},
        ],
        "stream": True,
        "temperature": 0.5,
        "max_completion_tokens": 9,
    }


@pytest.mark.parametrize(
    ("given", "base_url"),
    [
        ("https://api.groq.com", "https://api.groq.com/openai/v1"),
        ("https://api.groq.com/", "https://api.groq.com/openai/v1"),
        ("https://api.groq.com/openai/v1", "https://api.groq.com/openai/v1"),
        (" https://api.groq.com/openai/v1/ ", "https://api.groq.com/openai/v1"),
        ("http://localhost:8000/v1", "http://localhost:8000/v1"),
        ("http://[::1]:8000", "http://[::1]:8000/openai/v1"),
    ],
)
def test_both_forms_of_base_url(given: str, base_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GROQ_API_KEY", KEY)
    assert Endpoint.from_environment(given).base_url == base_url
    monkeypatch.setenv("GROQ_BASE_URL", given)
    assert Endpoint.from_environment().base_url == base_url


def test_groq_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GROQ_API_KEY", KEY)
    assert Endpoint.from_environment().base_url == "https://api.groq.com/openai/v1"


def test_without_a_key_nothing_is_sent() -> None:
    with pytest.raises(MissingKeyError, match=r"GROQ_API_KEY.*%groq demo"):
        stream("Hello")


def test_this_machine_needs_no_key() -> None:
    with peer(answers("ok")) as server:
        assert stream("Hello", base_url=server.base_url).result(30) == "ok"
        assert "authorization" not in server.connection().request.headers


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://example.org/v1", "unencrypted"),
        ("ftp://example.org", "https://"),
        ("api.groq.com", "https://"),
        ("https://user:secret@example.org/v1", "password"),
        ("https://host:port", "not a URL"),
        ("https://xn--/", "not a URL"),
        ("https://a..b", "not a URL"),
        (f"https://{'a' * 64}.org", "not a URL"),
    ],
)
def test_urls_that_are_refused(url: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GROQ_API_KEY", KEY)
    with pytest.raises(InputError, match=message) as caught:
        stream("Hello", base_url=url)
    assert KEY not in str(caught.value)


def test_a_broken_key_is_named_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GROQ_API_KEY", f"{KEY}\nsecond line")
    with pytest.raises(InputError, match="GROQ_API_KEY") as caught:
        stream("Hello")
    assert KEY not in str(caught.value)


def test_the_key_is_in_no_repr() -> None:
    assert KEY not in repr(Endpoint("https://api.groq.com/openai/v1", KEY))


def test_redirects_are_not_followed() -> None:
    answer = ask(refusal("307 Temporary Redirect", b"", location="http://127.0.0.1:9/"))
    assert answer.state == "failed"
    assert getattr(answer.error, "status_code", None) == 307


@pytest.mark.parametrize(
    ("status", "error"),
    [
        ("401 Unauthorized", AuthenticationError),
        ("404 Not Found", NotFoundError),
        ("400 Bad Request", APIError),
    ],
)
def test_refusals_are_not_repeated(status: str, error: type[Exception]) -> None:
    with peer(refusal(status)) as server:
        answer = stream("Hello", base_url=server.base_url)
        answer.wait(30)
        assert isinstance(answer.error, error)
        assert len(server.connections) == 1


@pytest.mark.parametrize("then", [lambda c: None, Connection.until_closed], ids=["cut", "stalled"])
def test_a_status_counts_however_its_body_ends(then: Script) -> None:
    def play(connection: Connection) -> None:
        connection.send(b"HTTP/1.1 401 No\r\ncontent-length: 100\r\n\r\n{")
        then(connection)

    with peer(play) as server:
        answer = stream("Hello", base_url=server.base_url, timeout=2)
        assert answer.wait(30)
        assert len(server.connections) == 1
    assert str(answer.error).startswith("401 No. Set GROQ_API_KEY")


@pytest.mark.parametrize("status", ["429 Slow", "408 Slow", "498 Full", "500 Oh", "503 Oh"])
def test_what_passes_is_asked_again(status: str) -> None:
    answer = ask(refusal(status, retry_after="0.01"), answers("ok"))
    assert (answer.state, answer.text) == ("done", "ok")


def test_two_retries_and_no_more() -> None:
    with peer(refusal("500 Oh", b"<html>oh</html>", retry_after_ms="10")) as server:
        answer = stream("Hello", base_url=server.base_url)
        answer.wait(30)
        assert isinstance(answer.error, InternalServerError)
        assert str(answer.error) == "500 Oh. Run the cell again."
        assert len(server.connections) == 3


def test_the_server_may_forbid_and_demand_retries() -> None:
    forbidden = ask(refusal("429 Slow", x_should_retry="false"), answers("ok"))
    assert isinstance(forbidden.error, RateLimitError)
    demanded = ask(refusal("400 Hm", x_should_retry="true", retry_after="0.01"), answers("ok"))
    assert demanded.text == "ok"


def test_a_wait_of_minutes_is_left_to_the_user() -> None:
    answer = ask(refusal("429 Slow", retry_after="578"), answers("ok"))
    assert isinstance(answer.error, RateLimitError)
    assert answer.error.retry_after == 578
    assert "in 10 min" in str(answer.error)


def test_waiting_shows_and_can_be_stopped() -> None:
    with peer(refusal("429 Slow", retry_after="60")) as server:
        answer = stream("Hello", base_url=server.base_url)
        until(lambda: answer.state == "waiting")
        assert isinstance(answer.waiting, Waiting)
        assert (answer.waiting.reason, answer.waiting.attempt) == ("rate limit", 2)
        assert 0 < answer.seconds_to_retry <= 60
        answer.stop()
        assert answer.wait(30)
    assert answer.state == "stopped"


class _StopsAsItAnswers(httpx.AsyncBaseTransport):
    """Cancels the answer's task in the very turn of the loop in which the response is there."""

    class Body(httpx.AsyncByteStream):
        closed = threading.Event()

        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield delta("one")

        async def aclose(self) -> None:
            self.closed.set()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        (job,) = (job for job in runtime.loop.jobs if "_receive" in repr(job._coroutine))
        receiver: Any = job._coroutine
        asyncio.get_running_loop().call_soon(receiver.__self__._stop_here)
        return httpx.Response(200, stream=self.Body())


def test_a_stop_at_the_moment_of_the_response_closes_it() -> None:
    transport = _StopsAsItAnswers()
    answer = Answer(Client(transport=transport).stream(Endpoint("http://127.0.0.1/v1"), {})).start()
    answer.wait(30)
    assert answer.state == "stopped"
    assert transport.Body.closed.wait(30)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (lambda c: None, APIConnectionError),
        (lambda c: c.end(), IncompleteStreamError),
        (lambda c: (c.chunk(DONE), c.end()), IncompleteStreamError),
        (lambda c: c.chunk(b"event: error\n" + event({"error": {"message": "Hot"}})), APIError),
        (lambda c: c.chunk(b"data: {broken\n\n"), APIError),
        (lambda c: c.send(b"not a chunk\r\n"), APIConnectionError),
        (
            lambda c: c.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0"),
            APIConnectionError,
        ),
    ],
    ids=["closed", "ended", "done", "error event", "broken json", "broken chunk", "reset"],
)
def test_a_fault_keeps_the_text_and_is_not_retried(fault: Script, error: type[Exception]) -> None:
    with peer(begins_then(fault)) as server:
        answer = stream("Hello", base_url=server.base_url)
        assert answer.wait(30)
        assert len(server.connections) == 1
    assert (answer.state, answer.text) == ("failed", "one two")
    assert type(answer.error) is error


def test_a_fault_before_the_first_chunk_is_retried() -> None:
    answer = ask(lambda connection: None, answers("ok"))
    assert answer.text == "ok"


def test_text_behind_done_is_ignored() -> None:
    body = delta("one") + finish() + DONE + delta("two")
    assert ask(lambda connection: connection.respond(body)).text == "one"


def test_a_finished_answer_is_done_whatever_follows() -> None:
    answer = ask(begins_then(lambda c: c.chunk(finish())))
    assert (answer.state, answer.text) == ("done", "one two")


def test_a_server_of_another_make() -> None:
    body = b": ping\r\n\r\n" + delta("one").replace(b"\n", b"\r\n") + b": ping\n\n" + finish()
    body += event({"choices": [], "usage": {"prompt_tokens": 3}}) + b"data: [DONE]"
    answer = ask(lambda connection: connection.respond(body))
    assert (answer.state, answer.text) == ("done", "one")
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == 3


@pytest.mark.parametrize(
    ("body", "content_type", "error"),
    [
        (b'{"error": {"message": "Odd"}}', "application/json", APIError),
        (b'{"error": {"message": "Odd"}}', "Application/JSON; charset=UTF-8", APIError),
        (b'{"error": {"message": "Odd"}}', "text/plain", APIError),
        (b"<html>login</html>", "text/html", IncompleteStreamError),
        (b"not found", "text/plain", IncompleteStreamError),
    ],
)
def test_200_without_a_stream(body: bytes, content_type: str, error: type[Exception]) -> None:
    answer = ask(lambda connection: connection.respond(body, content_type=content_type))
    assert type(answer.error) is error


def whole(**more: object) -> bytes:
    """A response that is not a stream."""
    message = {
        "role": "assistant",
        "content": '{"a": 1}',
        "reasoning": "Hm.",
        "tool_calls": [{"id": name, "function": {"name": name}} for name in ("f", "g")],
        "executed_tools": [{"index": 0, "type": "python", "output": "2"}],
    }
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    usage = {"usage": {"prompt_tokens": 3}, "x_groq": {"id": "req_1", "seed": 5}}
    breakdown = {"usage_breakdown": {"models": [{"model": "b", "usage": {"prompt_tokens": 1}}]}}
    return json.dumps({"model": "m", "choices": [choice], **usage, **breakdown, **more}).encode()


def test_a_whole_answer_is_one_delta() -> None:
    answer = ask(refusal("200 OK", whole()))
    assert (answer.state, answer.finish_reason) == ("done", "stop")
    assert (answer.deltas(), answer.reasoning) == (['{"a": 1}'], "Hm.")
    assert [call.name for call in answer.tool_calls.values()] == ["f", "g"]
    assert answer.executed_tools == {0: {"index": 0, "type": "python", "output": "2"}}
    assert (answer.request_id, answer.seed, answer.model) == ("req_1", 5, "m")
    assert answer.usage == Usage(3, breakdown=(("b", Usage(1)),))
    assert answer.parsed == {"a": 1}


def test_a_whole_answer_that_is_cut_or_wrong_is_an_error() -> None:
    for body in (whole(choices=[5]), whole(choices=[{"message": {"tool_calls": [5]}}])):
        answer = ask(refusal("200 OK", body))
        assert type(answer.error) is APIError
    cut = ask(refusal("200 OK", whole()[:-9]))
    assert type(cut.error) is IncompleteStreamError


def test_a_whole_answer_may_take_longer_than_an_error_and_can_be_stopped() -> None:
    def play(connection: Connection) -> None:
        head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 999\r\n\r\n"
        connection.send(head.encode())
        connection.until_closed()

    with peer(play) as server:
        answer = stream("Hello", base_url=server.base_url, response_format=Cat)
        connection = server.connection()
        assert connection.request.json["stream"] is False
        with pytest.raises(ParseError, match=r"The answer has not ended: ''\. Wait for result"):
            _ = answer.parsed
        answer.stop()
        assert (answer.state, answer.text) == ("stopped", "")
        assert connection.closed.wait(30)


class Cat:
    """What pydantic's classes have, as far as it is used here."""

    def __init__(self, name: str) -> None:
        self.name = name

    @classmethod
    def model_json_schema(cls) -> dict[str, object]:
        return {"type": "object", "properties": {"name": {"type": "string"}}}

    @classmethod
    def model_validate_json(cls, text: str) -> Cat:
        return cls(json.loads(text)["name"])


def test_a_class_is_sent_as_a_schema_and_gives_the_instance(demo: Demo) -> None:
    before = len(demo.seen())
    answer = stream("A cat", model="demo/json", base_url=demo.base_url, response_format=Cat)
    assert answer.wait(60)
    assert isinstance(answer.parsed, Cat)
    assert answer.parsed.name == "Mochi"
    schema = {"name": "Cat", "schema": Cat.model_json_schema()}
    body = demo.seen()[before]["body"]
    assert body["response_format"] == {"type": "json_schema", "json_schema": schema}
    assert body["stream"] is False


def test_a_text_that_is_not_the_json() -> None:
    answer = ask(answers("Sure: ", '{"name"'))
    with pytest.raises(ParseError, match="not the JSON that was asked for: 'Sure: ") as caught:
        _ = answer.parsed
    assert caught.value.text == 'Sure: {"name"'


def test_an_answer_that_failed_raises_its_error_where_it_is_parsed() -> None:
    answer = ask(refusal("400 Bad Request"))
    with pytest.raises(BadRequestError):
        _ = answer.parsed


def test_a_stream_that_calls_itself_plain_text() -> None:
    def play(connection: Connection) -> None:
        connection.send(b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\n")
        connection.send(delta("one") + finish() + DONE)

    assert ask(play).text == "one"


def test_no_content_type_says_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GROQ_API_KEY", KEY)
    answer = ask(refusal("200 OK", b"x", content_type=f"text/html; {KEY}"))
    assert str(answer.error) == "The server sent text/html, not a stream. Check GROQ_BASE_URL."


def test_of_a_request_that_is_on_its_way_nothing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    trace = Connect._trace

    async def note(opening: Connect, event: str, info: Mapping[str, object]) -> None:
        told.append(event)
        await trace(opening, event, info)

    monkeypatch.setattr(Connect, "_trace", note)
    with peer(answers("one", "two")) as server:
        mine = Client(max_retries=0)
        assert Answer(mine.stream(Endpoint(server.base_url), {})).start().result(30) == "onetwo"
    assert told[:2] == ["connection.connect_tcp.started", "connection.connect_tcp.complete"]
    # Of the step that has begun httpcore tells the end, too.
    assert told[2:] == [
        "http11.send_request_headers.started",
        "http11.send_request_headers.complete",
    ]


def test_nobody_listens() -> None:
    with free_port() as port:
        answer = stream("Hello", base_url=f"http://127.0.0.1:{port}")
        answer.wait(30)
    assert isinstance(answer.error, APIConnectionError)
    assert "GROQ_BASE_URL" in str(answer.error)


def test_a_proxy_is_not_asked_for_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with peer(answers("ok")) as server:
        endpoint = Endpoint(server.base_url)
        answer = Answer(Client(max_retries=0).stream(endpoint, {"stream": True})).start()
        assert answer.result(30) == "ok"


def test_connections_are_used_again() -> None:
    def play(connection: Connection) -> None:
        connection.begin()
        connection.chunk(delta("one") + finish() + DONE)
        connection.end()
        connection.until_closed()

    with peer(play) as server:
        client, endpoint = Client(), Endpoint(server.base_url)
        Answer(client.stream(endpoint, {"stream": True})).start().result(30)
        until(lambda: not runtime.loop.jobs)  # the response is read to its end
        second = Answer(client.stream(endpoint, {"stream": True})).start()
        until(lambda: b"POST" in server.connections[0].rest)
        second.stop()
        assert len(server.connections) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # with threads, it says
def test_a_stop_is_seen_though_a_forked_child_lives_on() -> None:
    ends, holds = os.pipe()  # the child ends when the parent's end of it is closed
    with peer(begins_then(Connection.until_closed)) as server:
        answer = stream("Hello", base_url=server.base_url)
        next(iter(answer))
        child = os.fork()
        if child == 0:
            os.close(holds)
            select.select([ends], [], [], 90)
            os._exit(0)
        try:
            answer.stop()
            assert server.connection().closed.wait(30)
            assert os.waitpid(child, os.WNOHANG) == (0, 0)
        finally:
            os.close(holds)
            os.waitpid(child, 0)
            os.close(ends)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_keeps_what_is_not_ours() -> None:
    """A socket that has the file descriptor of a connection of ours that is gone."""
    with peer(answers("ok")) as server:
        stream("Hello", base_url=server.base_url).result(30)
        until(lambda: not runtime.loop.jobs)
    ours, theirs = socket.socketpair()
    runtime.own(_Sockets)[ours.fileno()] = Path(os.devnull).stat()
    with ours, theirs:
        child = os.fork()
        if child == 0:
            ours.send(b"still here")
            os._exit(0)
        os.waitpid(child, 0)
        theirs.settimeout(30)
        assert theirs.recv(100) == b"still here"


def test_a_key_that_the_server_says_is_not_said_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GROQ_API_KEY", KEY)
    told = {"error": {"message": f"Bad key {KEY}", "failed_generation": KEY}}
    escaped = json.dumps(told).replace("_", r"\u005F")
    refused = ask(refusal("401 No", json.dumps(told).encode()))
    refused_in_escapes = ask(refusal("401 No", escaped.encode()))
    refused_in_a_word = ask(refusal(f"401 {KEY}", b""))
    broken = ask(begins_then(lambda c: c.chunk(event(told))))
    for answer in (refused, refused_in_escapes, refused_in_a_word, broken):
        assert isinstance(answer.error, APIError)
        assert "[API key]" in str(answer.error)
        assert KEY not in str(vars(answer.error))


def test_a_key_in_a_header_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GROQ_API_KEY", KEY)
    said = {"x_request_id": f"req-{KEY}", "x_other": KEY}
    done = ask(lambda c: c.respond(delta("ok") + finish() + DONE, **said))
    refused = ask(refusal("401 No", b"", **said))
    assert isinstance(refused.error, APIError)
    assert done.request_id == refused.request_id == refused.error.request_id == "req-[API key]"
    assert KEY not in f"{vars(done._receiver.content)}{vars(refused._receiver.content)}"


@pytest.mark.parametrize("key", ["none", "content", "x"])
def test_a_key_that_is_a_word_changes_no_answer(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GROQ_API_KEY", key)
    text = "There is none left,\nnone: content with \\x."
    assert ask(answers(text)).text == text


@pytest.mark.parametrize(
    ("key", "said", "masked"),
    [
        ('gsk_a/b+"c\\d=0123', r'"gsk_a\/b+\"c\\d=0123"', '"[API key]"'),
        ("gsk_0123456789abcdef", r'"gsk\u005F0123456789abcde\u0066\n"', r'"[API key]\n"'),
        ("none-0123456789abcdef", r'"no\ne-0123456789abcdef"', None),
        ("fifteen-letters", "fifteen-letters", None),
        ("sixteen-letters-", "sixteen-letters-", "[API key]"),
    ],
)
def test_the_forms_in_which_a_key_is_masked(key: str, said: str, masked: str | None) -> None:
    assert Endpoint("https://api.groq.com/openai/v1", key).without_key(said) == (masked or said)


def test_the_key_is_in_no_pickle() -> None:
    endpoint = Endpoint("https://api.groq.com/openai/v1", KEY)
    assert KEY.encode() not in pickle.dumps(endpoint)


def test_the_key_is_in_no_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("GROQ_API_KEY", KEY)
    with caplog.at_level(logging.DEBUG):
        assert ask(refusal("429 Slow", retry_after="0.01"), answers("ok")).text == "ok"
        ask(refusal("401 No"))
    assert any(record.name.startswith("httpcore") for record in caplog.records)
    assert KEY not in caplog.text
    assert not any(KEY in str(vars(record)) for record in caplog.records)


def test_plain_http_when_the_user_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GROQ_API_KEY", KEY)
    with pytest.raises(InputError, match="GROQ_SEND_KEY_UNENCRYPTED=yes"):
        Endpoint.from_environment("http://example.org/v1")
    monkeypatch.setenv("GROQ_SEND_KEY_UNENCRYPTED", "yes")
    with peer(answers("ok")) as server:
        elsewhere = server.base_url.replace("127.0.0.1", "127.1")  # no name of this machine's
        assert stream("Hello", base_url=elsewhere).result(30) == "ok"
        assert server.connection().request.headers["authorization"] == f"Bearer {KEY}"


def test_a_base_url_is_text() -> None:
    with pytest.raises(InputError, match=r"base_url must be a URL, not 5\."):
        stream("Hello", base_url=5)  # type: ignore[arg-type]


def test_near_model_names() -> None:
    missing = b'{"error": {"message": "The model `opanai/gpt-oss` does not exist", '
    missing += b'"code": "model_not_found"}}'
    listed = b'{"data": [{"id": "openai/gpt-oss-20b"}, {"id": "qwen/qwen3.6-27b"}]}'
    with peer(refusal("404 No", missing), refusal("200 OK", listed), models=True) as server:
        answer = stream("Hello", model="opanai/gpt-oss", base_url=server.base_url)
        answer.wait(30)
        assert server.connection(1).request.line.startswith("GET /openai/v1/models ")
    assert str(answer.error).endswith("Similar names, for -m: openai/gpt-oss-20b.")


@pytest.mark.parametrize("length", [100, 200])
def test_a_stop_is_heard_while_near_names_are_sought(length: int) -> None:
    """These names are slow to compare: a thousand take ten seconds and more."""
    names = [f"{'ab' * (length // 2 - 3)}{number:06}" for number in range(4000)]
    missing = b'{"error": {"message": "No", "code": "model_not_found"}}'
    listed = json.dumps({"data": [{"id": name} for name in names]}).encode()
    with peer(refusal("404 No", missing), refusal("200 OK", listed), models=True) as server:
        answer = stream("Hello", model="aabb" * (length // 4), base_url=server.base_url)
        until(lambda: runtime.own(KnownModels).of(server.base_url))
        other = stream("Hello", base_url=server.base_url)
        other.stop()
        assert other.wait(30)
        assert answer.wait(30)
    assert str(answer.error).startswith("404 No.")


def test_rate_limits_are_read() -> None:
    body = delta("ok") + finish() + DONE
    limits = {
        "x_ratelimit_limit_requests": "1000",
        "x_ratelimit_remaining_tokens": "4926",
        "x_ratelimit_reset_requests": "5m45.6s",
        "x_ratelimit_reset_tokens": "soon",
    }
    answer = ask(lambda connection: connection.respond(body, x_request_id="req_7", **limits))
    assert answer.rate_limits == RateLimits(1000, None, 345.6, None, 4926, None)
    assert answer.request_id == "req_7"


def test_when_to_come_back_is_read_from_the_message() -> None:
    said = b'{"error": {"message": "Rate limit reached. Please try again in 9m38.016s. Bye"}}'
    error = ask(refusal("429 Slow", said)).error
    assert isinstance(error, RateLimitError)
    assert error.retry_after == pytest.approx(578.016)


@pytest.mark.parametrize(
    ("name", "value"),
    [("ALL_PROXY", "socks5://127.0.0.1:9"), ("SSL_CERT_FILE", "/nowhere/ca.pem")],
)
def test_an_environment_that_cannot_be_followed(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    monkeypatch.setitem(sys.modules, "socksio", None)  # as where it is not installed
    answer = Answer(Client().stream(Endpoint("https://127.0.0.1:9/v1"), {})).start()
    answer.wait(30)
    assert type(answer.error) is SetUpError
    assert name in str(answer.error)


@pytest.mark.parametrize(
    "data",
    [{"choices": ["x"]}, {"choices": [{"delta": {"content": 5}}]}, {"usage": 7}, {"choices": 3}],
)
def test_a_chunk_of_another_form(data: object) -> None:
    answer = ask(begins_then(lambda c: c.chunk(event(data))))
    assert (type(answer.error), answer.text) == (APIError, "one two")


@pytest.mark.parametrize(("wire", "said"), ERRORS)
def test_bodies_of_other_servers_errors(wire: object, said: str) -> None:
    body = json.dumps(wire).encode()
    assert re.match(f"400 {said}. ", str(ask(refusal("400 No", body)).error))
    assert re.match(f"{said}. ", str(ask(refusal("200 OK", body)).error))


def test_a_message_of_several_lines_is_shown_in_one() -> None:
    answer = ask(refusal("400 No", b'{"error": {"message": "one\\n  two"}}'))
    assert str(answer.error) == "400 one two. Change the cell or its flags."


def test_no_server_steers_a_terminal() -> None:
    answer = ask(
        begins_then(lambda c: c.chunk(event({"error": {"message": "Hot\u001b]0;owned\u0007"}})))
    )
    assert str(answer.error) == "Hot]0;owned. Run the cell again."


def endless_list(connection: Connection) -> None:
    connection.begin()
    with suppress(OSError):
        while True:
            connection.chunk(b" " * 2**10)
    connection.closed.set()


@pytest.mark.parametrize(
    "listing",
    [
        refusal("200 OK", b'{"data": 5}'),
        refusal("200 OK", b'{"data": [5, ["id"], {"name": "m"}]}'),
        refusal("200 OK", b"no JSON"),
        endless_list,
    ],
)
def test_a_list_of_models_that_is_none_changes_nothing(listing: Script) -> None:
    refused = b'{"error": {"message": "No such", "code": "model_not_found"}}'
    answer = ask(refusal("404 Not Found", refused), listing, models=True)
    assert str(answer.error) == "404 No such. Choose another model with -m."
