"""benchmarks/planted_contrast.py compares margins in memory by the stages' functions: it finds what a study does."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.planted_contrast import contrasted
from benchmarks.planted_ways import Margins
from modeldiff_core.comparison.subpopulations import extremes
from modeldiff_core.stages.contrast import read_sample, sizes_in
from modeldiff_core.store import read_record, read_tensors
from tests.modeldiff_core.stages.studies import local, run, tiny


def test_the_planted_battery_finds_what_a_study_does(tmp_path: Path) -> None:
    store = local(tmp_path)
    comparison = tiny(comparison={"method": "contrast", "components": 3, "draws": 19, "top": 5})
    run(store, comparison)
    sample = read_sample(store, comparison.pair)
    raw = (own * unit for own, unit in zip((sample.a, sample.b), sample.units, strict=True))
    a, b = (Margins(masks, own) for masks, own in zip(sample.masks, raw, strict=True))
    settings = comparison.study.comparison
    found = contrasted(a, b, settings.components, settings.draws)
    summary = read_record(store, comparison.summary.record)
    for entry, p, of_a, direction in zip(summary["directions"], found.p, found.of_a, found.directions, strict=True):
        assert entry["null_p"] == pytest.approx(p)
        assert entry["side"] == ("a-b" if of_a else "b-a")
        assert entry["top_train"] == extremes(direction, settings.top)[0].tolist()
    sizes = sizes_in(read_tensors(store, comparison.directions.record, {"directions": comparison.directions.digest}))
    eigenvalues = [entry["in_sample_difference"] for entry in summary["directions"]]
    np.testing.assert_allclose(found.eigenvalues / sizes.unit, eigenvalues, rtol=1e-4)
