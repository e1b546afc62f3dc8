"""When a live view paints."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter

_INTERVAL = 0.05
_COST_FACTOR = 10
_SHARED_COST_FACTOR = 3
_VIEWS_AT_FULL_RATE = 20  # jupyter_server drops messages beyond 1,000 a second
_EAGER_LOOKS = 200


class Pace:
    """Decides when one view paints.

    Until there is something to read, a view renders every change at once, so that the first
    word never waits; but only 200 times and while that is cheap, since some text shows nothing,
    such as link definitions. Afterwards it paints at most 20 times a second, and it renders for
    at most a tenth of the time, all views together for at most a third.
    """

    def __init__(self, clock: Callable[[], float] = perf_counter) -> None:
        self.has_begun = False
        """Whether there is something to read."""
        self._clock = clock
        self._looks = 0
        self._due_at = clock()

    @property
    def pause(self) -> float:
        """Seconds until the next change is to be rendered."""
        return 0.0 if self._is_eager else self._left

    def rendered(self, *, is_readable: bool, is_news: bool = False) -> bool:
        """Note that a change is rendered; return whether to send it now, as news always are."""
        is_news |= is_readable and not self.has_begun
        self.has_begun |= is_readable
        self._looks += 1
        return is_news or not self._is_eager or self._left <= 0

    def sent(self, cost: float, views: int) -> None:
        """Note that a paint cost so many seconds, while so many views paint."""
        interval = _INTERVAL * max(1.0, views / _VIEWS_AT_FULL_RATE)
        pause = max(interval, cost * max(_COST_FACTOR, _SHARED_COST_FACTOR * views))
        self._due_at = self._clock() + pause

    @property
    def _is_eager(self) -> bool:
        is_cheap = self._left <= _INTERVAL
        return is_cheap and not self.has_begun and self._looks < _EAGER_LOOKS

    @property
    def _left(self) -> float:
        return max(0.0, self._due_at - self._clock())
