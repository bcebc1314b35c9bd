"""Steps of a convolutional network's training, and directions through them, in compiled code."""

import ctypes
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from modeldiff_core.training.native.layout import Layout
from modeldiff_core.training.native.library import native_library


class _Batch(ctypes.Structure):
    _fields_ = (
        ("batch", ctypes.c_int64),
        ("features", ctypes.c_int64),
        *((name, ctypes.c_void_p) for name in ("images", "sizes", "targets")),
        ("smoothing", ctypes.c_float),
    )


class _Move(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("change", "losses")),
        *((name, ctypes.c_float) for name in ("rate", "momentum", "decay")),
        ("back", ctypes.c_int),
    )


@dataclass(frozen=True)
class WeightedBatch:
    """A batch of which each example's loss counts by a number of its own.

    Attributes:
        images: What the network is given.
        targets: Classes.
        sizes: What an example's loss counts by.
        smoothing: Share of a target that is spread over all classes.

    """

    images: Float[Tensor, "batch height width channels"]
    targets: Int[Tensor, " batch"]
    sizes: Float[Tensor, " batch"]
    smoothing: float = 0.0


@dataclass(frozen=True)
class Move:
    """How directions (w of parameters, v of velocities) move in a step, H being the Hessian of its batch's loss.

    Forward: v ← momentum·v + H·w + Σ_i change_i·∇ℓ_i + decay·w, then w ← w − rate·v. Back, which is the adjoint of
    that: v ← v − rate·w, then w ← w + H·v + decay·v and v ← momentum·v.

    Attributes:
        rate: Learning rate.
        momentum: Momentum.
        decay: Weight decay.
        change: Forward: what is added of each example's gradient, for each direction.
        losses: Back: where the change of each example's loss along v is written.

    """

    rate: float
    momentum: float
    decay: float
    change: Float[Tensor, "directions batch"] | None = None
    losses: Float[Tensor, "directions batch"] | None = None


class Curvature:
    """The working memory of one network whose first layer is a convolution; it holds the latest batch's pass.

    Args:
        layout: The network.
        batch_size: Largest batch.
        scale: Factor of the last layer's outputs.

    Raises:
        MemoryError: If the memory cannot be allocated.

    """

    def __init__(self, layout: Layout, batch_size: int, scale: float) -> None:
        library = native_library()
        assert library is not None
        self.layout, self.batch_size, self._library = layout, batch_size, library
        self._examples = 0
        self._handle = library.curvature_new(layout.layers, len(layout.layers), layout.size, batch_size, scale)
        if not self._handle:
            raise MemoryError(f"no memory for batches of {batch_size}")

    def __del__(self) -> None:
        if handle := getattr(self, "_handle", None):
            self._library.curvature_free(handle)

    def run(self, parameters: Float[Tensor, " parameters"], batch: WeightedBatch) -> Float[Tensor, " parameters"]:
        """Take a batch through the network and return the gradient of Σ_i size_i·ℓ_i.

        Raises:
            ValueError: For more images than the largest batch, for others than the layout's, or for classes beyond it.

        """
        count, features = len(batch.images), batch.images[0].numel()
        if not 0 < count <= self.batch_size or features != self.layout.features:
            raise ValueError(
                f"{count} images of {features} values, not 1 to {self.batch_size} of {self.layout.features}"
            )
        if not 0 <= int(batch.targets.min()) <= int(batch.targets.max()) < self.layout.classes:
            raise ValueError(f"classes are in 0..{self.layout.classes - 1}")
        gradient = torch.empty(self.layout.size)
        pointers = (
            _pointer(batch.images, torch.float32, (count, *batch.images.shape[1:])),
            _pointer(batch.sizes, torch.float32, (count,)),
            _pointer(batch.targets, torch.int64, (count,)),
        )
        described = _Batch(count, features, *pointers, batch.smoothing)
        weights = _pointer(parameters, torch.float32, (self.layout.size,))
        self._library.curvature_pass(self._handle, weights, ctypes.byref(described), gradient.data_ptr())
        self._examples = count
        return gradient

    def walk(
        self,
        w: Float[Tensor, "directions parameters"],
        v: Float[Tensor, "directions parameters"],
        move: Move,
    ) -> None:
        """Take directions through the step of the latest batch, in place: back where the move has losses.

        Raises:
            ValueError: For arrays of the wrong type or size.
            MemoryError: If there is no memory for the directions' gradients; nothing has changed then.

        """
        directions = len(w)
        both = (_pointer(one, torch.float32, (directions, self.layout.size)) for one in (w, v))
        change, losses = (
            None if one is None else _pointer(one, torch.float32, (directions, self._examples))
            for one in (move.change, move.losses)
        )
        described = _Move(change, losses, move.rate, move.momentum, move.decay, losses is not None)
        if self._library.curvature_walk(self._handle, directions, *both, ctypes.byref(described)):
            raise MemoryError(f"no memory for {directions} directions of {self.layout.size} parameters")


def _pointer(tensor: Tensor, kind: torch.dtype, shape: tuple[int, ...]) -> int:
    """Return where a tensor's numbers are; raise ValueError for another type or size."""
    if tensor.device.type != "cpu" or tensor.dtype != kind or tensor.shape != shape or not tensor.is_contiguous():
        raise ValueError(
            f"expected a contiguous tensor of {kind} {shape} on the CPU, not {tensor.dtype} {tensor.shape}"
        )
    return int(tensor.data_ptr())
