"""From source records to context updates and dead letters: SQL expressions only, no state, no clock.

    source record ─▶ valid?  ─yes─▶ context_updates: the position and the record, verbatim
                               └no─▶ dead_letters:    the raw bytes, with code and message
                                     context_updates: the position with `event: null`, when the key names a visitor

Only the structure is checked here: whatever the gateway's own checks accept passes, and the context writer does the full
checks. The same input has the same output, so a replay writes the same rows again.
"""

from __future__ import annotations

from typing import Final

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as sf

from gateway.model.events.topics import Topic

MAX_VALUE_BYTES: Final = 960 * 1024
"""A longer value becomes a dead letter: with envelope and headers it would exceed the 1 MiB that Kafka accepts by default."""
MAX_KEY_BYTES: Final = 1024
"""A longer key cannot be a visitor id (which has at most 128 characters)."""
MAX_HEADERS_BYTES: Final = 16 * 1024
"""Larger headers are not passed on."""
DEAD_LETTER_VALUE_BYTES: Final = 640 * 1024
"""A dead letter has this much of the raw value (base64 makes it a third longer); the whole value is at the letter's position."""
MAX_JSON_LEVELS: Final = 100
"""Python's parser fails a little below 1,000 levels; the gateway accepts far fewer."""

STAGE: Final = "context-stream"

# Strict RFC 8259. `maxNestingDepth` counts the array that the value is wrapped in.
_JSON_OPTIONS: Final = {
    "allowSingleQuotes": "false",
    "allowNonNumericNumbers": "false",
    "maxNestingDepth": str(MAX_JSON_LEVELS + 1),
}


def reshape(source: DataFrame, log_epoch: int) -> DataFrame:
    """Rows for the Kafka sink (topic, key, value, headers) from rows of the Kafka source.

    `source` has the columns of Spark's Kafka source read with `includeHeaders`; it may be static or streaming.
    `log_epoch` is part of every update. No expression fails, whatever the input is.
    """
    parsed = _parse(source)
    checked = parsed.withColumn("problem", _problem())
    rows = checked.select(sf.explode(_output_rows(log_epoch)).alias("row"))
    return rows.select("row.topic", "row.key", "row.value", "row.headers")


def _parse(source: DataFrame) -> DataFrame:
    """Add `key_text` and `text` (null if they cannot be decoded), `event` (a variant, null if malformed) and limited headers."""
    key_text, text = sf.col("key").cast("string"), sf.col("value").cast("string")
    key_fits = sf.octet_length("key").between(1, MAX_KEY_BYTES)
    value_fits = sf.octet_length("value") <= MAX_VALUE_BYTES
    readable = source.select(
        "topic",
        "partition",
        "offset",
        "timestamp",
        "key",
        "value",
        sf.when(_headers_bytes() <= MAX_HEADERS_BYTES, sf.col("headers")).alias("headers"),
        sf.when(key_fits & sf.is_valid_utf8(key_text), key_text).alias("key_text"),
        sf.when(value_fits & sf.is_valid_utf8(text), text).alias("text"),
    )
    # Spark's parser stops at the end of the first value and ignores what follows. So the value is followed by one that it
    # cannot contain: its own hash. The value is complete exactly if the parser reads that hash as the second of two elements.
    seal = sf.sha2(sf.col("text").cast("binary"), 256)
    wrapped = sf.from_json(sf.concat(sf.lit("["), sf.col("text"), sf.lit(',"'), seal, sf.lit('"]')), "array<variant>", _JSON_OPTIONS)
    whole = (sf.size("wrapped") == 2) & sf.try_variant_get(sf.get("wrapped", sf.lit(1)), "$", "string").eqNullSafe(seal)
    is_object = sf.expr(r"startswith(trim(LEADING ' \t\r\n' FROM text), '{')")
    return readable.withColumn("wrapped", wrapped).withColumn("event", sf.when(whole & is_object, sf.get("wrapped", sf.lit(0))))


def _headers_bytes() -> Column:
    """Size of all headers together; 0 when there are none."""

    def size(header: Column) -> Column:
        return sf.octet_length(header["key"]) + sf.coalesce(sf.octet_length(header["value"]), sf.lit(0))

    sizes = sf.transform("headers", size)
    return sf.coalesce(sf.aggregate(sizes, sf.lit(0), lambda total, header_size: total + header_size), sf.lit(0))


def _problem() -> Column:
    """The first problem of the record as struct(code, message); null if there is none."""
    return _when_first(
        (sf.col("key").isNull() | (sf.octet_length("key") == 0), "REQUIRED", "key is required: the visitor's id"),
        (sf.octet_length("key") > MAX_KEY_BYTES, "TOO_LARGE", f"key must have at most {MAX_KEY_BYTES} bytes"),
        (sf.col("key_text").isNull(), "MALFORMED", "key must be UTF-8"),
        (sf.col("value").isNull(), "REQUIRED", "value is required: a record without a value (tombstone) is not a valid event"),
        (sf.octet_length("value") > MAX_VALUE_BYTES, "TOO_LARGE", f"value must have at most {MAX_VALUE_BYTES} bytes"),
        (sf.col("text").isNull(), "MALFORMED", "value must be UTF-8"),
        (
            sf.col("event").isNull(),
            "MALFORMED",
            f"value must be one JSON object of at most {MAX_JSON_LEVELS} levels with nothing after it, without NaN or duplicate fields",
        ),
        *_text_checks("message_id"),
        (_string("message_id") == "", "INVALID_VALUE", "message_id must not be empty"),
        *_text_checks("type"),
        *_text_checks("visitor_id"),
        (~_string("visitor_id").eqNullSafe(sf.col("key_text")), "INVALID_VALUE", "visitor_id must equal the record's key"),
        *_integer_checks("event_time_ms"),
        *_integer_checks("received_at_ms"),
        (_is_absent("payload"), "REQUIRED", "payload is required"),
        (
            sf.try_variant_get("event", "$.payload", "map<string,variant>").isNull(),
            "INVALID_VALUE",
            "payload must be an object",
        ),
    )


def _when_first(*checks: tuple[Column, str, str]) -> Column:
    """struct(code, message) of the first condition that is true; null if none is."""
    (condition, code, message), *others = checks
    chain = sf.when(condition, sf.struct(sf.lit(code).alias("code"), sf.lit(message).alias("message")))
    for condition, code, message in others:
        chain = chain.when(condition, sf.struct(sf.lit(code).alias("code"), sf.lit(message).alias("message")))
    return chain


def _text_checks(field: str) -> tuple[tuple[Column, str, str], ...]:
    return (
        (_is_absent(field), "REQUIRED", f"{field} is required"),
        (_json_type(field) != "STRING", "INVALID_VALUE", f"{field} must be a string"),
    )


def _integer_checks(field: str) -> tuple[tuple[Column, str, str], ...]:
    return (
        (_is_absent(field), "REQUIRED", f"{field} is required"),
        (_json_type(field) != "BIGINT", "INVALID_VALUE", f"{field} must be an integer: milliseconds since the epoch"),
    )


def _is_absent(field: str) -> Column:
    return sf.coalesce(_json_type(field), sf.lit("VOID")) == "VOID"


def _json_type(field: str) -> Column:
    """The JSON type of a field in Spark's words (STRING, BIGINT, VOID for null, …), null when the field is missing."""
    return sf.schema_of_variant(sf.try_variant_get("event", f"$.{field}", "variant"))


def _string(field: str) -> Column:
    return sf.try_variant_get("event", f"$.{field}", "string")


def _output_rows(log_epoch: int) -> Column:
    """What the record is turned into: an array of one or two rows for the sink."""
    update = _row(Topic.CONTEXT_UPDATES, sf.col("key"), _update_json(log_epoch, sf.col("text")))
    empty_update = _row(Topic.CONTEXT_UPDATES, sf.col("key"), _update_json(log_epoch, sf.lit("null")))
    letter_key = sf.when(sf.octet_length("key") <= MAX_KEY_BYTES, sf.col("key"))
    letter = _row(Topic.DEAD_LETTERS, letter_key, _dead_letter_json())
    return (
        sf.when(sf.col("problem").isNull(), sf.array(update))
        .when(sf.col("key_text").isNotNull(), sf.array(letter, empty_update))
        .otherwise(sf.array(letter))
    )


def _row(topic: Topic, key: Column, value: Column) -> Column:
    return sf.struct(sf.lit(topic.value).alias("topic"), key.alias("key"), value.alias("value"), sf.col("headers").alias("headers"))


def _update_json(log_epoch: int, event: Column) -> Column:
    # Joined as text: to_json would serialize the event again. A topic's name needs no escaping (Kafka allows [a-zA-Z0-9._-]).
    return sf.concat(
        sf.lit('{"topic":"'),
        sf.col("topic"),
        sf.lit('","partition":'),
        sf.col("partition").cast("string"),
        sf.lit(',"offset":'),
        sf.col("offset").cast("string"),
        sf.lit(f',"log_epoch":{log_epoch:d},"event":'),
        event,
        sf.lit("}"),
    )


def _base64(raw: Column) -> Column:
    # Spark wraps base64 into the lines of MIME, unless a setting of the session turns that off.
    return sf.translate(sf.base64(raw), "\r\n", "")


def _dead_letter_json() -> Column:
    """`at_ms` is the source record's time in Kafka, so that a replay writes the same letter."""
    return sf.to_json(
        sf.struct(
            sf.col("topic"),
            sf.col("partition"),
            sf.col("offset"),
            sf.lit(STAGE).alias("stage"),
            sf.col("problem.code").alias("code"),
            sf.col("problem.message").alias("message"),
            _base64(sf.substring("key", 1, MAX_KEY_BYTES)).alias("key_base64"),
            _base64(sf.substring("value", 1, DEAD_LETTER_VALUE_BYTES)).alias("value_base64"),
            sf.octet_length("value").alias("value_bytes"),
            sf.unix_millis("timestamp").alias("at_ms"),
        ),
        {"ignoreNullFields": "false"},
    )
