"""Conditions: CEL expressions over a visitor's context, the page and the trends, type-checked when they are loaded.

The variables are the fields of the context. Nothing here depends on the present time: that belongs in a campaign's schedule and caps.
The language: https://github.com/google/cel-spec/blob/master/doc/langdef.md
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from cel_expr_python import cel

from gateway.model.conditions.cel_tree import Call, Comprehension, Literal, Node, Tree, conjuncts, nodes_of, path_of
from gateway.model.conditions.types import (
    BOOLEAN,
    NULL,
    NUMBER,
    STRING,
    ListOf,
    MapOf,
    ObjectOf,
    Scalar,
    TypeMismatch,
    ValueType,
    describe,
    is_compatible,
    type_of,
)
from gateway.model.trends.snapshot import NO_TRENDS, Trends

_STRING: Final = cel.Type.STRING
_OBJECT: Final = cel.Type.Map(cel.Type.STRING, cel.Type.DYN)

VARIABLES: Final = {
    "user_id": _STRING,
    "interested_category": _STRING,
    "interest_shares": cel.Type.Map(cel.Type.STRING, cel.Type.DOUBLE),
    "interest_ranks": cel.Type.List(cel.Type.STRING),
    "cart": cel.Type.List(_OBJECT),
    "recent_products": cel.Type.List(cel.Type.STRING),
    "last_search": _STRING,
    "purchases": _OBJECT,
    "banners": cel.Type.Map(cel.Type.STRING, _OBJECT),
    "traits": _OBJECT,
    "consent": _OBJECT,
    "page": cel.Type.Map(cel.Type.STRING, cel.Type.STRING),
    "trends": cel.Type.Map(cel.Type.STRING, cel.Type.List(cel.Type.STRING)),
}
PAGE_FIELDS: Final = ("url", "title", "referrer", "locale", "type", "product_id", "category", "currency")
_OPTIONAL_NUMBER: Final = Scalar(NUMBER.kinds | NULL.kinds)
_OPTIONAL_TRUTH: Final = Scalar(BOOLEAN.kinds | NULL.kinds)
_LINE_FIELDS: Final[Mapping[str, ValueType]] = {
    "product_id": STRING, "variant_id": STRING, "category": STRING, "quantity": NUMBER, "price": _OPTIONAL_NUMBER, "currency": STRING,
}  # fmt: skip
_COUNT_FIELDS: Final[Mapping[str, ValueType]] = {
    "views": NUMBER, "clicks": NUMBER, "dismissals": NUMBER, "views_since_click": NUMBER,
    "last_viewed_at": Scalar(STRING.kinds | NULL.kinds), "recent_views_ms": ListOf(NUMBER),
}  # fmt: skip
VARIABLE_TYPES: Final[Mapping[str, ValueType | None]] = {
    "user_id": STRING,
    "interested_category": STRING,
    "interest_shares": MapOf(NUMBER),
    "interest_ranks": ListOf(STRING),
    "cart": ListOf(ObjectOf("a line of the cart", _LINE_FIELDS)),
    "recent_products": ListOf(STRING),
    "last_search": STRING,
    "purchases": ObjectOf("purchases", {"count": NUMBER, "totals": MapOf(NUMBER)}),
    "banners": MapOf(ObjectOf("an entry of banners", _COUNT_FIELDS)),
    "traits": MapOf(None),
    "consent": ObjectOf("consent", {"personalization": _OPTIONAL_TRUTH, "measurement": _OPTIONAL_TRUTH}),
    "page": ObjectOf("page", dict.fromkeys(PAGE_FIELDS, STRING)),
    "trends": ObjectOf("trends", {"products": ListOf(STRING), "categories": ListOf(STRING)}),
}
"""The types of `VARIABLES` as `values_of` returns them: more precise than CEL's types, which have no objects."""

Requirement = tuple[tuple[str, ...], str]
"""A variable, or a field of one, and the string that it must be equal to."""

_ENV: Final = cel.NewEnv(variables=VARIABLES)
_CEL_ERROR = re.compile(r"<input>:(\d+):(\d+): (.*)")


class InvalidCondition(ValueError):
    """A condition that does not compile. `line` and `column` count from 1 within its text."""

    def __init__(self, message: str, line: int, column: int) -> None:
        super().__init__(message)
        self.line = line
        self.column = column


class Condition:
    """One compiled condition. `requires`: it is false for every visitor who does not meet all of these requirements."""

    __slots__ = ("expression", "requires", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.expression = compile_expression(text)
        return_type = str(self.expression.return_type())
        if return_type not in ("BOOL", "DYN"):
            raise InvalidCondition(f"a condition must return a boolean, this one returns {return_type.lower()}", 1, 1)
        try:
            tree = Tree(self.expression.serialize())
            _check_types(text, tree)
            self.requires = tuple(_requirements(tree.root))
        except RecursionError as problem:
            raise InvalidCondition("nested too deeply", 1, 1) from problem

    def evaluate(self, activation: Any) -> bool | str:
        """True or false; or, if the evaluation failed, the error as a string. A failure counts as false."""
        try:
            result = self.expression.eval(activation)
        except RuntimeError as problem:
            # CEL stops an evaluation that takes too many steps: loops within loops over long lists.
            return str(problem)
        value = result.value()
        if isinstance(value, bool):
            return value
        return str(result) if str(result.type()) == "ERROR" else f"returned {result}, not a boolean"


def activation(context: Mapping[str, Any] | None, page: Mapping[str, Any] | None, trends: Trends = NO_TRENDS) -> Any:
    """The values of `VARIABLES` for a context (public JSON; None: nothing is known), a page and the current trends, ready for CEL."""
    return activation_of(values_of(context, page, trends))


def activation_of(values: Mapping[str, Any]) -> Any:
    """The values that `values_of` returned, ready for CEL."""
    return _ENV.Activation(values)


def values_of(context: Mapping[str, Any] | None, page: Mapping[str, Any] | None, trends: Trends = NO_TRENDS) -> dict[str, Any]:
    """The values of `VARIABLES` for a context (public JSON; None: nothing is known), a page and the current trends."""
    context = context or {}
    interests: Mapping[str, float] = context.get("interests") or {}
    total = sum(interests.values())
    purchases = context.get("purchases") or {}
    consent = context.get("consent") or {}
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
        "consent": {"personalization": consent.get("personalization"), "measurement": consent.get("measurement")},
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


def _requirements(root: Node) -> Iterator[Requirement]:
    """The parts of the form `field == "text"` among those that `&&` joins at the top level."""
    for part in conjuncts(root):
        if any(isinstance(node, Comprehension) for node in nodes_of(part)):
            # It is evaluated before the following parts and may take too many steps: a failure that a later `false` does not undo.
            return
        if isinstance(part, Call) and part.function == "_==_":
            left, right = part.arguments
            for field, literal in ((left, right), (right, left)):
                path = path_of(field)
                if isinstance(literal, Literal) and isinstance(literal.value, str) and path is not None and _is_string(path):
                    yield path, literal.value


def _is_string(path: tuple[str, ...]) -> bool:
    """Whether every visitor has a string there, possibly an empty one."""
    value_type = VARIABLE_TYPES.get(path[0])
    for field in path[1:]:
        value_type = value_type.fields.get(field) if isinstance(value_type, ObjectOf) else None
    return value_type == STRING


def _check_types(text: str, tree: Tree) -> None:
    try:
        return_type = type_of(tree.root, VARIABLE_TYPES)
        if return_type is not None and not is_compatible(return_type, BOOLEAN):
            raise TypeMismatch(f"a condition must return a boolean, this one returns {describe(return_type)}", tree.root)
    except TypeMismatch as problem:
        offset = tree.offset_of(problem.node)
        if problem.field is not None:
            offset = max(offset, text.find(problem.field, offset))
        before = text[:offset]
        raise InvalidCondition(str(problem), before.count("\n") + 1, offset - before.rfind("\n")) from problem


def compile_expression(text: str) -> Any:
    """Compile a CEL expression. Raises `InvalidCondition`."""
    try:
        return _ENV.compile(text)
    except TypeError as problem:
        raise InvalidCondition("a condition must not contain lone surrogates", 1, 1) from problem
    except RuntimeError as problem:
        error = _CEL_ERROR.search(str(problem))
        if error is None:
            raise InvalidCondition(str(problem).splitlines()[0], 1, 1) from problem
        message = error[3].removesuffix(" (in container '')")
        raise InvalidCondition(message, int(error[1]), int(error[2])) from problem
