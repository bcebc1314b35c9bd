"""Laws and their derivatives, held against finite differences and against the published formula."""

import numpy as np
import pytest

from harness.planted_laws import Planted, grid
from modeldiff_core.errors import ConfigError
from modeldiff_core.scaling.forms import (
    CHINCHILLA,
    GRANULARITY,
    NO_INTERACTION,
    SPARSITY,
    LawForm,
    features_of,
    law_forms,
)

CELLS = grid(np.array([1e8, 1e9, 1e10]), (0.0, 0.5, 0.95), (1e19, 1e20))
N, S, C = CELLS.T
D = C / (6 * (1 - S) * N)
G = np.tile([1.0, 2.0, 4.0], len(N) // 3)


def parameters_of(form: LawForm, rng: np.random.Generator) -> np.ndarray:
    scales = rng.uniform(-1, 0, len(form.terms))
    powers = [form.starts[name][0] for name in form.exponents]
    return np.concatenate([scales, powers, [1.5]])[None]


@pytest.mark.parametrize("form", [SPARSITY, NO_INTERACTION, CHINCHILLA, GRANULARITY], ids=lambda form: form.name)
def test_slopes_are_those_of_finite_differences(form: LawForm) -> None:
    design = form.design(features_of(N, D, S, G, (20.0, 24.0)))
    here = parameters_of(form, np.random.default_rng(1))
    losses, slopes = form.slopes(here, design)
    assert losses.std() > 0.05
    np.testing.assert_allclose(form.losses(here, design), losses)
    for at, name in enumerate(form.names):
        moved = [here.copy(), here.copy()]
        for one, step in zip(moved, (-1e-5, 1e-5), strict=True):
            one[0, at] += step
        found = (form.losses(moved[1], design) - form.losses(moved[0], design)) / 2e-5
        np.testing.assert_allclose(slopes[:, :, at], found, rtol=2e-5, atol=1e-9, err_msg=name)


@pytest.mark.parametrize("power", [-0.2, 1e-9, 0.0, 0.1])
def test_a_bent_term_goes_on_smoothly_where_its_exponent_is_none(power: float) -> None:
    design = SPARSITY.design(features_of(N, D, S, None, (20.0, 24.0)))
    here = parameters_of(SPARSITY, np.random.default_rng(2))
    at = SPARSITY.names.index("lambda")
    here[0, at] = power
    _, slopes = SPARSITY.slopes(here, design)
    near = here.copy()
    near[0, at] += 1e-5
    change = (SPARSITY.losses(near, design) - SPARSITY.losses(here, design)) / 1e-5
    np.testing.assert_allclose(slopes[:, :, at], change, rtol=1e-3, atol=1e-6)


def test_the_law_is_the_published_formula() -> None:
    truth = Planted()
    n, d = 0.0, 0.0
    here = [np.log(truth.a), np.log(truth.b), truth.c * truth.power, np.log(truth.d), truth.alpha, truth.beta]
    here += [truth.power, truth.delta, truth.gamma, truth.c + truth.e]
    design = SPARSITY.design(features_of(N, D, S, None, (n, d)))
    np.testing.assert_allclose(SPARSITY.losses(np.array([here]), design)[0], truth.loss(N, D, S), rtol=1e-12)


def test_a_law_that_is_not_known_is_named() -> None:
    with pytest.raises(ConfigError, match="chinchilla"):
        law_forms().get("chinchila")
