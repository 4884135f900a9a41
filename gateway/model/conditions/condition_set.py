"""The conditions of a placement, asked at one go: only those that can hold for a visitor, in list expressions of some dozen.

A condition such as `interested_category == "tv" && …` is false for whoever is interested in something else, whatever the rest
of it says: in CEL `false && error` is false. So it is filed under that text, and asked only of those who have it.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from gateway.model.conditions.condition import Condition, InvalidCondition, activation_of, compile_expression

CHUNK: Final = 64
"""Conditions in one list expression: enough to share the cost of an evaluation, few enough to stop early."""


class ConditionSet:
    """Conditions by number, in their order."""

    __slots__ = ("_by_text", "_of_all")

    def __init__(self, conditions: Sequence[Condition]) -> None:
        shared = Counter(requirement for condition in conditions for requirement in condition.requires)
        of_all: list[tuple[int, Condition]] = []
        filed: dict[tuple[str, ...], dict[str, list[tuple[int, Condition]]]] = {}
        for numbered in enumerate(conditions):
            if not numbered[1].requires:
                of_all.append(numbered)
                continue
            # Under what fewest others require: then it is asked least often.
            path, text = min(numbered[1].requires, key=lambda requirement: shared[requirement])
            filed.setdefault(path, {}).setdefault(text, []).append(numbered)
        self._of_all = _Chunks(of_all)
        self._by_text = {path: {text: _Chunks(found) for text, found in texts.items()} for path, texts in filed.items()}

    def evaluate(self, values: Mapping[str, Any]) -> Iterator[tuple[int, bool | str]]:
        """Number and answer (see `Condition.evaluate`) of each that is not false, in order; what is not asked for is not evaluated.

        `values`: what `values_of` gives.
        """
        asked = [self._of_all]
        for (name, *fields), texts in self._by_text.items():
            found = values[name]
            for field in fields:
                found = found[field]
            if found in texts:
                asked.append(texts[found])
        activation = activation_of(values)
        return heapq.merge(*(chunks.evaluate(activation) for chunks in asked))


class _Chunks:
    """Conditions with their numbers, some dozen compiled to one list expression."""

    __slots__ = ("_chunks",)

    def __init__(self, conditions: Sequence[tuple[int, Condition]]) -> None:
        chunks = [conditions[start : start + CHUNK] for start in range(0, len(conditions), CHUNK)]
        self._chunks = [(_compiled_together([condition for _, condition in chunk]), chunk) for chunk in chunks]

    def evaluate(self, activation: Any) -> Iterator[tuple[int, bool | str]]:
        for whole, chunk in self._chunks:
            answers = None if whole is None else _answers(whole, activation)
            if answers is None or not all(isinstance(answer, bool) for answer in answers):
                answers = [condition.evaluate(activation) for _, condition in chunk]
            yield from ((number, answer) for (number, _), answer in zip(chunk, answers, strict=True) if answer is not False)


def _compiled_together(conditions: Sequence[Condition]) -> Any:
    """One list expression, or None: for one alone, and where they are too deep or too long together; then each is evaluated singly."""
    if len(conditions) == 1:
        return None
    try:
        return compile_expression("[" + ",\n".join(f"dyn({condition.text}\n)" for condition in conditions) + "]")
    except InvalidCondition:
        return None


def _answers(whole: Any, activation: Any) -> list[Any] | None:
    """What a list expression gives, or None where it fails: each condition has then to be asked singly."""
    try:
        result = whole.eval(activation)
    except RuntimeError:
        # They share the steps that CEL allows for one evaluation; alone each may well do with them.
        return None
    return None if str(result.type()) == "ERROR" else [item.value() for item in result.value()]
