"""Ridge regression in closed form: dense datamodels from one eigendecomposition."""

import numpy as np
import torch
from jaxtyping import Bool, Float

from modeldiff_core.datamodels.moments import check_regression_input, moments, r_squared, validation_split
from modeldiff_core.datamodels.result import Datamodels
from modeldiff_core.errors import ConfigError


def fit_ridge(
    masks: Bool[np.ndarray, "models train"],
    margins: Float[np.ndarray, "rows targets"],
    *,
    penalties: tuple[float, ...] = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0),
    validation_fraction: float = 0.1,
    device: str = "cpu",
    seed: int = 0,
) -> Datamodels:
    """Dense datamodels: argmin over (w, b) of (1/2m)·‖y − b − Xw‖² + (λ/2)·‖w‖².

    λ is the penalty of least error on held-out models, for each target, among `penalties` (in units of a squared
    mask entry); then w = (G + λI)⁻¹c on all models, G and c the centred second moments.

    Raises ConfigError for lengths that differ, margins that are not finite, masks without any example, and penalties
    that are not positive.
    """
    check_regression_input(masks, margins)
    if not penalties or not min(penalties) > 0:
        raise ConfigError("regression.penalties", "one or more numbers above 0", list(penalties))
    x = torch.from_numpy(masks).to(device, torch.float32)
    y = torch.from_numpy(np.asarray(margins, np.float32)).to(device)
    fit, held = validation_split(len(masks), validation_fraction, seed)
    part = moments(x[fit], y[fit])
    values, vectors = torch.linalg.eigh(part.gram())
    rotated = vectors.T @ part.cross.float()
    lambdas = torch.tensor(penalties, device=device)
    scores = []
    for penalty in penalties:
        weights = vectors @ (rotated / (values.clamp(min=0) + penalty)[:, None])
        scores.append(r_squared(x[held], y[held], weights, part.bias(weights)))
    held_r2, choice = torch.stack(scores).max(0)
    chosen = lambdas[choice]
    whole = moments(x, y)
    values, vectors = torch.linalg.eigh(whole.gram())
    shrunk = values.clamp(min=0)[:, None] + chosen
    weights = (vectors @ ((vectors.T @ whole.cross.float()) / shrunk)).double()
    # What float32 has left of the equations is solved for once more: weights are then right to float32's precision.
    left = whole.cross - whole.product(weights) - chosen * weights
    weights += vectors @ ((vectors.T @ left.float()) / shrunk)
    return Datamodels(
        weights=weights.T.float().contiguous().cpu().numpy(),
        bias=whole.bias(weights).float().cpu().numpy(),
        lambdas=chosen.cpu().numpy(),
        duality_gap=np.full(len(chosen), np.nan, np.float32),
        validation_r2=held_r2.cpu().numpy(),
    )
