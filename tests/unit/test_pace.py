"""When a live view paints, by a clock of its own."""

from __future__ import annotations

import pytest

from groq_magic.display.pace import Pace


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pace(clock: Clock) -> Pace:
    return Pace(clock)


def test_the_first_word_does_not_wait(pace: Pace) -> None:
    assert pace.rendered(is_readable=False)  # that the answer streams
    pace.sent(0.001, views=0)
    assert not pace.rendered(is_readable=False)
    assert pace.rendered(is_readable=False, is_news=True)  # that the rate limit is waited for
    assert pace.pause == 0
    assert pace.rendered(is_readable=True)
    pace.sent(0.001, views=1)
    assert pace.pause == pytest.approx(0.05)


def test_text_that_shows_nothing_is_paced_too(pace: Pace) -> None:
    for _ in range(199):
        pace.rendered(is_readable=False)
        pace.sent(0.001, views=0)
        assert pace.pause == 0
    pace.rendered(is_readable=False)
    assert pace.pause == pytest.approx(0.05)


def test_costly_text_that_shows_nothing_waits(pace: Pace) -> None:
    assert pace.rendered(is_readable=False)
    pace.sent(1.0, views=0)
    assert pace.pause == pytest.approx(10)


@pytest.mark.parametrize(
    ("cost", "views", "pause"),
    [
        (0.001, 1, 0.05),  # 20 paints a second
        (0.02, 1, 0.2),  # a tenth of the time
        (5.0, 1, 50.0),  # whatever a paint costs
        (0.02, 10, 0.6),  # a third for all views together
        (0.001, 60, 0.18),
        (0.0, 60, 0.15),  # 400 messages a second for all views together
    ],
)
def test_a_paint_is_followed_by_a_pause(
    clock: Clock, pace: Pace, cost: float, views: int, pause: float
) -> None:
    pace.rendered(is_readable=True)
    pace.sent(cost, views)
    assert pace.pause == pytest.approx(pause)
    clock.now += pause + 0.001
    assert pace.pause == 0
    assert pace.rendered(is_readable=True)
