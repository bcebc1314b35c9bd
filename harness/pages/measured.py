"""Run studies that ship, note the processor time that each takes, and put pictures of their reports into docs/pictures.

    python -m harness.pages.measured STORE STUDY [STUDY ...] [--seconds S]

Studies run one after the other in this process, on one thread, without Prefect. None is begun after S seconds of
processor time. Time is noted only of a run that found nothing of its study in the store; one that was interrupted goes
on and is not noted. ``docs/pictures/minutes.json`` holds what the gallery shows.
"""

import argparse
import json
import math
import platform
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from threadpoolctl import threadpool_limits

from harness.pages import pictures
from harness.pages.gallery import MINUTES
from modeldiff_core.experiments.run import run_study, status_of
from modeldiff_core.store import ObjectStore, StoreSettings
from modeldiff_platform.flows.cli.compose import request


def measure(root: str, study: str) -> float | None:
    """Run a study and return its processor seconds; None where the store held some of it before."""
    asked = request([f"study={study}"]).study
    fresh = not status_of(asked, root).of_state("done")
    began = time.process_time()
    with threadpool_limits(1):
        run_study(asked, root)
    return time.process_time() - began if fresh else None


def note(study: str, seconds: float) -> None:
    """Write down how long a study takes."""
    known = json.loads(MINUTES.read_text()) if MINUTES.exists() else {}
    known[study] = {"seconds": round(seconds, 1), "machine": machine(), "date": f"{datetime.now(UTC):%Y-%m-%d}"}
    MINUTES.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n")


def machine() -> str:
    """Return what the processor is called, as far as the system says."""
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text().splitlines() if facts.exists() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what is named."""
    parser = argparse.ArgumentParser(description="Run studies that ship and note how long each takes.")
    parser.add_argument("store")
    parser.add_argument("studies", nargs="+")
    parser.add_argument("--seconds", type=float, default=math.inf)
    asked = parser.parse_args(arguments)
    began = time.process_time()
    for study in asked.studies:
        if time.process_time() - began > asked.seconds:
            print(f"{study}: not begun")
            continue
        seconds = measure(asked.store, study)
        if seconds is not None:
            note(study, seconds)
        made = pictures.copy(ObjectStore(StoreSettings(asked.store)), study)
        print(f"{study}: {'not noted' if seconds is None else f'{seconds:.0f} s'}; {', '.join(made)}", flush=True)


if __name__ == "__main__":
    main()
