"""What a store holds, what no finished study needs, and that nothing else is removed."""

import os
import time
from pathlib import Path

import pytest

from modeldiff_core.plan.holdings import holdings
from modeldiff_core.store import ObjectStore, StoreSettings, write_record
from modeldiff_platform.flows.cli import main

OLD = time.time() - 3 * 24 * 3600


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    """A finished study of two trainings on given data, a training of a run that goes on, and an old one of no study."""
    store = ObjectStore(StoreSettings(str(tmp_path)))
    digests = {"data": "1" * 16, "lost": "2" * 16}
    for name, key in (("a", "data"), ("b", "data"), ("old", "lost"), ("new", "data")):
        record = {"identity": {"dataset": {"fingerprint": digests[key] * 4}}}
        write_record(store, f"trainings/digits.sgd-{name}/training.json", record)
        store.write(f"trainings/digits.sgd-{name}/subsets/shards/000000.safetensors", b"x" * 1000)
    for digest in digests.values():
        store.write(f"data/{digest}.safetensors", b"y" * 500)
    named = {"algorithms": {side: {"training": f"trainings/digits.sgd-{side}"} for side in "ab"}}
    write_record(store, "comparisons/one-12345678/summary.json", named)
    store.write("comparisons/directions-87654321.safetensors", b"z")
    for path in tmp_path.rglob("*"):
        if path.is_file() and "new" not in str(path):
            os.utime(path, (OLD, OLD))
    return store


def test_a_study_needs_its_trainings_and_their_data(store: ObjectStore) -> None:
    found = holdings(store)
    (study,) = found.studies
    assert study.key == "comparisons/one-12345678"
    assert study.needs == ("data/1111111111111111.safetensors", "trainings/digits.sgd-a", "trainings/digits.sgd-b")
    assert [held.key for held in found.unneeded] == [
        "trainings/digits.sgd-new",
        "trainings/digits.sgd-old",
    ]
    assert found.bytes == sum(store.sizes("").values()) > 5000


def test_only_what_is_old_and_needed_by_nothing_is_removed(
    store: ObjectStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = set(store.sizes(""))
    assert main(["clean", f"store.root={tmp_path}"]) == 0
    out = capsys.readouterr().out
    assert "comparisons/one-12345678" in out
    assert "1 of them written within a day" in out
    assert "--remove deletes" in out
    assert set(store.sizes("")) == before
    assert main(["clean", "--remove", f"store.root={tmp_path}"]) == 0
    gone = before - set(store.sizes(""))
    assert {key.split("/")[1] for key in gone} == {"digits.sgd-old", "2222222222222222.safetensors"}


def test_a_study_that_is_forgotten_frees_what_only_it_needs(
    store: ObjectStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["clean", "--forget", "one-1234567", f"store.root={tmp_path}"]) == 2
    assert "Is one-12345678 meant?" in capsys.readouterr().err
    assert main(["clean", "--forget", "one-12345678", "--remove", f"store.root={tmp_path}"]) == 0
    left = {key.split("/")[1] for key in store.sizes("")}
    assert left == {"digits.sgd-new", "directions-87654321.safetensors", "1111111111111111.safetensors"}
