"""Run the long tests and drills part by part, and append what came of each to docs/nightly.md.

    python -m harness.nightly [--minutes N] [--only PART ...] [--log docs/nightly.md]

The parts run one after the other, cheap and important ones first. Each is killed at its own limit, which counts as a
failure. With ``--minutes`` all of them end within that time: the part that runs then is interrupted, which counts as a
failure only if a test of it had failed, and the parts after it are listed as not run. Ends with 1 if a part failed.
"""

import argparse
import contextlib
import importlib.util
import math
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psutil

from harness.failures import PLACE

ROOT = Path(__file__).parents[1]
LOG = ROOT / "docs/nightly.md"
GRACE = 30.0
"""Seconds between the interrupt of a part and its kill, in which pytest prints what it has found."""
LEAST = 60.0
"""Seconds that must be left for a part to be started."""


@dataclass(frozen=True)
class Part:
    """Arguments of the interpreter, and the minutes after which the part has failed.

    needs: a module without which the part is left out. root: whether only root can run it. FOLDER among the arguments
    stands for an empty folder.
    """

    name: str
    arguments: tuple[str, ...]
    minutes: float
    needs: str | None = None
    root: bool = False

    @property
    def lacking(self) -> str | None:
        """What keeps the part from running here, if anything does."""
        if self.root and os.geteuid() != 0:
            return "not run: needs root"
        if self.needs is not None and importlib.util.find_spec(self.needs) is None:
            return f"not run: there is no {self.needs}"
        return None


@dataclass(frozen=True)
class Outcome:
    """What came of a part; seconds: None if it was not started."""

    part: str
    result: str
    seconds: float | None = None

    @property
    def failed(self) -> bool:
        """Whether the whole run has failed with this part."""
        return self.result.startswith("failed")


FOLDER = "FOLDER"
PYTEST = ("-m", "pytest", "-p", "harness.failures", "--durations=20", "--durations-min=5")
BOTH_CORES = ("-n", "2", "--dist", "loadfile", "--no-loadscope-reorder")
NIGHTLY = ("-m", "nightly and not cluster and not ui")
TRUTH = "tests/flows/test_truth.py"
PARTS = (
    Part("core", (*PYTEST, *BOTH_CORES, *NIGHTLY, "tests", "--ignore=tests/flows", "--ignore=tests/docs"), 20),
    Part("site", (*PYTEST, *BOTH_CORES, *NIGHTLY, "tests/docs"), 15),
    Part("flows", (*PYTEST, *BOTH_CORES, *NIGHTLY, "tests/flows", f"--ignore={TRUTH}"), 45),
    Part("truth", (*PYTEST, *NIGHTLY, TRUTH), 20),
    Part("clusters", (*PYTEST, "-m", "cluster"), 20),
    Part("ui", (*PYTEST, "-m", "ui"), 10),
    Part("gpu", ("-m", "benchmarks.gpu", "--device", "cpu", "--quick"), 12, needs="benchmarks.gpu"),
    Part("drills", ("-m", "benchmarks.drills", f"{FOLDER}/drills.jsonl", "10", "10", "4"), 40),
    Part("operations", ("-m", "benchmarks.operations", "--log", f"{FOLDER}/operations.jsonl"), 40, root=True),
)


def run_parts(parts: Sequence[Part], minutes: float, log: Path) -> list[Outcome]:
    """Run the parts in their order until the time is up; each outcome is printed and appended to the log at once."""
    end, commit, outcomes = time.monotonic() + 60 * minutes - GRACE, described_commit(), list[Outcome]()
    for part in parts:
        left = end - time.monotonic()
        lacking = part.lacking or ("not run: the time was up" if left < LEAST else None)
        outcomes.append(Outcome(part.name, lacking) if lacking else run_part(part, left))
        line = row(outcomes[-1], commit)
        print(line, flush=True)
        with log.open("a") as file:
            file.write(line + "\n")
    return outcomes


def run_part(part: Part, left: float) -> Outcome:
    """Run a part with its output on this terminal, for as many seconds as are left, or for its own limit."""
    print(f"\n{part.name}: {' '.join(part.arguments)}", flush=True)
    limit, began = 60 * part.minutes, time.monotonic()
    with tempfile.TemporaryDirectory(prefix="nightly-") as name:
        failures = Path(name) / "failures.txt"
        command = [sys.executable, *(argument.replace(FOLDER, name) for argument in part.arguments)]
        process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, PLACE: str(failures)}, start_new_session=True)
        try:
            code = process.wait(min(left, limit))
            result = "passed" if code == 0 else f"failed: ended with {code}"
        except subprocess.TimeoutExpired:
            interrupt(process)
            result = "not run to its end" if left < limit else f"failed: not done after {part.minutes:g} minutes"
        except BaseException:
            interrupt(process)
            raise
        if failures.exists():
            names = failures.read_text().splitlines()
            result = f"failed: {', '.join(names[:3])}" + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    return Outcome(part.name, result, time.monotonic() - began)


def interrupt(process: "subprocess.Popen[bytes]") -> None:
    """Interrupt a part as Ctrl-C does; what of it is there when the grace is over is killed."""
    family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    os.killpg(process.pid, signal.SIGINT)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(GRACE)
    for member in family:  # psutil leaves alone what has taken over the number of a process that has ended
        with contextlib.suppress(psutil.NoSuchProcess):
            member.kill()
    process.wait()


def described_commit() -> str:
    """Return the commit's short name, marked if tracked files differ from it; ``unknown`` where there is no git."""
    words = ["git", "describe", "--always", "--exclude=*", "--dirty= with changes"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else "unknown"


def row(outcome: Outcome, commit: str) -> str:
    """Return a line of the table of docs/nightly.md."""
    seconds = "" if outcome.seconds is None else f"{outcome.seconds:.0f}"
    return f"| {datetime.now(UTC):%Y-%m-%d} | {commit} | {outcome.part} | {outcome.result} | {seconds} |"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the parts that are asked for and exit with 1 if one of them failed."""
    # ignored, and inherited as ignored, where a shell has started this in the background: nothing could be interrupted
    signal.signal(signal.SIGINT, signal.default_int_handler)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=math.inf, help="in all; without it, to the end")
    parser.add_argument("--only", nargs="+", choices=[part.name for part in PARTS], help="parts to run; all by default")
    parser.add_argument("--log", type=Path, default=LOG)
    given = parser.parse_args(arguments)
    parts = [part for part in PARTS if given.only is None or part.name in given.only]
    outcomes = run_parts(parts, given.minutes, given.log)
    print("\nnightly: " + "; ".join(f"{outcome.part} {outcome.result}" for outcome in outcomes), flush=True)
    sys.exit(any(outcome.failed for outcome in outcomes))


if __name__ == "__main__":
    main()
