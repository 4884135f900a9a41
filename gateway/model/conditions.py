"""Conditions: CEL expressions over a visitor's context and the page, type-checked when they are loaded.

Variables are the fields of the context. Nothing here depends on the time: what time alone could change belongs into a
campaign's schedule and caps. The language: https://github.com/google/cel-spec/blob/master/doc/langdef.md
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from cel_expr_python import cel

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
}
PAGE_FIELDS: Final = ("url", "title", "referrer", "locale", "type", "product_id", "category", "currency")

_ENV: Final = cel.NewEnv(variables=VARIABLES)
_GROUP_CHARACTERS: Final = 50_000
"""CEL takes expressions of up to 100 000 characters."""
_WRAPPING_CHARACTERS: Final = 8
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
    """Conditions evaluated at one go: as list expressions, singly where one of them fails while running."""

    __slots__ = ("_groups",)

    def __init__(self, conditions: Sequence[Condition]) -> None:
        self._groups = [(_compile_list(group), group) for group in _groups(conditions)]

    def evaluate(self, activation: Any) -> list[bool | str]:
        """One answer for each condition, in order (see `Condition.evaluate`)."""
        return [answer for together, group in self._groups for answer in _evaluate_group(together, group, activation)]


def _groups(conditions: Sequence[Condition]) -> list[tuple[Condition, ...]]:
    groups: list[tuple[Condition, ...]] = []
    room = 0
    for condition in conditions:
        size = len(condition.text) + _WRAPPING_CHARACTERS
        if size > room:
            groups.append(())
            room = _GROUP_CHARACTERS
        groups[-1] += (condition,)
        room -= size
    return groups


def _compile_list(group: Sequence[Condition]) -> Any:
    """One expression for a whole group, or None where the list is deeper than CEL allows though each condition is not."""
    try:
        return _compile("[" + ",\n".join(f"dyn({condition.text}\n)" for condition in group) + "]")
    except InvalidCondition:
        return None


def _evaluate_group(together: Any, group: Sequence[Condition], activation: Any) -> list[bool | str]:
    if together is not None:
        result = together.eval(activation)
        if str(result.type()) != "ERROR":
            answers = [item.value() for item in result.value()]
            if all(isinstance(answer, bool) for answer in answers):
                return answers
    return [condition.evaluate(activation) for condition in group]


def activation(context: Mapping[str, Any] | None, page: Mapping[str, Any] | None) -> Any:
    """The values of `VARIABLES` for a context (public JSON, or None) and a page."""
    context = context or {}
    interests: Mapping[str, float] = context.get("interests") or {}
    total = sum(interests.values())
    purchases = context.get("purchases") or {}
    page = page or {}
    return _ENV.Activation(
        {
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
        }
    )


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
