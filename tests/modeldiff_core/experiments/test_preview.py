"""A preview finds a plant from a few trainings, says what it cannot say, and resumes."""

from typing import Any

import numpy as np
import pytest

from modeldiff_core import plan
from modeldiff_core.errors import ConfigError
from modeldiff_core.experiments.compare.experiment import Compare
from modeldiff_core.experiments.preview.experiment import Preview, PreviewStudy
from modeldiff_core.stages.products import read_finite
from modeldiff_core.store import ObjectStore, read_record
from modeldiff_core.study import parse_study
from tests.modeldiff_core.conftest import CONTENT
from tests.modeldiff_core.stages.studies import EXECUTION, local


def preview(trainings: int = 1, changes: dict[str, Any] | None = None, **asked: Any) -> Preview:
    """The small study of digits with a planted block, previewed."""
    settings = {"trainings": trainings, "probes": 4, "components": 2, "top": 6, "searched": 0, **asked}
    study = PreviewStudy.parse({**CONTENT, "preview": settings, **(changes or {})})
    return Preview(study)


def run(store: ObjectStore, experiment: Preview) -> dict[str, Any]:
    experiment.check()
    plan.run(experiment, store, plan.InProcess(store, EXECUTION))
    return read_record(store, experiment.summary.record)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ObjectStore:
    return local(tmp_path_factory.mktemp("store"))


def test_one_training_of_each_gives_directions_and_no_p(store: ObjectStore) -> None:
    experiment = preview()
    summary = run(store, experiment)
    assert summary["tested"] is False
    assert sorted((entry["side"], entry["index"]) for entry in summary["directions"]) == [
        ("a-b", 0),
        ("a-b", 1),
        ("b-a", 0),
        ("b-a", 1),
    ]
    assert all(entry["p"] is None for entry in summary["directions"])
    cost = summary["products"]
    assert (cost["reverse"], cost["forward"]) == (8, 16)
    found = experiment.shown(store)
    assert any("Cannot be tested" in line for line in found.findings)
    assert any("of processor time" in line for line in found.findings)
    page = store.read(experiment.report.record).decode()
    assert "Preview of small" in page
    assert page.count("test images at its two ends") >= 4
    assert plan.verify(experiment, store) == ()
    assert all(len(set(entry["top_targets"] + entry["bottom_targets"])) == 12 for entry in summary["directions"])


def test_enough_trainings_are_tested_in_a_basis_of_others(store: ObjectStore) -> None:
    experiment = preview(6, probes=3)
    assert list(experiment.handful.choosing) == [0, 1]
    assert list(experiment.handful.compared) == [2, 3, 4, 5, 6, 7]
    summary = run(store, experiment)
    assert summary["tested"] is True
    assert summary["products"]["reverse"] == 12
    assert all(1 / 32 <= entry["p"] <= 1 for entry in summary["directions"])
    assert any("with whole trainings as replicates" in line for line in experiment.shown(store).findings)


def test_a_preview_proposes_transformations_and_ranks_them(store: ObjectStore) -> None:
    experiment = preview(searched=1)
    summary = run(store, experiment)
    along = {(one["along"]["side"], one["along"]["index"]) for one in summary["candidates"]}
    assert along == {("a-b", 0), ("b-a", 0)}
    apart = [
        abs(one["effect"]["a"] - one["effect"]["b"]) for one in summary["candidates"] if one["along"]["side"] == "a-b"
    ]
    assert len(apart) > 1
    assert apart == sorted(apart, reverse=True)
    assert apart[0] > 0
    found = experiment.shown(store)
    assert any("nothing was confirmed" in line for line in found.findings)
    assert "Candidate transformations" in [table.name for table in found.tables]
    assert "without it and with it" in store.read(experiment.report.record).decode()
    assert plan.verify(experiment, store) == ()


def test_a_preview_counts_toward_a_tested_one_and_its_models_toward_a_full_comparison(store: ObjectStore) -> None:
    few, tested = preview(2, probes=3), preview(6, probes=3)
    assert few.handful.basis.product.reference == tested.handful.basis.product.reference
    run(store, preview(searched=1))
    comparison = Compare.of(parse_study(CONTENT), store)
    shards = [step for wave in comparison.waves(store) for step in wave.steps if " ensemble shard " in step.name]
    assert shards
    there = [store.exists(step.reference.record) for step in shards]
    assert any(there)


def test_what_is_stored_is_not_computed_again(store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    run(store, preview())

    def fail(*_: object) -> None:
        raise AssertionError("a product was computed again")

    monkeypatch.setattr("modeldiff_core.stages.products.Derived.run", fail)
    experiment = preview()
    assert not plan.survey(experiment, store).missing
    run(store, preview(components=1))  # shown otherwise, from the same products


def test_a_diverged_training_leaves_with_its_partner(store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    experiment = preview(2, seed=3)
    original = read_finite

    def second_of_a_diverged(at: ObjectStore, product: Any) -> np.ndarray | None:
        return None if "forward-00001" in product.reference.record else original(at, product)

    monkeypatch.setattr("modeldiff_core.stages.matrix_free.read_finite", second_of_a_diverged)
    summary = run(store, experiment)
    assert summary["diverged"] == 1
    assert any("1 pair of trainings diverged" in line for line in experiment.shown(store).findings)


def test_what_cannot_be_previewed_is_refused() -> None:
    sklearn = {"algorithm_b": {"name": "other", "kind": "sklearn", "recipe": {}}}
    with pytest.raises(ConfigError, match=r"algorithm_b.kind: .*differentiated"):
        preview(changes=sklearn).check()
    with pytest.raises(ConfigError, match=r"preview.components: expected at most 8"):
        preview(components=9).check()
    with pytest.raises(ConfigError, match=r"preview.trainings"):
        preview(0)
    with pytest.raises(ConfigError, match="output"):
        preview(changes={"output": "accuracy"}).check()
