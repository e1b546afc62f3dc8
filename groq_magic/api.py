"""`stream()`: composes prompt, chat, client, answer and display."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing, suppress
from functools import partial
from os import PathLike
from time import time
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from groq_magic.limits.cost import Expense, longest_prompt
from groq_magic.limits.ledger import account_of
from groq_magic.limits.planner import Planner, tokens_a_minute
from groq_magic.prompt.images import check_images
from groq_magic.prompt.messages import Prompt, to_messages
from groq_magic.prompt.response_format import response_format as format_of
from groq_magic.runtime import runtime
from groq_magic.wire import DEFAULT_MODEL
from groq_magic.wire.client import Client, client_of
from groq_magic.wire.endpoint import Endpoint
from groq_magic.wire.models import KnownModels, Model
from groq_magic.wire.protocol import (
    Asked,
    Item,
    Message,
    Queued,
    request_body,
    request_parameters,
)
from groq_magic.wire.tokens import maximum_of

from .accumulator import Accumulator
from .answer import Answer
from .conversation import Cell, Conversation, Room, Turn, chat_named
from .errors import InputError, MissingKeyError
from .resuming import content_to_resume, messages_to_resume
from .usage import learn_models, observe, settle

if TYPE_CHECKING:
    from .keeping import Keeping

_ANSWER = 8  # one part of so many is left for the answer
_MODELS_SECONDS = 1.0  # longest wait for the server's models, before the first image is sent


def stream(  # noqa: PLR0913  # most are the API's, and by keyword
    prompt: Prompt,
    *,
    model: str = DEFAULT_MODEL,
    system: str | None = None,
    images: Iterable[object] = (),
    chat: str | Conversation | None = None,
    temperature: float | None = None,
    top_p: float | None = None,
    max_completion_tokens: int | None = None,
    seed: int | None = None,
    stop: str | Sequence[str] | None = None,
    reasoning_effort: str | None = None,
    reasoning_format: str | None = None,
    response_format: Any = None,
    service_tier: str | None = None,
    base_url: str | None = None,
    timeout: float = 60.0,
    max_retries: int = 2,
    max_cost: float | None = None,
    keep: bool | Literal["fresh", "replay"] = False,
    store: str | PathLike[str] = "groq-answers.db",
    display: bool = False,
    **parameters: Any,
) -> Answer:
    """Ask a model; return its `Answer` at once, while it still arrives.

    ``prompt`` is text or a list of messages, which may have tool calls and their results.
    ``system`` is the system prompt. ``images`` belong to a prompt that is text: paths,
    addresses, bytes or figures; the first call with an image waits up to a second for the
    server's list of models. With ``chat``, a `Conversation` or a name, the prompt is the next
    turn of that chat.

    ``temperature`` is from 0 to 2 and ``top_p`` from 0 to 1. ``max_completion_tokens``
    includes reasoning. The answer ends before any of the up to four texts in ``stop``. These
    and all other ``parameters`` are the API's:
    https://console.groq.com/docs/api-reference#chat-create

    ``response_format`` is the API's JSON, such as ``{"type": "json_object"}``, or a pydantic
    class; `Answer.parsed` is then the object or the instance. An answer with a JSON schema
    comes as a whole at its end, since Groq does not stream it ("Streaming and tool use are
    not currently supported with Structured Outputs",
    https://console.groq.com/docs/structured-outputs).

    ``base_url`` overrides ``GROQ_BASE_URL``. ``timeout`` is the server's longest silence, in
    seconds. A request that fails temporarily is sent again up to ``max_retries`` times. One that
    may cost more USD than ``max_cost``, by the server's list of prices and without the fees of
    its tools, is not sent. With ``display`` the running cell shows the answer live.

    With ``keep`` an answer that ends as "done" is kept in the file ``store``, with its prompt.
    The same request (server, model, parameters, all messages) then gets it at once, without a
    key or a network; `Answer.kept` says from when it is. "fresh" asks anew and replaces the
    kept answer; "replay" types it out as fast as it came.

    Raises `InputError` for an invalid argument or above ``max_cost``, and `MissingKeyError`
    without a key; then nothing is sent. If the server or the network fails, nothing is raised
    here: the answer's ``state`` becomes "failed" and its ``error`` says why. With ``keep`` the
    same holds for a missing key, since a kept answer needs none.

    >>> from groq_magic import demo  # a local server, which needs no key
    >>> answer = stream("Three names for a cat", base_url=demo.start(), temperature=0.5)
    >>> answer.result().splitlines()[0]
    'Three names for a cat:'
    >>> stream("Three names for a cat", temperature=3)
    Traceback (most recent call last):
    groq_magic.errors.InputError: temperature must be a number from 0 to 2, not 3.
    """
    messages = to_messages(prompt, system if chat is None else None, images)
    wire_format, parse = format_of(response_format)
    asked = request_parameters(
        model=model,
        temperature=temperature,
        top_p=top_p,
        max_completion_tokens=max_completion_tokens,
        seed=seed,
        stop=stop,
        reasoning_effort=reasoning_effort,
        reasoning_format=reasoning_format,
        response_format=wire_format,
        service_tier=service_tier,
        **parameters,
    )
    client = client_of(timeout, max_retries)
    endpoint = Endpoint.from_environment(base_url, needs_key=not keep)
    expense, keeping = Expense(endpoint.base_url, asked, max_cost), _keeping(keep, store)
    request = _Request(asked, client, endpoint, parse, expense, keeping, time())
    request.check_images(messages)
    if chat is None:
        answer = request.ask(messages)
    elif isinstance(prompt, str):
        answer = _ask_in(chat, messages[0], system, request)
    else:
        raise InputError("A turn of a chat is one text; the chat has the earlier messages.")
    if display:
        from groq_magic.display.show import show  # a plain script needs no widgets

        with answer:  # an interrupt stops it, since the caller does not have it yet
            show(answer)
    return answer


class _Request(NamedTuple):
    """All of a request but its messages."""

    parameters: dict[str, Any]
    client: Client
    endpoint: Endpoint
    parse: Callable[[str], Any]
    expense: Expense
    keeping: Keeping | None
    asked: float
    """When, in seconds since 1970."""

    def ask(self, messages: Sequence[Message], before: Accumulator | None = None) -> Answer:
        more = messages_to_resume(before, self.parameters) if before else []
        request = self.checked(lambda: ([*messages, *more], []))
        source = request.send([*messages, *more])
        resume = self.to_resume
        return request.answer(source, lambda _, end: resume().ask(messages, end), before).start()

    def checked(self, expected: Callable[[], tuple[list[Message], list[Answer]]]) -> _Request:
        """The request with an `Expense` of its own, which has asked here if it passes a ceiling.

        When it is sent, perhaps from the loop, nobody can be asked. ``expected`` returns the
        messages as of now, and the answers whose texts will be among them.
        """
        expense = Expense(self.endpoint.base_url, self.parameters, self.expense.max_cost)
        if expense.has_ceiling:
            messages, waits_for = expected()
            body = request_body(messages, self.parameters)
            if not (self.keeping and self.keeping.has(self.endpoint, body)):
                with suppress(MissingKeyError):  # the answer itself says it
                    endpoint = Endpoint.from_environment(self.endpoint.base_url)
                    learn_models(self.client, endpoint, again=True).wait()  # at most some seconds
                    # Nobody is asked about what fits into no minute: that raises here.
                    tokens = Planner(self.client, endpoint, body, self.asked).longest_prompt
                    expense.check(longest_prompt(tokens, (a.parameters for a in waits_for)))
        return self._replace(expense=expense)

    def send(self, messages: Sequence[Message]) -> AsyncGenerator[Item]:
        body = request_body(messages, self.parameters)
        if self.keeping is None:
            return self._post(body)
        return self.keeping.items(self.endpoint, body, partial(self._send_checked, messages, body))

    def _send_checked(
        self, messages: Sequence[Message], body: Mapping[str, Any]
    ) -> AsyncGenerator[Item]:
        self.check_model(messages)
        return self._post(body)

    def _post(self, body: Mapping[str, Any]) -> AsyncGenerator[Item]:
        planner = Planner(self.client, self.endpoint, body, self.asked)
        self.expense.send(planner.longest_prompt)
        return planner.items()

    def to_resume(self) -> _Request:
        """The request to go on with an answer: only answers from the beginning are kept."""
        if self.keeping is None:
            return self._replace(asked=time())
        endpoint = Endpoint.from_environment(self.endpoint.base_url)
        return self._replace(keeping=None, endpoint=endpoint, asked=time())

    def observe(self, answer: Answer, ended: bool) -> None:  # noqa: FBT001  # as a receiver calls it
        if ended:
            settle(self.expense, answer)
        if not answer.kept:
            observe(self.client, self.endpoint, answer, ended)
            if ended and self.keeping:
                self.keeping.store(answer)

    def answer(
        self,
        source: AsyncGenerator[Item],
        resume: Callable[[Answer, Accumulator], Answer],
        before: Accumulator | None,
    ) -> Answer:
        asked = self.parameters
        self.expense.start()
        return Answer(
            source,
            content=content_to_resume(before, asked) if before else Accumulator(asked["model"]),
            resume=resume,
            parameters=self.parameters,
            parse=self.parse,
            show=_show_once,
            price=partial(runtime.own(KnownModels).cost, self.endpoint.base_url),
            observer=self.observe,
            may_be_kept=self.keeping is not None and self.keeping.how is True,
        )

    def check_images(self, messages: Sequence[Message]) -> None:
        """Raise `InputError` for images that the model does not take."""
        urls = [url for message in messages for url in message.images]
        model = self.parameters["model"]
        check_images(urls, model)
        if urls and not self.keeping:
            learn_models(self.client, self.endpoint).wait(_MODELS_SECONDS)
            self.check_model(messages)

    def check_model(self, messages: Iterable[Message]) -> None:
        """Raise `InputError` for images if the model is known to read none; it does not wait."""
        if any(message.images for message in messages):
            known = runtime.own(KnownModels)
            known.check_images(self.endpoint.base_url, self.parameters["model"])

    def room(self) -> Room:
        """What the messages can have of the model's context and the account's minute."""
        model, maximum = self.parameters["model"], maximum_of(self.parameters)
        context = runtime.own(KnownModels).context(self.endpoint.base_url, model)
        minute = tokens_a_minute(self.endpoint, self.parameters)
        limits = {"the model": context, f"the account's {minute or 0:,} tokens a minute": minute}
        rooms = [(n - max(n / _ANSWER, maximum), says) for says, n in limits.items() if n]
        return Room(account_of(self.endpoint, self.parameters), *min(rooms, default=()))


def _ask_in(
    chat: str | Conversation, prompt: Message, system: str | None, request: _Request
) -> Answer:
    conversation = chat if isinstance(chat, Conversation) else chat_named(chat)
    turn = Turn(prompt, cell=_running_cell())
    next_ = conversation.with_next(turn, system)
    request = request.checked(partial(_expected, next_, turn, request))
    answer = _answer_in(conversation, turn, request)
    with answer:  # an interrupt stops it, since later turns wait for it
        dropped = conversation.add(turn, system)
        answer.start()
    if dropped and (show := sys.modules.get("groq_magic.display.show")):
        show.renew(dropped)
    return answer


def _answer_in(
    conversation: Conversation, turn: Turn, request: _Request, before: Accumulator | None = None
) -> Answer:
    source = _items(conversation, turn, request, before)
    resume = partial(_resume_in, conversation, turn, request)
    turn.answer = request.answer(source, resume, before)
    return turn.answer


def _resume_in(
    conversation: Conversation, turn: Turn, request: _Request, ended: Answer, before: Accumulator
) -> Answer:
    if turn not in conversation.turns or turn.answer is not ended:
        raise InputError(f"{conversation.name} does not have this answer any longer. Ask again.")
    request = request.to_resume()
    request = request.checked(partial(_expected, conversation, turn, request, before))
    with _answer_in(conversation, turn, request, before) as answer:
        return answer.start()


def _expected(
    conversation: Conversation, turn: Turn, request: _Request, before: Accumulator | None = None
) -> tuple[list[Message], list[Answer]]:
    return _messages(conversation, turn, request, before)[0], [*conversation.waits_for(turn)]


def _messages(
    conversation: Conversation, turn: Turn, request: _Request, before: Accumulator | None
) -> tuple[list[Message], str]:
    model = request.parameters["model"]
    messages, note = conversation.messages_for(turn, model, request.room())
    if before:  # the turn's text so far is among the messages
        messages += messages_to_resume(before, request.parameters)[1:]
    return messages, note


async def _items(
    conversation: Conversation, turn: Turn, request: _Request, before: Accumulator | None
) -> AsyncGenerator[Item]:
    """Wait until the earlier turns have ended, which the messages depend on; then send them."""
    for answer in conversation.waits_for(turn):
        yield Queued("waits for the previous turn")
        with suppress(Exception):  # a failed turn is part of the chat, too
            await answer
    messages, note = _messages(conversation, turn, request, before)
    request.check_model(messages)  # the images of earlier turns
    yield Asked(note)
    async with aclosing(request.send(messages)) as items:
        async for item in items:
            yield item


def _keeping(how: Any, store: str | PathLike[str]) -> Keeping | None:
    if how is False:
        return None
    from .keeping import Keeping  # which needs SQLite
    from .store import Store

    return Keeping(Store.at(store), how)


def _running_cell() -> Cell:
    if "IPython" not in sys.modules:
        return Cell()
    from groq_magic.display.frontend import running_cell

    return Cell(*running_cell())


def _show_once(answer: Answer) -> object:
    from groq_magic.display.show import show_once

    return show_once(answer)


def fetch_models(base_url: str | None = None, *, within: float = 10.0) -> list[Model]:
    """Ask the server for its models and wait up to ``within`` seconds.

    Raises a `GroqError` on any failure.
    """
    client, endpoint = client_of(), Endpoint.from_environment(base_url)
    found: list[Model] = []

    async def ask() -> None:
        found.extend(await client.models(endpoint, within=within))

    job = runtime.loop.job(ask).start()
    try:
        job.wait()
    except KeyboardInterrupt:
        job.cancel()
        raise
    if job.error is not None:
        raise job.error
    return found


def models_soon(base_url: str | None = None, *, timeout: float = 0.3) -> list[Model]:
    """The server's known models; the first call asks and waits up to ``timeout`` seconds.

    Raises `InputError` without a key and for an invalid URL.
    """
    endpoint, known = Endpoint.from_environment(base_url), runtime.own(KnownModels)
    if not known.of(endpoint.base_url):
        learn_models(client_of(), endpoint).wait(timeout)
    return known.of(endpoint.base_url)
