"""Archives of arrays with one oddity each: labels and pixels are kept, or what is wrong with them is named."""

from pathlib import Path

import numpy as np
import pytest

from modeldiff_core.data.inventory import table_lines
from modeldiff_core.errors import ConfigError
from modeldiff_core.study import load_dataset
from modeldiff_core.study.build import check_data
from modeldiff_core.study.config import DatasetConfig
from tests.odd_inputs.arrays import CASES, plain, write_case


def config(path: Path, **options: object) -> DatasetConfig:
    return DatasetConfig.model_validate({"kind": "npz", "path": str(path), **options})


@pytest.mark.parametrize("name", CASES)
def test_an_odd_archive_is_taken_rightly_or_refused_by_its_name(name: str, tmp_path: Path) -> None:
    path = tmp_path / "odd.npz"
    case = write_case(name, path)
    asked = config(path, **case.options)
    if case.refused:
        with pytest.raises(ConfigError) as caught:
            check_data(asked, load_dataset(asked))
        assert all(words in str(caught.value) for words in case.said), str(caught.value)
        assert caught.value.key == "dataset"
        return
    dataset = load_dataset(asked)
    check_data(asked, dataset)
    told = "\n".join([*table_lines(dataset.inventory), *dataset.inventory.remarks])
    assert all(words in told for words in case.said), told
    assert dataset.classes == case.classes
    train, test = case.labels(plain())
    assert dataset.train.labels.dtype == np.int64
    assert dataset.train.labels.tolist() == train.tolist()
    assert dataset.test.labels.tolist() == test.tolist()
    pixels = case.pixels(plain())
    assert dataset.train.images.dtype == np.uint8
    np.testing.assert_array_equal(dataset.train.images, pixels)
    if not case.said:
        assert dataset.inventory.remarks == ()


def test_a_range_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_dataset(config(tmp_path / "x.npz", pixel_range=[1, 0]))
    assert caught.value.key == "dataset.pixel_range"


def test_the_map_of_labels_is_shown_and_kept(tmp_path: Path) -> None:
    case = write_case("labels from 1, named", tmp_path / "odd.npz")
    inventory = load_dataset(config(tmp_path / "odd.npz", **case.options)).inventory
    lines = [line.split() for line in table_lines(inventory)]
    assert any(line[:5] == ["label", "2:", "c", "(written", "3)"] for line in lines), lines
    assert [one["written"] for one in inventory.plain()["classes"]] == ["1", "2", "3"]
