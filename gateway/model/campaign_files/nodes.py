"""From YAML text to nodes: scanned by libyaml where PyYAML has it, seven times as fast, and composed in Python.

PyYAML's own composer for libyaml is recursive C code, which a deeply nested text makes overflow the stack: it would end the
process. The one in Python raises RecursionError.
"""

from __future__ import annotations

import yaml


def compose(text: str) -> yaml.Node | None:
    """The root node, None for an empty text. Raises `yaml.YAMLError` or RecursionError.

    The same with and without libyaml, but for a tab between a key and its value, which is YAML that PyYAML's own scanner refuses.
    """
    if yaml.__with_libyaml__:
        try:
            return yaml.compose(text, Loader=_FastLoader)
        except (yaml.YAMLError, UnicodeEncodeError):
            # libyaml names other places and words for some mistakes, and a lone surrogate never reaches it.
            pass
    return yaml.compose(text, Loader=yaml.SafeLoader)


if yaml.__with_libyaml__:

    class _FastLoader(yaml.composer.Composer, yaml.CSafeLoader):
        """The events of libyaml, composed by the code that `yaml.SafeLoader` has."""

        def __init__(self, text: str) -> None:
            yaml.CSafeLoader.__init__(self, text)
            yaml.composer.Composer.__init__(self)
