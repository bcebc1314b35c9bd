"""Which models choose λ: a held-out part, or each of K folds in turn."""

import numpy as np

from modeldiff_core.datamodels.moments import validation_split
from modeldiff_core.errors import ConfigError
from modeldiff_core.identity import generator
from modeldiff_core.statistics.replicates import Replicates


def held_out(models: Replicates, folds: int, fraction: float, seed: int) -> list[np.ndarray]:
    """Return rows held out in turn while the others are fitted, drawn from the seed; no replicate is split.

    folds 0: one part, a share `fraction` of the models. folds K ≥ 2: K parts that cover every replicate once, whose
    numbers of replicates differ by one at most.

    Raises ConfigError for one fold, a negative number of them, and more folds than replicates.
    """
    if folds == 0:
        return [validation_split(models, fraction, seed)[1]]
    count = len(models)
    if folds < 2:
        raise ConfigError("regression.folds", "0 for a held-out part, or 2 or more", folds)
    if folds > count:
        raise ConfigError("regression.folds", f"no more folds than the {count} different masks", folds)
    fold = np.empty(count, int)
    for number, part in enumerate(np.array_split(generator("folds", seed).permutation(count), folds)):
        fold[part] = number
    return [np.flatnonzero(models.rows_of(fold == number)) for number in range(folds)]
