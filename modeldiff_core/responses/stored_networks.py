"""Networks that were not trained here: of an architecture with weights from a file, or random ones; and GPT-2."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from modeldiff_core.ablation import Probes
from modeldiff_core.errors import ConfigError
from modeldiff_core.identity import generator, plain
from modeldiff_core.margins import OUTPUTS
from modeldiff_core.models import Net, architecture_of
from modeldiff_core.models.gpt2 import Gpt2, Gpt2Sizes
from modeldiff_core.models.initial import plain_state, read_state, stored_state
from modeldiff_core.models.stacks import from_module
from modeldiff_core.plan import Reference
from modeldiff_core.responses.networks import KEY, REFERENCE, Images, Network, Opened, image_probes
from modeldiff_core.store import ObjectStore
from modeldiff_core.study import Training
from modeldiff_core.training import Execution
from modeldiff_core.training.gradients import Differentiable
from modeldiff_core.training.normalization import from_subsets
from modeldiff_core.training.operations import shape_after
from modeldiff_core.training.settings import Recipe

RANDOM = "random"
LANGUAGE = "language"


@dataclass(frozen=True)
class StoredNetwork(Network):
    """The network of a recipe with the weights that its `init` names, or random ones of that number; never trained.

    training: gives the data set and the recipe, of which the network, its inputs' size and constants are taken.
    """

    training: Training
    number: int
    kind: Literal["stored"] = "stored"

    @property
    def identity(self) -> Mapping[str, Any]:
        recipe = self._recipe()
        network: dict[str, Any] = {name: value for name, value in _plain(recipe.network).items() if name != "init"}
        return {
            "kind": self.kind,
            "dataset": {"fingerprint": self.training.fingerprint, "targets": self.training.targets},
            "network": network,
            "inputs": {name: plain(getattr(recipe, name)) for name in ("mean", "scale", "augmentations")},
            "number": self.number if recipe.network.init == RANDOM else None,
        }

    @property
    def needs(self) -> tuple[Reference, ...]:
        return ()

    def structure(self) -> Net:
        with torch.device("meta"):
            return self._build()

    def open(self, store: ObjectStore, targets: int, output: str, execution: Execution) -> Opened:
        recipe, data, task = self._recipe(), self.training.load(), self.training.task()
        net = seeded(self._build, self.number)
        if recipe.network.init != RANDOM:
            net.load_state_dict(stored_state(net, recipe.network.init, recipe.network.kind), strict=False)
        state: Mapping[str, Tensor] = plain_state(net)
        if architecture_of(recipe.network.kind).stack is not None:
            state = from_module(state)
        weights = {name: value.detach().numpy()[None] for name, value in state.items()}
        assert isinstance(recipe, Differentiable)
        models = recipe.torch_models(weights, data.image_shape, len(data.classes), execution)
        models.module.load_state_dict(models.states[0])
        every = slice(None)

        def prepare(images: Images) -> Tensor:
            return models.inputs[0](images, every).contiguous()

        asked = task.targets.first(targets)
        probes = image_probes(prepare, asked.images, asked.labels, output)
        reference = prepare(task.train.images[:REFERENCE])
        return Opened(models.module.eval().requires_grad_(False), prepare, probes, reference)

    def _build(self) -> Net:
        recipe, data = self._recipe(), self.training.load()
        shape = shape_after(recipe.augmentations, data.image_shape)
        return architecture_of(recipe.network.kind).build(shape, recipe.network.sizes, len(data.classes))

    def _recipe(self) -> Recipe:
        recipe = self.training.task().algorithm
        if not isinstance(recipe, Recipe):
            raise ConfigError(KEY, "sgd, whose models are torch modules", self.training.algorithm.kind)
        if from_subsets(recipe):
            raise ConfigError("algorithm.recipe.mean", "numbers, since nothing is trained", "subset")
        return recipe


@dataclass(frozen=True)
class LanguageNetwork(Network):
    """GPT-2 on sequences of tokens; the output of a sequence is the mean over its positions (COAR, appendix).

    tokens: an .npz with `tokens` [sequences, tokens] and `lengths` [sequences], the tokens that count of each. weights:
    a file with the published names, or '' for random weights of that number. The sums are those of the files.
    """

    tokens: str
    weights: str = ""
    number: int = 0
    sizes: Gpt2Sizes = field(default_factory=Gpt2Sizes)
    kind: Literal["language"] = "language"

    @property
    def identity(self) -> Mapping[str, Any]:
        return {
            "kind": self.kind,
            "tokens": file_sum(self.tokens, f"{LANGUAGE}.tokens"),
            "weights": file_sum(self.weights, f"{LANGUAGE}.weights") if self.weights else None,
            "number": None if self.weights else self.number,
            "sizes": plain(self.sizes),
        }

    @property
    def needs(self) -> tuple[Reference, ...]:
        return ()

    def structure(self) -> nn.Module:
        with torch.device("meta"):
            return Gpt2(self.sizes)

    def open(self, store: ObjectStore, targets: int, output: str, execution: Execution) -> Opened:
        tokens, lengths = read_tokens(self.tokens)
        net = seeded(lambda: Gpt2(self.sizes), self.number)
        if self.weights:
            load_published(net, read_state(Path(self.weights).expanduser()))
        net = net.to(execution.device).eval().requires_grad_(False)
        inputs = torch.from_numpy(tokens[:targets]).to(execution.device)
        labels = next_tokens(inputs, torch.from_numpy(lengths[:targets]).to(execution.device))
        probes = Probes(inputs, labels, over_positions(output))
        return Opened(net, None, probes, torch.from_numpy(tokens[:REFERENCE]).to(execution.device))


def seeded(build: Any, number: int) -> Any:
    """Return a network with random weights that depend on a number alone; torch's own generator is left as it was."""
    seed = int(generator("random network", number).integers(2**62))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build().eval()


def read_tokens(path: str) -> tuple[Int[np.ndarray, "sequences tokens"], Int[np.ndarray, " sequences"]]:
    """Return tokens and lengths; raises ConfigError for a file that is missing or holds anything else."""
    key = f"{LANGUAGE}.tokens"
    file = Path(path).expanduser()
    if not file.is_file():
        raise ConfigError(key, "an .npz file with tokens and lengths", path)
    with np.load(file) as content:
        missing = {"tokens", "lengths"} - set(content.files)
        if missing:
            raise ConfigError(key, "a file with the arrays tokens and lengths", f"one without {', '.join(missing)}")
        tokens, lengths = content["tokens"].astype(np.int64), content["lengths"].astype(np.int64)
    if tokens.ndim != 2 or lengths.shape != (len(tokens),) or lengths.min() < 2 or lengths.max() > tokens.shape[1]:
        expected = "tokens [sequences, tokens] and a length of 2 or more for each sequence"
        raise ConfigError(key, expected, f"shapes {tokens.shape} and {lengths.shape}")
    return tokens, lengths


def next_tokens(tokens: Int[Tensor, "sequences tokens"], lengths: Int[Tensor, " sequences"]) -> Tensor:
    """Return the token after each position, −1 where there is none that counts."""
    labels = torch.full_like(tokens, -1)
    labels[:, :-1] = tokens[:, 1:]
    positions = torch.arange(tokens.shape[1], device=tokens.device)
    return torch.where(positions[None] < lengths[:, None] - 1, labels, -1)


def over_positions(output: str) -> Any:
    """Return the mean over a sequence's positions of an output of the logits."""
    function = OUTPUTS.get(output)

    def read(
        logits: Float[Tensor, "*copies targets positions classes"], labels: Int[Tensor, "targets positions"]
    ) -> Float[Tensor, "*copies targets"]:
        flat = function(logits.flatten(-3, -2), labels.clamp(min=0).flatten()).unflatten(-1, labels.shape)
        counts = labels >= 0
        return torch.where(counts, flat, 0.0).sum(-1) / counts.sum(-1)

    return read


def load_published(net: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Load weights by their published names; raises ConfigError that names what is missing or has another shape."""
    found = {name.removeprefix("transformer."): value.float() for name, value in state.items()}
    for name, value in net.state_dict().items():
        shape = tuple(found[name].shape) if name in found else "nothing"
        if shape != tuple(value.shape):
            raise ConfigError(
                f"{LANGUAGE}.weights", f"GPT-2's weights ({name}: {tuple(value.shape)})", f"{name}: {shape}"
            )
    net.load_state_dict({name: found[name] for name in net.state_dict()})


def file_sum(path: str, key: str) -> str:
    """Return the SHA-256 of a file; raises ConfigError if it is not there."""
    file = Path(path).expanduser()
    if not file.is_file():
        raise ConfigError(key, "a file", path)
    state = file.stat()
    return _file_sum(file, state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=16)
def _file_sum(file: Path, size: int, changed: int) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _plain(value: object) -> dict[str, Any]:
    found = plain(value)
    assert isinstance(found, dict)
    return found
