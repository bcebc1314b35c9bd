"""A real S3 server on loopback, and a small study on the digits with ways to change one setting of it."""

import os
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import fsspec
import pytest

from harness.s3_server import S3Server, s3_server
from modeldiff_core.data import Dataset
from modeldiff_core.store import StoreSettings
from modeldiff_core.study import StudyConfig, Training, load_dataset, parse_study, trainings_of

WATERMARK = {"top": 0, "left": 0, "height": 3, "width": 2}
CONTENT: dict[str, Any] = {
    "name": "small",
    "dataset": {
        "kind": "digits",
        "n_train": 200,
        "n_test": 60,
        "seed": 0,
        "plant": {"label": 8, "fraction": 0.7, "seed": 0, "watermark": WATERMARK},
    },
    "algorithm_a": {"name": "as is", "kind": "sgd", "seed": 1, "recipe": {"epochs": 3, "augmentations": []}},
    "algorithm_b": {
        "name": "erased",
        "kind": "sgd",
        "seed": 1,
        "recipe": {"epochs": 3, "augmentations": [{"kind": "erase", **WATERMARK}]},
    },
    "subsets": {"fraction": 0.5, "seed": 0, "shard_size": 50, "models": 100, "evaluation_models": 20},
    "transformations": [{"name": "watermark", "kind": "watermark", "target_class": 8, "parameters": WATERMARK}],
}
Make = Callable[..., dict[str, Any]]


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with s3_server(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture
def s3(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> Callable[..., StoreSettings]:
    """Settings of a fresh prefix on the server; other keys or another bucket where they are given (None: no key)."""

    def settings(bucket: str = server.bucket, **keys: str | None) -> StoreSettings:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            monkeypatch.delenv(name)
        for name, value in {**server.environment, **keys}.items():
            if value is not None:
                monkeypatch.setenv(name, value)
        if keys:  # a filesystem that fsspec has kept would go on with the keys that it was opened with
            fsspec.get_filesystem_class("s3").clear_instance_cache()
        return StoreSettings(f"s3://{bucket}/{uuid.uuid4().hex}", endpoint=server.endpoint)

    return settings


@pytest.fixture(scope="session")
def content() -> Make:
    """The study's plain values with dotted keys replaced (numbers are positions in lists), removed where None."""

    def make(changes: dict[str, object] | None = None, remove: str = "") -> dict[str, Any]:
        def copied(value: Any) -> Any:
            if isinstance(value, dict):
                return {key: copied(item) for key, item in value.items()}
            return [copied(item) for item in value] if isinstance(value, list) else value

        out: dict[str, Any] = copied(CONTENT)
        for key, value in [*(changes or {}).items(), *([(remove, None)] if remove else [])]:
            *path, last = key.split(".")
            at: Any = out
            for part in path:
                at = at[int(part)] if isinstance(at, list) else at.setdefault(part, {})
            if key == remove:
                del at[last]
            elif isinstance(at, list):
                at[int(last)] = value
            else:
                at[last] = value
        return out

    return make


@pytest.fixture(scope="session")
def planned(content: Make) -> Callable[..., tuple[StudyConfig, Dataset, tuple[Training, Training]]]:
    """The study with changes, its data and its two trainings."""

    def make(changes: dict[str, object] | None = None) -> tuple[StudyConfig, Dataset, tuple[Training, Training]]:
        study = parse_study(content(changes))
        data = load_dataset(study.dataset)
        return study, data, trainings_of(study, data)

    return make
