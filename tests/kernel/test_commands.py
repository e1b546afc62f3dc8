"""`%groq` and what Tab offers, in a real kernel."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.demo import Demo
from tests.support.kernels import Kernel, Run, bundle, custom, running_kernel, widget_of
from tests.support.peer import Connection, peer
from tests.support.waiting import free_port, until

TOKENS_PER_SECOND = 200

KEY = "gsk_never_seen_anywhere_0123456789"
ELSEWHERE = "os.environ['GROQ_BASE_URL'] = 'http://127.0.0.1:9/openai/v1'"  # nobody listens there


@pytest.fixture(scope="module")
def kernel(server: Demo, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    home = tmp_path_factory.mktemp("home")
    with running_kernel(environment(home, server), str(home)) as kernel:
        kernel.run("%reload_ext groq_magic")
        kernel.run("import os; from groq_magic import stream")
        yield kernel


def environment(home: Path, server: Demo) -> dict[str, str]:
    made = {**os.environ, "GROQ_BASE_URL": server.base_url, "IPYTHONDIR": str(home)}
    made.pop("GROQ_API_KEY", None)
    return made


@pytest.fixture
def fresh(server: Demo, tmp_path: Path) -> Iterator[Kernel]:
    """A kernel in which nothing has been asked yet."""
    with running_kernel(environment(tmp_path, server), str(tmp_path)) as kernel:
        kernel.run("%reload_ext groq_magic")
        kernel.run("import os; from groq_magic import stream")
        yield kernel


def shown(run: Run) -> dict[str, str]:
    (message,) = run.of_type("display_data")
    return dict(message["content"]["data"])


def one_line(run: Run) -> str:
    """What a command that failed says."""
    assert run.stdout.startswith("UsageError: ")
    assert len(run.stdout.strip().splitlines()) == 1
    assert run.reply is not None
    assert run.reply["content"]["status"] == "error"
    return run.stdout


# %groq


def test_the_status_of_a_kernel_that_has_asked_nothing(fresh: Kernel, server: Demo) -> None:
    before = len(server.seen())
    data = shown(fresh.run("%groq"))
    assert set(data) == {"text/html", "text/plain"}
    assert (
        data["text/plain"].split()
        == (
            f"Model openai/gpt-oss-120b Server {server.base_url.partition('/groq-demo-')[0]} "
            "Key not sent to this server Running no answers"
        ).split()
    )
    assert len(server.seen()) == before


def test_the_status_shows_running_answers_rate_limit_and_cost(fresh: Kernel) -> None:
    fresh.run("%groq models")
    fresh.until_static(fresh.run("%%groq\ncat names"))
    fresh.run("%%groq -m demo/slow -o slow\nExplain server-sent events")
    fresh.run("next(iter(slow))")
    said = {
        line.split("  ")[0]: line for line in shown(fresh.run("%groq"))["text/plain"].splitlines()
    }
    fresh.run("slow.stop()")
    assert re.search(r"1 answer: demo/slow for \d+ s", said["Running"])
    assert "of 14,400 requests left today (full again in " in said["Limits of openai/gpt-oss-120b"]
    assert re.search(r"<\$0.0001 for 1 answer; up to \$0.\d+ for running answers$", said["Cost"])
    # Once the background loop has seen it.
    counted = "<$0.0001 for 1 answer; up to <$0.0001 for 1 stopped or failed"
    until(lambda: counted in shown(fresh.run("%groq"))["text/plain"])


def test_the_status_shows_the_configured_model(kernel: Kernel) -> None:
    kernel.run("%config GroqMagic.model = 'demo/long'")
    said = shown(kernel.run("%groq"))["text/plain"]
    kernel.run("%config GroqMagic.model = None")
    assert "Model    demo/long" in said


@pytest.mark.parametrize(
    ("before", "key"),
    [
        ("os.environ.pop('GROQ_BASE_URL')", "none: run %groq login, or set GROQ_API_KEY"),
        (f"{ELSEWHERE}; os.environ['GROQ_API_KEY'] = {KEY!r}", "found in GROQ_API_KEY"),
        (
            f"{ELSEWHERE}; os.environ['GROQ_API_KEY'] = 'two words'",
            "GROQ_API_KEY has characters that no key has",
        ),
        ("os.environ['GROQ_BASE_URL'] = 'ftp://x'", "GROQ_BASE_URL must begin with https://"),
    ],
)
def test_the_status_shows_the_source_of_the_key_and_not_the_key(
    kernel: Kernel, server: Demo, before: str, key: str
) -> None:
    kernel.run(before)
    run = kernel.run("%groq")
    kernel.run(f"os.environ['GROQ_BASE_URL'] = {server.base_url!r}")
    kernel.run("os.environ.pop('GROQ_API_KEY', None)")
    assert key in shown(run)["text/plain"]
    assert KEY[:8] not in json.dumps(run.messages, default=str).replace(before, "")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("%groq modles", "Did you mean %groq models? Commands: models, stop [all], last [N]"),
        (
            "%groq qqq",
            "%groq qqq is not a command. Commands: models, stop [all], last [N], continue",
        ),
        ("%groq models all", "Usage: %groq models: the server's models"),
        ("%groq stop it", "Usage: %groq stop [all]: stop the newest answer, or all answers."),
        ("%groq code x", "Usage: %groq code [N]: "),
        ("%groq code 0", "Usage: %groq code [N]: "),
        ("%groq code 1 2", "Usage: %groq code [N]: "),
        ("%groq last N", "Usage: %groq last [N]: "),
        ("%groq demo on", "Usage: %groq demo [off]: "),
        ("%groq kept clear older than N days", "Usage: %groq kept [check|clear|clear older "),
        ("%groq kept clear older than 0 days", "Usage: %groq kept [check|clear|clear older "),
        ("%groq kept check|clear", "Usage: %groq kept [check|clear|clear older than N days]: "),
        ("%groq login now", "Usage: %groq login: type a key, unseen, for this kernel only"),
    ],
)
def test_an_invalid_command_gives_one_line(kernel: Kernel, line: str, said: str) -> None:
    assert said in one_line(kernel.run(line))


@pytest.mark.parametrize("name", ["login", "models", "chats"])
def test_a_key_in_the_wrong_place_is_not_repeated(kernel: Kernel, name: str) -> None:
    assert KEY not in one_line(kernel.run(f"%groq {name} {KEY}"))


def test_the_help_lists_every_command(kernel: Kernel) -> None:
    run = kernel.run("%groq?")
    assert run.reply is not None
    (page,) = run.reply["content"]["payload"]
    for usage in "models,stop [all],last [N],code [N],chats,forget CHAT,login,demo [off]".split(
        ","
    ):
        assert re.search(rf"%groq {re.escape(usage)} +[a-z]", page["data"]["text/plain"])


# %groq models


def test_the_models(kernel: Kernel) -> None:
    data = shown(kernel.run("%groq models"))
    assert set(data) == {"text/html", "text/plain"}
    lines = data["text/plain"].splitlines()
    assert lines[0].split() == "Model Context Max output $ in $ out Owner".split()
    names = [line.split()[0] for line in lines[1:-1]]
    assert names == sorted(names)
    assert lines[-3].split() == "openai/gpt-oss-20b 131,072 65,536 0.075 0.30 OpenAI".split()
    assert lines[-1] == "Prices are per million tokens. Not listed: 1 model without text output."
    assert "demo/speech" not in data["text/plain"]
    assert len({line.index("1,072") for line in lines[1:-1]}) == 1  # in columns
    assert "var(--jp-" in data["text/html"]


def test_models_without_a_key_and_with_an_invalid_one(kernel: Kernel, server: Demo) -> None:
    kernel.run("del os.environ['GROQ_BASE_URL']")
    said = one_line(kernel.run("%groq models"))
    assert "No API key. Run %groq login, or set GROQ_API_KEY" in said

    def refuse(connection: Connection) -> None:
        connection.respond(b'{"error": {"message": "Invalid API Key"}}', "401 Unauthorized")

    with peer(refuse, models=True) as other:
        kernel.run(f"os.environ['GROQ_BASE_URL'] = {other.base_url!r}")
        refused = kernel.run("%groq models")
    with free_port() as port:
        kernel.run(f"os.environ['GROQ_BASE_URL'] = 'http://127.0.0.1:{port}'")
        gone = kernel.run("%groq models")
    kernel.run(f"os.environ['GROQ_BASE_URL'] = {server.base_url!r}")
    assert refused.error.startswith("AuthenticationError: 401 Invalid API Key. ")
    assert gone.error.startswith("APIConnectionError: Could not reach 127.0.0.1")
    assert len(refused.error.splitlines()) == len(gone.error.splitlines()) == 1


def test_models_of_a_server_without_models(kernel: Kernel, server: Demo) -> None:
    with peer(lambda connection: connection.respond(b"<html>"), models=True) as other:
        kernel.run(f"os.environ['GROQ_BASE_URL'] = {other.base_url!r}")
        said = one_line(kernel.run("%groq models"))
    kernel.run(f"os.environ['GROQ_BASE_URL'] = {server.base_url!r}")
    assert "lists no models that write text. Check GROQ_BASE_URL." in said


def test_an_interrupt_ends_the_wait_for_models(kernel: Kernel, server: Demo) -> None:
    with peer(lambda connection: connection.until_closed(), models=True) as other:
        kernel.run(f"os.environ['GROQ_BASE_URL'] = {other.base_url!r}")
        run = kernel.start("%groq models")
        asked = other.connection()
        kernel.manager.interrupt_kernel()
        kernel.collect(run, lambda: run.reply is not None and run.error != "")
        assert asked.closed.wait(30)
    kernel.run(f"os.environ['GROQ_BASE_URL'] = {server.base_url!r}")
    assert run.error == "Interrupted."


# %groq stop, %groq code


def test_stop_ends_the_newest_answer(kernel: Kernel) -> None:
    kernel.run("first, second = (stream('A long history', model='demo/slow') for _ in range(2))")
    kernel.run("next(iter(first)), next(iter(second))")
    said = kernel.run("%groq stop").stdout.splitlines()
    assert re.fullmatch(r"Stopped: demo/slow after [\d.]+ s, \d+ tokens? kept\.", said[0])
    assert said[1] == "1 answer still running: %groq stop all"
    assert kernel.run("print(first.ended, second.state)").stdout == "False stopped\n"
    kernel.run("third = stream('A long history', model='demo/slow')")
    assert kernel.run("%groq stop all").stdout.count("demo/slow") == 2
    assert kernel.run("print(first.state, third.state)").stdout == "stopped stopped\n"
    assert kernel.run("%groq stop").stdout == "No answer is running.\n"


def next_input(run: Run) -> dict[str, Any]:
    assert run.reply is not None
    (payload,) = run.reply["content"]["payload"]
    return dict(payload)


CODE = """\
from groq_magic.answer import Answer; from groq_magic.wire.protocol import Chunk, Delta
from groq_magic.display.show import show
async def source(text):
    yield Chunk(Delta(text), finish_reason="stop")
answer = Answer(source({text!r})).start(); answer.wait(30); show(answer); None
"""
BLOCKS = """\
1. Not this: `inline`.
   ~~~python title="x"
   def f():
   \tprint("```")

   ~~~
```
second
```
"""


def test_code_goes_into_a_new_cell_as_it_was_written(kernel: Kernel) -> None:
    kernel.run(CODE.format(text=BLOCKS))
    run = kernel.run("%groq code")
    text = 'def f():\n\tprint("```")\n'
    assert next_input(run) == {"source": "set_next_input", "text": text, "replace": False}
    assert run.stdout == "This is the first of 2 code blocks. For the second: %groq code 2\n"
    second = kernel.run("%groq code 2")
    assert next_input(second)["text"] == "second"
    assert second.stdout == ""
    assert "The last answer has 2 code blocks." in one_line(kernel.run("%groq code 3"))


def test_code_of_an_answer_without_code(kernel: Kernel) -> None:
    kernel.run(CODE.format(text="    indented\n\n`inline`"))
    assert "The last answer has no code blocks." in one_line(kernel.run("%groq code"))
    kernel.run("%%groq -m demo/slow -o slow\nmath")
    said = one_line(kernel.run("%groq code"))
    kernel.run("slow.stop()")
    assert "The last answer is still running." in said


def test_code_before_any_answer(fresh: Kernel) -> None:
    assert "There is no answer in this kernel yet." in one_line(fresh.run("%groq code"))


# %groq login


def login(kernel: Kernel, typed: str, cell: str = "%groq login") -> Run:
    """Run the cell and type that where it asks."""
    run = kernel.start(cell)
    asked = kernel._client.get_stdin_msg(timeout=90)
    assert asked["content"] == {"prompt": "Groq API key: ", "password": True}
    kernel._client.input(typed)
    kernel.collect(run, lambda: run.reply is not None and bool(kernel._idle(run)))
    return run


def answering(connection: Connection) -> None:
    connection.respond(b'{"data": [{"id": "somebody/some-model"}]}')


def test_a_key_is_kept_in_memory_and_nowhere_else(server: Demo, tmp_path: Path) -> None:
    with (
        running_kernel(environment(tmp_path, server), str(tmp_path)) as kernel,
        peer(answering, models=True) as other,
    ):
        kernel.run("import os; os.environ['GROQ_API_KEY'] = 'gsk_of_the_environment'")
        kernel.run(f"os.environ['GROQ_BASE_URL'] = {other.base_url!r}")
        kernel.run("%reload_ext groq_magic\n%xmode Verbose")
        runs = [login(kernel, f" {KEY}\n")]
        runs += [kernel.run("%groq"), kernel.run("%groq models")]
        sent = other.connection().request.headers["authorization"]
        runs += [
            kernel.run("%history -o -n\nprint(In, _ih, Out, dict(os.environ), dir())"),
            kernel.run("from groq_magic import api\nfrom groq_magic.wire.endpoint import Endpoint"),
            kernel.run("Endpoint.from_environment()"),
            kernel.run("import pickle; pickle.dumps(Endpoint.from_environment())"),
            kernel.run("import subprocess; subprocess.run('env', capture_output=True).stdout"),
            kernel.run("api.stream('x', temperature=9)"),
        ]
        other.close()
        runs.append(kernel.run("%groq models"))
    assert sent == f"Bearer {KEY}"
    assert (
        runs[0].stdout == "The key is kept in this process's memory. It overrides GROQ_API_KEY.\n"
    )
    assert "kept in memory by %groq login" in shown(runs[1])["text/plain"]
    assert KEY not in json.dumps([[run.messages, run.reply] for run in runs], default=str)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(path.name == "history.sqlite" for path in files)
    assert not [path for path in files if KEY.encode() in path.read_bytes()]


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("", "No key was given; nothing has changed."),
        ("  \n", "No key was given; nothing has changed."),
        ("gsk_one gsk_two", "That has characters that no key has; nothing has changed."),
        ("gsk_one\ngsk_two", "That has characters that no key has; nothing has changed."),
        ("gsk_\x1b[A", "That has characters that no key has; nothing has changed."),
        ("gsk_ключ", "That has characters that no key has; nothing has changed."),
    ],
)
def test_an_invalid_key_gives_one_line(kernel: Kernel, typed: str, said: str) -> None:
    line = one_line(login(kernel, typed))
    assert said in line
    assert "gsk_" not in line
    assert "not sent" in shown(kernel.run("%groq"))["text/plain"]


def test_login_without_an_input_gives_one_line(kernel: Kernel) -> None:
    said = one_line(kernel.run("%groq login", interactive=False))
    assert "A key cannot be typed unseen here. Set GROQ_API_KEY." in said


COLAB = """
class SecretNotFoundError(Exception):
    pass
def get(name):
    assert name == "GROQ_API_KEY"
    return {given}
"""


@pytest.mark.parametrize("given", [repr(KEY), "(_ for _ in ()).throw(SecretNotFoundError())"])
def test_login_on_colab_uses_its_secrets(server: Demo, tmp_path: Path, given: str) -> None:
    """Colab itself is not here: a module in its place answers as its documentation says."""
    (tmp_path / "google" / "colab").mkdir(parents=True)
    (tmp_path / "google" / "colab" / "userdata.py").write_text(COLAB.format(given=given), "utf-8")
    with running_kernel(environment(tmp_path, server), str(tmp_path)) as kernel:
        kernel.run("%reload_ext groq_magic")
        has_secret = KEY in given
        run = kernel.run("%groq login") if has_secret else login(kernel, KEY)
        assert "The key is kept" in run.stdout
        kernel.run(f"import os; {ELSEWHERE}")
        assert "kept in memory by %groq login" in shown(kernel.run("%groq"))["text/plain"]


# Tab


def complete(kernel: Kernel, code: str, position: int | None = None) -> tuple[str, list[str]]:
    """What Tab would put in, and in place of which text."""
    cursor = len(code) if position is None else position
    request = kernel._client.complete(code, cursor)
    while True:
        reply = kernel._client.get_shell_msg(timeout=90)
        if reply["parent_header"].get("msg_id") == request:
            content = reply["content"]
            return code[content["cursor_start"] : content["cursor_end"]], content["matches"]


@pytest.fixture
def knowing(kernel: Kernel) -> Kernel:
    """A kernel that has been told the models."""
    kernel.run("%groq models")
    return kernel


@pytest.mark.parametrize(
    ("code", "begun", "offered"),
    [
        ("%%groq -m op", "op", ["openai/gpt-oss-120b", "openai/gpt-oss-20b"]),
        ("%%groq -m openai/gpt-oss-2", "openai/gpt-oss-2", ["openai/gpt-oss-20b"]),
        ("%%groq --wait --model=demo/sl", "demo/sl", ["demo/slow"]),
        ("%%groq --re", "--re", ["--reasoning-effort", "--reasoning-format", "--replay"]),
        ("%%groq -m demo/slow --no", "--no", ["--no-keep", "--no-wait"]),
        ("%groq ", "", "chats code continue demo forget kept last login models stop".split()),
        ("%groq l", "l", ["last", "login"]),
        ("%groq stop ", "", ["all"]),
        ("%groq kept c", "c", ["check", "clear"]),
        ("%groq demo o", "o", ["off"]),
        ("x = 1\n%groq mo", "mo", ["models"]),
    ],
)
def test_what_tab_offers(knowing: Kernel, code: str, begun: str, offered: list[str]) -> None:
    assert complete(knowing, code) == (begun, offered)


def test_tab_offers_models_in_a_cell_with_text_below(knowing: Kernel) -> None:
    code = "%%groq -m demo/r\nHello"
    assert complete(knowing, code, 16) == ("demo/r", ["demo/rate-limit", "demo/reasoning"])
    _, elsewhere = complete(knowing, "%%groq\n-m demo/r")
    assert "demo/reasoning" not in elsewhere


def test_tab_after_a_space_offers_all_models_and_no_python_names(knowing: Kernel) -> None:
    _, offered = complete(knowing, "%%groq -m ")
    assert offered[0] == "demo/cut-off"
    assert "demo/speech" not in offered
    assert "and" not in offered


def test_tab_asks_for_the_models_once(fresh: Kernel) -> None:
    with peer(answering, models=True) as other:
        fresh.run(f"os.environ['GROQ_BASE_URL'] = {other.base_url!r}")
        tries = iter(range(100))  # the first may be too soon for what it has asked
        while complete(fresh, "%%groq -m some")[1] != ["somebody/some-model"]:
            assert next(tries) < 99
        complete(fresh, "%%groq -m other")
        assert [c.request.line for c in other.connections] == ["GET /openai/v1/models HTTP/1.1"]


def test_tab_without_a_key_sends_no_request(fresh: Kernel) -> None:
    fresh.run("del os.environ['GROQ_BASE_URL']")
    _, offered = complete(fresh, "%%groq -m op")
    assert not [name for name in offered if "/" in name]


def test_tab_does_not_wait_for_a_silent_server(fresh: Kernel) -> None:
    with peer(lambda connection: connection.until_closed(), models=True) as other:
        fresh.run(f"os.environ['GROQ_BASE_URL'] = {other.base_url!r}")
        fresh.run("from groq_magic.wire.client import Client")
        fresh.run("Client.models.__kwdefaults__['within'] = 600.0")  # seconds: longer than a test
        complete(fresh, "%%groq -m gpt-")
        assert not other.connection().closed.is_set()


def test_tab_elsewhere_is_unchanged_and_unload_removes_ours(kernel: Kernel) -> None:
    assert "os" in complete(kernel, "import o")[1]
    count = "print(len(get_ipython().Completer.custom_matchers))"
    assert kernel.run(count).stdout == "1\n"
    kernel.run("%reload_ext groq_magic")
    assert kernel.run(count).stdout == "1\n"
    kernel.run("%unload_ext groq_magic")
    gone = kernel.run(count).stdout
    _, offered = complete(kernel, "%%groq -m op")
    kernel.run("%load_ext groq_magic")
    assert gone == "0\n"
    assert "openai/gpt-oss-20b" not in offered


# show_reasoning


def test_reasoning_can_be_left_out(kernel: Kernel) -> None:
    kernel.run("%config GroqMagic.show_reasoning = False")
    run = kernel.run("%%groq -m demo/reasoning -o thinker\nmath")
    data, _ = bundle(kernel.until_static(run))
    last = shown(kernel.run("%groq last"))
    again = shown(kernel.run("thinker"))
    kernel.run("%config GroqMagic.show_reasoning = True")
    seen = shown(kernel.run("%groq last"))
    kernel.run("%config GroqMagic.show_reasoning = None")
    for html in (data["text/html"], last["text/html"], again["text/html"]):
        assert "Thought" not in html
        assert "nothing to think about" not in html
    assert "Thought" in seen["text/html"]
    messages = custom(run, widget_of(run))
    assert "nothing to think about" not in json.dumps(messages)
    headers = [m["status"]["header"] for m in messages if "status" in m]
    assert any(">thinking ·</span>" in header for header in headers)
    assert "nothing to think about" in kernel.run("print(thinker.reasoning)").stdout


def test_chats_are_listed_and_forgotten(kernel: Kernel) -> None:
    assert kernel.run("%groq chats").stdout == (
        "There is no chat in this kernel yet. Start one with %%groq -c.\n"
    )
    for flags, cell in (("-c -s 'Be brief.'", "one"), ("-c", "two"), ("-c other", "three")):
        kernel.run(f"%%groq {flags} --wait\ncat names", cell=cell)
    listed = shown(kernel.run("%groq chats"))["text/plain"].splitlines()
    assert [line.split() for line in listed if "names" in line] == [
        ["chat", "2", "Be", "brief.", "cat", "names"],
        ["other", "1", "cat", "names"],
    ]
    assert "chat (2 turns), other (1 turn)" in shown(kernel.run("%groq"))["text/plain"]
    assert "Did you mean other?" in one_line(kernel.run("%groq forget othr"))
    assert "Chats: chat, other." in one_line(kernel.run("%groq forget"))
    assert kernel.run("%groq forget chat").stdout == (
        "Forgot chat (2 turns). Its answers stay in the notebook.\n"
    )
    assert "Turn 1 of chat." in str(kernel.until_static(kernel.run("%%groq -c\nmath")))
    kernel.run("%groq forget chat\n%groq forget other")
