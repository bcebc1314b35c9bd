"""Files come from any URL as they come from a path."""

import uuid
from collections.abc import Callable
from pathlib import Path

import fsspec
import numpy as np
import pytest

from modeldiff_core.errors import ConfigError
from modeldiff_core.store import MarginMatrix, ObjectStore, StoreSettings
from tests.modeldiff_core.experiments.adopted.adopting.files import FORMATS, as_npy, pair, taken
from tests.modeldiff_core.stages.studies import local


@pytest.mark.parametrize("write", FORMATS)
def test_files_come_from_any_url(store: ObjectStore, tmp_path: Path, write: Callable[..., dict[str, Path]]) -> None:
    files = write(tmp_path, *pair())
    plain = taken(local(tmp_path / "other"), **files)
    memory = fsspec.filesystem("memory")
    folder = f"/{uuid.uuid4().hex}"
    for path in set(files.values()):
        memory.put(str(path), f"{folder}/{path.name}", recursive=True)
    assert taken(store, **{key: f"memory:/{folder}/{path.name}" for key, path in files.items()}) == plain
    assert taken(local(tmp_path / "third"), **{key: f"file://{path}" for key, path in files.items()}) == plain
    missing = {key: f"memory:/{folder}/none/{path.name}" for key, path in files.items()}
    with pytest.raises(ConfigError, match="expected an existing file, got 'memory://"):
        taken(store, **missing)


def test_what_is_wrong_with_a_file_of_a_url_is_said_with_the_url(store: ObjectStore) -> None:
    url = f"memory://{uuid.uuid4().hex}/scores.npy"
    with fsspec.open(url, "wb") as file:
        np.save(file, np.full((3, 4), np.nan))
    with pytest.raises(ConfigError, match=rf"scores: .*{url}: target 0 holds others"):
        taken(store, scores=url, orientation="targets_train")
    fsspec.filesystem("memory").pipe_file(url, b"no array")
    with pytest.raises(ConfigError, match=rf"a readable .npy file of arrays, got '{url}'"):
        taken(store, scores=url, orientation="targets_train")


def test_files_come_from_object_storage_by_the_settings_of_the_store(
    s3: Callable[..., StoreSettings], tmp_path: Path
) -> None:
    """The endpoint is the store's; the keys come from the environment."""
    store = ObjectStore(s3())
    masks, margins = pair()
    plain = taken(local(tmp_path / "other"), **as_npy(tmp_path, masks, margins))
    for name in ("x.npy", "y.npy"):
        store.write(f"incoming/{name}", (tmp_path / name).read_bytes())
    urls = {key: store.url(f"incoming/{name}") for key, name in (("masks", "x.npy"), ("margins", "y.npy"))}
    reference = taken(store, **urls)
    assert reference == plain
    np.testing.assert_array_equal(MarginMatrix.open(store, reference.key).margins(), margins)
