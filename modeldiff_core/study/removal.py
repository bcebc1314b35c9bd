"""What a user asks for when the training examples behind a difference are to be found, and removed."""

from typing import Annotated

from pydantic import Field

from modeldiff_core.errors import ConfigError
from modeldiff_core.settings import Settings
from modeldiff_core.study.config import StudyConfig


class RemovalConfig(Settings):
    """Groups of training examples behind confirmed differences, and models trained again without them.

    differences: most differences that are looked into, the largest first. share: of what an order of the examples
    attributes to the difference at most, the part that the smallest group has to hold. parts: shares of that group that
    are removed too, the examples that matter most first. random: random groups of the same classes and size. models:
    models of each algorithm trained on all data without each of them; the same models with them are trained again
    where the study has none of their number. seed: of the random groups.
    """

    differences: Annotated[int, Field(ge=1)] = 3
    share: Annotated[float, Field(gt=0, le=1)] = 0.95
    parts: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = (0.25, 0.5)
    random: Annotated[int, Field(ge=1)] = 5
    models: Annotated[int, Field(ge=2)] = 20
    seed: int = 0


def check_removal(study: StudyConfig) -> None:
    """Raise ConfigError for a study whose differences are not named, or not confirmed by any transformation."""
    if study.comparison.method != "contrast":
        hint = "What is removed is the group behind a difference, and only a contrast says which directions are one"
        raise ConfigError("comparison.method", "contrast", study.comparison.method, hint)
    if not study.search.directions:
        hint = "The effect that is to shrink is that of a transformation which the search confirmed"
        raise ConfigError("search.directions", "1 or more", study.search.directions, hint)
    if not study.comparison.draws:
        hint = "A difference is confirmed once it stands out from chance"
        raise ConfigError("comparison.draws", "1 or more", study.comparison.draws, hint)
