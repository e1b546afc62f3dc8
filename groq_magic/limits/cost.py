"""What answers cost, or may cost, and the ceilings that are not passed without a question.

All in USD, by the server's list of prices. The fees of tools that the server runs, and the tokens
that these read, are in no list: they are not counted before they are known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from math import inf
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from groq_magic.errors import InputError
from groq_magic.runtime import runtime
from groq_magic.wire.models import KnownModels, dollars
from groq_magic.wire.protocol import Usage
from groq_magic.wire.tokens import maximum_of


class Ceiling(NamedTuple):
    """What answers may cost without a question; None for any amount."""

    budget: float | None = None
    """Of all answers of this process together."""
    answer: float | None = None
    """Of a single answer."""
    ask: Callable[[str], bool] = lambda _question: False
    """Asks the user."""


_HERE: ContextVar[Ceiling | None] = ContextVar("ceiling", default=None)


@contextmanager
def ceiling(budget: Any, answer: Any, ask: Callable[[str], bool]) -> Iterator[None]:
    """Set the ceiling for what is sent within. Raises `InputError` for what is no amount."""
    here = Ceiling(_amount("budget", budget), _amount("max_cost", answer), ask)
    token = _HERE.set(here)
    try:
        yield
    finally:
        _HERE.reset(token)


def _amount(name: str, value: Any) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if value is not None and not (is_number and 0 <= value < inf):
        raise InputError(f"{name} must be an amount in USD, such as 0.10, not {value!r}.")
    return None if value is None else float(value)


def longest_prompt(tokens: int, waits_for: Iterable[Mapping[str, Any]]) -> int | None:
    """The most tokens of a prompt that has so many and will have other answers; None if unknown.

    ``waits_for`` has the parameters of the requests for these.
    """
    answers = [_longest_answer(parameters) for parameters in waits_for]
    return None if None in answers else tokens + sum(filter(None, answers))


def _longest_answer(parameters: Mapping[str, Any]) -> int | None:
    return maximum_of(parameters) or runtime.own(KnownModels).longest_answer(parameters["model"])


class Expense:
    """What one answer costs: until it has ended, the most that it may."""

    is_running = True
    is_sent = False
    is_counted = False
    """Whether the server has counted its tokens."""

    def __init__(
        self, base_url: str, parameters: Mapping[str, Any], max_cost: float | None
    ) -> None:
        self.max_cost = _amount("max_cost", max_cost)
        self._ceiling = _HERE.get() or Ceiling()
        if self._ceiling.answer is None:
            self._ceiling = self._ceiling._replace(answer=self.max_cost)
        self._base_url = base_url
        self._parameters = {name: parameters.get(name) for name in _SIZED_BY}
        self._has_fees = runs_tools(parameters.get("tools"))
        self._names: tuple[str, ...] = (parameters["model"],)
        self._prompt: int | None = 0
        self._usage = Usage()
        self._is_agreed = False

    @property
    def has_ceiling(self) -> bool:
        """Whether a ceiling is set for it."""
        return self._ceiling[:2] != (None, None)

    @property
    def cost(self) -> float | None:
        """USD; None where a price or a size is unknown."""
        usage = self._usage
        if self.is_running:
            usage = Usage(self._prompt, _longest_answer(self._parameters))
        return runtime.own(KnownModels).cost(self._base_url, self._names, usage)

    def check(self, prompt: int | None) -> None:
        """Ask before a prompt of at most so many tokens passes the ceiling; once.

        Raises `InputError` without a yes.
        """
        self._prompt = prompt
        if self._is_agreed or not self.has_ceiling or not (excess := self._excess()):
            return
        said, step = excess
        self._is_agreed = self._ceiling.ask(f"{said} Send it? [y/N] ")
        if not self._is_agreed:
            raise InputError(f"{said} Nothing was sent. {step}")

    def send(self, prompt: int) -> None:
        """The same, when the request is sent."""
        self.check(prompt)
        self.is_sent = True

    def start(self) -> None:
        """Count it from now on; nobody can be asked any longer."""
        self._ceiling = self._ceiling._replace(ask=Ceiling().ask)
        runtime.own(_Expenses).running[self] = None

    def end(self, names: tuple[str, ...], usage: Usage | None, tokens: int) -> None:
        """The answer has ended, with the server's counts or so many tokens so far."""
        self._names, self.is_counted = names, usage is not None
        self._usage = usage or Usage(self._prompt, tokens)
        runtime.own(_Expenses).ended.append(self)
        self.is_running = False

    def drop(self) -> None:
        """The answer has ended and costs nothing."""
        self.is_running = False

    def _excess(self) -> tuple[str, str] | None:
        """Which ceiling it passes, and what to do about it; None if it passes none."""
        cost, total, (budget, limit, _) = self.cost, spent(but=self), self._ceiling
        most = inf if cost is None else cost
        is_long = limit is not None and most > limit
        is_over = budget is not None and total.most + most > budget
        if not (is_long or is_over):
            return None
        said = f"The price of {self._names[0]} is not known"
        if cost is not None:
            said = f"This answer may cost up to {dollars(cost)}"
        said += ", and its tools may cost extra" if self._has_fees else ""
        said += f"; --max-cost is {dollars(limit or 0)}." if is_long else "."
        said += f" {total.of(budget or 0)}" if is_over else ""
        passed = (("--max-cost", is_long), ("GroqMagic.budget", is_over))
        ceilings = [name for name, is_passed in passed if is_passed]
        step = f"Raise {' and '.join(ceilings)}, or shorten the answer with --max-tokens."
        if cost is None:
            step = f"Choose a model with a price (%groq models), or set no {' or '.join(ceilings)}."
        return said, step


class _Expenses:
    """The expenses of this process."""

    def __init__(self) -> None:
        self.ended: list[Expense] = []
        self.after_fork()

    def after_fork(self) -> None:
        """Forget those that run: only the parent has their answers."""
        self.running: WeakKeyDictionary[Expense, None] = WeakKeyDictionary()


class Spent(NamedTuple):
    """The cost of this process's answers."""

    usd: float
    priced: int
    """The number of answers with a known cost."""
    more: float
    """What others may have cost: they were stopped, or failed."""
    bounded: int
    """The number of these."""
    unpriced: int
    """The number of answers that have no price."""
    running: float
    """What running answers may cost."""

    @property
    def most(self) -> float:
        """What all may cost together."""
        return self.usd + self.more + self.running

    def of(self, budget: float) -> str:
        """A sentence about what is left of a budget."""
        running = f", and up to {dollars(self.running)} by running answers" if self.running else ""
        return f"Spent: {dollars(self.usd + self.more)} of {dollars(budget)}{running}."


def spent(but: Expense | None = None) -> Spent:
    """The cost of all answers so far, at the prices known now; without one of them."""
    expenses = runtime.own(_Expenses)
    ended = [(expense.cost, expense.is_counted) for expense in expenses.ended[:]]
    priced = [cost for cost, is_counted in ended if is_counted and cost is not None]
    more = [cost for cost, is_counted in ended if not is_counted and cost is not None]
    unpriced = len(ended) - len(priced) - len(more)
    running = [expense for ref in expenses.running.keyrefs() if (expense := ref()) is not but]
    longest = sum(expense.cost or 0.0 for expense in running if expense and expense.is_running)
    return Spent(sum(priced), len(priced), sum(more), len(more), unpriced, longest)


_SIZED_BY = ("model", "max_completion_tokens", "max_tokens")
"""The parameters that an answer's longest size depends on."""


def runs_tools(tools: Any) -> bool:
    """Whether the server runs some of them; what they read counts as the prompt's, too."""
    kinds = [tool.get("type") for tool in tools if isinstance(tool, dict)] if tools else []
    return any(kind != "function" for kind in kinds)
