"""What the tests in the browser share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.hand import Hand
from tests.support.peer import Connection, peer


@pytest.fixture
def hand() -> Iterator[Hand]:
    with peer(Connection.until_closed) as server:
        yield Hand(server)
