"""Recorded events: from a CSV file in the form of the REES46 data to the inputs of `track`. No clock, no network.

    event_time,event_type,product_id,category_id,category_code,brand,price,user_id,user_session
    2019-10-01 00:00:00 UTC,view,3900821,2053013552326770905,appliances.environment.water_heater,aqua,33.20,554748717,9333dfbd…

view is PRODUCT_VIEWED, cart PRODUCT_ADDED, remove_from_cart PRODUCT_REMOVED, purchase ORDER_COMPLETED with one product.
The category is the last part of category_code, as it stands; an empty one is none.
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

CURRENCY: Final = "USD"
COLUMNS: Final = ("event_time", "event_type", "product_id", "category_code", "brand", "price", "user_id", "user_session")
"""Those that are read; others are ignored, the order is free."""

_TYPES: Final = {
    "view": "PRODUCT_VIEWED",
    "cart": "PRODUCT_ADDED",
    "remove_from_cart": "PRODUCT_REMOVED",
    "purchase": "ORDER_COMPLETED",
}
_PRICE: Final = re.compile(r"\d{1,12}(\.\d{1,6})?", re.ASCII)
_GZIP_MAGIC: Final = b"\x1f\x8b"

EventInput = dict[str, Any]
"""An `EventInput` of the API as JSON, for the variables of `track`."""


class MalformedFile(Exception):
    """A file that is not in the expected form. The text begins with file and line and says what is wrong."""

    def __init__(self, source: str, line: int, cause: str) -> None:
        super().__init__(f"{source}:{line}: {cause}")
        self.line = line


@dataclass(frozen=True, slots=True)
class RecordedEvent:
    """One row. `row` counts from 1 for the first row after the header; `time_ms` is as recorded."""

    row: int
    time_ms: int
    type: str
    user_id: str
    session_id: str | None
    product_id: str
    category: str | None
    brand: str | None
    price: str

    def as_input(self, prefix: str, shift_ms: int) -> EventInput:
        """The input of `track`, its time moved by `shift_ms`. The same row and prefix give the same message id."""
        found: EventInput = {
            "messageId": f"{prefix}-{self.row}",
            "type": self.type,
            "userId": self.user_id,
            "timestamp": format_time_ms(self.time_ms + shift_ms),
            "sequence": self.row,
        }
        if self.session_id is not None:
            found["sessionId"] = self.session_id
        product = {"productId": self.product_id, "price": self.price, "currency": CURRENCY}
        if self.category is not None:
            product["category"] = self.category
        if self.brand is not None:
            product["brand"] = self.brand
        if self.type == "ORDER_COMPLETED":
            products = [{**product, "quantity": 1}]
            found["order"] = {"orderId": f"order-{self.row}", "value": self.price, "currency": CURRENCY, "products": products}
        else:
            found["product"] = product
        return found


def inputs_ending_at(events: Iterable[RecordedEvent], end_ms: int, prefix: str) -> list[EventInput]:
    """The inputs of `track`, in order, all times moved alike so that the latest one is `end_ms`."""
    known = list(events)
    shift_ms = end_ms - max((event.time_ms for event in known), default=end_ms)
    return [event.as_input(prefix, shift_ms) for event in known]


def read_recorded(path: Path, *, end_ms: int, prefix: str, limit: int = 0) -> list[EventInput]:
    """The inputs of `track` from a file: `read_events`, then `inputs_ending_at`; raises what the first raises."""
    return inputs_ending_at(read_events(path, limit), end_ms, prefix)


def read_events(path: Path, limit: int = 0) -> list[RecordedEvent]:
    """All events of a file (CSV, also gzipped), or the first `limit`. Raises `MalformedFile` or OSError."""
    found: list[RecordedEvent] = []
    with path.open("rb") as raw:
        packed = raw.read(2) == _GZIP_MAGIC
        raw.seek(0)
        with gzip.open(raw) if packed else raw as unpacked, io.TextIOWrapper(unpacked, encoding="utf-8", newline="") as text:
            for event in parse_events(_readable(text, str(path)), str(path)):
                found.append(event)
                if len(found) == limit:
                    break
    return found


def parse_events(lines: Iterable[str], source: str) -> Iterator[RecordedEvent]:
    """The events of the lines of a CSV text. Raises `MalformedFile`, which names `source` and the line."""
    reader = csv.DictReader(lines, strict=True)
    try:
        lacking = [column for column in COLUMNS if column not in (reader.fieldnames or ())]
        if lacking:
            raise MalformedFile(source, 1, f"the header lacks {', '.join(lacking)}")
        for row, fields in enumerate(reader, start=1):
            try:
                yield _event(row, fields)
            except ValueError as problem:
                raise MalformedFile(source, reader.line_num, str(problem)) from None
    except csv.Error as problem:
        # The line that cannot be parsed is not counted yet.
        raise MalformedFile(source, reader.line_num + 1, f"not CSV: {problem}") from problem


def _readable(text: Iterable[str], source: str) -> Iterator[str]:
    line = 1
    try:
        for content in text:
            yield content
            line += 1
    except UnicodeDecodeError as problem:
        raise MalformedFile(source, line, f"not UTF-8: {problem.reason}") from problem
    except (EOFError, gzip.BadGzipFile, zlib.error) as problem:
        raise MalformedFile(source, line, f"the gzip file is damaged: {problem}") from problem


def _event(row: int, fields: Mapping[str | None, Any]) -> RecordedEvent:
    """The event of a row, or raise ValueError that names the column."""
    if None in fields:
        raise ValueError(f"{len(fields[None])} columns too many")
    lacking = [column for column in COLUMNS if fields[column] is None]
    if lacking:
        raise ValueError(f"the row ends before {lacking[0]}")
    event_type = _TYPES.get(fields["event_type"])
    if event_type is None:
        raise ValueError(f"event_type is {fields['event_type']!r}, known are {', '.join(_TYPES)}")
    if not _PRICE.fullmatch(fields["price"]):
        raise ValueError(f"price is {fields['price']!r}, it must be an amount such as 19.90")
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
        raise ValueError(f"event_time is {text!r}, it must look like 2019-10-01 00:00:00 UTC") from None
    return int(moment.timestamp()) * 1000
