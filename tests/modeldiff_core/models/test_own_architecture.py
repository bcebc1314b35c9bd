"""An architecture of one's own, registered by an installed package's entry point and trained by name."""

from pathlib import Path

import numpy as np
import pytest

from modeldiff_core.data import Examples
from modeldiff_core.errors import ConfigError
from modeldiff_core.identity import digest
from modeldiff_core.models import ARCHITECTURES, StackedMLP, architecture_of
from modeldiff_core.study import build_algorithm
from modeldiff_core.study.build import recipe_identity
from modeldiff_core.study.config import AlgorithmConfig
from modeldiff_core.training import Execution
from modeldiff_core.training.sgd import Sgd

SOURCE = '''
"""A linear classifier of the mean of each row of pixels, and the same with a leading `models` axis."""

from torch import nn

from modeldiff_core.models import Architecture, Head, Net, StackedMLP, StackedNetwork


class Rows(Net):
    def __init__(self, image_shape, widths, n_classes):
        super().__init__()
        self.add_module("0", nn.Linear(image_shape[0], widths[0]))
        self.head_name = "1"
        self.add_module("1", Head(widths[0], n_classes))

    def forward(self, images):
        return self.get_submodule("1")(self.get_submodule("0")(images.mean((1, 3))).relu())


class StackedRows(StackedNetwork):
    def __init__(self, image_shape, widths, n_classes):
        self.inner = StackedMLP((image_shape[0], 1, 1), widths, n_classes)

    def initial(self, generator):
        return self.inner.initial(generator)

    def logits(self, parameters, images):
        return self.inner.logits(parameters, images.mean((3, 4), keepdim=True))


alone = Architecture(Rows, (6,))
stacked = Architecture(Rows, (6,), stack=StackedRows)
nothing = "no architecture"
'''
ENTRIES = """[modeldiff.architectures]
rows = own_rows:alone
stacked_rows = own_rows:stacked
no_rows = own_rows:nothing
lost_rows = own_rows:missing
"""


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package as an installer leaves it: a module beside the folder that names its entry points."""
    (tmp_path / "own_rows.py").write_text(SOURCE)
    info = tmp_path / "own_rows-0.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: own-rows\nVersion: 0.1\n")
    (info / "entry_points.txt").write_text(ENTRIES)
    monkeypatch.syspath_prepend(str(tmp_path))


def algorithm(kind: str) -> Sgd:
    recipe = {"network": {"kind": kind}, "epochs": 8, "batch_size": 10, "learning_rate": 0.5}
    built = build_algorithm(AlgorithmConfig(name="own", kind="sgd", recipe=recipe), "algorithm_a")
    assert isinstance(built, Sgd)
    return built


def bright_rows() -> Examples:
    """Images of 4 classes: in class c, row c is bright."""
    rng = np.random.default_rng(0)
    labels = np.arange(40) % 4
    images = rng.integers(60, size=(40, 4, 5, 3), dtype=np.uint8)
    images[np.arange(40), labels] += 150
    return Examples(images, labels)


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("kind", ["rows", "stacked_rows"])
def test_it_is_trained_by_its_name(kind: str) -> None:
    own, examples = algorithm(kind), bright_rows()
    own.check((4, 5, 3), 4)
    masks = np.ones((3, 40), dtype=bool)
    masks[:, ::5] = False
    trained = own.train(examples, 4, masks, range(3), 1, Execution(stack=3))
    logits = trained.logits(examples.images)
    assert logits.shape == (3, 40, 4)
    assert (logits.argmax(2) == examples.labels).mean() > 0.9
    assert not np.array_equal(logits[0], logits[1])
    loaded = own.load(trained.weights(), (4, 5, 3), 4, Execution())
    np.testing.assert_array_equal(loaded.logits(examples.images), logits)
    stopped = own.train(examples, 4, masks, range(3), 1, Execution(stack=3), steps=2)
    assert (stopped.logits(examples.images).argmax(2) == examples.labels).mean() < 0.9
    assert not own.is_native((4, 5, 3), 4, Execution())


@pytest.mark.usefixtures("installed")
def test_its_name_and_widths_are_the_identity_of_the_recipe() -> None:
    identity = recipe_identity(algorithm("rows"))
    assert isinstance(identity, dict)
    network = {"kind": "rows", "widths": [6], "init": "random", "init_sha256": "", "trainable": "all"}
    assert identity["network"] == network
    mlp = recipe_identity(algorithm("mlp"))
    assert isinstance(mlp, dict)
    assert digest(identity) == digest({**mlp, "network": network}) != digest(mlp)


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("kind", "expected"),
    [("no_rows", "an Architecture"), ("lost_rows", "own_rows:missing"), ("columns", "resnet9, rows, stacked_rows")],
)
def test_an_entry_that_is_no_architecture_is_named(kind: str, expected: str) -> None:
    assert {"rows", "stacked_rows", "no_rows", "lost_rows", "mlp"} <= set(ARCHITECTURES.names())
    with pytest.raises(ConfigError, match=expected) as caught:
        algorithm(kind)
    assert caught.value.key == "algorithm_a.recipe.network.kind"


def test_without_the_package_it_is_unknown() -> None:
    with pytest.raises(ConfigError, match="cnn, efficientnet_lite0, flat_resnet, .*, resnet9, vit_b16, got 'rows'"):
        architecture_of("rows")


def test_a_stack_says_its_layers_in_order() -> None:
    layers = StackedMLP((4, 5, 3), (7, 6), 2).layers((4, 5, 3))
    assert [(layer.name, layer.inputs, layer.outputs) for layer in layers] == [("0", 60, 7), ("1", 7, 6), ("2", 6, 2)]
