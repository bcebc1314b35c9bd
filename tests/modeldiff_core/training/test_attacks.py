"""Attacks against closed forms, a loop of their own and, where it is installed, a public implementation."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from modeldiff_core.errors import ConfigError
from modeldiff_core.training.attacks import Attack, Within, perturbed, universal

GEN = np.random.default_rng(0)
X = torch.from_numpy(GEN.random((256, 1, 12, 1)))
Y = torch.from_numpy(GEN.integers(0, 3, 256))
torch.manual_seed(0)
NET = nn.Sequential(nn.Flatten(), nn.Linear(12, 20), nn.ReLU(), nn.Linear(20, 3)).double()


def loss(x: Tensor) -> Tensor:
    return F.cross_entropy(NET(x[0]), Y[: x.shape[1]], reduction="sum")


def by_hand(attack: Attack, box: tuple[float, float] | None) -> Tensor:
    """The definition, one example at a time."""
    found = []
    for x0, y in zip(X, Y, strict=True):
        x = x0.clone()
        for _ in range(attack.steps):
            at = x.clone().requires_grad_()
            (g,) = torch.autograd.grad(F.cross_entropy(NET(at[None]), y[None]), at)
            d = g.sign() if attack.norm == "linf" else g / max(float(g.norm()), 1e-12)
            moved = x + attack.step * attack.epsilon * d - x0
            if attack.norm == "linf":
                moved = moved.clamp(-attack.epsilon, attack.epsilon)
            elif float(moved.norm()) > attack.epsilon:
                moved = moved * (attack.epsilon / moved.norm())
            x = x0 + moved
            x = x if box is None else x.clamp(*box)
        found.append(x)
    return torch.stack(found)


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("box", [None, (0.0, 1.0)])
def test_the_ascent_is_that_of_the_definition_on_256_images(norm: str, box: tuple[float, float] | None) -> None:
    attack = Attack(norm, 0.3, 7, 0.3)  # type: ignore[arg-type]
    found = perturbed(loss, X[None], attack, Within(box))[0]
    assert float((found - X).abs().max()) > 0.1
    assert float((found - by_hand(attack, box)).abs().max()) < 1e-10
    accuracy = [float((NET(x).argmax(1) == Y).double().mean()) for x in (X, found)]
    assert accuracy[1] < accuracy[0] - 0.1


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_the_ascent_is_that_of_a_public_implementation(norm: str) -> None:
    import foolbox

    kinds = {"linf": foolbox.attacks.LinfPGD, "l2": foolbox.attacks.L2PGD}
    model = foolbox.PyTorchModel(NET.eval(), bounds=(0, 1))
    public = kinds[norm](rel_stepsize=0.3, steps=7, random_start=False)
    _, expected, _ = public(model, X, Y, epsilons=0.3)
    attack = Attack(norm, 0.3, 7, 0.3)  # type: ignore[arg-type]
    found = perturbed(loss, X[None], attack, Within((0.0, 1.0)))[0]
    assert float((found - expected).abs().max()) < 1e-5


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_against_a_linear_model_one_step_is_the_best_there_is(norm: str) -> None:
    weight = torch.linspace(-1, 2, 12, dtype=torch.float64)
    line = X[None]
    found = perturbed(lambda x: (x.flatten(2) @ weight).sum(), line, Attack(norm, 0.5, 1, 1.0), Within())  # type: ignore[arg-type]
    best = weight.abs().sum() if norm == "linf" else weight.norm()
    gained = ((found - line).flatten(2) @ weight).flatten()
    torch.testing.assert_close(gained, torch.full_like(gained, 0.5 * float(best)))
    moved = universal(lambda x: (x.flatten(2) @ weight).sum(), line, Attack(norm, 0.5, 4, 0.5), Within())  # type: ignore[arg-type]
    torch.testing.assert_close((moved.flatten(2) @ weight).flatten(), torch.tensor([0.5 * float(best)]).double())


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_a_random_start_lies_in_the_ball_and_what_is_held_never_moves(norm: str) -> None:
    attack = Attack(norm, 0.2, 3, 0.5, random_start=True)  # type: ignore[arg-type]
    draws = torch.from_numpy(GEN.random(X[None].shape))
    start = attack.start(draws)
    sizes = start.abs().amax((2, 3, 4)) if norm == "linf" else start.flatten(2).norm(dim=2)
    assert float(sizes.max()) <= 0.2 + 1e-12
    assert float(sizes.std()) > 0
    free = torch.ones(1, 1, 1, 12, 1).double()
    free[..., :6, :] = 0
    found = perturbed(loss, X[None], attack, Within((0.0, 1.0), lambda moved: moved * free), draws)
    assert torch.equal(found[..., :6, :], X[None][..., :6, :])
    assert float((found - X[None]).abs().max()) > 0.01


@pytest.mark.parametrize("changes", [{"epsilon": 0.0}, {"steps": 0}, {"step": 0.0}])
def test_an_attack_that_moves_nothing_is_refused(changes: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=r"attack\.(epsilon|steps|step): expected"):
        Attack(**changes)  # type: ignore[arg-type]
