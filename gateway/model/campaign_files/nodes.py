"""From YAML text to nodes and values: scanned by libyaml if PyYAML has it, which is seven times as fast, and composed in Python.

PyYAML's own composer for libyaml is recursive C code. With deeply nested text it overflows the stack and ends the process; the composer
in Python raises RecursionError instead.

What a plain scalar is depends on the format that a ruleset was published in (`gateway.model.rulesets.versions`): in format 1 PyYAML's
reading of YAML 1.1, in which `no`, `on` and `9:30` are not strings; from format 2 on the core schema of YAML 1.2
(https://yaml.org/spec/1.2.2/#103-core-schema), in which they are, as editors and the JSON Schema say.
"""

from __future__ import annotations

import re
from typing import Any, Final

import yaml

from gateway.model.rulesets.versions import CORE_SCHEMA_FORMAT

_TAG: Final = "tag:yaml.org,2002:"
_CORE_SCHEMA: Final = (
    ("null", r"~|null|Null|NULL|", ("~", "n", "N", "")),
    ("bool", r"true|True|TRUE|false|False|FALSE", tuple("tTfF")),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", tuple("-+0123456789")),
    (
        "float",
        r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        tuple("-+.0123456789"),
    ),
)
"""Tag, form and first characters of plain scalars that are not strings; the first that matches counts."""


def compose(text: str, text_format: int) -> yaml.Node | None:
    """The root node; None: the text is empty. Raises `yaml.YAMLError` or RecursionError.

    The result is the same with and without libyaml, except for a tab between a key and its value: PyYAML's own scanner refuses it,
    although it is valid YAML.
    """
    is_core = text_format >= CORE_SCHEMA_FORMAT
    if yaml.__with_libyaml__:
        try:
            return yaml.compose(text, Loader=_FastCoreLoader if is_core else _FastLoader)
        except (yaml.YAMLError, UnicodeEncodeError):
            # Scanned again below: libyaml reports some mistakes elsewhere and in other words, and cannot read a lone surrogate.
            pass
    return yaml.compose(text, Loader=_CoreLoader if is_core else yaml.SafeLoader)


def construct(node: yaml.Node, text_format: int) -> Any:
    """The plain value of a node. Raises `yaml.MarkedYAMLError` or ValueError for one that has none."""
    constructor = _CoreConstructor() if text_format >= CORE_SCHEMA_FORMAT else yaml.constructor.SafeConstructor()
    return constructor.construct_document(node)


class _CoreConstructor(yaml.constructor.SafeConstructor):
    """Integers of the core schema: `0o17` is octal, and `017` is 17."""

    def construct_core_int(self, node: yaml.ScalarNode) -> int:
        text = self.construct_scalar(node)
        prefix = text[:2]
        return int(text[2:], 8) if prefix == "0o" else int(text[2:], 16) if prefix == "0x" else int(text)


_CoreConstructor.add_constructor(_TAG + "int", _CoreConstructor.construct_core_int)  # type: ignore[type-var]  # the stubs know no subclass


class _CoreLoader(yaml.SafeLoader):
    """Composes with the core schema."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012  # the name that PyYAML reads


for _name, _form, _first in _CORE_SCHEMA:
    _CoreLoader.add_implicit_resolver(_TAG + _name, re.compile(rf"^(?:{_form})$"), list(_first))


if yaml.__with_libyaml__:

    class _FastLoader(yaml.composer.Composer, yaml.CSafeLoader):
        """Composes the events of libyaml with the code of `yaml.SafeLoader`."""

        def __init__(self, text: str) -> None:
            yaml.CSafeLoader.__init__(self, text)
            yaml.composer.Composer.__init__(self)

    class _FastCoreLoader(_FastLoader):
        """The same with the core schema."""

        yaml_implicit_resolvers = _CoreLoader.yaml_implicit_resolvers
