"""Masks and outputs go out in the layout of COAR's public code and come back; attributions are scored on them."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from modeldiff_core.errors import ConfigError
from modeldiff_core.experiments.components.memory_maps import Maps, read_maps, score_attributions, write_maps
from modeldiff_core.store import MarginMatrix, ObjectStore, Shard, StoreSettings, write_matrix
from modeldiff_platform.flows.cli import main
from tests.modeldiff_core.experiments.components.studies import make, opened


def stored(root: Path, outputs: np.ndarray) -> tuple[MarginMatrix, Shard]:
    store = ObjectStore(StoreSettings(root=str(root)))
    masks = np.random.default_rng(0).random((len(outputs), 5)) < 0.7
    failed = np.arange(len(outputs)) == 3
    shard = Shard(0, masks, np.where(failed[:, None], 0, outputs).astype(np.float32), failed)
    write_matrix(store, "m", [shard], len(outputs), 5, outputs.shape[1], {"training": {}})
    return MarginMatrix.open(store, "m"), shard


def test_what_is_written_is_read_back_without_the_rows_that_failed(tmp_path: Path) -> None:
    outputs = np.random.default_rng(1).standard_normal((20, 3))
    matrix, shard = stored(tmp_path / "store", outputs)
    files = write_maps(matrix, tmp_path / "maps", "val")
    assert [path.name for path in files] == ["masks.npy", "val_margins.npy", "_completed.npy"]
    raw = [np.load(path) for path in files]
    assert [array.dtype.name for array in raw] == ["bool", "float16", "bool"]
    assert [array.shape for array in raw] == [(20, 5), (20, 3), (20,)]
    found, keep = read_maps(tmp_path / "maps", "val"), np.arange(20) != 3
    np.testing.assert_array_equal(found.masks, shard.masks[keep])
    np.testing.assert_allclose(found.outputs, shard.margins[keep], rtol=1e-3, atol=1e-3)


def test_released_attributions_are_scored_by_their_correlation() -> None:
    rng = np.random.default_rng(2)
    weights, masks = rng.standard_normal((4, 6)), rng.random((100, 6)) < 0.8
    outputs = (masks @ weights.T + 3 + 0.3 * rng.standard_normal((100, 4))).astype(np.float32)
    found = score_attributions(weights, Maps(masks, outputs)).pearson.mean
    expected = np.mean([np.corrcoef(masks @ w, y)[0, 1] for w, y in zip(weights, outputs.T, strict=True)])
    assert found == pytest.approx(expected, abs=1e-5)
    assert found > 0.8
    with pytest.raises(ConfigError, match="weights: expected a matrix of 4 targets and 6 components"):
        score_attributions(weights.T, Maps(masks, outputs))


def test_what_is_no_such_folder_is_refused(tmp_path: Path) -> None:
    matrix, _ = stored(tmp_path / "store", np.full((8, 2), 1e6))
    with pytest.raises(ConfigError, match="key: expected outputs up to 65504"):
        write_maps(matrix, tmp_path / "large")
    good, _ = stored(tmp_path / "other", np.ones((8, 2)))
    write_maps(good, tmp_path / "maps")
    with pytest.raises(ConfigError, match="to: expected a path that does not exist yet"):
        write_maps(good, tmp_path / "maps")
    with pytest.raises(ConfigError, match=r"folder: expected a folder with val_margins.npy"):
        read_maps(tmp_path / "maps", "val")
    np.save(tmp_path / "maps/masks.npy", np.ones((8, 5)))
    with pytest.raises(ConfigError, match="folder: expected bool masks"):
        read_maps(tmp_path / "maps")
    np.save(tmp_path / "maps/masks.npy", np.ones((8, 5), dtype=bool))
    np.save(tmp_path / "maps/test_margins.npy", np.full((8, 2), np.nan, np.float16))
    with pytest.raises(ConfigError, match="folder: expected finite outputs in completed rows"):
        read_maps(tmp_path / "maps")
    np.save(tmp_path / "maps/_completed.npy", np.zeros(8, dtype=bool))
    with pytest.raises(ConfigError, match="folder: expected one completed row or more"):
        read_maps(tmp_path / "maps")


def out(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> list[str]:
    """Return the lines that a command prints, those of its errors where it is to fail."""
    assert main(arguments) == code, capsys.readouterr()
    told = capsys.readouterr()
    return (told.err if code else told.out).splitlines()


def test_memory_maps_of_ablations_go_out_come_back_and_score_attributions(
    finished: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The ablations of a study as COAR's public code keeps them, and its weights as attributions from elsewhere."""
    store = Path(shutil.copytree(finished, tmp_path / "store"))
    experiment, root = opened(store)[0], f"store.root={store}"
    key = experiment.parts[0].gathered(100).reference.key
    files = out(capsys, "export", f"key={key}", f"to={tmp_path / 'maps'}", "split=val", root)
    assert [Path(file).name for file in files] == ["masks.npy", "val_margins.npy", "_completed.npy"]
    assert np.load(files[1]).dtype == np.float16
    asked = ("adopt", "name=ablations", f"folder={tmp_path / 'maps'}", "split=val", "copies=keep", root)
    adopted = out(capsys, *asked)
    assert adopted[0] == "ablations: margins of 100 models, 16 training examples, 24 targets"
    fitted = experiment.parts[0].regression(100).reference.key
    out(capsys, "export", f"key={fitted}", f"to={tmp_path / 'weights.npy'}", root)
    asked = ("adopt", "name=coar", f"scores={tmp_path / 'weights.npy'}", "orientation=targets_train", root)
    for against in (adopted[1], experiment.parts[0].matrices()["tests at 0.2"].reference.key):
        told = out(capsys, *asked, f"against={against}")[-1]
        assert told.startswith("predicted and true outputs correlate with 0.")
        assert float(told.split()[6]) > 0.7
    assert make(*opened(store)) == [], "nothing of the study was touched"
    refused = out(capsys, *asked, f"against={fitted}", code=2)
    assert refused[0].startswith("modeldiff: against: expected the key of a matrix of margins")
    wrong = ("adopt", "name=x", f"masks={files[0]}", f"margins={files[1]}", "split=val", root)
    assert out(capsys, *wrong, code=2)[0].startswith("modeldiff: split: expected a folder in the layout of COAR's")
    again = ("export", f"key={fitted}", f"to={tmp_path / 'w.npy'}", "split=val", root)
    assert out(capsys, *again, code=2)[0].startswith("modeldiff: split: expected margins that are written to a folder")
