"""Conditions: CEL expressions over a visitor's context and the page, type-checked when they are loaded.

Variables are the fields of the context. Nothing here depends on the time: what time alone could change belongs into a
campaign's schedule and caps. The language: https://github.com/google/cel-spec/blob/master/doc/langdef.md
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from cel_expr_python import cel

from gateway.model.trends import NO_TRENDS, Trends

_TEXT: Final = cel.Type.STRING
_OBJECT: Final = cel.Type.Map(cel.Type.STRING, cel.Type.DYN)

VARIABLES: Final = {
    "user_id": _TEXT,
    "interested_category": _TEXT,
    "interest_shares": cel.Type.Map(cel.Type.STRING, cel.Type.DOUBLE),
    "interest_ranks": cel.Type.List(cel.Type.STRING),
    "cart": cel.Type.List(_OBJECT),
    "recent_products": cel.Type.List(cel.Type.STRING),
    "last_search": _TEXT,
    "purchases": _OBJECT,
    "banners": cel.Type.Map(cel.Type.STRING, _OBJECT),
    "traits": _OBJECT,
    "consent": _OBJECT,
    "page": cel.Type.Map(cel.Type.STRING, cel.Type.STRING),
    "trends": cel.Type.Map(cel.Type.STRING, cel.Type.List(cel.Type.STRING)),
}
CHUNK: Final = 64
"""Conditions in one list expression: enough to share the cost of an evaluation, few enough to stop early."""
PAGE_FIELDS: Final = ("url", "title", "referrer", "locale", "type", "product_id", "category", "currency")

_ENV: Final = cel.NewEnv(variables=VARIABLES)
_PLACE = re.compile(r"<input>:(\d+):(\d+): (.*)")


class InvalidCondition(ValueError):
    """A condition that does not compile; `line` and `column` count from 1 within its text."""

    def __init__(self, message: str, line: int, column: int) -> None:
        super().__init__(message)
        self.line = line
        self.column = column


class Condition:
    """One compiled condition."""

    __slots__ = ("expression", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.expression = _compile(text)
        found = str(self.expression.return_type())
        if found not in ("BOOL", "DYN"):
            raise InvalidCondition(f"a condition must give true or false, this one gives {found.lower()}", 1, 1)

    def evaluate(self, activation: Any) -> bool | str:
        """True or false, or the text of what failed while running (which counts as false)."""
        result = self.expression.eval(activation)
        value = result.value()
        if isinstance(value, bool):
            return value
        return str(result) if str(result.type()) == "ERROR" else f"gave {result} instead of true or false"


class ConditionSet:
    """Conditions evaluated many at one go: as list expressions of some dozen, singly when one of them fails while running."""

    __slots__ = ("_chunks",)

    def __init__(self, conditions: Sequence[Condition]) -> None:
        chunks = [tuple(conditions[start : start + CHUNK]) for start in range(0, len(conditions), CHUNK)]
        self._chunks = [(_compile_all(chunk), chunk) for chunk in chunks]

    def evaluate(self, activation: Any) -> Iterator[bool | str]:
        """One answer for each condition, in order (see `Condition.evaluate`); what is not asked for is not evaluated."""
        for whole, chunk in self._chunks:
            answers: list[bool | str] | None = None
            result = whole.eval(activation) if whole is not None else None
            if result is not None and str(result.type()) != "ERROR":
                answers = [item.value() for item in result.value()]
            if answers is None or not all(isinstance(answer, bool) for answer in answers):
                answers = [condition.evaluate(activation) for condition in chunk]
            yield from answers


def _compile_all(conditions: Sequence[Condition]) -> Any:
    """One list expression, or None where they are too deep or too long together: then each is evaluated singly."""
    try:
        return _compile("[" + ",\n".join(f"dyn({condition.text}\n)" for condition in conditions) + "]")
    except InvalidCondition:
        return None


def activation(context: Mapping[str, Any] | None, page: Mapping[str, Any] | None, trends: Trends = NO_TRENDS) -> Any:
    """The values of `VARIABLES` for a context (public JSON, or None), a page and the trends of now, as conditions take them."""
    return _ENV.Activation(values_of(context, page, trends))


def values_of(context: Mapping[str, Any] | None, page: Mapping[str, Any] | None, trends: Trends = NO_TRENDS) -> dict[str, Any]:
    """The same as plain values."""
    context = context or {}
    interests: Mapping[str, float] = context.get("interests") or {}
    total = sum(interests.values())
    purchases = context.get("purchases") or {}
    page = page or {}
    return {
        "user_id": context.get("user_id") or "",
        "interested_category": context.get("interested_category") or "",
        "interest_shares": {name: score / total for name, score in interests.items()} if total else {},
        "interest_ranks": list(interests),
        "cart": [_cart_line(line) for line in context.get("cart") or ()],
        "recent_products": context.get("recent_products") or [],
        "last_search": context.get("last_search") or "",
        "purchases": {
            "count": purchases.get("count", 0),
            "totals": {currency: float(amount) for currency, amount in (purchases.get("totals") or {}).items()},
        },
        "banners": context.get("banners") or {},
        "traits": context.get("traits") or {},
        "consent": context.get("consent") or {},
        "page": {name: page.get(name) or "" for name in PAGE_FIELDS},
        "trends": trends.values,
    }


def _cart_line(line: Mapping[str, Any]) -> dict[str, Any]:
    price = line.get("price")
    return {
        "product_id": line["product_id"],
        "variant_id": line.get("variant_id") or "",
        "category": line.get("category") or "",
        "quantity": line["quantity"],
        "price": None if price is None else float(price),
        "currency": line.get("currency") or "",
    }


def _compile(text: str) -> Any:
    try:
        return _ENV.compile(text)
    except TypeError as problem:
        raise InvalidCondition("a condition must not contain lone surrogates", 1, 1) from problem
    except RuntimeError as problem:
        found = _PLACE.search(str(problem))
        if found is None:
            raise InvalidCondition(str(problem).splitlines()[0], 1, 1) from problem
        message = found[3].removesuffix(" (in container '')")
        raise InvalidCondition(message, int(found[1]), int(found[2])) from problem
