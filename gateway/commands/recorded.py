"""Recorded events: from a CSV file in the format of the REES46 data to the inputs of `track`. No clock, no network.

    event_time,event_type,product_id,category_id,category_code,brand,price,user_id,user_session
    2019-10-01 00:00:00 UTC,view,3900821,2053013552326770905,appliances.environment.water_heater,aqua,33.20,554748717,9333dfbd…

view is PRODUCT_VIEWED, cart PRODUCT_ADDED, remove_from_cart PRODUCT_REMOVED, purchase ORDER_COMPLETED with one product.
The category is the last part of category_code, unchanged; if that is empty, the event has no category.
"""

from __future__ import annotations

import csv
import gzip
import io
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from gateway.model.times import format_time_ms
from gateway.reports.columns import counted

CURRENCY: Final = "USD"
COLUMNS: Final = ("event_time", "event_type", "product_id", "category_code", "brand", "price", "user_id", "user_session")
"""The columns that are read. Others are ignored; they can be in any order."""

_TYPES: Final = {
    "view": "PRODUCT_VIEWED",
    "cart": "PRODUCT_ADDED",
    "remove_from_cart": "PRODUCT_REMOVED",
    "purchase": "ORDER_COMPLETED",
}
_PRICE: Final = re.compile(r"\d{1,12}(\.\d{1,6})?", re.ASCII)
_GZIP_MAGIC: Final = b"\x1f\x8b"

EventInputJson = dict[str, Any]
"""An `EventInput` of the API as JSON, for the variables of `track`."""


class MalformedFile(Exception):
    """A file that is not in the expected format. The text starts with file and line and says what is wrong."""

    def __init__(self, source: str, line: int, cause: str) -> None:
        super().__init__(f"{source}:{line}: {cause}")
        self.line = line


@dataclass(frozen=True, slots=True)
class RecordedEvent:
    """One row. `row` counts from 1, the first row after the header; `time_ms` is the recorded time."""

    row: int
    time_ms: int
    type: str
    user_id: str
    session_id: str | None
    product_id: str
    category: str | None
    brand: str | None
    price: str

    def as_input(self, prefix: str, shift_ms: int) -> EventInputJson:
        """The input of `track`, with the time shifted by `shift_ms`. The same row and prefix have the same message id."""
        event_input: EventInputJson = {
            "messageId": f"{prefix}-{self.row}",
            "type": self.type,
            "userId": self.user_id,
            "timestamp": format_time_ms(self.time_ms + shift_ms),
            "sequence": self.row,
        }
        if self.session_id is not None:
            event_input["sessionId"] = self.session_id
        product = {"productId": self.product_id, "price": self.price, "currency": CURRENCY}
        if self.category is not None:
            product["category"] = self.category
        if self.brand is not None:
            product["brand"] = self.brand
        if self.type == "ORDER_COMPLETED":
            products = [{**product, "quantity": 1}]
            event_input["order"] = {"orderId": f"order-{self.row}", "value": self.price, "currency": CURRENCY, "products": products}
        else:
            event_input["product"] = product
        return event_input


def inputs_ending_at(events: Iterable[RecordedEvent], end_ms: int, prefix: str) -> list[EventInputJson]:
    """The inputs of `track`, in order, with all times shifted by the same amount, so that the latest is `end_ms`."""
    recorded = list(events)
    shift_ms = end_ms - max((event.time_ms for event in recorded), default=end_ms)
    return [event.as_input(prefix, shift_ms) for event in recorded]


def read_recorded(path: Path, *, end_ms: int, prefix: str, limit: int = 0) -> list[EventInputJson]:
    """The inputs of `track` from a file: `read_events`, then `inputs_ending_at`. Raises what `read_events` raises."""
    return inputs_ending_at(read_events(path, limit), end_ms, prefix)


def read_events(path: Path, limit: int = 0) -> list[RecordedEvent]:
    """All events in a CSV file, which may be gzipped, or the first `limit`. Raises `MalformedFile` or OSError."""
    events: list[RecordedEvent] = []
    with path.open("rb") as raw:
        is_gzipped = raw.read(2) == _GZIP_MAGIC
        raw.seek(0)
        with gzip.open(raw) if is_gzipped else raw as unpacked, io.TextIOWrapper(unpacked, encoding="utf-8", newline="") as text:
            for event in parse_events(_lines_of(text, str(path)), str(path)):
                events.append(event)
                if len(events) == limit:
                    break
    return events


def parse_events(lines: Iterable[str], source: str) -> Iterator[RecordedEvent]:
    """The events in the lines of a CSV file. Raises `MalformedFile`, which names `source` and the line."""
    reader = csv.DictReader(lines, strict=True)
    try:
        missing = [column for column in COLUMNS if column not in (reader.fieldnames or ())]
        if missing:
            raise MalformedFile(source, 1, f"the header has no {', '.join(missing)}")
        for row, fields in enumerate(reader, start=1):
            try:
                yield _recorded_event(row, fields)
            except ValueError as problem:
                raise MalformedFile(source, reader.line_num, str(problem)) from None
    except csv.Error as problem:
        # The line that cannot be parsed is not counted yet.
        raise MalformedFile(source, reader.line_num + 1, f"not CSV: {problem}") from problem


def _lines_of(text: Iterable[str], source: str) -> Iterator[str]:
    line = 1
    try:
        for content in text:
            yield content
            line += 1
    except UnicodeDecodeError as problem:
        raise MalformedFile(source, line, f"not UTF-8: {problem.reason}") from problem
    except (EOFError, gzip.BadGzipFile, zlib.error) as problem:
        raise MalformedFile(source, line, f"the gzip file is damaged: {problem}") from problem


def _recorded_event(row: int, fields: Mapping[str | None, Any]) -> RecordedEvent:
    """The event of a row. Raises ValueError, which names the column."""
    if None in fields:
        raise ValueError(f"{counted(len(fields[None]), 'column')} too many")
    missing = [column for column in COLUMNS if fields[column] is None]
    if missing:
        raise ValueError(f"the row ends before {missing[0]}")
    event_type = _TYPES.get(fields["event_type"])
    if event_type is None:
        raise ValueError(f"event_type must be one of {', '.join(_TYPES)}, not {fields['event_type']!r}")
    if not _PRICE.fullmatch(fields["price"]):
        raise ValueError(f"price must be an amount such as 19.90, not {fields['price']!r}")
    for column in ("product_id", "user_id"):
        if not fields[column]:
            raise ValueError(f"{column} is empty")
    return RecordedEvent(
        row=row,
        time_ms=_time_ms(fields["event_time"]),
        type=event_type,
        user_id=fields["user_id"],
        session_id=fields["user_session"] or None,
        product_id=fields["product_id"],
        category=fields["category_code"].rpartition(".")[2] or None,
        brand=fields["brand"] or None,
        price=fields["price"],
    )


def _time_ms(text: str) -> int:
    try:
        moment = datetime.strptime(text, "%Y-%m-%d %H:%M:%S UTC").replace(tzinfo=UTC)
    except ValueError:
        raise ValueError(f"event_time must look like 2019-10-01 00:00:00 UTC, not {text!r}") from None
    return int(moment.timestamp()) * 1000
