"""Consolidated matrices against numpy's concatenation, in chunks that no size divides, and their damage."""

import uuid
import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st

from modeldiff_core.errors import DamagedObject
from modeldiff_core.store import MarginMatrix, ObjectStore, Shard, StoreSettings, matrices, write_matrix, write_record
from modeldiff_core.store.verify import check_matrix

IDENTITY = {"training": {"seed": 1}}
TRAIN, TARGETS = 13, 7


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matrices, "ROWS", 4)
    monkeypatch.setattr(matrices, "COLUMNS", 3)


def memory() -> ObjectStore:
    return ObjectStore(StoreSettings(f"memory://{uuid.uuid4().hex}"))


def make(sizes: list[int], train: int = TRAIN, targets: int = TARGETS, seed: int = 0) -> list[Shard]:
    rng = np.random.default_rng(seed)
    shards, first = [], 0
    for size in sizes:
        margins = rng.normal(size=(size, targets)).astype(np.float32)
        shards.append(Shard(first, rng.random((size, train)) < 0.5, margins, rng.random(size) < 0.2))
        first += size
    return shards


def joined(shards: list[Shard], name: str, models: int) -> np.ndarray:
    return np.concatenate([getattr(shard, name) for shard in shards])[:models]


def check(store: ObjectStore, key: str, shards: list[Shard], models: int) -> None:
    """The matrix holds what numpy's concatenation of the shards holds."""
    matrix = MarginMatrix.open(store, key)
    np.testing.assert_array_equal(matrix.margins(), joined(shards, "margins", models))
    np.testing.assert_array_equal(matrix.masks(), joined(shards, "masks", models))
    np.testing.assert_array_equal(matrix.valid(), ~joined(shards, "diverged", models))


@pytest.mark.parametrize(("sizes", "models"), [([5, 5, 5], 15), ([5, 5, 5], 11), ([3], 2), ([9, 1, 4], 12)])
def test_a_matrix_is_the_concatenation_of_its_shards(store: ObjectStore, sizes: list[int], models: int) -> None:
    shards = make(sizes)
    record = write_matrix(store, "m", iter(shards), models, TRAIN, TARGETS, IDENTITY)
    check(store, "m", shards, models)
    found = MarginMatrix.open(store, "m").record
    assert found == record
    assert found["identity"] == IDENTITY
    assert found["diverged"] == np.flatnonzero(joined(shards, "diverged", models)).tolist()
    assert (found["models"], found["n_train"], found["n_targets"]) == (models, TRAIN, TARGETS)


@given(
    sizes=st.lists(st.integers(0, 9), min_size=1, max_size=6).filter(lambda sizes: sum(sizes) > 0),
    share=st.floats(0, 1),
    train=st.integers(1, 20),
    targets=st.integers(1, 10),
    rows=st.integers(1, 8),
    columns=st.integers(1, 5),
)
def test_streaming_is_concatenation_for_any_sizes(
    sizes: list[int], share: float, train: int, targets: int, rows: int, columns: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(matrices, "ROWS", rows)
        patch.setattr(matrices, "COLUMNS", columns)
        models = max(1, round(share * sum(sizes)))
        shards, store = make(sizes, train, targets), memory()
        write_matrix(store, "m", iter(shards), models, train, targets, IDENTITY)
        check(store, "m", shards, models)


def test_a_matrix_does_not_depend_on_how_its_models_are_sharded() -> None:
    whole, store = make([24])[0], memory()
    for key, size in (("a", 24), ("b", 5), ("c", 1)):
        starts = range(0, 24, size)
        parts = [Shard(s, *(x[s : s + size] for x in (whole.masks, whole.margins, whole.diverged))) for s in starts]
        write_matrix(store, key, iter(parts), 22, TRAIN, TARGETS, IDENTITY)
    a, b, c = (MarginMatrix.open(store, key) for key in "abc")
    assert all({**a.record, "group": ""} == {**other.record, "group": ""} for other in (b, c))
    chunks = [name.removeprefix(a.group) for name in store.sizes(a.group)]
    assert len(chunks) > 20
    for name in chunks:
        assert store.read(a.group + name) == store.read(b.group + name) == store.read(c.group + name)


def test_a_read_takes_any_columns(store: ObjectStore) -> None:
    shards = make([5, 5])
    write_matrix(store, "m", iter(shards), 10, TRAIN, TARGETS, IDENTITY)
    matrix, whole = MarginMatrix.open(store, "m"), joined(shards, "margins", 10)
    for start, stop in ((0, 1), (2, 4), (3, 6), (5, 7), (0, 7)):
        np.testing.assert_array_equal(matrix.margins(start, stop), whole[:, start:stop])


def test_shards_are_let_go_while_they_stream() -> None:
    """Of a hundred shards of 2 models, at most those of one row of chunks (4 models) and one more are alive."""
    shards = make([2] * 100)
    expected = joined(shards, "margins", 200)
    seen: list[weakref.ref[np.ndarray]] = []
    most = 0

    def stream() -> Iterator[Shard]:
        nonlocal most
        while shards:
            seen.append(weakref.ref(shards[0].margins))
            yield shards.pop(0)
            alive = sum(reference() is not None for reference in seen)
            most = max(most, alive)

    store = memory()
    write_matrix(store, "m", stream(), 200, TRAIN, TARGETS, IDENTITY)
    np.testing.assert_array_equal(MarginMatrix.open(store, "m").margins(), expected)
    assert len(seen) == 100
    assert 1 <= most <= 3


def test_too_few_models_are_refused_and_leave_nothing(store: ObjectStore) -> None:
    shards = make([5, 5])
    with pytest.raises(DamagedObject, match=r"/m: 5 models in the shards, 10 expected"):
        write_matrix(store, "m", iter(shards[:1]), 10, TRAIN, TARGETS, IDENTITY)
    with pytest.raises(DamagedObject, match=r"/m: 0 models in the shards, 10 expected"):
        write_matrix(store, "m", iter([]), 10, TRAIN, TARGETS, IDENTITY)
    assert store.sizes("") == {}
    write_matrix(store, "m", iter(shards), 10, TRAIN, TARGETS, IDENTITY)
    check(store, "m", shards, 10)


def test_margins_keep_their_type_and_do_not_mix(store: ObjectStore) -> None:
    single = make([5, 5])
    half = [Shard(s.first, s.masks, s.margins.astype(np.float16), s.diverged) for s in single]
    write_matrix(store, "m", iter(half), 10, TRAIN, TARGETS, IDENTITY)
    assert MarginMatrix.open(store, "m").margins().dtype == np.float16
    check(store, "m", half, 10)
    with pytest.raises(DamagedObject, match="of type float16, from model 5 on float32"):
        write_matrix(store, "n", iter([half[0], single[1]]), 10, TRAIN, TARGETS, IDENTITY)


def test_a_matrix_in_use_is_never_overwritten(tmp_path: Path) -> None:
    """Whoever opened the earlier one goes on reading it, also while and after another is written in its place."""
    store = ObjectStore(StoreSettings(str(tmp_path)))
    earlier, later = make([5, 5], seed=0), make([5, 5], seed=1)
    write_matrix(store, "m", iter(earlier), 10, TRAIN, TARGETS, IDENTITY)
    before, opened = store.sizes(""), MarginMatrix.open(store, "m")

    def stream() -> Iterator[Shard]:
        for shard in later:
            yield shard
            check(store, "m", earlier, 10)

    write_matrix(store, "m", stream(), 10, TRAIN, TARGETS, IDENTITY)
    check(store, "m", later, 10)
    np.testing.assert_array_equal(opened.margins(), joined(earlier, "margins", 10))
    assert before.keys() < store.sizes("").keys()
    assert opened.group != MarginMatrix.open(store, "m").group


def test_two_who_write_one_matrix_at_once_leave_a_right_one(tmp_path: Path) -> None:
    store, shards = ObjectStore(StoreSettings(str(tmp_path))), make([5, 5, 5, 5])
    first, second = iter(shards), iter(shards)

    def interleaved() -> Iterator[Shard]:
        for shard in first:
            yield shard
            if shard.first == 5:
                write_matrix(store, "m", second, 18, TRAIN, TARGETS, IDENTITY)

    write_matrix(store, "m", interleaved(), 18, TRAIN, TARGETS, IDENTITY)
    check(store, "m", shards, 18)


def test_a_matrix_without_a_record_is_not_there(store: ObjectStore) -> None:
    with pytest.raises(FileNotFoundError):
        MarginMatrix.open(store, "m")


def flip(store: ObjectStore, key: str, position: int) -> None:
    data = bytearray(store.read(key))
    data[position] ^= 1
    store.write(key, bytes(data))


def test_a_changed_byte_is_found_by_who_touches_it(store: ObjectStore) -> None:
    """Blocks of columns are 0..2, 3..5 and 6; the byte that changes belongs to target 4, or to the masks."""
    shards = make([5, 5])
    write_matrix(store, "m", iter(shards), 10, TRAIN, TARGETS, IDENTITY)
    matrix, whole = MarginMatrix.open(store, "m"), joined(shards, "margins", 10)
    flip(store, f"{matrix.group}/margins/c/2/1", 4)
    for start, stop in ((3, 4), (5, 6), (0, 7), (2, 4)):
        with pytest.raises(DamagedObject, match=r"zarr/margins/c/2/1 does not match its checksum") as caught:
            matrix.margins(start, stop)
        assert str(caught.value).startswith(store.settings.url)
        assert caught.value.keys == ("m.json",)
    np.testing.assert_array_equal(matrix.margins(0, 3), whole[:, :3])
    np.testing.assert_array_equal(matrix.margins(6, 7), whole[:, 6:])
    np.testing.assert_array_equal(matrix.masks(), joined(shards, "masks", 10))
    flip(store, f"{matrix.group}/masks/c/1/0", 3)
    with pytest.raises(DamagedObject, match=r"m\.\w+\.zarr/masks/c/1/0 does not match its checksum"):
        matrix.masks()


@pytest.mark.parametrize("damage", ["cut short", "gone", "other bytes"])
def test_a_damaged_object_of_a_matrix_is_never_read_as_values(damage: str) -> None:
    shards, store = make([5, 5]), memory()
    write_matrix(store, "m", iter(shards), 10, TRAIN, TARGETS, IDENTITY)
    matrix = MarginMatrix.open(store, "m")
    contents = {name: store.read(name) for name in store.sizes(matrix.group)}
    parts = {name.removeprefix(f"{matrix.group}/") for name in contents}
    assert parts > {"zarr.json", "margins/zarr.json", "masks/zarr.json", "margins/c/0/0", "masks/c/0/0"}
    check_matrix(matrix)
    for name, data in contents.items():
        if damage == "gone":
            store.delete(name)
        else:
            store.write(name, data[:-3] if damage == "cut short" else b"\xff" * len(data))
        with pytest.raises(DamagedObject, match=rf"memory://\w+/{name} ") as caught:
            check_matrix(matrix)
        assert caught.value.keys == ("m.json",)
        if "/c/" in name:  # metadata are for other readers
            with pytest.raises(DamagedObject, match=rf"memory://\w+/{name} ") as caught:
                _ = matrix.masks(), matrix.margins()
            assert caught.value.keys == ("m.json",)
        store.write(name, data)


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_zarr_reads_the_same_arrays(tmp_path: Path, dtype: type) -> None:
    """Chunks at the edges are filled up; 10 models in chunks of at most 4 make three of 4, 4 and 2."""
    store = ObjectStore(StoreSettings(str(tmp_path)))
    shards = [Shard(s.first, s.masks, s.margins.astype(dtype), s.diverged) for s in make([5, 5])]
    write_matrix(store, "m", iter(shards), 10, TRAIN, TARGETS, IDENTITY)
    matrix = MarginMatrix.open(store, "m")
    group = zarr.open_group(store.path(matrix.group), mode="r")
    assert group["margins"].chunks == (4, 3)
    assert group["margins"].nchunks == 9
    np.testing.assert_array_equal(np.asarray(group["margins"]), joined(shards, "margins", 10))
    masks = np.unpackbits(np.asarray(group["masks"]), axis=1, count=TRAIN)
    np.testing.assert_array_equal(masks.astype(bool), joined(shards, "masks", 10))
    assert set(matrix.record["crc32c"]) == {key.removeprefix(f"{matrix.group}/") for key in store.sizes(matrix.group)}


def test_chunks_are_of_nearly_equal_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """9 models in chunks of at most 8: 5 and 4, not 8 and 1."""
    monkeypatch.setattr(matrices, "ROWS", 8)
    store, shards = memory(), make([9])
    write_matrix(store, "m", iter(shards), 9, TRAIN, TARGETS, IDENTITY)
    assert MarginMatrix.open(store, "m").record["chunk"] == [5, 3]
    check(store, "m", shards, 9)


def test_a_record_of_something_else_is_no_matrix() -> None:
    store = memory()
    write_record(store, "m.json", {"group": "m.zarr", "models": 3})
    with pytest.raises(
        DamagedObject, match=r"/m.json: not the record of a matrix, it lacks n_train, .*crc32c"
    ) as caught:
        MarginMatrix.open(store, "m")
    assert caught.value.keys == ("m.json",)


def test_a_record_that_does_not_fit_its_matrix_is_named() -> None:
    store = memory()
    write_matrix(store, "a/m", iter(make([5, 5])), 10, TRAIN, TARGETS, IDENTITY)
    matrix = MarginMatrix.open(store, "a/m")
    sums = matrix.record["crc32c"]
    fewer = dict(list(sums.items())[1:])
    for record, words in (
        ({**matrix.record, "crc32c": fewer}, "checksums"),
        ({**matrix.record, "diverged": [10]}, "beyond its 10"),
    ):
        with pytest.raises(DamagedObject, match=f"^{store.settings.url}/a/m.json: .*{words}") as caught:
            check_matrix(MarginMatrix(store, "a/m", record))
        assert caught.value.keys == ("a/m.json",)
