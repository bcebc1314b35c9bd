"""The documented example of an estimator of one's own, installed as its README says."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modeldiff_core.datamodels import ESTIMATORS, FromMasks
from modeldiff_core.errors import ConfigError
from modeldiff_core.study.build import build_estimator
from modeldiff_core.study.config import RegressionConfig

EXAMPLE = Path(__file__).parents[3] / "docs/examples/correlation"
CONFIG = RegressionConfig(estimator="correlation", settings={"correlation": {"threshold": 0.2}})


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, place = tmp_path / "source", tmp_path / "place"
    source.mkdir()
    for name in ("pyproject.toml", "correlation.py"):
        (source / name).write_bytes((EXAMPLE / name).read_bytes())
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "install",
            "-q",
            "--disable-pip-version-check",
            "--no-deps",
            "--no-build-isolation",
            "--target",
            str(place),
            str(source),
        ],
        check=True,
    )
    monkeypatch.syspath_prepend(str(place))


@pytest.mark.usefixtures("installed")
def test_it_is_found_by_its_name(planted: Callable[..., Any]) -> None:
    assert "correlation" in ESTIMATORS.names()
    estimator, problem = build_estimator(CONFIG, "correlation"), planted(200, 30)
    assert isinstance(estimator, FromMasks)
    assert estimator.identity() == {"threshold": 0.2}
    found = estimator.prepare(problem.masks, None)(problem.margins)
    expected = np.corrcoef(problem.masks.T, problem.margins.T)[30:, :30]
    expected = np.where(np.abs(expected) < 0.2, 0, expected)
    assert 0 < (expected != 0).mean() < 0.5
    np.testing.assert_allclose(found.weights, expected, atol=1e-5)
    refitted = estimator.common(found, found)(problem.masks, problem.margins, None)
    np.testing.assert_array_equal(refitted, found.weights)
    with pytest.raises(ConfigError) as caught:
        build_estimator(RegressionConfig(settings={"correlation": {"threshold": 2}}), "correlation")
    assert caught.value.key == "regression.settings.correlation.threshold"


def test_without_the_package_it_is_unknown() -> None:
    with pytest.raises(
        ConfigError, match=r"difference_in_means, lasso, least_squares, metagradient, ridge, trak, got 'correlation'"
    ) as e:
        build_estimator(RegressionConfig(), "correlation")
    assert "modeldiff.estimators" in e.value.hint
