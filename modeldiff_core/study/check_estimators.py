"""What can be wrong with the estimators that a study asks for."""

from modeldiff_core.datamodels import ESTIMATORS, FromCheckpoints, FromMasks, FromTrainings
from modeldiff_core.datamodels.metagradient import Metagradient
from modeldiff_core.errors import ConfigError
from modeldiff_core.metagradients import check_differentiable
from modeldiff_core.study.build import build_algorithm, build_estimator
from modeldiff_core.study.config import RegressionConfig
from modeldiff_core.study.trainings import Training


def check_estimators(config: RegressionConfig, trainings: tuple[Training, ...], n_train: int) -> None:
    """Raise ConfigError for an estimator that is unknown, asked for twice, or cannot look into the algorithms.

    trainings: none where only margins are known, which estimators from checkpoints cannot do with.
    """
    for kind in config.settings:
        if kind not in ESTIMATORS.names():
            raise ConfigError("regression.settings", f"kinds of estimators: {', '.join(ESTIMATORS.names())}", kind)
        build_estimator(config, kind)
    asked = [("regression.estimator", config.estimator), *(("regression.also", kind) for kind in config.also)]
    if config.prior:
        if not issubclass(ESTIMATORS.get(config.estimator), FromMasks):
            hint = "A prior is taken away from the margins that are regressed on masks"
            raise ConfigError("regression.prior", "none, for an estimator that takes no margins", config.prior, hint)
        asked.append(("regression.prior", config.prior))
    seen: set[str] = set()
    for key, kind in asked:
        if kind in seen and key != "regression.prior":
            raise ConfigError(key, "estimators that are asked for once", kind)
        seen.add(kind)
        estimator = build_estimator(config, kind, key)
        if not isinstance(estimator, FromCheckpoints | FromTrainings):
            continue
        if not trainings:
            raise ConfigError(key, "an estimator from masks and margins", kind, "These margins come without models")
        for training in trainings:
            try:
                algorithm = build_algorithm(training.algorithm, training.key)
                if isinstance(estimator, FromTrainings):
                    estimator.check(algorithm, n_train, training.output, halves=kind == config.estimator)
                    if isinstance(estimator, Metagradient):
                        check_derivatives(training, "")
                else:
                    estimator.check(algorithm, n_train)
            except ConfigError as error:
                if error.key.startswith(f"{training.key}."):
                    raise
                if error.key.startswith("recipe."):
                    raise _in_algorithm(error, training) from error
                own = f"regression.settings.{kind}.{error.key}" if error.key else key
                raise ConfigError(own, error.expected, error.got, error.hint) from error


def check_derivatives(training: Training, key: str) -> None:
    """Raise ConfigError for a training that cannot be differentiated.

    Args:
        training: The training; a network of a user's own is tried on images of its data's shape.
        key: What asked for derivatives, for an algorithm of a kind that has none.
    """
    data = training.load()
    try:
        algorithm = build_algorithm(training.algorithm, training.key)
        check_differentiable(algorithm, training.output, key, (data.image_shape, data.n_outputs))
    except ConfigError as error:
        if not error.key.startswith("recipe."):
            raise
        raise _in_algorithm(error, training) from error


def _in_algorithm(error: ConfigError, training: Training) -> ConfigError:
    """Return an error of a recipe's setting with the algorithm before its key."""
    return ConfigError(f"{training.key}.{error.key}", error.expected, error.got, error.hint)
