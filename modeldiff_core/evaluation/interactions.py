"""How much of what a linear model of masks leaves is explained by pairs of groups of units."""

import numpy as np
from jaxtyping import Bool, Float, Int

from modeldiff_core.errors import ConfigError


def explained_by_pairs(
    groups: Int[np.ndarray, " units"],
    fitted: tuple[Bool[np.ndarray, "rows units"], Float[np.ndarray, "rows targets"]],
    fresh: tuple[Bool[np.ndarray, "others units"], Float[np.ndarray, "others targets"]],
) -> float:
    """Return the share of fresh residuals' variance that a second-order model of groups explains, at most 1.

    The features of a row are the products n_g·n_h (g ≤ h) of the numbers of units that it lacks in each group, around
    their means; their weights are fitted to the residuals of the linear model by least squares. Near 0, or below it by
    noise: pairs of groups explain nothing of what a linear model leaves.

    Args:
        groups: The group of each unit, such as the layer of a component, from 0.
        fitted: Masks and residuals that the weights are fitted on.
        fresh: Masks and residuals that they are tested on.

    Raises:
        ConfigError: For fewer fitted rows than pairs of groups and a constant.

    """
    count = int(groups.max()) + 1
    pairs = count * (count + 1) // 2
    if len(fitted[0]) <= pairs + 1:
        raise ConfigError("ablation.rows", f"more than {pairs + 1}, for {pairs} pairs of layers", len(fitted[0]))
    one_hot = np.eye(count)[groups]
    lacking = [(~masks) @ one_hot for masks in (fitted[0], fresh[0])]
    around = [values - lacking[0].mean(0) for values in lacking]
    first, second = np.triu_indices(count)
    features = [np.column_stack([np.ones(len(v)), v[:, first] * v[:, second]]) for v in around]
    weights, *_ = np.linalg.lstsq(features[0], fitted[1].astype(np.float64), rcond=None)
    residuals = fresh[1].astype(np.float64) - fresh[1].mean(0)
    predicted = features[1] @ weights
    left = residuals - (predicted - predicted.mean(0))
    total = float(np.square(residuals).sum())
    return 1 - float(np.square(left).sum()) / total if total > 0 else 0.0
