"""`stream()`: prompt, client, answer and view, wired together."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Iterable, Sequence
from functools import lru_cache, partial
from typing import Any

from groq_magic.prompt.messages import Prompt, to_messages
from groq_magic.runtime import runtime
from groq_magic.wire.client import Client
from groq_magic.wire.endpoint import Chosen, Endpoint, configured_url, network_settings
from groq_magic.wire.models import KnownModels, Model
from groq_magic.wire.protocol import DEFAULT_MODEL, Item, Message, request_body

from .answer import Answer
from .conversation import Cell, Conversation, chat_named
from .errors import InputError
from .usage import learn_models, observer


class _Clients:
    """The clients of this process, one for each timeout and number of retries."""

    def __init__(self) -> None:
        self.get = lru_cache(maxsize=8)(_built)

    def after_fork(self) -> None:
        """Build others: connections belong to the parent."""
        self.get.cache_clear()


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
    service_tier: str | None = None,
    base_url: str | None = None,
    timeout: float = 60.0,
    max_retries: int = 2,
    display: bool = False,
    **parameters: Any,
) -> Answer:
    """Ask a model; return at once with the `Answer`, which then comes in by itself.

    ``prompt`` is text or a list of messages; ``images`` go with a text: paths, addresses,
    bytes, figures; ``chat`` is a `Conversation`, or the name of one, of which it is the next
    turn. ``temperature`` is from 0 to 2, ``top_p`` from
    0 to 1; ``max_completion_tokens`` counts reasoning and text; ``stop`` is a text, or up to
    four, before which the answer ends. These and all other ``parameters`` are the API's own,
    https://console.groq.com/docs/api-reference#chat-create. ``base_url`` goes before
    ``GROQ_BASE_URL``; ``timeout`` is the server's longest silence in seconds; ``max_retries``
    is how often a request that failed in passing is sent again. With ``display`` the running
    cell shows the answer live.

    Raises `InputError` for an argument that is wrong and `MissingKeyError` where
    ``GROQ_API_KEY`` is not set; nothing is sent then. What the server or the network
    does wrong is the answer's: its ``state`` is "failed" and its ``error`` says why.

    >>> from groq_magic import demo  # a server on this machine, which needs no key
    >>> answer = stream("Three names for a cat", base_url=demo.start(), temperature=0.5)
    >>> answer.result().splitlines()[0]
    'Three names for a cat:'
    >>> stream("Three names for a cat", temperature=3)
    Traceback (most recent call last):
    groq_magic.errors.InputError: temperature must be a number from 0 to 2, not 3.
    """
    messages = to_messages(prompt, system, images)
    body = request_body(
        messages,
        model=model,
        temperature=temperature,
        top_p=top_p,
        max_completion_tokens=max_completion_tokens,
        seed=seed,
        stop=stop,
        reasoning_effort=reasoning_effort,
        reasoning_format=reasoning_format,
        service_tier=service_tier,
        **parameters,
    )
    client, endpoint = _client_for(timeout, max_retries), Endpoint.from_environment(base_url)
    known = runtime.own(KnownModels)
    asked = {name: body[name] for name in body if name not in ("messages", "stream")}

    def send(messages: Sequence[Message]) -> AsyncGenerator[Item]:
        return client.stream(endpoint, body | {"messages": [m.to_wire() for m in messages]})

    def answer_of(source: AsyncGenerator[Item]) -> Answer:
        return Answer(
            source,
            model=model,
            parameters=asked,
            show=_show_once,
            price=partial(known.cost, endpoint.base_url),
            observer=observer(client, endpoint),
        )

    if chat is None:
        answer = answer_of(client.stream(endpoint, body))
    else:
        conversation = _conversation(chat, prompt)
        answer = conversation.ask(
            messages[-1],
            send,
            answer_of,
            system=system,
            context=partial(known.context, endpoint.base_url, model),
            cell=_running_cell(),
        )
    if display:
        from groq_magic.display.show import (
            show,  # in a plain script nothing is shown, and no widget imported
        )

        try:
            show(answer)
        except BaseException:  # an interrupt: nobody has the answer to stop it
            answer.stop()
            raise
    return answer


def _conversation(chat: str | Conversation, prompt: Prompt) -> Conversation:
    if not isinstance(prompt, str):
        raise InputError("A turn of a chat is one text; its earlier messages are the chat's own.")
    return chat if isinstance(chat, Conversation) else chat_named(chat)


def _client_for(timeout: float = 60.0, max_retries: int = 2) -> Client:
    try:
        return runtime.own(_Clients).get(timeout, max_retries, network_settings())
    except TypeError:  # what cannot be a key of the cache cannot be a number
        raise InputError("timeout and max_retries must be numbers.") from None


def _built(timeout: float, max_retries: int, _network: tuple[str | None, ...]) -> Client:
    """Build a client; the changed ``_network`` may be a certificate that is trusted now."""
    return Client(timeout=timeout, max_retries=max_retries)


def _running_cell() -> Cell:
    if "IPython" not in sys.modules:
        return Cell()
    from groq_magic.display.frontend import running_cell

    return Cell(*running_cell())


def use_endpoint(endpoint: Endpoint | None) -> None:
    """Send this process's requests there; None goes back to what the environment says."""
    runtime.own(Chosen).endpoint = endpoint


def present_url(base_url: str | None = None) -> str:
    """Where requests go now, key or no key. Raises `InputError` for a URL that is none."""
    return configured_url(base_url)


def has_key(base_url: str | None = None) -> bool:
    """Whether a key goes with requests now. Raises `InputError` as `stream` does."""
    return Endpoint.from_environment(base_url).api_key is not None


def _show_once(answer: Answer) -> None:
    from groq_magic.display.show import show_once

    show_once(answer)


def fetch_models(base_url: str | None = None, *, within: float = 10.0) -> list[Model]:
    """Ask the present server for its models and wait, ``within`` seconds at most.

    Raises a `GroqError` for whatever goes wrong.
    """
    client, endpoint = _client_for(), Endpoint.from_environment(base_url)
    found: list[Model] = []

    async def ask() -> None:
        found.extend(await client.models(endpoint, within=within))

    asked = runtime.loop.job(ask).start()
    try:
        asked.wait()
    except KeyboardInterrupt:
        asked.cancel()
        raise
    if asked.error is not None:
        raise asked.error
    return found


def models_soon(base_url: str | None = None, *, timeout: float = 0.3) -> list[Model]:
    """The present server's models as far as known; the first call asks and waits a little.

    Raises `InputError` where it cannot ask: no key, or no URL.
    """
    endpoint = Endpoint.from_environment(base_url)
    known = runtime.own(KnownModels)
    if not known.of(endpoint.base_url):
        learn_models(_client_for(), endpoint).wait(timeout)
    return known.of(endpoint.base_url)
