"""Settings of a counterfactual check."""

from typing import Annotated

from pydantic import Field

from modeldiff_core.data import Dataset
from modeldiff_core.errors import ConfigError
from modeldiff_core.settings import Settings
from modeldiff_core.study.config import StudyConfig


class CounterfactualConfig(Settings):
    """Targets, each trained for again without the top_k training examples that help it most.

    targets: their positions among the study's targets, or how many are drawn. models: how many are trained without
    them, for each target and algorithm; the same models with them are the first of those kept for evaluation.
    """

    targets: Annotated[int, Field(ge=3)] | tuple[Annotated[int, Field(ge=0)], ...] = 20
    top_k: Annotated[int, Field(ge=1)] = 20
    models: Annotated[int, Field(ge=2)] = 20
    seed: int = 0


def check_counterfactual(asked: CounterfactualConfig, study: StudyConfig, data: Dataset) -> None:
    """Raise ConfigError for targets that are not there, too many removals, or models that the regression has seen."""
    targets = len(data.test) if study.targets is None else study.targets
    if isinstance(asked.targets, int):
        if asked.targets > targets:
            raise ConfigError("counterfactual.targets", f"at most the study's {targets} targets", asked.targets)
    elif len(set(asked.targets)) < max(3, len(asked.targets)) or max(asked.targets) >= targets:
        expected = f"three or more different targets in 0..{targets - 1}"
        raise ConfigError("counterfactual.targets", expected, list(asked.targets))
    spare = len(data.train) - round(study.subsets.fraction * len(data.train))
    if asked.top_k > spare:
        expected = f"at most the {spare} training examples that a subset leaves out"
        raise ConfigError("counterfactual.top_k", expected, asked.top_k)
    if asked.models > study.subsets.evaluation_models:
        hint = "Only models that no regression has seen can test it: raise subsets.evaluation_models"
        raise ConfigError(
            "counterfactual.models",
            f"at most subsets.evaluation_models ({study.subsets.evaluation_models})",
            asked.models,
            hint,
        )
