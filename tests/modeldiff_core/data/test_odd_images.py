"""Folders of images with one oddity each: taken rightly and told, or refused by the right name."""

from pathlib import Path

import numpy as np
import pytest

from modeldiff_core.data.inventory import table_lines
from modeldiff_core.errors import ConfigError
from modeldiff_core.study import load_dataset
from modeldiff_core.study.config import DatasetConfig
from tests.odd_inputs.images import CASES, write_case

TOLERANCE = 12
"""Of a color at the edge of a picture: JPEG, and resizing."""


@pytest.mark.parametrize("name", CASES)
def test_an_odd_folder_is_taken_rightly_or_refused_by_its_name(name: str, tmp_path: Path) -> None:
    case = write_case(name, tmp_path)
    settings = {"folder": str(tmp_path), "resolution": 8, **dict(case.options)}
    config = DatasetConfig(kind="image_folder", **settings)
    if case.refused:
        with pytest.raises(ConfigError) as caught:
            load_dataset(config)
        assert all(words in str(caught.value) for words in case.said), str(caught.value)
        return
    dataset = load_dataset(config)
    inventory = dataset.inventory
    told = "\n".join([*table_lines(inventory), *inventory.remarks])
    assert all(words in told for words in case.said), told
    assert dataset.classes == case.classes
    assert int((dataset.train.labels == 0).sum()) == case.cats
    assert inventory.train == len(dataset.train)
    if case.last is not None:
        last = dataset.train.images[case.cats - 1].astype(int)
        corners = np.array([last[0, 0], last[-1, -1]])
        assert np.abs(corners - case.last).max() <= TOLERANCE, corners
    if not case.said:
        assert not inventory.changed
        assert not inventory.left_out
    told.encode("utf-8")


def test_the_plain_folder_is_not_odd(tmp_path: Path) -> None:
    write_case("plain", tmp_path)
    inventory = load_dataset(DatasetConfig(kind="image_folder", folder=str(tmp_path), resolution=8)).inventory
    assert list(table_lines(inventory)) == [
        "images          train  test",
        "  read              8     4",
        "  label 0: cat      4     2",
        "  label 1: dog      4     2",
    ]
    assert inventory.remarks == ()
