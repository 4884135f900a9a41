"""From YAML text to nodes: scanned by libyaml if PyYAML has it, which is seven times as fast, and composed in Python.

PyYAML's own composer for libyaml is recursive C code. With deeply nested text it overflows the stack and ends the process; the composer
in Python raises RecursionError instead.
"""

from __future__ import annotations

import yaml


def compose(text: str) -> yaml.Node | None:
    """The root node; None: the text is empty. Raises `yaml.YAMLError` or RecursionError.

    The result is the same with and without libyaml, except for a tab between a key and its value: PyYAML's own scanner refuses it,
    although it is valid YAML.
    """
    if yaml.__with_libyaml__:
        try:
            return yaml.compose(text, Loader=_FastLoader)
        except (yaml.YAMLError, UnicodeEncodeError):
            # Scanned again below: libyaml reports some mistakes elsewhere and in other words, and cannot read a lone surrogate.
            pass
    return yaml.compose(text, Loader=yaml.SafeLoader)


if yaml.__with_libyaml__:

    class _FastLoader(yaml.composer.Composer, yaml.CSafeLoader):
        """Composes the events of libyaml with the code of `yaml.SafeLoader`."""

        def __init__(self, text: str) -> None:
            yaml.CSafeLoader.__init__(self, text)
            yaml.composer.Composer.__init__(self)
