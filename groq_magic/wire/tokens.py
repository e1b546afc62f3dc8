"""Stub."""

from __future__ import annotations
import json
from collections.abc import Mapping
from typing import Any


def estimate(body: Mapping[str, Any]) -> int:
    return 70 + len(json.dumps(body["messages"], ensure_ascii=False).encode()) // 4


def most(tokens: int) -> int:
    return int(tokens * 1.1) + 8


def least(tokens: int) -> int:
    return int(tokens * 0.8)


class Calibration:
    def corrected(self, model: str, raw: int) -> int:
        return raw

    def learn(self, model: str, raw: int, prompt_tokens: int) -> None:
        return None
