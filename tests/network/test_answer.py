"""An answer's life: one end, nothing lost, everybody woken."""

from __future__ import annotations

import _thread
import asyncio
import contextvars
import gc
import os
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import suppress
from functools import partial
from itertools import count, islice
from types import FrameType, MethodType, ModuleType
from typing import Any

import pytest

from groq_magic import APIError, Conversation, IncompleteStreamError, Source, stream
from groq_magic.accumulator import Accumulator
from groq_magic.answer import Answer, running
from groq_magic.receiver import Times
from groq_magic.runtime import runtime
from groq_magic.wire.protocol import Chunk, Delta, Done, Item, Responded, ToolCall
from tests.support.asker import on_the_loop, tasks
from tests.support.chunks import chunk, items
from tests.support.peer import Connection, answers, delta, peer
from tests.support.waiting import until

WHOLE = (Responded("req_1"), chunk("a"), chunk("b"), chunk(finish_reason="stop"), Done())


def test_done() -> None:
    answer = Answer(items(*WHOLE), content=Accumulator("m")).start()
    assert answer.result(30) == "ab"
    assert (answer.state, answer.finish_reason, answer.error) == ("done", "stop", None)
    assert (answer.request_id, answer.model) == ("req_1", "m")


def test_sources_are_those_of_the_last_state_of_each_tool() -> None:
    begun = {"index": 0, "type": "search", "arguments": "{}"}
    page = {"title": "Paris", "url": "https://a.example/"}
    ran = begun | {"search_results": {"results": [page]}}
    source = items(Chunk(Delta(executed_tools=(begun,))), Chunk(Delta(executed_tools=(ran,))))
    answer = Answer(source).start()
    assert answer.wait(30)
    assert answer.sources == [Source("Paris", "https://a.example/")]


def test_what_the_server_refused_is_kept() -> None:
    error = APIError("Tool call validation failed", {"failed_generation": "{}"})
    answer = Answer(items(chunk("a"), error)).start()
    assert answer.wait(30)
    assert (answer.state, answer.failed_generation) == ("failed", "{}")
    done = Answer(items(*WHOLE)).start()
    assert done.wait(30)
    assert done.failed_generation is None


def test_iteration_gives_the_deltas_every_time() -> None:
    answer = Answer(items(chunk("a"), 0.05, *WHOLE)).start()
    assert list(answer) == ["a", "a", "b"]
    assert list(answer) == ["a", "a", "b"]
    assert "".join(answer) == answer.text


def test_iteration_begins_before_the_end() -> None:
    hold = threading.Event()

    async def source() -> AsyncGenerator[Item]:
        yield chunk("a")
        await asyncio.to_thread(hold.wait, 30)
        yield chunk("b", finish_reason="stop")

    answer = Answer(source()).start()
    deltas = iter(answer)
    assert next(deltas) == "a"
    assert answer.state == "streaming"
    hold.set()
    assert list(deltas) == ["b"]


def test_a_burst_wakes_its_reader_once_and_hides_nothing() -> None:
    """One read of the socket brings many deltas; the last must not wait for the next read."""
    go = asyncio.Event()

    async def source() -> AsyncGenerator[Item]:
        await go.wait()
        for _ in range(500):
            yield chunk("x")
        await asyncio.sleep(60)

    async def wakings(answer: Answer) -> int:
        asyncio.get_running_loop().call_soon(go.set)
        count = 0
        while len(answer.text) < 500:
            await asyncio.wait_for(answer.changed(answer._receiver.version), 30)
            count += 1
        return count

    answer = Answer(source()).start()
    assert on_the_loop(wakings(answer)) == 1
    answer.stop()


def test_who_awaits_the_end_sleeps_until_then() -> None:
    wakings: list[object] = []
    asleep: list[Answer] = []

    async def source() -> AsyncGenerator[Item]:
        await asyncio.to_thread(until, lambda: asleep and asleep[0]._receiver.finished._wakers)
        for _ in range(20):
            yield chunk("a")
            await asyncio.sleep(0.01)
        for item in WHOLE:
            yield item

    async def read() -> str:
        loop = asyncio.get_running_loop()
        call = loop.call_soon_threadsafe

        def counting(*args: Any, **more: Any) -> asyncio.Handle:
            wakings.append(args)
            return call(*args, **more)

        loop.call_soon_threadsafe = counting  # type: ignore[assignment,method-assign]
        answer = Answer(source()).start()
        asleep.append(answer)
        return await answer

    assert asyncio.run(read()) == "a" * 21 + "b"
    assert len(wakings) == 1


def test_a_wait_that_is_given_up_leaves_nothing_behind() -> None:
    async def give_up(answer: Answer) -> None:
        for wait in (answer.changed(answer._receiver.version), awaited(answer)):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(wait, 0.01)

    answer = Answer(items(chunk("a"), 60.0)).start()
    next(iter(answer))
    asyncio.run(give_up(answer))
    assert (answer._receiver.changed._wakers, answer._receiver.finished._wakers) == ([], [])
    answer.stop()


def test_an_observer_is_told_of_the_first_delta_and_of_the_end() -> None:
    told: list[tuple[str, str]] = []
    answer = Answer(items(*WHOLE), observer=lambda each, _: told.append((each.state, each.text)))
    assert answer.start().result(30) == "ab"
    assert told == [("streaming", "a"), ("done", "ab")]


def test_an_observer_is_told_of_one_end_though_a_stop_comes_before_the_first_call() -> None:
    told: list[tuple[bool, bool]] = []
    now = count()

    def clock() -> float:
        if next(now) == 1:  # the first text has arrived; nobody has been told
            answer.stop()
        return 0.0

    source = items(chunk("a"), 60.0)
    answer = Answer(source, clock=clock, observer=lambda each, end: told.append((each.ended, end)))
    assert answer.start().wait(30)
    assert told == [(True, False), (True, True)]


def test_an_observer_that_fails_keeps_no_answer_from_being_stopped() -> None:
    closed = threading.Event()

    async def source() -> AsyncGenerator[Item]:
        try:
            yield chunk("a")
            await asyncio.sleep(60)
        finally:
            closed.set()

    def observe(_answer: Answer, _ended: object) -> None:
        raise ValueError("of its own")

    answer = Answer(source(), observer=observe).start()
    next(iter(answer))
    answer.stop()
    assert answer.state == "stopped"
    assert closed.wait(30)


def test_an_answer_is_whole_as_soon_as_it_is_among_the_running() -> None:
    is_over = threading.Event()
    faults: list[Exception] = []

    def stop_all() -> None:
        while not is_over.is_set():
            try:
                for answer in running():
                    answer.stop()
            except RuntimeError:
                continue  # the list changed meanwhile
            except AttributeError as error:
                faults.append(error)

    thread = threading.Thread(target=stop_all)
    thread.start()
    answers = [Answer(items(chunk("a"), 60.0)).start() for _ in range(500)]
    assert all(answer.wait(30) for answer in answers)
    is_over.set()
    thread.join()
    assert faults == []


def test_an_error_that_is_raised_again_is_as_long_as_before() -> None:
    answer = Answer(items(IncompleteStreamError("cut"))).start()

    def frames() -> int:
        with pytest.raises(IncompleteStreamError) as raised:
            answer.result(30)
        return len(raised.traceback)

    assert frames() == frames() == frames()


def test_text_before_the_reasoning_is_the_first_token_and_makes_no_negative_time() -> None:
    times = Times(iter([0.0, 1.0, 3.0, 9.0]).__next__)
    times.note("text")
    times.note("reasoning")
    assert (times.time_to_first_token, times.is_thinking, times.thinking_seconds) == (1, False, 0)


def test_the_time_of_a_turn_counts_from_its_request_and_ends_once() -> None:
    now = [0.0]
    times = Times(lambda: now[0])
    assert (times.time_to_first_token, times.thinking_seconds, times.seconds) == (None, None, 0)
    now[0] = 5.0
    times.restart()
    times.retry_in(2.0)
    now[0] = 6.0
    times.note("reasoning")
    assert (times.seconds_to_retry, times.is_thinking) == (1, True)
    now[0] = 9.0
    times.note("end")
    now[0] = 99.0
    times.note("end")
    assert (times.seconds, times.time_to_first_token, times.thinking_seconds) == (4, 1, 3)
    assert (times.seconds_to_retry, times.is_thinking) == (0, False)


def test_async_for_and_await_in_another_loop() -> None:
    async def read() -> tuple[list[str], str]:
        answer = Answer(items(chunk("a"), 0.05, *WHOLE)).start()
        return [piece async for piece in answer], await answer

    assert asyncio.run(read()) == (["a", "a", "b"], "aab")


def test_a_fault_raises_where_the_answer_is_read() -> None:
    answer = Answer(items(chunk("a"), ValueError("odd"))).start()
    with pytest.raises(ValueError, match="odd"):
        answer.result(30)
    deltas = iter(answer)
    assert next(deltas) == "a"
    with pytest.raises(ValueError, match="odd"):
        next(deltas)
    with pytest.raises(ValueError, match="odd"):
        asyncio.run(asyncio.wait_for(awaited(answer), 30))
    assert (answer.state, answer.text) == ("failed", "a")


async def awaited(answer: Answer) -> str:
    return await answer


def test_without_a_finish_reason_it_has_failed() -> None:
    answer = Answer(items(chunk("a"), Done())).start()
    with pytest.raises(IncompleteStreamError):
        answer.result(30)


def test_a_finish_reason_outweighs_a_fault_behind_it() -> None:
    answer = Answer(items(chunk("a", finish_reason="stop"), OSError("late"))).start()
    assert answer.result(30) == "a"


def test_tool_calls_and_executed_tools_go_by_index() -> None:
    deltas = [
        Delta(tool_calls=(ToolCall(0, "a", "f", "{"),), executed_tools=({"index": 0},)),
        Delta(
            tool_calls=(ToolCall(0, "", "", "}"),), executed_tools=({"index": 0, "output": "x"},)
        ),
    ]
    answer = Answer(items(*map(Chunk, deltas), chunk(finish_reason="tool_calls"))).start()
    answer.wait(30)
    assert answer.tool_calls == {0: ToolCall(0, "a", "f", "{}")}
    assert answer.executed_tools == {0: {"index": 0, "output": "x"}}


def test_a_timeout_leaves_it_going() -> None:
    go = threading.Event()

    async def source() -> AsyncGenerator[Item]:
        await asyncio.to_thread(go.wait, 30)
        for item in WHOLE:
            yield item

    answer = Answer(source()).start()
    assert answer.wait(0.01) is False
    with pytest.raises(TimeoutError, match="continues"):
        answer.result(0.01)
    go.set()
    assert answer.result(30) == "ab"


def test_stop_keeps_the_text_and_wakes_everybody() -> None:
    answer = Answer(items(chunk("a"), 60.0, *WHOLE)).start()
    next(iter(answer))
    outcomes: list[str] = []
    waiters = [threading.Thread(target=lambda: outcomes.append(answer.result())) for _ in range(5)]
    for waiter in waiters:
        waiter.start()
    answer.stop()
    answer.stop()
    for waiter in waiters:
        waiter.join(30)
    assert outcomes == ["a"] * 5
    assert (answer.state, answer.finish_reason, list(answer)) == ("stopped", None, ["a"])


def test_stop_before_it_has_begun() -> None:
    for _ in range(50):
        answer = Answer(items(*WHOLE)).start()
        answer.stop()
        assert answer.wait(30)
        assert answer.state in ("stopped", "done")


def test_nothing_is_read_before_the_start() -> None:
    read: list[str] = []

    async def source() -> AsyncGenerator[Item]:
        read.append("source")
        yield chunk("a", finish_reason="stop")

    answer = Answer(source())
    assert (answer.state, answer.ended, answer in running()) == ("connecting", False, False)
    on_the_loop(asyncio.sleep(0))
    assert read == []
    assert answer.start().result(30) == "a"
    answer.start()
    on_the_loop(asyncio.sleep(0))
    assert read == ["source"]


def test_a_start_after_a_stop_reads_nothing() -> None:
    read: list[str] = []

    async def source() -> AsyncGenerator[Item]:
        read.append("source")
        yield chunk("a", finish_reason="stop")

    answer = Answer(source())
    answer.stop()
    assert answer.start().wait(30)
    on_the_loop(asyncio.sleep(0))
    assert (answer.state, read) == ("stopped", [])


def test_stop_in_a_race_with_the_end_has_one_outcome() -> None:
    for _ in range(200):
        answer = Answer(items(*WHOLE)).start()
        seen = [answer.text]
        answer.stop()
        state, text = answer.state, answer.text
        answer.wait(30)
        assert (answer.state, answer.text) == (state, text)
        assert text.startswith(seen[0])


def test_stop_closes_the_connection() -> None:
    def play(connection: Connection) -> None:
        connection.begin()
        connection.chunk(delta("a"))
        connection.until_closed()

    with peer(play) as server:
        answer = stream("Hello", base_url=server.base_url)
        next(iter(answer))
        answer.stop()
        assert server.connection().closed.wait(30)


def test_an_interrupt_of_who_waits_stops_it() -> None:
    answer = Answer(items(chunk("a"), 60.0, *WHOLE)).start()
    next(iter(answer))

    def interrupt() -> None:
        until(lambda: answer._receiver.finished._wakers)
        _thread.interrupt_main()

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may ignore it
    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        answer.wait(30)
    signal.signal(signal.SIGINT, before)
    assert (answer.state, answer.text) == ("stopped", "a")


def test_the_task_sees_the_callers_context() -> None:
    where: contextvars.ContextVar[str] = contextvars.ContextVar("where")
    seen = []

    async def source() -> AsyncGenerator[Item]:
        seen.append(where.get())
        yield chunk("a", finish_reason="stop")

    where.set("this cell")
    Answer(source()).start().wait(30)
    assert seen == ["this cell"]


def test_the_figures() -> None:
    now = [0.0]

    async def source() -> AsyncGenerator[Item]:
        now[0] = 1.0
        yield Chunk(Delta(reasoning="hm"))
        now[0] = 3.0
        yield chunk("a")
        now[0] = 4.0
        yield chunk(finish_reason="stop")

    answer = Answer(source(), clock=lambda: now[0]).start()
    answer.wait(30)
    now[0] = 100.0
    assert (answer.seconds, answer.time_to_first_token, answer.thinking_seconds) == (4.0, 1.0, 2.0)
    assert (answer.tokens, answer.reasoning) == (2, "hm")


def test_no_thread_and_no_task_is_left() -> None:
    for _ in range(20):
        Answer(items(*WHOLE)).start().wait(30)
    until(lambda: not runtime.loop.jobs)
    assert [thread.name for thread in threading.enumerate()].count("groq_magic") == 1


def test_the_end_of_the_interpreter_closes_the_connection() -> None:
    def play(connection: Connection) -> None:
        connection.begin()
        connection.chunk(delta("a"))
        connection.until_closed()

    script = "from groq_magic import stream; answer = stream('x'); print(next(iter(answer)))"
    with peer(play) as server:
        environment = {**os.environ, "GROQ_BASE_URL": server.base_url}
        ran = subprocess.run(
            [sys.executable, "-c", script],
            env=environment,
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        )
        assert server.connection().closed.wait(30)
    assert (ran.stdout, ran.stderr) == ("a\n", "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_after_a_fork_the_child_has_a_thread_of_its_own() -> None:
    script = (
        "import os; from groq_magic import stream\n"
        "assert stream('x').result(30) == 'ok'\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    os._exit(0 if stream('x').result(30) == 'ok' else 1)\n"
        "raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
    )
    with peer(answers("ok")) as server:
        environment = {**os.environ, "GROQ_BASE_URL": server.base_url}
        subprocess.run(
            [sys.executable, "-W", "ignore", "-c", script], env=environment, timeout=30, check=True
        )


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_an_answer_that_runs_at_a_fork_ends_in_the_child_alone() -> None:
    script = (
        "import os; from groq_magic import stream; from groq_magic.limits.cost import spent\n"
        "answer = stream('x'); next(iter(answer))\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    ended = answer.wait(30) and answer.state == 'failed' and answer.text == 'a'\n"
        "    os._exit(0 if ended and not any(spent()) else 1)\n"
        "assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0\n"
        "assert answer.state == 'streaming'\n"
        "answer.stop()\n"
    )

    def play(connection: Connection) -> None:
        connection.begin()
        connection.chunk(delta("a"))
        connection.until_closed()

    with peer(play) as server:
        environment = {**os.environ, "GROQ_BASE_URL": server.base_url}
        subprocess.run(
            [sys.executable, "-W", "ignore", "-c", script],
            env=environment,
            timeout=30,
            check=True,
        )


def test_stop_from_the_background_loop_itself() -> None:
    answer = Answer(items(chunk("a"), 60.0, *WHOLE)).start()
    next(iter(answer))
    runtime.loop.call(answer.stop)
    assert answer.wait(30)
    assert answer.state == "stopped"


def test_its_repr_is_short() -> None:
    answer = Answer(
        items(chunk("x" * 1000, finish_reason="stop")), content=Accumulator("m")
    ).start()
    answer.wait(30)
    assert repr(answer) == f"<Answer done from m: '{'x' * 57}...'>"


def test_a_source_is_closed() -> None:
    closed = threading.Event()

    async def source() -> AsyncIterator[Item]:
        try:
            yield chunk("a")
            await asyncio.sleep(60)
        finally:
            closed.set()

    answer = Answer(source()).start()  # type: ignore[arg-type]  # it is a generator, as the name says
    next(iter(answer))
    answer.stop()
    assert closed.wait(30)


def test_reasoning_in_tags_is_no_text() -> None:
    pieces = ("<th", "ink>\nhm", " </th", "ink>\n", "\nHi <think>")
    answer = Answer(items(*map(chunk, pieces), chunk(finish_reason="stop"))).start()
    answer.wait(30)
    assert (answer.text, answer.reasoning) == ("Hi <think>", "\nhm ")


def test_a_tag_that_never_comes_loses_nothing() -> None:
    for pieces, text, reasoning in [(["<thi"], "<thi", ""), (["<think>", "hm</"], "", "hm</")]:
        answer = Answer(items(*map(chunk, pieces), chunk(finish_reason="length"))).start()
        answer.wait(30)
        assert (answer.text, answer.reasoning) == (text, reasoning)


def test_a_character_in_two_halves_becomes_whole() -> None:
    halves = [chunk("a\ud83d"), chunk("\ude00b"), chunk("\ud83d"), chunk(finish_reason="stop")]
    answer = Answer(items(*halves)).start()
    answer.wait(30)
    assert list(answer) == ["a", "\U0001f600b", "\ufffd"]


def test_many_deltas_are_given_as_they_came() -> None:
    pieces = [f"{number} é" for number in range(3000)]
    answer = Answer(items(*map(chunk, pieces), chunk(finish_reason="stop"))).start()
    assert list(answer) == pieces
    for start in (0, 1, 1023, 1024, 1025, 2047, 2999, 3000):
        assert answer.deltas(start) == pieces[start:]
    assert answer.text == "".join(pieces)


def test_the_attributes_are_documented_and_cannot_be_set() -> None:
    answer = Answer(items(*WHOLE))
    for name in "state text usage seconds tool_calls request_id thinking".split():
        assert getattr(Answer, name).__doc__
        with pytest.raises(AttributeError):
            setattr(answer, name, None)


def raised_at(line: int, function: Callable[[], object]) -> bool:
    """Raise an interrupt at that traced line of ours; return whether there was one."""
    seen = 0

    def trace(frame: FrameType, event: str, _arg: object) -> Any:
        nonlocal seen
        if not frame.f_code.co_filename.endswith(INTERRUPTED):
            return None
        seen += event == "line"
        if event == "line" and seen == line:
            raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        function()
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(before)
    return seen >= line


INTERRUPTED = ("answer.py", "waiters.py", "runtime/loop.py", "accumulator.py", "api.py")
USES: dict[str, Callable[[Answer], object]] = {
    "wait": lambda answer: answer.wait(0.2),
    "result": lambda answer: suppressed(TimeoutError, lambda: answer.result(0.2)),
    "iterate": lambda answer: list(islice(answer, 2)),
    "text": lambda answer: answer.text,
    "stop": lambda answer: answer.stop(),
    "with": lambda answer: suppressed(ValueError, lambda: leave(answer)),
}


def suppressed(kind: type[Exception], function: Callable[[], object]) -> None:
    with suppress(kind):
        function()


def leave(answer: Answer) -> None:
    with answer:
        raise ValueError


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_an_interrupt_at_any_line_leaves_nothing_held(use: Callable[[Answer], object]) -> None:
    """The answer can be stopped, its connection is closed, and another answer comes."""
    for line in count(1):
        closed = threading.Event()

        async def source(closed: threading.Event = closed) -> AsyncGenerator[Item]:
            try:
                yield chunk("a")
                await asyncio.sleep(0.01)
                yield chunk("b")
                await asyncio.sleep(60)
            finally:
                closed.set()

        answer = Answer(source()).start()
        next(iter(answer))
        was_raised = raised_at(line, partial(use, answer))
        answer.stop()
        assert answer.state == "stopped"
        assert answer.wait(30)
        assert closed.wait(30)
        assert Answer(items(*WHOLE)).start().result(30) == "ab"
        if not was_raised:
            break
    assert line > 3


@pytest.mark.parametrize("chat", [None, Conversation()])
def test_an_interrupt_at_any_line_of_stream_leaves_no_request(chat: Conversation | None) -> None:
    """Nobody has that answer: it is stopped, or is among those that can be."""
    with peer(Connection.until_closed) as server:
        stream("x", base_url=server.base_url).stop()
        ask = partial(stream, "x", chat=chat, base_url=server.base_url)
        for line in count(1):
            was_raised = raised_at(line, ask)
            for answer in running():
                answer.stop()
            until(lambda: tasks() == 0)  # asked on the loop, behind what waits there
            if not was_raised:
                break
        assert all(connection.closed.wait(30) for connection in server.connections)
    assert line > 3
    turns = chat.turns if chat else []
    assert all(turn.answer and turn.answer.wait(30) for turn in turns)  # later turns wait for them


def test_an_exception_that_leaves_with_stops_it_and_break_does_not() -> None:
    left, broken = (Answer(items(chunk("a"), 60.0)).start() for _ in range(2))
    with suppress(ValueError), left:
        for _ in left:
            raise ValueError
    with broken:
        for _ in broken:
            break
    assert (left.state, broken.state) == ("stopped", "streaming")
    broken.stop()


def test_async_with_stops_it_when_cancelled() -> None:
    answer = Answer(items(chunk("a"), 60.0)).start()

    async def read() -> None:
        async with answer:
            await answer

    async def give_up() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(read(), 0.05)

    asyncio.run(give_up())
    assert answer.state == "stopped"


def test_a_thread_that_cannot_start_is_said_and_tried_again() -> None:
    script = (
        "import threading; from groq_magic import GroqError, stream\n"
        "begin = threading.Thread.start\n"
        "def refuse(thread): raise RuntimeError('no more threads')\n"
        "threading.Thread.start = refuse\n"
        "try: stream('x')\n"
        "except GroqError as error: print(error)\n"
        "threading.Thread.start = begin\n"
        "print(stream('x').result(30))\n"
    )
    with peer(answers("ok")) as server:
        said = ran(script, server.base_url)
    assert said.splitlines()[0].startswith("No answer can come: no more threads")
    assert said.splitlines()[1:] == ["ok"]


def ran(script: str, base_url: str) -> str:
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script],
        env={**os.environ, "GROQ_BASE_URL": base_url},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.parametrize("milliseconds", [0, 5, 10, 20, 40, 80, 160])
def test_a_fork_while_modules_are_imported_leaves_the_child_whole(milliseconds: int) -> None:
    script = (
        "import os, time; from groq_magic import stream; answer = stream('x')\n"
        f"time.sleep({milliseconds / 1000}); child = os.fork()\n"
        "if child == 0:\n"
        "    os._exit(0 if stream('x').result(30) == 'ok' else 1)\n"
        "print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), answer.result(30))\n"
    )
    with peer(answers("ok")) as server:
        assert ran(script, server.base_url) == "0 ok\n"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_fork_waits_where_modules_come_slowly() -> None:
    script = (
        "import os, sys, time; from groq_magic import stream\n"
        "class Slowly:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'h11': time.sleep(7)\n"
        "sys.meta_path.insert(0, Slowly())\n"
        "assert 'h11' not in sys.modules\n"
        "answer = stream('x'); time.sleep(0.5); child = os.fork()\n"
        "if child == 0:\n"
        "    os._exit(0 if stream('x').result(30) == 'ok' else 1)\n"
        "print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), answer.result(30))\n"
    )
    with peer(answers("ok")) as server:
        assert ran(script, server.base_url) == "0 ok\n"


def test_a_request_looks_up_no_module_that_a_fork_could_leave_locked() -> None:
    script = (
        "import sys; from groq_magic import stream; from groq_magic.runtime import runtime\n"
        "from concurrent.futures import Future; imported = Future()\n"
        "runtime.loop.call(lambda: imported.set_result(None)); imported.result(30)\n"
        "class Seen:\n"
        "    def find_spec(self, name, *_): print(name)\n"
        "sys.meta_path.insert(0, Seen())\n"
        "print(stream('x').result(30))\n"
    )
    with peer(answers("ok")) as server:
        assert ran(script, server.base_url) == "ok\n"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_nothing_that_must_not_be_forked_begins_while_a_fork_does() -> None:
    """OpenSSL, for one, would stay half set up in the child, whose answers would hang."""
    script = (
        "import os, threading, time\n"
        "is_ready, has_ended = threading.Event(), threading.Event()\n"
        "seen = []\n"
        "def hold():\n"
        "    with runtime.loop.without_forks(): time.sleep(2)\n"
        "    has_ended.set()\n"
        "def come_late():\n"  # who registers first is called last before a fork
        "    runtime.loop.call(hold); time.sleep(1)\n"
        "    seen.append(runtime.loop._is_held)\n"
        "os.register_at_fork(before=come_late)\n"
        "from groq_magic.runtime import runtime\n"
        "runtime.loop.call(is_ready.set); is_ready.wait(30)\n"
        "if (child := os.fork()) == 0: os._exit(0)\n"
        "os.waitpid(child, 0)\n"
        "print(seen, has_ended.wait(30))\n"
    )
    assert ran(script, "") == "[False] True\n"


def test_a_name_that_is_looked_up_for_ever_delays_no_exit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GROQ_API_KEY", "gsk_" + "x" * 40)
    script = (
        "import socket, threading; from groq_magic import stream\n"
        "asked = threading.Event()\n"
        "def hang(*_, **__): asked.set(); threading.Event().wait()\n"
        "socket.getaddrinfo = hang\n"
        "answer = stream('x')\n"
        "print(asked.wait(30))\n"
    )
    said = ran(script, "https://groq.invalid/openai/v1")  # it fails if the process does not end
    assert said == "True\n"


def test_a_failed_answer_keeps_neither_its_request_nor_its_frames() -> None:
    class Prompt(str):
        __slots__ = ("__weakref__",)

    kept: list[weakref.ref[str]] = []

    async def fail() -> AsyncGenerator[Item]:
        prompt = Prompt("x")
        kept.append(weakref.ref(prompt))
        yield chunk("a" + prompt[:0])
        try:
            int(prompt)
        finally:
            raise ValueError("odd")

    answer = Answer(fail()).start()
    with pytest.raises(ValueError, match="odd") as raised:
        answer.result(30)
    assert "fail" in [frame.name for frame in raised.traceback]
    until(lambda: gc.collect() >= 0 and kept[0]() is None)


def test_failed_answers_let_go_of_large_prompts() -> None:
    with peer(lambda connection: connection.respond(b"{}", "400 Bad Request")) as server:
        failed = []
        for number in range(3):
            answer = stream(f"{number}" + "x" * 2_000_000, base_url=server.base_url)
            answer.wait(30)
            failed.append(answer)
        server.connections.clear()
        found = [each for each in failed if holds(each, 1_000_000)]
    assert [answer.state for answer in failed] == ["failed"] * 3
    assert found == []


def holds(root: object, size: int) -> bool:
    """Whether a text or bytes of that size can be reached from the object, tracebacks included."""
    seen, left = {id(root)}, [root]
    while left:
        for each in gc.get_referents(left.pop()):
            if isinstance(each, str | bytes | bytearray) and len(each) > size:
                return True
            is_of_a_module = isinstance(each, ModuleType | type | MethodType) or (
                isinstance(each, dict) and "__builtins__" in each
            )
            if id(each) not in seen and not is_of_a_module:
                seen.add(id(each))
                left.append(each)
    return False
