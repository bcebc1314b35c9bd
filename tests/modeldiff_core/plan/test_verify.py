"""What is done to any object of a store is named; repair removes that and nothing else, and a run mends it."""

import hashlib
import json
import re
import shutil
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.commands import run_here
from modeldiff_core import plan
from modeldiff_core.errors import DamagedObject, StoreError
from modeldiff_core.experiments.compare import Compare, Comparison
from modeldiff_core.plan import Finding, repair
from modeldiff_core.responses import SubsetModels
from modeldiff_core.stages.matrix import gather
from modeldiff_core.stages.regress import BlockSpec, read_datamodels, regress_block
from modeldiff_core.stages.shards import ShardSpec, make_shard
from modeldiff_core.store import MarginMatrix, ObjectStore, Shard, read_record, write_matrix, write_record
from modeldiff_core.store.verify import check_matrix
from tests.modeldiff_core.stages.studies import EXECUTION, TINY, local, run, tiny


def verify(store: ObjectStore, comparison: Comparison) -> tuple[Finding, ...]:
    return plan.verify(Compare(comparison), store)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Comparison]:
    root, comparison = tmp_path_factory.mktemp("whole"), tiny()
    run(local(root), comparison)
    return root, comparison


@pytest.fixture
def copy(whole: tuple[Path, Comparison], tmp_path: Path) -> tuple[ObjectStore, Comparison]:
    shutil.copytree(whole[0], tmp_path / "store")
    return local(tmp_path / "store"), whole[1]


def contents(store: ObjectStore) -> dict[str, str]:
    root = Path(store.path(""))
    files = [path for path in root.rglob("*") if path.is_file()]
    assert files
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def made(store: ObjectStore) -> dict[str, str]:
    """Contents but for times, names of matrices' groups, of which each has one of its own, and what sums them up."""
    name = re.compile(r"(margins-\w{8})\.\w{8}\.zarr")
    found = {
        name.sub(r"\1.zarr", key): digest for key, digest in contents(store).items() if not key.endswith(".time.json")
    }
    for key in [key for key in found if re.fullmatch(r".*/margins-\w{8}\.json", key)]:
        found[key] = name.sub(r"\1.zarr", json.dumps(read_record(store, key)))
    return found


def of_a(comparison: Comparison, name: str) -> str:
    return f"{comparison.trainings[0].prefix}/{name}"


def named(store: ObjectStore, comparison: Comparison) -> dict[str, str]:
    return {finding.key: finding.kind for finding in verify(store, comparison)}


def the(store: ObjectStore, pattern: str) -> Path:
    """The first file that matches; there must be one."""
    return sorted(Path(store.path("")).glob(pattern))[0]


def keyed(store: ObjectStore, path: Path) -> str:
    return str(path.relative_to(store.path("")))


def flip(path: Path, where: int = -3) -> None:
    data = bytearray(path.read_bytes())
    data[where] ^= 1
    path.write_bytes(bytes(data))


SHARD = "trainings/*/subsets/shards/000001.safetensors"
ENSEMBLE = "trainings/*/ensemble/shards/000000.safetensors"
BLOCK = "trainings/*/datamodels-*/targets-000025-000040.safetensors"
EFFECT = "trainings/*/effects-*.safetensors"
REPORT = "comparisons/tiny-*/report"
DIRECTIONS = "comparisons/directions-*.safetensors"
NULL = "comparisons/null-*/00001.safetensors"
RECORDS = [
    "trainings/*/margins-*.json",
    "trainings/*/datamodels-*/record.json",
    "trainings/*/training.json",
    "trainings/*/scores-*.json",
    "comparisons/tiny-*/study.json",
    "comparisons/tiny-*/summary.json",
    "comparisons/tiny-*/effects.parquet",
    "comparisons/tiny-*/report/index.html",
]


def test_a_whole_study_is_sound_and_every_object_is_read(whole: tuple[Path, Comparison]) -> None:
    told: list[tuple[int, int]] = []
    found = plan.verify(Compare(whole[1]), local(whole[0]), lambda done, total: told.append((done, total)))
    assert found == ()
    trained, fitted, compared = 2 * (1 + 3 + 2 + 1 + 1 + 1), 3 + 6 * (2 + 1) + 2, 1 + 2 + 2 + 1 + 1
    total = trained + fitted + compared
    assert told == [(i, total) for i in range(1, total + 1)]


@pytest.mark.parametrize(
    ("pattern", "where"),
    [(SHARD, 3), (SHARD, 200), (SHARD, -1), (ENSEMBLE, -1), (BLOCK, 200), (EFFECT, -1), (DIRECTIONS, -1), (NULL, -1)],
)
def test_a_flipped_byte_is_damage_wherever_it_is(
    copy: tuple[ObjectStore, Comparison], pattern: str, where: int
) -> None:
    store, comparison = copy
    path = the(store, pattern)
    flip(path, where)
    found = verify(store, comparison)
    assert [(f.key, f.kind) for f in found] == [(keyed(store, path), "damaged")]
    assert keyed(store, path) in found[0].why


@pytest.mark.parametrize(
    "pattern", [*RECORDS, f"{REPORT}/files.json", f"{REPORT}/figures/*", f"{REPORT}/tables/*", f"{REPORT}/methods.html"]
)
def test_a_flipped_byte_in_a_record_a_table_or_a_drawing_is_damage(
    copy: tuple[ObjectStore, Comparison], pattern: str
) -> None:
    store, comparison = copy
    path = sorted(Path(store.path("")).glob(pattern))[0]
    flip(path)
    found = verify(store, comparison)
    assert (found[0].key, found[0].kind) == (keyed(store, path), "damaged")
    assert {f.kind for f in found[1:]} <= {"stray"}
    repair(store, found[:1])
    run(store, comparison)
    assert verify(store, comparison) == ()


@pytest.mark.parametrize("part", ["margins/c/0/0", "masks/c/0/0", "margins/zarr.json", "masks/zarr.json"])
def test_a_flipped_byte_in_a_matrix_is_damage_of_the_matrix(copy: tuple[ObjectStore, Comparison], part: str) -> None:
    store, comparison = copy
    path = the(store, f"trainings/*/margins-*.zarr/{part}")
    flip(path)
    (found,) = verify(store, comparison)
    group = str(path).removeprefix(store.path("")).split(".zarr")[0]
    assert (found.key, found.kind) == (f"{group.rpartition('.')[0]}.json", "damaged")
    assert found.objects[0] == found.key
    assert {f"{group}.zarr/{p}" for p in ("zarr.json", "margins/c/0/0", "masks/c/0/0")} <= set(found.objects)


@pytest.mark.parametrize("pattern", [SHARD, ENSEMBLE, BLOCK, EFFECT, DIRECTIONS, NULL, *RECORDS])
def test_what_is_gone_is_missing(copy: tuple[ObjectStore, Comparison], pattern: str) -> None:
    store, comparison = copy
    key = keyed(store, the(store, pattern))
    store.delete(key)
    found = verify(store, comparison)
    assert (found[0].key, found[0].kind) == (key, "missing")
    assert {f.kind for f in found[1:]} <= {"stray"}, "only the parts of what is no longer complete"
    assert bool(len(found) - 1) == ("margins-" in pattern)


@pytest.mark.parametrize("pattern", [SHARD, BLOCK, "trainings/*/margins-*.zarr/margins/c/0/0"])
def test_repair_and_a_run_give_the_same_store_again(copy: tuple[ObjectStore, Comparison], pattern: str) -> None:
    store, comparison = copy
    before, names = made(store), set(contents(store))
    flip(the(store, pattern))
    removed = repair(store, verify(store, comparison))
    assert removed
    assert names - set(contents(store)) == set(removed)
    assert {f.kind for f in verify(store, comparison)} == {"missing"}
    run(store, comparison)
    assert verify(store, comparison) == ()
    assert made(store) == before


def test_foreign_objects_are_told_from_damaged_ones(copy: tuple[ObjectStore, Comparison]) -> None:
    store, comparison = copy
    a, b = comparison.trainings
    root = Path(store.path(""))
    for name in ("subsets/shards/000002.safetensors", "ensemble/shards/000001.safetensors", "training.json"):
        shutil.copy(root / b.prefix / name, root / a.prefix / name)
    fits = comparison.pair.a[0].reference.key, comparison.pair.a[1].reference.key
    block = "targets-000000-000025.safetensors"
    shutil.copy(root / fits[0] / block, root / fits[1] / block)
    found = {f.key: f for f in verify(store, comparison)}
    assert {key: f.kind for key, f in found.items()} == {
        of_a(comparison, "subsets/shards/000002.safetensors"): "foreign",
        of_a(comparison, "ensemble/shards/000001.safetensors"): "foreign",
        of_a(comparison, "training.json"): "foreign",
        f"{fits[1]}/{block}": "foreign",
    }
    assert "algorithm.recipe.epochs: expected 4, found 8" in found[of_a(comparison, "training.json")].why
    assert found[f"{fits[1]}/{block}"].objects == (f"{fits[1]}/{block}",)
    repair(store, tuple(found.values()))
    run(store, comparison)
    assert verify(store, comparison) == ()


def test_a_shard_under_another_number_is_damaged(copy: tuple[ObjectStore, Comparison]) -> None:
    store, comparison = copy
    shards = Path(store.path(comparison.trainings[0].subsets)) / "shards"
    shutil.copy(shards / "000000.safetensors", shards / "000001.safetensors")
    (found,) = verify(store, comparison)
    assert (found.kind, found.why.endswith("holds shard 0")) == ("damaged", True)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"models": 49}, "models: expected 50, found 49"),
        ({"identity": {"training": {}}}, "made by another configuration"),
        ({"chunk": [10, 40]}, "5 checksums do not match 10 chunks"),
        ({"diverged": [50]}, "beyond its 50 models"),
        ({"crc32c": {}}, "0 checksums do not match 2 chunks"),
    ],
)
def test_a_record_that_says_something_else(
    copy: tuple[ObjectStore, Comparison], change: dict[str, Any], words: str
) -> None:
    store, comparison = copy
    key = comparison.regression(comparison.trainings[0], None).matrix.record
    write_record(store, key, {**read_record(store, key), **change})
    found = verify(store, comparison)
    assert (found[0].key, found[0].kind) == (key, "foreign" if "made by" in found[0].why else "damaged")
    assert words in found[0].why
    assert {f.kind for f in found[1:]} <= {"stray"}, "only parts that the record does not name"


def test_a_summary_that_does_not_follow_from_the_results(copy: tuple[ObjectStore, Comparison]) -> None:
    store, comparison = copy
    content = read_record(store, comparison.summary.record)
    content["directions"][1]["null_p"] += 0.01
    write_record(store, comparison.summary.record, content)
    (found,) = verify(store, comparison)
    assert found.kind == "damaged"
    assert "directions[1].null_p" in found.why
    repair(store, [found])
    run(store, comparison)
    assert verify(store, comparison) == ()


def test_a_summary_in_the_words_of_another_version_is_outdated_and_not_damaged(
    copy: tuple[ObjectStore, Comparison], capsys: pytest.CaptureFixture[str]
) -> None:
    store, comparison = copy
    key, before = comparison.summary.record, store.read(comparison.summary.record)
    content = read_record(store, key)
    assert all(" " in sentence for sentence in content["findings"])
    content["findings"][0] = "Both algorithms are alike."
    write_record(store, key, content)
    (found,) = verify(store, comparison)
    assert (found.key, found.kind) == (key, "outdated")
    assert "written by another version, in which findings[0] reads otherwise" in found.why
    content["findings"].append("And more.")
    write_record(store, key, content)
    (found,) = verify(store, comparison)
    assert found.kind == "outdated"
    study = Path(store.path("")).parent / "study.json"
    study.write_text(json.dumps(comparison.study.model_dump(mode="json")))
    told = run_here(capsys, "verify", f"study={study}", f"store.root={store.settings.root}")
    assert told.returncode == 0, told.stdout
    assert f"outdated {store.url(key)}" in told.stdout
    assert "Write what is outdated again with: modeldiff report study=" in told.stderr
    Compare(comparison).redraw(store)
    assert verify(store, comparison) == ()
    assert store.read(key) == before


def test_strays_are_named_and_nothing_else_is_removed(copy: tuple[ObjectStore, Comparison]) -> None:
    store, comparison = copy
    before = contents(store)
    matrix = comparison.regression(comparison.trainings[0], None).matrix.key
    fit = comparison.pair.b[0].reference.key
    alone = of_a(comparison, "margins-00000000.01234567.zarr")
    group = MarginMatrix.open(store, matrix).group
    replaced = f"{matrix}.01234567.zarr"
    strays = [
        of_a(comparison, "subsets/shards/000001.safetensors.0123abcd.part"),
        of_a(comparison, "subsets/shards/0000001.safetensors"),
        of_a(comparison, "subsets/shards/1.safetensors"),
        of_a(comparison, "notes.txt"),
        f"{group}/margins/c/0/0.0123abcd.partial",
        f"{fit}/targets-000000-000040.safetensors",
        f"{comparison.folder}/summary.json.0123abcd.part",
        f"{comparison.pair.null_block(0).key}/1.safetensors",
        f"{comparison.pair.directions.record}.0123abcd.part",
    ]
    parts = [f"{group}/{part}" for group in (alone, replaced) for part in ("zarr.json", "margins/c/0/0")]
    for key in [*strays, *parts]:
        store.write(key, b"x")
    store.write("comparisons/other-00000000/summary.json", b"of another study")
    strays.append(f".probe-{'0' * 32}")
    store.write(strays[-1], b"modeldiff")
    found = verify(store, comparison)
    assert {f.key: f.kind for f in found} == dict.fromkeys([*strays, alone, replaced], "stray")
    removed = repair(store, found)
    assert set(removed) == {*strays, *parts}
    store.delete("comparisons/other-00000000/summary.json")
    assert contents(store) == before


def test_what_another_study_needs_is_checked_and_kept(copy: tuple[ObjectStore, Comparison]) -> None:
    store, comparison = copy
    larger = tiny(subsets={**TINY["subsets"], "models": 80})
    training = larger.trainings[0]
    assert training.prefix == comparison.trainings[0].prefix
    make_shard(store, ShardSpec(SubsetModels(training), 3), EXECUTION)
    gather(store, larger.matrix(training))
    regression = larger.regression(training, None)
    regress_block(store, BlockSpec(regression, 0, 25))
    probes = of_a(comparison, "probes/cpu-0123abcd.json")
    write_record(store, probes, {"stack": 8})
    before = contents(store)
    assert verify(store, comparison) == ()
    block = the(store, f"{regression.reference.key}/targets-*")
    flip(block)
    flip(Path(store.path(of_a(comparison, "subsets/shards/000003.safetensors"))))
    flip(Path(store.path(probes)))
    found = verify(store, comparison)
    expected = {probes, of_a(comparison, "subsets/shards/000003.safetensors"), keyed(store, block)}
    assert {f.key for f in found} == expected
    assert {f.kind for f in found} == {"damaged"}
    assert set(repair(store, found)) == expected == set(before) - set(contents(store))


def test_datamodels_fitted_in_blocks_of_another_size_are_the_same_ones(whole: tuple[Path, Comparison]) -> None:
    store, comparison = local(whole[0]), tiny(regression={**TINY["regression"], "block_size": 7})
    regression = comparison.regression(comparison.trainings[0], None)
    assert len(regression.blocks) == 6
    assert read_datamodels(store, regression).weights.shape == (40, 60)
    assert verify(store, comparison) == ()


def test_a_fault_of_the_store_is_no_damage(
    copy: tuple[ObjectStore, Comparison], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, comparison = copy
    read = store.read

    def faulty(key: str) -> bytes:
        if key.endswith("000001.safetensors"):
            raise StoreError(f"{store.url(key)} could not be read: PermissionError: 403")
        return read(key)

    monkeypatch.setattr(store, "read", faulty)
    with pytest.raises(StoreError, match="403") as caught:
        verify(store, comparison)
    assert not isinstance(caught.value, DamagedObject)


def test_nothing_is_found_sound_in_an_empty_store(tmp_path: Path) -> None:
    found = verify(local(tmp_path), tiny())
    assert {f.kind for f in found} == {"missing"}
    assert len(found) == 2 * (1 + 3 + 2 + 1 + 1 + 3 * (2 + 1) + 1 + 1) + 1 + 2 + 2 + 1 + 1
    assert repair(local(tmp_path), found) == []


def test_a_matrix_is_checked_in_bounded_memory(tmp_path: Path) -> None:
    models, targets, train = 20_000, 1_000, 800
    rng = np.random.default_rng(0)
    shards = (
        Shard(
            first,
            rng.random((2_000, train)) < 0.5,
            rng.random((2_000, targets), np.float32),
            np.zeros(2_000, dtype=bool),
        )
        for first in range(0, models, 2_000)
    )
    write_matrix(local(tmp_path), "m", shards, models, train, targets, {})
    matrix = MarginMatrix.open(local(tmp_path), "m")
    tracemalloc.start()
    try:
        check_matrix(matrix)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    block = 4 * models * 100
    assert 10 * block == 4 * models * targets
    assert block < peak < 5 * block
