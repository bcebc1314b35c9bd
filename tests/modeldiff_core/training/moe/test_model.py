"""The transformer: what it costs, what it sees, and that a training goes on from its middle with the same bits."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from modeldiff_core.errors import ConfigError
from modeldiff_core.training.moe import (
    MoeNetwork,
    MoeRecipe,
    MoeTransformer,
    TrainedMoe,
    active_experts,
    active_parameters,
    parameters,
    step_flops,
    token_flops,
    train_moe,
)
from modeldiff_core.training.moe import model as model_module
from modeldiff_core.training.moe.counts import PASSES, ROUTER
from modeldiff_core.training.moe.optimizer import ScaleFreeAdam, cosine_share

SMALL = MoeNetwork(30, 16, 16, 2, heads=2, experts=8, active=2, granularity=4)


def text(seed: int = 0, sequences: int = 4) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 30, (sequences, 17))


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("granularity", [1, 4])
def test_parameters_are_those_of_the_network(tied: bool, granularity: int) -> None:
    network = MoeNetwork(30, 16, 16, 2, 2, 8, 2, granularity, tied)
    assert parameters(network) == sum(one.numel() for one in MoeTransformer(network).parameters())
    idle = 6 * 3 * 16 * network.hidden * 2
    assert active_parameters(network) == parameters(network) - idle


@pytest.mark.parametrize(
    "network",
    [SMALL, MoeNetwork(50, 32, 32, 3, 1, 16, 16, 2, True), MoeNetwork(257, 24, 64, 1, 4, 64, 1, 1)],
)
def test_flops_are_those_that_torch_counts_on_the_plain_loop(
    network: MoeNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = TrainedMoe(network, MoeRecipe(sequences=4), 10, 0, way="loop")
    batch = np.random.default_rng(0).integers(0, network.vocabulary, (4, network.context + 1))
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        trained.advance(batch)
    tokens = 4 * network.context
    assert counter.get_total_flops() == pytest.approx(token_flops(network, PASSES) * tokens, rel=0.01)
    choice = (ROUTER - PASSES) * network.width * network.experts * network.layers
    assert step_flops(network, 4) == (token_flops(network, PASSES) + choice) * tokens


def test_it_is_the_papers_formula() -> None:
    d, layers, context, active, granularity, vocabulary, experts = 64, 3, 32, 2, 2, 257, 16
    network = MoeNetwork(vocabulary, context, d, layers, 4, experts, active, granularity)
    inner = 4 + 2 * context / d + 12 * active / granularity + vocabulary / (d * layers)
    assert token_flops(network) == pytest.approx(6 * layers * d**2 * inner + 14 * d * experts * layers)


def test_no_token_sees_a_later_one(monkeypatch: pytest.MonkeyPatch) -> None:
    model, tokens = MoeTransformer(SMALL).draw(1), torch.from_numpy(text()[:, :16])
    changed = tokens.clone()
    changed[:, 9:] = (changed[:, 9:] + 7) % 30
    before, after = model(tokens).logits, model(changed).logits
    assert torch.equal(before[:, :9], after[:, :9])
    assert not torch.allclose(before[:, 9:], after[:, 9:])
    monkeypatch.setattr(model_module, "SHORT", 0)
    torch.testing.assert_close(model(tokens).logits, before, rtol=1e-5, atol=1e-5)


def test_training_learns_and_goes_on_from_its_middle_with_the_same_bits() -> None:
    recipe = MoeRecipe(learning_rate=1e-2, sequences=4)
    whole = TrainedMoe(SMALL, recipe, 30, 3)
    losses = train_moe(whole, lambda step: text(step % 3))
    assert losses[0] == pytest.approx(np.log(30), abs=0.7)
    assert np.mean(losses[-3:]) < losses[0] - 1
    first, second = TrainedMoe(SMALL, recipe, 30, 3), TrainedMoe(SMALL, recipe, 30, 3)
    early = train_moe(first, lambda step: text(step % 3), 13)
    second.load(first.step, first.state())
    assert early + train_moe(second, lambda step: text(step % 3)) == losses
    assert all(np.array_equal(one, whole.state()[name]) for name, one in second.state().items())
    other = TrainedMoe(SMALL, recipe, 30, 4)
    assert not np.array_equal(
        other.state()["weight.embedding"], TrainedMoe(SMALL, recipe, 30, 3).state()["weight.embedding"]
    )


def test_loads_and_losses_are_those_of_all_windows() -> None:
    trained = TrainedMoe(SMALL, MoeRecipe(sequences=3), 10, 0)
    found = trained.evaluate(text(5, 7))
    assert found.loads.shape == (2, 8)
    assert found.loads.sum(1) == pytest.approx([1.0, 1.0])
    again = np.mean([trained.evaluate(text(5, 7)[row : row + 1]).loss for row in range(7)])
    assert found.loss == pytest.approx(again, rel=1e-5)
    assert found.window_losses.mean() == found.loss


def test_a_training_that_explodes_ends_early() -> None:
    trained = TrainedMoe(SMALL, MoeRecipe(learning_rate=10.0, sequences=4, warm_up=0.0), 50, 0)
    losses = train_moe(trained, lambda step: text(step))
    assert len(losses) < 50
    assert not losses[-1] < trained.exploded


def test_steps_do_not_depend_on_the_scale_of_gradients_and_decay_not_on_the_rate() -> None:
    def moved(scale: float, rate: float) -> torch.Tensor:
        weight = torch.tensor([1.0, -2.0, 3.0])
        adam = ScaleFreeAdam.of([weight], rate, (0.9, 0.95), 0.01)
        for step in range(5):
            adam.step([torch.tensor([1.0, step - 2.0, 0.0]) * scale], 1.0)
        return weight

    torch.testing.assert_close(moved(1.0, 0.1), moved(1e-6, 0.1), rtol=1e-5, atol=1e-7)
    assert moved(1.0, 0.1)[0] < 0.6
    assert moved(1.0, 0.1)[2].item() == pytest.approx(3 * 0.99**5)
    assert moved(1.0, 0.0)[0].item() == pytest.approx(0.99**5)


def test_the_schedule_rises_and_falls() -> None:
    shares = [cosine_share(step, 100, 0.1, 0.0) for step in range(100)]
    assert shares[:10] == pytest.approx([(step + 1) / 10 for step in range(10)])
    assert max(shares) == 1.0
    assert all(one > other for one, other in pairwise(shares[9:]))
    assert shares[-1] == pytest.approx(0.0)
    assert cosine_share(99, 100, 0.1, 0.2) == pytest.approx(0.2)


def test_sparsities_are_those_that_whole_experts_give() -> None:
    assert [active_experts(64, s) for s in (0.0, 0.5, 0.94, 0.97, 0.98)] == [64, 32, 4, 2, 1]
    with pytest.raises(
        ConfigError, match="sparsities: expected a sparsity that 8 experts can have; the nearest is 0.8750"
    ):
        active_experts(8, 0.9)
    with pytest.raises(ConfigError, match="from 0 to below 1"):
        active_experts(8, 1.0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"active": 9}, "network.active: expected at most the 8 experts"),
        ({"heads": 3}, "network.heads: expected heads of an even size"),
        ({"granularity": 7}, "network.granularity: expected a divisor of 4 · width, 64"),
        ({"layers": 0}, "network.layers: expected 1 or more"),
    ],
)
def test_shapes_that_cannot_be_are_refused(changes: dict[str, int], message: str) -> None:
    given = {"vocabulary": 30, "context": 16, "width": 16, "layers": 2, "heads": 2, "experts": 8, "active": 2}
    with pytest.raises(ConfigError, match=message):
        MoeNetwork(**{**given, **changes})
