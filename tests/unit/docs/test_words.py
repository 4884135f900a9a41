"""The words that a native reader stumbles over: that the scanner finds each of them, and that none is left in public text."""

from __future__ import annotations

from typing import Final

import pytest

from tests.support.words import INSTEAD, ROOT, all_stumbles, public_strings, stumbles_of

FOREIGN: Final = {
    "It is made anew.": "anew",
    "A function gives a number.": "gives",
    "The log tells why.": "tells",
    "The page is told.": "told",
    "The answer says why.": "says why",
    "A banner beside the other": "beside",
    "It must be a text.": "a text",
    "A list of texts": "texts",
    "a whole number of days": "a whole number",
    "This is no cursor.": "is no",
    "These are none.": "are none",
    "The message is there twice.": "is there twice",
    "A decision for nobody in particular": "nobody in particular",
    "It shows what became of it.": "what became of",
    "Whoever came first": "Whoever",
    "The trends of then": "of then",
    "A cache keeps it for so long.": "so long",
    "It holds also if the store is away.": "also if",
    "Time belongs into the schedule.": "belongs into",
    "Begin of the hour": "Begin of",
    "Of several, the first": "Of several",
    "All at one go": "at one go",
    "Write it, or else wait.": "or else",
    "Related products go by it.": "go by",
    "campaigns.yaml: good": ": good",
    "The token does not hold yet.": "does not hold yet",
}
"""Sentences with a word that is to be replaced, and that word."""
PLAIN: Final = (
    "Contexts are kept, texture and context alike.",
    "Kafka is the source of truth.",
    "The client gives up.",
    "There is no banner, and it is no longer shown.",
    "There are\n    no longer any.",
    "- id: good-customer",
)


@pytest.mark.parametrize(("sentence", "word"), FOREIGN.items())
def test_a_foreign_word_is_found(sentence: str, word: str) -> None:
    """Whatever stands around it, and whether or not the line breaks within it."""
    assert [found.word for found in stumbles_of(sentence, "page")] == [word]
    assert [found.place for found in stumbles_of(f"\n\n  {sentence}".replace(word, word.replace(" ", "\n  ")), "page")] == ["page:3"]


def test_every_pattern_has_a_sentence_that_it_finds() -> None:
    """A pattern that finds nothing would hold nothing."""
    found = {stumble.instead for sentence in FOREIGN for stumble in stumbles_of(sentence, "page")}
    assert found == set(INSTEAD.values())


@pytest.mark.parametrize("sentence", PLAIN)
def test_plain_english_is_left_alone(sentence: str) -> None:
    """Words that only look like those to be replaced."""
    assert list(stumbles_of(sentence, "page")) == []


@pytest.mark.parametrize("sentence", FOREIGN)
def test_a_foreign_word_in_the_schema_is_found(sentence: str) -> None:
    """In the description of a field, as the schema has them."""
    schema = (ROOT / "schema.graphql").read_text(encoding="utf-8")
    first, rest = schema.split('"""', 1)
    before = len(list(stumbles_of(schema, "schema.graphql")))
    assert len(list(stumbles_of(f'{first}"""\n{sentence}\n{rest}', "schema.graphql"))) == before + 1


def test_strings_of_the_code_are_read_and_docstrings_are_not() -> None:
    """Errors and help are public; what explains the code is not. Parts of an f-string count."""
    source = '"""A docstring."""\ndef f(n):\n    """Another one."""\n    raise ValueError(f"{n} is no number" + "a b")\n'
    assert list(public_strings(source)) == [(4, "a b"), (4, " is no number")]


def test_no_foreign_word_is_left() -> None:
    """In the schema, the documentation, and every string that a person may read."""
    assert [f"{found.place}: {found.word!r}, write: {found.instead}" for found in all_stumbles()] == []
