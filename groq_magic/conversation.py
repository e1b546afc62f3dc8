"""Chats: turns of question and answer, each of which may belong to a cell."""

from __future__ import annotations

import json
import threading
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import aclosing, suppress
from os import PathLike
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, NamedTuple

from groq_magic.prompt.images import MOST_CHARACTERS, MOST_IMAGES, encoded_size, is_ours
from groq_magic.runtime import runtime
from groq_magic.wire.protocol import Asked, Item, Message, Queued

from .answer import Answer, State
from .errors import InputError

DEFAULT_CHAT = "chat"
"""The name of the notebook's own chat."""
_MARKS = {
    "stopped": "[This answer was stopped before its end.]",
    "failed": "[This answer broke off before its end.]",
}
_BYTES_PER_TOKEN = 3  # English has more, code and other languages less: it must not be too many
_TOKENS_PER_IMAGE = 2048  # https://console.groq.com/docs/vision
_KEPT_FREE = 8  # a part in so many of the context is the answer's


class Cell(NamedTuple):
    """Where a turn was asked: a notebook's cell, and which run of it."""

    id: str | None = None
    run: str | None = None


NOWHERE = Cell()
"""No cell: each such turn is a new one."""


class Turn:
    """A question and its answer, as far as it has come; ``text`` can be set to another."""

    def __init__(
        self,
        prompt: Message,
        *,
        text: str | None = None,
        state: State = "done",
        cell: Cell = NOWHERE,
    ) -> None:
        self.prompt = prompt
        self.cell = cell
        self.answer: Answer | None = None
        """The answer itself, where it came in this process."""
        if text is not None:
            Message("assistant", text)  # which refuses what cannot be sent
        self._text = text
        self._state: State = state

    @property
    def text(self) -> str:
        """The answer's text, or what it was set to."""
        if self._text is None and self.answer is not None:
            return self.answer.text
        return self._text or ""

    @text.setter
    def text(self, text: str) -> None:
        Message("assistant", text)  # which refuses what cannot be sent
        self._text, self._state, self.answer = text, "done", None

    @property
    def state(self) -> State:
        """The answer's state; of an answer that was set, "done"."""
        return self._state if self.answer is None else self.answer.state

    def to_messages(self) -> list[Message]:
        """The question and, where there is any text, the answer; one cut short says so."""
        text = "\n\n".join(filter(None, [self.text, _MARKS.get(self.state)]))
        return [self.prompt, Message("assistant", text)] if self.text else [self.prompt]

    def __repr__(self) -> str:
        return f"<Turn {self.state}: {self.prompt.content[:40]!r}, {self.text[:40]!r}>"


class Conversation:
    """A chat: what the model is told first, and the turns so far, both free to be changed.

    >>> chat = Conversation(system="Be brief.")
    >>> chat.turns.append(Turn(Message("user", "Hi"), text="Hello."))
    >>> [message.role for message in chat.to_messages()]
    ['system', 'user', 'assistant']
    """

    def __init__(
        self, name: str = DEFAULT_CHAT, *, system: str | None = None, turns: Iterable[Turn] = ()
    ) -> None:
        self.name = name
        self.system = system
        self.turns = list(turns)
        self._lock = threading.Lock()

    def to_messages(self) -> list[Message]:
        """All of it, as it would be sent with a next question."""
        return _messages(self.system, self.turns)

    def save(self, path: str | PathLike[str]) -> None:
        """Write it into a JSON file, which the owner alone can read; images are in it."""
        turns = [
            {
                "prompt": turn.prompt.content,
                "images": list(turn.prompt.images),
                "text": turn.text,
                "state": turn.state,
                "cell": turn.cell.id,
            }
            for turn in self.turns
        ]
        saved = {"name": self.name, "system": self.system, "turns": turns}
        _replace(Path(path), json.dumps(saved, ensure_ascii=False, indent=1))

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Conversation:
        """Read what `save` wrote. Raises `InputError` for any other file.

        The file may be somebody else's: ``repr`` shows what the model is told first by it.
        """
        try:
            saved = json.loads(Path(path).read_text("utf-8"))
            turns = [_turn(**turn) for turn in _list(saved["turns"])]
            system = saved["system"] if saved["system"] is None else _str(saved["system"])
            return cls(_str(saved["name"]), system=system, turns=turns)
        except OSError as error:
            raise InputError(f"Cannot read {path}: {error.strerror}.") from None
        except (AttributeError, KeyError, RecursionError, TypeError, ValueError):
            raise InputError(f"{path} holds no chat that Conversation.save has written.") from None

    def ask(
        self,
        prompt: Message,
        send: Callable[[Sequence[Message]], AsyncGenerator[Item]],
        answer_of: Callable[[AsyncGenerator[Item]], Answer],
        *,
        system: str | None = None,
        context: Callable[[], int | None],
        cell: Cell = NOWHERE,
    ) -> Answer:
        """Add a turn; its answer begins when the turns before it have ended.

        A cell that is run again has its earlier turn replaced, and the later ones dropped;
        those that still run are stopped. ``system`` is what the model is told first from this
        turn on; None changes nothing. ``context`` says how many tokens the model takes,
        the answer's included: the oldest turns are not sent where all would be too much.
        """
        turn = Turn(prompt, cell=cell)
        with self._lock:
            place = self._place_for(cell)
            dropped, self.turns[place:] = self.turns[place:], [turn]
            note = _note(self.name, place + 1, len(dropped))
            self.system = self.system if system is None else system
            turn.answer = answer_of(self._items(turn, self.system, send, context, note))
        for old in dropped:
            if old.answer is not None:
                old.answer.stop()
        return turn.answer

    def _place_for(self, cell: Cell) -> int:
        """The number of the turn that the cell's earlier run asked, or of the next one."""
        for place, turn in enumerate(self.turns):
            if cell.id is not None and turn.cell.id == cell.id and turn.cell.run != cell.run:
                return place
        return len(self.turns)

    async def _items(
        self,
        turn: Turn,
        system: str | None,
        send: Callable[[Sequence[Message]], AsyncGenerator[Item]],
        context: Callable[[], int | None],
        note: str,
    ) -> AsyncGenerator[Item]:
        for earlier in self._before(turn):
            if earlier.answer is not None and not earlier.answer.ended:
                yield Queued("waits for the turn before it")
                with suppress(Exception):  # how it ended is not the question
                    await earlier.answer
        # Looked at again: turns may have been taken out meanwhile.
        messages, left_out = _fitting(system, [*self._before(turn), turn], context())
        yield Asked(f"{note}{_left_out_note(left_out)}.")
        async with aclosing(send(messages)) as items:
            async for item in items:
                yield item

    def _before(self, turn: Turn) -> list[Turn]:
        """The turns before it; none where it was taken out itself."""
        turns = list(self.turns)
        return turns[: turns.index(turn)] if turn in turns else []

    def __repr__(self) -> str:
        count = len(self.turns)
        first = f", told first {self.system[:200]!r}" if self.system else ""
        return f"<Conversation {self.name!r}: {count} turn{'' if count == 1 else 's'}{first}>"


class _Chats(dict[str, Conversation]):
    """The chats of this process, by name."""


def chat_named(name: str) -> Conversation:
    """This process's chat of that name, a new one where there is none."""
    if not (isinstance(name, str) and name.strip()):
        raise InputError(f"A chat needs a name, or is a Conversation; it is not {name!r}.")
    return runtime.own(_Chats).setdefault(name, Conversation(name))


def chats() -> list[Conversation]:
    """The chats of this process that go by a name and have a turn."""
    return [chat for chat in runtime.own(_Chats).values() if chat.turns]


def forget(name: str) -> Conversation | None:
    """Take a chat out, so that the next of that name begins anew; its answers run on."""
    return runtime.own(_Chats).pop(name, None)


def _fitting(
    system: str | None, turns: Sequence[Turn], context: int | None
) -> tuple[list[Message], int]:
    """The messages of as many of the last turns as a request can take, and how many not."""
    for left_out in range(len(turns)):
        messages = _messages(system, turns[left_out:])
        if _fits(messages, context):
            break
    return messages, left_out


def _replace(path: Path, text: str) -> None:
    """Write a file whole, for its owner alone, or, where that fails, leave the one that is there.

    A new file takes the place of a link; what the link leads to is not touched.
    """
    data = text.encode()
    try:
        with NamedTemporaryFile(dir=path.parent, delete=False) as part:  # 0600, of a random name
            try:
                part.write(data)
                part.close()  # which Windows asks for
                Path(part.name).replace(path)
            except BaseException:
                Path(part.name).unlink()
                raise
    except OSError as error:
        raise InputError(f"Cannot write {path}: {error.strerror}.") from None


def _messages(system: str | None, turns: Iterable[Turn]) -> list[Message]:
    head = [Message("system", system)] if system else []
    return [*head, *(message for turn in turns for message in turn.to_messages())]


def _fits(messages: Sequence[Message], context: int | None) -> bool:
    images = [url for message in messages for url in message.images]
    if len(images) > MOST_IMAGES or encoded_size(images) > MOST_CHARACTERS:
        return False
    if context is None:
        return True
    tokens = sum(len(message.content.encode()) / _BYTES_PER_TOKEN for message in messages)
    return tokens + len(images) * _TOKENS_PER_IMAGE <= context - context / _KEPT_FREE


def _turn(**saved: Any) -> Turn:
    prompt = Message("user", _str(saved["prompt"]), tuple(map(_image, _list(saved["images"]))))
    state: State = saved["state"] if saved["state"] in ("done", "failed") else "stopped"
    return Turn(
        prompt,
        text=_str(saved["text"]),
        state=state,
        cell=Cell(saved["cell"] and _str(saved["cell"])),
    )


def _str(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _image(value: object) -> str:
    if not is_ours(url := _str(value)):
        raise ValueError
    return url


def _list(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError
    return value


def _note(name: str, number: int, dropped: int) -> str:
    note = f"Turn {number} of {name}"
    if dropped:
        note += ", in the place of this cell's earlier one"
    if dropped == 2:
        note += f"; turn {number + 1} is dropped"
    elif dropped > 2:
        note += f"; turns {number + 1} to {number + dropped - 1} are dropped"
    return note


def _left_out_note(count: int) -> str:
    turns = "the first turn" if count == 1 else f"the first {count} turns"
    return f"; {turns} left out, for all is more than the model takes" if count else ""
