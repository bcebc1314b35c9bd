"""The whole path on small studies: what is computed once is not computed again, whatever happens in between."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    FlowRunFilter,
    FlowRunFilterName,
    TaskRunFilter,
)
from prefect.settings import PREFECT_API_URL, temporary_settings

from harness.commands import Commands, InProcess, kill_all, wait_for
from harness.small_studies import SMALL
from modeldiff_core.store import MarginMatrix, ObjectStore, StoreSettings
from tests.flows.conftest import FinishedRun

SHARDS = 2 * (6 + 2)


@pytest.fixture
def copied(finished_run: FinishedRun, tmp_path: Path) -> Path:
    """A copy of the finished store."""
    return finished_run.copied(tmp_path)


def objects(root: Path, pattern: str) -> dict[str, str]:
    """Digests of the files that match, by name."""
    found = {str(p.relative_to(root)): hashlib.sha256(p.read_bytes()).hexdigest() for p in root.glob(pattern)}
    assert found, pattern
    return found


def written(root: Path) -> dict[str, int]:
    """Time of writing of every object of results."""
    return {
        str(p.relative_to(root)): p.stat().st_mtime_ns
        for p in root.rglob("*")
        if p.is_file() and ".prefect" not in p.parts
    }


def summary(root: Path) -> dict:
    (path,) = root.glob("comparisons/*/summary.json")
    return json.loads(path.read_text())


def test_the_summary_has_the_promised_keys_and_the_report_stands(finished_run: FinishedRun) -> None:
    root, out = finished_run.root, finished_run.out
    found = summary(root)
    assert found["study"] == "digits_watermark"
    assert found["algorithms"]["a"]["name"] == "trained as is"
    for name in ("a", "b"):
        score = found["lds"][name]
        assert 0.1 < score["ci_low"] < score["mean"] < score["ci_high"] < 1
    assert [(d["side"], d["index"]) for d in found["directions"]] == [(s, i) for s in ("a-b", "b-a") for i in range(4)]
    for direction in found["directions"]:
        assert set(direction["explained_variance"]) == {"a", "b"}
        assert 0 < direction["null_p"] <= 1
        assert 0 <= direction["stability"] <= 1
        assert len(direction["top_targets"]) == len(direction["bottom_targets"]) == len(direction["top_train"]) == 12
    for effect in found["transformations"]:
        assert effect["ci"]["a"][0] <= effect["effect"]["a"] <= effect["ci"]["a"][1]
        assert effect["difference_ci"][0] <= effect["difference"] <= effect["difference_ci"][1]
        assert isinstance(effect["distinguishing"], bool)
    assert {e["name"] for e in found["transformations"]} == {
        "watermark",
        "watermark_elsewhere",
        "noise",
        "blur",
        "contrast",
    }
    (folder,) = root.glob("comparisons/digits_watermark-*")
    assert f"Report: file://{folder}/report/index.html" in out
    assert "0 of 16 shards done before, 16 to train" in out
    page = (folder / "report/index.html").read_text()
    assert "corner erased" in page
    assert (folder / "report/figures/variance.png").read_bytes().startswith(b"\x89PNG")
    assert (folder / "effects.parquet").stat().st_size > 0


def test_a_second_run_trains_nothing(in_process: InProcess, copied: Path) -> None:
    before = written(copied)
    done = in_process("compare", *SMALL, f"store.root={copied}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{SHARDS} of {SHARDS} shards done before, 0 to train" in done.stdout
    assert "INFO" not in done.stdout + done.stderr, "logs go to Prefect alone"
    assert written(copied) == before


@pytest.mark.nightly
def test_a_changed_pca_option_reruns_only_what_depends_on_it(commands: Commands, copied: Path) -> None:
    before = written(copied)
    out = commands.compare(copied, "comparison.components=3").stdout
    assert "0 to train" in out
    new = written(copied).keys() - before.keys()
    assert any("directions-" in name for name in new)
    assert all(name.startswith("comparisons/") for name in new)


@pytest.mark.nightly
def test_more_models_train_only_new_shards_and_a_third_algorithm_reuses_a(commands: Commands, copied: Path) -> None:
    before = written(copied)
    out = commands.compare(copied, "subsets.models=280").stdout
    assert "16 of 18 shards done before, 2 to train" in out
    out = commands.compare(copied, "algorithm_b.name=smoothed", "algorithm_b.recipe.label_smoothing=0.1").stdout
    assert "8 of 16 shards done before, 8 to train" in out
    after = written(copied)
    assert all(after[name] == when for name, when in before.items() if "/shards/" in name)


@pytest.mark.nightly
def test_killed_in_training_and_run_again_gives_the_same_bits(
    commands: Commands, in_process: InProcess, finished_run: FinishedRun, tmp_path: Path
) -> None:
    process = commands.start("compare", *SMALL, f"store.root={tmp_path}")
    wait_for(lambda: len(list(tmp_path.glob("trainings/*/*/shards/*.safetensors"))) >= 3, 120, "a shard")
    kill_all(process)
    done = {p: p.stat().st_mtime_ns for p in tmp_path.glob("trainings/*/*/shards/*.safetensors")}
    assert 3 <= len(done) < SHARDS, "killed too late to show anything"
    again = in_process("compare", *SMALL, f"store.root={tmp_path}")
    assert again.returncode == 0, again.stdout + again.stderr
    out = again.stdout
    assert f"{len(done)} of {SHARDS} shards done before, {SHARDS - len(done)} to train" in out
    assert all(path.stat().st_mtime_ns == when for path, when in done.items()), "a finished shard was trained again"
    root = finished_run.root
    for pattern in ("trainings/*/subsets/shards/*.safetensors", "trainings/*/ensemble/shards/*.safetensors"):
        whole = objects(root, pattern)
        assert all(whole[name] == digest for name, digest in objects(tmp_path, pattern).items())
    (ours,) = tmp_path.glob("comparisons/digits_watermark-*")
    study = json.loads((ours / "study.json").read_text())
    for key in [*study["datamodels"]["a"], *study["datamodels"]["b"]]:
        blocks = objects(tmp_path, f"{key}/*.safetensors")
        assert blocks == objects(root, f"{key}/*.safetensors")
    assert summary(tmp_path) == json.loads((root / ours.relative_to(tmp_path) / "summary.json").read_text())


@pytest.mark.nightly
def test_two_studies_at_once_on_one_store_and_server(commands: Commands, tmp_path: Path) -> None:
    first = commands.start("compare", *SMALL, f"store.root={tmp_path}")
    second = commands.start(
        "compare", *SMALL, f"store.root={tmp_path}", "algorithm_b.name=damped", "algorithm_b.recipe.weight_decay=0.01"
    )
    for process in (first, second):
        out, err = process.communicate(timeout=400)
        assert process.returncode == 0, out + err
        assert commands.environment["UI"] in out
    assert len(list(tmp_path.glob("comparisons/*/summary.json"))) == 2


@pytest.mark.nightly
def test_the_same_study_twice_at_once_ends_with_right_matrices(
    commands: Commands, finished_run: FinishedRun, tmp_path: Path
) -> None:
    processes = [commands.start("compare", *SMALL, f"store.root={tmp_path}") for _ in range(2)]
    for process in processes:
        out, err = process.communicate(timeout=400)
        assert process.returncode == 0, out + err
    root = finished_run.root
    store, alone = ObjectStore(StoreSettings(str(tmp_path))), ObjectStore(StoreSettings(str(root)))
    keys = [str(record.relative_to(tmp_path).with_suffix("")) for record in tmp_path.glob("trainings/*/margins-*.json")]
    assert len(keys) == 2
    for key in keys:
        ours, theirs = MarginMatrix.open(store, key), MarginMatrix.open(alone, key)
        assert ours.margins().std() > 0.5
        np.testing.assert_array_equal(ours.margins(), theirs.margins())
        np.testing.assert_array_equal(ours.masks(), theirs.masks())
    shards = objects(tmp_path, "trainings/*/*/shards/*.safetensors")
    assert len(shards) == SHARDS
    assert shards.items() <= objects(root, "trainings/*/*/shards/*.safetensors").items()
    (ours,) = tmp_path.glob("comparisons/digits_watermark-*")
    assert summary(tmp_path) == json.loads((root / ours.relative_to(tmp_path) / "summary.json").read_text())


@pytest.mark.nightly
def test_a_damaged_shard_is_named_and_trained_again(commands: Commands, copied: Path) -> None:
    """A byte of a margin in one shard of A, and a byte of the masks in one of B."""
    intact = {}
    (folder,) = copied.glob("comparisons/digits_watermark-*")
    prefixes = json.loads((folder / "study.json").read_text())["trainings"]
    for label, number, array in (("a", 3, "margins"), ("b", 1, "masks")):
        (matrix,) = copied.glob(f"{prefixes[label]}/margins-*.json")
        shard = matrix.parent / f"subsets/shards/{number:06d}.safetensors"
        intact[shard] = data = shard.read_bytes()
        length = int.from_bytes(data[:8], "little")
        at = 8 + length + json.loads(data[8 : 8 + length])[array]["data_offsets"][0] + 5
        shard.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        matrix.unlink()
    assert len(intact) == 2
    out = commands.compare(copied).stdout
    assert "digits_watermark trained as is subsets shard 3 is made again: " in out
    assert "digits_watermark corner erased subsets shard 1 is made again: " in out
    assert out.count("do not match its checksum") == 2
    assert "14 of 16 shards done before, 2 to train" in out
    assert all(shard.read_bytes() == data for shard, data in intact.items())


@pytest.mark.nightly
def test_a_recipe_that_diverges_fails_with_an_explanation(commands: Commands, tmp_path: Path) -> None:
    done = commands.run(
        "compare",
        *SMALL,
        f"store.root={tmp_path}",
        "algorithm_b.recipe.learning_rate=1e12",
        "algorithm_b.recipe.epochs=2",
    )
    assert done.returncode == 1
    assert "digits_watermark corner erased subsets shard 0: Diverged: 40 of the 40 subset models 0..39" in done.stderr
    assert "Lower recipe.learning_rate" in done.stderr
    assert "Resume with: modeldiff compare" in done.stderr
    finished = list(tmp_path.glob("trainings/*/*/shards/*.safetensors"))
    assert len(finished) == SHARDS // 2, "A's shards are trained all the same"


def test_the_masks_and_margins_are_what_the_shards_hold(finished_run: FinishedRun) -> None:
    root = finished_run.root
    store = ObjectStore(StoreSettings(str(root)))
    for record in root.glob("trainings/*/margins-*.json"):
        matrix = MarginMatrix.open(store, str(record.relative_to(root).with_suffix("")))
        masks, margins = matrix.masks(), matrix.margins()
        assert masks.shape[1] == 300
        assert (masks.sum(1) == 150).all()
        assert margins.shape == (len(masks), 100)
        assert margins.std() > 0.5
        assert not np.array_equal(margins[0], margins[1])


def test_prefect_shows_the_run(finished_run: FinishedRun) -> None:
    with (
        temporary_settings({PREFECT_API_URL: f"{finished_run.ui}/api"}),
        get_client(sync_client=True) as client,
    ):
        assert isinstance(client, SyncPrefectClient)
        runs = client.read_flow_runs(
            flow_run_filter=FlowRunFilter(name=FlowRunFilterName(any_=["compare digits_watermark"]))
        )
        (first,) = (run for run in runs if run.parameters["store"]["root"] == str(finished_run.root))
        assert first.state_name == "Completed"
        tasks = client.read_task_runs(
            flow_run_filter=FlowRunFilter(id={"any_": [first.id]}), task_run_filter=TaskRunFilter(), limit=200
        )
        names = {task.name for task in tasks}
        assert "digits_watermark trained as is subsets shard 0" in names
        assert "digits_watermark corner erased ensemble shard 1" in names
        assert sum("shard" in task.tags for task in tasks) == SHARDS
        artifacts = client.read_artifacts(
            artifact_filter=ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[first.id])), limit=200
        )
        kinds = {(artifact.key, artifact.type) for artifact in artifacts}
        assert {
            ("training", "progress"),
            ("digits-watermark-directions", "table"),
            ("digits-watermark-effects", "table"),
            ("digits-watermark-variance", "image"),
            ("digits-watermark-findings", "markdown"),
        } <= kinds
        assert "digits-watermark-report" in {key for key, _ in kinds}
        progress = next(a for a in artifacts if a.key == "training")
        assert "models a minute" in str(progress.description)
