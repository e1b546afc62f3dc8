"""The models that the demo server lists."""

from __future__ import annotations

from typing import Any

_LIKE_A_MODEL: dict[str, Any] = {
    "object": "model",
    "created": 0,
    "active": True,
    "context_window": 131_072,
    "max_completion_tokens": 65_536,
    "input_modalities": ["text"],
    "output_modalities": ["text"],
}


def _priced(prompt: str, cached: str, completion: str) -> dict[str, Any]:
    """A model with prices in USD per token."""
    pricing = {"prompt": prompt, "input_cache_read": cached, "completion": completion}
    return _LIKE_A_MODEL | {"pricing": pricing}


# The first three have Groq's values of October 2026.
_MODELS: dict[str, dict[str, Any]] = {
    "openai/gpt-oss-120b": _priced("0.00000015", "0.000000075", "0.0000006"),
    "openai/gpt-oss-20b": _priced("0.000000075", "0.0000000375", "0.0000003"),
    "qwen/qwen3.8-27b": _priced("0.0000008", "0.0000004", "0.000004")
    | {"max_completion_tokens": 16_384, "input_modalities": ["text", "image"]},
    "demo/slow": _priced("0.000001", "0.0000005", "0.000002"),
    "demo/long": _priced("0.00000005", "0.000000025", "0.00000008"),
    "demo/reasoning": _priced("0.0000006", "0.0000003", "0.000003"),
    "demo/rate-limit": _LIKE_A_MODEL,
    "demo/error-401": _LIKE_A_MODEL,
    "demo/mid-stream-error": _LIKE_A_MODEL,
    "demo/cut-off": _LIKE_A_MODEL,
    "demo/search": _LIKE_A_MODEL,
    "demo/python": _LIKE_A_MODEL,
    "demo/tools": _LIKE_A_MODEL,
    "demo/json": _LIKE_A_MODEL,
    "demo/filter": _LIKE_A_MODEL,
    "demo/speech": {"output_modalities": ["speech"], "context_window": 4_000},
}


def models() -> list[dict[str, Any]]:
    """What ``/models`` says of each."""
    return [{"id": name, "owned_by": _owner(name), **says} for name, says in _MODELS.items()]


def _owner(name: str) -> str:
    return {"openai": "OpenAI", "qwen": "Alibaba Cloud"}.get(name.partition("/")[0], "Demo")
