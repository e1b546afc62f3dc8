"""The examples of the CommonMark specification."""

from __future__ import annotations

import json
from functools import cache

import pytest

from tests.support.fetch import SPECIFICATION


@cache
def examples() -> list[str]:
    """The Markdown of each; number 1 is the first. A test is skipped where they are missing."""
    if not SPECIFICATION.exists():
        pytest.skip("the specification is not here: python -m tests.support.fetch")
    found = json.loads(SPECIFICATION.read_text("utf-8"))
    assert len(found) == 652
    return [example["markdown"] for example in found]
