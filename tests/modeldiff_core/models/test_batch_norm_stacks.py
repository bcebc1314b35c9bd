"""Networks side by side against one torch.nn module a model: batches, running statistics, gradients.

In float64, so that a wrong statistic is told from the rounding that deep networks and small batches magnify.
"""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.func import functional_call

from modeldiff_core.identity import generator
from modeldiff_core.models import ARCHITECTURES, Net
from modeldiff_core.models.batch_norm_stacks import SideBySide
from modeldiff_core.models.initial import plain_state, random_state

MODELS, BATCH, CLASSES = 3, 6, 4
Case = tuple[str, tuple[int, int, int], tuple[int, ...]]
CASES: list[Case] = [
    ("resnet9", (12, 13, 2), (4, 6, 8, 5)),
    ("resnet18", (32, 32, 1), ()),
    ("efficientnet_lite0", (32, 33, 3), ()),
]
EVERY = pytest.mark.parametrize("case", CASES, ids=[kind for kind, _, _ in CASES])
SMALL = pytest.mark.parametrize("case", CASES[::2], ids=[kind for kind, _, _ in CASES[::2]])
PATHS = {"one after the other": SideBySide.logits, "grouped": SideBySide._grouped}
EITHER = pytest.mark.parametrize("way", PATHS.values(), ids=PATHS.keys())


def build(case: Case) -> Net:
    kind, shape, widths = case
    return ARCHITECTURES.get(kind).build(shape, widths, CLASSES).double()


def states(case: Case) -> list[dict[str, Tensor]]:
    """States with statistics that are no longer those of the start, so that neglecting them would be seen."""
    net = build(case)
    out = []
    for model in range(MODELS):
        state = random_state(net, lambda name, model=model: generator("start", model, name), list(plain_state(net)))
        for name, value in state.items():
            if "running" in name:
                state[name] = torch.from_numpy(generator("moved", model, name).uniform(0.5, 1.5, tuple(value.shape)))
        out.append({name: value.double() for name, value in state.items()})
    return out


def stacked(some: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    return {name: torch.stack([state[name] for state in some]) for name in some[0]}


def images_of(case: Case) -> Tensor:
    """A different brightness for each model: statistics over all models would be far from each one's own."""
    noise = torch.from_numpy(generator("images").normal(size=(MODELS, BATCH, *case[1])))
    return noise + torch.arange(MODELS)[:, None, None, None, None]


def close(got: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(got.detach(), expected.detach(), rtol=1e-8, atol=1e-8)


@EITHER
@EVERY
def test_a_batch_is_normalized_by_its_own_model_s_statistics(case: Case, way: Callable[..., object]) -> None:
    net, starts, images = build(case), states(case), images_of(case)
    before = stacked(starts)
    given = {name: value.clone() for name, value in before.items()}
    network = SideBySide(build(case), [name for name, _ in net.named_parameters()])
    logits, after = way(network, before, images)  # type: ignore[misc]
    assert logits.shape == (MODELS, BATCH, CLASSES)
    assert logits.std() > 0.01
    assert all(torch.equal(before[name], value) for name, value in given.items()), "what was given is left alone"
    assert set(after) == {name for name in before if "running" in name}
    net.train()
    for model, start in enumerate(starts):
        net.load_state_dict(start, strict=False)
        close(logits[model], net(images[model].permute(0, 3, 1, 2)))
        for name, value in after.items():
            moved = net.state_dict()[name]
            assert not torch.allclose(moved, start[name])
            close(value[model], moved)


@EITHER
@SMALL
def test_gradients_are_those_of_the_modules(case: Case, way: Callable[..., object]) -> None:
    net, starts, images = build(case), states(case), images_of(case)
    names = [name for name, _ in net.named_parameters()]
    parameters = stacked(starts)
    weights = torch.from_numpy(generator("loss").normal(size=(MODELS, BATCH, CLASSES)))
    for name in names:
        parameters[name].requires_grad_()
    logits, _ = way(SideBySide(build(case), names), parameters, images)  # type: ignore[misc]
    got = dict(zip(names, torch.autograd.grad((logits * weights).sum(), [parameters[n] for n in names]), strict=True))
    net.train()
    for model, start in enumerate(starts):
        own = {name: value.clone().requires_grad_(name in names) for name, value in start.items()}
        outputs = functional_call(net, own, (images[model].permute(0, 3, 1, 2),))
        expected = torch.autograd.grad((outputs * weights[model]).sum(), [own[name] for name in names])
        largest = max(float(change.abs().max()) for change in expected)
        assert np.median([float(change.abs().max()) for change in expected]) > 1e-3 * largest > 0
        for name, change in zip(names, expected, strict=True):
            torch.testing.assert_close(got[name][model], change, rtol=1e-6, atol=1e-10 * largest)


@EITHER
@SMALL
def test_frozen_layers_normalise_by_their_running_statistics(case: Case, way: Callable[..., object]) -> None:
    net, starts, images = build(case), states(case), images_of(case)
    logits, after = way(SideBySide(build(case), []), stacked(starts), images)  # type: ignore[misc]
    net.eval()
    for model, start in enumerate(starts):
        net.load_state_dict(start, strict=False)
        close(logits[model], net(images[model].permute(0, 3, 1, 2)))
        assert all(torch.equal(value[model], start[name]) for name, value in after.items())


@EITHER
def test_of_a_last_block_alone_only_its_statistics_move(way: Callable[..., object]) -> None:
    case = CASES[0]
    net, starts, images = build(case), states(case), images_of(case)
    names = net.trained_names("last_block")
    logits, after = way(SideBySide(build(case), names), stacked(starts), images)  # type: ignore[misc]
    net.train_only(names)
    for model, start in enumerate(starts):
        net.load_state_dict(start, strict=False)
        close(logits[model], net(images[model].permute(0, 3, 1, 2)))
        for name, value in after.items():
            assert torch.equal(value[model], start[name]) == (not name.startswith(("residual2.", "last.")))
