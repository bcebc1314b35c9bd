"""``modeldiff verify``: name what is not sound in a store; with ``--repair`` remove it."""

import shlex
import sys
from collections.abc import Sequence

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from modeldiff_core import plan
from modeldiff_core.errors import DamagedObject
from modeldiff_core.experiments.adopted.experiment import ADOPT_AGAIN
from modeldiff_core.experiments.experiment import Experiment
from modeldiff_core.store import ObjectStore
from modeldiff_platform.flows.cli.asked import headline, so_far


def verify(overrides: Sequence[str], kind: str = "", repair: bool = False) -> int:
    """Print what is damaged, foreign, missing, stray or outdated of a study; 0 if nothing but outdated, 1 otherwise."""
    try:
        _, experiment, store = so_far(overrides, kind)
    except DamagedObject as error:  # an adopted comparison's name follows from what was adopted
        print(f"damaged  {error}")
        print(ADOPT_AGAIN, file=sys.stderr)
        return 1
    print(headline(experiment, store))
    findings = _walk(experiment, store)
    for finding in findings:
        print(f"{finding.kind:<8} {store.url(finding.key)}: {finding.why}")
    again, outdated = shlex.join(overrides), [finding for finding in findings if finding.kind == "outdated"]
    findings = tuple(finding for finding in findings if finding.kind != "outdated")
    if outdated:
        chosen = f"experiment={kind} " if kind else ""
        print(f"Write what is outdated again with: modeldiff report {chosen}{again}", file=sys.stderr)
    counts = {kind: sum(f.kind == kind for f in findings) for kind in ("damaged", "foreign", "missing", "stray")}
    print(", ".join(f"{count} {kind}" for kind, count in counts.items()) if findings else "everything is sound")
    if not findings:
        return 0
    if not repair:
        if any(finding.objects for finding in findings):
            verb = "verify-adopted" if experiment.kind == "compare_adopted" else "verify"
            print(f"Remove what is not sound with: modeldiff {verb} {again} --repair", file=sys.stderr)
        return 1
    for key in plan.repair(store, findings):
        print(f"removed  {store.url(key)}")
    if len(findings) == counts["stray"]:
        return 0
    print(f"Make what is missing again with: modeldiff {experiment.command} {again}", file=sys.stderr)
    if any(not finding.objects and finding.kind != "missing" for finding in findings):
        print(ADOPT_AGAIN, file=sys.stderr)
    return 1


def _walk(experiment: Experiment, store: ObjectStore) -> tuple[plan.Finding, ...]:
    """Read everything, with a bar."""
    with Progress(
        TextColumn("reading"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("objects"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    ) as bar:
        task = bar.add_task("reading", total=None)
        return plan.verify(experiment, store, lambda done, total: bar.update(task, completed=done, total=total))
