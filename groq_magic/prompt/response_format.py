"""The form of an answer: text, JSON, or a pydantic class."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any


def response_format(given: Any) -> tuple[Any, Callable[[str], Any]]:
    """The API's ``response_format`` for ``given``, and what parses the answer's text.

    A class with pydantic's ``model_json_schema`` and ``model_validate_json`` becomes a JSON
    schema; any other value is the API's already.

    >>> response_format({"type": "json_object"})[0]
    {'type': 'json_object'}
    """
    if not (hasattr(given, "model_json_schema") and hasattr(given, "__name__")):
        return given, json.loads  # an instance of such a class has no name
    name = re.sub(r"[^A-Za-z0-9_-]", "_", given.__name__)[:64]
    schema = {"name": name, "schema": given.model_json_schema()}
    return {"type": "json_schema", "json_schema": schema}, given.model_validate_json
