"""Compiled training steps against torch's autograd, for every shape of layer that there is code for."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from modeldiff_core.models import Shape, StackedConvNet, StackedMLP
from modeldiff_core.models.stacks import ConvStages, cnn_stages, lenet_stages
from modeldiff_core.training.native.layout import Layout, layout_of
from modeldiff_core.training.native.library import native_library
from modeldiff_core.training.native.network import NativeNetwork, Passes, Rules, Table

CLASSES = 10
NETWORKS: dict[str, tuple[StackedMLP | StackedConvNet, Shape]] = {
    "mlp": (StackedMLP((28, 28, 1), (64,), CLASSES), (28, 28, 1)),
    "mlp-odd": (StackedMLP((5, 7, 3), (33, 20, 1), CLASSES), (5, 7, 3)),
    "linear-many-classes": (StackedMLP((4, 4, 1), (130,), 37), (4, 4, 1)),
    "cnn": (StackedConvNet(cnn_stages((28, 28, 1), (16, 32), CLASSES)), (28, 28, 1)),
    "cnn-odd-color": (StackedConvNet(cnn_stages((15, 13, 3), (8, 20), CLASSES)), (15, 13, 3)),
    "cnn-deep": (StackedConvNet(cnn_stages((17, 16, 6), (33, 40, 17), CLASSES)), (17, 16, 6)),
    "cnn-two-channels": (StackedConvNet(cnn_stages((6, 8, 2), (5,), CLASSES)), (6, 8, 2)),
    "lenet": (StackedConvNet(lenet_stages((28, 28, 1), CLASSES)), (28, 28, 1)),
    "lenet-color": (StackedConvNet(lenet_stages((16, 13, 3), CLASSES)), (16, 13, 3)),
}
EACH = pytest.mark.parametrize("name", NETWORKS)


def described(name: str) -> tuple[StackedMLP | StackedConvNet, Shape, Layout]:
    stack, shape = NETWORKS[name]
    layout = layout_of(stack, shape)
    assert layout is not None
    return stack, shape, layout


def started(stack: StackedMLP | StackedConvNet) -> dict[str, torch.Tensor]:
    drawn = stack.initial(np.random.default_rng(1))
    return {name: torch.from_numpy(value) for name, value in drawn.items()}


def images(shape: Shape, n: int) -> torch.Tensor:
    return torch.randn(n, *shape, generator=torch.Generator().manual_seed(2))


def by_torch(
    stack: StackedMLP | StackedConvNet,
    start: dict[str, torch.Tensor],
    x: torch.Tensor,
    targets: torch.Tensor,
    batch: int,
    rates: list[float],
    rules: Rules,
) -> dict[str, torch.Tensor]:
    """The same steps by autograd in double precision."""
    values = {name: value.double().requires_grad_() for name, value in start.items()}
    speed = {name: torch.zeros_like(value) for name, value in values.items()}
    for rate, own, target in zip(rates, x.double().split(batch), targets.split(batch), strict=True):
        y = own.permute(0, 3, 1, 2)
        if isinstance(stack, StackedMLP):
            y = own.flatten(1)
            names = [str(i) for i in range(len(stack.sizes) - 1)]
        else:
            for i, (_, _, padding) in enumerate(stack.stages.convolutions):
                weight, bias = values[f"conv{i}.weight"], values[f"conv{i}.bias"]
                y = F.max_pool2d(F.conv2d(y, weight, bias, padding=padding), 2).relu()
            y, names = y.flatten(1), [name for name, _ in stack.linear_layers()]
        for name in names:
            y = y @ values[f"{name}.weight"] + values[f"{name}.bias"]
            y = y if name == names[-1] else y.relu()
        loss = F.cross_entropy(y, target, label_smoothing=rules.label_smoothing)
        gradients = torch.autograd.grad(loss, list(values.values()))
        with torch.no_grad():
            for name, gradient in zip(values, gradients, strict=True):
                speed[name] = rules.momentum * speed[name] + gradient + rules.weight_decay * values[name]
                values[name] -= rate * speed[name]
    return {name: value.detach() for name, value in values.items()}


@EACH
@pytest.mark.parametrize("rules", [Rules(0.0, 0.0, 0.0), Rules(0.9, 0.01, 0.2)], ids=["plain", "all"])
def test_steps_are_those_of_autograd(name: str, rules: Rules) -> None:
    """13 and then 5 examples, rows of a table in any order; two rates."""
    stack, shape, layout = described(name)
    start, x, rates = started(stack), images(shape, 30), [0.5, 0.2]
    order = np.random.default_rng(3).permutation(30)[:18]
    targets = np.random.default_rng(4).integers(layout.classes, size=18)
    expected = by_torch(stack, start, x[order], torch.from_numpy(targets), 13, rates, rules)
    flat, velocity = layout.packed(start), torch.zeros(layout.size)
    network = NativeNetwork(layout, 13)
    network.train(flat, velocity, Passes(Table(x.flatten(1)), order, targets, np.float32(rates), 18), rules)
    got = layout.unpacked(flat)
    assert got.keys() == expected.keys()
    for key, value in expected.items():
        moved = (value - start[key].double()).abs().max()
        assert moved > 1e-4, f"{key} should have moved"
        assert (got[key].double() - value).abs().max() < 1e-4 * moved + 1e-6, key
    assert (layout.packed(got) == flat).all(), "what pads rows of weights has to stay 0"


@pytest.mark.parametrize("name", ["mlp", "mlp-odd", "linear-many-classes", "cnn", "lenet-color"])
def test_bfloat16_products_differ_by_their_rounding(name: str) -> None:
    """Odd depths leave half a pair. A processor without them computes in float32."""
    stack, shape, layout = described(name)
    start, x, rules = started(stack), images(shape, 9), Rules(0.9, 0.01, 0.2)
    order, targets = np.arange(9), np.random.default_rng(4).integers(layout.classes, size=9)
    expected = by_torch(stack, start, x, torch.from_numpy(targets), 5, [0.5, 0.2], rules)
    found = []
    for half in (True, False):
        flat = layout.packed(start)
        network = NativeNetwork(layout, 5, half)
        network.train(
            flat,
            torch.zeros(layout.size),
            Passes(Table(x.flatten(1)), order, targets, np.float32([0.5, 0.2]), 9),
            rules,
        )
        found.append(layout.unpacked(flat))
    for key, value in expected.items():
        moved = (value - start[key].double()).abs().max()
        assert moved > 1e-6
        assert (found[0][key].double() - value).abs().max() < 0.15 * moved, key
    library = native_library()
    assert library is not None
    differ = any((found[0][key] - found[1][key]).abs().max() > 1e-6 for key in expected)
    assert differ == bool(library.halves_are_quick())


@pytest.mark.parametrize("name", ["mlp", "mlp-odd", "linear-many-classes", "cnn"])
@pytest.mark.parametrize("half", [False, True], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("dark", [0.0, 0.6, 1.0])
def test_steps_over_bytes_are_those_over_what_they_stand_for(name: str, half: bool, dark: float) -> None:
    """Half of the images are black where `dark` of the pixels are; more images in a batch than fit one mask."""
    stack, shape, layout = described(name)
    pixels = torch.randint(1, 256, (90, layout.features), generator=torch.Generator().manual_seed(5)).byte()
    pixels[::2, : int(dark * layout.features)] = 0
    slope, offset = torch.linspace(0.003, 0.008, layout.features), torch.linspace(-1, 0, layout.features)
    order, targets = (np.random.default_rng(6).integers(n, size=150) for n in (90, layout.classes))
    start, rules, rates = started(stack), Rules(0.9, 0.01, 0.1), [0.1, 0.2, 0.1]
    x = (pixels * slope + offset).view(90, *shape)
    expected = by_torch(stack, start, x[order], torch.from_numpy(targets), 67, rates, rules)
    flat, network = layout.packed(start), NativeNetwork(layout, 67, half)
    network.train(
        flat,
        torch.zeros(layout.size),
        Passes(Table(pixels, slope, offset), order, targets, np.float32(rates), 150),
        rules,
    )
    got = layout.unpacked(flat)
    for key, value in expected.items():
        moved = (value - start[key].double()).norm()
        assert moved > 1e-4
        assert (got[key].double() - value).norm() < (0.25 if half else 1e-4) * moved, key
    assert (layout.packed(got) == flat).all(), "what pads rows of weights has to stay 0"


def test_a_pass_ends_with_a_smaller_step() -> None:
    """Two passes over 7 examples in batches of 3, and a started third, are as many calls."""
    stack, shape, layout = described("mlp-odd")
    table, rules = Table(images(shape, 20).flatten(1)), Rules(0.9, 0.01, 0.1)
    order, targets = np.arange(18), np.arange(18) % layout.classes
    rates = np.linspace(0.1, 0.3, 8, dtype=np.float32)
    network, start = NativeNetwork(layout, 3), layout.packed(started(stack))
    at_once, velocity = start.clone(), torch.zeros(layout.size)
    network.train(at_once, velocity, Passes(table, order, targets, rates, 7), rules)
    apart, velocity = start.clone(), torch.zeros(layout.size)
    for part, steps in ((slice(0, 7), slice(0, 3)), (slice(7, 14), slice(3, 6)), (slice(14, 18), slice(6, 8))):
        n = part.stop - part.start
        network.train(apart, velocity, Passes(table, order[part], targets[part], rates[steps], n), rules)
    assert (at_once != start).any()
    assert (at_once == apart).all()


@EACH
def test_logits_are_those_of_the_stack(name: str) -> None:
    stack, shape, layout = described(name)
    start, x = started(stack), images(shape, 11)
    expected = stack.logits({key: value[None] for key, value in start.items()}, x[None])[0]
    assert expected.std() > 0.01
    network, flat = NativeNetwork(layout, 4), layout.packed(start)
    torch.testing.assert_close(network.logits(flat, Table(x.flatten(1))), expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(layout.unpacked(flat), start, atol=0, rtol=0)


@pytest.mark.parametrize("name", ["cnn-odd-color", "mlp", "mlp-odd"])
def test_bytes_are_the_floats_that_they_stand_for(name: str) -> None:
    stack, _, layout = described(name)
    pixels = torch.randint(256, (9, layout.features), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    pixels[3:, ::2] = 0
    slope, offset = torch.linspace(0.001, 0.01, layout.features), torch.linspace(-1, 1, layout.features)
    network, flat = NativeNetwork(layout, 4), layout.packed(started(stack))
    shown = network.logits(flat, Table(pixels, slope, offset))
    torch.testing.assert_close(shown, network.logits(flat, Table(pixels * slope + offset)), atol=1e-5, rtol=1e-5)
    assert shown.std(0).min() > 1e-4


def test_the_gradient_goes_to_the_first_of_equal_pixels_and_none_through_zeros() -> None:
    """On flat images all four pixels of a window are equal; black ones with a bias of 0 are cut off by the ReLU."""
    stack, shape, layout = described("cnn-two-channels")
    start = {name: value if name != "conv0.bias" else value.abs() * 0 for name, value in started(stack).items()}
    x = torch.cat([torch.ones(2, *shape), torch.zeros(2, *shape)])
    order, targets, rules = np.arange(4), np.array([1, 2, 3, 4]), Rules(0.0, 0.0, 0.0)
    expected = by_torch(stack, start, x, torch.from_numpy(targets), 4, [1.0], rules)
    flat = layout.packed(start)
    NativeNetwork(layout, 4).train(
        flat, torch.zeros(layout.size), Passes(Table(x.flatten(1)), order, targets, np.float32([1.0]), 4), rules
    )
    assert (expected["conv0.weight"] - start["conv0.weight"]).abs().max() > 1e-3
    torch.testing.assert_close(layout.unpacked(flat)["conv0.weight"].double(), expected["conv0.weight"])


def test_what_is_not_finite_stays_so() -> None:
    stack, shape, layout = described("cnn")
    flat, x = layout.packed(started(stack)), images(shape, 8)
    x[3] = float("nan")
    NativeNetwork(layout, 4).train(
        flat,
        torch.zeros(layout.size),
        Passes(Table(x.flatten(1)), np.arange(8), np.arange(8), np.float32([1, 1]), 8),
        Rules(0.9, 0.0, 0.0),
    )
    assert not layout.unpacked(flat)["head.weight"].isfinite().any()


def test_large_logits_give_finite_gradients() -> None:
    stack, shape, layout = described("mlp")
    x, targets = images(shape, 8) * 1e4, np.arange(8)
    start, rules = started(stack), Rules(0.0, 0.0, 0.0)
    expected = by_torch(stack, start, x, torch.from_numpy(targets), 8, [1e-6], rules)
    flat = layout.packed(start)
    NativeNetwork(layout, 8).train(
        flat, torch.zeros(layout.size), Passes(Table(x.flatten(1)), np.arange(8), targets, np.float32([1e-6]), 8), rules
    )
    for key, value in layout.unpacked(flat).items():
        torch.testing.assert_close(value.double(), expected[key], atol=1e-5, rtol=1e-4)
    assert (expected["1.weight"] - start["1.weight"].double()).abs().max() > 1e-3


def test_kernels_without_code_are_left_to_torch() -> None:
    stages = ConvStages(7, ((1, 4, 3),), (), (4 * 36, CLASSES))
    assert layout_of(StackedConvNet(stages), (12, 12, 1)) is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rows": np.array([0, 30])}, "rows are in 0..29"),
        ({"rows": np.array([-1, 3])}, "rows are in 0..29"),
        ({"classes": np.array([0, 10])}, "classes are in 0..9"),
        ({"classes": np.array([0, 1], np.int32)}, "classes are contiguous int64"),
        ({"rows": np.array([0, 1], np.int32)}, "rows are contiguous int64"),
        ({"rows": np.arange(4)[::2]}, "rows are contiguous int64"),
        ({"rates": np.ones(2, np.float32)}, "1 steps need as many"),
        ({"rates": np.ones(1)}, "1 steps need as many"),
        ({"table": Table(torch.zeros(30, 783))}, r"float32 \(30, 784\)"),
        ({"table": Table(torch.zeros(30, 784).double())}, r"not torch.float64"),
        ({"table": Table(torch.zeros(784, 30).T)}, "a contiguous tensor"),
        ({"table": Table(torch.zeros(30, 784), torch.ones(784), torch.ones(784))}, "torch.uint8"),
        ({"table": Table(torch.zeros(30, 784).byte(), torch.ones(784))}, "slope and offset must be given together"),
        ({"table": Table(torch.zeros(30, 784).byte(), torch.ones(784), torch.ones(784).double())}, "torch.float64"),
        ({"epoch": 0}, "an epoch has 1 example or more"),
        ({"epoch": 1}, "2 steps need as many"),
        ({"parameters": torch.zeros(7), "velocity": torch.zeros(7)}, "a contiguous tensor"),
    ],
)
def test_arrays_that_would_be_read_beyond_their_ends_are_refused(change: dict[str, object], message: str) -> None:
    _, _, layout = described("mlp")
    weights: dict[str, object] = {"parameters": torch.zeros(layout.size), "velocity": torch.zeros(layout.size)}
    passes: dict[str, object] = {
        "table": Table(torch.zeros(30, 784)),
        "rows": np.array([0, 1]),
        "classes": np.array([0, 1]),
        "rates": np.ones(1, np.float32),
        "epoch": 2,
    }
    network = NativeNetwork(layout, 2)

    def train(weights: dict[str, object], passes: dict[str, object]) -> None:
        network.train(**weights, passes=Passes(**passes), rules=Rules(0.9, 0.0, 0.0))  # type: ignore[arg-type]

    train(weights, passes)
    with pytest.raises(ValueError, match=message):
        train(
            {name: change.get(name, value) for name, value in weights.items()},
            {name: change.get(name, value) for name, value in passes.items()},
        )
