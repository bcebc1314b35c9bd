"""The compiled pass of a weighted batch, and one step of directions, against torch."""

import pytest
import torch
from torch.func import functional_call, grad, jvp
from torch.nn import functional as F

from modeldiff_core.models import StackedConvNet
from modeldiff_core.models.small import ConvNet
from modeldiff_core.models.stacks import ConvStages, to_module
from modeldiff_core.training.native import Curvature, Move, WeightedBatch, layout_of, native_library

SHAPE, CLASSES, BATCH = (9, 14, 3), 3, 40
STAGES = {
    3: ConvStages(3, ((3, 18, 1), (18, 7, 0)), ((7 * 1 * 2, 5),), (5, CLASSES)),
    5: ConvStages(5, ((3, 4, 2), (4, 33, 2)), (), (33 * 2 * 3, CLASSES)),
}
pytestmark = pytest.mark.skipif(native_library() is None, reason="no compiler")
Parameters = dict[str, torch.Tensor]


def drawn(generator: torch.Generator, stages: ConvStages) -> Parameters:
    found = {}
    for i, (inputs, outputs, _) in enumerate(stages.convolutions):
        found[f"conv{i}.weight"] = torch.randn(outputs, inputs, stages.kernel, stages.kernel, generator=generator) / 5
        found[f"conv{i}.bias"] = torch.randn(outputs, generator=generator) / 5
    for name, (inputs, outputs) in StackedConvNet(stages).linear_layers():
        found[f"{name}.weight"] = torch.randn(inputs, outputs, generator=generator) / 3
        found[f"{name}.bias"] = torch.randn(1, outputs, generator=generator) / 3
    return found


@pytest.mark.parametrize("kernel", STAGES)
def test_a_gradient_and_what_a_direction_changes_in_it(kernel: int) -> None:
    stages, generator = STAGES[kernel], torch.Generator().manual_seed(kernel)
    module, layout = ConvNet(stages), layout_of(StackedConvNet(stages), SHAPE)
    assert layout is not None
    weights = drawn(generator, stages)
    images = torch.randn(BATCH, *SHAPE, generator=generator)
    targets = torch.randint(CLASSES, (BATCH,), generator=generator)
    sizes, change = torch.rand(2, BATCH, generator=generator)
    scale, smoothing = 0.7, 0.2

    def losses(parameters: Parameters) -> torch.Tensor:
        logits = functional_call(module, to_module(parameters), (images.permute(0, 3, 1, 2).double(),))
        return F.cross_entropy(logits * scale, targets, label_smoothing=smoothing, reduction="none")

    exact = {name: value.double() for name, value in weights.items()}
    along = [drawn(generator, stages) for _ in range(2)]
    curvature = Curvature(layout, BATCH, scale)
    batch = WeightedBatch(images, targets, sizes, smoothing)
    gradient = layout.unpacked(curvature.run(layout.packed(weights), batch))
    wanted = grad(lambda p: (losses(p) * sizes).sum())(exact)
    for name, value in gradient.items():
        torch.testing.assert_close(value.double(), wanted[name], atol=1e-5, rtol=1e-4)
    w = torch.stack([layout.packed(one) for one in along])
    v = torch.zeros_like(w)
    curvature.walk(w, v, Move(0.0, 0.0, 0.0, change=torch.stack([change, torch.zeros(BATCH)])))
    back, moved, changes = torch.zeros_like(w), w.clone(), torch.empty(2, BATCH)
    curvature.walk(back, moved, Move(0.0, 1.0, 0.0, losses=changes))
    for at, one in enumerate(along):
        tangent = {name: value.double() for name, value in one.items()}
        curved = jvp(grad(lambda p: (losses(p) * sizes).sum()), (exact,), (tangent,))[1]
        added = grad(lambda p: (losses(p) * change).sum())(exact)
        torch.testing.assert_close(changes[at].double(), jvp(losses, (exact,), (tangent,))[1], atol=1e-4, rtol=1e-4)
        for name, value in layout.unpacked(back[at]).items():
            torch.testing.assert_close(value.double(), curved[name], atol=1e-4, rtol=1e-4)
        for name, value in layout.unpacked(v[at]).items():
            expected = curved[name] + added[name] if not at else curved[name]
            torch.testing.assert_close(value.double(), expected, atol=1e-4, rtol=1e-4)


def test_arrays_that_do_not_fit_are_refused() -> None:
    layout = layout_of(StackedConvNet(STAGES[3]), SHAPE)
    assert layout is not None
    curvature, flat = Curvature(layout, 2, 1.0), torch.zeros(layout.size)
    images, targets, sizes = torch.zeros(2, *SHAPE), torch.zeros(2, dtype=torch.int64), torch.ones(2)
    with pytest.raises(ValueError, match="1 to 2 of 378"):
        curvature.run(flat, WeightedBatch(torch.zeros(3, *SHAPE), torch.zeros(3, dtype=torch.int64), torch.ones(3)))
    with pytest.raises(ValueError, match=r"classes are in 0\.\.2"):
        curvature.run(flat, WeightedBatch(images, targets + CLASSES, sizes))
    with pytest.raises(ValueError, match="contiguous"):
        curvature.run(flat[1:], WeightedBatch(images, targets, sizes))
    curvature.run(flat, WeightedBatch(images, targets, sizes))
    with pytest.raises(ValueError, match="contiguous"):
        curvature.walk(*torch.zeros(2, 1, 2 * layout.size)[:, :, ::2], Move(0.1, 0.9, 0.0))
    with pytest.raises(ValueError, match="contiguous"):
        curvature.walk(*torch.zeros(2, 1, layout.size), Move(0.1, 0.9, 0.0, losses=torch.zeros(1, 3)))
