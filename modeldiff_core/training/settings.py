"""How a network is trained: the settings that make up the algorithm's identity."""

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal

from modeldiff_core.errors import Check, ConfigError
from modeldiff_core.limits import Limit, check_limits
from modeldiff_core.models import architecture_of
from modeldiff_core.models.initial import KEY as INIT
from modeldiff_core.models.initial import imagenet_file
from modeldiff_core.training.augmentations import Augmentation

Constant = float | tuple[float, ...] | Literal["subset"]
"""One number, one a channel, or 'subset': computed from the pixels of the model's own subset, one a channel."""


@dataclass(frozen=True)
class Network:
    """The architecture and what it starts from.

    kind: the name of an architecture (models.ARCHITECTURES).
    widths: hidden units of each layer of an mlp, channels of each convolution of a cnn, the four of resnet9; the
    others have no choice. If not given, the architecture's own.
    init: 'random', 'imagenet', or the path of a file with weights. init_sha256: of the weights, filled in from the
    file, so that other weights under the same name are another algorithm; the file must have it if it is given.
    trainable: 'all' layers, the 'last_block' and the head, or the 'head' alone; the others stay as they start.
    """

    kind: str = "mlp"
    widths: tuple[int, ...] | None = None
    init: str = "random"
    init_sha256: str = ""
    trainable: Literal["all", "last_block", "head"] = "all"

    def __post_init__(self) -> None:
        object.__setattr__(self, "widths", architecture_of(self.kind).checked_widths(self.widths, self.kind))
        object.__setattr__(self, "init_sha256", self._checked_digest())

    @property
    def sizes(self) -> tuple[int, ...]:
        """The widths, never None."""
        return self.widths or ()

    def _checked_digest(self) -> str:
        if self.init == "random":
            if self.init_sha256:
                raise ConfigError("recipe.network.init_sha256", "nothing where init is random", self.init_sha256)
            return ""
        path = imagenet_file(self.kind) if self.init == "imagenet" else Path(self.init).expanduser()
        if not path.is_file():
            raise ConfigError(INIT, "random, imagenet, or a file with weights", self.init)
        state = path.stat()
        found = _sha256(path, state.st_size, state.st_mtime_ns)
        if self.init_sha256 not in ("", found):
            raise ConfigError("recipe.network.init_sha256", f"the SHA-256 of {path}, {found}", self.init_sha256)
        return found


@lru_cache(maxsize=16)
def _sha256(path: Path, size: int, changed: int) -> str:
    """Return a file's SHA-256; size and time of change distinguish it from another file of that name."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass(frozen=True)
class Recipe:
    """Stochastic gradient descent on the cross-entropy of a subset.

    epochs, batch_size: passes over the subset; the last batch of a pass may be smaller.
    learning_rate: its peak; momentum: heavy ball (v ← μv + g, w ← w − ηv); weight_decay: added to g as decay·w.
    label_smoothing: share of the target spread over all classes.
    schedule: 'constant', 'cosine' (peak → 0) or 'triangular' (0 → peak at `peak` of the steps → 0).
    mean, scale: pixels enter the network as (pixel/255 − mean)/scale; one number, one a channel, or 'subset': the mean
    or the standard deviation of each channel over the model's own subset, never over what it does not see.
    augmentations: applied to training images in this order; at evaluation only what decides the size of an image.
    precision: 'bfloat16' lets matrix products and convolutions of training be computed in it, where the device gains by
    it (weights, losses and updates stay float32); evaluation is always in float32.
    test_time: 'flip' averages the logits of an image and its mirror image at evaluation.
    """

    network: Network = Network()
    epochs: Annotated[int, Limit(least=1)] = 15
    batch_size: Annotated[int, Limit(least=1)] = 50
    learning_rate: Annotated[float, Limit(above=0)] = 0.1
    momentum: Annotated[float, Limit(least=0, below=1)] = 0.9
    weight_decay: Annotated[float, Limit(least=0)] = 0.0005
    label_smoothing: Annotated[float, Limit(least=0, below=1)] = 0.0
    schedule: Literal["constant", "cosine", "triangular"] = "triangular"
    peak: Annotated[float, Limit(above=0, below=1)] = 0.2
    mean: Constant = 0.5
    scale: Constant = 0.5
    augmentations: tuple[Augmentation, ...] = ()
    precision: Literal["float32", "bfloat16"] = "float32"
    test_time: Literal["none", "flip"] = "none"

    def __post_init__(self) -> None:
        for name in ("mean", "scale"):  # one number in a list is that number: one spelling, one key
            value = getattr(self, name)
            if isinstance(value, tuple) and len(value) == 1:
                object.__setattr__(self, name, value[0])
        scales = () if self.scale == "subset" else (self.scale,) if isinstance(self.scale, int | float) else self.scale
        check = Check("recipe")
        check_limits(self, check)
        check(all(scale > 0 for scale in scales), "scale", "more than 0", self.scale)
