"""A comparison from a notebook or a script: rehearsed, run in this process or on all cores, and reported."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from modeldiff_core.api.algorithm import Algorithm, Train
from modeldiff_core.api.data import Data
from modeldiff_core.api.report import Report
from modeldiff_core.api.study import MODELS, Study
from modeldiff_core.experiments.compare.experiment import Compare
from modeldiff_core.experiments.experiment import Experiment, data_lines
from modeldiff_core.experiments.processes import InProcesses, processes
from modeldiff_core.plan import Bar, InProcess, Progress, run, survey
from modeldiff_core.plan.run import Submit
from modeldiff_core.stages.own_code import check_code, note_code
from modeldiff_core.stages.rehearsal import Call, rehearsals, rehearse_here, to_rehearse
from modeldiff_core.store import ObjectStore, StoreSettings
from modeldiff_core.training import Execution
from modeldiff_core.training.slots import Slots

Store = str | Path | StoreSettings
TEXT_LINES = 60
"""Lines of the data's table that are shown."""


def compare(
    a: "Algorithm | Train", b: "Algorithm | Train", *, data: Data, models: int = MODELS, store: Store, **others: Any
) -> Report:
    """Compare two training functions and return the report.

    What the store holds of it is not computed again: interrupted at any moment, the same call goes on. Functions that
    stand in a module are trained on all cores; others, typed in a notebook or in the script that runs, in this process.

    Args:
        a: A function ``train(images, labels, seed)``, or an ``Algorithm``.
        b: The other.
        data: Training and test images.
        models: Subset models of each.
        store: A folder, an fsspec URL, or settings of a store.
        others: ``name`` of the study; ``workers``, processes to use; ``progress``, what shows the progress;
            ``accept_code=True`` to keep results of other code, once; any other is a setting of the study, such as
            ``subsets={"fraction": 0.7}``.

    Raises:
        ConfigError: Before anything is trained, for what cannot give a result; RehearsalFailed, one of them, names a
            mistake of a function by its line.
        RunFailed: For shards that failed for good, by name; the rest is in the store.

    """
    ways = {name: others.pop(name) for name in ("workers", "progress", "accept_code") if name in others}
    name = others.pop("name", "")
    return run_here(Study(a, b, data, models, name, others), store, **ways)


def run_here(
    study: Study,
    store: Store,
    *,
    workers: int | None = None,
    progress: Progress | None = None,
    accept_code: bool = False,
) -> Report:
    """Run a study on this machine and return its report; see ``compare``."""
    place = ObjectStore(opened(store))
    experiment = Compare.of(study.config(place), place)
    carry_out(experiment, place, study.algorithms, workers=workers, progress=progress, accept_code=accept_code)
    return Report(experiment, place)


def carry_out(
    experiment: Experiment,
    place: ObjectStore,
    algorithms: Sequence[Algorithm],
    *,
    workers: int | None = None,
    progress: Progress | None = None,
    accept_code: bool = False,
) -> None:
    """Tell of the data, rehearse the algorithms, and make what the store lacks of an experiment on this machine."""
    execution = Execution()
    for line in data_lines(experiment)[:TEXT_LINES]:
        tell(line)
    warnings = [*experiment.check(), *check_code(experiment, place, accept_code)]
    for warning in warnings:
        tell(f"warning: {warning}")
    tell(_where(algorithms, workers))
    if not survey(experiment.now(place), place).complete:
        with _submit(algorithms, place, execution, workers) as (submit, call):
            rehearse_all(experiment, place, execution, call)
            plan = note_code(experiment, place, accept_code)
            run(plan, place, submit, progress or Bar())
    experiment.now(place).refresh(place)


def rehearse_all(experiment: Experiment, store: ObjectStore, execution: Execution, call: Call) -> None:
    """Rehearse what is trained for the first time, and say what was noticed and how long models take."""
    waiting = to_rehearse(experiment, store)
    for training, found in rehearsals(waiting, asdict(execution), call):
        for remark in found.remarks:
            tell(f"warning: {training.key}: {remark}")
        seconds = f"{found.seconds:.2g} s" if found.seconds >= 0.01 else f"{1000 * found.seconds:.2g} ms"
        about = "" if found.measured else "about "
        tell(f"{training.algorithm.name}: {about}{seconds} a model, {found.bytes / 2**20:.0f} MB in its process")


def opened(store: Store) -> StoreSettings:
    """Return settings of a store."""
    return store if isinstance(store, StoreSettings) else StoreSettings(str(store))


def tell(line: str) -> None:
    """Print a line on standard error, as the progress bar is."""
    print(line, file=sys.stderr, flush=True)  # noqa: T201


def _where(algorithms: Sequence[Algorithm], workers: int | None) -> str:
    """Return where models are trained, and why."""
    here = [one.described for one in algorithms if not one.elsewhere]
    if not here:
        if workers is None:
            return "Trained on all cores, one torch thread each"
        return f"Trained in {workers} process{'es' if workers > 1 else ''}"
    named = " and ".join(sorted({f"{one.name} ({one.place})" for one in here}))
    return (
        f"Trained in this process, one model after the other on one torch thread: no other process can import {named}. "
        "In a module of its own it would be trained on all cores"
    )


@contextmanager
def _submit(
    algorithms: Sequence[Algorithm], store: ObjectStore, execution: Execution, workers: int | None
) -> Iterator[tuple[Submit, Call]]:
    """Give what carries out steps, and what rehearses where they are carried out."""
    elsewhere = all(one.elsewhere for one in algorithms)
    if not elsewhere or store.settings.url.startswith("memory://"):
        yield InProcess(store, execution), rehearse_here
        return
    with processes(workers) as slots:
        yield InProcesses(store, execution, slots), _in_slots(slots)


def _in_slots(slots: Slots) -> Call:
    def call(training: dict[str, Any], execution: dict[str, Any]) -> dict[str, Any]:
        return slots.run(rehearse_here, training, execution=execution)

    return call
