"""The default Spark masters: on this machine, with the task slots that each command needs."""

from __future__ import annotations

from typing import Final

DEFAULT_MASTER: Final = "local[16]"

TRENDS_MASTER: Final = "local[1]"

BATCH_MASTER: Final = "local[2]"
