"""Frequency caps: how often a visitor sees a campaign. A cap never removes a banner that a page already shows (see `decide`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

MAX_VIEWS: Final = 50
"""The largest number of views in a cap with a period: a context keeps this many view times for each campaign."""


@dataclass(frozen=True, slots=True)
class ViewCap:
    """At most `views` views within a sliding period of `period_ms`; None: ever."""

    views: int
    period_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Caps:
    """All caps of a campaign. It is not shown while any of them is reached."""

    views: tuple[ViewCap, ...] = ()
    views_since_click: int | None = None
    stop_after_dismiss: bool = False

    def at(self, counts: Mapping[str, Any] | None, now_ms: int) -> tuple[str | None, int | None]:
        """Which cap is reached (in words; None: none), and when (ms) time alone changes that (None: never).

        `counts`: the campaign's entry under `banners` in the context.
        """
        if not counts:
            return None, None
        if self.stop_after_dismiss and counts.get("dismissals", 0):
            return "the visitor dismissed it", None
        if self.views_since_click is not None and counts.get("views_since_click", 0) >= self.views_since_click:
            return f"{counts['views_since_click']} views since the last click, at most {self.views_since_click}", None
        reached: list[str] = []
        free_ms: list[int] = []
        for cap in self.views:
            if cap.period_ms is None:
                if counts.get("views", 0) >= cap.views:
                    return f"{counts['views']} views, at most {cap.views}", None
                continue
            within = sorted(at_ms for at_ms in counts.get("recent_views_ms", ()) if at_ms > now_ms - cap.period_ms)
            if len(within) >= cap.views:
                reached.append(f"{len(within)} views within {cap.period_ms // 1000} s, at most {cap.views}")
                free_ms.append(within[-cap.views] + cap.period_ms)
        # The campaign is free when no cap is reached any more: the last one decides when.
        return (reached[0], max(free_ms)) if reached else (None, None)


NO_CAPS: Final = Caps()
