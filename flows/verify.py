"""``modeldiff verify``: name whatever is not sound in a study's store, and with ``--repair`` remove it."""

import shlex
import sys
from collections.abc import Sequence

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from flows.compose import request
from modeldiff_core.stages import verify as stage
from modeldiff_core.stages.comparison import Comparison
from modeldiff_core.stages.rounds import current_round
from modeldiff_core.store import ObjectStore


def verify(overrides: Sequence[str], repair: bool = False) -> int:
    """Say what is damaged, foreign, missing or stray; 0 if nothing is left of it, 1 otherwise."""
    asked = request(overrides)
    store = ObjectStore(asked.store)
    comparison = current_round(store, Comparison.of(asked.study)).comparison
    print(f"study {asked.study.name}, digest {comparison.digest[:8]}, in {store.settings.url}")
    with Progress(
        TextColumn("reading"), BarColumn(), MofNCompleteColumn(), TextColumn("objects"), TimeRemainingColumn(),
        console=Console(stderr=True),
    ) as bar:  # fmt: skip
        task = bar.add_task("reading", total=None)
        findings = stage.verify(store, comparison, lambda done, total: bar.update(task, completed=done, total=total))
    for finding in findings:
        print(f"{finding.kind:<8} {store.url(finding.key)}: {finding.why}")
    counts = {kind: sum(f.kind == kind for f in findings) for kind in ("damaged", "foreign", "missing", "stray")}
    print(", ".join(f"{count} {kind}" for kind, count in counts.items()) if findings else "everything is sound")
    if not findings:
        return 0
    again = shlex.join(overrides)
    if not repair:
        if any(finding.objects for finding in findings):
            print(f"Remove what is not sound with: modeldiff verify {again} --repair", file=sys.stderr)
        return 1
    for key in stage.repair(store, findings):
        print(f"removed  {store.url(key)}")
    if len(findings) == counts["stray"]:
        return 0
    print(f"Make what is missing anew with: modeldiff compare {again}", file=sys.stderr)
    return 1
