"""The record of a dataset, the watching of long readings, and room for images beyond memory."""

import hashlib
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from modeldiff_core.data import Dataset, Examples
from modeldiff_core.data.manifest import checksums, class_counts, manifest, write_manifest
from modeldiff_core.data.memory import fits_memory, machine_memory, room_for
from modeldiff_core.data.progress import counted, watched_by
from modeldiff_core.errors import DataError


def dataset() -> Dataset:
    rng = np.random.default_rng(0)
    parts = [
        Examples(
            rng.integers(256, size=(len(labels), 4, 5, 3), dtype=np.uint8),
            np.array(labels),
            {"group": np.arange(len(labels)), "place": np.array(["land"] * len(labels))},
        )
        for labels in ([0, 0, 2], [2, 1])
    ]
    return Dataset(parts[0], parts[1], ("ant", "bee", "cow"))


def test_the_record_says_what_there_is(tmp_path: Path) -> None:
    record = manifest(dataset(), "npz", {"seed": 1}, {"x.npz": "ab"})
    path = write_manifest(record, tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["manifest.json"]
    read = json.loads(path.read_text())
    assert read == record
    assert read["fingerprint"] == dataset().fingerprint
    assert read["image_shape"] == [4, 5, 3]
    assert read["splits"]["train"]["by_class"] == {"ant": 2, "bee": 0, "cow": 1}
    assert read["splits"]["test"]["by_class"] == {"ant": 0, "bee": 1, "cow": 1}
    assert read["splits"]["train"]["metadata"] == {"group": "int64", "place": "<U4"}


def test_two_classes_of_one_name_are_refused() -> None:
    with pytest.raises(DataError, match="two have one name"):
        class_counts(dataset().train, ("ant", "bee", "ant"))


def test_checksums_are_those_of_the_bytes_by_relative_path(tmp_path: Path) -> None:
    contents = {"a/x.png": b"one", "b/x.png": os.urandom(3_000_000), "meta.csv": b""}
    for name, raw in contents.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(raw)
    found = checksums(tmp_path / name for name in contents)
    assert found == {name: hashlib.sha256(raw).hexdigest() for name, raw in contents.items()}
    assert list(checksums([tmp_path / "a/x.png"])) == ["x.png"]
    assert checksums([]) == {}
    with pytest.raises(DataError, match="absent: cannot be read"):
        checksums([tmp_path / "absent"])


def test_a_watcher_is_told_inside_its_block_only() -> None:
    told: list[tuple[str, int, int]] = []
    with watched_by(lambda *news: told.append(news)):
        assert list(counted("abc", 3, "reading")) == ["a", "b", "c"]
    assert told == [("reading", 1, 3), ("reading", 2, 3), ("reading", 3, 3)]
    assert list(counted("abc", 3, "reading")) == ["a", "b", "c"]
    assert len(told) == 3


def test_memory_is_that_of_the_machine_or_less() -> None:
    pages = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert 1e8 < machine_memory() <= pages
    assert fits_memory(machine_memory() // 5)
    assert not fits_memory(machine_memory() // 3)
    assert fits_memory(machine_memory() // 3, share=0.5)


def test_a_container_may_have_less_than_its_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for text, expected in (("1000\n", 1000), ("max\n", os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))):
        (tmp_path / "memory.max").write_text(text)
        monkeypatch.setattr("modeldiff_core.data.memory.CGROUP_LIMITS", (tmp_path / "memory.max", tmp_path / "absent"))
        assert machine_memory() == expected


def test_what_does_not_fit_lies_on_disk_and_holds_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    in_memory, on_disk = room_for((3, 4, 5, 3)), room_for((3, 4, 5, 3), share=1e-12)
    assert not isinstance(in_memory, np.memmap)
    assert isinstance(on_disk, np.memmap)
    assert not list(tmp_path.iterdir()), "the file goes away with the array"
    in_memory[:] = on_disk[:] = dataset().train.images
    assert (on_disk == dataset().train.images).all()
    labels = np.array([0, 1, 2])
    prints = {
        Dataset(Examples(images, labels), Examples(images, labels), ("a", "b", "c")).fingerprint
        for images in (in_memory, on_disk)
    }
    assert len(prints) == 1


def test_a_disk_without_room_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    free = shutil.disk_usage(tmp_path).free
    with pytest.raises(DataError, match=rf"GB of decoded images fit neither memory nor {tmp_path} .*TMPDIR"):
        room_for((2 * free,), share=1e-12)
