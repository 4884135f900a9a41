"""The conditions of a placement, evaluated together: only those that can be true for a visitor, in list expressions of a few dozen.

A condition such as `interested_category == "tv" && …` is false for every visitor with another interest, whatever the rest of it is:
in CEL `false && error` is false. So it is indexed by that string, and evaluated only for visitors who have it.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from gateway.model.conditions.condition import Condition, InvalidCondition, activation_of, compile_expression

CHUNK: Final = 64
"""The number of conditions in one list expression: enough to share the cost of an evaluation, few enough to stop early."""


class ConditionSet:
    """Conditions, numbered in their order."""

    __slots__ = ("_index", "_without_requirement")

    def __init__(self, conditions: Sequence[Condition]) -> None:
        frequency = Counter(requirement for condition in conditions for requirement in condition.requires)
        without_requirement: list[tuple[int, Condition]] = []
        index: dict[tuple[str, ...], dict[str, list[tuple[int, Condition]]]] = {}
        for number, condition in enumerate(conditions):
            if not condition.requires:
                without_requirement.append((number, condition))
                continue
            # By the requirement that the fewest other conditions share: then it is evaluated least often.
            path, text = min(condition.requires, key=lambda requirement: frequency[requirement])
            index.setdefault(path, {}).setdefault(text, []).append((number, condition))
        self._without_requirement = _Chunks(without_requirement)
        self._index = {path: {text: _Chunks(indexed) for text, indexed in by_text.items()} for path, by_text in index.items()}

    def evaluate(self, values: Mapping[str, Any]) -> Iterator[tuple[int, bool | str]]:
        """Number and answer (see `Condition.evaluate`) of each condition that is not false, in order. Evaluated lazily.

        `values`: the result of `values_of`.
        """
        candidates = [self._without_requirement]
        for (name, *fields), by_text in self._index.items():
            value = values[name]
            for field in fields:
                value = value[field]
            if value in by_text:
                candidates.append(by_text[value])
        activation = activation_of(values)
        return heapq.merge(*(chunks.evaluate(activation) for chunks in candidates))


class _Chunks:
    """Numbered conditions, compiled to list expressions of at most `CHUNK`."""

    __slots__ = ("_chunks",)

    def __init__(self, conditions: Sequence[tuple[int, Condition]]) -> None:
        chunks = [conditions[start : start + CHUNK] for start in range(0, len(conditions), CHUNK)]
        self._chunks = [(_compile_list([condition for _, condition in chunk]), chunk) for chunk in chunks]

    def evaluate(self, activation: Any) -> Iterator[tuple[int, bool | str]]:
        for expression, chunk in self._chunks:
            answers = None if expression is None else _answers(expression, activation)
            if answers is None or not all(isinstance(answer, bool) for answer in answers):
                answers = [condition.evaluate(activation) for _, condition in chunk]
            yield from ((number, answer) for (number, _), answer in zip(chunk, answers, strict=True) if answer is not False)


def _compile_list(conditions: Sequence[Condition]) -> Any:
    """One list expression. None, so that each is evaluated alone: there is only one, or they are too deep or too long together."""
    if len(conditions) == 1:
        return None
    try:
        return compile_expression("[" + ",\n".join(f"dyn({condition.text}\n)" for condition in conditions) + "]")
    except InvalidCondition:
        return None


def _answers(expression: Any, activation: Any) -> list[Any] | None:
    """The values of a list expression. None: it failed, and each condition has to be evaluated alone."""
    try:
        result = expression.eval(activation)
    except RuntimeError:
        # They share the number of steps that CEL allows for one evaluation; alone, each may need fewer.
        return None
    return None if str(result.type()) == "ERROR" else [item.value() for item in result.value()]
