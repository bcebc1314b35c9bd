"""EK-FAC influence against the dense solve where it is exact, and gradients of all layers against torch's own."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from modeldiff_core.datamodels.ekfac import Labeled, attributed_parameters, ekfac_attributions, margin_sum
from modeldiff_core.errors import ConfigError


def labeled(x: Tensor, y: Tensor) -> Labeled:
    return Labeled(lambda rows: x[rows], y)


def gradients(net: nn.Module, x: Tensor, y: Tensor, of: str) -> Tensor:
    """Gradients of every example by all parameters, one after the other."""
    found = []
    for one, label in zip(x, y, strict=True):
        net.zero_grad()
        logits = net(one[None])
        value = margin_sum(logits, label[None]) if of == "margin" else nn.functional.cross_entropy(logits, label[None])
        value.backward()
        found.append(torch.cat([p.grad.flatten() for p in net.parameters() if p.grad is not None]))
    return torch.stack(found)


def gauss_newton(net: nn.Module, x: Tensor) -> Tensor:
    """The dense Gauss-Newton matrix of the mean cross-entropy."""
    total = 0.0
    for one in x:
        rows = []
        for k in range(net(one[None]).shape[1]):
            net.zero_grad()
            net(one[None])[0, k].backward()
            rows.append(torch.cat([p.grad.flatten() for p in net.parameters() if p.grad is not None]))
        jacobian, p = torch.stack(rows), net(one[None])[0].softmax(0).detach()
        total = total + jacobian.T @ (torch.diag(p) - p[:, None] * p) @ jacobian
    return total / len(x)


def test_it_is_the_dense_solve_where_the_factors_are_exact() -> None:
    # One-hot inputs and two classes: every block of the Gauss-Newton matrix has the same eigenvectors.
    torch.manual_seed(0)
    x, y = torch.eye(4)[torch.randint(4, (30,))], torch.randint(2, (30,))
    targets, labels = torch.eye(4), torch.tensor([0, 1, 0, 1])
    net = nn.Sequential(nn.Linear(4, 2, bias=False))
    found = ekfac_attributions(net, net.state_dict(), labeled(x, y), labeled(targets, labels), damping=0.2)
    matrix = gauss_newton(net, x)
    damped = matrix + 0.2 * matrix.diag().mean() * torch.eye(8)
    expected = -gradients(net, targets, labels, "margin") @ torch.linalg.solve(damped, gradients(net, x, y, "loss").T)
    assert expected.abs().max() > 0.1
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-3, atol=1e-4)


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(2, 3, 3, stride=2, padding=1, dilation=1)
        self.norm = nn.BatchNorm2d(3, affine=False)
        self.second = nn.Conv2d(3, 4, 2, padding="same", padding_mode="circular", bias=False)
        self.relu = nn.ReLU(inplace=True)
        self.last = nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.norm(self.first(x)))
        out: Tensor = self.last(self.relu(self.second(x)).flatten(2).transpose(1, 2)).mean(1)
        return out


@pytest.mark.parametrize("layer", ["first", "second", "last"])
def test_gradients_of_each_layer_are_torchs_own(layer: str) -> None:
    torch.manual_seed(1)
    net = Small().eval()
    net.norm.running_mean += 0.3
    for name, parameter in net.named_parameters():
        parameter.requires_grad_(name.startswith(layer))
    x, y = torch.randn(7, 2, 8, 8), torch.randint(5, (7,))
    mean = float(gauss_newton(net, x).diag().mean())
    huge = 1e6  # so large that the curvature is the damping alone
    found = ekfac_attributions(net, net.state_dict(), labeled(x, y), labeled(x, y), damping=huge)
    expected = -gradients(net, x, y, "margin") @ gradients(net, x, y, "loss").T / (huge * mean)
    assert expected.abs().max() > 0
    np.testing.assert_allclose(found, expected.numpy(), rtol=2e-3, atol=2e-3 * float(expected.abs().max()))


def test_many_classes_are_drawn_and_come_near_the_exact_curvature() -> None:
    torch.manual_seed(2)
    x, y = torch.randn(600, 3), torch.randint(20, (600,))
    net = nn.Sequential(nn.Linear(3, 20))
    given = labeled(x, y), labeled(x[:10], y[:10])
    drawn = ekfac_attributions(net, net.state_dict(), *given)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("modeldiff_core.datamodels.ekfac.EXACT_CLASSES", 20)
        exact = ekfac_attributions(net, net.state_dict(), *given)
    assert np.corrcoef(drawn.ravel(), exact.ravel())[0, 1] > 0.97
    assert not np.array_equal(drawn, exact)
    assert np.array_equal(drawn, ekfac_attributions(net, net.state_dict(), *given))


def test_blocks_of_targets_and_batches_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(3)
    net = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3))
    x, y = torch.randn(40, 6), torch.randint(3, (40,))
    whole = ekfac_attributions(net, net.state_dict(), labeled(x, y), labeled(x, y))
    monkeypatch.setattr("modeldiff_core.datamodels.ekfac.NUMBERS", 53 * 7)
    parts = ekfac_attributions(net, net.state_dict(), labeled(x, y), labeled(x, y))
    np.testing.assert_allclose(parts, whole, rtol=1e-3, atol=1e-4 * np.abs(whole).max())


def test_what_takes_part_is_counted_and_other_networks_are_refused() -> None:
    assert attributed_parameters(nn.Sequential(nn.Linear(2, 3), nn.LayerNorm(3))) == (9, 15)

    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(2, 2)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.layer(self.layer(x))
            return out

    given = labeled(torch.randn(4, 2), torch.tensor([0, 1, 0, 1]))
    with pytest.raises(ConfigError, match="uses every layer once.*used 2 times"):
        ekfac_attributions(Twice(), Twice().state_dict(), given, given)
    with pytest.raises(ConfigError, match="linear or convolutional layers"):
        ekfac_attributions(nn.Identity(), {}, given, given)
