"""The topic `rulesets`: every process counts the same versions from its records in order."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.model.rulesets.versions import InvalidRecord, RulesetLog, RulesetRecord, decode_record
from tests.support.strategies import SETTINGS, json_values

expectations = st.none() | st.integers(0, 6)
records = st.builds(RulesetRecord, st.sampled_from("abcdefgh"), expectations, st.text(max_size=5), st.integers(0, 2**45))


def log_of(*values: bytes) -> RulesetLog:
    log = RulesetLog()
    for offset, value in enumerate(values):
        log.absorb(offset, value)
    return log


def record(name: str, expected: int | None) -> bytes:
    return RulesetRecord(name, expected, f"yaml of {name}", 7).encode()


def test_records_in_order_are_versions() -> None:
    """Each has its YAML, its time and its offset."""
    log = log_of(record("a", 0), record("b", 1), record("c", None))
    assert log.current is not None
    assert (log.version, log.current.yaml, log.current.published_at_ms, log.current.offset) == (3, "yaml of c", 7, 2)
    assert [log.offset_of(version) for version in (0, 1, 2, 3, 4)] == [None, 0, 1, 2, None]


def test_the_versions_published_by_a_moment() -> None:
    """Newest first, by the time in each record."""
    log = log_of(*(RulesetRecord(name, None, "", time_ms).encode() for name, time_ms in (("a", 5), ("b", 9), ("c", 7))))
    assert [log.published_by(at_ms) for at_ms in (4, 5, 8, 9)] == [[], [1], [3, 1], [3, 2, 1]]


def test_a_record_that_expects_another_version_is_void() -> None:
    """If two expect the same version, the first in the log wins; a void record is not counted."""
    log = log_of(record("a", 0), record("other", 0), record("late", 5), record("b", 1))
    assert log.current is not None
    assert (log.version, log.current.yaml, log.current.offset) == (2, "yaml of b", 3)
    assert [log.version_of(name) for name in ("a", "other", "late", "b")] == [1, None, None, 2]
    with pytest.raises(KeyError):
        log.version_of("unseen")


def test_a_second_copy_of_a_message_is_void() -> None:
    """A retry publishes once, even if it expects no version."""
    assert log_of(record("a", None), record("a", None), record("b", None), record("a", None)).version == 2
    log = log_of(record("void", 3), record("a", 0), record("b", 1), record("c", 2), record("void", 3))
    assert (log.version, log.version_of("void")) == (3, None)


@SETTINGS
@given(st.lists(records, max_size=12), st.integers(0, 12))
def test_versions_grow_by_one_and_depend_on_the_log_alone(log: list[RulesetRecord], split: int) -> None:
    """A process that starts over and one that reads on count the same versions."""
    values = [record.encode() for record in log]
    whole = RulesetLog()
    versions = [published.version for offset, value in enumerate(values) if (published := whole.absorb(offset, value)) is not None]
    assert versions == list(range(1, len(versions) + 1))
    again = log_of(*values[:split])
    for offset, value in enumerate(values[split:], min(split, len(values))):
        again.absorb(offset, value)
    assert (again.version, again.current) == (whole.version, whole.current)
    for version in versions:
        place = whole.offset_of(version)
        assert place is not None
        assert log[place].version_expected in (None, version - 1)


@SETTINGS
@given(records)
def test_a_record_is_read_as_it_was_written(record: RulesetRecord) -> None:
    """Whatever its text."""
    assert decode_record(record.encode()) == record


@SETTINGS
@given(st.binary(max_size=20) | json_values.map(lambda value: json.dumps(value).encode()))
def test_a_value_that_is_not_a_record_is_void(value: bytes) -> None:
    """It uses no number and does not stop the reader."""
    log = log_of(record("a", 0))
    with pytest.raises(InvalidRecord):
        log.absorb(1, value)
    assert log.version == 1


@pytest.mark.parametrize("field", ["version_expected", "yaml", "published_at_ms", "message_id"])
@pytest.mark.parametrize("wrong", [True, -1, 1.5, [], {}])
def test_a_record_with_a_field_of_the_wrong_type_is_invalid(field: str, wrong: Any) -> None:
    """Each field is checked."""
    with pytest.raises(InvalidRecord):
        decode_record(json.dumps({**json.loads(record("a", 0)), field: wrong}).encode())
