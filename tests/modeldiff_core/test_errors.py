"""Errors: what they carry survives the way from a worker process to its parent."""

import copy
import pickle

import cloudpickle
import pytest

from modeldiff_core.errors import ConfigError, DamagedObject, StoreError
from modeldiff_core.plan.products import Foreign


@pytest.mark.parametrize("kind", [DamagedObject, Foreign])
@pytest.mark.parametrize("keys", [(), ("a/b.json",), ("a/b.json", "c.safetensors")])
def test_damaged_objects_keep_their_keys_when_sent(kind: type[DamagedObject], keys: tuple[str, ...]) -> None:
    error = kind("memory://x/a/b.json: damaged", keys=keys)
    error.add_note("while reading")
    for again in (pickle.loads(pickle.dumps(error)), cloudpickle.loads(cloudpickle.dumps(error)), copy.copy(error)):
        assert type(again) is kind
        assert (str(again), again.keys) == ("memory://x/a/b.json: damaged", keys)
        assert again.__notes__ == ["while reading"]


def test_a_damaged_object_is_a_fault_of_the_store_with_no_keys_by_default() -> None:
    error = DamagedObject("memory://x: damaged")
    assert isinstance(error, StoreError)
    assert error.keys == ()


def test_a_wrong_setting_keeps_its_parts_when_sent() -> None:
    again = pickle.loads(pickle.dumps(ConfigError("store.root", "a folder", "", "Name one")))
    assert (again.key, again.expected, again.got, again.hint) == ("store.root", "a folder", "", "Name one")
