"""Names that other systems see: topics, headers, Redis keys, the prefix of anonymous ids. Nothing else spells them."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class Topic(StrEnum):
    """Kafka topics. The first four are the event log proper; their records are keyed by visitor id."""

    PAGE_VIEWS = "page_views"
    USER_CLICKS = "user_clicks"
    USER_ACTIONS = "user_actions"
    PURCHASE_EVENTS = "purchase_events"
    CONTEXT_UPDATES = "context_updates"
    DEAD_LETTERS = "dead_letters"
    RULESETS = "rulesets"
    ERASURES = "erasures"


SOURCE_TOPICS: Final = (Topic.PAGE_VIEWS, Topic.USER_CLICKS, Topic.USER_ACTIONS, Topic.PURCHASE_EVENTS)


class Header(StrEnum):
    """Kafka record headers: CloudEvents 1.0 Kafka binding, binary mode (section 3.2), and W3C trace context."""

    ID = "ce_id"
    TYPE = "ce_type"
    SOURCE = "ce_source"
    TIME = "ce_time"
    SPEC_VERSION = "ce_specversion"
    CONTENT_TYPE = "content-type"
    TRACEPARENT = "traceparent"


ANONYMOUS_PREFIX: Final = "anon_"


def _escape(visitor_id: str) -> str:
    """Escape what Redis Cluster would read as a hash tag, so that a context and its state share one slot."""
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
