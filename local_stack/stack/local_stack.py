"""Starts and stops a stack; a library: `with LocalStack(folder) as stack: …`."""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from local_stack.artifacts.jars import ensure_jars
from local_stack.console import Say, say
from local_stack.data.folder import DataFolder, write_json
from local_stack.data.identity import open_identity, record_store, write_mark
from local_stack.data.keys import load_keys
from local_stack.errors import PartFailed
from local_stack.machine.java import find_java
from local_stack.machine.memory import check_memory
from local_stack.machine.ports import Ports, check_ports
from local_stack.machine.processes import DATA_MARK, RUN_MARK, Child, end_marked, kill_child, spawn, stop_child
from local_stack.parts.part import Part, Wiring
from local_stack.parts.table import PARTS
from local_stack.project import PROJECT_ROOT
from local_stack.stack.info import HttpPart, KafkaPart, ProcessPart, PublicKeys, StackInfo
from local_stack.stack.supervisor_lock import SupervisorLock
from local_stack.stack.watchdog import Watchdog

_POLL_S: Final = 0.1
_LEFTOVERS_S: Final = 10.0
_NOT_INHERITED: Final = ("CLASSPATH", "HADOOP_CONF_DIR", "JAVA_HOME", "PYTHONHOME", "PYTHONPATH", "SPARK_CONF_DIR", "SPARK_HOME")
"""Variables of the caller's environment that would make Spark or Python use other code or settings."""


class LocalStack:
    """The parts of one data folder, as child processes of this process.

    `parts` are the names of those to start (default: all); the parts that these need must be among them. `extra_arguments` are added to
    the command of a part, e.g. `{"context_stream": ["--trigger", "1 second"]}`. All methods block; `start_part` and `dead_parts` may be
    called from a second thread. When this process dies, for whatever reason, everything that it started is ended.
    """

    def __init__(
        self,
        data_dir: Path,
        port_base: int | None = None,
        parts: Sequence[str] | None = None,
        *,
        extra_arguments: Mapping[str, Sequence[str]] | None = None,
        report: Say = say,
    ) -> None:
        self.folder = DataFolder(data_dir)
        self.ports = Ports.starting_at(port_base)
        self._parts = _selected_parts(parts)
        self._extra = dict(extra_arguments or {})
        self._report = report
        self._children: dict[str, Child] = {}
        self._lock = SupervisorLock(self.folder.lock_file)
        self._busy = threading.RLock()
        self._stopping = threading.Event()
        self._hurry = threading.Event()
        self._interrupted = threading.Event()
        self._run_id = secrets.token_hex(16)
        self._watchdog: Watchdog | None = None
        self._wiring: Wiring | None = None

    def __enter__(self) -> LocalStack:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self, warm_up: Callable[[StackInfo], None] | None = None) -> StackInfo:
        """Start all parts; returns when all are ready, `warm_up` has returned, and `stack.json` is written.

        Raises a StackError if it cannot start, KeyboardInterrupt after `interrupt`. After these, as after any other exception, no part
        runs.
        """
        since = time.monotonic()
        self.folder.make()
        self._lock.acquire()
        self._stopping.clear()
        self._hurry.clear()
        try:
            self.folder.stack_file.unlink(missing_ok=True)  # left by a supervisor that was killed
            self._check_machine()
            ensure_jars()
            self._wiring = Wiring(self.folder, self.ports, load_keys(self.folder), open_identity(self.folder), find_java())
            self._watchdog = Watchdog(self._run_id, self.folder.root)
            self._start_in_order()
            info = self.info()
            if warm_up is not None:
                warm_up(info)
            self._check_interrupt()
            write_json(self.folder.stack_file, info.to_json(), mode=0o600)
        except BaseException:
            self.stop()
            raise
        self._report(f"all ready in {time.monotonic() - since:.1f} s")
        return info

    def stop(self) -> None:
        """Stop all parts in reverse order; a part that takes too long is killed. No process is left. Does nothing if nothing runs."""
        self._stopping.set()  # makes a start_part in another thread give up
        with self._busy:
            if not self._lock.held:
                return  # if a stack runs in this folder, it was started by another process
            self.folder.stack_file.unlink(missing_ok=True)
            for part in reversed(self._parts):
                child = self._children.get(part.name)
                if child is None:
                    continue
                since = time.monotonic()
                had_ended = child.dead
                orderly = stop_child(child, part.stop_within_s, self._hurry.is_set)
                how = "had ended" if had_ended else f"stopped in {time.monotonic() - since:.1f} s" if orderly else "killed"
                self._forget(child)
                self._report(f"{part.name:<15} {how}")
            if self._wiring is not None:
                end_marked(RUN_MARK, self._run_id)  # a process that was being started at the moment of an interrupt
                self.folder.delete_temporary()
            if self._watchdog is not None:
                self._watchdog.dismiss()
                self._watchdog = None
            self._wiring = None
            self._lock.release()

    def interrupt(self) -> None:
        """Interrupt the `start` that is running, or the next one. May be called from a signal handler."""
        self._interrupted.set()

    def hurry(self) -> None:
        """Make a running `stop` kill instead of wait. May be called from a signal handler."""
        self._hurry.set()

    def kill(self, part: str) -> None:
        """Kill the process group of a part with SIGKILL; returns when it has ended. `start_part` starts it again."""
        with self._busy:
            child = self._children[part]
            kill_child(child)
            self._forget(child)

    def start_part(self, part: str) -> None:
        """Start a part that is not running; returns when it is ready. Raises PartFailed, ValueError if it is running."""
        with self._busy:
            chosen = self._part(part)
            old = self._children.get(part)
            if old is not None:
                if not old.dead:
                    raise ValueError(f"{part} is running")
                kill_child(old)  # the others of its group
                self._forget(old)
            self._spawn(chosen)
            self._await({part: time.monotonic()})
            if self.folder.stack_file.exists():
                write_json(self.folder.stack_file, self.info().to_json(), mode=0o600)

    def stop_part(self, part: str) -> None:
        """Stop a part; kill it if it takes too long."""
        with self._busy:
            child = self._children[part]
            stop_child(child, self._part(part).stop_within_s, self._hurry.is_set)
            self._forget(child)

    def restart(self, part: str, extra_arguments: Sequence[str] | None = None) -> None:
        """Stop a part and start it again; returns when it is ready. Raises PartFailed.

        `extra_arguments`, unless None, replace the earlier ones from now on.
        """
        with self._busy:
            self.stop_part(part)
            if extra_arguments is not None:
                self._extra[part] = extra_arguments
            self.start_part(part)

    def dead_parts(self) -> list[PartFailed]:
        """An error for each part that has ended although nobody stopped it; does not block."""
        return [self._failure(child, child.how_it_ended()) for child in list(self._children.values()) if child.dead]

    def info(self) -> StackInfo:
        """Where everything is. Raises RuntimeError unless the stack runs."""
        wiring = self.wiring

        def pid(part: str) -> int | None:
            child = self._children.get(part)
            return None if child is None else child.pid

        return StackInfo(
            gateway=HttpPart(wiring.gateway_url, pid("gateway")),
            storefront=HttpPart(wiring.storefront_url, pid("storefront")),
            kafka=KafkaPart(wiring.bootstrap, pid("kafka")),
            redis=HttpPart(wiring.redis_url, pid("valkey")),
            context_stream=ProcessPart(pid("context_stream")),
            trends_stream=ProcessPart(pid("context_stream")),  # they share a Spark session
            context_writer=ProcessPart(pid("context_writer")),
            keys=PublicKeys(wiring.keys.publishable, wiring.keys.secret),
            log_dir=_relative_to_project(self.folder.log),
        )

    @property
    def wiring(self) -> Wiring:
        """Keys, identity, ports and addresses of the running stack. Raises RuntimeError unless it runs."""
        if self._wiring is None:
            raise RuntimeError("the stack is not running")
        return self._wiring

    def environment(self, part: str) -> dict[str, str]:
        """The complete environment of a part; tests use it to run another process of the same kind."""
        inherited = {name: value for name, value in os.environ.items() if name not in _NOT_INHERITED}
        marks = {DATA_MARK: str(self.folder.root), RUN_MARK: self._run_id}
        own = {"PYTHONUNBUFFERED": "1", "TMPDIR": str(self.folder.temporary_of(part))}
        return inherited | marks | own | dict(self._part(part).environment(self.wiring))

    def log_path(self, part: str) -> Path:
        """The log file of a part, with its output and errors."""
        return self.folder.log / f"{part}.log"

    def _check_machine(self) -> None:
        leftovers = end_marked(DATA_MARK, str(self.folder.root), _LEFTOVERS_S)
        if leftovers:
            self._report(f"ended {len(leftovers)} processes of an earlier run")
        self.folder.delete_temporary()
        check_memory({part.name: part.memory_mib for part in self._parts})
        check_ports({getattr(self.ports, port): part.name for part in self._parts for port in part.ports})

    def _start_in_order(self) -> None:
        """Start each part as soon as the parts that it needs are ready; independent parts start in parallel."""
        waiting = list(self._parts)
        starting: dict[str, float] = {}
        ready: set[str] = set()
        while waiting or starting:
            for part in [part for part in waiting if ready.issuperset(part.needs)]:
                waiting.remove(part)
                starting[part.name] = time.monotonic()
                self._spawn(part)
            for name in self._await(starting, only_one=True):
                part = self._part(name)
                part.once_ready(self.wiring)
                if part.store is not None:
                    self._wiring = replace(self.wiring, identity=record_store(self.folder, self.wiring.identity, part.store))
                ready.add(name)

    def _spawn(self, part: Part) -> None:
        if part.store is not None and part.store not in self.wiring.identity.stores:
            write_mark(self.folder, self.wiring.identity, part.store)
        part.prepare(self.wiring)
        self.folder.temporary_of(part.name).mkdir(parents=True, exist_ok=True)
        command = [*part.command(self.wiring), *self._extra.get(part.name, ())]
        child = spawn(part.name, command, self.environment(part.name), self.log_path(part.name))
        self._children[part.name] = child
        if self._watchdog is not None:
            self._watchdog.add(child)

    def _await(self, starting: dict[str, float], only_one: bool = False) -> list[str]:
        """Wait until all of `starting` (name to start time) are ready, or at least one; removes those from `starting` and returns them."""
        became_ready: list[str] = []
        while starting and not (only_one and became_ready):
            self._check_interrupt()
            for name, since in list(starting.items()):
                child, part = self._children[name], self._part(name)
                took_s = time.monotonic() - since
                if child.dead:
                    raise self._failure(child, f"{child.how_it_ended()} during its start")
                if part.ready(self.wiring, child):
                    del starting[name]
                    became_ready.append(name)
                    self._report(f"{name:<15} ready in {took_s:.1f} s")
                elif took_s > part.ready_within_s:
                    raise self._failure(child, f"was not ready within {part.ready_within_s:.0f} s")
                elif self._stopping.is_set():
                    raise self._failure(child, "the stack is stopping")
            for failure in self.dead_parts():
                raise failure
            if not became_ready:
                time.sleep(_POLL_S)
        return became_ready

    def _check_interrupt(self) -> None:
        if self._interrupted.is_set():
            raise KeyboardInterrupt

    def _failure(self, child: Child, cause: str) -> PartFailed:
        return PartFailed(child.name, cause, f"read {_relative_to_project(child.log)}, then start it again", child.tail())

    def _forget(self, child: Child) -> None:
        self._children.pop(child.name, None)
        if self._watchdog is not None:
            self._watchdog.remove(child)

    def _part(self, name: str) -> Part:
        for part in self._parts:
            if part.name == name:
                return part
        raise ValueError(f"this stack has no part {name!r}")


def _selected_parts(names: Iterable[str] | None) -> tuple[Part, ...]:
    if names is None:
        return PARTS
    wanted = set(names)
    unknown = wanted - {part.name for part in PARTS}
    if unknown:
        raise ValueError(f"unknown parts: {', '.join(sorted(unknown))}")
    chosen = tuple(part for part in PARTS if part.name in wanted)
    for part in chosen:
        lacking = set(part.needs) - wanted
        if lacking:
            raise ValueError(f"{part.name} needs {', '.join(sorted(lacking))}")
    return chosen


def _relative_to_project(path: Path) -> str:
    """The path as `stack.json` has it: relative to the project if it lies within."""
    return str(path.relative_to(PROJECT_ROOT)) if path.is_relative_to(PROJECT_ROOT) else str(path)
