"""What is wrong with a request is said at once, with its key, and nothing is trained."""

import json
import os
import shlex
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
from httpx import ConnectError
from prefect.exceptions import CancelledRun

from modeldiff_core.errors import StoreError
from modeldiff_core.experiments.compare.comparison import Comparison
from modeldiff_core.plan import RunFailed
from modeldiff_platform.flows.cli import main
from modeldiff_platform.flows.cli.compose import request
from modeldiff_platform.flows.prefect_api.server import ApiAddress


def refused(capsys: pytest.CaptureFixture[str], tmp_path: Path, *overrides: str) -> str:
    code = main(["compare", f"store.root={tmp_path / 'store'}", *overrides])
    assert code == 2
    assert not list(tmp_path.glob("store/trainings/**/*.safetensors"))
    return capsys.readouterr().err


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("study=nope", ["study: ", "digits_watermark", "nope"]),
        ("algorithm@algorithm_a=nope", ["algorithm", "mlp", "nope"]),
        ("algorithm_a.kind=nope", ["algorithm_a.kind", "sgd", "sklearn"]),
        ("dataset.kind=nope", ["dataset.kind", "digits"]),
        ("subsets.fraction=1.5", ["subsets.fraction", "1.5"]),
        ("subsets.fraction=0", ["subsets.fraction", "0"]),
        ("targets=798", ["targets", "797", "798"]),
        ("dataset.n_train=60", ["subsets.fraction", "misses class"]),
        ("subsets.shard_size=0", ["subsets.shard_size", "0"]),
        ("algorithm_b.recipe.learning_rate=-1", ["algorithm_b.recipe.learning_rate", "-1"]),
        ("algorithm_b.recipe.augmentations.0.top=7", ["algorithm_b.recipe.augmentations", "8×8"]),
        ("comparison.components=797", ["comparison.components", "797"]),
        ("transformations.watermark.target_class=10", ["transformations.watermark.target_class", "0..9"]),
        ("transformations.watermark.parameters.top=6", ["transformations.watermark.parameters", "8×8"]),
        ("regression.estimator=nope", ["regression.estimator", "lasso", "nope"]),
        ("regression.also=[ridge,ridge]", ["regression.also", "ridge"]),
        ("regression.folds=951", ["regression.folds", "at most 950", "951"]),
        ("regression.lambda_min_ratio=1.5", ["regression.lambda_min_ratio", "less than 1", "1.5"]),
        ("regression.settings.ridge.penalties=[0]", ["regression.settings.ridge.penalties", "above 0"]),
        ("runner.devices=[cuda:0]", ["runner.devices", "cuda:0"]),
        ("+runner.address=tcp://127.0.0.1:9", ["runner.address", "runner=dask"]),
        ("runner.max_shards=43", ["runner.max_shards", "at least 44, the shards that are missing, got 43"]),
        ("nonsense=1", ["nonsense: expected a key of the configuration, got '1'"]),
        ("subsets.nonsense=1", ["subsets.nonsense: expected a key of the configuration, got '1'"]),
        ("store.root=null", ["store.root: expected a folder or an fsspec URL, got None"]),
        ("store.root=", ["store.root: expected a folder or an fsspec URL, got ''"]),
        ("store.region=3", ["store.region: expected text, or null, got 3"]),
        ("store.root=memory://x", ["store.root", "memory://x"]),
        ("store.root=nosuch://x", ["store.root", "nosuch"]),
        ("store.root=reference://x", ["store.root", "reference", "'fo'"]),
    ],
)
def test_the_key_is_named(capsys: pytest.CaptureFixture[str], tmp_path: Path, override: str, words: list[str]) -> None:
    message = refused(capsys, tmp_path, override)
    assert all(word in message for word in words), message
    assert message.count("\n") == 1


def archive(path: Path, **changes: np.ndarray) -> Path:
    rng = np.random.default_rng(0)
    arrays = {
        "x_train": rng.random((80, 4, 4)).astype(np.float32),
        "y_train": np.arange(80) % 2,
        "x_test": rng.random((40, 4, 4)).astype(np.float32),
        "y_test": np.arange(40) % 2,
    }
    np.savez(path, **{**arrays, **changes})
    return path


SMALL_NPZ = ("dataset=npz", "transformations=null")


def test_nan_pixels_and_files_cut_short(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    images = np.random.default_rng(0).random((80, 4, 4)).astype(np.float32)
    images[17, 1, 2] = np.nan
    path = archive(tmp_path / "nan.npz", x_train=images)
    message = refused(capsys, tmp_path, *SMALL_NPZ, f"dataset.path={path}")
    assert "dataset" in message
    assert "image 17 holds NaN" in message
    whole = archive(tmp_path / "short.npz").read_bytes()
    (tmp_path / "short.npz").write_bytes(whole[: len(whole) // 2])
    message = refused(capsys, tmp_path, *SMALL_NPZ, f"dataset.path={tmp_path / 'short.npz'}")
    assert "not a readable NumPy archive" in message


def test_a_fashion_file_cut_short_is_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    header = bytes.fromhex("00000803") + (60000).to_bytes(4, "big") + (28).to_bytes(4, "big") * 2
    for name in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        (tmp_path / f"{name}-ubyte").write_bytes(header + b"\x00" * 1000)
    message = refused(capsys, tmp_path, "study=fashion_watermark", f"dataset.folder={tmp_path}")
    assert "train-images-idx3-ubyte" in message
    assert "47040016 bytes promised" in message


def test_a_store_that_cannot_be_written(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    assert main(["compare", f"store.root={tmp_path / 'file' / 'store'}"]) == 2
    message = capsys.readouterr().err
    assert "store.root" in message
    assert "NotADirectoryError" in message


def test_an_api_that_does_not_answer(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    assert "PREFECT_API_URL" in refused(capsys, tmp_path)


def test_the_same_algorithm_under_two_names_is_warned_of(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code = main(["plan", f"store.root={tmp_path}", "algorithm_b.recipe.augmentations=[]", "subsets.models=200"])
    told = capsys.readouterr()
    assert code == 0
    assert "warning: algorithm_a (trained as is) and algorithm_b (corner erased) are the same algorithm" in told.err
    assert "200 models to train" in told.out
    assert "ms a model (measured)" in told.out


def test_status_and_report_of_an_empty_store(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["status", f"store.root={tmp_path}"]) == 0
    assert "subsets: 0 of 20 shards" in capsys.readouterr().out
    assert main(["report", f"store.root={tmp_path}"]) == 1
    assert "Run: modeldiff compare" in capsys.readouterr().err


def test_whoever_reads_may_stop(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "modeldiff_platform.flows.cli", "status", f"store.root={tmp_path}"]
    ended = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert (ended.returncode, ended.stderr) == (1, "")


def test_a_study_from_a_file_is_the_study_that_was_written(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    asked = request(["study=digits_watermark", "subsets.models=300", "transformations.blur=null"])
    place, kept = tmp_path / "study.json", tmp_path / "kept.json"
    place.write_text(json.dumps(asked.study.model_dump(mode="json")))
    kept.write_text(json.dumps({"study": asked.study.model_dump(mode="json"), "digest": "0"}))
    for name in (place, kept):
        found = request([f"study={name}", f"store.root={tmp_path}", "runner.workers=3"])
        assert Comparison.of(found.study).digest == Comparison.of(asked.study).digest
        assert found.study == asked.study
        assert (found.store.root, found.runner.workers) == (str(tmp_path), 3)
    assert "subsets.models: expected only settings of store and runner" in refused(
        capsys, tmp_path, f"study={place}", "subsets.models=400"
    )
    assert "study: expected a file that holds a study" in refused(capsys, tmp_path, f"study={tmp_path / 'none.json'}")
    place.write_text('{"name": "x"}')
    assert "dataset: expected a value" in refused(capsys, tmp_path, f"study={place}")


@pytest.mark.parametrize("verb", ["compare", "sweep"])
@pytest.mark.parametrize(
    ("error", "words"),
    [
        (RunFailed("1 tasks of digits failed"), "modeldiff: 1 tasks of digits failed"),
        (CancelledRun("cancelled"), "modeldiff: cancelled"),
        (StoreError("the store does not answer"), "modeldiff: the store does not answer"),
        (ConnectError("refused"), "modeldiff: Prefect's server at http://ui does not answer as it should"),
    ],
)
def test_however_a_run_fails_the_command_to_go_on_is_told(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    verb: str,
    error: Exception,
    words: str,
) -> None:
    def fail(*_arguments: object) -> None:
        raise error

    api = ApiAddress("http://ui/api", "http://ui", private=False)
    monkeypatch.setattr("modeldiff_platform.flows.cli.verbs.recorded", lambda: nullcontext(api))
    monkeypatch.setattr("modeldiff_platform.flows.experiment.run_experiment", fail)
    overrides = [f"store.root={tmp_path}", *(["+sweep.targets=[20,30]"] if verb == "sweep" else [])]
    assert main([verb, *overrides]) == 1
    said = capsys.readouterr().err
    assert words in said
    assert said.endswith(f"Resume with: modeldiff {verb} {shlex.join(overrides)}\n")
