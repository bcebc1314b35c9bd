"""``modeldiff verify`` and ``modeldiff status`` on a store, in this process."""

import re
import shutil
from pathlib import Path

import pytest

from modeldiff_core.experiments.compare import experiment
from modeldiff_core.experiments.compare.comparison import Comparison
from modeldiff_core.store import Listed, ObjectStore, StoreSettings
from modeldiff_platform.flows.cli import main
from modeldiff_platform.flows.cli.compose import request
from tests.modeldiff_core.stages.studies import run

TINY = (
    "study=digits_watermark",
    "comparison=residual",
    "dataset.n_train=100",
    "dataset.n_test=40",
    "subsets.models=40",
    "subsets.evaluation_models=10",
    "subsets.shard_size=20",
    "ensemble.models=4",
    "ensemble.shard_size=2",
    "regression.n_lambdas=2",
    "comparison.components=2",
    "comparison.permutations=2",
    "transformations=null",
    "algorithm_a.recipe.epochs=2",
    "algorithm_b.recipe.epochs=2",
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store after a whole study, but for drawings, which take longest."""
    asked = request([*TINY, f"store.root={tmp_path_factory.mktemp('whole')}"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(experiment, "render", lambda facts: {"index.html": b"<!doctype html>\n<p>report</p>\n</html>\n"})
        run(ObjectStore(asked.store), Comparison.of(asked.study))
    return Path(asked.store.root)


@pytest.fixture
def store(whole: Path, tmp_path: Path) -> ObjectStore:
    shutil.copytree(whole, tmp_path / "store")
    return ObjectStore(StoreSettings(str(tmp_path / "store")))


def command(*arguments: str, root: ObjectStore) -> int:
    return main([arguments[0], *TINY, f"store.root={root.settings.root}", *arguments[1:]])


def test_a_store_is_verified_repaired_and_made_whole(store: ObjectStore, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("verify", root=store) == 0
    told = capsys.readouterr()
    assert told.out.endswith("everything is sound\n")
    assert "reading" in told.err
    (shard, *_) = sorted(Path(store.path("")).glob("trainings/*/subsets/shards/000001.safetensors"))
    shard.write_bytes(shard.read_bytes()[:-7])
    stray = shard.with_name("000001.safetensors.ab12.part")
    stray.write_bytes(b"half")
    assert command("verify", root=store) == 1
    told = capsys.readouterr()
    assert f"damaged  file://{shard}: " in told.out
    assert f"stray    file://{stray}: nothing of that name belongs here" in told.out
    assert "1 damaged, 0 foreign, 0 missing, 1 stray" in told.out
    assert "--repair" in told.err
    assert shard.exists()
    assert stray.exists()
    assert command("verify", "--repair", root=store) == 1
    told = capsys.readouterr()
    assert f"removed  file://{shard}\nremoved  file://{stray}\n" in told.out
    assert "modeldiff compare study=digits_watermark" in told.err
    assert not shard.exists()
    assert not stray.exists()
    assert command("verify", root=store) == 1
    assert f"missing  file://{shard}: is not there" in capsys.readouterr().out
    run(store, Comparison.of(request(TINY).study))
    assert command("verify", root=store) == 0


def test_strays_alone_are_gone_after_a_repair(store: ObjectStore, capsys: pytest.CaptureFixture[str]) -> None:
    (training, *_) = sorted(Path(store.path("trainings")).iterdir())
    (training / "notes.txt").write_text("mine")
    assert command("verify", root=store) == 1
    assert command("verify", "--repair", root=store) == 0
    assert f"removed  file://{training}/notes.txt" in capsys.readouterr().out
    assert command("verify", root=store) == 0


def test_nothing_is_removed_without_being_asked(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(self: ObjectStore, key: str) -> None:
        raise AssertionError(key)

    (shard, *_) = sorted(Path(store.path("")).glob("trainings/*/subsets/shards/000000.safetensors"))
    shard.write_bytes(b"")
    monkeypatch.setattr(ObjectStore, "delete", refused)
    assert command("verify", root=store) == 1
    assert "1 damaged" in capsys.readouterr().out


def test_status_lists_each_folder_once(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    listed: list[str] = []
    listing = ObjectStore.listing

    def spy(self: ObjectStore, prefix: str) -> dict[str, Listed]:
        listed.append(prefix)
        return listing(self, prefix)

    def refused(self: ObjectStore, key: str) -> bool:
        raise AssertionError(key)

    (shard, *_) = sorted(Path(store.path("")).glob("trainings/*/subsets/shards/000000.safetensors"))
    shard.unlink()
    monkeypatch.setattr(ObjectStore, "listing", spy)
    monkeypatch.setattr(ObjectStore, "exists", refused)
    assert command("status", root=store) == 0
    out = capsys.readouterr().out
    assert out.count(" 1 of 2 shards") == 1
    assert out.count(" 2 of 2 shards") == 3
    missing = [line for line in out.splitlines() if line.startswith("missing")]
    assert len(missing) == 1, out
    assert re.fullmatch(r"missing (trained as is|corner erased): subsets \(1 of 2\)", missing[0])
    assert re.search(r"^training: .*\d models a minute", out, re.MULTILINE)
    assert "report: file://" in out
    trainings = {f"trainings/{path.name}" for path in Path(store.path("trainings")).iterdir()}
    assert sorted(listed) == sorted(trainings | {"comparisons", "grams"})
