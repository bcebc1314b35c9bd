"""Networks whose components' parts in each output are known, and the trap of as many ablations as components."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from modeldiff_core.ablation import Probes, Selection, ablated_outputs, find_components, subject_of
from modeldiff_core.datamodels import Datamodels
from modeldiff_core.datamodels.least_squares import fit_least_squares
from modeldiff_core.datamodels.ridge import fit_ridge
from modeldiff_core.datamodels.standard_errors import weight_errors
from modeldiff_core.designs import Bernoulli
from modeldiff_core.evaluation.lds import scores_with_intervals
from modeldiff_core.experiments.components.settings import PENALTIES
from modeldiff_core.margins import correct_class_margin
from tests.modeldiff_core.ablation.networks import seeded, small

COMPONENTS = 12


class Sum(nn.Module):
    """Class 0 is the sum of the rows of the first layer, class 1 is nothing: the margin is linear in the rows."""

    def __init__(self) -> None:
        super().__init__()
        self.rows = nn.Linear(6, COMPONENTS)

    def forward(self, x: Tensor) -> Tensor:
        total = self.rows(x).sum(-1, keepdim=True)
        return torch.cat([total, torch.zeros_like(total)], -1)


class OneAClass(nn.Module):
    """Row c is the logit of class c, and the last row is used by none."""

    def __init__(self) -> None:
        super().__init__()
        self.rows = nn.Linear(5, 6)
        self.rows.weight.data = torch.cat([torch.eye(5), torch.ones(1, 5)])
        self.rows.bias.data.zero_()

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.rows(x))[..., :5]


def fitted(net: nn.Module, asked: Probes, rows: int, keep: float = 0.9) -> tuple[np.ndarray, np.ndarray, Datamodels]:
    components = find_components(net, [Selection("rows")])
    masks = Bernoulli(len(components), keep, 3).masks(range(rows))
    outputs = ablated_outputs(subject_of(net, components, "zero"), asked, masks)
    return masks, outputs, fit_ridge(masks, outputs, penalties=PENALTIES)


def test_weights_of_a_linear_margin_are_the_components_own_parts() -> None:
    net = seeded(Sum)
    inputs = torch.randn(8, 6, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        expected = net.get_submodule("rows")(inputs).numpy()
    _, _, fit = fitted(net, Probes(inputs, torch.zeros(8, dtype=torch.long), correct_class_margin), 200)
    assert np.abs(expected).max() > 1
    np.testing.assert_allclose(fit.weights, expected, atol=1e-4)
    np.testing.assert_allclose(fit.bias, 0, atol=1e-3)


def test_the_component_of_a_class_is_the_top_one_in_all_cases_and_an_unused_one_is_around_zero() -> None:
    inputs = torch.rand(60, 5, generator=torch.Generator().manual_seed(2)) + 0.2
    labels = torch.arange(60) % 5
    asked = Probes(inputs, labels, correct_class_margin)
    masks, outputs, fit = fitted(seeded(OneAClass), asked, 400, keep=0.8)
    assert (fit.weights.argmax(1) == labels.numpy()).all()
    assert fit.weights.max(1).min() > 0.1
    half = 1.96 * weight_errors(masks, outputs, fit)
    around_zero = np.abs(fit.weights) <= half
    assert around_zero[:, 5].mean() >= 0.9
    assert np.abs(fit.weights[:, 5]).max() < 0.1 * fit.weights.max(1).min() + half[:, 5].max()
    own = around_zero[np.arange(60), labels.numpy()]
    assert not own.any()


@pytest.fixture(scope="module")
def digits() -> tuple[nn.Module, Probes]:
    """Return a CNN of 44 filters trained on digits, and 60 test images."""
    from modeldiff_core.data.digits import Digits
    from modeldiff_core.models.stacks import to_module
    from modeldiff_core.training import Execution
    from modeldiff_core.training.settings import Network
    from modeldiff_core.training.sgd import Sgd

    data = Digits().load()
    recipe = Sgd(network=Network("cnn", (12, 32)), learning_rate=0.05, epochs=8)
    trained = recipe.train(data.train, 10, np.ones((1, 1000), dtype=bool), [0], 1, Execution())
    net = small("cnn", (12, 32))
    net.load_state_dict(to_module({name: torch.from_numpy(value[0]) for name, value in trained.weights().items()}))
    pixels = torch.from_numpy(data.test.images[:60]).float().div(255).sub(0.5).div(0.5).permute(0, 3, 1, 2)
    return net, Probes(pixels.contiguous(), torch.from_numpy(data.test.labels[:60]), correct_class_margin)


def test_as_many_ablations_as_components_trap_least_squares_and_not_ridge(digits: tuple[nn.Module, Probes]) -> None:
    net, asked = digits
    components = find_components(net, [Selection("filters")])
    subject, units = subject_of(net, components, "zero"), len(components)
    masks, fresh = (Bernoulli(units, 0.9, seed).masks(range(rows)) for seed, rows in ((0, 4 * units), (1, 150)))
    outputs, others = (ablated_outputs(subject, asked, some) for some in (masks, fresh))

    def rho(fit: Datamodels) -> float:
        return scores_with_intervals(fit.weights, fit.bias, fresh, others).pearson.mean

    few = masks[:units], outputs[:units]
    trapped, ridge = rho(fit_least_squares(*few)), rho(fit_ridge(*few, penalties=PENALTIES))
    assert trapped < 0.5
    assert ridge > 0.6
    assert rho(fit_least_squares(masks, outputs)) > 0.8
