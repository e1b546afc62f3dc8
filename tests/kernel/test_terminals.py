"""Where there is no page: IPython and Jupyter's console in a real terminal, and bare Python."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.demo import Demo, running_demo
from tests.support.peer import answers, peer
from tests.support.terminals import Terminal, terminal

TOKENS_PER_SECOND = 100


@pytest.fixture(scope="module")
def ipython(server: Demo, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminal]:
    folder = tmp_path_factory.mktemp("ipython")
    program = "IPython --no-banner --ext=groq_magic"
    with terminal(program, folder, server.base_url) as ipython:
        ipython.until("In [1]:")
        yield ipython


@pytest.fixture(scope="module")
def console(server: Demo, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminal]:
    folder = tmp_path_factory.mktemp("console")
    # It can take the end of its question whether the cell is complete for the cell's own end,
    # and shows the output with the next cell then. Unasked, a cell ends at a blank line.
    program = "jupyter console --ZMQTerminalInteractiveShell.use_kernel_is_complete=False"
    with terminal(program, folder, server.base_url) as console:
        console.until("In [1]:")
        console.type("%reload_ext groq_magic\n\n")
        console.until("In [2]:")
        yield console


def test_ipython_prints_the_text_as_it_comes(ipython: Terminal, server: Demo) -> None:
    ipython.type("%%groq\nExplain server-sent events\n\n")
    ipython.until("## Server-sent events")
    assert server.seen()[-1]["state"] == "streaming"
    text = ipython.until("In [")
    assert "| `retry` | milliseconds to wait before that | `retry: 3000` |" in text
    assert text.index("a radio broadcast.") < text.index("openai/gpt-oss-120b · ")


def test_in_ipython_an_interrupt_stops_and_keeps(ipython: Terminal, server: Demo) -> None:
    ipython.type("%%groq -m demo/slow -o kept\nExplain server-sent events\n\n")
    ipython.until("One HTTP")
    ipython.interrupt()
    said = ipython.until("In [")
    assert "demo/slow · stopped after" in said
    assert "Interrupted: the answer was stopped; its text so far is kept." in said
    assert "Traceback" not in said
    server.until("closed")
    ipython.type("print(kept.state, kept.text[:21])")
    ipython.until("stopped ## Server-sent events")


def test_in_ipython_code_goes_into_the_next_prompt(ipython: Terminal) -> None:
    ipython.type("%%groq\nA function for primes\n\n")
    ipython.until("tokens/s")
    ipython.until("In [")
    ipython.type("%groq code")
    assert ipython.until("def primes(limit: int)").rstrip().endswith("]:")
    ipython.until("print(primes(30))")
    ipython.interrupt()
    ipython.until("In [")


def test_in_ipython_a_key_is_typed_unseen(ipython: Terminal) -> None:
    ipython.type("%groq login")
    ipython.until("Groq API key: ")
    ipython.type("gsk_unseen_0123456789")
    assert "gsk_" not in ipython.until("The key is kept in this process's memory")
    ipython.type("%groq")  # the demo server gets no key
    assert "gsk_" not in ipython.until("not sent to this server")
    ipython.type("import os; demo = os.environ.pop('GROQ_BASE_URL')")
    ipython.type("%groq")
    assert "gsk_" not in ipython.until("kept in memory by %groq login")
    ipython.type("os.environ['GROQ_BASE_URL'] = demo")
    ipython.until("In [")


def test_a_console_says_where_the_answer_will_be(console: Terminal, server: Demo) -> None:
    """A kernel's frontend that has no widgets, and cannot change what it has printed."""
    number = len(server.seen())
    console.type("%%groq -m demo/slow -o slow\nExplain server-sent events\n\n")
    console.until("An answer from demo/slow is coming.")
    console.until("In [")
    server.until("streaming", number)
    console.type("slow.stop(); print(slow.state)\n\n")
    console.until("stopped\r\n")
    server.until("closed", number)


def test_in_a_console_an_interrupt_stops_and_keeps(console: Terminal, server: Demo) -> None:
    number = len(server.seen())
    console.type("%%groq --wait -m demo/slow -o kept\nA long history of notebooks\n\n")
    server.until("streaming", number)
    console.interrupt()
    server.until("closed", number)
    console.until("Interrupted: the answer was stopped; its text so far is kept.")
    console.until("In [")
    console.type("print(kept.state)\n\n")
    console.until("stopped\r\n")


def test_a_console_shows_the_last_answer_when_it_is_asked_to(
    console: Terminal, server: Demo
) -> None:
    number = len(server.seen())
    console.type("%%groq\ncat names\n\n")
    console.until("%groq last")  # so the placeholder says
    console.until("In [")
    server.until("done", number)
    console.type("%groq last\n\n")
    console.until("- **Semicolon**, who pauses in doorways")


def test_a_console_that_waits_prints_the_text_as_it_comes(console: Terminal, server: Demo) -> None:
    console.type("%%groq --wait -m demo/slow --max-tokens 100\nExplain server-sent events\n\n")
    console.until("## Server-sent events")
    assert server.seen()[-1]["state"] == "streaming"
    console.until("never has to end")
    console.until("In [")


# What is typed is echoed: only where the sequence is gone, its rest stands behind our words.
STEERED = "bad = chr(27) + ']0;owned' + chr(7)"


def test_in_ipython_nothing_of_a_value_steers_the_terminal(ipython: Terminal) -> None:
    ipython.type(STEERED)
    ipython.until("In [")
    ipython.type("%%groq -c {{ bad }} --max-tokens 5\ncat names\n\n")
    ipython.until("Turn 1 of ]0;owned.")
    ipython.type("%groq chats")
    ipython.until("]0;owned      1")
    ipython.type("get_ipython().run_line_magic('groq', 'forget x' + bad)")
    ipython.until("Did you mean ]0;owned?")
    ipython.type("get_ipython().run_line_magic('groq', 'forget ' + bad)")
    ipython.until("Forgot ]0;owned (1 turn)")
    ipython.type("get_ipython().run_cell_magic('groq', '--x' + bad, 'cat names')")
    ipython.until("arguments: --x]0;owned.")
    ipython.until("In [")


def test_in_a_console_nothing_of_an_answer_steers_the_terminal(console: Terminal) -> None:
    with peer(answers("a\x1b]0;owned\x07b")) as server:
        console.type(f"%config GroqMagic.base_url = '{server.base_url}'\n\n")
        console.until("In [")
        console.type("%%groq -o steering\ncat names\n\n")
        console.until("%groq last")
        console.until("In [")
        console.type("steering.wait(); print(steering.state)\n\n")
        console.until("done\r\n")
        console.type("%groq last\n\n")
        console.until("a]0;ownedb")
        console.until("In [")
    console.type("%config GroqMagic.base_url = None\n\n")
    console.until("In [")


def run_python(code: str, base_url: str) -> str:
    environment = {**os.environ, "GROQ_BASE_URL": base_url}
    command = [sys.executable, "-c", code]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return ran.stdout


def test_a_script_reads_an_answer_with_nothing_to_show_it(demo: Demo) -> None:
    said = run_python(
        "import asyncio, sys; from groq_magic import stream\n"
        "answer = stream('cat names')\n"
        "async def read(): return ''.join([delta async for delta in answer])\n"
        "assert ''.join(answer) == answer.text == answer.result() == asyncio.run(read())\n"
        "print(answer.text)\n"
        "print({'IPython', 'anywidget', 'markdown_it'} & set(sys.modules))",
        demo.base_url,
    )
    assert said.startswith("Three names for a cat:\n\n- **Semicolon**, who pauses")
    assert said.endswith("who runs the household.\n\nset()\n")


def test_a_shell_without_a_kernel_prints_the_text(demo: Demo) -> None:
    said = run_python(
        "from IPython.core.interactiveshell import InteractiveShell\n"
        "shell = InteractiveShell.instance(); shell.run_line_magic('load_ext', 'groq_magic')\n"
        "assert shell.run_cell('%%groq\\ncat names').success\n"
        "assert not shell.run_cell('%%groq -m demo/error-401\\ncat names').success",
        demo.base_url,
    )
    assert said.startswith("Three names for a cat:\n\n- **Semicolon**")
    assert "AuthenticationError: 401 Invalid API Key." in said


def test_any_other_host_gets_a_line_that_says_what_it_is(demo: Demo) -> None:
    """marimo, for one, asks for each of these methods, and takes `str()` where there is none."""
    said = run_python(
        "from groq_magic import stream\n"
        "answer = stream('cat names'); answer.wait()\n"
        "asked = ('_mime_', '_repr_html_', '_repr_mimebundle_', '_repr_markdown_', '_repr_png_')\n"
        "print([name for name in asked if hasattr(answer, name)], str(answer))",
        demo.base_url,
    )
    assert said.startswith("[] <Answer done from openai/gpt-oss-120b: 'Three names for a cat:")
    assert said.endswith("...'>\n")


def test_in_ipython_a_wait_says_how_long_and_what_ends_it(tmp_path: Path) -> None:
    with (
        running_demo(100, "--plan", "3000,30") as demo,
        terminal("IPython --no-banner --ext=groq_magic", tmp_path, demo.base_url) as ipython,
    ):
        ipython.until("In [1]:")
        first = "stream('A long history', model='demo/slow', max_completion_tokens=2800)"
        ipython.type(f"import groq_magic; first = groq_magic.{first}; next(iter(first))\n")
        ipython.until("In [2]:")
        ipython.type("%%groq -m demo/slow --max-tokens 1000\nThree names for a cat\n\n")
        ipython.until("demo/slow · sends in ")
        ipython.until("of 3,000 tokens this minute · Ctrl-C ends it")
        ipython.interrupt()
        said = ipython.until("In [")
        assert "demo/slow · stopped after" in said
        assert "Interrupted: the answer was stopped." in said
        ipython.type("first.stop()")
