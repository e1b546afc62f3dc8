"""Chats: turns that belong to cells, in a real kernel with cell ids as JupyterLab sends them."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from groq_magic import Answer, Conversation, InputError, Message, ToolCall, Turn, stream
from groq_magic.conversation import Cell
from groq_magic.prompt.images import image_url
from groq_magic.runtime import runtime
from groq_magic.wire.models import KnownModels, Model
from groq_magic.wire.protocol import Chunk, Delta
from tests.support.chunks import items
from tests.support.demo import Demo
from tests.support.kernels import Kernel, running_kernel
from tests.support.peer import DONE, Connection, answers, delta, finish, peer

TOKENS_PER_SECOND = 5000

STOPPED = "[This answer was stopped before its end.]"
FAILED = "[This answer broke off before its end.]"


@pytest.fixture(scope="module")
def shared_kernel(server: Demo, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    home = str(tmp_path_factory.mktemp("home"))
    environment = {**os.environ, "GROQ_BASE_URL": server.base_url, "IPYTHONDIR": home}
    with running_kernel(environment, home) as kernel:
        kernel.run("%reload_ext groq_magic\nfrom groq_magic import *")
        yield kernel


@pytest.fixture
def kernel(shared_kernel: Kernel) -> Iterator[Kernel]:
    """The kernel, without a chat."""
    shared_kernel.run("from groq_magic.runtime import runtime; runtime.reset()")
    yield shared_kernel
    shared_kernel.run("%config GroqMagic.base_url = None")


class Chat:
    """Cells of one chat, and what they send."""

    def __init__(self, kernel: Kernel, server: Demo) -> None:
        self.kernel = kernel
        self.server = server
        self.before = len(server.seen())

    def ask(self, cell: str, prompt: str, flags: str = "-c") -> str:
        """Run a cell to its answer's end; return the note in its output."""
        run = self.kernel.run(f"%%groq {flags} --wait -o {cell}\n{prompt}", cell=cell)
        static = self.kernel.until_static(run)
        return str(static["content"]["metadata"]["groq"]["note"])

    def text(self, cell: str) -> str:
        return self.kernel.run(f"print({cell}.text, end='')").stdout

    def sent(self, number: int = -1) -> list[tuple[str, str]]:
        """The messages of a request, the last one's where no number is given."""
        seen = self.server.seen()[self.before :]
        return [(m["role"], m["content"]) for m in seen[number]["body"]["messages"]]


@pytest.fixture
def chat(kernel: Kernel, server: Demo) -> Chat:
    return Chat(kernel, server)


def test_three_turns_the_second_run_again(chat: Chat) -> None:
    assert chat.ask("one", "cat names") == "Turn 1 of chat."
    assert chat.ask("two", "math") == "Turn 2 of chat."
    assert chat.ask("three", "poem") == "Turn 3 of chat."
    one, two = ("assistant", chat.text("one")), ("assistant", chat.text("two"))
    assert chat.sent() == [("user", "cat names"), one, ("user", "math"), two, ("user", "poem")]
    note = chat.ask("two", "code")
    assert note == "Turn 2 of chat, which replaces this cell's earlier turn; turn 3 is dropped."
    assert chat.sent() == [("user", "cat names"), one, ("user", "code")]
    assert chat.ask("two", "math") == "Turn 2 of chat, which replaces this cell's earlier turn."
    assert chat.ask("four", "poem") == "Turn 3 of chat."
    assert chat.sent() == [("user", "cat names"), one, ("user", "math"), two, ("user", "poem")]
    chat.ask("five", "poem")
    note = chat.ask("one", "code")
    assert note.endswith("earlier turn; turns 2 to 4 are dropped.")
    assert chat.sent() == [("user", "code")]


def test_chats_of_a_name_are_apart_and_a_cell_without_is_in_none(chat: Chat) -> None:
    chat.ask("one", "cat names", "-c left")
    chat.ask("two", "math", "--chat right")
    assert chat.sent() == [("user", "math")]
    chat.kernel.run("%%groq --wait\npoem", cell="three")
    assert chat.sent() == [("user", "poem")]
    assert chat.ask("four", "code", "-c left") == "Turn 2 of left."
    assert [role for role, _ in chat.sent()] == ["user", "assistant", "user"]


def test_what_it_is_told_first_stays(chat: Chat) -> None:
    chat.kernel.run("%config GroqMagic.system = 'configured'")
    chat.ask("one", "math", "-c -s 'Be brief.'")
    chat.ask("two", "poem")
    assert chat.sent()[0] == ("system", "Be brief.")
    chat.ask("three", "code", "-c -s ''")
    assert chat.sent()[0] == ("user", "math")
    chat.ask("four", "code", "-c other")
    assert chat.sent()[0] == ("system", "configured")
    chat.kernel.run("%config GroqMagic.system = None")


def test_a_stopped_turn_keeps_what_it_has(chat: Chat) -> None:
    kernel = chat.kernel
    kernel.run("%%groq -c -m demo/slow -o slow\ncat names", cell="one")
    kernel.run("next(iter(slow)); slow.stop()")
    chat.ask("two", "go on")
    assert chat.text("slow") != ""
    stopped = ("assistant", f"{chat.text('slow')}\n\n{STOPPED}")
    assert chat.sent() == [("user", "cat names"), stopped, ("user", "go on")]
    kernel.run("stream('math', chat='chat', model='demo/slow').stop()", cell="three")
    chat.ask("four", "poem")
    assert chat.sent()[-2:] == [("user", "math"), ("user", "poem")]


def test_a_cut_turn_is_continued_in_its_cell(chat: Chat) -> None:
    kernel = chat.kernel
    chat.ask("one", "cat names")
    prompt = "-m llama-3.3 -c --max-tokens 10"
    chat.ask("two", "math", prompt)
    begun = chat.text("two")
    note = chat.ask("two", "math", f"--continue {prompt}")
    assert note == "Turn 2 of chat."
    assert chat.sent()[-2:] == [("user", "math"), ("assistant", begun)]
    assert chat.text("two").startswith(begun)
    assert len(chat.text("two")) > len(begun)
    turns = kernel.run("from groq_magic.conversation import chat_named; print(chat_named('chat'))")
    assert "2 turns" in turns.stdout


def test_a_command_continues_the_last_answer(chat: Chat) -> None:
    kernel = chat.kernel
    assert "There is no answer in this kernel yet" in kernel.run("%groq continue").stdout
    kernel.run("%%groq -m llama-3.3 --max-tokens 10 --wait -o cut\nmath", cell="one")
    refused = kernel.run("%%groq --continue\nmath", cell="other")
    assert "has no answer to go on with. Run it without --continue" in refused.stdout
    run = kernel.run("%groq continue", cell="other")
    text = kernel.until_static(run)["content"]["data"]["text/plain"]
    assert text.startswith(chat.text("cut"))
    assert len(text) > len(chat.text("cut"))
    kernel.run("%%groq --wait -o whole\ncat names", cell="three")
    again = kernel.run("%%groq --continue\ncat names", cell="three")
    (kept,) = again.of_type("display_data")
    assert kept["content"]["data"]["text/plain"] == chat.text("whole")
    assert "The answer is complete" in again.stdout
    refused = kernel.run("%groq continue", cell="four")
    assert "The answer is complete, or nothing of it came. Ask again." in refused.stdout


def test_a_failed_turn_keeps_what_it_has(chat: Chat) -> None:
    chat.kernel.run("%%groq -c -m demo/mid-stream-error -o broken\ncat names", cell="one")
    chat.kernel.run("broken.wait()")
    chat.ask("two", "go on")
    assert chat.text("broken") != ""
    failed = ("assistant", f"{chat.text('broken')}\n\n{FAILED}")
    assert chat.sent() == [("user", "cat names"), failed, ("user", "go on")]
    chat.kernel.run("%%groq -c -m demo/error-401 -o refused\nmath", cell="three")
    chat.kernel.run("refused.wait()")
    chat.ask("four", "poem")
    assert chat.sent()[-2:] == [("user", "math"), ("user", "poem")]


def test_two_at_once_come_one_behind_the_other(chat: Chat) -> None:
    kernel, may_end = chat.kernel, threading.Event()

    def held(connection: Connection) -> None:
        connection.begin()
        connection.chunk(delta("Three names"))
        may_end.wait(90)
        connection.chunk(finish() + DONE)
        connection.end()

    with peer(held, answers("Four")) as other:
        kernel.run(f"%config GroqMagic.base_url = {other.base_url!r}")
        kernel.run("%%groq -c -o first\ncat names", cell="one")
        second = kernel.run("%%groq -c -o second\nmath", cell="two")
        kernel.run("import asyncio; await second.changed(0)")
        assert kernel.run("print(first.ended, second.state, second.waiting.reason)").stdout == (
            "False waiting waits for the previous turn\n"
        )
        other.connection(0)
        assert len(other.connections) == 1
        may_end.set()
        static = kernel.until_static(second)
        assert kernel.run("print(first.state, second.state)").stdout == "done done\n"
    assert "Turn 2 of chat." in static["content"]["data"]["text/html"]
    assert other.connection(1).request.json["messages"] == [
        {"role": "user", "content": "cat names"},
        {"role": "assistant", "content": "Three names"},
        {"role": "user", "content": "math"},
    ]


def test_a_turn_that_waits_can_be_stopped_and_was_never_sent(chat: Chat) -> None:
    kernel = chat.kernel
    kernel.run("%%groq -c -m demo/slow -o first\ncat names", cell="one")
    kernel.run("%%groq -c -o second\nmath", cell="two")
    kernel.run("next(iter(first)); second.stop(); first.stop()")
    chat.ask("three", "poem")
    assert [text for role, text in chat.sent() if role == "user"] == ["cat names", "math", "poem"]
    asked = [entry["body"]["messages"][-1]["content"] for entry in chat.server.seen()]
    assert asked[chat.before :] == ["cat names", "poem"]


def test_a_cell_that_is_run_again_stops_what_its_turn_replaces(chat: Chat) -> None:
    kernel = chat.kernel
    kernel.run("%%groq -c -m demo/slow -o first\ncat names", cell="one")
    kernel.run("%%groq -c -o second\nmath", cell="two")
    assert chat.ask("one", "poem").startswith("Turn 1 of chat, which replaces")
    assert kernel.run("print(first.state, second.state)").stdout == "stopped stopped\n"
    assert chat.sent() == [("user", "poem")]


def test_a_bad_cell_changes_nothing(chat: Chat) -> None:
    chat.ask("one", "cat names")
    for flags, prompt in [("-t 7", "x"), ("", "{{ nothing }}"), ("-m ''", "x"), ("", " ")]:
        assert "UsageError" in chat.kernel.run(f"%%groq -c {flags}\n{prompt}", cell="one").stdout
    chat.ask("two", "math")
    assert [role for role, _ in chat.sent()] == ["user", "assistant", "user"]


def test_turns_of_a_loop_in_one_cell_follow_one_another(chat: Chat) -> None:
    loop = (
        "answers = [stream(text, chat='loop') for text in ('cat names', 'math')]\n"
        "for answer in answers: answer.wait()"
    )
    for _ in range(2):  # run again, the cell begins its turns anew
        chat.kernel.run(loop, cell="one")
        assert [role for role, _ in chat.sent()] == ["user", "assistant", "user"]
    assert chat.kernel.run("print(answers[1].note)").stdout == "Turn 2 of loop.\n"


def test_a_variable_that_holds_a_chat(chat: Chat) -> None:
    chat.kernel.run("mine = Conversation('mine', system='Be brief.')")
    assert chat.ask("one", "cat names", "-c mine") == "Turn 1 of mine."
    assert chat.kernel.run("print(mine.turns[0].text == one.text, mine)").stdout == (
        "True <Conversation 'mine': 1 turn, system 'Be brief.'>\n"
    )
    assert chat.sent()[0] == ("system", "Be brief.")


def test_dropped_turns_are_stopped_the_last_first() -> None:
    """A turn that waits for an earlier one would be sent when that is stopped."""
    stopped: list[Answer] = []

    class Noted(Answer):
        def drop(self, note: str) -> None:
            stopped.append(self)

    chat = Conversation()
    answers = [Noted(items()) for _ in range(3)]
    for number, answer in enumerate(answers):
        chat.turns.append(Turn(Message("user", "Hi"), cell=Cell(str(number), "first run")))
        chat.turns[-1].answer = answer
    chat.add(Turn(Message("user", "Hi"), cell=Cell("0", "second run")))
    assert stopped == answers[::-1]


def test_in_code_it_is_open_to_look_at_and_to_change(server: Demo, tmp_path: Path) -> None:
    chat = Conversation(system="Be brief.")
    for prompt in ("cat names", "math"):
        stream(prompt, chat=chat, base_url=server.base_url).wait()
    first = chat.turns[0]
    assert (first.state, first.prompt) == ("done", Message("user", "cat names"))
    first.text = "Tom."
    del chat.turns[1]
    expected = [
        Message("system", "Be brief."),
        Message("user", "cat names"),
        Message("assistant", "Tom."),
    ]
    assert chat.to_messages() == expected
    chat.save(tmp_path / "chat.json")
    loaded = Conversation.load(tmp_path / "chat.json")
    assert (loaded.name, loaded.to_messages()) == ("chat", expected)
    stream("poem", chat=loaded, base_url=server.base_url).wait()
    sent = server.seen()[-1]["body"]["messages"]
    assert sent == [message.to_wire() for message in [*expected, Message("user", "poem")]]


def test_a_turn_that_waits_is_told_what_was_meant_for_it(server: Demo) -> None:
    chat = Conversation(system="A")
    first = stream(
        "A long history of notebooks", chat=chat, model="demo/slow", base_url=server.base_url
    )
    second = stream("math", chat=chat, base_url=server.base_url)
    third = stream("poem", chat=chat, system="B", base_url=server.base_url)
    next(iter(first))
    del chat.turns[0]
    first.stop()
    assert third.wait(30)
    assert second.state == "done"
    sent = [entry["body"]["messages"] for entry in server.seen()[-2:]]
    assert sent[0] == [{"role": "system", "content": "A"}, {"role": "user", "content": "math"}]
    assert [message["content"] for message in sent[1]] == ["B", "math", second.text, "poem"]


def test_what_cannot_be_sent_is_no_turn() -> None:
    turn = Turn(Message("user", "a"), text="b")
    with pytest.raises(InputError, match="half a character"):
        turn.text = "\ud83d"
    with pytest.raises(InputError, match="half a character"):
        Turn(Message("user", "a"), text="\ud83d")
    with pytest.raises(InputError, match="A message's content is text, not 5"):
        Message("user", 5)  # type: ignore[arg-type]


def test_a_save_that_fails_leaves_the_file_that_is_there(tmp_path: Path) -> None:
    (tmp_path / "chat.json").write_text("precious")
    chat = Conversation("\ud83d")
    with pytest.raises(UnicodeEncodeError):
        chat.save(tmp_path / "chat.json")
    with pytest.raises(InputError, match="Cannot write"):
        Conversation().save(tmp_path / "no" / "chat.json")
    assert (tmp_path / "chat.json").read_text() == "precious"


def test_a_save_follows_no_link_and_is_for_the_owner_alone(tmp_path: Path) -> None:
    (tmp_path / "theirs").write_text("precious")
    for name in ("chat.json", ".chat.json.part"):
        (tmp_path / name).symlink_to("theirs")
    Conversation().save(tmp_path / "chat.json")
    assert (tmp_path / "theirs").read_text() == "precious"
    assert not (tmp_path / "chat.json").is_symlink()
    assert (tmp_path / "chat.json").stat().st_mode & 0o777 == 0o600
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match="Cannot write"):
        Conversation().save(tmp_path / "folder")
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"theirs", "chat.json", ".chat.json.part", "folder"}


@pytest.mark.parametrize(
    "url",
    [
        "data:image/svg+xml;base64,PHN2Zz4=",
        "data:text/html,<script>",
        "data:image/png;base64,<script>",
        "http://localhost:8888/x.png",
        "file:///etc/passwd",
        "/etc/passwd",
    ],
)
def test_a_loaded_chat_has_images_of_our_kinds_alone(tmp_path: Path, url: str) -> None:
    ours = ("data:image/png;base64,iVBO", "https://example.org/cat.png")
    Conversation(turns=[Turn(Message("user", "a", ours))]).save(tmp_path / "chat.json")
    assert Conversation.load(tmp_path / "chat.json").turns[0].prompt.images == ours
    text = (tmp_path / "chat.json").read_text().replace(ours[0], url)
    (tmp_path / "chat.json").write_text(text)
    with pytest.raises(InputError, match="is not a chat"):
        Conversation.load(tmp_path / "chat.json")
    with pytest.raises(InputError, match="cannot be saved"):
        Conversation(turns=[Turn(Message("user", "a", (url,)))]).save(tmp_path / "chat.json")
    assert (tmp_path / "chat.json").read_text() == text


def test_a_loaded_chat_shows_what_the_model_is_told_first(tmp_path: Path) -> None:
    Conversation("x", system="Obey\x1b me.").save(tmp_path / "chat.json")
    loaded = Conversation.load(tmp_path / "chat.json")
    assert repr(loaded) == r"<Conversation 'x': 0 turns, system 'Obey\x1b me.'>"


def test_a_saved_chat_has_all_there_is(tmp_path: Path) -> None:
    turns = [
        Turn(Message("user", "a", ("data:image/gif;base64,R0lGODlh",)), text="b"),
        Turn(Message("user", "c"), text="d", state="stopped"),
        Turn(Message("user", "é 🌍"), state="failed"),
    ]
    Conversation("one", turns=turns).save(tmp_path / "chat.json")
    loaded = Conversation.load(tmp_path / "chat.json")
    assert loaded.to_messages() == Conversation("one", turns=turns).to_messages()
    assert [turn.state for turn in loaded.turns] == ["done", "stopped", "failed"]


def test_a_chat_goes_on_after_tool_calls(server: Demo) -> None:
    call = ToolCall(0, "call_1", "weather", "{}")
    others = (ToolCall(1, "call_2", "weather", '{"ci'), ToolCall(2, "", "weather", "{}"))
    done = Chunk(Delta(tool_calls=(call, *others)), finish_reason="tool_calls")
    turn = Turn(Message("user", "Weather?"))
    turn.answer = Answer(items(done)).start()
    chat = Conversation(turns=[turn])
    stream("cat names", chat=chat, base_url=server.base_url).wait()
    _, asked, result, question = server.seen()[-1]["body"]["messages"]
    assert asked == {"role": "assistant", "content": None, "tool_calls": [call.to_wire()]}
    not_run = "[This call was not run.]"
    assert result == {"role": "tool", "content": not_run, "tool_call_id": "call_1"}
    assert question == {"role": "user", "content": "cat names"}


def test_calls_of_a_stopped_answer_are_not_sent() -> None:
    turn = Turn(Message("user", "Weather?"))
    chunk = Chunk(Delta(tool_calls=(ToolCall(0, "call_1", "weather", "{}"),)))
    turn.answer = Answer(items(chunk, 60.0)).start()
    assert asyncio.run(turn.answer.changed(0))
    turn.answer.stop()
    assert turn.to_messages() == [turn.prompt]


def test_the_oldest_turns_are_left_out_where_all_is_too_much(server: Demo) -> None:
    picture = b"GIF89a"
    turns = [Turn(Message("user", str(n), (image_url(picture),)), text="b") for n in range(5)]
    chat = Conversation(system="Be brief.", turns=turns)
    two, url = [picture, picture], server.base_url
    answer = stream("cat names", chat=chat, images=two, model="other", base_url=url)
    answer.wait()
    assert answer.note == (
        "Turn 6 of chat; the first 2 turns are left out, since the chat is too long for the model."
    )
    sent = server.seen()[-1]["body"]["messages"]
    assert [part["role"] for part in sent] == ["system", *["user", "assistant"] * 3, "user"]
    assert sent[1]["content"][0]["text"] == "2"
    assert len(chat.turns) == 6


def test_so_are_those_that_a_model_has_no_room_for(server: Demo) -> None:
    runtime.own(KnownModels).remember(server.base_url, [Model("small", context_window=800)])
    turns = [Turn(Message("user", f"{n} " + "word " * 100), text="ok") for n in range(9)]
    chat = Conversation(turns=turns)
    answer = stream("cat names", chat=chat, model="small", base_url=server.base_url)
    answer.wait()
    assert answer.note.startswith("Turn 10 of chat; the first 4 turns are left out")
    sent = server.seen()[-1]["body"]["messages"]
    assert [part["content"][0] for part in sent if part["role"] == "user"] == [*"45678c"]
    stream("cat names", chat=chat, model="another", base_url=server.base_url).wait()
    assert len(server.seen()[-1]["body"]["messages"]) == 21


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "[" * 100_000,
        '{"name": "x", "system": null, "turns": {}}',
        '{"name": "x", "system": null, "turns": [{}]}',
        '{"turns": 1}',
        "\xff",
    ],
)
def test_another_file_is_no_chat(tmp_path: Path, text: str) -> None:
    (tmp_path / "chat.json").write_text(text, "latin-1")
    with pytest.raises(InputError, match=r"is not a chat that Conversation\.save has written"):
        Conversation.load(tmp_path / "chat.json")
    with pytest.raises(InputError, match=r"Cannot read .*nowhere"):
        Conversation.load(tmp_path / "nowhere")


@pytest.mark.parametrize("chat", ["", "  ", 7])
def test_a_chat_needs_a_name(chat: Any) -> None:
    with pytest.raises(InputError, match="A chat is a name or a Conversation"):
        stream("Hi", chat=chat, base_url="http://localhost:1")
    with pytest.raises(InputError, match="A turn of a chat is one text"):
        stream([Message("user", "Hi")], chat=Conversation(), base_url="http://localhost:1")
