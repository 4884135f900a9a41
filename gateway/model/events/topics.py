"""Kafka topics and record headers, as other systems see them. They are spelled here and nowhere else."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class Topic(StrEnum):
    """Kafka topics. The first four are the event log; their records are keyed by visitor id."""

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
