"""Settings of a contrast of two algorithms by components."""

from typing import Annotated, Literal

from pydantic import Field

from modeldiff_core.experiments.components.settings import ComponentsStudy, SelectionConfig
from modeldiff_core.responses.effect_networks import PREFIX
from modeldiff_core.study.config import AlgorithmConfig
from modeldiff_core.transformations import TransformationTest


class ContrastStudy(ComponentsStudy):
    """Two algorithms, a transformation, and the ablations of components of both.

    algorithm: A. algorithm_b: B, of the same architecture. effect: the transformation; its largest intensity is taken,
    and its target class names the output. attributed: test images of other classes that choose the components; those
    after them measure. limit: largest share of the clean images that may turn wrong. most: largest number of components
    that are named. wished: share of the effect whose removal is enough.
    """

    experiment: Literal["component_contrast"] = "component_contrast"  # type: ignore[assignment]
    algorithm_b: AlgorithmConfig
    effect: TransformationTest
    limit: Annotated[float, Field(ge=0, lt=1)] = 0.01
    most: Annotated[int, Field(ge=1)] = 30
    wished: Annotated[float, Field(gt=0, le=1)] = 0.72

    def of(self, algorithm: AlgorithmConfig) -> ComponentsStudy:
        """Return the study of one algorithm, with the components as they are called inside pairs of images."""
        inside = tuple(
            SelectionConfig(
                kind=one.kind,
                pattern=f"{PREFIX.replace('.', '[.]')}(?:{one.pattern})",
                leave_out=f"{PREFIX.replace('.', '[.]')}(?:{one.leave_out})" if one.leave_out else "",
            )
            for one in self.components
        )
        own = self.model_dump(exclude={"experiment", "algorithm_b", "effect", "limit", "most", "wished"})
        return ComponentsStudy.model_validate(
            {**own, "algorithm": algorithm.model_dump(), "components": [one.model_dump() for one in inside]}
        )
