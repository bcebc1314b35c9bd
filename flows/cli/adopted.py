"""``modeldiff adopt``, ``export`` and ``compare-adopted``: results that were made elsewhere, in and out of a store.

They run in this process: there is nothing to train, so no flow is needed.
"""

from collections.abc import Sequence
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from flows.cli.compose import composed, parse_store, study_file
from modeldiff_core.settings import Settings
from modeldiff_core.stages import adopt as adopt_stage
from modeldiff_core.stages import export as export_stage
from modeldiff_core.stages.adopted import AdoptedComparison
from modeldiff_core.stages.adopted import compare_adopted as compare_stage
from modeldiff_core.stages.adopted_report import write_adopted_report
from modeldiff_core.stages.stored import find_stored
from modeldiff_core.store import ObjectStore
from modeldiff_core.study.adopted import AdoptedStudy, Adoption, Export, parse

S = TypeVar("S", bound=Settings)


def adopt(overrides: Sequence[str]) -> int:
    """Take margins and masks, or attributions, into the store and print their key."""
    asked, store = adopted_request(Adoption, "adopt", overrides)
    store.probe()
    reference = adopt_stage.adopt(store, asked)
    found = find_stored(store, reference.key, "name")
    of = f"{found.models} models, " if found.models else ""
    print(f"{found.name}: {found.kind} of {of}{found.n_train} training examples, {found.n_targets} targets")
    print(reference.key)
    return 0


def export(overrides: Sequence[str]) -> int:
    """Write what stands at a key into files and print them."""
    asked, store = adopted_request(Export, "export", overrides)
    for path in export_stage.export(store, asked):
        print(path)
    return 0


def compare_adopted(overrides: Sequence[str]) -> int:
    """Compare two matrices of margins, or two sets of attributions, and print what was found."""
    study, store = adopted_study(overrides)
    store.probe()
    comparison = AdoptedComparison.of(store, study)
    with Progress(
        TextColumn("{task.description:<44}"), BarColumn(), MofNCompleteColumn(), console=Console(stderr=True)
    ) as bar:
        task = bar.add_task("comparing", total=None)
        summary = compare_stage(
            store, comparison, lambda name, done, total: bar.update(task, description=name, completed=done, total=total)
        )
    for line in summary["findings"]:
        print(line)
    print(f"Summary: {store.url(comparison.summary.record)}")
    print(f"Table: {store.url(comparison.folder)}/directions.csv")
    print(f"Report: {store.url(write_adopted_report(store, comparison).record)}")
    return 0


def adopted_study(overrides: Sequence[str]) -> tuple[AdoptedStudy, ObjectStore]:
    """The study and the store; ``study=<path>.json`` takes the study that a report keeps."""
    found = study_file(overrides)
    if found is None:
        return adopted_request(AdoptedStudy, "compare_adopted", overrides)
    content, others = found
    around = composed([*others, "a=''", "b=''"], root="compare_adopted")
    return parse(AdoptedStudy, content), ObjectStore(parse_store(around["store"]))


def adopted_request(settings: type[S], root: str, overrides: Sequence[str]) -> tuple[S, ObjectStore]:
    """The settings of a root configuration, and the store."""
    content = composed(overrides, root=root)
    store = ObjectStore(parse_store(content.pop("store")))
    return parse(settings, content), store
