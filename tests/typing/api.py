"""The public names as their users' type checkers see them; nothing here is run.

``nox -s lint`` checks it. A wrong use that stops being an error is an unused ignore then.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any, Literal, assert_never, assert_type

from groq_magic import (
    Answer,
    APIConnectionError,
    APIError,
    APIStatusError,
    GroqError,
    InputError,
    Kept,
    Message,
    MissingKeyError,
    RateLimitError,
    ToolCall,
    Usage,
    stream,
)


def asked_in_all_ways() -> None:
    answer = stream("Hello")
    assert_type(answer, Answer)
    stream([{"role": "user", "content": "Hello"}], model="m", system="Be brief.")
    assert_type(stream("Hello", keep="fresh", store="a.db").kept, Kept | None)
    stream("Hello", keep="newest")  # type: ignore[arg-type]
    stream([Message("user", "Hello"), {"role": "assistant", "content": "Hi"}, Message("user", "?")])
    call = ToolCall(0, "call_1", "now")
    stream([Message("assistant", "", tool_calls=(call,)), Message("tool", "1", tool_call_id="a")])
    stream([{"role": "assistant", "content": None, "tool_calls": [call]}])
    assert_type(call.parse(), dict[str, Any])
    stream("Hello", temperature=0, top_p=0.5, max_completion_tokens=10, seed=1, stop=["a", "b"])
    stream("Hello", stop="a", reasoning_effort="low", reasoning_format="parsed")
    stream("Hello", service_tier="flex", base_url="https://localhost", timeout=1, max_retries=0)
    stream("Hello", display=True, tools=[{"type": "function"}], user="me")


def read_in_all_ways(answer: Answer) -> None:
    for delta in answer:
        assert_type(delta, str)
    assert_type(iter(answer), Iterator[str])
    assert_type(answer.result(), str)
    assert_type(answer.result(timeout=1.5), str)
    assert_type(answer.wait(1), bool)
    assert_type(answer.deltas(3), list[str])
    assert_type(answer.text, str)
    assert_type(answer.reasoning, str)
    assert_type("".join(answer), str)


async def read_in_a_loop(answer: Answer) -> None:
    async for delta in answer:
        assert_type(delta, str)
    assert_type(aiter(answer), AsyncIterator[str])
    assert_type(await answer, str)
    assert_type(await answer.changed(0), int)
    async with answer as same:
        assert_type(same, Answer)


def what_is_known_of_it(answer: Answer) -> None:
    assert_type(answer.model, str)
    assert_type(answer.parameters, dict[str, Any])
    assert_type(answer.ended, bool)
    assert_type(answer.finish_reason, str | None)
    assert_type(answer.request_id, str | None)
    assert_type(answer.seed, int | None)
    assert_type(answer.tokens, int)
    assert_type(answer.seconds, float)
    assert_type(answer.time_to_first_token, float | None)
    assert_type(answer.rate_limits.remaining_tokens, int | None)
    assert_type(answer.tool_calls, dict[int, ToolCall])
    assert_type(answer.error, BaseException | None)
    assert_type(answer.usage, Usage | None)
    if answer.usage:
        assert_type(answer.usage.completion_tokens, int | None)
        assert_type(answer.usage.completion_time, float | None)


def the_states_are_these(answer: Answer) -> str:
    assert_type(
        answer.state,
        Literal["connecting", "waiting", "streaming", "done", "stopped", "failed"],
    )
    match answer.state:
        case "connecting" | "waiting" | "streaming":
            return "It comes."
        case "done" | "stopped" | "failed":
            return "It has ended."
        case never:
            assert_never(never)


def what_is_raised_is_caught() -> None:
    try:
        stream("Hello").result()
    except RateLimitError as error:
        assert_type(error.retry_after, float | None)
        assert_type(error.status_code, int)
    except APIError as error:
        assert_type(error.message, str)
        assert_type(error.code, str | None)
    except (APIConnectionError, MissingKeyError) as error:
        assert_type(str(error), str)


def the_errors_are_a_family() -> tuple[type[GroqError], ...]:
    value_error: type[ValueError] = InputError
    assert issubclass(value_error, GroqError)
    return APIStatusError, APIConnectionError, InputError


def wrong_uses(answer: Answer) -> None:
    stream()  # type: ignore[call-arg]
    stream(1)  # type: ignore[arg-type]
    stream([Message("user")])  # type: ignore[call-arg]
    stream("Hello", "m")  # type: ignore[call-arg]
    stream("Hello", temperature="hot")  # type: ignore[arg-type]
    stream("Hello", stop=[1])  # type: ignore[list-item]
    stream("Hello", max_completion_tokens=1.5)  # type: ignore[arg-type]
    stream("Hello").result().usage  # type: ignore[attr-defined]  # noqa: B018
    answer.text = ""  # type: ignore[misc]
    answer.state = "done"  # type: ignore[misc]
    answer.result("soon")  # type: ignore[arg-type]
    answer.completion  # type: ignore[attr-defined]  # noqa: B018
    len(answer)  # type: ignore[arg-type]
    if answer.state == "finished":  # type: ignore[comparison-overlap]
        answer.stop()


async def wrong_waits(answer: Answer) -> None:
    await stream("Hello").result()  # type: ignore[misc]
