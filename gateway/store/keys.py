"""Redis keys and channels, as other systems see them. They are spelled here and nowhere else."""

from __future__ import annotations

from typing import Final


def _escape(visitor_id: str) -> str:
    """Escape the braces, which Redis Cluster would read as a hash tag, so that a context and its state share one slot."""
    return visitor_id.replace("%", "%25").replace("{", "%7B").replace("}", "%7D")


def context_key(visitor_id: str) -> str:
    """Key of the public context, plain JSON."""
    return f"context:{_escape(visitor_id)}"


def state_key(visitor_id: str) -> str:
    """Key of the visitor's state, in the same cluster slot as the context."""
    return f"{{context:{_escape(visitor_id)}}}:state"


def notice_channel(visitor_id: str) -> str:
    """Channel on which a change of the context is announced, in the same cluster slot."""
    return f"{{context:{_escape(visitor_id)}}}:changed"


RULESET_KEY: Final = "rulesets:current"
"""Key of the copy of the latest ruleset, JSON."""

RULESET_CHANNEL: Final = "{rulesets:current}:changed"
"""Channel on which a new copy is announced, in the same cluster slot."""

TRENDS_CHANNEL: Final = "{trends}:changed"
"""Channel on which a new snapshot of the trends is announced. All keys of the trends share one cluster slot."""

TRENDS_CURRENT_KEY: Final = "{trends}:current"
"""Key of the number of the current snapshot of the trends."""

TRENDS_SNAPSHOTS_KEY: Final = "{trends}:snapshots"
"""Key of the sorted set of the numbers of the kept snapshots."""

TOGETHER_CURRENT_KEY: Final = "{trends}:together"
"""Key of the number of the current version of the products bought together."""

TOGETHER_VERSIONS_KEY: Final = "{trends}:together:versions"
"""Key of the sorted set of its kept versions."""


def trends_window_key(start_ms: int) -> str:
    """Key of the counts of the time window that starts at `start_ms`, a hash by product."""
    return f"{{trends}}:window:{start_ms}"


def trends_snapshot_key(number: int) -> str:
    """Key of a snapshot, compressed JSON."""
    return f"{{trends}}:snapshot:{number}"


def together_key(version: int) -> str:
    """Key of a version of the products bought together, compressed JSON."""
    return f"{{trends}}:together:{version}"


PURGES_KEY: Final = "purges:due"
"""Key of the sorted set of visitors who withdrew consent, by the time (ms) of their next purge."""

STATS_AS_OF_KEY: Final = "{campaign_stats}:as_of"
"""Key of the time (ms) as of which campaign statistics were last computed."""

STATS_CAMPAIGNS_KEY: Final = "{campaign_stats}:campaigns"
"""Key of the set of the campaigns that have statistics."""


def campaign_stats_key(campaign_id: str) -> str:
    """Key of the statistics of a campaign, a hash by hour."""
    return f"{{campaign_stats:{_escape(campaign_id)}}}:hours"


def draft_key(name: str) -> str:
    """Key of the YAML of a draft, a ruleset that is previewed and not published; `name` is its hash."""
    return f"rulesets:draft:{name}"
