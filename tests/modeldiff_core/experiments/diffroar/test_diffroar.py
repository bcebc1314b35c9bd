"""DiffROAR: the control stands beside every score and a warning where it explains it; random orders score 0."""

from pathlib import Path
from typing import Any

import pytest

from modeldiff_core.errors import ConfigError
from modeldiff_core.experiments.run import open_experiment, run_study
from modeldiff_core.plan import NoProgress, verify
from modeldiff_core.plan.run import InProcess
from modeldiff_core.store import read_record

TINY: dict[str, Any] = {
    "experiment": "diffroar",
    "name": "tiny",
    "dataset": {"kind": "digits", "n_train": 500, "n_test": 300},
    "networks": {"width": [32], "steps": [120], "batch_size": [64], "momentum": [0.9]},
    "attributions": ["logit"],
    "random_orders": 10,
    "k": [0.25],
    "fill": {"kinds": ["mean"]},
    "retrain": {"width": 24, "steps": 90, "batch_size": 64},
    "seeds": 3,
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("diffroar")
    run_study(TINY, root, progress=NoProgress())
    return root


def test_masks_alone_tell_the_class_and_a_warning_says_so(finished: Path) -> None:
    experiment, store = open_experiment(TINY, finished)
    rows = {(row["attribution"], row["fill"]): row for row in read_record(store, experiment.summary.record)["scores"]}
    mean = rows["logit", "mean"]
    assert mean["top"]["mask"]["mean"] > 0.7  # without a single pixel
    assert mean["bottom"]["mask"]["mean"] > 0.5
    shown = experiment.shown(store)
    (line,) = [line for line in shown.findings if "logit, fill mean" in line]
    assert "Warning: the shape of the masks alone explains these accuracies" in line
    assert "networks that see the masks alone reach" in line
    assert [table.name for table in shown.tables] == ["Scores", "Accuracies"]
    assert verify(experiment, store) == ()


def test_random_orders_score_zero_within_their_interval_and_their_masks_tell_nothing(finished: Path) -> None:
    experiment, store = open_experiment(TINY, finished)
    rows = [row for row in read_record(store, experiment.summary.record)["scores"] if row["attribution"] == "random"]
    assert len(rows) == 1
    for row in rows:
        assert row["diffroar"]["n"] == 10
        assert row["diffroar"]["low"] - 0.02 <= 0 <= row["diffroar"]["high"] + 0.02
        assert row["top"]["mask"]["mean"] < 0.2
    assert rows[0]["top"]["kept"]["mean"] > rows[0]["top"]["mask"]["mean"] + 0.1


def test_a_run_that_is_stopped_goes_on_with_equal_bits(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = {**TINY, "random_orders": 0}
    done: list[str] = []
    call = InProcess.__call__

    def stopped(self: InProcess, wave: Any, steps: Any, advance: Any, complete: Any = ()) -> Any:
        def count(step: Any) -> None:
            done.append(step.name)
            if len(done) == 4:
                raise KeyboardInterrupt
            advance(step)

        return call(self, wave, steps, count, complete)

    monkeypatch.setattr(InProcess, "__call__", stopped)
    with pytest.raises(KeyboardInterrupt):
        run_study(study, tmp_path, progress=NoProgress())
    monkeypatch.setattr(InProcess, "__call__", call)
    run_study(study, tmp_path, progress=NoProgress())
    made = [path.relative_to(tmp_path) for path in (tmp_path / "features").rglob("*") if path.is_file()]
    assert len(made) == 2 + 3
    assert all((finished / name).read_bytes() == (tmp_path / name).read_bytes() for name in made)


def test_an_oracle_needs_features_and_no_networks(tmp_path: Path) -> None:
    study = {
        **TINY,
        "dataset": {"kind": "one_hot", "dimension": 8, "n_train": 800, "n_test": 400},
        "attributions": [],
        "random_orders": 0,
        "signal": "sign",
        "k": [0.25],
        "fill": {"kinds": ["constant"]},
        "retrain": {"width": 24, "steps": 200, "batch_size": 64},
        "seeds": 2,
    }
    run_study(study, tmp_path, progress=NoProgress())
    experiment, store = open_experiment(study, tmp_path)
    summary = read_record(store, experiment.summary.record)
    assert summary["networks"] == {}
    assert summary["scores"][0]["diffroar"]["mean"] == pytest.approx(0.5, abs=0.06)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"k": [0]}, "k.0: expected greater than 0"),
        ({"k": [0.1, 1]}, "k.1: expected less than 1, got 1"),
        ({"k": [0.001]}, "k: expected shares that keep 1 to 63 of the 64 values of an image, got 0.001"),
        ({"fill": {"kinds": ["inpaint"]}}, "fill.kinds.0: expected"),
        ({"fill": {"kinds": ["blur"], "blur": 0}}, "fill.blur: expected greater than 0"),
        (
            {"attributions": ["random"]},
            "attributions: expected methods alone; the number of random orders is random_orders",
        ),
        ({"attributions": ["lime"]}, "attributions: expected one of"),
        ({"attributions": [], "random_orders": 0}, "attributions: expected a method, random_orders or a signal"),
        ({"signal": "sign"}, "dataset.kind: expected a dataset that knows its features"),
        ({"networks": {"attack": ["l2"]}}, "networks.attack: expected one of none, got 'l2'"),
    ],
)
def test_bad_requests_are_refused_by_their_key(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        open_experiment({**TINY, **changes}, tmp_path)[0].check()


def test_few_replicates_and_few_orders_are_warned_of(tmp_path: Path) -> None:
    warnings = open_experiment({**TINY, "seeds": 2, "random_orders": 3}, tmp_path)[0].check()
    assert [line.split(":")[0] for line in warnings] == ["seeds", "random_orders"]
