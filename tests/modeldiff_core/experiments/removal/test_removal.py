"""What is behind a planted difference is found, removed and proved, through the whole experiment."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modeldiff_core.designs import Everything, Without
from modeldiff_core.errors import ConfigError
from modeldiff_core.experiments.removal.confirmed import confirmed_differences
from modeldiff_core.experiments.removal.experiment import Removal
from modeldiff_core.experiments.removal.found import rank_correlation
from modeldiff_core.experiments.removal.present import present
from modeldiff_core.plan import InProcess, repair, run, survey, verify
from modeldiff_core.responses import FullModels
from modeldiff_core.stages.removal import Behind, WithoutGroup, read_group, read_without, removals_of
from modeldiff_core.store import ObjectStore, read_record
from modeldiff_core.training import train_ensemble
from modeldiff_core.transformations import build_on
from modeldiff_core.transformations.effects import eligible_images, measure
from modeldiff_core.transformations.search import image_halves
from tests.modeldiff_core.experiments.removal.planted import PLANTED, removal
from tests.modeldiff_core.stages.studies import EXECUTION, local


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[ObjectStore, Removal]:
    store, experiment = local(tmp_path_factory.mktemp("removal")), removal()
    assert experiment.check() == []
    run(experiment, store, InProcess(store, EXECUTION))
    return store, experiment


@pytest.fixture(scope="module")
def behind(finished: tuple[ObjectStore, Removal]) -> Behind:
    store, experiment = finished
    (one,) = confirmed_differences(store, experiment.comparison, 3)
    found = experiment.behind(one)
    assert found is not None
    return found


@pytest.mark.nightly
def test_it_is_complete_and_sound(finished: tuple[ObjectStore, Removal]) -> None:
    store, experiment = finished
    found = survey(experiment, store)
    assert found.complete
    assert not found.awaits
    assert verify(experiment, store) == ()


@pytest.mark.nightly
def test_the_group_is_what_was_planted(finished: tuple[ObjectStore, Removal], behind: Behind) -> None:
    store, experiment = finished
    train, record = experiment.comparison.trainings[0].load().train, read_group(store, behind)
    planted, group = train.metadata["planted"].astype(bool), np.array(record["train"])
    assert 0.03 < planted.mean() < 0.1, "few are"
    assert planted[group].mean() > 0.7
    assert planted[group].sum() > 0.8 * planted.sum()
    assert record["class"] == "8"
    assert sum(record["classes"].values()) == len(group)
    assert record["classes"]["8"] >= len(group) - 1
    assert record["words"][0].startswith("planted: ")
    assert record["sizes"] == [round(len(group) / 2), len(group)]
    for one in record["random"]:
        assert len(set(one)) == len(group)
        assert not set(one) & set(group.tolist())


@pytest.mark.nightly
def test_without_it_the_effect_is_gone_and_without_others_it_stays(finished: tuple[ObjectStore, Removal]) -> None:
    store, experiment = finished
    (found,) = read_record(store, experiment.summary.record)["differences"]
    assert found["effect"]["difference"]["low"] > 0.1, "there is an effect to shrink"
    assert found["shrinkage"]["low"] > 0.6
    assert found["beyond_random"]["low"] > 0.5
    assert all(one["shrinkage"]["value"] < 0.1 for one in found["random"])
    part, whole = found["parts"]
    assert part["predicted"] < whole["predicted"]
    assert part["shrinkage"]["value"] < whole["shrinkage"]["value"]
    # Without other examples of its class a cue becomes stronger: the effect may grow, as predicted and as measured.
    assert all(one["predicted"] < 0.1 for one in found["random"])


@pytest.mark.nightly
def test_stored_changes_are_those_of_models_trained_without_the_group(
    finished: tuple[ObjectStore, Removal], behind: Behind
) -> None:
    store, experiment = finished
    spec = WithoutGroup(behind, "a", 2, 5)
    changes, removed = read_without(store, spec)
    assert removed.tolist() == removals_of(read_group(store, behind))[2] == read_group(store, behind)["train"]
    task, test = experiment.comparison.trainings[0].task(), behind.measured(store).test
    masks = np.ones((5, len(task.train)), dtype=bool)
    masks[:, removed] = False
    trained, _ = train_ensemble(task, range(5, 10), EXECUTION, masks)
    _, half = image_halves(len(task.targets), 0)
    targets = task.targets.select(half)
    shown = targets.select(eligible_images(targets.labels, {}, test.target_class, 500, 0))
    expected = measure(trained, build_on(test, shown), shown.images, shown.labels, (1.0,), test.target_class)
    np.testing.assert_array_equal(changes.probability, expected.probability[0].astype(np.float32))
    # Without anything removed they are the study's own models of those numbers.
    with_all, _ = read_without(store, WithoutGroup(behind, "a", 0, 5))
    models, _ = FullModels(experiment.comparison.trainings[0]).load(store, 0, EXECUTION)
    own = measure(models, build_on(test, shown), shown.images, shown.labels, (1.0,), test.target_class)
    np.testing.assert_allclose(with_all.probability, own.probability[0, 5:], atol=1e-6)


@pytest.mark.nightly
def test_what_is_lost_or_damaged_is_named_and_made_again_alone(
    finished: tuple[ObjectStore, Removal], behind: Behind
) -> None:
    store, experiment = finished
    lost, damaged = (WithoutGroup(behind, which, 1, 5).reference.record for which in ("a", "b"))
    before = {key: store.read(key) for key in (lost, damaged)}
    store.delete(lost)
    path = Path(store.path(damaged))
    path.write_bytes(before[damaged][:-9] + b"\0" * 9)
    findings = verify(experiment, store)
    assert {(one.key, one.kind) for one in findings} == {(lost, "missing"), (damaged, "damaged")}
    assert repair(store, findings) == [damaged]
    assert {step.stage.__name__ for step in survey(experiment, store).missing} == {"train_without_group"}
    run(experiment, store, InProcess(store, EXECUTION))
    assert {key: store.read(key) for key in (lost, damaged)} == before
    assert verify(experiment, store) == ()


@pytest.mark.nightly
def test_the_page_says_what_is_behind_it_and_how_much_it_takes_away(finished: tuple[ObjectStore, Removal]) -> None:
    store, experiment = finished
    page = store.read(experiment.report.record).decode()
    shown = experiment.shown(store)
    assert shown.findings[0].startswith("Difference 1 (as is relies on something more than erased): behind it are ")
    for part in ("it shrinks by", "random others of the same class", "What they share: planted: "):
        assert part in page
    assert len(shown.figures) == 2
    assert [row["removed"] for row in shown.tables[0].rows] == [
        "nothing", "part of the group", "the group", "random 1", "random 2",
    ]  # fmt: skip


def test_a_difference_that_nothing_confirms_is_told_as_such() -> None:
    calibration = {"removals": 0, "rank_correlation": None, "rank_correlation_of_parts": None}
    summary: dict[str, Any] = {"algorithms": {"a": "one", "b": "two"}, "models": 5, "calibration": calibration}
    nothing = present("study", {**summary, "differences": []})
    assert nothing.findings == ("The comparison names no difference, so there is nothing to remove.",)
    entry = {"number": 0, "side": "b-a", "transformation": None}
    unconfirmed = present("study", {**summary, "differences": [entry]})
    assert "two relies on something more than one" in unconfirmed.findings[0]
    assert "no transformation is confirmed" in unconfirmed.findings[0]
    assert unconfirmed.tables[0].rows == []


def test_ranks_are_compared_where_there_are_enough() -> None:
    assert rank_correlation(np.arange(5.0), np.arange(5.0) ** 3) == pytest.approx(1)
    assert rank_correlation(np.arange(5.0), -np.arange(5.0)) == pytest.approx(-1)
    assert rank_correlation(np.arange(3.0), np.arange(3.0)) is None
    assert rank_correlation(np.zeros(5), np.arange(5.0)) is None


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"comparison": {"components": 2}}, "comparison.method"),
        ({"search": {"directions": 0}}, "search.directions"),
        ({"comparison": {**PLANTED["comparison"], "draws": 0}}, "comparison.draws"),
        ({"removal": {"share": 1.5}}, "removal.share"),
        ({"removal": {"models": 1}}, "removal.models"),
    ],
)
def test_studies_without_confirmed_differences_are_refused(changes: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigError, match=key):
        removal(**changes).check()


def test_a_row_of_everything_without_some_has_all_others() -> None:
    masks = Without(Everything(6), (1, 4)).masks(range(2))
    assert masks.tolist() == [[True, False, True, True, False, True]] * 2
    assert Without(Everything(3), ()).masks([0]).all()
