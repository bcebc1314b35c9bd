"""Stage: residual directions of ready attributions, of which none can be tested."""

from dataclasses import dataclass

from modeldiff_core.comparison import residual_pca, similarity
from modeldiff_core.experiments.adopted.comparison import AdoptedComparison
from modeldiff_core.plan import Array, Label, Step, Tensors
from modeldiff_core.stages.directions import SIDES
from modeldiff_core.stages.regress import read_blocks
from modeldiff_core.store import ObjectStore, TensorObject, write_tensors
from modeldiff_core.study.adopted import AdoptedStudy


@dataclass(frozen=True)
class AdoptedSpec:
    """A study of adopted results."""

    study: AdoptedStudy


def scored_directions_step(comparison: AdoptedComparison, label: Label) -> Step:
    """Return the step that finds the directions."""
    targets, units = comparison.a.n_targets, comparison.a.n_train
    components, reference = comparison.study.comparison.components, comparison.directions
    arrays = [Array("similarity", {"targets": targets})]
    for side in SIDES:
        arrays.append(Array(f"{side}.directions", {"components": components, "train": units}))
        arrays.append(Array(f"{side}.projections", {"targets": targets, "components": components}))
    makes = Tensors(reference, {"directions": reference.digest}, tuple(arrays))
    needs = tuple(side.reference for side in comparison.sides.values())
    spec = AdoptedSpec(comparison.study)
    return Step(f"{comparison.study.name} directions", makes, find_directions_of_scores, spec, needs, label)


def find_directions_of_scores(store: ObjectStore, spec: AdoptedSpec) -> None:
    """Store the residual directions of both sides."""
    comparison = AdoptedComparison.of(store, spec.study)
    theta = {name: read_blocks(store, side.reference).weights for name, side in comparison.sides.items()}
    arrays = {"similarity": similarity(theta["a"], theta["b"])}
    for side in SIDES:
        first, second = side.split("-")
        settings = comparison.study.comparison
        found = residual_pca(theta[first], theta[second], settings.components, normalize=settings.normalize)
        arrays |= {
            f"{side}.directions": found.directions,
            f"{side}.projections": found.projections,
            f"{side}.in_sample_{first}": found.explained_variance_a,
            f"{side}.in_sample_{second}": found.explained_variance_b,
            "excluded": found.excluded,
        }
    reference = comparison.directions
    write_tensors(store, reference.record, TensorObject(arrays, {"directions": reference.digest}, {}))
