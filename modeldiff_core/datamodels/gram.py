"""Exact counts: products of small whole numbers, and how often two training examples are left in together.

Sums of whole numbers do not depend on their order. So counts over some models are counts over all less counts over the
others, to the bit, and the same whatever the device, the number of threads and the size of the blocks.
"""

import numpy as np
import torch
from jaxtyping import Bool, Float, Int8, Int32
from torch import Tensor

from modeldiff_core.errors import ConfigError

INNER = 2**13
"""Terms that are added at once: 2⁷·2¹³ is exact in float32 too, and a copy of this many masks is small."""
MOST_MODELS = 2**24
"""Counts of more models would be rounded in float32."""


def whole_product(
    left: Int8[Tensor, "rows inner"], right: Int8[Tensor, "inner columns"]
) -> Int32[Tensor, "rows columns"]:
    """left·right without rounding, for fewer than 2²⁴ terms a sum.

    Processors with VNNI instructions multiply 8-bit numbers eight times as fast as float32; elsewhere float32 is exact
    too, TF32 included.
    """
    quick = left.device.type == "cpu" and torch.cpu._is_vnni_supported()
    out = torch.zeros(len(left), right.shape[1], dtype=torch.int32, device=left.device)
    for a, b in zip(left.split(INNER, 1), right.split(INNER), strict=True):
        out += torch._int_mm(a, b) if quick else (a.float() @ b.float()).to(torch.int32)
    return out


def co_occurrence(masks: Bool[np.ndarray, "models train"], device: str = "cpu") -> Float[Tensor, "train train"]:
    """XᵀX of 0/1 masks X: in how many models two training examples are left in together, exact.

    Raises ConfigError for 2²⁴ models or more, whose counts float32 cannot hold.
    """
    if len(masks) >= MOST_MODELS:
        raise ConfigError("masks", f"fewer than {MOST_MODELS} models", len(masks))
    return counts_of(on_device(masks, device))


def counts_of(x: Int8[Tensor, "models train"]) -> Float[Tensor, "train train"]:
    """XᵀX of masks that lie on the device."""
    return whole_product(x.T, x).float()


def on_device(masks: Bool[np.ndarray, "models train"], device: str) -> Int8[Tensor, "models train"]:
    """Masks as whole numbers of 8 bits, on the CPU without a copy."""
    return torch.from_numpy(np.ascontiguousarray(masks).view(np.int8)).to(device)


def check_gram(gram: Float[Tensor, "rows columns"], x: Int8[Tensor, "models train"]) -> None:
    """Raise ConfigError unless these can be the counts of all these models."""
    train = x.shape[1]
    if gram.shape != (train, train):
        raise ConfigError("gram", f"counts of shape ({train}, {train})", tuple(gram.shape))
    wrong = (gram.diagonal() != x.sum(0)).nonzero()
    if len(wrong):
        raise ConfigError(
            "gram", "the counts of all models that are fitted", f"another count of training example {int(wrong[0])}"
        )
