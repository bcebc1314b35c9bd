"""What is given of the examples behind adopted results describes and shows the subpopulation that was planted."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modeldiff_core.errors import ConfigError
from modeldiff_core.experiments.adopted.adopt import adopt
from modeldiff_core.experiments.adopted.comparison import AdoptedComparison
from modeldiff_core.experiments.adopted.examples import read_examples
from modeldiff_core.store import ObjectStore, StoreSettings, read_tensors
from modeldiff_core.study.adopted import AdoptedStudy, Adoption
from tests.modeldiff_core.experiments.adopted import running
from tests.modeldiff_core.report.pages import Page
from tests.modeldiff_core.stages.studies import local

TRAIN, TARGETS, MODELS = 40, 60, 300
MARKED, CORNER = np.arange(20, 23), np.arange(4)
"""Targets that only A judges by the training examples of CORNER."""
ZEBRAS = np.arange(19, 28)


def columns() -> dict[str, np.ndarray]:
    """Of the targets: every marked one is a zebra, and what else is known of them has nothing to do with it."""
    rng = np.random.default_rng(1)
    label = np.where(np.isin(np.arange(TARGETS), ZEBRAS), "zebra", "ant")
    return {
        "label": label,
        "marked": np.isin(np.arange(TARGETS), MARKED),
        "price": rng.random(TARGETS),
        "place": rng.choice(["home", "abroad"], TARGETS),
    }


def images() -> np.ndarray:
    """Noise, with a bright pixel in marked images."""
    pictures = np.random.default_rng(2).integers(0, 60, (TARGETS, 6, 5, 1), dtype=np.uint8)
    pictures[MARKED, 2, 3] = 250
    return pictures


def written(path: Path, table: dict[str, np.ndarray]) -> str:
    """The table as a file of the kind that its name says."""
    if path.suffix == ".npz":
        np.savez(path, **table)
    elif path.suffix == ".json":
        path.write_text(json.dumps({name: column.tolist() for name, column in table.items()}))
    else:
        rows = zip(*(column.tolist() for column in table.values()), strict=True)
        path.write_text("\n".join(",".join(map(str, row)) for row in [tuple(table), *rows]) + "\n")
    return str(path)


def theta() -> dict[str, np.ndarray]:
    common = np.random.default_rng(0).normal(size=(TARGETS, TRAIN))
    own = common.copy()
    own[np.ix_(MARKED, CORNER)] += 6
    return {"a": own, "b": common}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("adopted")


@pytest.fixture(scope="module")
def store(place: Path) -> ObjectStore:
    return local(place / "store")


@pytest.fixture(scope="module")
def scores(store: ObjectStore, place: Path) -> dict[str, str]:
    keys = {}
    for side, weights in theta().items():
        np.save(place / "scores.npy", weights)
        asked = Adoption(name=side, scores=str(place / "scores.npy"), orientation="targets_train")
        keys[side] = adopt(store, asked).key
    return keys


@pytest.fixture(scope="module")
def margins(store: ObjectStore, place: Path) -> dict[str, str]:
    keys = {}
    for seed, (side, weights) in enumerate(theta().items()):
        rng = np.random.default_rng(seed)
        masks = rng.random((MODELS, TRAIN)) < 0.5
        np.save(place / "masks.npy", masks)
        np.save(place / "margins.npy", masks @ weights.T + rng.normal(size=(MODELS, TARGETS)))
        asked = Adoption(name=side, masks=str(place / "masks.npy"), margins=str(place / "margins.npy"))
        keys[side] = adopt(store, asked).key
    return keys


@pytest.fixture(scope="module")
def given(place: Path) -> dict[str, Any]:
    np.save(place / "images.npy", images())
    corner = np.isin(np.arange(TRAIN), CORNER)
    return {
        "targets": {"table": written(place / "targets.csv", columns()), "images": str(place / "images.npy")},
        "train": {"table": written(place / "train.json", {"corner": corner})},
    }


def compared(store: ObjectStore, sides: dict[str, str], **asked: Any) -> tuple[AdoptedComparison, dict[str, Any]]:
    comparison = {"components": 2, "permutations": 20, "top": 4}
    content = {
        "name": "planted",
        **sides,
        "comparison": comparison,
        "evaluation_models": 30,
        "regression": {"n_lambdas": 4},
        **asked,
    }
    return running.compared(store, content)[:2]


def report(store: ObjectStore, comparison: AdoptedComparison) -> dict[str, Page]:
    folder = comparison.report.record.rsplit("/", 1)[0]
    names = [key.removeprefix(f"{folder}/") for key in store.sizes(folder) if key.endswith(".html")]
    return {name: Page(store.read(f"{folder}/{name}")) for name in names}


def ends_of_the_plant(summary: dict[str, Any]) -> dict[str, Any]:
    """What the end of the first direction shares on which the planted targets lie."""
    first = summary["directions"][0]
    furthest = {end: set(first[f"{end}_targets"][: len(MARKED)]) for end in ("top", "bottom")}
    assert set(MARKED) in furthest.values()
    sign = "positive" if furthest["top"] == set(MARKED) else "negative"
    found: dict[str, Any] = first["subpopulations"][sign]
    return found


@pytest.mark.parametrize("kind", ["margins", "scores"])
def test_a_planted_subpopulation_is_described_and_shown(
    store: ObjectStore, given: dict[str, Any], request: pytest.FixtureRequest, kind: str
) -> None:
    comparison, summary = compared(store, request.getfixturevalue(kind), **given)
    assert summary["directions"][0]["significant"] is (kind == "margins")
    found = ends_of_the_plant(summary)
    assert found["targets"]["size"] == 3
    # Each stands out in its list; three of nine zebras are too few to be named where a report has this many lists.
    assert found["targets"]["words"][0] == "class zebra: 3 of 3 (15.0 % of all)"
    assert [e["column"] for e in found["targets"]["enrichments"] if e["p_adjusted"] <= 0.05] == ["class", "marked"]
    (marked,) = (e for e in found["targets"]["enrichments"] if e["column"] == "marked")
    assert marked["p_adjusted"] <= 0.05 < marked["p_report"] <= 1
    assert (found["targets"]["place"]["row"], found["targets"]["place"]["column"]) == (2, 3)
    assert found["targets"]["place"]["p_adjusted"] <= 0.05
    (corner,) = found["train"]["enrichments"]
    assert (corner["inside"], corner["members"]) == (2, 2)
    assert corner["p"] == pytest.approx(0.0077, abs=1e-3)
    pages = report(store, comparison)
    name = "direction-a-b-1.html" if kind == "margins" else "other-directions.html"
    words = pages[name].words()
    assert "class zebra: 3 of 3 (15.0 % of all)" in words
    assert "zebra" in words
    shown = [image["alt"] for image in pages[name].all("img")]
    for target in MARKED:
        assert any(f"Test image {target}, class zebra" in words for words in shown)
    assert "Nothing else is known" not in words
    assert "Without images, by position: " in words, "nobody gave images of the training examples"
    if kind == "margins":
        assert "Test images with the largest projections" in words
        assert "Training examples with the largest weights" in words


@pytest.mark.parametrize("kind", ["margins", "scores"])
def test_where_nothing_is_given_the_report_says_that_nothing_is_known(
    store: ObjectStore, given: dict[str, Any], request: pytest.FixtureRequest, kind: str
) -> None:
    sides = request.getfixturevalue(kind)
    comparison, summary = compared(store, sides)
    assert all("subpopulations" not in entry for entry in summary["directions"])
    pages = report(store, comparison)
    page = pages["direction-a-b-1.html" if kind == "margins" else "other-directions.html"]
    assert page.words().count("Nothing else is known of these examples") >= 4
    furthest = summary["directions"][0]["top_targets"][0]
    assert f"{furthest} (+" in page.words()
    assert not any("image " in image["alt"] for image in page.all("img"))
    known, _ = compared(store, sides, **given)
    assert known.folder != comparison.folder
    assert known.directions == comparison.directions, "what is known of examples decides no direction"


def test_methods_of_ready_attributions_claim_no_test(
    store: ObjectStore, scores: dict[str, str], margins: dict[str, str]
) -> None:
    pages = report(store, compared(store, scores)[0])
    methods, index = pages["methods.html"].words("methods"), pages["index.html"].words()
    assert "weight for each of 40 training examples, for each of 60 targets" in methods
    assert "Nothing was tested." in methods
    for claim in ("was regressed", "models of A and", "null p", "datamodels of all models"):
        assert claim not in methods
    assert "No direction was tested against chance." in index
    assert "in-sample" in index
    for claim in ("cross-fitted", "Models trained on subsets", "were trained on the same"):
        assert claim not in index
    assert "were not tested" in pages["other-directions.html"].words()
    tested = report(store, compared(store, margins)[0])["methods.html"].words("methods")
    assert "300 models of A and 300 of B were trained elsewhere" in tested
    assert "and the masks with them, were exchanged" in tested
    assert "was regressed (lasso)" in tested


def test_every_format_of_a_table_says_the_same(place: Path) -> None:
    def behind(ending: str) -> Any:
        table = written(place / f"same{ending}", columns())
        study = AdoptedStudy.model_validate({"name": "x", "a": "a", "b": "b", "targets": {"table": table}})
        return read_examples(study, TARGETS, TRAIN, StoreSettings(str(place)))

    first, *others = [behind(ending) for ending in (".csv", ".json", ".npz")]
    assert first.classes == ("ant", "zebra")
    np.testing.assert_array_equal(np.flatnonzero(first.targets.labels), ZEBRAS)
    assert {name: column.dtype.kind for name, column in first.targets.metadata.items()} == {
        "marked": "b",
        "price": "f",
        "place": "U",
    }
    for other in others:
        assert other.fingerprint == first.fingerprint != ""
    assert (first.train.labels, first.train.images, len(first.train)) == (None, None, TRAIN)


def test_what_is_missing_in_a_table_is_unknown(place: Path) -> None:
    (place / "holes.csv").write_text("label,home,size\n1,,2.5\n0,Paris,\n")
    study = AdoptedStudy.model_validate(
        {"name": "x", "a": "a", "b": "b", "train": {"table": str(place / "holes.csv")}, "classes": ["ant", "bee"]}
    )
    train = read_examples(study, 5, 2, StoreSettings(str(place))).train
    assert train.labels is not None
    assert train.labels.tolist() == [1, 0]
    assert train.metadata["home"].tolist() == ["unknown", "Paris"]
    np.testing.assert_array_equal(train.metadata["size"], [2.5, np.nan])


@pytest.mark.parametrize(
    ("table", "classes", "words"),
    [
        ("label\n0\n1\n", (), "targets.table: expected 3 rows, one for each example, got '2 rows in "),
        ("label\n0\n1\n2\n", ("ant", "bee"), "labels among the 2 classes, as names or as 0 to 1, got 'row 2: 2'"),
        ("label\n0\n-1\n0\n", (), "labels among the 1 classes, as names or as 0 to 0, got 'row 1: -1'"),
        ("label\nant\nbee\ncow\n", ("ant", "bee"), "got 'row 2: cow'"),
        ("label\n0.5\n1\n0\n", (), "indices or names of classes in the column label, got 'float64 values'"),
        ("class\n0\n1\n0\n", (), "classes in the column label, got 'a column class'"),
        ('[{"x": 1}, {"x": "a"}, {"x": 2}]', (), "columns of booleans, of numbers or of text, got "),
        ('{"x": 1}', (), "targets.table: expected a readable .json table"),
        (None, (), "targets.table: expected an existing file"),
    ],
)
def test_tables_that_do_not_fit_are_refused(
    tmp_path: Path, table: str | None, classes: tuple[str, ...], words: str
) -> None:
    path = tmp_path / ("table.json" if table and table[0] in "[{" else "table.csv")
    if table is not None:
        path.write_text(table)
    assert words in refused(tmp_path, targets={"table": str(path)}, classes=classes)


def test_other_files_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    (tmp_path / "indices.csv").write_text("label\n0\n1\n1\n")
    (tmp_path / "names.csv").write_text("label\nant\nbee\n")
    both = {
        part: {"table": str(tmp_path / f"{name}.csv")} for part, name in (("targets", "indices"), ("train", "names"))
    }
    assert "classes: expected names of the classes" in refused(tmp_path, **both)
    assert "a table that ends in .csv, .json, .npz" in refused(tmp_path, targets={"table": "table.xlsx"})
    digits = {"kind": "digits", "n_train": 2, "n_test": 3}
    assert "dataset: expected null where targets are given" in refused(tmp_path, **both | {"train": {}}, dataset=digits)
    path = str(tmp_path / "images.npy")
    for array in (np.zeros((3, 4, 4, 1)), np.zeros((2, 4, 4, 1), np.uint8), np.zeros((3, 4, 4), np.uint8)):
        np.save(path, array)
        expected = "targets.images: expected uint8 images [3, height, width, channels]"
        assert expected in refused(tmp_path, targets={"images": path})


def refused(place: Path, **asked: Any) -> str:
    study = AdoptedStudy.model_validate({"name": "x", "a": "a", "b": "b", **asked})
    with pytest.raises(ConfigError) as caught:
        read_examples(study, 3, 2, StoreSettings(str(place)))
    return str(caught.value)


def test_a_stored_description_holds_images_only_where_they_were_given(
    store: ObjectStore, scores: dict[str, str], given: dict[str, Any]
) -> None:
    comparison, summary = compared(store, scores, **given)
    described = comparison.described(summary["directions"])
    assert [(ends.side, ends.index) for ends in described] == [("a-b", 0), ("a-b", 1), ("b-a", 0), ("b-a", 1)]
    arrays = read_tensors(store, described[0].reference.record).arrays
    assert len(arrays) == 2 * 3
    assert all(name.startswith("targets.") and array.shape == (6, 5, 1) for name, array in arrays.items())
