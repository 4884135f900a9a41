"""Reading YAML nodes: typed access to scalars, mappings and lists; every mistake is noted with its line and column."""

from __future__ import annotations

import contextlib
import json
import math
import re
from typing import Any, Final

import yaml

from gateway.model.campaign_files.file_fields import ID_PATTERN, FileFields
from gateway.model.campaign_files.marks import Mark, mark_in, mark_of
from gateway.model.campaign_files.nodes import construct
from gateway.model.decisions.assignment import SHARE_UNITS
from gateway.model.events.fields import MAX_ID_CHARACTERS
from gateway.model.rulesets.ruleset import RulesetProblem

MAX_JSON_VALUES: Final = 10_000
"""The limit for the `data` of one banner, or the context of one example."""
MAX_VALUES: Final = 100_000
"""The limit for a file. A thousand campaigns have about 15,000 values."""
_ID: Final = re.compile(ID_PATTERN)
_SURROGATE: Final = re.compile(r"[\ud800-\udfff]")
_SHARE: Final = re.compile(r"0|1|0?\.\d{1,4}|1\.0{1,4}|0\.0")
_TAG: Final = "tag:yaml.org,2002:"


class YamlReader:
    """Reads nodes and collects problems. What it returns is valid only if there are no problems."""

    def __init__(self, text: str, text_format: int) -> None:
        self.text_format = text_format
        self.problems: list[RulesetProblem] = []
        self._text = text
        self._sizes: dict[int, float] = {}
        self.campaign_id: str | None = None
        """The campaign that is being read; problems name it."""

    def problem(self, message: str, node: yaml.Node | None, offset: int | None = None) -> None:
        """Note a mistake in a node, or at the character at `offset` in the value of a scalar."""
        mark = Mark(1, 1) if node is None else mark_of(node)
        if offset is not None and isinstance(node, yaml.ScalarNode):
            mark = mark_in(self._text, node, offset)
        self.problems.append(RulesetProblem(message, self.campaign_id, *mark))

    def is_too_large(self, root: yaml.Node) -> bool:
        """Whether a file has too many values because it uses anchors many times. Then it must not be read; a problem shows where."""
        if self._size(root) <= MAX_VALUES:
            return False
        node, visited = root, {id(root)}
        while True:
            larger = next((child for child in _children(node) if self._size(child) > MAX_VALUES and id(child) not in visited), None)
            if larger is None:
                break
            node = larger
            visited.add(id(node))
        self.problem(f"this holds more than {MAX_VALUES} values; an anchor counts each time it is used", node)
        return True

    def _size(self, node: yaml.Node) -> float:
        """The number of values in a node, including itself; infinite if it contains itself."""
        size = self._sizes.get(id(node))
        if size is None:
            self._sizes[id(node)] = math.inf
            size = self._sizes[id(node)] = 1 + sum(map(self._size, _children(node)))
        return size

    def identifier(self, node: yaml.Node, text: str) -> None:
        """Check the id of a placement, campaign or variant."""
        if not _ID.fullmatch(text):
            rule = f"letters, digits, '.', '_' and '-', at most {MAX_ID_CHARACTERS} characters"
            self.problem(f"'{text}' is not a valid id: {rule}", node)

    def entries(self, node: yaml.Node | None, name: str) -> list[tuple[yaml.ScalarNode, yaml.Node]]:
        """The keys and values of a mapping; empty when absent or wrong."""
        if node is None:
            return []
        if not isinstance(node, yaml.MappingNode):
            self.problem(f"{name} must be a mapping", node)
            return []
        entries = []
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                entries.append((key, value))
            else:
                self.problem(f"{name}: a key must be a string", key)
        return entries

    def fields(self, node: yaml.Node | None, known: FileFields, name: str) -> dict[str, yaml.Node]:
        """The fields of an object, by the table of those it may have. Notes unknown, duplicate and missing ones."""
        fields: dict[str, yaml.Node] = {}
        for key, value in self.entries(node, name):
            if key.value not in known:
                self.problem(f"{name} has no field '{key.value}'; known fields: {', '.join(known)}", key)
            elif key.value in fields:
                self.problem(f"{name} has a duplicate field '{key.value}'", key)
            else:
                fields[key.value] = value
        for key_name, field in known.items():
            if field.required and key_name not in fields and (node is None or isinstance(node, yaml.MappingNode)):
                self.problem(f"{name} needs the field '{key_name}'", node)
        return fields

    def items(self, node: yaml.Node | None, name: str) -> list[yaml.Node]:
        """The items of a list; empty when absent or wrong."""
        if node is None:
            return []
        if not isinstance(node, yaml.SequenceNode):
            self.problem(f"{name} must be a list", node)
            return []
        return list(node.value)

    def scalar(self, node: yaml.Node | None, kind: type, name: str) -> Any:
        """A string or an integer, by `kind`; None when absent or wrong."""
        if node is None:
            return None
        if isinstance(node, yaml.ScalarNode):
            if kind is str and node.tag in (_TAG + "str", _TAG + "timestamp") and node.value:
                if not _SURROGATE.search(node.value):
                    return node.value
                self.problem(f"{name} must not contain lone surrogates", node)
                return None
            if kind is int and node.tag == _TAG + "int":
                with contextlib.suppress(ValueError):
                    return int(construct(node, self.text_format))
        expected = "a string" if kind is str else "an integer"
        self.problem(f"{name} must be {expected}", node)
        return None

    def json(self, node: yaml.Node | None, name: str) -> Any:
        """A value as JSON (every key is a string); None when absent or wrong."""
        if node is None:
            return None
        if self._size(node) > MAX_JSON_VALUES:
            self.problem(f"{name} must hold at most {MAX_JSON_VALUES} values", node)
            return None
        try:
            text = json.dumps(construct(node, self.text_format), allow_nan=False, ensure_ascii=False)
            text.encode()
        except yaml.MarkedYAMLError as problem:
            self.problem(f"{name} must be JSON: {problem.problem}", node)
            return None
        except (TypeError, ValueError) as problem:
            self.problem(f"{name} must be JSON: {problem}", node)
            return None
        return json.loads(text)

    def boolean(self, node: yaml.Node | None, name: str) -> bool | None:
        """A boolean; None when absent or wrong."""
        if node is None:
            return None
        if isinstance(node, yaml.ScalarNode) and node.tag == _TAG + "bool":
            return bool(construct(node, self.text_format))
        self.problem(f"{name} must be true or false", node)
        return None

    def share(self, node: yaml.Node | None, name: str) -> int:
        """A share from 0 to 1 with at most four decimals, in units of 1/10,000; 0 when absent."""
        if node is None:
            return 0
        if isinstance(node, yaml.ScalarNode) and _SHARE.fullmatch(node.value):
            return round(float(node.value) * SHARE_UNITS)
        self.problem(f"{name} must be a share from 0 to 1 with at most four decimals, such as 0.05", node)
        return 0

    def integer(self, node: yaml.Node | None, name: str, low: int, high: int) -> int | None:
        """An integer from `low` to `high`; None when absent or wrong."""
        number: int | None = self.scalar(node, int, name)
        if number is not None and not low <= number <= high:
            self.problem(f"{name} must be from {low} to {high}", node)
            return None
        return number


def is_null(node: yaml.Node | None) -> bool:
    """Whether a value is absent or null."""
    return node is None or node.tag == _TAG + "null"


def _children(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [value for _, value in node.value]
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []
