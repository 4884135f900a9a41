"""`python -m local_stack`: the whole stack from the command line, in the foreground or detached."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from enum import Enum, auto
from pathlib import Path
from types import FrameType
from typing import Final

from local_stack import check
from local_stack.console import say
from local_stack.data.folder import DataFolder
from local_stack.demo import screen, warmup
from local_stack.errors import StackError
from local_stack.project import PROJECT_ROOT
from local_stack.stack.detached import start_detached, stop_running
from local_stack.stack.info import StackInfo
from local_stack.stack.local_stack import LocalStack
from local_stack.stack.supervisor import Supervisor
from local_stack.stack.supervisor_lock import SupervisorLock

_DESCRIPTION: Final = """\
Start the real Kafka, Valkey and Spark, the gateway and the storefront on this machine; Ctrl-C stops them.
"""
_EXAMPLES: Final = """\
examples:
  scripts/demo                     start, show which address to open, then each event; Ctrl-C stops everything
  scripts/demo --check             start, run the main job, verify it, stop; the exit code is 0 or 1
  scripts/demo --detach            return when everything is ready; .local/stack.json lists all addresses
  scripts/demo --stop              stop a detached stack
  scripts/demo --port-base 20000   gateway 20000, storefront 20001, Kafka 20002 (controller 20003), Valkey 20004
"""
_INTERRUPTED: Final = 130


class _Phase(Enum):
    STARTING = auto()
    RUNNING = auto()
    STOPPING = auto()


class _Signals:
    """Handles Ctrl-C, SIGTERM and SIGHUP: interrupts the start, ends the run, or hurries the stop."""

    def __init__(self, stack: LocalStack) -> None:
        self.phase = _Phase.STARTING
        self.asked_to_end = threading.Event()
        self._stack = stack
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._handle)

    def on_end(self, action: Callable[[], None]) -> None:
        """Call `action` in another thread as soon as a signal ends the run."""

        def wait() -> None:
            self.asked_to_end.wait()
            action()

        threading.Thread(target=wait, daemon=True).start()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.phase is _Phase.STARTING:
            self.phase = _Phase.STOPPING
            self._stack.interrupt()  # Python drops the exception if it happens to run a `__del__`
            raise KeyboardInterrupt
        if self.phase is _Phase.RUNNING:
            self.phase = _Phase.STOPPING
            self.asked_to_end.set()
        else:
            self._stack.hurry()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns 0 after success, 1 after an error (shown on standard error), 130 after an interrupt."""
    options = _parser().parse_args(arguments)
    folder = DataFolder(options.data_dir)
    try:
        if options.stop:
            return stop_running(folder)
        if options.reset:
            _reset(folder)
        if options.detach:
            return start_detached(folder, _background_arguments(options))
        return _run(options)
    except StackError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return _INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/demo",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("up", nargs="?", choices=["up"], help="start the stack (the default)")
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--check", action="store_true", help="run the main job, verify it and exit 0 or 1")
    mode.add_argument("--detach", action="store_true", help="return when everything is ready, and keep running in the background")
    mode.add_argument("--stop", action="store_true", help="stop the stack that runs in the data folder")
    parser.add_argument("--restart", action="store_true", help="restart a part that dies (default: stop everything)")
    parser.add_argument("--reset", action="store_true", help="first delete the data of earlier runs")
    parser.add_argument("--port-base", type=_port_base, metavar="N", help="use the ports N to N+4")
    parser.add_argument("--data-dir", type=Path, default=PROJECT_ROOT / ".local", help="folder for data and logs (default: .local)")
    parser.add_argument("--parts", type=lambda text: text.split(","), help="only these parts, e.g. kafka,valkey")
    parser.add_argument("--background", action="store_true", help=argparse.SUPPRESS)  # the process behind --detach
    return parser


def _port_base(text: str) -> int:
    base = int(text)
    if not 1024 <= base <= 65531:
        raise argparse.ArgumentTypeError(f"{base} is outside 1024-65531")
    return base


def _run(options: argparse.Namespace) -> int:
    stack = LocalStack(options.data_dir, options.port_base, options.parts)
    signals = _Signals(stack)
    interrupted = False
    supervisor = Supervisor(stack, options.restart, say)
    result = 0
    try:
        info = stack.start(warmup.run)
        signals.phase = _Phase.RUNNING
        supervisor.begin()
        result = _while_running(options, info, supervisor, signals)
        interrupted = signals.asked_to_end.is_set()
    finally:
        signals.phase = _Phase.STOPPING
        supervisor.ended.set()
        stack.stop()
    if supervisor.failure is not None:
        raise supervisor.failure
    return _INTERRUPTED if interrupted and options.check else result


def _while_running(options: argparse.Namespace, info: StackInfo, supervisor: Supervisor, signals: _Signals) -> int:
    """Run the check or show the screen, or do neither, while the stack runs; returns the exit code."""
    if options.check:
        return check.run(info)
    ended = supervisor.ended
    signals.on_end(ended.set)
    if options.background:
        _show(info)
    else:
        screen.run(info, ended)
    while not ended.wait(0.5):  # short waits, because signals are handled between them
        pass
    return 0


def _show(info: StackInfo) -> None:
    for name, part in info.to_json().items():
        if isinstance(part, dict) and "pid" in part:
            say(f"  {name:<15} {part.get('url') or part.get('bootstrap') or '':<32} process {part['pid']}")
    say(f"  logs            {info.log_dir}")


def _reset(folder: DataFolder) -> None:
    if folder.root.exists():
        lock = SupervisorLock(folder.lock_file)
        lock.acquire()
        try:
            deleted = folder.reset()
        finally:
            lock.release()
        say(f"deleted {', '.join(deleted)} in {folder.root}" if deleted else "there was no data to delete")


def _background_arguments(options: argparse.Namespace) -> list[str]:
    """The arguments for the process in the background of `--detach`."""
    arguments = ["--data-dir", str(options.data_dir.absolute())]
    if options.port_base is not None:
        arguments += ["--port-base", str(options.port_base)]
    if options.parts is not None:
        arguments += ["--parts", ",".join(options.parts)]
    if options.restart:
        arguments += ["--restart"]
    return arguments
