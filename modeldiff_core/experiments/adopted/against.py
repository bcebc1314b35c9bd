"""How well adopted attributions predict outputs that the store holds, such as those of COAR's ablations."""

import numpy as np

from modeldiff_core.errors import ConfigError
from modeldiff_core.evaluation.lds import Scores
from modeldiff_core.experiments.adopted.stored import find_stored
from modeldiff_core.experiments.components.memory_maps import Maps, score_attributions
from modeldiff_core.plan import Reference
from modeldiff_core.stages.regress import read_blocks
from modeldiff_core.store import MarginMatrix, ObjectStore


def score_against(store: ObjectStore, scores: Reference, key: str) -> Scores:
    """Return the scores of adopted attributions on a stored matrix; their Pearson correlation is COAR's rho.

    key: of the matrix. Rows that failed or were left out do not count. Raises ConfigError, by `against`, for a key at
    which no matrix is stored, and for attributions of other targets or components than the matrix has.
    """
    stored = find_stored(store, key, "against", any_responses=True)
    if stored.kind != "margins":
        raise ConfigError("against", "the key of a matrix of margins", key)
    weights, expected = read_blocks(store, scores).weights, (stored.n_targets, stored.n_train)
    if weights.shape != expected:
        raise ConfigError("against", f"margins of the scores' {weights.shape} targets and columns", expected)
    matrix = MarginMatrix.open(store, stored.reference.key)
    valid = matrix.valid()
    return score_attributions(np.asarray(weights), Maps(matrix.masks()[valid], matrix.margins()[valid]))
