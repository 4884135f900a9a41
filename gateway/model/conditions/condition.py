"""Conditions: CEL expressions over a visitor's context and the page, type-checked when they are loaded.

Variables are the fields of the context. Nothing here depends on the time: what time alone could change belongs into a
campaign's schedule and caps. The language: https://github.com/google/cel-spec/blob/master/doc/langdef.md
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
    "banners": MapOf(ObjectOf("what is counted of a banner", _COUNT_FIELDS)),
    "traits": MapOf(None),
    "consent": ObjectOf("consent", {"personalization": _OPTIONAL_TRUTH, "measurement": _OPTIONAL_TRUTH}),
    "page": ObjectOf("page", dict.fromkeys(PAGE_FIELDS, STRING)),
    "trends": ObjectOf("trends", {"products": ListOf(STRING), "categories": ListOf(STRING)}),
}
"""The fields of `VARIABLES`, as `values_of` gives them: nearer than CEL's types, which know no objects."""

Requirement = tuple[tuple[str, ...], str]
"""A variable, or a field of one, and the text that it must be."""

_ENV: Final = cel.NewEnv(variables=VARIABLES)
_PLACE = re.compile(r"<input>:(\d+):(\d+): (.*)")


class InvalidCondition(ValueError):
    """A condition that does not compile; `line` and `column` count from 1 within its text."""

    def __init__(self, message: str, line: int, column: int) -> None:
        super().__init__(message)
        self.line = line
        self.column = column


class Condition:
    """One compiled condition. `requires`: texts that some fields must have for it to be true; where one has not, it is false."""

    __slots__ = ("expression", "requires", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.expression = compile_expression(text)
        found = str(self.expression.return_type())
        if found not in ("BOOL", "DYN"):
            raise InvalidCondition(f"a condition must give true or false, this one gives {found.lower()}", 1, 1)
        try:
            tree = Tree(self.expression.serialize())
            _check_shapes(text, tree)
            self.requires = tuple(_requirements(tree.root))
        except RecursionError as problem:
            raise InvalidCondition("nested too deeply", 1, 1) from problem

    def evaluate(self, activation: Any) -> bool | str:
        """True or false, or the text of what failed while running (which counts as false)."""
        try:
            result = self.expression.eval(activation)
        except RuntimeError as problem:
            # CEL stops what takes too many steps: loops within loops over long lists.
            return str(problem)
        value = result.value()
        if isinstance(value, bool):
            return value
        return str(result) if str(result.type()) == "ERROR" else f"gave {result} instead of true or false"


def activation(context: Mapping[str, Any] | None, page: Mapping[str, Any] | None, trends: Trends = NO_TRENDS) -> Any:
    """The values of `VARIABLES` for a context (public JSON, or None), a page and the trends of now, as conditions take them."""
    return activation_of(values_of(context, page, trends))


def activation_of(values: Mapping[str, Any]) -> Any:
    """What `values_of` gives, as conditions take it."""
    return _ENV.Activation(values)


def values_of(context: Mapping[str, Any] | None, page: Mapping[str, Any] | None, trends: Trends = NO_TRENDS) -> dict[str, Any]:
    """The same as plain values."""
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
    """What stands as `field == "text"` among the parts that `&&` joins at the top."""
    for part in conjuncts(root):
        if any(isinstance(node, Comprehension) for node in nodes_of(part)):
            # Evaluated before what follows, it may take too many steps: a failure that no `false` takes away.
            return
        if isinstance(part, Call) and part.function == "_==_":
            one, other = part.arguments
            for field, literal in ((one, other), (other, one)):
                path = path_of(field)
                if isinstance(literal, Literal) and isinstance(literal.value, str) and path is not None and _is_text(path):
                    yield path, literal.value


def _is_text(path: tuple[str, ...]) -> bool:
    """Whether every visitor has a text there, be it empty."""
    shape = VARIABLE_TYPES.get(path[0])
    for field in path[1:]:
        shape = shape.fields.get(field) if isinstance(shape, ObjectOf) else None
    return shape == STRING


def _check_shapes(text: str, tree: Tree) -> None:
    try:
        given = type_of(tree.root, VARIABLE_TYPES)
        if given is not None and not is_compatible(given, BOOLEAN):
            raise TypeMismatch(f"a condition must give true or false, this one gives {describe(given)}", tree.root)
    except TypeMismatch as problem:
        offset = tree.offset_of(problem.node)
        if problem.field is not None:
            offset = max(offset, text.find(problem.field, offset))
        before = text[:offset]
        raise InvalidCondition(str(problem), before.count("\n") + 1, offset - before.rfind("\n")) from problem


def compile_expression(text: str) -> Any:
    """The expression of a text, or raise `InvalidCondition`."""
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
