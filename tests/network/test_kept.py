"""Kept answers: the same request is answered from the file, and nothing else is."""

from __future__ import annotations

import os
import re
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from html import escape
from pathlib import Path
from typing import Any

import pytest

from groq_magic import Answer, Conversation, InputError, MissingKeyError, stream
from groq_magic.display.static import static_bundle
from groq_magic.keeping import when_written
from groq_magic.store import Store
from groq_magic.wire.protocol import Kept
from tests.bench.kept import KEY, PNG, kills, mutations, speak
from tests.support.peer import Connection, Peer, answers, begins_then, delta, event, finish, peer

MARK = re.compile(r" ·</span> <span [^>]*>kept from \d+ \w+, asked \d times</span>")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, where the file is made."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def server() -> Iterator[Peer]:
    with peer(speak) as server:
        yield server


def ask(server: Peer, prompt: str = "Three names for a cat", **more: Any) -> Answer:
    answer = stream(prompt, **{"model": "m", "keep": True, "base_url": server.base_url, **more})
    assert answer.wait(30)
    return answer


def written() -> None:
    """Wait until all is in the file."""
    when_written(lambda: None)


def test_the_same_request_gets_the_same_answer_and_is_not_sent(server: Peer) -> None:
    questions: list[dict[str, Any]] = [
        {"prompt": f"Question {number}", "seed": number} for number in range(8)
    ]
    first = [ask(server, **question) for question in questions]
    written()
    for one, question in zip(first, questions, strict=True):
        other = ask(server, **question)
        assert isinstance(other.kept, Kept)
        assert (other.state, other.cost) == ("done", None)
        for name in "text reasoning tool_calls usage finish_reason request_id model seed".split():
            assert getattr(other, name) == getattr(one, name), name
        html, plain = (MARK.sub("</span>", static_bundle(a)[0]["text/html"]) for a in (other, one))
        assert html == plain.replace(f"<br>{escape(one.note)}", "")
        assert MARK.search(static_bundle(other)[0]["text/html"])
        metadata = static_bundle(one)[1]["groq"]
        metadata.pop("note", None)
        assert static_bundle(other)[1]["groq"] == metadata
    assert any(answer.tool_calls for answer in first)
    assert len(server.connections) == len(questions)


def test_the_next_question_finds_what_is_not_written_yet(server: Peer) -> None:
    assert ask(server).kept is None
    assert ask(server).kept
    assert len(server.connections) == 1


def test_without_the_servers_count_the_deltas_still_count() -> None:
    with peer(answers("one ", "two ", "three")) as server:
        assert ask(server).tokens == 3
        written()
        assert (ask(server).kept is not None, ask(server).tokens) == (True, 3)


def test_it_says_from_when_it_is_and_how_often_it_was_asked(server: Peer) -> None:
    for _ in range(3):
        last = ask(server)
        written()
    assert last.kept
    assert last.kept.asked == 3
    (entry,) = Store.at().entries()
    assert (entry.model, entry.prompt, entry.kept.asked) == ("m", "Three names for a cat", 3)
    with closing(sqlite3.connect("groq-answers.db")) as db, db:
        db.execute("UPDATE answers SET since = 1e9")
    kept = ask(server).kept
    assert kept
    assert kept.day == "9 Sep 2001"


def test_the_first_use_says_where_and_the_file_is_the_owners(server: Peer, folder: Path) -> None:
    assert ask(server).note == "Prompts and answers are kept in groq-answers.db from now on."
    written()
    assert ask(server, "Something else entirely").note == ""
    if os.name == "posix":
        assert stat.S_IMODE((folder / "groq-answers.db").stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "script",
    [
        begins_then(lambda connection: connection.socket.close()),
        lambda connection: connection.respond(b"", "400 Bad"),
    ],
)
def test_an_answer_that_failed_is_not_kept(script: Any) -> None:
    with peer(script, answers("fine")) as server:
        assert ask(server, max_retries=0).state == "failed"
        assert ask(server).text == "fine"
        assert ask(server).kept
        assert len(server.connections) == 2


def test_a_stopped_answer_is_not_kept() -> None:
    with peer(begins_then(Connection.until_closed), answers("fine")) as server:
        answer = stream("Hi", model="m", keep=True, base_url=server.base_url)
        next(iter(answer))
        answer.stop()
        assert ask(server, "Hi").text == "fine"


def test_fresh_asks_anew_and_replaces_the_answer() -> None:
    with peer(answers("old"), answers("new")) as server:
        assert ask(server).text == "old"
        assert ask(server, keep="fresh").text == "new"
        assert (ask(server).text, ask(server).kept is not None) == ("new", True)
        written()
        assert [entry.kept.asked for entry in Store.at().entries()] == [3]


def test_replay_types_the_answer_out() -> None:
    with peer(answers("one two three")) as server:
        ask(server)
        replayed = ask(server, keep="replay")
    assert replayed.kept
    assert replayed.deltas() == ["one ", "two ", "three"]


@pytest.mark.parametrize(("keep", "store"), [("yes", "a.db"), (True, ""), (True, 5)])
def test_a_wrong_argument_sends_nothing(server: Peer, keep: Any, store: Any) -> None:
    with pytest.raises(InputError, match=r"^(keep|store) must be "):
        ask(server, keep=keep, store=store)
    assert server.accepted == 0


def test_a_chat_is_rebuilt_as_a_whole_and_anew_from_a_change_on(server: Peer) -> None:
    def run(*prompts: str) -> list[bool]:
        chat = Conversation(system="Be brief.")
        return [ask(server, prompt, chat=chat).kept is not None for prompt in prompts]

    assert run("A cat", "A dog", "A cow") == [False, False, False]
    assert run("A cat", "A dog", "A cow") == [True, True, True]
    assert run("A cat", "A pig", "A cow") == [True, False, False]
    assert len(server.connections) == 5


def test_turns_that_wait_for_each_other_are_found_too(server: Peer) -> None:
    for kept in (False, True):
        chat = Conversation()
        turns = [stream(p, model="m", chat=chat, keep=True, base_url=server.base_url) for p in "ab"]
        assert [(turn.wait(30), turn.kept is not None) for turn in turns] == [(True, kept)] * 2


def test_images_are_part_of_the_question(server: Peer) -> None:
    assert [ask(server, images=[PNG]).kept is not None for _ in range(2)] == [False, True]
    assert ask(server, images=[PNG + b"\0"]).kept is None
    assert ask(server).kept is None
    assert ask(server, images=[PNG, PNG]).kept is None


def test_what_differs_little_is_asked(tmp_path: Path) -> None:
    found = mutations(tmp_path, 36)
    assert (found["false hits"], found["requests"]) == (0, 36)


def test_without_key_and_network_kept_answers_come_and_others_say_so(
    server: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GROQ_SEND_KEY_UNENCRYPTED", "yes")
    monkeypatch.setenv("GROQ_BASE_URL", "http://groq.example/openai/v1")
    monkeypatch.setenv("HTTP_PROXY", server.base_url.partition("/openai")[0])
    monkeypatch.setenv("GROQ_API_KEY", KEY)
    asked = ask(server, base_url=None)
    assert asked.state == "done", asked.error
    monkeypatch.delenv("GROQ_API_KEY")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")  # where nobody listens
    assert ask(server, base_url=None).text == asked.text
    missing = ask(server, "Another", base_url=None)
    assert isinstance(missing.error, MissingKeyError)
    assert str(missing.error).startswith(
        "This question is not kept in groq-answers.db. No API key. Run %groq login, "
    )
    monkeypatch.setenv("GROQ_API_KEY", KEY)
    unreached = ask(server, "Another", base_url=None, max_retries=0)
    assert str(unreached.error).startswith("This question is not kept in groq-answers.db. ")


NOW = "It is 12:30; <cat at 0x7f3a5b>. Tell me more about it."


@pytest.mark.parametrize(
    ("now", "note"),
    [
        (
            {"prompt": NOW.replace("12:30", "12:31").replace("3a5b", "9c0d")},
            (
                "Not kept: the prompt at character 11 has '12:31; <cat at 0x7f9c0d>. Tell me ', "
                "had '12:30; <cat at 0x7f3a5b>. Tell me '."
            ),
        ),
        (
            {"prompt": NOW.replace("Tell", "Show")},
            (
                "Not kept: the prompt at character 33 has 'Show me more about it.', "
                "had 'Tell me more about it.'."
            ),
        ),
        ({"temperature": 0.7}, "Not kept: the temperature has '0.7', had '0.5'."),
        ({"model": "n"}, "Not kept: the model has 'n', had 'm'."),
        ({"stop": ["x"]}, "Not kept: the stop changed."),
        ({"images": [PNG]}, "Not kept: the images changed."),
        ({"system": "Be long."}, "Not kept: the system prompt has 'Be long.', had nothing."),
        ({"model": "n", "temperature": 1.0, "seed": 1, "system": "No."}, ""),
        ({"prompt": "An entirely different question"}, ""),
    ],
)
def test_a_miss_says_where_the_nearest_question_differs(
    server: Peer, now: dict[str, Any], note: str
) -> None:
    then: dict[str, Any] = {"prompt": NOW, "temperature": 0.5}
    ask(server, **then)
    written()
    assert ask(server, **{**then, **now}).note == note


def test_the_note_of_a_chat_stays_beside_it(server: Peer) -> None:
    ask(server, chat=Conversation())
    written()
    assert ask(server, chat=Conversation(), seed=1).note == (
        "Turn 1 of chat. Not kept: the seed has '1', had nothing."
    )


def test_neither_the_key_nor_a_header_is_in_the_file(
    server: Peer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GROQ_API_KEY", KEY)
    tool = {"type": "mcp", "server_url": "https://a.example", "headers": {"X-Secret": "hunter2"}}
    chat = Conversation(system=f"The key is {KEY}.")
    ask(server, f"My key is {KEY}.", chat=chat, tools=[tool])
    ask(server, "And now?", chat=chat, tools=[tool])
    written()
    data = (folder / "groq-answers.db").read_bytes()
    assert b"My key is [API key]." in data
    for secret in (KEY, "Bearer", "Authorization", "User-Agent", "hunter2", "X-Secret"):
        assert secret.encode() not in data


def test_an_earlier_turn_is_not_in_the_file(server: Peer, folder: Path) -> None:
    chat = Conversation()
    ask(server, "A secret that is not kept", chat=chat, keep=False)
    ask(server, "A turn that is", chat=chat)
    written()
    data = (folder / "groq-answers.db").read_bytes()
    assert b"A turn that is" in data
    assert b"A secret" not in data


def test_a_cut_answer_that_was_kept_goes_on() -> None:
    cut = lambda connection: connection.respond(delta("one ") + finish("length"))  # noqa: E731
    with peer(cut, answers("two")) as server:
        ask(server)
        kept = ask(server)
        assert kept.kept
        whole = kept.resume()
        assert whole.result() == "one two"
        assert (whole.kept, ask(server).text) == (None, "one ")


# The file


def test_clear_deletes_the_old_ones_and_their_texts(server: Peer, folder: Path) -> None:
    ask(server, "An old question")
    written()
    with closing(sqlite3.connect("groq-answers.db")) as db, db:
        db.execute("UPDATE answers SET since = since - 3 * 86400")
    ask(server, "A new one")
    written()
    store = Store.at()
    assert (store.clear(4), store.clear(2)) == (0, 1)
    assert [entry.prompt for entry in store.entries()] == ["A new one"]
    assert b"An old question" not in (folder / "groq-answers.db").read_bytes()
    assert (store.clear(), store.entries()) == (1, [])


def change(statement: str) -> None:
    with closing(sqlite3.connect("groq-answers.db")) as db, db:
        db.execute(statement)


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        (
            "PRAGMA user_version = 2",
            (
                "A newer groq_magic wrote groq-answers.db: format 2, and this one reads 1. "
                "Run %pip install -U groq-magic, and restart the kernel."
            ),
        ),
        *(
            (
                statement,
                "groq-answers.db is not a file of kept answers. Choose another with %config",
            )
            for statement in (
                "DROP INDEX shapes",
                "ALTER TABLE answers ADD COLUMN more",
                "CREATE TRIGGER t AFTER UPDATE ON answers BEGIN DELETE FROM answers; END",
            )
        ),
        *(
            (
                f"UPDATE answers SET {change}",
                (
                    "groq-answers.db holds something that groq_magic did not write. "
                    "Ask with --fresh, or %groq kept clear."
                ),
            )
            for change in (
                "chunks = ''",
                "chunks = '[]'",
                "chunks = x'00'",
                "chunks = '{\"choices\": 5}'",
                "since = 'x'",
                "since = 1e300",
                "asked = -1",
                "seconds = 9e999",
                "first_token = 'x'",
                "thinking = 'x'",
                "cost = 'x'",
            )
        ),
    ],
)
def test_a_file_that_cannot_be_used_is_one_line_and_sends_nothing(
    server: Peer, statement: str, said: str
) -> None:
    ask(server)
    written()
    change(statement)
    answer = ask(server)
    assert isinstance(answer.error, InputError)
    assert str(answer.error).startswith(said)
    assert len(server.connections) == 1


@pytest.mark.parametrize("content", [b"no database", b"\0" * 5000])
def test_a_file_of_another_kind_stays_as_it_is(server: Peer, folder: Path, content: bytes) -> None:
    (folder / "notes").write_bytes(content)
    answer = ask(server, store="notes")
    assert str(answer.error).startswith("notes cannot be used: file is not a database. Choose")
    assert (folder / "notes").read_bytes() == content


def test_another_programs_database_stays_as_it_is(server: Peer) -> None:
    change("CREATE TABLE theirs (a)")
    assert "is not a file of kept answers" in str(ask(server).error)
    with closing(sqlite3.connect("groq-answers.db")) as db:
        assert db.execute("SELECT name FROM sqlite_master").fetchall() == [("theirs",)]


def test_an_answer_that_cannot_be_written_is_there(
    server: Peer, caplog: pytest.LogCaptureFixture
) -> None:
    answer = ask(server, store="no/such/folder/a.db")
    written()
    assert answer.state == "done"
    assert "Answers are not kept: no/such/folder/a.db cannot be used" in caplog.text


def test_a_hostile_answer_is_text(server: Peer) -> None:
    """The file may come with a notebook from elsewhere."""
    ask(server)
    written()
    chunk = event({"model": "<b>m", "choices": [{"delta": {"content": "<script>"}}]})
    end = finish(usage={"prompt_tokens": "<i>"})
    lines = b"\n".join(data.removeprefix(b"data: ").strip() for data in (chunk, end)).decode()
    with closing(sqlite3.connect("groq-answers.db")) as db, db:
        db.execute("UPDATE answers SET chunks = ?, request_id = ?", [lines, "<u>\x1b"])
    html = static_bundle(ask(server))[0]["text/html"]
    assert "&lt;b&gt;m" in html
    assert not re.search("<script|<i>|<u>|<b>m", html)


# Processes


def ran(script: str, base_url: str, folder: Path) -> str:
    """What a process prints that asks with ``ask(prompt)``."""
    head = (
        "import os\nfrom groq_magic import stream\ndef ask(prompt):\n"
        f"    answer = stream(prompt, model='m', keep=True, base_url={base_url!r})\n"
        "    answer.wait(30)\n    return 'kept' if answer.kept else answer.state\n"
    )
    command = [sys.executable, "-c", head + script]
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stderr == ""
    return done.stdout


def test_a_process_that_ends_at_once_has_kept_its_answer(server: Peer, folder: Path) -> None:
    assert ran("print(ask('Hi'))", server.base_url, folder) == "done\n"
    assert ran("print(ask('Hi'))", server.base_url, folder) == "kept\n"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_child_finds_and_keeps_answers_too(server: Peer, folder: Path) -> None:
    script = """\
ask('a')
if (child := os.fork()) == 0:
    print(ask('a'), ask('b'), flush=True)
    from groq_magic.keeping import when_written
    when_written(lambda: None)
    os._exit(0)
os.waitpid(child, 0)
print(ask('a'), ask('b'))
"""
    said = ran(script, server.base_url, folder).splitlines()
    assert said in (["kept done", "kept kept"], ["done done", "kept kept"])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_killed_writers_leave_a_whole_file_with_all_that_was_committed(tmp_path: Path) -> None:
    found = kills(tmp_path, 24)
    assert found["committed"] > 0
    assert (found["integrity"], found["lost"]) == ("ok", 0)
