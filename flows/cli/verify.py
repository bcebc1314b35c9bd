"""``modeldiff verify`` and ``verify-adopted``: name what is not sound in a store; with ``--repair`` remove it."""

import shlex
import sys
from collections.abc import Callable, Sequence

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from flows.cli.compose import request
from modeldiff_core.errors import DamagedObject
from modeldiff_core.stages import verify as stage
from modeldiff_core.stages.adopted import AdoptedComparison
from modeldiff_core.stages.comparison import Comparison
from modeldiff_core.stages.rounds import current_round
from modeldiff_core.store import ObjectStore

ADOPT_AGAIN = "What was adopted is made whole by adopting it again: modeldiff adopt ..."

Walk = Callable[[Callable[[int, int], None]], tuple[stage.Finding, ...]]


def verify(overrides: Sequence[str], repair: bool = False) -> int:
    """Say what is damaged, foreign, missing or stray of a study; 0 if nothing is left of it, 1 otherwise."""
    asked = request(overrides)
    store = ObjectStore(asked.store)
    comparison = current_round(store, Comparison.of(asked.study)).comparison
    print(f"study {asked.study.name}, digest {comparison.digest[:8]}, in {store.settings.url}")
    return _told(store, lambda told: stage.verify(store, comparison, told), ("verify", "compare"), overrides, repair)


def verify_adopted(overrides: Sequence[str], repair: bool = False) -> int:
    """As `verify`, of a comparison of what stands in the store."""
    from flows.cli.adopted import adopted_study

    study, store = adopted_study(overrides)
    try:
        comparison = AdoptedComparison.of(store, study)
    except DamagedObject as error:  # the comparison's name follows from what was adopted
        print(f"damaged  {error}")
        print(ADOPT_AGAIN, file=sys.stderr)
        return 1
    print(f"comparison {study.name}, digest {comparison.digest[:8]}, in {store.settings.url}")
    verbs = "verify-adopted", "compare-adopted"
    return _told(store, lambda told: stage.verify_adopted(store, comparison, told), verbs, overrides, repair)


def _told(store: ObjectStore, walk: Walk, verbs: tuple[str, str], overrides: Sequence[str], repair: bool) -> int:
    """Walk, print the findings, remove what they say if asked. verbs: that of the walk, and that which makes anew."""
    with Progress(
        TextColumn("reading"), BarColumn(), MofNCompleteColumn(), TextColumn("objects"), TimeRemainingColumn(),
        console=Console(stderr=True),
    ) as bar:  # fmt: skip
        task = bar.add_task("reading", total=None)
        findings = walk(lambda done, total: bar.update(task, completed=done, total=total))
    for finding in findings:
        print(f"{finding.kind:<8} {store.url(finding.key)}: {finding.why}")
    counts = {kind: sum(f.kind == kind for f in findings) for kind in ("damaged", "foreign", "missing", "stray")}
    print(", ".join(f"{count} {kind}" for kind, count in counts.items()) if findings else "everything is sound")
    if not findings:
        return 0
    again = shlex.join(overrides)
    if not repair:
        if any(finding.objects for finding in findings):
            print(f"Remove what is not sound with: modeldiff {verbs[0]} {again} --repair", file=sys.stderr)
        return 1
    for key in stage.repair(store, findings):
        print(f"removed  {store.url(key)}")
    if len(findings) == counts["stray"]:
        return 0
    print(f"Make what is missing anew with: modeldiff {verbs[1]} {again}", file=sys.stderr)
    if any(not finding.objects and finding.kind != "missing" for finding in findings):
        print(ADOPT_AGAIN, file=sys.stderr)
    return 1
