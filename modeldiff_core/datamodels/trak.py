"""TRAK: attributions without any training on subsets, from gradients of models trained on all data."""

import contextlib
import importlib.util
import io
import logging
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from modeldiff_core.data import Examples
from modeldiff_core.datamodels.protocol import FromCheckpoints, Weights
from modeldiff_core.datamodels.result import Datamodels
from modeldiff_core.errors import ConfigError
from modeldiff_core.training import Algorithm, Differentiable, Execution, Task
from modeldiff_core.training.gradients import Inputs, TorchModels

log = logging.getLogger(__name__)

GRADIENTS = 2**26
"""Most numbers in the gradients of one batch (256 MB)."""
PROJECTION = 2**26
"""Most numbers of the projection matrix that are there at once."""
EXPERIMENT = "targets"


@dataclass(frozen=True)
class Trak(FromCheckpoints):
    """TRAK by the package ``traker`` (Park et al., 2023, section 3; its class TRAKer in float32 on the CPU).

    dimensions: an eighth of the training examples, and 4,096 at most, if not given; many more fit noise.

    With f = log p/(1 − p) of the correct class, φ_i(z) = Pᵢᵀ∇f(z; checkpoint i) its gradient projected to
    `dimensions` random ones, Φ_i those of all training examples:

    w(target, train) = [mean_i φ_i(target)ᵀ(Φ_iᵀΦ_i + ridge·I)⁻¹φ_i(train)]·[mean_i (1 − p_i(train))].

    Only ranks of predictions have a meaning: the package scales each (Φᵀ Φ)⁻¹ to mean size 1, and there is no bias.
    Gradients are those of images without augmentation and of the parameters that training changes.
    """

    title: ClassVar[str] = "TRAK"

    dimensions: int | None = None
    ridge: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.dimensions is not None and self.dimensions < 2:
            raise ConfigError("regression.dimensions", "2 or more", self.dimensions)
        if not self.ridge >= 0:
            raise ConfigError("regression.ridge", "0 or more", self.ridge)

    def check(self, algorithm: Algorithm, n_train: int) -> None:
        """Raise ConfigError without the package, for an algorithm without checkpoints, and for too many dimensions."""
        if importlib.util.find_spec("trak") is None:
            raise ConfigError(
                "", "an estimator whose package is installed", "trak", "pip install 'modeldiff-platform[trak]'"
            )
        if not isinstance(algorithm, Differentiable):
            raise ConfigError(
                "",
                "an estimator that needs no checkpoints of torch modules",
                "trak",
                f"Models of {type(algorithm).__name__} have no gradients: TRAK is for kinds sgd and torch",
            )
        if not self.ridge and self._dimensions(n_train) >= n_train:
            raise ConfigError("dimensions", f"fewer than the {n_train} training examples, or a ridge", self.dimensions)

    def _regularization(self, gradients: Float[np.ndarray, "train dimensions"]) -> float:
        """Return what is added to the diagonal of ΦᵀΦ, given Φ as the package scales it."""
        return self.ridge

    def _dimensions(self, n_train: int) -> int:
        return max(2, min(n_train // 8, 4096)) if self.dimensions is None else self.dimensions

    def attribute(self, task: Task, checkpoints: Iterable[Weights]) -> Datamodels:
        """One pass over the checkpoints; features lie in a temporary folder, one [train, dimensions] array each."""
        with tempfile.TemporaryDirectory() as folder:
            traker: Any = None
            number = 0
            for models in _torch_models(task, checkpoints):
                if traker is None:
                    traker, batch = self._traker(models, len(task.train), folder)
                for state, inputs in zip(models.states, models.inputs, strict=True):
                    traker.load_checkpoint(state, model_id=number)
                    for x, y in _batches(inputs, task.train, batch):
                        traker.featurize(batch=(x, y), num_samples=len(y))
                    traker.score_computer.lambda_reg = self._regularization(traker.saver.current_store["grads"])
                    with _quiet():
                        traker.finalize_features(model_ids=[number], del_grads=True)
                    traker.start_scoring_checkpoint(EXPERIMENT, state, number, len(task.targets))
                    for x, y in _batches(inputs, task.targets, batch):
                        traker.score(batch=(x, y), num_samples=len(y))
                    number += 1
                    log.info("trak: %d checkpoints done", number)
            with _quiet():
                scores = np.array(traker.finalize_scores(exp_name=EXPERIMENT), np.float32)
        missing = np.full(len(task.targets), np.nan, np.float32)
        return Datamodels(np.ascontiguousarray(scores.T), np.zeros_like(missing), missing, missing, missing)

    def _traker(self, models: TorchModels, n_train: int, folder: str) -> tuple[Any, int]:
        """Return the package's front, and how many examples it is given at once."""
        from trak import TRAKer
        from trak.projectors import BasicProjector, ProjectionType

        size = sum(models.module.get_parameter(name).numel() for name in models.trained)
        # Of two blocks or more: a projector of one block forgets its matrix when features are finished (traker 0.3.2).
        dimensions = self._dimensions(n_train)
        block = max(1, min(dimensions // 2, PROJECTION // size))
        projector = BasicProjector(
            grad_dim=size,
            proj_dim=dimensions,
            seed=self.seed,
            proj_type=ProjectionType.normal,
            device="cpu",
            block_size=block,
        )
        traker = TRAKer(
            models.module,
            "image_classification",
            n_train,
            save_dir=folder,
            device="cpu",
            projector=projector,
            use_half_precision=False,
            grad_wrt=list(models.trained),
            lambda_reg=self.ridge,
            logging_level=logging.WARNING,
        )
        # Gradients are taken of every parameter, and those that training does not change are dropped afterwards.
        return traker, max(1, GRADIENTS // sum(parameter.numel() for parameter in models.module.parameters()))


@dataclass(frozen=True)
class DampedTrak(Trak):
    """TRAK of one checkpoint, with a ridge in units of the gradients.

    λ = damping·tr(ΦᵀΦ)/dimensions, damping times the mean eigenvalue of ΦᵀΦ. What directions of small eigenvalues hold
    is noise of that one checkpoint, and (ΦᵀΦ)⁻¹ alone makes it large; the mean over checkpoints that TRAK takes
    removes some of it, and there is none here.

    dimensions: half of the training examples, and 4,096 at most, if not given: a ridge leaves noise no room to grow.
    """

    damping: float = 1.0

    def _dimensions(self, n_train: int) -> int:
        return max(2, min(n_train // 2, 4096)) if self.dimensions is None else self.dimensions

    def _regularization(self, gradients: Float[np.ndarray, "train dimensions"]) -> float:
        total = float(np.square(gradients, dtype=np.float64).sum())
        return float(self.damping * total / gradients.shape[1])


def _torch_models(task: Task, checkpoints: Iterable[Weights]) -> Iterator[TorchModels]:
    assert isinstance(task.algorithm, Differentiable)
    height, width, channels = task.train.images.shape[1:]
    for weights in checkpoints:
        yield task.algorithm.torch_models(weights, (height, width, channels), task.n_classes, Execution())


def _batches(inputs: Inputs, examples: Examples, batch: int) -> Iterator[tuple[Tensor, Int[Tensor, " batch"]]]:
    for at in range(0, len(examples), batch):
        rows = slice(at, at + batch)
        yield inputs(examples.images, rows), torch.from_numpy(examples.labels[rows])


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the package's progress bars, one for each call, off the terminal."""
    with contextlib.redirect_stderr(io.StringIO()):
        yield
