"""The comparison of two checkouts' stores sees every bit, and overlooks only what is different every time."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from benchmarks.bits import compare, objects
from benchmarks.checkout import Checkout

SHARD = "trainings/d/subsets/shards/000000.safetensors"
SUMMARY = "comparisons/s-00000000/summary.json"
MATRIX = "trainings/d/margins-{0}.{1}.zarr/margins/c/0/0"
RECORD = "trainings/d/margins-{0}.json"


def stored(root: Path, group: str = "11111111") -> Path:
    names = MATRIX.format("a" * 8, group), RECORD.format("a" * 8)
    arrays = {"margins": np.arange(6, dtype=np.float32), "masks": np.ones(6, np.uint8)}
    contents = {
        SHARD: save(arrays, {"modeldiff": "identity"}),
        SUMMARY: json.dumps({"lds": 0.5, "estimators": [{"kind": "ridge", "seconds": len(group)}]}).encode(),
        names[0]: b"1234",
        names[1]: json.dumps({"models": 6, "group": group, "checksum": group}).encode(),
        "comparisons/s-00000000/report/index.html": b"page",
        f".prefect/results/{group}": b"reference",
    }
    for key, data in contents.items():
        (root / key).parent.mkdir(parents=True, exist_ok=True)
        (root / key).write_bytes(data)
    return root


def test_stores_that_differ_in_random_names_and_seconds_alone_are_the_same(tmp_path: Path) -> None:
    first, second = stored(tmp_path / "first"), stored(tmp_path / "second", "22222222")
    (second / SUMMARY).write_text((second / SUMMARY).read_text().replace('"seconds": 8', '"seconds": 9'))
    assert len(objects(first)) == 5
    assert list(compare("run", objects(first), objects(second))) == []


def test_every_other_difference_is_named(tmp_path: Path) -> None:
    first, second = stored(tmp_path / "first"), stored(tmp_path / "second")
    arrays = {"margins": np.arange(6, dtype=np.float32), "masks": np.ones(6, np.uint8)}
    arrays["margins"][3] = np.nextafter(np.float32(3), np.float32(4))
    (second / SHARD).write_bytes(save(arrays, {"modeldiff": "identity"}))
    (second / SUMMARY).write_text((second / SUMMARY).read_text().replace("0.5", "0.6"))
    (second / MATRIX.format("a" * 8, "11111111")).write_bytes(b"1235")
    (second / RECORD.format("a" * 8)).unlink()
    (second / "sweeps/s-00000000").mkdir(parents=True)
    (second / "sweeps/s-00000000/summary.json").write_bytes(b"{}")
    (second / "comparisons/s-00000000/report/index.html").write_bytes(b"other page")
    found = {one.key: (one.why, one.allowed) for one in compare("run", objects(first), objects(second))}
    assert found == {
        SHARD: ("arrays margins", False),
        SUMMARY: ("fields lds", False),
        MATRIX.format("a" * 8, "*"): ("4 and 4 bytes", False),
        RECORD.format("a" * 8): ("only in the first store", False),
        "sweeps/s-00000000/summary.json": ("only in the second store", True),
        "comparisons/s-00000000/report/index.html": ("4 and 10 bytes", True),
    }
    (second / SHARD).write_bytes(save({**arrays, "margins": np.arange(6, dtype=np.float32)}, {"modeldiff": "other"}))
    found = {one.key: (one.why, one.allowed) for one in compare("run", objects(first), objects(second))}
    assert found[SHARD] == ("the header: identity or facts", False)


def test_the_command_line_of_a_checkout_is_found(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[project]\nscripts = {modeldiff = "moved.cli:main"}\n')
    checkout = Checkout(tmp_path, tmp_path / "scratch")
    with pytest.raises(FileNotFoundError, match=r"none of moved\.cli, modeldiff_platform\.flows\.cli, flows\.cli"):
        _ = checkout.entry
    for module, file in (("modeldiff", "cli.py"), ("flows", "cli/__main__.py"), ("moved", "cli.py")):
        (tmp_path / module / file).parent.mkdir(parents=True)
        (tmp_path / module / file).touch()
        assert checkout.entry == f"{module}.cli"
