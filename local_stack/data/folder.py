"""The data folder (`.local`) and the paths within it."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Final

KAFKA: Final = "kafka"
VALKEY: Final = "valkey"
CHECKPOINTS: Final = "checkpoints"
STORES: Final = (KAFKA, VALKEY, CHECKPOINTS)


class DataFolder:
    """Paths within the data folder. Creating an object creates no file."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self.log = self.root / "log"
        self.kafka = self.root / KAFKA
        self.valkey = self.root / VALKEY
        self.checkpoints = self.root / CHECKPOINTS
        self.temporary = self.root / "parts.tmp"
        self.java_home = self.root / "java"
        self.stack_file = self.root / "stack.json"
        self.data_file = self.root / "data.json"
        self.keys_file = self.root / "keys.json"
        self.documents_file = self.root / "documents.json"
        self.lock_file = self.root / "supervisor.lock"

    @property
    def kafka_storage(self) -> Path:
        """The broker's log directory."""
        return self.kafka / "storage"

    def temporary_of(self, part: str) -> Path:
        """The folder for temporary files of a part. It is deleted when the stack stops, and when it starts after it was killed."""
        return self.temporary / part

    def delete_temporary(self) -> None:
        """Delete the temporary files of all parts, if `is_ours`. No part may be running."""
        if self.is_ours:
            shutil.rmtree(self.temporary, ignore_errors=True)

    @property
    def is_ours(self) -> bool:
        """Whether a stack has used the folder. Nothing is deleted in other folders, so that a wrong `--data-dir` does no damage."""
        return self.data_file.exists() or self.keys_file.exists()

    def make(self) -> None:
        """Create the folder, and the folder for logs in it."""
        for folder in (self.root, self.log):
            folder.mkdir(parents=True, exist_ok=True)

    def reset(self) -> list[str]:
        """Delete the data of all stores, if `is_ours`; keys and logs stay. Returns the names of the stores that were deleted.

        The caller makes sure that no stack runs here.
        """
        deleted = [name for name in STORES if self.is_ours and (self.root / name).exists()]
        for name in deleted:
            shutil.rmtree(self.root / name)
        self.data_file.unlink(missing_ok=True)
        return deleted


def write_json(path: Path, value: object, mode: int = 0o644) -> None:
    """Replace the file atomically: a reader sees the old content or the new one, also after a crash."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w") as file:
        file.write(json.dumps(value, indent=2) + "\n")
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
