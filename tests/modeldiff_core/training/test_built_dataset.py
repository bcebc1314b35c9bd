"""A built dataset trains alike whether its images lie in memory or are read by FFCV."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from modeldiff_core.data.built import Built
from modeldiff_core.errors import ConfigError, DataError
from modeldiff_core.subsets import SubsetSampler
from modeldiff_core.training import Execution
from modeldiff_core.training.augmentations import Translate
from modeldiff_core.training.ffcv_source import BetonSource
from modeldiff_core.training.settings import Network
from modeldiff_core.training.sgd import Sgd
from modeldiff_platform.flows.cli import main

pytestmark = pytest.mark.skipif(find_spec("ffcv") is None, reason="there is no FFCV")  # imported where it is used


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("built")
    code = main(["data", "build", "dataset=digits", "dataset.n_train=120", f"data.out={out}", "data.beton=true"])
    assert code == 0
    return out


def test_ffcv_and_memory_give_the_same_bits(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = Built(str(folder)).load()
    assert data.train.beton == str(folder / "train.beton")
    recipe = Sgd(network=Network("cnn", (4,)), epochs=3, batch_size=16, augmentations=(Translate(),))
    masks = SubsetSampler(120, 0.5, 0).masks(range(2))
    read: list[int] = []
    batches = BetonSource.batches

    def counted(self: BetonSource, order: np.ndarray, batch_size: int) -> object:
        read.append(len(order))
        return batches(self, order, batch_size)

    monkeypatch.setattr(BetonSource, "batches", counted)
    logits = []
    for share in (0.5, 1e-12):
        trained = recipe.train(data.train, 10, masks, [0, 1], 7, Execution(stack=1, resident_share=share))
        logits.append(trained.logits(data.test.images[:50]))
        assert bool(read) == (share < 0.5)
    assert read == [60] * 6
    assert logits[0].std() > 0.1
    assert np.array_equal(logits[0], logits[1])


def test_a_build_that_changed_or_has_no_betons_is_refused(folder: Path, tmp_path: Path) -> None:
    for name in ("manifest.json", "train.beton", "test.beton"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    damaged = bytearray((tmp_path / "test.beton").read_bytes())
    damaged[-1] ^= 1
    (tmp_path / "test.beton").write_bytes(damaged)
    with pytest.raises(DataError, match=r"test\.beton: missing, or its bytes do not match"):
        Built(str(tmp_path)).load()
    with pytest.raises(ConfigError, match=r"dataset\.folder"):
        Built(str(tmp_path / "elsewhere")).load()
