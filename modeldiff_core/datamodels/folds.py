"""Which models choose λ: a held-out part, or each of K folds in turn."""

import numpy as np

from modeldiff_core.datamodels.moments import validation_split
from modeldiff_core.errors import ConfigError
from modeldiff_core.identity import generator


def held_out(models: int, folds: int, fraction: float, seed: int) -> list[np.ndarray]:
    """Rows held out in turn while the others are fitted, drawn from the seed.

    folds 0: one part, a share `fraction` of the models. folds K ≥ 2: K parts that cover every model once, whose sizes
    differ by one at most.

    Raises ConfigError for one fold, a negative number of them, and more folds than models.
    """
    if folds == 0:
        return [validation_split(models, fraction, seed)[1]]
    if folds < 2:
        raise ConfigError("regression.folds", "0 for a held-out part, or 2 or more", folds)
    if folds > models:
        raise ConfigError("regression.folds", f"no more folds than the {models} models", folds)
    order = generator("folds", seed).permutation(models)
    return [np.sort(part) for part in np.array_split(order, folds)]
