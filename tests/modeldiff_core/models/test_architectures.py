"""Architectures: published sizes, the images that they take, and equality with layers written out by hand."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from modeldiff_core.errors import ConfigError
from modeldiff_core.identity import generator
from modeldiff_core.models import ARCHITECTURES, Net
from modeldiff_core.models.initial import plain_state, random_state
from modeldiff_core.models.stacks import from_module, to_module


def build(kind: str, shape: tuple[int, int, int], n_classes: int, widths: tuple[int, ...] | None = None) -> Net:
    architecture = ARCHITECTURES.get(kind)
    return architecture.build(shape, architecture.widths if widths is None else widths, n_classes)


@pytest.mark.parametrize(
    ("kind", "shape", "n_classes", "count"),
    [
        ("lenet", (28, 28, 1), 10, 61_706),
        ("resnet9", (32, 32, 3), 10, 2_274_880),
        ("resnet18", (224, 224, 3), 17, 11_185_233),
        ("resnet18", (224, 224, 3), 1000, 11_689_512),
        ("resnet50", (224, 224, 3), 1000, 25_557_032),
        ("efficientnet_lite0", (224, 224, 3), 1000, 4_652_008),
    ],
)
def test_published_parameter_counts(kind: str, shape: tuple[int, int, int], n_classes: int, count: int) -> None:
    with torch.device("meta"):
        net = build(kind, shape, n_classes)
    assert sum(parameter.numel() for parameter in net.parameters()) == count


@pytest.mark.parametrize(
    ("kind", "shape"), [("lenet", (11, 28, 1)), ("resnet9", (8, 8, 1)), ("resnet18", (28, 28, 3)), ("cnn", (3, 8, 1))]
)
def test_images_that_are_too_small(kind: str, shape: tuple[int, int, int]) -> None:
    with pytest.raises(ConfigError) as caught:
        build(kind, shape, 10)
    assert caught.value.key == ("recipe.network.widths" if kind == "cnn" else "recipe.network.kind")


@pytest.mark.parametrize(
    ("kind", "shape"), [("lenet", (12, 13, 2)), ("resnet9", (12, 14, 2)), ("resnet18", (32, 40, 3)), ("mlp", (3, 4, 2))]
)
def test_the_smallest_images_give_logits(kind: str, shape: tuple[int, int, int]) -> None:
    net = build(kind, shape, 5).eval()
    logits = net(torch.randn(3, shape[2], *shape[:2]))
    assert logits.shape == (3, 5)
    assert logits.std() > 0


def test_resnet9_is_the_published_chain_of_layers() -> None:
    """conv-norm-relu ×2 (5×5, stride 2), residual, conv, pool, residual, valid conv, maximum, 0.2·linear."""
    net = build("resnet9", (16, 16, 3), 4, (4, 6, 8, 5)).eval()
    state = dict(plain_state(net))
    for i, (name, value) in enumerate(state.items()):
        value.copy_(torch.from_numpy(generator("planted", i).uniform(0.2 if "var" in name else -1, 1, value.shape)))

    def layer(x: torch.Tensor, name: str, stride: int = 1, padding: int = 1) -> torch.Tensor:
        x = F.conv2d(x, state[f"{name}.0.weight"], stride=stride, padding=padding)
        mean, variance = state[f"{name}.1.running_mean"], state[f"{name}.1.running_var"]
        return F.batch_norm(x, mean, variance, state[f"{name}.1.weight"], state[f"{name}.1.bias"]).relu()

    images = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    x = layer(layer(images, "first"), "second", 2, 2)
    x = x + layer(layer(x, "residual1.0"), "residual1.1")
    x = F.max_pool2d(layer(x, "third"), 2)
    x = x + layer(layer(x, "residual2.0"), "residual2.1")
    expected = 0.2 * layer(x, "last", padding=0).amax((2, 3)) @ state["head.weight"].T
    assert expected.std() > 0.1
    torch.testing.assert_close(net(images), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("kind", "blocks"), [("resnet18", (2, 2, 2, 2)), ("resnet50", (3, 4, 6, 3))])
def test_resnet_names_are_those_of_torchvision(kind: str, blocks: tuple[int, ...]) -> None:
    with torch.device("meta"):
        names = set(build(kind, (64, 64, 3), 10).state_dict())
    norms = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    expected = {"conv1.weight", "fc.weight", "fc.bias"} | {f"bn1.{norm}" for norm in norms}
    for stage, count in enumerate(blocks, 1):
        for block in range(count):
            prefix = f"layer{stage}.{block}"
            for i in range(1, 3 if kind == "resnet18" else 4):
                expected |= {f"{prefix}.conv{i}.weight", *(f"{prefix}.bn{i}.{norm}" for norm in norms)}
            if block == 0 and (stage > 1 or kind == "resnet50"):
                expected |= {f"{prefix}.downsample.0.weight", *(f"{prefix}.downsample.1.{norm}" for norm in norms)}
    assert names == expected


def test_a_residual_block_adds_its_input() -> None:
    """With the last normalization at zero a block of equal shapes passes on what its first layer, a relu, left."""
    net = build("resnet18", (32, 32, 3), 10).eval()
    block = net.get_submodule("layer1.1")
    nn.init.zeros_(block.get_parameter("bn2.weight"))
    x = torch.randn(2, 64, 8, 8).relu()
    torch.testing.assert_close(block(x), x)


def test_same_padding_is_tensorflow_s() -> None:
    """An even side with stride 2 is padded at the far end only: output i sees pixels 2i, 2i + 1, 2i + 2."""
    from modeldiff_core.models.efficientnet import SameConv

    convolution = SameConv(1, 1, 3, 2)
    nn.init.ones_(convolution.weight)
    x = torch.arange(16.0).reshape(1, 1, 4, 4)
    got = convolution(x)[0, 0]
    assert got.tolist() == [
        [x[0, 0, 0:3, 0:3].sum(), x[0, 0, 0:3, 2:4].sum()],
        [x[0, 0, 2:4, 0:3].sum(), x[0, 0, 2:4, 2:4].sum()],
    ]


@pytest.mark.parametrize(
    ("kind", "shape", "widths"), [("mlp", (5, 6, 2), (7, 4)), ("cnn", (9, 8, 2), (3, 5)), ("lenet", (13, 12, 1), ())]
)
def test_a_stack_is_its_modules(kind: str, shape: tuple[int, int, int], widths: tuple[int, ...]) -> None:
    stack = ARCHITECTURES.get(kind).stack(shape, widths, 4)
    starts = [
        {n: torch.from_numpy(v) for n, v in stack.initial(generator("initialisation", k)).items()} for k in range(3)
    ]
    images = torch.randn(3, 6, *shape)
    logits = stack.logits({name: torch.stack([start[name] for start in starts]) for name in starts[0]}, images)
    assert logits.std() > 0.01
    net = build(kind, shape, 4, widths).eval()
    for k, start in enumerate(starts):
        net.load_state_dict(to_module(start))
        torch.testing.assert_close(logits[k], net(images[k].permute(0, 3, 1, 2)), rtol=1e-5, atol=1e-5)
        back = from_module(plain_state(net))
        assert list(back) == list(start)
        assert all(torch.equal(back[name], value) for name, value in start.items())


def test_random_states_are_pure_and_have_the_promised_spread() -> None:
    net = build("resnet18", (32, 32, 3), 10)
    names = list(plain_state(net))

    def drawn(model: int, some: list[str]) -> dict[str, torch.Tensor]:
        return random_state(net, lambda name: generator("initialisation", 0, model, name), some)

    once, other = drawn(1, names), drawn(2, names)
    assert once["layer3.0.conv1.weight"].std().item() == pytest.approx(np.sqrt(2 / (256 * 9)), rel=0.02)
    assert once["fc.weight"].abs().max() <= 512**-0.5
    assert once["bn1.running_var"].eq(1).all()
    assert not torch.equal(once["conv1.weight"], other["conv1.weight"])
    for name in ("fc.weight", "layer4.1.conv2.weight"):
        assert torch.equal(drawn(1, [name])[name], once[name]), "a tensor can be drawn without the others"
