"""The file that clients build against is what the code serves."""

from __future__ import annotations

from gateway.api.schema import export_schema
from local_stack.project import PROJECT_ROOT


def test_schema_file_is_the_export() -> None:
    """`schema.graphql` equals the schema that the code exports."""
    assert (PROJECT_ROOT / "schema.graphql").read_text(encoding="utf-8") == export_schema()
