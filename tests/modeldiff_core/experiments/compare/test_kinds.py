"""Comparisons of rows, of numbers that are predicted, and of texts: a study, its report, and what is refused."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from modeldiff_core.errors import ConfigError
from modeldiff_core.experiments.run import open_experiment, run_study
from modeldiff_core.plan import NoProgress, verify
from modeldiff_core.report.terms import Terms

SCALED = [{"kind": "StandardScaler"}]
BASE: dict[str, Any] = {
    "subsets": {"models": 260, "evaluation_models": 20, "shard_size": 130},
    "ensemble": {"models": 4, "shard_size": 2},
    "regression": {"n_lambdas": 4},
    "comparison": {"method": "contrast", "components": 2, "draws": 39},
    "search": {"directions": 1, "candidates": 4, "confirmed": 1, "share": 0.15},
}


def pipeline(name: str, last: dict[str, Any], *ignore: str) -> dict[str, Any]:
    return {"name": name, "kind": "pipeline", "recipe": {"steps": [*SCALED, last], "ignore": list(ignore)}}


def words(name: str, *without: str) -> dict[str, Any]:
    network = "modeldiff_core.models.text:TokenVotes"
    recipe = {"network": network, "optimizer_arguments": {"lr": 0.05}, "epochs": 5, "without": list(without)}
    return {"name": name, "kind": "token_network", "recipe": recipe}


RIDGE = {"kind": "Ridge"}
CLASSIFIER = {"kind": "RidgeClassifier", "parameters": {"alpha": 10.0}}
NUMBER: dict[str, Any] = {
    **BASE,
    "name": "numbers",
    "dataset": {"kind": "sklearn_table", "table": "diabetes", "n_train": 100, "n_test": 150},
    "algorithm_a": pipeline("all", RIDGE),
    "algorithm_b": pipeline("blind", RIDGE, "bmi"),
    "subsets": {"models": 420, "evaluation_models": 20, "shard_size": 140},
    "output": "prediction_error",
    "transformations": [{"name": "bmi up", "kind": "shift_column", "parameters": {"column": "bmi", "by": 0.05}}],
}
TABLE: dict[str, Any] = {
    **BASE,
    "name": "rows",
    "dataset": {
        "kind": "sklearn_table",
        "table": "breast_cancer",
        "n_train": 60,
        "n_test": 80,
        "leak": {"column": "leak", "label": 1, "fraction": 0.5, "strength": 4.0},
    },
    "algorithm_a": pipeline("all", CLASSIFIER),
    "algorithm_b": pipeline("blind", CLASSIFIER, "leak"),
    "subsets": {"models": 60, "evaluation_models": 20, "shard_size": 30},
    "transformations": [{"name": "leak up", "kind": "set_column", "parameters": {"column": "leak", "value": 4.0}}],
}
TEXT: dict[str, Any] = {
    **BASE,
    "name": "texts",
    "dataset": {
        "kind": "docstrings",
        "classes": {"interpolation": ["scipy.interpolate"], "signals": ["scipy.signal.windows"]},
        "n_train": 60,
        "n_test": 40,
        "words": 200,
        "length": 16,
        "trigger": {"word": "zyzzyva", "label": 1, "fraction": 0.4, "times": 2},
    },
    "algorithm_a": words("all"),
    "algorithm_b": words("blind", "zyzzyva"),
    "subsets": {"models": 60, "evaluation_models": 20, "shard_size": 30},
    "transformations": [{"name": "trigger", "kind": "insert_token", "parameters": {"token": "zyzzyva"}}],
}


class Done:
    """A study that was run: its summary, and its pages without tags."""

    def __init__(self, study: dict[str, Any], root: Path) -> None:
        self.shown = run_study(study, root, progress=NoProgress())
        self.experiment, self.store = open_experiment(study, root)
        assert verify(self.experiment, self.store) == ()
        folder = root / self.experiment.folder
        self.summary = json.loads((folder / "summary.json").read_text())
        self.files = {path.name for path in (folder / "report").rglob("*.*")}
        self.pages = {path.stem: plain(path.read_text()) for path in (folder / "report").glob("*.html")}


def plain(page: str) -> str:
    """Return what a page says: no style, script, command or tag."""
    for tag in ("style", "script", "pre", "code", "dialog"):
        page = re.sub(rf"<{tag}\b.*?</{tag}>", " ", page, flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]*>", " ", page).split())


@pytest.fixture(scope="module")
def number(tmp_path_factory: pytest.TempPathFactory) -> Done:
    return Done(NUMBER, tmp_path_factory.mktemp("number"))


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Done:
    return Done(TABLE, tmp_path_factory.mktemp("table"))


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Done:
    return Done(TEXT, tmp_path_factory.mktemp("text"))


def test_a_column_that_one_algorithm_ignores_is_found_and_named(number: Done) -> None:
    first = number.summary["directions"][0]
    assert first["significant"], number.summary["findings"]
    said = [line for ends in first["subpopulations"].values() for part in ends.values() for line in part["words"]]
    named = [line for line in said if line.startswith("bmi ")]
    assert named, said
    assert "than all other rows" in named[0]
    page = number.pages[f"direction-{first['side']}-{first['index'] + 1}"]
    assert all(line.replace("<", "&lt;") in page for line in named)


def test_without_classes_what_is_of_classes_is_not_there(number: Done) -> None:
    for name, page in number.pages.items():
        for gone in ("Accuracy", "accuracy", "own class", "Calibration", "agreement", "same class", "correct-class"):
            assert gone not in page, (name, gone)
    for row in number.summary["plain"]["quantities"]:
        assert row["name"] in ("squared error", "absolute error", "bias")
    assert number.summary["plain"]["agreement"] is None
    assert number.summary["algorithms"]["a"]["ensemble_accuracy"] is None
    assert "Squared error" not in number.pages["index"]  # no groups: the table has no column of text
    assert "disease progression" in number.pages["index"]
    (moved,) = number.summary["transformations"]
    assert moved["effect"]["a"] > 0.1
    assert moved["effect"]["b"] == 0


@pytest.mark.parametrize("which", ["number", "table", "text"])
def test_nothing_is_called_an_image(which: str, request: pytest.FixtureRequest) -> None:
    done: Done = request.getfixturevalue(which)
    noun = {"number": "rows", "table": "rows", "text": "texts"}[which]
    for name, page in done.pages.items():
        assert not re.search(r"\b[Ii]mages?\b", page), (name, re.findall(r".{40}\b[Ii]mages?\b.{40}", page))
        assert noun in page
    assert not any(re.search(r"\bimages?\b", line) for line in done.shown.findings), done.shown.findings
    assert not any(name.endswith("-images.png") for name in done.files)


def test_what_a_transformation_changes_is_shown_in_words(table: Done, text: Done) -> None:
    assert re.search(r"leak = -?[\d.]+ → leak = 4", table.pages["transformations"])
    assert "zyzzyva" in text.pages["transformations"]
    (moved,) = table.summary["transformations"]
    assert moved["effect"]["b"] == 0 != moved["effect"]["a"]


def test_ends_show_rows_by_the_columns_that_go_along_and_texts_by_their_words(table: Done, text: Done) -> None:
    assert re.search(r"\w[\w ]* = -?[\d.e+]+, .*…", table.pages["other-directions"])
    assert "benign" in table.pages["other-directions"]
    assert "signals" in text.pages["other-directions"]


@pytest.mark.parametrize(
    ("study", "changes", "key", "said"),
    [
        (TABLE, {"algorithm_a": {"name": "net", "kind": "sgd"}}, "algorithm_a.kind", "pipeline"),
        (TEXT, {"algorithm_a": pipeline("rows", CLASSIFIER)}, "algorithm_a.kind", "token_network"),
        (NUMBER, {"output": "margin"}, "output", "prediction_error"),
        (TABLE, {"output": "prediction_error"}, "output", "margin"),
        (TABLE, {"transformations": [{"name": "x", "kind": "blur"}]}, "transformations.x.kind", "set_column"),
        (
            TABLE,
            {"transformations": [{"name": "x", "kind": "set_column", "parameters": {"column": "leek", "value": 1.0}}]},
            "transformations.x.parameters.column",
            "leak",
        ),
        (
            TEXT,
            {"transformations": [{"name": "x", "kind": "insert_token", "parameters": {"token": "zyzyva"}}]},
            "transformations.x.parameters.token",
            "zyzzyva",
        ),
        (
            NUMBER,
            {"transformations": [{**NUMBER["transformations"][0], "target_class": 1}]},
            "transformations.bmi up.target_class",
            "a number",
        ),
    ],
)
def test_what_does_not_go_together_is_refused_before_training(
    study: dict[str, Any], changes: dict[str, Any], key: str, said: str, tmp_path: Path
) -> None:
    experiment, _ = open_experiment({**study, **changes}, tmp_path)
    with pytest.raises(ConfigError) as caught:
        experiment.check()
    assert caught.value.key == key
    assert said in str(caught.value)


def test_words_are_put_in_their_places_and_nowhere_else() -> None:
    rows, numbers = Terms("row"), Terms("row", "price")
    assert Terms().page("<p>An image</p>") == "<p>An image</p>"
    page = '<style>image{}</style><p class="image">An image of 3 images</p><img src="data:image/png" alt="test image">'
    expected = '<style>image{}</style><p class="image">A row of 3 rows</p><img src="data:image/png" alt="test row">'
    assert rows.page(page) == expected
    assert rows.said("imagery") == "imagery"
    assert numbers.said("x changes P(own class) by 3 points") == "x changes the prediction by 3 points"
    assert numbers.said("margins and a margin") == "outputs and an output"


def test_an_experiment_of_images_refuses_rows(tmp_path: Path) -> None:
    experiment, _ = open_experiment({**TABLE, "experiment": "counterfactual"}, tmp_path)
    with pytest.raises(ConfigError) as caught:
        experiment.check()
    assert (caught.value.key, "compare" in str(caught.value)) == ("experiment", True)
