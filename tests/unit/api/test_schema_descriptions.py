"""The schema explains itself: in GraphiQL, in generated clients and in `schema.graphql`."""

from __future__ import annotations

from collections.abc import Iterator

from graphql import GraphQLEnumType, GraphQLInputObjectType, GraphQLInterfaceType, GraphQLObjectType

from gateway.api.schema import build_schema


def described() -> Iterator[tuple[str, str | None]]:
    """Everything that can have a description, by its schema coordinate, with what it says."""
    schema = build_schema()._schema
    yield from ((f"@{directive.name}", directive.description) for directive in schema.directives)
    for name, found in schema.type_map.items():
        if name.startswith("__"):
            continue
        yield name, found.description
        if isinstance(found, GraphQLEnumType):
            yield from ((f"{name}.{value}", one.description) for value, one in found.values.items())
        elif isinstance(found, GraphQLInputObjectType):
            yield from ((f"{name}.{field}", one.description) for field, one in found.fields.items())
        elif isinstance(found, GraphQLObjectType | GraphQLInterfaceType):
            for field, output in found.fields.items():
                yield f"{name}.{field}", output.description
                yield from ((f"{name}.{field}({argument}:)", one.description) for argument, one in output.args.items())


DESCRIBED = dict(described())


def test_all_kinds_are_looked_at() -> None:
    """Types, fields, arguments, enum values, input fields, scalars and directives; the root types, too."""
    assert {
        "Query", "Mutation", "Subscription", "Banner", "Banner.headline", "Query.banner(placement:)", "TrackResult.decisions(maxWaitMs:)",
        "EventType.CUSTOM", "PageInput.url", "Cursor", "@include",
    } <= DESCRIBED.keys()  # fmt: skip


def test_everything_has_a_description() -> None:
    """A sentence of two words at least: what one says, the name says already."""
    assert [name for name, text in DESCRIBED.items() if len((text or "").split()) < 2 or not (text or "").endswith((".", ")"))] == []
