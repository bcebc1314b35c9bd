"""The search as stages gives what it gives in memory, whatever the shards, and stands in the summary."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.search_in_memory import search
from modeldiff_core import plan
from modeldiff_core.experiments.compare import Compare, Comparison
from modeldiff_core.experiments.compare.findings import (
    descriptions,
    read_directions,
    read_findings,
    significant_entries,
)
from modeldiff_core.plan import repair
from modeldiff_core.responses import FullModels
from modeldiff_core.stages.enrichment import describe, read_description
from modeldiff_core.stages.search import (
    OneSide,
    Search,
    measure_finalists,
    propose_candidates,
    rank_candidates,
    read_finalists,
    searches,
)
from modeldiff_core.store import ObjectStore, read_record
from modeldiff_core.subpopulations import SharedFacts, families, furthest, in_words, shared
from modeldiff_core.training import Execution
from modeldiff_core.transformations.ends import OrderedExamples
from tests.modeldiff_core.stages.studies import TINY, local, run, tiny
from tests.modeldiff_core.undrawn import undrawn

LENIENT: dict[str, Any] = {
    "comparison": {**TINY["comparison"], "components": 1, "significance": 0.999},
    "ensemble": {"models": 6, "shard_size": 2},
    "search": {"directions": 1, "candidates": 8, "confirmed": 2, "share": 0.1},
}
"""With so few models nothing is significant: here what comes nearest is searched as if it were."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[ObjectStore, Comparison]:
    store, comparison = local(tmp_path_factory.mktemp("lenient")), tiny(**LENIENT)
    with undrawn():
        run(store, comparison)
    return store, comparison


def found_searches(store: ObjectStore, comparison: Comparison) -> list[Search]:
    entries = significant_entries(store, comparison)
    found = searches(comparison.study, comparison.trainings, comparison.pair, entries)
    assert found
    return found


def test_stages_give_what_is_found_in_memory(whole: tuple[ObjectStore, Comparison]) -> None:
    store, comparison = whole
    directions, _ = read_directions(store, comparison)
    task = comparison.trainings[0].task()
    models = [
        [FullModels(training).load(store, index, Execution())[0] for index in range(3)]
        for training in comparison.trainings
    ]
    for spec in found_searches(store, comparison):
        expected = search(
            *models,
            OrderedExamples(task.targets, directions.arrays[f"{spec.side}.projections"][:, spec.index]),
            OrderedExamples(task.train, directions.arrays[f"{spec.side}.directions"][spec.index]),
            6,
            comparison.study.search,
            comparison.study.effects,
        )
        stored = read_finalists(store, spec)
        assert [one.test for one in stored] == [one.measured.test for one in expected]
        for one, other in zip(stored, expected, strict=True):
            assert abs(one.margin.a[-1].mean) > 1e-3
            assert one.images == other.measured.images
            for a, b in ((one.probability, other.measured.probability), (one.margin, other.measured.margin)):
                assert [i.mean for i in a.b] == pytest.approx([i.mean for i in b.b], abs=1e-6)
                assert a.difference[-1].p == pytest.approx(b.difference[-1].p, rel=1e-3)


def test_the_directions_that_differ_most_are_searched() -> None:
    comparison = tiny(**{**LENIENT, "search": {"directions": 2}})
    entries = [
        {"side": side, "index": index, "significant": index != 1, "explained_variance": {"a": a, "b": 0.5}}
        for side in ("a-b", "b-a")
        for index, a in enumerate((0.6, 0.9, 0.2, 0.8))
    ]
    found = searches(comparison.study, comparison.trainings, comparison.pair, entries)
    assert [(one.side, one.index) for one in found] == [("a-b", 3), ("a-b", 0), ("b-a", 2), ("b-a", 0)]
    none = tiny(**{**LENIENT, "search": {"directions": 0}})
    assert not searches(none.study, none.trainings, none.pair, entries)


def test_ends_are_described_and_said_in_the_summary(whole: tuple[ObjectStore, Comparison]) -> None:
    store, comparison = whole
    directions, _ = read_directions(store, comparison)
    task, classes = comparison.trainings[0].task(), comparison.trainings[0].load().classes
    summary = read_record(store, comparison.summary.record)
    specs = descriptions(comparison, summary["directions"])
    assert specs
    ends = [end.facts for spec in specs for of in read_description(store, spec.ends).values() for end in of.values()]
    lists = families(SharedFacts.restored(facts) for facts in ends if facts["size"])
    assert lists >= 4 * len(specs)
    for spec in specs:
        stored = read_description(store, spec.ends)
        weights = directions.arrays[f"{spec.side}.directions"][spec.index]
        expected = shared(task.train, furthest(-weights, 0.1), classes)
        assert expected is not None
        end = stored["train"]["negative"]
        assert end.facts["words"] == in_words(expected)
        assert end.facts["size"] == 6
        assert end.image is not None
        assert expected.image is not None
        assert np.abs(end.image.difference).max() > 0
        np.testing.assert_allclose(end.image.difference, expected.image.difference, rtol=1e-5, atol=1e-4)
        (entry,) = [e for e in summary["directions"] if (e["side"], e["index"]) == (spec.side, spec.index)]
        told = entry["subpopulations"]["negative"]["train"]
        assert told["words"] == in_words(expected, lists)
        assert told["size"] == end.facts["size"]
        for one, own in zip(told["statistics"], end.facts["statistics"], strict=True):
            assert one == {**own, "p_report": min(1.0, own["p_adjusted"] * lists)}


def test_the_summary_tells_what_was_found_and_corrects_over_everything(
    whole: tuple[ObjectStore, Comparison],
) -> None:
    store, comparison = whole
    summary = read_record(store, comparison.summary.record)
    findings = read_findings(store, comparison)
    found = summary["found"]
    assert 1 <= len(found) <= 4
    names = [(e["kind"], e["class"], str(e["parameters"])) for e in found]
    assert len(set(names)) == len(names), "what several directions propose is put to the test once"
    for entry in found:
        assert entry["along"]
        assert len(entry["dose_response"]) == 4
        assert entry["dose_response"][-1]["effect"] == entry["effect"]
        assert entry["dose_response"][-1]["margin"]["ci"] == entry["margin"]["ci"]
    everything = [*findings.effects, *(one for _, one in findings.found)]
    raw = [r.difference[-1].p for one in everything for r in (one.measured.probability, one.measured.margin)]
    adjusted = [p for one in everything for p in (one.p_probability, one.p_margin)]
    assert min(adjusted) == pytest.approx(min(1.0, min(raw) * len(raw)))
    assert any(line.startswith("The search along ") for line in summary["findings"])


def test_the_summary_opens_with_plain_differences_and_tells_of_spread(whole: tuple[ObjectStore, Comparison]) -> None:
    store, comparison = whole
    summary = read_record(store, comparison.summary.record)
    labels = comparison.trainings[0].task().targets.labels
    logits = FullModels(comparison.trainings[0]).logits(store, comparison.study.ensemble.models)
    plain = summary["plain"]
    assert plain["pairing"] == "paired"
    accuracy = plain["quantities"][0]
    assert (accuracy["name"], accuracy["group"]) == ("accuracy", "")
    assert accuracy["a"]["mean"] == pytest.approx((logits.argmax(2) == labels).mean())
    assert 0 < plain["agreement"]["between"]["mean"] <= 1
    assert [one["name"] for one in plain["quantities"] if not one["group"]][1:] == [
        *("loss", "sureness", "overconfidence", "calibration error")
    ]
    spread = summary["spread"]
    assert spread["kind"] == "spread or misfit"
    assert 0 < spread["p"] <= 1
    assert len(spread["top_train"]) == comparison.study.comparison.top
    for entry in (*summary["transformations"], *summary["found"]):
        assert entry["distinguishing"] == (entry["verdict"]["answer"] == "distinguishing")
        assert entry["verdict"]["a"]["interval"][0] <= entry["effect"]["a"] <= entry["verdict"]["a"]["interval"][1]
    for direction in summary["directions"]:
        assert 1 <= direction["carried_by"]["train"] <= len(comparison.trainings[0].load().train)


def test_damage_to_what_the_search_stores_is_named_and_mended(
    whole: tuple[ObjectStore, Comparison], tmp_path: Path
) -> None:
    import shutil

    shutil.copytree(whole[0].path(""), tmp_path / "copy")
    store, comparison = local(tmp_path / "copy"), whole[1]
    assert plan.verify(Compare(comparison), store) == ()
    spec = found_searches(store, comparison)[0]
    keys = [
        spec.description.reference.record,
        spec.proposed.record,
        spec.candidates("a").record,
        spec.finalists("b").record,
    ]
    for key in keys:
        store.write(key, store.read(key)[:-1])
    findings = plan.verify(Compare(comparison), store)
    assert {(f.key, f.kind) for f in findings} == {(key, "damaged") for key in keys}
    assert len(keys) == 4
    repair(store, findings)
    describe(store, spec.description)
    propose_candidates(store, spec)
    rank_candidates(store, OneSide(spec, "a"), Execution("cpu"))
    measure_finalists(store, OneSide(spec, "b"), Execution("cpu"))
    assert plan.verify(Compare(comparison), store) == ()
    assert all(store.read(key) == whole[0].read(key) for key in keys), "the same bytes again"
