"""Images from a beton: the order asked for, the models of resident images, and nothing left behind."""

import gc
import itertools
import os
import pickle
import threading
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

from modeldiff_core.data import Examples
from modeldiff_core.data.betons import ffcv_module, read_beton, write_beton
from modeldiff_core.errors import ConfigError, DataError
from modeldiff_core.identity import generator
from modeldiff_core.training.augmentations import (
    Augmentation,
    Cutout,
    Erase,
    Flip,
    Noise,
    Translate,
)
from modeldiff_core.training.batches import ImageSource, Resident
from modeldiff_core.training.crops import CentreCrop, RandomResizedCrop, Resize
from modeldiff_core.training.ffcv_source import BetonSource, _loader, choose_source, device_memory
from modeldiff_core.training.operations import augmented, draws_per_image

pytestmark = pytest.mark.skipif(find_spec("ffcv") is None, reason="there is no FFCV")  # imported where it is used

CPU = torch.device("cpu")
N = 60
OPERATIONS = (
    RandomResizedCrop(height=9, width=9, scale=(0.4, 1.0)),
    Flip(),
    Translate(pixels=2, mode="reflect"),
    Cutout(size=2),
)


@pytest.fixture(scope="module")
def examples() -> Examples:
    rng = np.random.default_rng(0)
    return Examples(rng.integers(0, 256, (N, 10, 9, 3), dtype=np.uint8), rng.integers(0, 4, N))


@pytest.fixture(scope="module")
def path(examples: Examples, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("betons") / "some.beton"
    write_beton(examples, path)
    return path


@pytest.fixture
def nothing_left() -> Iterator[None]:
    """The loader's threads have ended when the test has; those of tests before may end meanwhile."""
    before = set(threading.enumerate())
    yield
    assert not set(threading.enumerate()) - before


def gathered(source: ImageSource, order: np.ndarray, batch_size: int) -> np.ndarray:
    return torch.cat(list(source.batches(order, batch_size))).numpy()


@pytest.mark.usefixtures("nothing_left")
def test_every_order_and_batch_size_is_given_as_by_resident_images(examples: Examples, path: Path) -> None:
    source, resident = BetonSource(path, CPU), Resident(examples.images, CPU)
    assert isinstance(source, ImageSource)
    assert (len(source), source.image_shape) == (N, (10, 9, 3))
    rng = np.random.default_rng(1)
    for size, batch_size in ((30, 7), (N, 100), (1, 1), (45, 15), (80, 8)):
        order = rng.permutation(N)[:size] if size <= N else rng.integers(0, N, size)
        got, expected = (list(one.batches(order, batch_size)) for one in (source, resident))
        assert [len(batch) for batch in got] == [len(batch) for batch in expected]
        assert all(batch.dtype == torch.uint8 for batch in got)
        assert torch.equal(torch.cat(got), torch.cat(expected))
    assert list(source.batches(np.array([], np.int64), 5)) == []


@pytest.mark.usefixtures("nothing_left")
def test_two_passes_at_once_do_not_disturb_each_other(examples: Examples, path: Path) -> None:
    source = BetonSource(path, CPU)
    forth, back = np.arange(N), np.arange(N)[::-1].copy()
    pairs = list(itertools.zip_longest(source.batches(forth, 7), source.batches(back, 11)))
    np.testing.assert_array_equal(torch.cat([a for a, _ in pairs if a is not None]), examples.images)
    np.testing.assert_array_equal(torch.cat([b for _, b in pairs if b is not None]), examples.images[back])


@pytest.mark.parametrize("kind", ["grey", "jpeg"])
def test_other_formats_give_what_read_beton_reads(kind: str, tmp_path: Path) -> None:
    at = np.arange(16)
    waves = 127 + 120 * np.sin(at[:, None, None] / 5 + at[None, :, None] / 3 + np.arange(12)[:, None, None, None])
    images = np.repeat(waves, 3, axis=3).astype(np.uint8) if kind == "jpeg" else waves.astype(np.uint8)
    write_beton(Examples(images, np.arange(12)), tmp_path / "some.beton", jpeg=kind == "jpeg")
    order = np.array([3, 11, 0, 0, 7])
    got = gathered(BetonSource(tmp_path / "some.beton", CPU), order, 2)
    np.testing.assert_array_equal(got, read_beton(tmp_path / "some.beton").images[order])
    assert np.array_equal(got, images[order]) == (kind == "grey")


@pytest.mark.parametrize(
    "operation",
    [
        Flip(),
        Translate(pixels=3),
        Translate(pixels=3, mode="reflect"),
        Erase(top=2),
        Cutout(size=4),
        Noise(),
        RandomResizedCrop(height=6, width=5),
        CentreCrop(height=5, width=7),
        Resize(height=13, width=4),
    ],
)
def test_augmentation_is_the_same_on_both_paths(operation: Augmentation, examples: Examples, path: Path) -> None:
    """Each is checked against a loop over pixels in its own tests; here that both paths run it on the same pixels."""
    order = np.random.default_rng(2).permutation(N)
    width = operation.n_draws(*examples.images.shape[1:])
    draws = torch.from_numpy(generator("augmentation", 0, 3, 1).random((N, width), dtype=np.float32))
    got = [
        operation(torch.from_numpy(gathered(source, order, 16)).float() / 255, draws)
        for source in (BetonSource(path, CPU), Resident(examples.images, CPU))
    ]
    plain = torch.from_numpy(examples.images[order]).float() / 255
    assert got[0].shape != plain.shape or not torch.equal(got[0], plain)
    assert torch.equal(got[0], got[1])


def trained(source: ImageSource, labels: np.ndarray, model: int) -> torch.Tensor:
    """A linear classifier after three epochs on a random half, from images that the source gives."""
    subset = generator("mask", 0, model).permutation(N)[: N // 2]
    width = draws_per_image(OPERATIONS, (10, 9, 3))
    weights = torch.zeros(9 * 9 * 3, 4, requires_grad=True)
    for epoch in range(3):
        order = generator("order", 0, model, epoch).permutation(subset)
        draws = torch.from_numpy(generator("augmentation", 0, model, epoch).random((len(order), width), np.float32))
        targets = torch.from_numpy(labels[order])
        for images, own, target in zip(source.batches(order, 8), draws.split(8), targets.split(8), strict=True):
            x = (augmented(OPERATIONS, images.float() / 255, own) - 0.5) / 0.25
            loss = torch.nn.functional.cross_entropy(x.flatten(1) @ weights, target)
            (gradient,) = torch.autograd.grad(loss, weights)
            with torch.no_grad():
                weights -= 0.05 * gradient
    return weights.detach()


@pytest.mark.usefixtures("nothing_left")
def test_a_model_is_the_same_from_both_paths_bit_for_bit(examples: Examples, path: Path) -> None:
    beton, resident = BetonSource(path, CPU), Resident(examples.images, CPU)
    models = [trained(beton, examples.labels, model) for model in (0, 1)]
    assert models[0].abs().max() > 0.01
    assert not torch.equal(models[0], models[1])
    for model in (1, 0):
        assert torch.equal(models[model], trained(resident, examples.labels, model))


def test_another_subset_compiles_nothing_and_a_path_has_one_loader(path: Path) -> None:
    source = BetonSource(path, CPU)
    gathered(source, np.arange(N), 8)
    _, loader = source._opened()
    code = loader.code
    compiled = [f for f in code[0][0][0].__globals__.values() if hasattr(f, "signatures")]
    before = [len(f.signatures) for f in compiled]
    assert before
    assert min(before) > 0
    for size in (1, 7, 50):
        gathered(source, np.arange(N)[:size], size)
    again = pickle.loads(pickle.dumps(BetonSource(path.parent / "." / path.name, CPU)))
    gathered(again, np.arange(N), 3)
    assert again._opened()[1] is loader
    assert loader.code is code
    assert [len(f.signatures) for f in compiled] == before


def test_a_file_written_in_another_ones_place_is_read(tmp_path: Path) -> None:
    for value in (3, 200):
        write_beton(Examples(np.full((5, 4, 4, 3), value, np.uint8), np.arange(5)), tmp_path / "some.beton")
        source = BetonSource(tmp_path / "some.beton", CPU)
        assert np.unique(gathered(source, np.arange(5), 2)).tolist() == [value]
    (tmp_path / "some.beton").unlink()
    with pytest.raises(DataError, match="no such file"):
        BetonSource(tmp_path / "some.beton", CPU)


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.usefixtures("nothing_left")
def test_leaving_early_again_and_again_leaves_no_thread_and_no_memory(tmp_path: Path) -> None:
    """100 passes, each left after one batch; what they hold at a time would add up to 490 MB."""
    images = np.zeros((300, 64, 64, 3), np.uint8)
    write_beton(Examples(images, np.zeros(300, np.int64)), tmp_path / "some.beton")
    source = BetonSource(tmp_path / "some.beton", CPU)
    threads = set(threading.enumerate())
    for turn in range(120):
        for _ in source.batches(np.arange(300), 100):
            break
        assert not set(threading.enumerate()) - threads
        if turn == 19:
            gc.collect()
            before = resident_bytes()
    assert resident_bytes() - before < 20e6


@pytest.mark.usefixtures("nothing_left")
def test_an_error_of_the_loader_is_raised_and_not_waited_for(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = BetonSource(path, CPU)
    calls = itertools.count()
    stages, outputs = source._opened()[1].code

    def fail(**arguments: object) -> object:
        if next(calls) == 2:
            raise MemoryError("third batch")
        return stages[0][0](**arguments)

    monkeypatch.setattr(source._opened()[1], "code", ([(fail, stages[0][1]), *stages[1:]], outputs))
    got: list[torch.Tensor] = []
    with pytest.raises(MemoryError, match="third batch"):
        got.extend(source.batches(np.arange(N), 10))
    assert len(got) == 2


def test_positions_that_the_beton_lacks_are_refused(path: Path) -> None:
    source = BetonSource(path, CPU)
    for wrong in (N, -1):
        with pytest.raises(IndexError, match=rf"position {wrong} is not in 0\.\.{N - 1}"):
            next(iter(source.batches(np.array([0, wrong]), 2)))


def test_more_workers_than_cores_are_refused(path: Path) -> None:
    cores = len(os.sched_getaffinity(0))
    for workers in (0, cores + 1):
        with pytest.raises(ConfigError) as caught:
            BetonSource(path, CPU, workers=workers)
        assert caught.value.key == "runner.ffcv_workers"
    order = np.arange(N)[::-1].copy()
    some = gathered(BetonSource(path, CPU, workers=cores), order, 16)
    np.testing.assert_array_equal(some, gathered(BetonSource(path, CPU), order, 16))


def test_threads_of_torch_stay_what_they_are(path: Path) -> None:
    torch.set_num_threads(2)
    try:
        gathered(BetonSource(path, CPU), np.arange(N), 16)
        ffcv_module("loader")
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)


def test_images_stay_on_the_device_up_to_a_share_of_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = device_memory(CPU)
    assert 2**28 < memory < 2**50
    assert choose_source(memory // 2, CPU) == "resident"
    assert choose_source(memory // 2 + 1, CPU) == "ffcv"
    assert choose_source(memory // 10 + 1, CPU, share=0.1) == "ffcv"
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: type("P", (), {"total_memory": 1000})())
    assert choose_source(500, torch.device("cuda:0")) == "resident"
    assert choose_source(501, torch.device("cuda:0")) == "ffcv"
    for share in (0.0, 1.5, float("nan")):
        with pytest.raises(ConfigError) as caught:
            choose_source(1, CPU, share)
        assert caught.value.key == "runner.resident_share"


@pytest.fixture(autouse=True, scope="module")
def _loaders_of_this_file_only() -> Iterator[None]:
    yield
    _loader.cache_clear()
