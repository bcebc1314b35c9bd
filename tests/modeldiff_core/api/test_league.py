"""More than two training functions from Python."""

from pathlib import Path

import pytest

import modeldiff_core as md
from modeldiff_core.errors import ConfigError
from modeldiff_core.plan import NoProgress
from tests.modeldiff_core.api.own_functions import SETTINGS, data, train_callable, train_module


def train_again(images: object, labels: object, seed: int) -> object:
    return train_module(images, labels, seed + 1000)


@pytest.mark.nightly
def test_three_functions_give_three_pairs_and_each_is_trained_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        "modeldiff_core.experiments.compare.experiment.render", lambda facts: {"index.html": b"", "study.json": b"{}"}
    )
    given = {"module": train_module, "again": train_again, "means": train_callable}
    settings = {**SETTINGS, "comparison": {**SETTINGS.get("comparison", {}), "significance": 0.2, "draws": 19}}
    report = md.league(
        given, data=data("arrays"), models=60, store=tmp_path, progress=NoProgress(), workers=1, **settings
    )
    assert len(report.pairs) == 3
    assert list(report.pairs["all that differs, % of a datamodel"]) == list(
        report.pairs.sort_values("all that differs, % of a datamodel", key=values, ascending=False)[
            "all that differs, % of a datamodel"
        ]
    )
    trainings = {path.name for path in tmp_path.glob("trainings/*") if path.is_dir()}
    assert len(trainings) == 3
    pair = report.pair("again", "module")
    assert pair.verdict in ("different", "undecided")
    assert Path(report.url.removeprefix("file://")).is_file()
    report.show()
    assert "60 subset models: none was trained twice" in capsys.readouterr().out
    before = sorted((path, path.stat().st_mtime_ns) for path in tmp_path.rglob("*.safetensors"))
    again = md.league(
        given, data=data("arrays"), models=60, store=tmp_path, progress=NoProgress(), workers=1, **settings
    )
    assert again.findings == report.findings
    assert sorted((path, path.stat().st_mtime_ns) for path in tmp_path.rglob("*.safetensors")) == before


def values(column: object) -> object:
    return column.str.split(" ").str[0].astype(float)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("given", "key"),
    [
        ([train_module], "algorithms"),
        ([train_module, train_module, train_callable], "algorithms"),
        ({"Not so": train_module, "b": train_callable}, "algorithms"),
    ],
)
def test_algorithms_that_make_no_league_are_refused(given: object, key: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as raised:
        md.league(given, data=data("arrays"), models=60, store=tmp_path)  # type: ignore[arg-type]
    assert raised.value.key.startswith(key)
    assert not list(tmp_path.glob("trainings"))
