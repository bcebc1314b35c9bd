"""An adopted comparison run to its report in this process."""

from contextlib import nullcontext
from typing import Any

from modeldiff_core import plan
from modeldiff_core.experiments.adopted.comparison import AdoptedComparison
from modeldiff_core.experiments.adopted.experiment import CompareAdopted
from modeldiff_core.store import ObjectStore, read_record
from modeldiff_core.study.adopted import AdoptedStudy
from tests.modeldiff_core.undrawn import undrawn


def compared(
    store: ObjectStore, content: dict[str, Any], drawn: bool = True
) -> tuple[AdoptedComparison, dict[str, Any], list[str]]:
    """The comparison, its summary, and the names of the steps that were carried out; drawn: with figures and pages."""
    experiment = CompareAdopted.of(AdoptedStudy.model_validate(content), store)
    taken: list[str] = []

    class Noted(plan.InProcess):
        def __call__(self, wave: plan.Wave, steps: Any, advance: Any, complete: Any = ()) -> plan.Outcome:
            taken.extend(step.name for step in steps)
            return super().__call__(wave, steps, advance)

    with nullcontext() if drawn else undrawn():
        plan.run(experiment, store, Noted(store))
        assert plan.verify(experiment, store) == ()
    return experiment.comparison, read_record(store, experiment.summary.record), taken


def summarized(store: ObjectStore, content: dict[str, Any]) -> tuple[AdoptedComparison, dict[str, Any]]:
    """The comparison and its summary, without figures and pages, and without a second look at everything."""
    experiment = CompareAdopted.of(AdoptedStudy.model_validate(content), store)
    for wave in experiment.waves(store):
        for step in wave.steps:
            if not step.adopted and step.reference.record != experiment.report.record:
                step.stage(store, step.spec)
    return experiment.comparison, read_record(store, experiment.summary.record)
