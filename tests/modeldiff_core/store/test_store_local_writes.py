"""A local object is whole under its name or not there, whenever the writer is killed."""

import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.stored_shards import done_shards
from modeldiff_core.store import ObjectStore, StoreSettings, shard_key

WRITERS = """
import hashlib, itertools, os, signal, sys
from modeldiff_core.store import ObjectStore, StoreSettings, shard_key

signal.signal(signal.SIGCHLD, signal.SIG_IGN)
store = ObjectStore(StoreSettings(sys.argv[1]))
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        for n in itertools.count():
            body = bytes([n % 256]) * 3_000_000
            store.write(shard_key("t", n % 5), hashlib.sha256(body).digest() + body)
    print(child, flush=True)
"""


def test_a_killed_writer_leaves_no_part_of_an_object(tmp_path: Path) -> None:
    """Ten writers, each killed at a random moment; each new one writes over what the last one left."""
    store = ObjectStore(StoreSettings(str(tmp_path)))
    rng = random.Random(0)
    unfinished = seen = 0
    with subprocess.Popen(
        [sys.executable, "-c", WRITERS, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdin
        assert parent.stdout
        for _ in range(10):
            print(file=parent.stdin, flush=True)
            child = int(parent.stdout.readline())
            time.sleep(rng.uniform(0.02, 0.2))
            os.kill(child, signal.SIGKILL)
            while Path(f"/proc/{child}").exists():
                time.sleep(0.002)
            for key in store.sizes("t"):
                data = store.read(key)
                assert hashlib.sha256(data[32:]).digest() == data[:32], f"{key} is cut short"
                assert len(data) == 3_000_032
                seen += 1
            unfinished = len(list(tmp_path.rglob("*.part")))
            assert done_shards(store, "t") == {int(p.stem) for p in tmp_path.rglob("*.safetensors")}
        parent.stdin.close()
    assert seen > 0, "no writer finished an object"
    assert unfinished > 0, "no writer was killed while it wrote"
    assert set(store.sizes("")) <= {shard_key("t", i) for i in range(5)}


def test_a_write_that_fails_leaves_the_old_object_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = ObjectStore(StoreSettings(str(tmp_path)))
    store.write("object", b"old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(Exception, match="object could not be written: OSError: .* No space left"):
            store.write("object", b"new")
    assert store.read("object") == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["object"]


def test_a_write_is_synced_before_it_gets_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = ObjectStore(StoreSettings(str(tmp_path)))
    real, order = os.fsync, []

    def spy(descriptor: int) -> None:
        target = Path(f"/proc/self/fd/{descriptor}").readlink()
        order.append((target.suffix, (tmp_path / "object").exists()))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", spy)
    store.write("object", b"x")
    assert order == [(".part", False), ("", True)]
