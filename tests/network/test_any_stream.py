"""`show()`: sources of every kind, read where they belong, closed by a Stop."""

from __future__ import annotations

import asyncio
import contextvars
import itertools
import queue
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from groq_magic import Answer, APIError, InputError, StreamError, show
from groq_magic.display.static import static_bundle
from groq_magic.streams.show import answer_of
from tests.support.peer import Connection, Peer, begins_then, peer
from tests.support.waiting import until


def started(source: Any) -> Answer:
    """As `show` in a notebook, which does not wait."""
    return answer_of(source).start()


class Stream:
    """As the streams of the openai, groq and anthropic packages: it holds a response."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response

    def __iter__(self) -> Iterator[str]:
        yield from self.response.iter_text()

    def close(self) -> None:
        self.response.close()


class AsyncStream(Stream):
    async def __aiter__(self) -> AsyncIterator[str]:
        async for text in self.response.aiter_text():
            yield text

    async def close(self) -> None:  # type: ignore[override]
        await self.response.aclose()

    __iter__ = None  # type: ignore[assignment]


def asked(client: httpx.Client, server: Peer) -> Stream:
    return Stream(client.send(client.build_request("POST", server.base_url), stream=True))


async def asked_async(client: httpx.AsyncClient, server: Peer) -> AsyncStream:
    return AsyncStream(
        await client.send(client.build_request("POST", server.base_url), stream=True)
    )


async def stopped(client: httpx.AsyncClient, server: Peer) -> Answer:
    """An answer that is stopped while its source waits."""
    answer = started(await asked_async(client, server))
    async for _ in answer:
        break
    answer.stop()
    return answer


def silent() -> Any:
    return peer(begins_then(Connection.until_closed))


def test_a_stop_closes_the_connection_of_a_source_that_waits() -> None:
    with silent() as server, httpx.Client(timeout=60) as client:
        answer = started(asked(client, server))
        until(lambda: answer.text)
        answer.stop()
        assert server.connection().closed.wait(30)
        assert answer.state == "stopped"


def test_an_asynchronous_source_is_read_in_the_loop_that_made_it_and_closed_there() -> None:
    async def main(server: Peer) -> Answer:
        async with httpx.AsyncClient(timeout=60) as client:
            answer = await stopped(client, server)
            await asyncio.to_thread(server.connection().closed.wait, 30)
            return answer

    with silent() as server:
        answer = asyncio.run(main(server))
        assert server.connection().closed.is_set()
        assert answer.state == "stopped"


def test_a_stop_closes_the_connection_though_the_callers_loop_is_busy() -> None:
    async def main(server: Peer) -> bool:
        async with httpx.AsyncClient(timeout=60) as client:
            await stopped(client, server)
            return server.connection().closed.wait(30)  # blocks the loop

    with silent() as server:
        assert asyncio.run(main(server))


class Blocking:
    """An iterator that waits until it is closed."""

    def __init__(self) -> None:
        self.texts: queue.Queue[str | None] = queue.Queue()
        self.is_closed = threading.Event()

    def __iter__(self) -> Blocking:
        return self

    def __next__(self) -> str:
        text = self.texts.get(timeout=60)
        if text is None:
            raise StopIteration
        return text

    def close(self) -> None:
        self.is_closed.set()
        self.texts.put(None)


@pytest.mark.parametrize("texts", [[], ["a"]])
def test_a_stop_calls_close_whether_anything_was_read_or_not(texts: list[str]) -> None:
    source = Blocking()
    answer = started(source)
    for text in texts:
        source.texts.put(text)
        until(lambda: answer.text)
    answer.stop()
    assert source.is_closed.wait(30)


def test_an_asynchronous_source_is_closed_though_nothing_was_read() -> None:
    class Source:
        is_closed = threading.Event()

        def __aiter__(self) -> Source:
            return self

        async def __anext__(self) -> str:
            await asyncio.sleep(60)
            return ""

        async def aclose(self) -> None:
            self.is_closed.set()

    async def main() -> None:
        started(Source()).stop()
        await asyncio.to_thread(Source.is_closed.wait, 30)

    asyncio.run(main())
    assert Source.is_closed.is_set()


def test_a_generator_that_waits_is_closed_when_it_goes_on() -> None:
    goes_on, is_closed = threading.Event(), threading.Event()

    def source() -> Iterator[str]:
        try:
            yield "a"
            goes_on.wait(60)
            yield "b"
        finally:
            is_closed.set()

    answer = started(source())
    until(lambda: answer.text)
    answer.stop()
    assert answer.state == "stopped"
    goes_on.set()
    assert is_closed.wait(30)
    assert answer.text == "a"


def test_a_source_that_holds_a_generator_has_it_closed() -> None:
    """As chatlas's responses, which have no ``close``; in a variable they are not collected."""
    goes_on, is_closed = threading.Event(), threading.Event()

    def texts() -> Iterator[str]:
        try:
            yield "a"
            goes_on.wait(60)
            yield "b"
        finally:
            is_closed.set()

    class Response:
        _generator = texts()

        def __iter__(self) -> Response:
            return self

        def __next__(self) -> str:
            return next(self._generator)

    source = Response()
    answer = started(source)
    until(lambda: answer.text)
    answer.stop()
    goes_on.set()
    assert is_closed.wait(30)


@pytest.mark.parametrize("call_type", ["completion", "acompletion"])
def test_a_source_that_looks_like_both_kinds_is_read_as_what_it_is(call_type: str) -> None:
    """As LiteLLM's, of which only the way of its call works."""

    class Both:
        logging_obj = SimpleNamespace(call_type=call_type)

        def __iter__(self) -> Iterator[str]:
            assert call_type == "completion"
            return iter(["a"])

        def __aiter__(self) -> AsyncIterator[str]:
            assert call_type == "acompletion"
            return words()

    text = "a" if call_type == "completion" else "one two three"
    assert started(Both()).result(30) == text


def test_an_endless_source_is_read_little_ahead_and_can_be_stopped() -> None:
    read, threads = itertools.count(), list[threading.Thread]()

    def source() -> Iterator[str]:
        threads.append(threading.current_thread())
        while True:
            yield f"{next(read)} "

    answer = started(source())
    until(lambda: len(answer.deltas()) > 5_000)
    answer.stop()
    assert next(read) - len(answer.deltas()) < 5_000
    until(lambda: not threads[0].is_alive())


def test_a_source_is_read_on_one_thread_and_in_the_callers_context() -> None:
    who: contextvars.ContextVar[str] = contextvars.ContextVar("who")
    who.set("caller")
    threads: set[int] = set()

    def source() -> Iterator[str]:
        token = who.set("source")
        for _ in range(2):
            threads.add(threading.get_ident())
            yield who.get()
        who.reset(token)
        yield who.get()

    assert list(started(source())) == ["source", "source", "caller"]
    assert len(threads) == 1
    assert threading.get_ident() not in threads


async def words() -> AsyncIterator[str]:
    for word in ("one ", "two ", "three"):
        await asyncio.sleep(0)
        yield word


def test_an_answer_that_this_loop_reads_can_be_awaited_and_else_says_so() -> None:
    async def main() -> str:
        answer = started(words())
        for wait in (answer.result, answer.wait, lambda: list(answer)):
            with pytest.raises(InputError, match="Wait with: await answer"):
                wait()
        assert await asyncio.to_thread(answer.result, 30) == "one two three"
        return await answer

    assert asyncio.run(main()) == "one two three"


def test_where_no_loop_runs_ours_reads() -> None:
    assert show(words()).result(30) == "one two three"


def test_a_loop_that_ends_ends_the_answer() -> None:
    async def endless() -> AsyncIterator[str]:
        while True:
            yield "a"
            await asyncio.sleep(0.01)

    async def main() -> Answer:
        answer = started(endless())
        async for _ in answer:
            break
        return answer

    answer = asyncio.run(main())
    assert answer.wait(30)
    assert str(answer.error) == "The event loop that read the stream has ended."


def test_a_stop_after_the_end_of_the_loop_is_no_fault(caplog: pytest.LogCaptureFixture) -> None:
    loop = asyncio.new_event_loop()

    class Source:
        texts = iter(["a"])

        def __aiter__(self) -> Source:
            return self

        async def __anext__(self) -> str:
            return next(self.texts, "") or await asyncio.sleep(60, "b")

    async def main() -> Answer:
        answer = started(Source())
        async for _ in answer:
            return answer
        raise AssertionError

    answer = loop.run_until_complete(main())
    loop.close()
    answer.stop()
    assert answer.wait(30)
    assert answer.state == "stopped"
    assert [record for record in caplog.records if "groq_magic" in record.name] == []


def failing(error: BaseException) -> Callable[[], Iterable[str]]:
    def source() -> Iterator[str]:
        yield "half"
        raise error

    return source


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("of\n\n two lines"), "ValueError: of two lines"),
        (SystemExit(1), "SystemExit: 1"),
        (APIError("Overloaded"), "Overloaded. Run the cell again."),
    ],
)
def test_an_error_of_the_source_is_one_line_and_the_text_is_kept(
    error: BaseException, line: str
) -> None:
    answer = show(failing(error)())
    assert (answer.state, answer.text, str(answer.error)) == ("failed", "half", line)
    with pytest.raises((StreamError, APIError)) as caught:
        answer.result()
    assert error in (caught.value, caught.value.__cause__)


def test_an_item_of_no_known_form_ends_the_answer_and_closes_the_source() -> None:
    source = Blocking()
    source.texts.put(5)  # type: ignore[arg-type]
    answer = show(source)
    assert str(answer.error).startswith("show() does not know items of type int. Give it the texts")
    assert source.is_closed.wait(30)


@pytest.mark.parametrize("source", [5, None, "text", b"bytes", {"a": 1}])
def test_what_is_no_stream_is_refused(source: Any) -> None:
    with pytest.raises(InputError, match=r"show\(\) takes an iterator of texts or chunks, not "):
        show(source)


def test_a_coroutine_is_to_be_awaited_first() -> None:
    async def create() -> None: ...

    call = create()
    with pytest.raises(InputError, match="awaited if it is asynchronous"):
        show(call)  # type: ignore[arg-type]
    call.close()


def test_the_notes_of_such_an_answer_name_no_command_that_does_not_work() -> None:
    source = Blocking()
    source.texts.put("half")
    answer = started(source)
    until(lambda: answer.text)
    answer.stop()
    html = static_bundle(answer)[0]["text/html"]
    assert "<b>Stopped.</b> The text so far is kept." in html
    assert not answer.can_resume
    cut = show([{"choices": [{"delta": {"content": "a"}, "finish_reason": "length"}]}])
    assert "ask for more." in static_bundle(cut)[0]["text/html"]
    assert "--max-tokens" not in static_bundle(cut)[0]["text/html"]


def test_an_answer_can_be_shown_again(capsys: pytest.CaptureFixture[str]) -> None:
    answer = show(["a ", "b"])
    assert show(answer) is answer
    assert capsys.readouterr().out == "a ba b"


def test_a_script_prints_all_that_its_loop_reads() -> None:
    script = (
        "import asyncio\n"
        "from groq_magic import show\n"
        "async def words():\n"
        "    for word in 'abc':\n"
        "        await asyncio.sleep(0.001)\n"
        "        yield word\n"
        "async def main():\n"
        "    await show(words())\n"
        "    print('|')\n"
        "asyncio.run(main())\n"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout == "abc|\n"
    assert "3 tokens" in run.stderr
