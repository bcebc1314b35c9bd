"""The cases on data that packages bring, at scale=smoke: every stage, and their pages from the store."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import case_league, case_pages, cases
from modeldiff_core.data.fashion_mnist import FASHION_DEBIAN
from modeldiff_core.experiments.run import open_experiment, run_study
from modeldiff_core.plan import NoProgress
from modeldiff_core.store import read_record
from modeldiff_platform.flows.cli.compose import request

needs_clothes = pytest.mark.skipif(not FASHION_DEBIAN.is_dir(), reason="no package with Fashion-MNIST is installed")


def finished(root: Path, kind: str, *overrides: str) -> dict[str, Any]:
    """Run a study in this process and return its summary."""
    study = request(["scale=smoke", *overrides], kind).study
    run_study(study, root, progress=NoProgress())
    experiment, store = open_experiment(study, root)
    return read_record(store, experiment.summary.record)


def check(summary: dict[str, Any], tests: set[str]) -> None:
    assert {one["name"] for one in summary["transformations"]} == tests
    assert all(np.isfinite(one["effect"][side]) for one in summary["transformations"] for side in "ab")
    assert any(abs(one["effect"]["a"]) > 1e-4 for one in summary["transformations"])
    assert len(summary["directions"]) == 2


@needs_clothes
@pytest.mark.nightly
def test_a_case_ends_in_its_page(tmp_path: Path) -> None:
    pytest.importorskip("skimage")
    known = cases.CASES["augmentation"]
    case = cases.Case(known.name, known.title, known.question, known.setting, ("scale=smoke",))
    free = "comparison.matrix_free.trainings=6", "comparison.matrix_free.probes=2"
    summary = finished(tmp_path, "compare", *case.overrides)
    check(summary, {"texture", "photograph", "grey", "blur", "noise"})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cases, "FREE", (cases.FREE[0], *free))
        patch.setattr(cases, "MODELS", 3)
        cases.run_all(case, str(tmp_path))
        told = cases.page(case, str(tmp_path), tmp_path / "picture.png")
    assert summary["digest"][:16] in told
    assert (tmp_path / "picture.png").stat().st_size > 100
    for heading in ("Question", "Set-up", "Found", "What it looks like", "Not found", "Two estimators", "Minutes"):
        assert f"## {heading}" in told
    kept = cases.read_kept(*stored(case, tmp_path))
    assert 0 < kept["named"]["size"] < kept["named"]["coats"] == 50
    assert 0 <= kept["agreement"]["cosine"] <= 1
    assert kept["seconds"].keys() == {"comparison", "named", "matrix_free"}


def stored(case: cases.Case, root: Path) -> tuple[Any, dict[str, Any]]:
    experiment, store = open_experiment(cases.study_of(case), root)
    return store, read_record(store, experiment.summary.record)


@needs_clothes
@pytest.mark.nightly
def test_pretraining(tmp_path: Path) -> None:
    pytest.importorskip("skimage")
    summary = finished(tmp_path, "compare", "study=case_pretraining")
    check(summary, {"texture", "photograph", "grey", "blur", "noise"})
    assert [summary["algorithms"][side]["name"] for side in "ab"] == ["ImageNet", "from scratch"]


@needs_clothes
@pytest.mark.nightly
def test_the_league_and_the_table_end_in_one_page(tmp_path: Path) -> None:
    asked = case_league.Asked(
        (f"study={case_league.STUDY}", "scale=smoke"), (f"study={case_league.TABLE}", "scale=smoke")
    )
    case_league.run_all(asked, str(tmp_path))
    found = case_league.read_found(asked, str(tmp_path))
    told = case_league.page(found)
    rows = [line for line in told.splitlines() if " against " in line and line.startswith("| ")]
    assert len(rows) == 7
    assert sum("forest against network" in row for row in rows) == 1
    assert all(digest[:16] in told for digest in found.digests)
    verdicts = {row.split("|")[5].strip() for row in rows}
    assert verdicts <= {"different", "equivalent", "undecided"}


MODELS = {"case_augmentation": 6000, "case_pretraining": 6000, "case_league": 4000, "case_table": 4000}


@pytest.mark.parametrize("name", MODELS)
def test_the_page_says_what_the_study_states(name: str) -> None:
    kind = "league" if name == "case_league" else "compare"
    study: Any = request([f"study={name}"], kind).study
    assert study.subsets.models == MODELS[name]
    assert study.ensemble.models == 50
    if name in ("case_augmentation", "case_pretraining"):
        assert (study.effects.delta, study.effects.epsilon) == (case_pages.DELTA, case_pages.EPSILON)
        assert study.dataset.options()["seed"] == 1
    else:
        assert study.verdict.margin == case_league.MARGIN
        assert study.comparison.significance == case_league.LEVEL
