"""The local stack without its parts: data that fits, ports, Java, processes, errors."""

from __future__ import annotations

import fcntl
import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from local_stack import errors
from local_stack.cli import main
from local_stack.data.folder import CHECKPOINTS, KAFKA, VALKEY, DataFolder
from local_stack.data.identity import new_cluster_id, open_identity, record_store, write_mark
from local_stack.data.keys import load_keys
from local_stack.errors import AlreadyRunning, DataMismatch, NotEnoughMemory, PartFailed, PortInUse, StackError
from local_stack.machine.java import Java, find_java, spark_java_home
from local_stack.machine.memory import check_memory
from local_stack.machine.ports import Ports, check_ports
from local_stack.machine.processes import Child, end_marked, group_alive, kill_child, spawn, stop_child
from local_stack.parts.table import PARTS
from local_stack.stack.info import HttpPart, KafkaPart, ProcessPart, PublicKeys, StackInfo
from local_stack.stack.local_stack import LocalStack
from local_stack.stack.supervisor_lock import SupervisorLock, holder_of
from local_stack.stack.watchdog import watch


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    made_folder = DataFolder(tmp_path / "data")
    made_folder.make()
    return made_folder


def _use(folder: DataFolder, *stores: str) -> None:
    """Leave data of one run behind."""
    identity = open_identity(folder)
    for store in stores:
        write_mark(folder, identity, store)
        identity = record_store(folder, identity, store)


def test_keys_are_made_once_and_are_private(folder: DataFolder) -> None:
    """The same keys come back, from a file that only its owner may read."""
    keys = load_keys(folder)
    assert load_keys(folder) == keys
    assert folder.keys_file.stat().st_mode & 0o777 == 0o600
    assert len(keys.token_secret) >= 32
    assert keys.secret.startswith("sk_dev_")
    assert keys.publishable.startswith("pk_dev_")


def test_data_of_one_run_fits(folder: DataFolder) -> None:
    """A second start finds the identity of the first."""
    _use(folder, KAFKA, VALKEY, CHECKPOINTS)
    again = open_identity(folder)
    assert set(again.stores) == {KAFKA, VALKEY, CHECKPOINTS}
    assert abs(again.log_epoch - time.time()) < 60


def test_deleted_checkpoints_fit(folder: DataFolder) -> None:
    """Without checkpoints the stream reads the log again, which changes nothing."""
    _use(folder, KAFKA, VALKEY, CHECKPOINTS)
    (folder.checkpoints / "data_id").unlink()
    folder.checkpoints.rmdir()
    open_identity(folder)


@pytest.mark.parametrize("store", [KAFKA, VALKEY])
def test_missing_store_is_refused(folder: DataFolder, store: str) -> None:
    """When Kafka's or Valkey's data was deleted alone, the rest is refused with the remedy."""
    _use(folder, KAFKA, VALKEY)
    (folder.root / store / "data_id").unlink()
    with pytest.raises(DataMismatch, match="--reset") as caught:
        open_identity(folder)
    assert caught.value.part == store


@pytest.mark.parametrize("store", [KAFKA, VALKEY, CHECKPOINTS])
def test_store_of_another_run_is_refused(folder: DataFolder, store: str) -> None:
    """Data that was copied in from elsewhere is refused."""
    _use(folder, KAFKA, VALKEY, CHECKPOINTS)
    (folder.root / store / "data_id").write_text("another\n")
    with pytest.raises(DataMismatch, match="belongs to another run"):
        open_identity(folder)


def test_data_without_its_record_is_refused_until_reset(folder: DataFolder) -> None:
    """Without data.json nobody knows what the data is; --reset deletes it, and keys stay."""
    keys = load_keys(folder)
    _use(folder, KAFKA, VALKEY)
    folder.data_file.unlink()
    with pytest.raises(DataMismatch, match=r"data\.json is missing"):
        open_identity(folder)
    assert set(folder.reset()) == {KAFKA, VALKEY}
    open_identity(folder)
    assert load_keys(folder) == keys


def test_unreadable_record_is_refused(folder: DataFolder) -> None:
    """A damaged data.json is an error that says so."""
    folder.data_file.write_text("{")
    with pytest.raises(DataMismatch, match="cannot be read"):
        open_identity(folder)


def test_reset_spares_a_folder_that_is_not_ours(tmp_path: Path) -> None:
    """A wrong --data-dir costs nobody a file."""
    (tmp_path / "kafka").mkdir()
    (tmp_path / "kafka" / "thesis.txt").write_text("years of work")
    assert DataFolder(tmp_path).reset() == []
    assert (tmp_path / "kafka" / "thesis.txt").exists()


def test_cluster_ids_are_ones_that_kafka_takes() -> None:
    """22 characters, none that a command line takes for an option."""
    ids = [new_cluster_id() for _ in range(500)]
    assert all(len(text) == 22 and not text.startswith("-") for text in ids)


def test_port_in_use_names_port_part_and_remedy() -> None:
    """The error says which part wanted which port, and what to do."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortInUse, match=f"port {port} is in use by process {os.getpid()}") as caught:
            check_ports({port: "kafka"})
    assert caught.value.part == "kafka"
    assert "--port-base" in caught.value.remedy
    check_ports({port: "kafka"})


def test_port_base_moves_all_ports() -> None:
    """Five ports in a row, and none outside the allowed range."""
    assert Ports.starting_at(20000) == Ports(20000, 20001, 20002, 20003, 20004)
    assert Ports.starting_at(None).gateway == 8000
    with pytest.raises(ValueError, match="65532"):
        Ports.starting_at(65532)


def test_too_little_memory_names_what_is_needed() -> None:
    """The error says how much there is and which part takes how much."""
    with pytest.raises(NotEnoughMemory, match="giant 1000000000"):
        check_memory({"giant": 10**9})
    check_memory({"dwarf": 1})


def test_whole_stack_needs_three_gib() -> None:
    """The parts' sizes add up to what the documents say."""
    assert sum(part.memory_mib for part in PARTS) == 3072


def test_every_part_comes_after_what_it_needs() -> None:
    """The table can be started from top to bottom."""
    seen: set[str] = set()
    for part in PARTS:
        assert seen.issuperset(part.needs), part.name
        seen.add(part.name)


def test_parts_are_checked(tmp_path: Path) -> None:
    """A part that does not exist, or lacks what it needs, is refused before anything starts."""
    with pytest.raises(ValueError, match="unknown parts: zookeeper"):
        LocalStack(tmp_path, parts=["zookeeper"])
    with pytest.raises(ValueError, match="gateway needs valkey"):
        LocalStack(tmp_path, parts=["kafka", "gateway"])


def test_spark_java_drops_only_the_vector_module(tmp_path: Path) -> None:
    """The script passes every argument on, with its spaces, except the one module that the runtime lacks."""
    real = tmp_path / "real java" / "bin" / "java"
    real.parent.mkdir(parents=True)
    real.write_text(f"#!{sys.executable}\nimport json, sys\nprint(json.dumps(sys.argv[1:]))\n")
    real.chmod(0o755)
    home = spark_java_home(Java(tmp_path / "real java", 21, has_vector=False), tmp_path / "home")
    arguments = ["-Da=x y", "--add-modules=jdk.incubator.vector", "--add-modules=java.sql", "", "Main"]
    shown = subprocess.run([home / "bin" / "java", *arguments], capture_output=True, check=True, text=True).stdout
    assert json.loads(shown) == ["-Da=x y", "--add-modules=java.sql", "", "Main"]


def test_packaged_java_stands_in_for_a_broken_java_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A JAVA_HOME that leads nowhere does not stop the stack."""
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    java = find_java()
    assert java.home != tmp_path
    assert java.version >= 17


STUBBORN = "import signal, time; signal.signal(15, signal.SIG_IGN); print('started', flush=True); time.sleep(60)"
PARENT = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {STUBBORN!r}]).wait()"


def _started(tmp_path: Path, code: str, **environment: str) -> Child:
    """Run Python code as a part, and wait until it says that it has started."""
    child = spawn("part", [sys.executable, "-c", code], {**os.environ, **environment}, tmp_path / "part.log")
    deadline = time.monotonic() + 10
    while "started" not in child.output():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return child


def test_stop_kills_what_does_not_listen(tmp_path: Path) -> None:
    """A part that ignores SIGTERM is killed when its time is over."""
    child = _started(tmp_path, STUBBORN)
    assert not stop_child(child, 0.2, lambda: False)
    assert child.how_it_ended() == "was ended by SIGKILL"


def test_stop_in_a_hurry_does_not_wait(tmp_path: Path) -> None:
    """A second Ctrl-C kills at once."""
    child = _started(tmp_path, STUBBORN)
    since = time.monotonic()
    stop_child(child, 60, lambda: True)
    assert time.monotonic() - since < 5


def test_kill_reaches_grandchildren(tmp_path: Path) -> None:
    """Killing a part ends its children too, such as the JVM behind a Spark driver."""
    child = _started(tmp_path, PARENT)
    kill_child(child)
    assert not group_alive(child.pid)


def test_grandchildren_end_with_a_part_that_ended_by_itself(tmp_path: Path) -> None:
    """When the part obeys SIGTERM but leaves a child, the child is ended too."""
    child = _started(tmp_path, PARENT)
    assert stop_child(child, 10, lambda: False)
    assert not group_alive(child.pid)


def test_marked_processes_are_found_and_ended(tmp_path: Path) -> None:
    """What nobody remembers is found by its mark, and only that."""
    marked = _started(tmp_path, STUBBORN, LOCAL_STACK_RUN="this")
    other = _started(tmp_path, STUBBORN, LOCAL_STACK_RUN="that")
    try:
        assert end_marked("LOCAL_STACK_RUN", "this") == [marked.pid]
        assert marked.process.wait(5) == -signal.SIGKILL
        assert not other.dead
    finally:
        kill_child(other)


def test_log_tail_is_of_this_start_only(tmp_path: Path) -> None:
    """A log that goes on over several starts shows the lines since the last one."""
    (tmp_path / "part.log").write_text("old line\n")
    child = _started(tmp_path, "print('started', flush=True)")
    kill_child(child)
    assert child.tail() == "started"


def test_watchdog_ends_groups_when_the_pipe_closes(tmp_path: Path) -> None:
    """Without a word of goodbye, every group still running is ended; those reported as gone are left alone."""
    running = _started(tmp_path, PARENT)
    gone = _started(tmp_path, STUBBORN)
    try:
        watch(io.StringIO(f"+{running.pid}\n+{gone.pid}\n-{gone.pid}\n"), "no such run", DataFolder(tmp_path), orderly_s=0.5)
        assert running.process.wait(5) != 0
        assert not group_alive(running.pid)
        assert not gone.dead
    finally:
        kill_child(running)
        kill_child(gone)


def test_watchdog_deletes_temporary_files(folder: DataFolder) -> None:
    """What a killed stack had in its temporary folder goes with it; in a folder that no stack has used nothing is deleted."""
    left = folder.temporary_of("kafka")
    left.mkdir(parents=True)
    watch(io.StringIO(""), "no such run", folder)
    assert left.exists()
    load_keys(folder)
    watch(io.StringIO(""), "no such run", folder)
    assert not left.exists()


def test_watchdog_leaves_all_alone_after_an_orderly_end(tmp_path: Path) -> None:
    """After `bye` nothing is touched."""
    child = _started(tmp_path, STUBBORN)
    try:
        watch(io.StringIO(f"+{child.pid}\nbye\n"), "no such run", DataFolder(tmp_path))
        assert not child.dead
    finally:
        kill_child(child)


def test_second_stack_in_a_folder_is_refused(folder: DataFolder) -> None:
    """The error names the process that runs the first, and how to end it."""
    lock = SupervisorLock(folder.lock_file)
    lock.acquire()
    holder = holder_of(folder.lock_file)
    assert holder is not None
    assert holder.pid == os.getpid()
    with pytest.raises(AlreadyRunning, match=f"process {os.getpid()} .*\n.*--stop"):
        SupervisorLock(folder.lock_file).acquire()
    lock.release()
    assert holder_of(folder.lock_file) is None


def test_process_id_given_to_another_process_is_nobody(folder: DataFolder) -> None:
    """A number alone does not make a process the supervisor: its start time must match, too."""
    with folder.lock_file.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(json.dumps({"pid": os.getpid(), "create_time": 1.0}))
        file.flush()
        assert holder_of(folder.lock_file) is None


INFO = StackInfo(
    gateway=HttpPart("http://127.0.0.1:8000", 1),
    storefront=HttpPart("http://127.0.0.1:8080", 2),
    kafka=KafkaPart("127.0.0.1:9092", 3),
    redis=HttpPart("redis://127.0.0.1:6379/0", 4),
    context_stream=ProcessPart(5),
    trends_stream=ProcessPart(5),
    context_writer=ProcessPart(6),
    keys=PublicKeys("pk_dev_x", "sk_dev_x"),
    log_dir=".local/log",
)


def test_stack_file_has_the_documented_form() -> None:
    """`stack.json` is what scripts and tests rely on, and reads back as it was."""
    assert INFO.to_json() == {
        "gateway": {"url": "http://127.0.0.1:8000", "pid": 1},
        "storefront": {"url": "http://127.0.0.1:8080", "pid": 2},
        "kafka": {"bootstrap": "127.0.0.1:9092", "pid": 3},
        "redis": {"url": "redis://127.0.0.1:6379/0", "pid": 4},
        "context_stream": {"pid": 5},
        "trends_stream": {"pid": 5},
        "context_writer": {"pid": 6},
        "keys": {"publishable": "pk_dev_x", "secret": "sk_dev_x"},
        "log_dir": ".local/log",
    }
    assert StackInfo.from_json(INFO.to_json()) == INFO


def test_every_error_names_part_cause_and_remedy() -> None:
    """All errors are of one tree and read the same way; a part's death shows its last lines."""
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, StackError)]
    assert len(kinds) == 8
    for kind in kinds:
        assert str(kind("kafka", "is gone", "start it")) == "kafka: is gone\n  What to do: start it"
    assert "| the end" in str(PartFailed("kafka", "is gone", "start it", "before\nthe end"))


def test_help_shows_examples(capsys: pytest.CaptureFixture[str]) -> None:
    """`--help` tells the options with examples."""
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    assert "scripts/demo --check" in capsys.readouterr().out


def test_stop_without_a_stack_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Ending what does not run is no error."""
    assert main(["--stop", "--data-dir", str(tmp_path)]) == 0
    assert "no stack runs" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["--port-base", "80"], ["--check", "--detach"], ["--parts"], ["down"]])
def test_wrong_arguments_are_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2 and a line on standard error."""
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "error:" in capsys.readouterr().err
