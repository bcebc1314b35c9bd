"""The command line: see the package."""

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path

import torch

import benchmarks.gpu
from benchmarks.gpu.block import block, machine
from benchmarks.gpu.checks import CHECKS
from benchmarks.gpu.results import Bench, Outcome
from benchmarks.gpu.runner import run


def main() -> int:
    """Run the checks, write the block, and return the exit code."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks.gpu",
        description=benchmarks.gpu.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--device", default="cuda", help="a torch device; cuda by default")
    parser.add_argument("--quick", action="store_true", help="a little of everything, to try the script out")
    parser.add_argument("--only", default="", help="only checks whose name has these words in it")
    parser.add_argument("--limit", type=float, default=590, help="most seconds in all; 590 by default")
    parser.add_argument("--out", type=Path, help="file that the block is added to; standard output by default")
    parser.add_argument("--list", action="store_true", help="print the names of the checks and their seconds")
    options = parser.parse_args()
    chosen = [check for check in CHECKS if options.only in check.name]
    if options.list:
        print("\n".join(f"{check.seconds:4.0f} s  {check.name}" for check in chosen))
        return 0
    bench = Bench(options.device, options.quick)
    if bench.quick:  # for a busy CPU; the budgets are a GPU's
        chosen = [replace(check, seconds=max(60.0, check.seconds)) for check in chosen]
    wrong = _request_is_wrong(bench, len(chosen), options.only)
    if wrong:
        print(wrong, file=sys.stderr)
        return 2
    print(machine(bench), file=sys.stderr, flush=True)
    began, outcomes = time.monotonic(), []
    for outcome in run(chosen, bench, options.limit):
        outcomes.append(outcome)
        print(_line(outcome), file=sys.stderr, flush=True)
    text = block(bench, outcomes, time.monotonic() - began)
    if options.out:
        with options.out.open("a") as file:
            file.write("\n" + text)
    else:
        print(text)
    return 0 if all(outcome.holds for outcome in outcomes) else 1


def _request_is_wrong(bench: Bench, chosen: int, words: str) -> str:
    """Return a sentence about a device that is not there or about words that no check has in its name; else ''."""
    if not chosen:
        return f"No check has {words!r} in its name; --list prints them"
    try:
        torch.zeros(1, device=bench.device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).strip().splitlines()[0]
        return f"No device {bench.device!r} here ({reason}); --device cpu --quick tries the script out"
    return ""


def _line(outcome: Outcome) -> str:
    """Return one line about the progress."""
    found = f"{len(outcome.comparisons)} comparisons, {len(outcome.rates)} rates"
    wrong = [one.case for one in outcome.comparisons if not one.holds]
    more = f" {outcome.reason}" if outcome.reason else ""
    return f"{outcome.check}: {outcome.status}, {found}, {outcome.seconds:.1f} s{more}" + (
        f" WRONG: {wrong}" * bool(wrong)
    )


if __name__ == "__main__":
    sys.exit(main())
