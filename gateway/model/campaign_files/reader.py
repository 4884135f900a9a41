"""Walking YAML nodes: typed access to scalars, mappings and lists, every mistake noted with its line and column."""

from __future__ import annotations

import contextlib
import json
import math
import re
from typing import Any, Final

import yaml

from gateway.model.campaign_files.marks import place_in
from gateway.model.rulesets.ruleset import RulesetProblem

MAX_JSON_VALUES: Final = 10_000
"""Values in the `data` of one banner, or in the context of one example."""
MAX_VALUES: Final = 100_000
"""Values in a file. A thousand campaigns have some 15,000."""
_SURROGATE = re.compile(r"[\ud800-\udfff]")
ID_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}"
_ID = re.compile(ID_PATTERN)
_NULL = "tag:yaml.org,2002:null"


class YamlReader:
    """Collects problems; what it gives back counts only when there are none."""

    def __init__(self, text: str) -> None:
        self.problems: list[RulesetProblem] = []
        self._text = text
        self._sizes: dict[int, float] = {}
        self.campaign_id: str | None = None

    def problem(self, message: str, node: yaml.Node | None, offset: int | None = None) -> None:
        """Note a mistake of a node, or of the character at `offset` in the value of a scalar."""
        at = (1, 1) if node is None else (node.start_mark.line + 1, node.start_mark.column + 1)
        if offset is not None and isinstance(node, yaml.ScalarNode):
            at = place_in(self._text, node, offset)
        self.problems.append(RulesetProblem(message, self.campaign_id, *at))

    def is_too_large(self, root: yaml.Node) -> bool:
        """Whether a file multiplies what it holds by anchors; then it is not to be read any further, and a problem says where."""
        if self._size(root) <= MAX_VALUES:
            return False
        node, seen = root, {id(root)}
        while True:
            larger = next((one for one in _children(node) if self._size(one) > MAX_VALUES and id(one) not in seen), None)
            if larger is None:
                break
            node = larger
            seen.add(id(node))
        self.problem(f"this holds more than {MAX_VALUES} values; what an anchor names counts as often as it is used", node)
        return True

    def _size(self, node: yaml.Node) -> float:
        """How many values a node holds, itself included; infinite where it holds itself."""
        found = self._sizes.get(id(node))
        if found is None:
            self._sizes[id(node)] = math.inf
            found = self._sizes[id(node)] = 1 + sum(map(self._size, _children(node)))
        return found

    def identifier(self, node: yaml.Node, text: str) -> None:
        if not _ID.fullmatch(text):
            self.problem(f"'{text}' is no id: letters, digits, '.', '_' and '-', at most 128", node)

    def entries(self, node: yaml.Node | None, name: str) -> list[tuple[yaml.ScalarNode, yaml.Node]]:
        if node is None:
            return []
        if not isinstance(node, yaml.MappingNode):
            self.problem(f"{name} must be a mapping", node)
            return []
        found = []
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                found.append((key, value))
            else:
                self.problem(f"{name}: a key must be a text", key)
        return found

    def fields(self, node: yaml.Node | None, known: tuple[str, ...], required: tuple[str, ...], name: str) -> dict[str, yaml.Node]:
        found: dict[str, yaml.Node] = {}
        for key, value in self.entries(node, name):
            if key.value not in known:
                self.problem(f"{name} has no field '{key.value}'; known are {', '.join(known)}", key)
            elif key.value in found:
                self.problem(f"{name} has the field '{key.value}' twice", key)
            else:
                found[key.value] = value
        for key_name in required:
            if key_name not in found and (node is None or isinstance(node, yaml.MappingNode)):
                self.problem(f"{name} needs the field '{key_name}'", node)
        return found

    def items(self, node: yaml.Node | None, name: str) -> list[yaml.Node]:
        if node is None:
            return []
        if not isinstance(node, yaml.SequenceNode):
            self.problem(f"{name} must be a list", node)
            return []
        return list(node.value)

    def scalar(self, node: yaml.Node | None, kind: type, name: str) -> Any:
        if node is None:
            return None
        if isinstance(node, yaml.ScalarNode):
            if kind is str and node.tag in ("tag:yaml.org,2002:str", "tag:yaml.org,2002:timestamp") and node.value:
                if not _SURROGATE.search(node.value):
                    return node.value
                self.problem(f"{name} must not contain lone surrogates", node)
                return None
            if kind is int and node.tag == "tag:yaml.org,2002:int":
                with contextlib.suppress(ValueError):
                    return int(yaml.constructor.SafeConstructor().construct_document(node))
        expected = "a text" if kind is str else "a whole number"
        self.problem(f"{name} must be {expected}", node)
        return None

    def json(self, node: yaml.Node | None, name: str) -> Any:
        """A value as a reader of JSON sees it (every key is a text), None when absent or wrong."""
        if node is None:
            return None
        if self._size(node) > MAX_JSON_VALUES:
            self.problem(f"{name} must hold at most {MAX_JSON_VALUES} values", node)
            return None
        try:
            plain = json.dumps(yaml.constructor.SafeConstructor().construct_document(node), allow_nan=False, ensure_ascii=False)
            plain.encode()
        except yaml.MarkedYAMLError as problem:
            self.problem(f"{name} must be JSON: {problem.problem}", node)
            return None
        except (TypeError, ValueError) as problem:
            self.problem(f"{name} must be JSON: {problem}", node)
            return None
        return json.loads(plain)

    def flag(self, node: yaml.Node | None, name: str) -> bool | None:
        """True or false, or None when absent."""
        if node is None:
            return None
        if isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:bool":
            return bool(yaml.constructor.SafeConstructor().construct_document(node))
        self.problem(f"{name} must be true or false", node)
        return None

    def share(self, node: yaml.Node | None, name: str) -> int:
        """A share from 0 to 1 with at most four decimals, in units of 1/10,000; 0 when absent."""
        if node is None:
            return 0
        if isinstance(node, yaml.ScalarNode) and re.fullmatch(r"0|1|0?\.\d{1,4}|1\.0{1,4}|0\.0", node.value):
            return round(float(node.value) * 10_000)
        self.problem(f"{name} must be a share from 0 to 1 with at most four decimals, such as 0.05", node)
        return 0

    def whole(self, node: yaml.Node | None, name: str, low: int, high: int) -> int | None:
        """A whole number within limits, or None when absent or wrong."""
        found: int | None = self.scalar(node, int, name)
        if found is not None and not low <= found <= high:
            self.problem(f"{name} must be from {low} to {high}", node)
            return None
        return found


def is_null(node: yaml.Node | None) -> bool:
    """Whether a value is absent or null."""
    return node is None or node.tag == _NULL


def _children(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [value for _, value in node.value]
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []
