"""The finished store of the tiny study, which no test changes: one copies it first."""

from pathlib import Path

import pytest

from tests.modeldiff_core.experiments.components.studies import make, opened


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("finished")
    make(*opened(root))
    return root
