"""The command `processors` without Spark or Kafka: arguments, triggers, signals, and what failures say."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from processors.cli import main
from processors.context.stream import Trigger, interval_s
from processors.spark.query_watch import StopRequested, StopSignal, failure_text
from processors.spark.session import SparkCannotStart, checkpoint_of, start_spark

REQUIRED = ["context-stream", "--bootstrap", "127.0.0.1:1", "--checkpoint", "c", "--log-epoch", "1"]


def test_help_shows_an_example_and_does_not_load_spark() -> None:
    """Help must be there at once, also where the extra with Spark is not installed."""
    code = (
        "import sys; from processors.cli import main\ntry: main(['context-stream', '--help'])\nfinally: assert 'pyspark' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "processors context-stream --bootstrap 127.0.0.1:9092 --checkpoint ./checkpoint --log-epoch 1" in done.stdout


@pytest.mark.parametrize(
    "command", ["context-stream", "context-writer", "trends-stream", "bought-together", "explain", "dry-run", "campaign-stats"]
)
def test_the_help_of_each_command_has_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A line that can be copied, with the command's own name."""
    with pytest.raises(SystemExit) as exit_:
        main([command, "--help"])
    assert exit_.value.code == 0
    assert f"processors {command} " in capsys.readouterr().out.partition("example")[2]


@pytest.mark.parametrize("arguments", [[], ["nonsense"], REQUIRED[:-2], [*REQUIRED[:-1], "-1"], [*REQUIRED[:-1], "x"]])
def test_wrong_arguments_exit_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """As every command line does, with the usage."""
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    assert exit_.value.code == 2
    assert "usage: processors" in capsys.readouterr().err


@pytest.mark.parametrize("extra", [["--trigger", "often"], ["--checkpoint-interval", "4 seconds"], ["--checkpoint-interval", "soon"]])
def test_a_wrong_trigger_or_interval_is_refused_before_spark_starts(extra: list[str]) -> None:
    """Spark takes seconds to start and its own message names no option."""
    assert main([*REQUIRED, *extra]) == 2


def test_triggers_are_read_from_text() -> None:
    """Each way of running has its own words."""
    assert Trigger.parse("realtime", "10 seconds") == Trigger("realtime", "10 seconds")
    assert Trigger.parse("1 second") == Trigger("interval", "1 second")
    assert Trigger.parse("availableNow") == Trigger("available-now")


@pytest.mark.parametrize(("text", "seconds"), [("1 second", 1), ("5 minutes", 300), (" 2 hours ", 7200), ("0 seconds", 0)])
def test_intervals_are_a_number_and_a_unit(text: str, seconds: int) -> None:
    """In the words that Spark takes as well."""
    assert interval_s(text) == seconds


def test_each_log_epoch_has_a_checkpoint_of_its_own() -> None:
    """Offsets of topics that were made anew mean other records."""
    assert checkpoint_of("s3a://bucket/stream/", 7) == "s3a://bucket/stream/epoch-7"
    assert checkpoint_of("c", 7) != checkpoint_of("c", 8)


def test_a_missing_connector_jar_is_named(tmp_path: Path) -> None:
    """Spark itself only warns, and fails later with a missing class."""
    with pytest.raises(SparkCannotStart, match="nowhere"):
        start_spark(name="t", master="local[1]", driver_memory="1g", connector_jars=[tmp_path / "nowhere.jar"])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_interrupts_the_start_and_later_only_sets_the_flag(number: signal.Signals) -> None:
    """While Spark starts there is nothing to stop in order; a running query is."""
    with StopSignal().listening(), pytest.raises(StopRequested):
        signal.raise_signal(number)
    with StopSignal().listening() as stop:
        stop.started()
        signal.raise_signal(number)
        assert stop.is_set()


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("Failed to find data source: kafka. Please deploy", "--connector-jars"),
        ("[KAFKA_DATA_LOSS.INITIAL] some\nmore", "--log-epoch"),
        ("Some data may have been lost because they are not available in Kafka any more;", "--log-epoch"),
        ("Topic dead_letters not present in metadata after 60000 ms.", "create the topics"),
        ("something new", "see Spark's log"),
    ],
)
def test_a_failure_is_reported_in_one_line_with_its_remedy(text: str, remedy: str) -> None:
    """The cause is the first line of what Spark says."""
    line = failure_text(RuntimeError(text))
    assert line.startswith(text.splitlines()[0].rstrip(".;"))
    assert remedy in line
    assert "\n" not in line
