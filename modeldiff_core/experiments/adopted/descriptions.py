"""Stage: what the ends of a direction of adopted results share."""

from dataclasses import dataclass

from modeldiff_core.experiments.adopted.comparison import AdoptedComparison
from modeldiff_core.plan import Array, Label, Step, Tensors
from modeldiff_core.stages.enrichment import Ends
from modeldiff_core.store import ObjectStore
from modeldiff_core.study.adopted import AdoptedStudy


@dataclass(frozen=True)
class AdoptedEnds:
    """The ends of a direction of a study of adopted results."""

    study: AdoptedStudy
    ends: Ends


def described_step(comparison: AdoptedComparison, ends: Ends, label: Label) -> Step:
    """Return the step that describes both ends of a direction."""
    examples = {"targets": comparison.known.targets, "train": comparison.known.train}
    axes = ("height", "width", "channels")
    arrays = tuple(Array(name, dict(zip(axes, shape, strict=True))) for name, shape in ends.shapes(examples).items())
    makes = Tensors(ends.reference, {"subpopulations": ends.reference.digest}, arrays)
    name = f"{comparison.study.name} ends of direction {ends.side} {ends.index + 1}"
    spec = AdoptedEnds(comparison.study, ends)
    return Step(name, makes, describe_adopted, spec, (comparison.directions,), label)


def describe_adopted(store: ObjectStore, spec: AdoptedEnds) -> None:
    """Describe both ends by what is known of the examples."""
    known = AdoptedComparison.of(store, spec.study).known
    spec.ends.describe(store, {"targets": known.targets, "train": known.train}, known.classes)
