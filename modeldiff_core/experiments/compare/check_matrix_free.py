"""What can be wrong with a comparison by differentiated trainings, found before anything is trained."""

from modeldiff_core.comparison.trainings import LEAST_TESTED
from modeldiff_core.errors import ConfigError
from modeldiff_core.study.check_estimators import check_derivatives
from modeldiff_core.study.config import StudyConfig
from modeldiff_core.study.trainings import Training


def check_matrix_free(study: StudyConfig, trainings: tuple[Training, Training], n_train: int) -> list[str]:
    """Return warnings; raise ConfigError for what derivatives of trainings cannot give, with the key."""
    settings, asked = study.comparison, study.comparison.matrix_free
    for training in trainings:
        check_derivatives(training, f"{training.key}.kind")
    refused = {
        "verdict": (
            study.verdict.margin or study.verdict.probability or study.verdict.fail_on,
            "no margin and nothing to fail on",
        ),
        "subsets.adaptive": (study.subsets.adaptive, "false"),
        "subsets.seeds": (study.subsets.seeds > 1, "1"),
        "regression.also": (study.regression.also, "no estimators beside the trainings"),
    }
    for key, (given, expected) in refused.items():
        if given:
            hint = "comparison.method=matrix_free fits no subset models; comparison.method=contrast does"
            raise ConfigError(key, f"{expected}, with comparison.method=matrix_free", given, hint)
    limit = min(2 * asked.probes, trainings[0].targets - 1, n_train)
    if settings.components > limit:
        expected = f"at most {limit}, the directions of the basis"
        raise ConfigError("comparison.components", expected, settings.components, "Raise comparison.matrix_free.probes")
    if asked.scored > asked.trainings:
        expected = f"at most comparison.matrix_free.trainings ({asked.trainings})"
        raise ConfigError("comparison.matrix_free.scored", expected, asked.scored)
    smallest = 2.0 ** (1 - asked.trainings)
    if asked.trainings < LEAST_TESTED:
        return [
            f"comparison.matrix_free.trainings ({asked.trainings}): directions cannot be tested with fewer than "
            f"{LEAST_TESTED} trainings of each algorithm"
        ]
    if smallest > settings.significance:
        return [
            f"comparison.matrix_free.trainings ({asked.trainings}): no direction can be significant, since the "
            f"smallest p is {smallest:.2g}"
        ]
    return []
