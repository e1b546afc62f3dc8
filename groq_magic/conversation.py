"""Chats: turns of question and answer. A turn asked in a notebook belongs to its cell."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from math import inf
from os import PathLike
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, NamedTuple, TypeVar

from groq_magic.prompt.images import MOST_CHARACTERS, encoded_size, is_ours, most_images
from groq_magic.runtime import runtime
from groq_magic.wire.protocol import Message, ToolCall
from groq_magic.wire.tokens import Calibration, estimate

from .answer import Answer
from .errors import InputError, ParseError
from .receiver import State

T = TypeVar("T")
DEFAULT_CHAT = "chat"
"""The name of the notebook's own chat."""
_MARKS = {
    "stopped": "[This answer was stopped before its end.]",
    "failed": "[This answer broke off before its end.]",
}
_NOT_RUN = "[This call was not run.]"


class Cell(NamedTuple):
    """The notebook cell that asked a turn, and which run of it; without a cell, None."""

    id: str | None = None
    run: str | None = None


NOWHERE = Cell()


class Room(NamedTuple):
    """How many tokens the messages of a request can have, and what limits them."""

    account: str
    """The server, key and model: `Calibration` knows how it counts."""
    tokens: float = inf
    limit: str = "the model"


class Turn:
    """A question and its answer so far.

    ``prompt`` is the question; ``text`` is the answer and can be replaced; ``state`` is the
    answer's. Raises `InputError` for a text that cannot be sent.

    >>> turn = Turn(Message("user", "Hi"), text="Hello.")
    >>> turn.text = "Good morning."
    >>> turn
    <Turn done: 'Hi', 'Good morning.'>
    """

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
        """The answer, if this process asked for it and its text was not replaced."""
        self.system: str | None = None
        """The chat's system prompt when the turn was asked."""
        self.note = ""
        """What the turn changed in the chat."""
        Message("assistant", text or "")  # raises InputError
        self._text = text or ""
        self._state: State = state

    @property
    def text(self) -> str:
        """The answer's text so far, or its replacement."""
        return self._text if self.answer is None else self.answer.text

    @text.setter
    def text(self, text: str) -> None:
        Message("assistant", text)  # raises InputError
        self._text, self._state, self.answer = text, "done", None

    @property
    def state(self) -> State:
        """The answer's state; "done" after its text was replaced."""
        return self._state if self.answer is None else self.answer.state

    def to_messages(self) -> list[Message]:
        """The question and the answer, unless it is empty; an incomplete text says so.

        Each tool call has a result, which APIs require: that it was not run.
        """
        calls = tuple(filter(_is_whole, self._tool_calls()))
        if not (self.text or calls):
            return [self.prompt]
        text = "\n\n".join(filter(None, [self.text, _MARKS.get(self.state)]))
        results = (Message("tool", _NOT_RUN, tool_call_id=call.id) for call in calls)
        return [self.prompt, Message("assistant", text, tool_calls=calls), *results]

    def _tool_calls(self) -> Iterable[ToolCall]:
        return self.answer.tool_calls.values() if self.answer and self.state == "done" else ()

    def __repr__(self) -> str:
        return f"<Turn {self.state}: {self.prompt.content[:40]!r}, {self.text[:40]!r}>"


class Conversation:
    """A chat: a system prompt and the turns so far; change both as you like.

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
        """All messages, as they would be sent before a next question."""
        return _messages(self.system, self.turns)

    def save(self, path: str | PathLike[str]) -> None:
        """Write the chat, images included, to a JSON file that only its owner can read.

        A link at ``path`` is replaced; the file that it leads to is not changed. Raises
        `InputError` if the file cannot be written, and for an image that `load` refuses.

        >>> from tempfile import mkdtemp
        >>> path = Path(mkdtemp()) / "chat.json"
        >>> Conversation(turns=[Turn(Message("user", "Hi"), text="Hello.")]).save(path)
        >>> Conversation.load(path).turns
        [<Turn done: 'Hi', 'Hello.'>]
        """
        turns = [
            {
                "prompt": turn.prompt.content,
                "images": list(map(_image, turn.prompt.images)),
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
        """Read a chat that `save` wrote. Raises `InputError` for any other file.

        The file may come from someone else: look at the system prompt, which ``repr`` shows.
        """
        try:
            saved = json.loads(Path(path).read_text("utf-8"))
            turns = [_turn(**turn) for turn in _typed(list, saved["turns"])]
            system = saved["system"] if saved["system"] is None else _typed(str, saved["system"])
            return cls(_typed(str, saved["name"]), system=system, turns=turns)
        except OSError as error:
            raise InputError(f"Cannot read {path}: {error.strerror}.") from None
        except (AttributeError, KeyError, RecursionError, TypeError, ValueError):
            raise InputError(f"{path} is not a chat that Conversation.save has written.") from None

    def add(self, turn: Turn, system: str | None = None) -> list[Answer]:
        """Add a turn, which has its answer, but has not started it.

        A turn that the same cell asked in an earlier run is replaced, the later turns are
        dropped, and the answers of all these are stopped. ``system`` replaces the chat's
        system prompt; None keeps it. Returns the dropped answers that had ended, whose outputs
        must be made anew.
        """
        with self._lock:
            place = self._place_for(turn.cell)
            dropped, self.turns[place:] = self.turns[place:], [turn]
            self.system = turn.system = self.system if system is None else system
            turn.note = _note(self.name, place + 1, len(dropped))
        answers = [old.answer for old in dropped if old.answer is not None]
        ended = [answer for answer in answers if answer.ended]
        for answer in reversed(answers):  # so that no turn that waits is sent
            answer.drop(f"No longer part of {self.name}: its turn {place + 1} was asked again")
        return ended

    def with_next(self, turn: Turn, system: str | None = None) -> Conversation:
        """The chat as `add` will make it."""
        turn.system = self.system if system is None else system
        turns = [*self.turns[: self._place_for(turn.cell)], turn]
        return Conversation(self.name, system=turn.system, turns=turns)

    def _place_for(self, cell: Cell) -> int:
        """The index of the turn that the cell asked in another run, or of the next turn."""
        for place, turn in enumerate(self.turns):
            if cell.id is not None and turn.cell.id == cell.id and turn.cell.run != cell.run:
                return place
        return len(self.turns)

    def before(self, turn: Turn) -> list[Turn]:
        """The turns before it; none if the turn has been removed."""
        turns = list(self.turns)
        return turns[: turns.index(turn)] if turn in turns else []

    def waits_for(self, turn: Turn) -> Iterator[Answer]:
        """The answers of the turns before it, as far as they still run."""
        for earlier in self.before(turn):
            if earlier.answer is not None and not earlier.answer.ended:
                yield earlier.answer

    def messages_for(self, turn: Turn, model: str, room: Room) -> tuple[list[Message], str]:
        """The messages of the turn's request, and a note on what the turn changed in the chat.

        The first turns are left out if all turns would exceed ``room`` or the limits for images.
        """
        turns = [*self.before(turn), turn]
        size = _size(model, _messages(turn.system, []))
        sizes = [_size(model, one.to_messages()) - _size(model, []) for one in turns]
        bounds = runtime.own(Calibration).bounds
        for left_out in range(len(turns)):
            messages = _messages(turn.system, turns[left_out:])
            most = bounds(room.account, size + sum(sizes[left_out:])).most
            if most <= room.tokens and _images_fit(messages, model):
                break
        return messages, f"{turn.note}{_left_out_note(left_out, room.limit)}."

    def __repr__(self) -> str:
        count = len(self.turns)
        system = f", system {self.system[:200]!r}" if self.system else ""
        return f"<Conversation {self.name!r}: {count} turn{'' if count == 1 else 's'}{system}>"


class _Chats(dict[str, Conversation]):
    """The chats of this process, by name."""


def chat_named(name: str) -> Conversation:
    """This process's chat of that name; a new one if there is none."""
    if not (isinstance(name, str) and name.strip()):
        raise InputError(f"A chat is a name or a Conversation, not {name!r}.")
    return runtime.own(_Chats).setdefault(name, Conversation(name))


def chats() -> list[Conversation]:
    """The named chats of this process that have a turn."""
    return [chat for chat in runtime.own(_Chats).values() if chat.turns]


def forget(name: str) -> Conversation | None:
    """Remove a named chat, so that the next use of its name starts a new one; return it."""
    return runtime.own(_Chats).pop(name, None)


def _replace(path: Path, text: str) -> None:
    """Write a complete file, or keep the old one if that fails."""
    data = text.encode()
    try:
        with NamedTemporaryFile(dir=path.parent, delete=False) as part:  # has mode 0600
            try:
                part.write(data)
                part.close()  # Windows renames closed files only
                Path(part.name).replace(path)
            except BaseException:
                Path(part.name).unlink()
                raise
    except OSError as error:
        raise InputError(f"Cannot write {path}: {error.strerror}.") from None


def _messages(system: str | None, turns: Iterable[Turn]) -> list[Message]:
    head = [Message("system", system)] if system else []
    return [*head, *(message for turn in turns for message in turn.to_messages())]


def _is_whole(call: ToolCall) -> bool:
    with suppress(ParseError):
        call.parse()
        return bool(call.id and call.name)
    return False


def _images_fit(messages: Sequence[Message], model: str) -> bool:
    images = [url for message in messages for url in message.images]
    return len(images) <= most_images(model) and encoded_size(images) <= MOST_CHARACTERS


def _size(model: str, messages: Sequence[Message]) -> int:
    return estimate({"model": model, "messages": [message.to_wire() for message in messages]})


def _turn(**saved: Any) -> Turn:
    images = tuple(map(_image, _typed(list, saved["images"])))
    return Turn(
        Message("user", _typed(str, saved["prompt"]), images),
        text=_typed(str, saved["text"]),
        state=saved["state"] if saved["state"] in ("done", "failed") else "stopped",
        cell=Cell(saved["cell"] and _typed(str, saved["cell"])),
    )


def _typed(kind: type[T], value: object) -> T:
    if not isinstance(value, kind):
        raise TypeError
    return value


def _image(url: object) -> str:
    if is_ours(_typed(str, url)):
        return _typed(str, url)
    raise InputError(
        f"The image {str(url)[:40]!r} cannot be saved. A chat in a file has images as https "
        "addresses, or as PNG, JPEG, GIF or WebP data."
    )


def _note(name: str, number: int, dropped: int) -> str:
    note = f"Turn {number} of {name}"
    if dropped:
        note += ", which replaces this cell's earlier turn"
    if dropped == 2:
        note += f"; turn {number + 1} is dropped"
    elif dropped > 2:
        note += f"; turns {number + 1} to {number + dropped - 1} are dropped"
    return note


def _left_out_note(count: int, limit: str) -> str:
    turns = "the first turn is" if count == 1 else f"the first {count} turns are"
    return f"; {turns} left out, since the chat is too long for {limit}" if count else ""
