"""A server's models, their sizes and prices, and the price of an answer. Pure: no I/O.

``GET /models`` sends more than the SDKs' types say, https://console.groq.com/docs/models
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, TypeGuard

from groq_magic.errors import InputError

from .protocol import Usage

_LARGEST_COUNT = 10**12
_MOST_MODELS = 5000  # some servers list hundreds


@dataclass(frozen=True, slots=True)
class Model:
    """One model of a server; None where the server sent no value or a wrong one."""

    id: str
    context_window: int | None = None
    """Tokens of prompt and answer together."""
    max_completion_tokens: int | None = None
    owned_by: str | None = None
    prompt_price: Decimal | None = None
    """USD per token, like the other prices."""
    completion_price: Decimal | None = None
    cached_price: Decimal | None = None
    """For a prompt token that was in the server's cache."""
    writes_text: bool = True
    """False where the server says that the model makes speech or transcriptions."""
    reads_images: bool | None = None
    """None where the server does not say."""

    @classmethod
    def from_wire(cls, wire: Any) -> Model | None:
        """Read one entry; None if it has no name or is not active."""
        if not isinstance(wire, Mapping) or wire.get("active") is False:
            return None
        name = _line(wire.get("id"))
        if name is None:
            return None
        pricing = wire.get("pricing")
        prices = pricing if isinstance(pricing, Mapping) else {}
        kinds, inputs = wire.get("output_modalities"), wire.get("input_modalities")
        return cls(
            id=name,
            context_window=_count(wire.get("context_window")),
            max_completion_tokens=_count(wire.get("max_completion_tokens")),
            owned_by=_line(wire.get("owned_by")),
            prompt_price=_price(prices.get("prompt")),
            completion_price=_price(prices.get("completion")),
            cached_price=_price(prices.get("input_cache_read")),
            writes_text="text" in kinds if isinstance(kinds, list) else True,
            reads_images="image" in inputs if isinstance(inputs, list) else None,
        )

    def cost(self, usage: Usage) -> float | None:
        """USD for this usage; None where a price or a count is unknown.

        >>> model = Model("m", prompt_price=Decimal("1e-6"), completion_price=Decimal("2e-6"))
        >>> model.cost(Usage(prompt_tokens=100, completion_tokens=10))
        0.00012
        """
        asked, answered = usage.prompt_tokens, usage.completion_tokens
        if not (_is_count(asked) and _is_count(answered)):
            return None
        if self.prompt_price is None or self.completion_price is None:
            return None
        cached = min(usage.cached_tokens, asked) if _is_count(usage.cached_tokens) else 0
        cached_price = self.prompt_price if self.cached_price is None else self.cached_price
        prompt = (asked - cached) * self.prompt_price + cached * cached_price
        return float(prompt + answered * self.completion_price)


def parse_models(wire: Any) -> list[Model]:
    """The models in a body of ``/models``, sorted by name; none for any other body."""
    listed = wire.get("data") if isinstance(wire, Mapping) else None
    found = map(Model.from_wire, listed[:_MOST_MODELS]) if isinstance(listed, list) else ()
    models = {model.id: model for model in found if model}
    return [models[name] for name in sorted(models)]


class KnownModels:
    """The models that each server has listed for this process."""

    def __init__(self) -> None:
        self._by_url: dict[str, dict[str, Model]] = {}

    def remember(self, base_url: str, models: Iterable[Model]) -> None:
        """Replace the models of the server at ``base_url``."""
        self._by_url[base_url] = {model.id: model for model in models}

    def of(self, base_url: str) -> list[Model]:
        """The known models of the server."""
        return list(self._by_url.get(base_url, {}).values())

    def cost(self, base_url: str, names: Iterable[str], usage: Usage | None) -> float | None:
        """USD at the price of the first known name; None if no name, price or usage is known."""
        models = self._by_url.get(base_url, {})
        model = next((models[name] for name in names if name in models), None)
        return model.cost(usage) if model and usage else None

    def longest_answer(self, name: str) -> int | None:
        """The most tokens that a model of this name writes, on any server; None where unknown."""
        named = (models[name] for models in self._by_url.values() if name in models)
        return max((model.max_completion_tokens or 0 for model in named), default=0) or None

    def check_images(self, base_url: str, name: str) -> None:
        """Raise `InputError` if the server says that the model reads no images."""
        models = self._by_url.get(base_url, {})
        if name not in models or models[name].reads_images is not False:
            return
        able = next((f", such as -m {m.id}" for m in models.values() if m.reads_images), "")
        raise InputError(f"{name} reads no images. Choose a model that does{able}.")

    def context(self, base_url: str, name: str) -> int | None:
        """The size of the model's context in tokens, answer included; None where unknown."""
        model = self._by_url.get(base_url, {}).get(name)
        return model.context_window if model else None


def dollars(amount: float) -> str:
    """An amount of money with the digits that matter.

    >>> [dollars(amount) for amount in (0, 0.00001, 0.000412, 0.0307, 0.5, 1234.5)]
    ['$0', '<$0.0001', '$0.0004', '$0.031', '$0.50', '$1,234.50']
    """
    if amount == 0:
        return "$0"
    if amount < 0.0001:
        return "<$0.0001"
    digits = 4 if amount < 0.01 else 3 if amount < 0.1 else 2
    return f"${amount:,.{digits}f}"


def _line(text: Any) -> str | None:
    """A name of one line without invisible characters."""
    is_line = isinstance(text, str) and text.strip() and text.isprintable() and len(text) <= 200
    return text.strip() if is_line else None


def _is_count(value: Any) -> TypeGuard[int]:
    return type(value) is int and 0 <= value < _LARGEST_COUNT


def _count(value: Any) -> int | None:
    return value if _is_count(value) and value else None


def _price(text: Any) -> Decimal | None:
    """USD per token, sent as a string; a dollar or more is not a price."""
    try:
        price = Decimal(text) if isinstance(text, str) else None
    except InvalidOperation:
        return None
    return price if price is not None and price.is_finite() and 0 <= price < 1 else None
