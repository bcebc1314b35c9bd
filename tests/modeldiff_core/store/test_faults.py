"""Faults between a store and its server: what passes is ridden out, what lasts is told, and a probe finds it early."""

import errno
import os
import re
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from harness.s3_proxy import Fault, Proxy, Request, Schedule, proxy
from harness.s3_server import S3Server
from modeldiff_core.errors import ConfigError, StoreError
from modeldiff_core.store import MarginMatrix, ObjectStore, Shard, StoreSettings, objects, retries, write_matrix

S3 = Callable[..., StoreSettings]
DATA = bytes(range(256)) * 400


@pytest.fixture(scope="module")
def between(server: S3Server) -> Iterator[Proxy]:
    with proxy(server.endpoint) as here:
        yield here


@pytest.fixture
def spoiled(s3: S3, between: Proxy) -> Iterator[tuple[ObjectStore, Proxy]]:
    """A store that reaches its server through a proxy, which has no faults yet."""
    store = ObjectStore(replace(s3(), endpoint=between.endpoint, retry_seconds=30))
    store.probe()
    between.faults.clear()
    between.requests.clear()
    yield store, between
    between.schedule = lambda _: None


def first(count: int, fault: Fault) -> Schedule:
    """That fault for so many requests from now on."""
    left = [fault] * count

    def schedule(_: Request) -> Fault | None:
        return left.pop() if left else None

    return schedule


@pytest.mark.parametrize("fault", ["delay", "cut", "cut answer", "500", "503"])
def test_a_fault_that_passes_is_ridden_out(spoiled: tuple[ObjectStore, Proxy], fault: Fault) -> None:
    store, between = spoiled
    store.write("folder/other", b"1")
    operations: list[tuple[Callable[[], object], object]] = [
        (lambda: store.write("folder/object", DATA), None),
        (lambda: store.read("folder/object"), DATA),
        (lambda: store.exists("folder/object"), True),
        (lambda: store.sizes("folder"), {"folder/object": len(DATA), "folder/other": 1}),
        (lambda: store.delete("folder/object"), None),
        (lambda: store.exists("folder/object"), False),
    ]
    for operation, expected in operations:
        before = len(between.faults)
        between.schedule = first(1, fault)
        assert operation() == expected
        assert len(between.faults) == before + 1, "the operation met no fault"


@pytest.mark.parametrize("fault", ["cut", "503"])
def test_more_faults_in_a_row_than_a_request_is_repeated(spoiled: tuple[ObjectStore, Proxy], fault: Fault) -> None:
    store, between = spoiled
    between.schedule = first(7, fault)
    store.write("object", DATA)
    assert len(between.faults) == 7
    assert store.read("object") == DATA


def test_a_matrix_is_written_and_read_through_faults(spoiled: tuple[ObjectStore, Proxy]) -> None:
    """One request in four is spoiled, each time in another way."""
    store, between = spoiled
    rng = np.random.default_rng(0)
    masks, margins = rng.random((40, 30)) < 0.5, rng.normal(size=(40, 250)).astype(np.float32)
    kinds: list[Fault] = ["cut", "500", "cut answer", "503"]
    between.schedule = lambda request: kinds[request.number // 4 % 4] if request.number % 4 == 1 else None
    write_matrix(store, "m", iter([Shard(0, masks, margins, np.zeros(40, bool))]), 40, 30, 250, {"a": 1})
    matrix = MarginMatrix.open(store, "m")
    np.testing.assert_array_equal(matrix.margins(), margins)
    np.testing.assert_array_equal(matrix.masks(), masks)
    assert {fault for _, fault in between.faults} == set(kinds)


@pytest.mark.parametrize(
    ("fault", "cause"),
    [
        ("cut", "ConnectionClosedError"),
        ("500", "We encountered an internal error"),
        ("503", "reduce your request rate"),
        ("403", "PermissionError: Access Denied"),
    ],
)
def test_a_fault_that_lasts_is_told_with_store_object_and_cause(
    spoiled: tuple[ObjectStore, Proxy], fault: Fault, cause: str
) -> None:
    spoilt, between = spoiled
    store = ObjectStore(replace(spoilt.settings, retry_seconds=2))
    between.schedule = lambda _: fault
    began = time.monotonic()
    with pytest.raises(StoreError, match=rf"{store.settings.url}/folder/object could not be written: .*{cause}"):
        store.write("folder/object", DATA)
    assert time.monotonic() - began < 30
    if fault == "403":
        assert len(between.requests) == 1, "a refusal is not repeated"
    else:
        assert time.monotonic() - began >= 2
        assert len(between.requests) >= 3


def test_a_matrix_that_cannot_be_read_is_told_with_store_object_and_cause(spoiled: tuple[ObjectStore, Proxy]) -> None:
    spoilt, between = spoiled
    store = ObjectStore(replace(spoilt.settings, retry_seconds=0))
    shard = Shard(0, np.ones((2, 3), bool), np.ones((2, 3), np.float32), np.zeros(2, bool))
    write_matrix(store, "m", iter([shard]), 2, 3, 3, {"a": 1})
    matrix = MarginMatrix.open(store, "m")
    between.schedule = lambda _: "403"
    place = rf"{store.settings.url}/m\.\w{{8}}\.zarr"
    with pytest.raises(StoreError, match=rf"{place}/margins/c/0/0 could not be read: PermissionError"):
        matrix.margins()
    with pytest.raises(
        StoreError, match=rf"{store.settings.url}/n\.\w{{8}}\.zarr/\S+ could not be written: Permission"
    ):
        write_matrix(store, "n", iter([shard]), 2, 3, 3, {"a": 1})


def test_one_chunk_that_cannot_be_written_holds_up_no_other(spoiled: tuple[ObjectStore, Proxy]) -> None:
    """Of fifty chunks the first is refused for ever: those that wait are dropped, and what was written is deleted."""
    spoilt, between = spoiled
    store = ObjectStore(replace(spoilt.settings, retry_seconds=1))
    between.schedule = lambda request: "503" if request.path.endswith("/margins/c/0/0") else None
    shard = Shard(0, np.ones((2, 3), bool), np.ones((2, 5000), np.float32), np.zeros(2, bool))
    with pytest.raises(StoreError, match=r"zarr/margins/c/0/0 could not be written: .*reduce your request rate"):
        write_matrix(store, "m", iter([shard]), 2, 3, 5000, {})
    assert any(request.path.endswith("/margins/zarr.json") for request in between.requests)
    assert store.sizes("") == {}


def test_pauses_grow_up_to_a_limit_and_end_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now, pauses = [0.0], []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        now[0] += seconds

    monkeypatch.setattr(retries.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(retries.time, "sleep", sleep)

    def fail() -> None:
        raise OSError(errno.EBUSY, "slow down")

    with pytest.raises(OSError, match="slow down"):
        retries.retry_while_transient(fail, 60)
    assert sum(pauses) == pytest.approx(60)
    assert 8 < len(pauses) < 18
    limits = [min(retries.FIRST_PAUSE * 2**i, retries.LONGEST_PAUSE) for i in range(len(pauses))]
    assert all(limit / 2 <= pause <= limit for pause, limit in zip(pauses[:-1], limits, strict=False))


@pytest.mark.parametrize(
    "error", [PermissionError(13, "no"), FileNotFoundError(2, "gone"), OSError(errno.ENOSPC, "full"), ValueError("x")]
)
def test_what_waiting_does_not_mend_is_raised_at_once(error: Exception) -> None:
    calls = []

    def fail() -> None:
        calls.append(1)
        raise error

    with pytest.raises(type(error), match=re.escape(str(error))):
        retries.retry_while_transient(fail, 60)
    assert calls == [1]


@contextmanager
def mounted(folder: Path, options: str) -> Iterator[Path]:
    """A file system of its own in memory."""
    folder.mkdir()
    try:
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("only root can mount a file system to fill it or to make it read-only")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def refused(settings: StoreSettings, cause: str) -> None:
    """A probe of these settings fails within seconds, and says why."""
    began = time.monotonic()
    with pytest.raises(ConfigError, match=cause) as caught:
        ObjectStore(settings).probe()
    assert time.monotonic() - began < 30
    assert caught.value.key == "store.root"
    assert f"{settings.url}/.probe-" in str(caught.value)


def test_a_full_disk_is_found_by_a_probe(tmp_path: Path) -> None:
    with mounted(tmp_path / "small", "size=64k") as folder:
        settings = StoreSettings(str(folder / "results"))
        ObjectStore(settings).probe()
        with pytest.raises(OSError, match="No space left"):
            (folder / "fill").write_bytes(bytes(1_000_000))
        refused(settings, "No space left on device")
        assert list((folder / "results").iterdir()) == []


def test_a_folder_that_cannot_be_written_is_found_by_a_probe(tmp_path: Path) -> None:
    with mounted(tmp_path / "still", "ro") as folder:
        refused(StoreSettings(str(folder / "results")), "Read-only file system")
    if os.geteuid() != 0:
        closed = tmp_path / "closed"
        closed.mkdir(0o500)
        refused(StoreSettings(str(closed)), "Permission denied")


@pytest.mark.parametrize("fault", ["cut", "500", "503", "403"])
def test_a_server_that_always_fails_is_found_by_a_probe(spoiled: tuple[ObjectStore, Proxy], fault: Fault) -> None:
    store, between = spoiled
    between.schedule = lambda _: fault
    refused(replace(store.settings, retry_seconds=600), "could not be written")


def test_a_probe_rides_out_a_fault_that_passes(spoiled: tuple[ObjectStore, Proxy]) -> None:
    store, between = spoiled
    between.schedule = first(2, "503")
    store.probe()
    assert len(between.faults) == 2


def test_a_server_that_is_not_there_or_never_answers_is_found_by_a_probe(
    s3: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert objects.PROBE_TRANSFER_TIMEOUT == 12
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        nowhere = replace(s3(), endpoint=f"http://127.0.0.1:{listener.getsockname()[1]}", retry_seconds=600)
        refused(nowhere, "could not be written: EndpointConnectionError")
        listener.listen(50)
        monkeypatch.setattr(objects, "PROBE_TRANSFER_TIMEOUT", 2.0)
        refused(nowhere, "could not be written: TimeoutError: the server accepted nothing for 2 s")


@pytest.mark.parametrize("seconds", [-1, float("inf"), float("nan"), True])
def test_a_time_for_trying_again_is_finite(seconds: float) -> None:
    with pytest.raises(ConfigError, match="seconds, 0 or more") as caught:
        StoreSettings("runs", retry_seconds=seconds)
    assert caught.value.key == "store.retry_seconds"
