"""Tables: what rows of data frames and files become, and odd ones of which each is named."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from modeldiff_core.data.frames import Reading, as_frame, read_frames
from modeldiff_core.data.inventory import table_lines
from modeldiff_core.data.kinds import Table
from modeldiff_core.data.leaks import Leak
from modeldiff_core.data.soundness import check_dataset
from modeldiff_core.data.tables import Csv, SklearnTable
from modeldiff_core.errors import ConfigError, DataError
from tests.odd_inputs.tables import CASES, Case, plain


def read(case: Case):  # type: ignore[no-untyped-def]
    frames = {"train": case.change(plain(0)), "test": case.change_test(plain(1))}
    columns = {part: frame.drop(columns="kind") for part, frame in frames.items()}
    targets = {part: frame["kind"] for part, frame in frames.items()}
    return read_frames(columns, targets, "kind", Reading(**case.choices))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", CASES)
def test_an_odd_table_is_taken_rightly_or_refused_by_its_column(name: str) -> None:
    case = CASES[name]
    if case.refused:
        with pytest.raises(DataError) as caught:
            read(case)
        assert all(words in str(caught.value) for words in case.said), str(caught.value)
        return
    data = read(case)
    check_dataset(data)
    told = "\n".join([*table_lines(data.inventory), *data.inventory.remarks])
    assert all(words in told for words in case.said), told
    assert told.startswith("rows ")
    assert (len(data.train), len(data.test)) == case.rows
    assert data.classes == ("no", "yes")


def test_rows_are_the_values_of_the_frame_and_come_back_as_a_frame() -> None:
    data, frame = read(Case()), plain(0)
    assert isinstance(data.kind, Table)
    assert data.kind.names == ("height", "count", "old", "color")
    assert data.train.images.shape == (40, 1, 4, 1)
    back = as_frame(data.kind, data.train.images)
    np.testing.assert_array_equal(back["height"], frame["height"])
    np.testing.assert_array_equal(back["old"], frame["old"].astype(float))
    assert back["color"].tolist() == frame["color"].tolist()
    assert [data.classes[label] for label in data.train.labels] == frame["kind"].tolist()
    known = data.train.known
    assert known.images is None
    assert known.metadata["color"].tolist() == frame["color"].tolist()
    assert f"color = {frame['color'][0]}" in data.kind.text(data.train.images[0])


def test_what_is_filled_is_the_median_of_the_training_rows() -> None:
    frame = plain(0)
    data = read(CASES["missing numbers, filled"])
    rest = frame["height"].drop(index=[3, 5])
    assert data.train.images[3, 0, 0, 0] == rest.median()
    assert data.train.images[4, 0, 0, 0] == frame["height"][4]


def test_a_number_is_kept_in_deviations_of_the_training_rows() -> None:
    data = SklearnTable("diabetes", n_train=200, n_test=100).load()
    target = data.target
    assert target is not None
    assert data.classes == ()
    assert data.n_outputs == 1
    np.testing.assert_allclose([data.train.labels.mean(), data.train.labels.std()], [0, 1], atol=1e-12)
    raw = target.mean + target.deviation * data.train.labels
    assert 25 - 1e-6 <= raw.min() < 50
    assert 300 < raw.max() <= 346 + 1e-6
    assert data.train.known.labels is None


def test_the_fingerprint_knows_columns_categories_and_what_is_predicted() -> None:
    data = SklearnTable("diabetes", n_train=200, n_test=100)
    seen = {data.load().fingerprint}
    changes = (
        lambda f: f,
        lambda f: f.rename(columns={"count": "number"}),
        lambda f: f.assign(count=f["count"] + 1),
        lambda f: f.replace("red", "rose"),  # the same positions under another word
    )
    seen |= {read(Case(change, change)).fingerprint for change in changes}
    assert len(seen) == 5


def test_a_file_is_split_or_read_beside_its_test_rows(tmp_path: Path) -> None:
    frame = plain(0)
    frame.to_csv(tmp_path / "all.csv", index=False)
    plain(1).to_csv(tmp_path / "test.csv", index=False)
    split = Csv(str(tmp_path / "all.csv"), "kind").load()
    assert (len(split.train), len(split.test)) == (30, 10)
    together = np.concatenate([split.train.images, split.test.images])[:, 0, 0, 0]
    np.testing.assert_allclose(np.sort(together), np.sort(frame["height"]))
    both = Csv(str(tmp_path / "all.csv"), "kind", str(tmp_path / "test.csv"), ignore=("old",)).load()
    assert isinstance(both.kind, Table)
    assert both.kind.names == ("height", "count", "color")
    np.testing.assert_allclose(both.train.images[:, 0, 0, 0], frame["height"])
    with pytest.raises(DataError, match="no column 'sort'"):
        Csv(str(tmp_path / "all.csv"), "sort").load()
    with pytest.raises(ConfigError) as caught:
        Csv(str(tmp_path / "none.csv"), "kind").load()
    assert caught.value.key == "dataset.path"
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(DataError, match=r"empty.csv: no table that can be read"):
        Csv(str(tmp_path / "empty.csv"), "kind").load()


def test_a_leak_stands_out_in_the_planted_rows_alone() -> None:
    data = SklearnTable(n_train=200, n_test=100, leak=Leak(label=1, fraction=0.5, strength=5.0)).load()
    assert isinstance(data.kind, Table)
    assert data.kind.names[-1] == "leak"
    for part in (data.train, data.test):
        planted, values = part.metadata["planted"], part.images[:, 0, -1, 0]
        assert planted.sum() == round(0.5 * (part.labels == 1).sum())
        assert (part.labels[planted] == 1).all()
        assert abs(values[planted].mean() - values[~planted].mean() - 5.0) < 0.6
    with pytest.raises(ConfigError, match="a table of classes"):
        SklearnTable("diabetes", leak=Leak()).load()


def test_equal_rows_are_counted_as_copies() -> None:
    frame = pd.concat([plain(0), plain(0).iloc[:3]], ignore_index=True)
    data = read(Case(lambda _: frame))
    lines = [line.split() for line in table_lines(data.inventory)]
    assert ["exact", "copies", "within", "a", "part", "6", "0"] in [line[:7] for line in lines], lines
