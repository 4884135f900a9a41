"""The errors of the local stack, as one tree.

    StackError
    ├── DownloadFailed     a jar or package cannot be downloaded, or does not match the lock file
    ├── JavaMissing        no working Java was found
    ├── PortInUse          another process listens on a port of a part
    ├── NotEnoughMemory    the machine has too little memory for the parts
    ├── AlreadyRunning     a stack already runs in this data folder
    ├── DataMismatch       the data of Kafka, Valkey and Spark does not belong together
    └── PartFailed         a part died or was not ready in time

The text of each names the part, the cause and the remedy, in that order. It is shown to people as it is.
"""

from __future__ import annotations


class StackError(Exception):
    """Base of all errors of the local stack.

    `part` is the name of the part as in `.local/stack.json`, or of the thing that failed. `cause` says what happened, `remedy` what a
    person can do about it.
    """

    def __init__(self, part: str, cause: str, remedy: str) -> None:
        super().__init__(f"{part}: {cause}\n  What to do: {remedy}")
        self.part = part
        self.cause = cause
        self.remedy = remedy


class DownloadFailed(StackError):
    """A jar or an npm package cannot be downloaded, or does not match the lock file. The next start resumes the download."""


class JavaMissing(StackError):
    """Neither `JAVA_HOME` nor the packaged runtime is a working Java."""


class PortInUse(StackError):
    """Another process listens on a port that a part needs. Nothing was started."""


class NotEnoughMemory(StackError):
    """Less memory is available than the parts need. Nothing was started."""


class AlreadyRunning(StackError):
    """A stack already runs in this data folder. Nothing was started, and the running stack was not touched."""


class DataMismatch(StackError):
    """Data of earlier runs does not belong together. It was not changed."""


class PartFailed(StackError):
    """A part died or was not ready in time; `log_tail` holds the last lines of its log."""

    def __init__(self, part: str, cause: str, remedy: str, log_tail: str = "") -> None:
        super().__init__(part, cause, remedy)
        self.log_tail = log_tail

    def __str__(self) -> str:
        text = super().__str__()
        if not self.log_tail:
            return text
        lines = "\n".join(f"  | {line}" for line in self.log_tail.splitlines())
        return f"{text}\n  Last lines of its log:\n{lines}"
