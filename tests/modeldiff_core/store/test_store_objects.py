"""Objects on every store: there or not there, whole, listed once, and refused in words that hold no secret."""

import pickle
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import fsspec
import pytest

from harness.s3_server import S3Server
from harness.stored_shards import done_shards
from modeldiff_core.errors import ConfigError, StoreError
from modeldiff_core.store import ObjectStore, StoreSettings, shard_key

S3 = Callable[..., StoreSettings]
SECRET = "planted-secret-4b1e77c0"


@contextmanager
def calls(store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What a store is asked while the block runs: methods of its filesystem, for S3 the requests that leave."""
    seen: list[str] = []
    if store.settings.url.startswith("s3://"):
        events = store.fs.s3.meta.events

        def sent(request: object, **_: object) -> None:
            seen.append(str(getattr(request, "method", None)))

        events.register("before-send.s3", sent)
        yield seen
        events.unregister("before-send.s3", sent)
        return
    with monkeypatch.context() as patch:
        for name in ("find", "exists", "cat_file", "pipe_file"):
            real = getattr(store.fs, name)

            def spy(*args: object, _real: Callable[..., object] = real, _name: str = name, **kwargs: object) -> object:
                seen.append(_name)
                return _real(*args, **kwargs)

            patch.setattr(store.fs, name, spy)
        yield seen


@pytest.mark.parametrize("data", [b"", b"\x00", b"modeldiff", bytes(range(256)) * 2000], ids=len)
def test_what_is_written_is_read(store: ObjectStore, data: bytes) -> None:
    assert not store.exists("a/b/object.bin")
    store.write("a/b/object.bin", data)
    assert store.exists("a/b/object.bin")
    assert store.read("a/b/object.bin") == data
    assert store.sizes("a") == {"a/b/object.bin": len(data)}
    assert store.url("a/b/object.bin") == f"{store.settings.url}/a/b/object.bin"


def test_writing_again_replaces(store: ObjectStore) -> None:
    store.write("object", b"a long first version")
    store.write("object", b"second")
    assert store.read("object") == b"second"
    assert store.sizes("") == {"object": 6}


def test_a_deleted_object_is_gone_and_deleting_nothing_is_no_error(store: ObjectStore) -> None:
    store.write("folder/one", b"1")
    store.write("folder/two", b"2")
    store.delete("folder/one")
    assert not store.exists("folder/one")
    assert store.sizes("folder") == {"folder/two": 1}
    with pytest.raises(FileNotFoundError):
        store.read("folder/one")
    store.delete("folder/one")
    store.delete("never/was")
    assert store.read("folder/two") == b"2"


def test_an_empty_place_has_no_objects(store: ObjectStore) -> None:
    assert store.sizes("nothing/here") == {}
    assert not store.exists("nothing/here")
    with pytest.raises(FileNotFoundError):
        store.read("nothing/here")


def test_a_listing_stays_below_its_prefix(store: ObjectStore) -> None:
    keys = ["trainings/a/shards/0", "trainings/a/shards/1", "trainings/a/record", "trainings/ab/shards/2", "other"]
    for size, key in enumerate(keys):
        store.write(key, b"x" * size)
    assert store.sizes("trainings/a") == {keys[0]: 0, keys[1]: 1, keys[2]: 2}
    assert store.sizes("trainings") == {key: size for size, key in enumerate(keys[:-1])}


def test_a_listing_sees_what_was_just_written(store: ObjectStore) -> None:
    for count in range(1, 4):
        store.write(f"grows/{count}", b"x")
        assert len(store.sizes("grows")) == count


def test_done_shards_are_found_by_one_listing(store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    done = {0, 1, 7, 30, 999_999, 1_000_000}
    for index in done:
        store.write(shard_key("t/subsets", index), b"x")
    for stray in (
        "t/subsets/shards/000003.safetensors.part",
        "t/subsets/shards/old/000004.safetensors",
        "t/subsets/shards/5.safetensors",
        "t/ensemble/shards/000006.safetensors",
    ):
        store.write(stray, b"x")
    with calls(store, monkeypatch) as seen:
        assert done_shards(store, "t/subsets") == done
    assert seen == (["GET"] if store.settings.url.startswith("s3://") else ["find"])
    assert done_shards(store, "t/none") == set()


def test_a_write_to_s3_is_one_put(s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    store = ObjectStore(s3())
    store.write("first", b"connects")
    with calls(store, monkeypatch) as seen:
        store.write("object", b"x" * 1_000_000)
    assert seen == ["PUT"]


def test_a_probe_leaves_nothing(store: ObjectStore) -> None:
    store.probe()
    assert store.sizes("") == {}


def test_a_root_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    store = ObjectStore(StoreSettings(str(tmp_path / "file" / "results")))
    with pytest.raises(ConfigError, match="a place that can be written") as caught:
        store.probe()
    assert caught.value.key == "store.root"
    with pytest.raises(StoreError, match="results/object could not be written"):
        store.write("object", b"x")


@pytest.mark.parametrize(
    ("bucket", "keys", "said"),
    [
        ("absent", {}, "bucket does not exist"),
        ("margins", {"AWS_ACCESS_KEY_ID": "someone-else"}, "PermissionError"),
        ("margins", {"AWS_SECRET_ACCESS_KEY": SECRET}, "PermissionError"),
        ("margins", {"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None}, "NoCredentialsError"),
    ],
    ids=["bucket", "key", "secret", "no-keys"],
)
def test_a_probe_explains_what_s3_refuses(
    s3: S3, server: S3Server, bucket: str, keys: dict[str, str | None], said: str
) -> None:
    settings = s3(bucket, **keys)
    began = time.monotonic()
    with pytest.raises(ConfigError, match=said) as caught:
        ObjectStore(settings).probe()
    assert time.monotonic() - began < 30, "the retries of a run are not for a probe"
    assert caught.value.key == "store.root"
    assert caught.value.got == settings.root
    with pytest.raises(StoreError, match=rf"s3://{bucket}/\w+/object could not be written: "):
        ObjectStore(settings).write("object", b"x")
    told = "".join(traceback.format_exception(caught.value))
    assert "could not be written" in told
    assert SECRET not in told
    assert server.secret_key not in told
    fsspec.get_filesystem_class("s3").clear_instance_cache()


def test_no_secret_in_what_may_be_shown_or_sent(s3: S3, server: S3Server) -> None:
    store = ObjectStore(s3())
    store.probe()
    shown = [str(x) + repr(x) for x in (store, store.settings, store.settings.options(), store.fs)]
    shown += [store.fs.to_json(), *(pickle.dumps(x).decode("latin1") for x in (store.settings, store.fs))]
    assert server.endpoint in "".join(shown)
    assert server.secret_key not in "".join(shown)


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        (StoreSettings(f"sftp://user:{SECRET}@host/folder"), "store.root"),
        (StoreSettings("s3://bucket/x", endpoint=f"http://user:{SECRET}@host:9000"), "store.endpoint"),
    ],
)
def test_a_password_in_an_address_is_refused_and_not_repeated(settings: StoreSettings, key: str) -> None:
    with pytest.raises(ConfigError, match="without a password") as caught:
        ObjectStore(settings)
    assert caught.value.key == key
    assert SECRET not in "".join(traceback.format_exception(caught.value))


def test_an_unknown_kind_of_address_is_refused() -> None:
    with pytest.raises(ConfigError, match="an fsspec URL or a folder") as caught:
        ObjectStore(StoreSettings("nowhere://bucket"))
    assert caught.value.key == "store.root"


def test_a_plain_root_is_an_absolute_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = ObjectStore(StoreSettings("some runs/"))
    store.write("a", b"x")
    assert store.settings.url == f"file://{tmp_path}/some runs"
    assert (tmp_path / "some runs" / "a").read_bytes() == b"x"


class Unreliable(fsspec.get_filesystem_class("memory")):  # type: ignore[misc]
    """A backend that fails with an exception of its own."""

    class Refused(Exception):
        pass

    def _refuse(self, *_: object, **__: object) -> None:
        raise self.Refused("quota")

    pipe_file = cat_file = exists = find = rm_file = _refuse


def test_whatever_a_backend_raises_is_told_with_the_address() -> None:
    store = ObjectStore(StoreSettings("memory://unreliable"))
    store.fs = Unreliable()
    operations: dict[str, Callable[[], object]] = {
        "written": lambda: store.write("k", b""),
        "read": lambda: store.read("k"),
        "looked up": lambda: store.exists("k"),
        "listed": lambda: store.sizes("k"),
        "deleted": lambda: store.delete("k"),
    }
    for what, operation in operations.items():
        with pytest.raises(StoreError, match=f"memory://unreliable/k could not be {what}: Refused: quota"):
            operation()
    with pytest.raises(ConfigError, match="quota"):
        store.probe()
