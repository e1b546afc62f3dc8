"""The tables of `%groq`: status, models and chats."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from groq_magic.answer import Answer, running
from groq_magic.api import fetch_models
from groq_magic.conversation import chats as all_chats
from groq_magic.display.table import Table
from groq_magic.errors import InputError, MissingKeyError, span
from groq_magic.limits.cost import spent
from groq_magic.limits.planner import minute_of
from groq_magic.prompt.interpolation import one_line
from groq_magic.usage import Limited, rate_limits
from groq_magic.wire import DEFAULT_MODEL
from groq_magic.wire.endpoint import Endpoint, key_source, present_url, without_secret
from groq_magic.wire.models import Model, dollars
from groq_magic.wire.protocol import Planned

if TYPE_CHECKING:
    from groq_magic.store import Entry

Settings = Mapping[str, Any]


def counted(number: int, noun: str) -> str:
    """A number and its noun.

    >>> counted(1, "turn"), counted(2_000, "turn"), counted(0, "turn")
    ('1 turn', '2,000 turns', 'no turns')
    """
    return f"{f'{number:,}' if number else 'no'} {noun}{'' if number == 1 else 's'}"


def status(settings: Settings) -> Table:
    """What `%groq` shows."""
    url = settings.get("base_url")
    rows = [
        ("Model", str(settings.get("model") or DEFAULT_MODEL)),
        ("Server", _server(url)),
        ("Key", _key(url)),
        ("Running", _running()),
        ("Chats", ", ".join(f"{c.name} ({counted(len(c.turns), 'turn')})" for c in all_chats())),
        ("Waiting", _waiting()),
        *_rate_limits(url),
        ("Cost", _cost(settings.get("budget"))),
    ]
    return Table([row for row in rows if row[1]])


def _server(url: str | None) -> str:
    try:
        return without_secret(present_url(url))
    except InputError as error:
        return str(error)


def _key(url: str | None) -> str:
    try:
        return key_source() if Endpoint.from_environment(url).api_key else "not sent to this server"
    except MissingKeyError:
        return "none: run %groq login, or set GROQ_API_KEY"
    except InputError as error:
        return str(error)


def _running() -> str:
    answers = running()
    named = [f"{answer.model} for {answer.seconds:.0f} s" for answer in answers]
    return ": ".join(filter(None, [counted(len(answers), "answer"), ", ".join(named)]))


def _waiting() -> str:
    """How many answers wait for room in their minute, and when they are sent."""
    waits = [a.seconds_to_retry for a in running() if isinstance(a.waiting, Planned)]
    if not waits:
        return ""
    last = f", the last in {span(max(waits))}" if len(waits) > 1 else ""
    return f"{counted(len(waits), 'answer')}; the next is sent in {span(min(waits))}{last}"


def _rate_limits(url: str | None) -> list[tuple[str, str]]:
    try:
        known = rate_limits(Endpoint.from_environment(url))
    except (InputError, MissingKeyError):
        known = []
    return [(f"Limits of {limited.model}", _limits(limited)) for limited in known]


def _limits(known: Limited) -> str:
    of, ago = known.limits, known.age
    of_day = (of.remaining_requests, of.limit_requests, of.reset_requests)
    parts = [known.day, _left("requests", "today", *of_day, ago), *_of_minute(known)]
    return "; ".join(filter(None, parts))


def _of_minute(known: Limited) -> Iterator[str]:
    """What is left of the minute, by the plan where there is one."""
    minute, of = minute_of(known.account), known.limits
    if minute is None:
        tokens = (of.remaining_tokens, of.limit_tokens, of.reset_tokens)
        yield _left("tokens", "this minute", *tokens, known.age)
        return
    buckets = (
        ("tokens", minute.free, minute.limit),
        ("requests", minute.requests_left, minute.requests),
    )
    for unit, free, limit in buckets:
        if limit:
            left = max(0.0, free)
            yield _left(
                unit, "this minute", round(left), round(limit), (1 - left / limit) * 60, 0.0
            )


def _left(
    unit: str, period: str, left: int | None, limit: int | None, reset: float | None, ago: float
) -> str:
    """What is left of a limit, as it was known ``ago`` seconds before.

    >>> _left("tokens", "this minute", 2_000, 8_000, 45.0, 15.0)
    '4,000 of 8,000 tokens left this minute (full again in 30 s)'
    """
    if left is None:
        return ""
    wait = 0.0 if reset is None or left == limit else reset - ago
    if reset and limit:  # it refills continuously
        left = limit - round((limit - left) * max(0.0, wait) / reset)
    of = "" if limit is None else f" of {limit:,}"
    text = f"{left:,}{of} {unit} left {period}"
    return f"{text} (full again in {span(wait)})" if wait > 0 else text


def _cost(budget: float | None) -> str:
    total = spent()
    if budget is None and not total.priced:
        return ""
    of = "" if budget is None else f" of {dollars(budget)}"
    said = f"{dollars(total.usd)}{of} for {counted(total.priced, 'answer')}"
    more = f"; up to {dollars(total.more)} for {total.bounded:,} stopped or failed"
    running = f"; up to {dollars(total.running)} for running answers"
    unknown = f"; unknown for {total.unpriced:,} more"
    parts = ((more, total.bounded), (running, total.running), (unknown, total.unpriced))
    return "".join([said, *(part for part, counts in parts if counts)])


def chats() -> Table | None:
    """What `%groq chats` shows; None without a chat."""
    rows = []
    for chat in all_chats():
        texts = (chat.system or "", chat.turns[-1].prompt.content)
        rows.append((chat.name, str(len(chat.turns)), *map(one_line, texts)))
    head = ("Chat", "Turns", "System prompt", "Last prompt")
    return Table(rows, head, frozenset({1})) if rows else None


def kept(entries: Iterable[Entry]) -> Table:
    """What `%groq kept` shows."""
    rows = [
        (
            entry.model,
            one_line(entry.prompt),
            entry.kept.day,
            f"{entry.kept.asked:,}",
            f"{entry.size / 1000:,.1f} kB",
            "" if entry.cost is None else dollars(entry.cost),
        )
        for entry in entries
    ]
    return Table(rows, ("Model", "Prompt", "From", "Asked", "Size", "Price"), frozenset({3, 4, 5}))


def check(answers: Iterable[tuple[int, Answer]]) -> Table:
    """What `%groq kept check` shows: from where each answer came."""
    rows = [(f"In [{run}]", answer.model, _whence(answer)) for run, answer in answers]
    return Table(rows, ("Cell", "Model", "Answer"))


def _whence(answer: Answer) -> str:
    if answer.kept:
        return f"kept from {answer.kept.day}"
    return "missing" if answer.state in ("failed", "stopped") else "asked"


def models(settings: Settings) -> Table:
    """What `%groq models` shows. Raises `InputError` if the server has no model."""
    url = settings.get("base_url")
    listed = fetch_models(url)
    texts = [model for model in listed if model.writes_text]
    if not texts:
        raise InputError(f"{_server(url)} lists no models that write text. Check GROQ_BASE_URL.")
    note = "Prices are per million tokens."
    if others := len(listed) - len(texts):
        note += f" Not listed: {counted(others, 'model')} without text output."
    head = ("Model", "Context", "Max output", "$ in", "$ out", "Owner")
    return Table(list(map(_model_row, texts)), head, frozenset({1, 2, 3, 4}), note)


def _model_row(model: Model) -> tuple[str, ...]:
    sizes = (model.context_window, model.max_completion_tokens)
    prices = (model.prompt_price, model.completion_price)
    return (
        model.id,
        *("" if size is None else f"{size:,}" for size in sizes),
        *("" if price is None else _per_million(price) for price in prices),
        model.owned_by or "",
    )


def _per_million(price: Decimal) -> str:
    """Dollars per million tokens, with at least two decimals.

    >>> _per_million(Decimal("0.0000006")), _per_million(Decimal("0.000000075"))
    ('0.60', '0.075')
    """
    whole, _, rest = f"{float(price) * 1e6:,.6f}".partition(".")
    return f"{whole}.{rest.rstrip('0'):0<2}"
