"""The state of a process: one owner, one hook for forks, one reset."""

from __future__ import annotations

import ast
import asyncio
import contextvars
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest
import sniffio

import groq_magic
from groq_magic.runtime import Runtime

PACKAGE = Path(groq_magic.__file__).parent
SOURCES = {path.relative_to(PACKAGE).as_posix(): path for path in PACKAGE.rglob("*.py")}
CHANGING = "append add update pop clear setdefault discard remove extend insert popleft".split()


class Noted(list[str]):
    """What a process has noted."""

    def after_fork(self) -> None:
        self.append("forked")


def changing(tree: ast.Module) -> set[str]:
    """The variables of a module that its functions change; constants are filled at import."""
    assigned = [node for node in tree.body if isinstance(node, ast.Assign | ast.AnnAssign)]
    names = {name.id for node in assigned for name in ast.walk(node) if isinstance(name, ast.Name)}
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Global):
            found |= set(node.names)
        if isinstance(owner := changed(node), ast.Name) and owner.id in names:
            found.add(owner.id)
    return {name for name in found if not name.isupper()}


def changed(node: ast.AST) -> ast.AST | None:
    """What a call of a changing method, or an assignment to an item, changes."""
    if isinstance(node, ast.Attribute) and node.attr in CHANGING:
        return node.value
    is_stored = isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store | ast.Del)
    return node.value if is_stored and isinstance(node, ast.Subscript) else None


def test_a_variable_that_changes_is_found() -> None:
    code = "a = {}\nb = []\nc = 0\nD = {}\ndef f():\n global c\n b.append(1)\n a[0] = D[0] = 1"
    assert changing(ast.parse(code)) == {"a", "b", "c"}


@pytest.mark.parametrize("name", SOURCES)
def test_no_module_has_a_variable_that_changes(name: str) -> None:
    assert changing(ast.parse(SOURCES[name].read_text("utf-8"))) == set()


def test_only_the_runtime_registers_hooks_for_forks() -> None:
    hooked = {name for name, path in SOURCES.items() if "register_at_fork(" in path.read_text()}
    assert hooked == {"runtime/__init__.py"}


@pytest.fixture
def runtime() -> Iterator[Runtime]:
    """A runtime of the test, of which no thread is left."""
    before = threading.enumerate()
    runtime = Runtime()
    yield runtime
    runtime.reset()
    for thread in set(threading.enumerate()) - set(before):
        thread.join(30)


def test_a_type_has_one_object_until_the_reset(runtime: Runtime) -> None:
    runtime.own(Noted).append("a")
    assert runtime.own(Noted) == ["a"]
    runtime.reset()
    assert runtime.own(Noted) == []


def test_a_reset_cancels_jobs_and_ends_their_thread(runtime: Runtime) -> None:
    begun = threading.Event()
    thread: list[threading.Thread] = []

    async def run() -> None:
        thread.append(threading.current_thread())
        begun.set()
        await asyncio.Event().wait()

    job = runtime.loop.job(run).start()
    assert begun.wait(30)
    runtime.reset()
    assert job.wait(30)
    thread[0].join(30)
    assert not thread[0].is_alive()
    again = threading.Event()
    runtime.loop.call(again.set)
    assert again.wait(30)


def test_calls_that_follow_one_another_share_a_thread(runtime: Runtime) -> None:
    threads: set[threading.Thread] = set()

    async def run() -> None:
        for _ in range(100):
            threads.add(await asyncio.to_thread(threading.current_thread))
        both = threading.Barrier(2)
        await asyncio.gather(*(asyncio.to_thread(both.wait, 30) for _ in range(2)))

    job = runtime.loop.job(run).start()
    assert job.wait(30)
    assert job.error is None
    assert len(threads) < 10  # the next call can come before a thread waits again


def test_a_job_runs_whichever_library_its_caller_runs(runtime: Runtime) -> None:
    """It starts in a copy of the caller's context, which can say "trio"."""
    has_run = threading.Event()

    async def run() -> None:
        with anyio.fail_after(30):
            await asyncio.sleep(0)
        has_run.set()

    context = contextvars.copy_context()
    context.run(sniffio.current_async_library_cvar.set, "trio")
    job = context.run(lambda: runtime.loop.job(run).start())
    assert job.wait(30)
    assert (job.error, has_run.is_set()) == (None, True)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_after_a_fork_the_child_has_a_new_loop_and_tells_what_it_owns(runtime: Runtime) -> None:
    loop = runtime.loop
    runtime.own(Noted)
    child = os.fork()
    if child == 0:
        is_new = runtime.loop is not loop and runtime.own(Noted) == ["forked"]
        os._exit(0 if is_new else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert runtime.loop is loop
    assert runtime.own(Noted) == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_fork_waits_until_no_thread_holds_it_back() -> None:
    """The loop's thread and the one that writes can both be at it."""
    loop, may_end, has_begun = Runtime().loop, threading.Event(), threading.Event()
    seen = []

    def hold() -> None:
        with loop.without_forks():
            has_begun.set()
            may_end.wait(30)
            seen.append("ended")

    threading.Thread(target=hold).start()
    assert has_begun.wait(30)
    with loop.without_forks():
        pass
    threading.Timer(0.05, may_end.set).start()
    loop.until_forkable()
    assert seen == ["ended"]
