"""Correlations of many columns at once."""

import numpy as np
from jaxtyping import Float


def correlation(
    x: Float[np.ndarray, "models targets"], y: Float[np.ndarray, "models targets"]
) -> Float[np.ndarray, " targets"]:
    """Return the Pearson correlation Σx̃ỹ/√(Σx̃²·Σỹ²) of matching columns, x̃ = x − x̄; 0 where one of them is constant."""
    x, y = centered(x), centered(y)
    product = np.einsum("ij,ij->j", x, y)
    scale = np.sqrt(np.einsum("ij,ij->j", x, x) * np.einsum("ij,ij->j", y, y))
    return np.asarray(np.divide(product, scale, out=np.zeros_like(product), where=scale > 0))


def centered(values: Float[np.ndarray, "models targets"]) -> Float[np.ndarray, "models targets"]:
    """Return the columns without their means; exactly zero where a column is constant."""
    values = values - values[:1]
    return np.asarray(values - values.mean(0))
