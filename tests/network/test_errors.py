"""What a server's refusals become: a class, a line that names the next step, a wait."""

from __future__ import annotations

import asyncio
import copy
import json
import pickle
import time
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from groq_magic import (
    APIError,
    APIStatusError,
    BadRequestError,
    CapacityError,
    ConflictError,
    GroqError,
    InputError,
    InternalServerError,
    MissingKeyError,
    PermissionDeniedError,
    RateLimitError,
    RequestTooLargeError,
    UnprocessableEntityError,
    stream,
)
from groq_magic.wire.client import Client
from groq_magic.wire.endpoint import Endpoint
from groq_magic.wire.protocol import Waiting
from tests.support.asker import ask
from tests.support.peer import Connection, Script, answers, begins_then, event, peer, refusal

NO = b'{"error": {"message": "No"}}'
SHORTEN = "Shorten the prompt or the chat, or lower --max-tokens."


def refused(status: str) -> APIStatusError:
    """The error of a response that is not tried again."""
    error = ask(refusal(status, x_should_retry="false")).error
    assert isinstance(error, APIStatusError)
    return error


@pytest.mark.parametrize(
    ("status", "kind", "step"),
    [
        (302, APIStatusError, "Check GROQ_BASE_URL."),
        (402, APIStatusError, "Check https://console.groq.com/settings/billing."),
        (403, PermissionDeniedError, "Use another key, or choose another model with -m."),
        (405, APIStatusError, "Check GROQ_BASE_URL."),
        (408, APIStatusError, "Run the cell again."),
        (409, ConflictError, "Run the cell again."),
        (413, RequestTooLargeError, "Shorten the prompt, or lower --max-tokens."),
        (422, UnprocessableEntityError, "Run the cell again."),
        (424, APIStatusError, "Check the remote tools that the request names, and their auth"),
        (429, RateLimitError, "Lower --max-tokens, or shorten the prompt."),
        (498, CapacityError, "Run the cell again later."),
        (499, APIStatusError, "Run the cell again."),
        (502, InternalServerError, "Run the cell again."),
    ],
)
def test_each_status_has_its_class_and_its_next_step(
    status: int, kind: type[Exception], step: str
) -> None:
    error = refused(f"{status} Oh")
    assert type(error) is kind
    assert error.status_code == status
    assert str(error).startswith(f"{status} No. {step}")


@pytest.mark.parametrize(
    ("status", "code", "step"),
    [
        ("400 No", "context_length_exceeded", SHORTEN),
        ("413 No", "context_length_exceeded", SHORTEN),
        ("400 No", "model_decommissioned", "Choose another model with -m."),
        ("413 No", "rate_limit_exceeded", "Shorten the prompt, or lower --max-tokens."),
        ("400 No", {"a": 1}, "Change the cell or its flags."),
        ("400 No", 400, "Change the cell or its flags."),
    ],
)
def test_a_code_knows_better(status: str, code: object, step: str) -> None:
    body = json.dumps({"error": {"message": "No", "code": code}}).encode()
    error = ask(refusal(status, body)).error
    assert str(error) == f"{status}. {step}"


@pytest.mark.parametrize(
    ("status", "step"),
    [
        (400, "Change the cell or its flags."),
        (413, "Shorten the prompt, or lower --max-tokens."),
        (503, "Run the cell again."),
        (None, "Run the cell again."),
        ("400", "Run the cell again."),
    ],
)
def test_an_error_in_a_stream_has_the_step_of_its_status(status: object, step: str) -> None:
    said = {"error": {"message": "Hot", "status_code": status}}
    error = ask(begins_then(lambda c: c.chunk(event(said)))).error
    assert type(error) is APIError
    assert (error.request_id, error.retry_after, str(error)) == (None, None, f"Hot. {step}")


def test_a_refusal_has_what_the_server_said_of_it() -> None:
    body = b'{"error": {"message": "No", "type": "t", "param": "p", "code": 7}}'
    error = ask(refusal("400 No", body, x_request_id="req_7")).error
    assert isinstance(error, BadRequestError)
    assert (error.request_id, error.type, error.param, error.code) == ("req_7", "t", "p", "7")


def test_an_error_body_is_read_only_in_part() -> None:
    sent = 0

    def play(connection: Connection) -> None:
        nonlocal sent
        connection.send(b"HTTP/1.1 400 Big\r\ncontent-length: 1000000000000\r\n\r\n")
        while True:
            connection.send(b" " * 2**16)
            sent += 2**16

    with peer(play) as server:
        answer = stream("Hello", base_url=server.base_url)
        assert answer.wait(30)
        assert server.connection().closed.wait(30)
    assert str(answer.error) == "400 Big. Change the cell or its flags."
    assert sent < 2**26  # what fits between two sockets, and no more


# When it is tried again


def tried(*scripts: Script) -> tuple[list[float], GroqError | None]:
    """The seconds that it says to wait between these responses, which nobody does; the error."""
    waits: list[float] = []

    async def ask(base_url: str) -> None:
        client = Client(max_retries=len(scripts) - 1)
        async with aclosing(client.stream(Endpoint(base_url), {})) as items:
            async for item in items:
                if isinstance(item, Waiting):
                    waits.append(item.seconds)  # noqa: PERF401  # kept where an error ends it

    with peer(*scripts) as server:
        try:
            asyncio.run(ask(server.base_url))
        except GroqError as error:
            return waits, error
    return waits, None


def date_in(seconds: int) -> str:
    return format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)


@pytest.mark.parametrize("status", ["409 Twice", "502 Bad", "408 Slow", "498 Full"])
def test_it_is_tried_again_later_and_later(status: str) -> None:
    waits, error = tried(*[refusal(status)] * 7)
    longest = [0.5, 1, 2, 4, 8, 8]
    assert all(most * 0.75 <= wait <= most for wait, most in zip(waits, longest, strict=True))
    assert isinstance(error, APIStatusError)


@pytest.mark.parametrize(
    ("headers", "least", "most"),
    [
        ({"retry_after": "60"}, 60, 60),
        ({"retry_after_ms": "1500", "retry_after": "7"}, 1.5, 1.5),
        ({"retry_after_ms": "soon", "retry_after": "7"}, 7, 7),
        ({"retry_after": "Mon, 01 Jan 2024 00:00:00 GMT"}, 0.375, 0.5),
        ({"retry_after": "0"}, 0.375, 0.5),
        ({"retry_after": "-5"}, 0.375, 0.5),
        ({"retry_after": "nan"}, 0.375, 0.5),
        ({"retry_after": "1e400"}, 0.375, 0.5),
        ({"retry_after": "Mon, 01 Jan 2024 00:00:00 +99999999999999"}, 0.375, 0.5),
        ({"retry_after": "Mon, 01 Jan 99999 00:00:00 GMT"}, 0.375, 0.5),
    ],
)
def test_when_to_come_back(headers: dict[str, str], least: float, most: float) -> None:
    (wait,), error = tried(refusal("429 Slow", NO, **headers), answers("ok"))
    assert least <= wait <= most
    assert error is None


def test_a_date_says_when_to_come_back() -> None:
    begun = time.time()

    def play(connection: Connection) -> None:
        refusal("429 Slow", NO, retry_after=date_in(50))(connection)

    (wait,), error = tried(play, answers("ok"))
    # A date has whole seconds; what the machine took until it was read is no longer waited for.
    assert 49 - (time.time() - begun) <= wait <= 50
    assert error is None


def test_a_wait_beyond_a_minute_is_the_users() -> None:
    waits, error = tried(refusal("429 Slow", retry_after="60.5"), answers("ok"))
    assert waits == []
    assert str(error) == "429 No. Run the cell again in 61 s."


@pytest.mark.parametrize("said", ["0", "-915", "nan", "inf", "Mon, 01 Jan 2024 00:00:00 GMT"])
def test_no_wait_is_said_that_is_none(said: str) -> None:
    _, error = tried(refusal("429 Slow", retry_after=said))
    assert str(error) == "429 No. Run the cell again later."


def test_a_request_beyond_the_limit_is_not_to_come_back() -> None:
    message = "Request too large for model `m` (OTPM): Limit 1000, Requested 2512"
    body = json.dumps({"error": {"message": message}}).encode()
    waits, error = tried(refusal("429 Slow", body, x_should_retry="false"), answers("ok"))
    assert waits == []
    assert str(error) == f"429 {message}. Lower --max-tokens, or shorten the prompt."


@pytest.mark.parametrize(
    "fault",
    [lambda c: None, lambda c: c.chunk(b": ping\n\n"), lambda c: c.send(b"no chunk\r\n")],
    ids=["closed", "only a comment", "no chunk"],
)
def test_a_fault_between_the_headers_and_the_first_chunk_is_retried(fault: Script) -> None:
    def play(connection: Connection) -> None:
        connection.begin()
        fault(connection)

    waits, error = tried(play, answers("ok"))
    assert len(waits) == 1
    assert error is None


# Kept and sent around


def made(error: GroqError) -> dict[str, Any]:
    return {"type": type(error), "text": str(error), "args": error.args, **vars(error)}


@pytest.mark.parametrize(
    "error",
    [
        MissingKeyError(),
        InputError("No."),
        APIError("m", {"code": "c", "failed_generation": "f"}),
        RateLimitError("m", {"type": "t"}, status_code=429, request_id="r", retry_after=9.0),
    ],
)
def test_errors_are_pickled_and_copied(error: GroqError) -> None:
    assert made(pickle.loads(pickle.dumps(error))) == made(error)
    assert made(copy.copy(error)) == made(copy.deepcopy(error)) == made(error)


def test_the_key_is_in_no_pickle_of_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    key = "gsk_0123456789abcdef"
    monkeypatch.setenv("GROQ_API_KEY", key)
    for script in (refusal(f"401 {key}"), begins_then(lambda c: None)):
        error = ask(script).error
        assert error is not None
        assert key.encode() not in pickle.dumps(error)
