"""The trainers run on a machine that has torch, numpy, scikit-learn, safetensors and fsspec, and nothing else."""

import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
PROMISED = ("torch", "numpy", "scikit-learn", "safetensors", "fsspec")

PROGRAM = """
import importlib.util
import sys

ABSENT = set("jaxtyping beartype pydantic zarr prefect hydra omegaconf pandas matplotlib s3fs PIL pooch tqdm rich "
             "pyarrow certifi google_crc32c ffcv".split())
assert not [name for name in ABSENT if importlib.util.find_spec(name)], "the machine is not bare"

import numpy as np
from modeldiff_core import comparison, datamodels, margins, models, subsets
from modeldiff_core.data import Examples
from modeldiff_core.training import Execution, Task, train_subset_models
from modeldiff_core.training.tuning import fastest
from modeldiff_core.training.settings import Network
from modeldiff_core.training.sgd import Sgd

rng = np.random.default_rng(0)
examples = Examples(rng.integers(256, size=(40, 8, 8, 1), dtype=np.uint8), np.arange(40) % 4)
task = Task(Sgd(network=Network("mlp", (4,)), epochs=1), 0, examples, examples, 4)
sampler = subsets.SubsetSampler(40, 0.5, 0)
found = train_subset_models(task, sampler.masks(range(3)), range(3), Execution(stack=2))
assert found.margins.std() > 0.001
assert fastest(task, found.masks, range(3), Execution())[0].seconds_a_model > 0
a, b = (datamodels.fit_ridge(sampler.masks(range(60)), rng.normal(size=(60, 5)).astype(np.float32)).weights
        for _ in range(2))
assert comparison.residual_pca(a, b, 2).directions.std() > 0.001
assert not (ABSENT | {"jinja2"}) & {name.partition(".")[0] for name in sys.modules} - {"jaxtyping"}
print("trained")
"""


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder to import from that holds the promised packages, those that they require, and no other."""
    folder = tmp_path_factory.mktemp("site-packages")
    for name in required(PROMISED):
        installed = distribution(name)
        for top in {file.parts[0] for file in installed.files or () if file.parts[0] not in ("..", "__pycache__")}:
            if not (folder / top).exists():
                (folder / top).symlink_to(Path(str(installed.locate_file(top))))
    return folder


def required(names: tuple[str, ...]) -> Iterator[str]:
    """Yield the installed ones of these distributions and of all that they require without any extra."""
    waiting, seen = list(names), set()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        try:
            requirements = distribution(name).requires or []
        except PackageNotFoundError:  # required on other platforms only
            continue
        yield name
        waiting += [re.split(r"[^\w.-]", r)[0] for r in requirements if "extra ==" not in r]


def run_bare(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run Python with that folder and the repository alone to import from."""
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": f"{folder}:{REPOSITORY}", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-S", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)


def test_training_needs_no_more(bare: Path) -> None:
    done = run_bare(bare, "-c", PROGRAM)
    assert done.stdout == "trained\n", done.stderr


def test_the_gpu_script_needs_no_more(bare: Path) -> None:
    done = run_bare(bare, "-m", "benchmarks.gpu", "--list")
    assert done.returncode == 0, done.stderr
    assert "rates: MLP" in done.stdout
