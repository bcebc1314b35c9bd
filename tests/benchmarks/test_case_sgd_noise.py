"""The case's levels, and what its page says of a trend and of nothing found."""

import numpy as np
import pytest

from benchmarks import case_sgd_noise
from benchmarks.case_sgd_noise import _not_found, _trend_lines
from modeldiff_core.statistics import trend


def test_levels_rise_by_the_papers_ratio() -> None:
    found = case_sgd_noise.levels()
    assert [name for name, _, _ in found] == ["low noise", "middle noise", "high noise"]
    ratios = [ratio for _, ratio, _ in found]
    assert ratios[2] / ratios[0] == pytest.approx((0.1 / 128) / (0.02 / 1024))
    assert ratios[1] / ratios[0] == pytest.approx((0.05 / 512) / (0.02 / 1024))
    assert len({id(task.train) for _, _, task in found}) <= 2
    assert all(len(task.train) == 600 for _, _, task in found)


def test_the_page_tells_a_trend_from_none() -> None:
    rng = np.random.default_rng(0)
    rising = [rng.normal(level, 0.5, 20) for level in range(3)]
    measures = []
    for name, groups, p in (("rises", rising, 0.001), ("flat", rising, 0.4)):
        test = trend(groups)
        values = [group.tolist() for group in groups]
        measures.append({"name": name, "values": values, "p_adjusted": p, **vars(test)})
    kept = {"levels": [["low", 1.0], ["middle", 5.0], ["high", 40.0]], "models": 20, "measures": measures}
    lines = list(_trend_lines(kept))
    assert next(line for line in lines if line.startswith("| rises")).endswith("| rises, monotone |")
    assert next(line for line in lines if line.startswith("| flat")).endswith("| none shown |")
    summary = {"directions": [{"significant": False}, {"significant": True}], "found": []}
    said = "\n".join(_not_found(summary, kept))
    assert "1 of 2 directions" in said
    assert "No trend is shown for flat." in said
    assert "nothing was removed" in said
