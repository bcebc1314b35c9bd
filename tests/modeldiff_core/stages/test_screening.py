"""Subset models of a study are screened when their margins are gathered, and in every point of the learning curve."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modeldiff_core.experiments.compare import Comparison
from modeldiff_core.experiments.compare.noticed import about_full_models
from modeldiff_core.responses import SubsetModels
from modeldiff_core.stages.curve import Curve, follow_curve
from modeldiff_core.stages.gram import gram_reference
from modeldiff_core.stages.matrix import gather
from modeldiff_core.stages.regression import rows_used
from modeldiff_core.stages.screening import ScreeningOf, record_of, screening_sentences
from modeldiff_core.store import (
    MarginMatrix,
    ObjectStore,
    Shard,
    TensorObject,
    read_tensors,
    shard_key,
    write_shard,
    write_tensors,
)
from modeldiff_core.study import parse_study
from modeldiff_core.study.config import StudyConfig
from tests.modeldiff_core.stages.studies import TINY, local, tiny

WILD, POOR, ZERO = 21, 5, 33


def shards(store: ObjectStore, study: Comparison, odd: bool, diverged: bool = False) -> None:
    """Shards of A whose margins are linear in the masks, among them a wild model, one at chance and one of zeros.

    diverged: the wild one and the one of zeros are marked as such instead.
    """
    training = study.trainings[0]
    rng = np.random.default_rng(0)
    responses = SubsetModels(training)
    weights = rng.normal(0, 0.3, (responses.targets, responses.design.units))
    for index in range(3):
        rows = responses.rows(index)
        masks = responses.design.masks(rows)
        margins = (3 + masks @ weights.T + rng.normal(0, 0.3, (len(rows), responses.targets))).astype(np.float32)
        for row, factor in ((WILD, 30), (ZERO, 0)):
            if odd and row in rows:
                margins[row - rows.start] *= factor
        if odd and POOR in rows:
            margins[POOR - rows.start] = rng.normal(-1, 1, responses.targets)
        marked = np.isin(np.array(rows), (WILD, ZERO)) & diverged
        margins[marked] = 0
        shard = Shard(rows.start, masks, margins, marked)
        write_shard(store, responses.folder, index, shard, responses.identity)


def gathered(store: ObjectStore, study: Comparison) -> MarginMatrix:
    spec = study.matrix(study.trainings[0])
    gather(store, spec)
    return MarginMatrix.open(store, spec.reference.key)


def test_what_cannot_be_a_model_is_left_out_and_what_is_strange_is_named(tmp_path: Path) -> None:
    store, study = local(tmp_path), tiny()
    shards(store, study, odd=True)
    matrix = gathered(store, study)
    assert np.flatnonzero(~matrix.valid()).tolist() == [WILD, ZERO]
    assert matrix.record["screening"]["named"] == [POOR]
    assert not rows_used(matrix, 10, None)[[WILD, ZERO]].any()
    assert rows_used(matrix, 0, None)[POOR]
    left_out, named = screening_sentences("short", matrix.record)
    assert "2 of 50 models of short cannot be models among the others and are left out (models 21 and 33" in left_out
    assert "1 of 50 models of short stands out from the others and is kept (model 5; margins" in named


def test_models_without_oddities_leave_no_trace_but_that_they_were_screened(tmp_path: Path) -> None:
    store, study = local(tmp_path), tiny()
    shards(store, study, odd=False)
    matrix = gathered(store, study)
    assert matrix.valid().all()
    assert "left_out" not in matrix.record
    assert screening_sentences("short", matrix.record) == []
    unscreened = MarginMatrix(store, matrix.key, {**matrix.record, "screening": {}})
    assert gram_reference(matrix, 10, None) == gram_reference(unscreened, 10, None)


def test_a_matrix_from_before_is_judged_when_it_is_told_of_and_used_as_it_was(tmp_path: Path) -> None:
    store, study = local(tmp_path), tiny()
    for odd in (True, False):
        shards(store, study, odd=odd)
        matrix = gathered(store, study)
        before = MarginMatrix(
            store, matrix.key, {k: v for k, v in matrix.record.items() if k not in ("screening", "left_out")}
        )
        assert before.valid().all()
        screening = ScreeningOf.of(study.study, study.trainings[0])
        assert record_of(matrix, screening) == matrix.record
        said = screening_sentences("short", record_of(before, screening))
        if odd:
            assert "3 of 50 models of short stand out from the others and are kept (models 5, 21 and 33" in said[0]
            assert "were gathered or adopted before models were screened, so none of these is left out" in said[1]
        else:
            assert said == []


def test_models_trained_on_all_data_that_stand_out_are_named(tmp_path: Path) -> None:
    store, study = local(tmp_path), tiny()
    training = study.trainings[0]
    rng = np.random.default_rng(0)
    labels = training.task().targets.labels
    logits = rng.normal(0, 1, (8, len(labels), 10)).astype(np.float32)
    logits[:, np.arange(len(labels)), labels] += 5
    wild = logits.copy()
    wild[3] *= 30
    poor = logits.copy()
    poor[6] = rng.normal(0, 1, poor[6].shape)
    for name, values in (("good", logits), ("wild", wild), ("poor", poor)):
        for index in range(4):
            arrays = {"logits": values[2 * index : 2 * index + 2]}
            content = TensorObject(arrays, training.identity, {"index": index, "first": 2 * index})
            write_tensors(store, shard_key(training.ensemble, index), content)
        said = about_full_models(store, training, 8)
        if name == "good":
            assert said == []
            continue
        (sentence,) = said
        row = {"wild": 3, "poor": 6}[name]
        assert sentence.startswith("1 of 8 models of short trained on all data stands out from the others and counts")
        assert f"(model {row}; margins" in sentence


@pytest.mark.parametrize(("choice", "out"), [({"strange": "leave_out"}, [POOR, WILD, ZERO]), ({"wild": "name"}, [])])
def test_another_choice_is_another_matrix(tmp_path: Path, choice: dict[str, Any], out: list[int]) -> None:
    store, study, usual = local(tmp_path), tiny(screening=choice), tiny()
    shards(store, study, odd=True)
    matrix = gathered(store, study)
    assert np.flatnonzero(~matrix.valid()).tolist() == out
    assert study.matrix(study.trainings[0]).reference != usual.matrix(usual.trainings[0]).reference
    assert study.trainings[0].identity == usual.trainings[0].identity, "nothing is trained again"
    assert study.digest != usual.digest


def test_the_usual_screening_is_no_part_of_a_study(tmp_path: Path) -> None:
    usual = {"wild": "leave_out", "strange": "name"}
    study = parse_study({**TINY, "screening": usual})
    assert "screening" not in study.model_dump(mode="json")
    assert tiny(screening=usual).digest == tiny().digest
    asked = parse_study({**TINY, "screening": {"strange": "leave_out"}})
    assert StudyConfig.parse(asked.model_dump(mode="json")) == asked


def test_points_of_a_curve_are_those_without_the_models_that_are_left_out(tmp_path: Path) -> None:
    scores = {}
    for diverged in (False, True):
        store, study = local(tmp_path / str(diverged)), tiny()
        shards(store, study, odd=True, diverged=diverged)
        curve = Curve.of(study.study, study.trainings[0])
        follow_curve(store, curve.to(50))
        points = [curve.point(size).record for size in curve.sizes(50)]
        scores[diverged] = np.stack([read_tensors(store, point).arrays["scores"] for point in points])
    assert len(scores[True]) == 2
    assert scores[True].any()
    np.testing.assert_array_equal(scores[False], scores[True])
