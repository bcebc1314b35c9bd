"""The trainers run on a machine that has torch, numpy, scikit-learn, safetensors and fsspec, and nothing else."""

import subprocess
import sys

PROGRAM = """
import sys

class Absent:
    names = set("jaxtyping beartype pydantic zarr prefect hydra omegaconf pandas matplotlib jinja2 s3fs PIL pooch tqdm "
                "rich pyarrow certifi ffcv".split())

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.names:
            raise ModuleNotFoundError(name, name=name)

sys.meta_path.insert(0, Absent())
import importlib.util
found = importlib.util.find_spec
importlib.util.find_spec = lambda name, package=None: None if name in Absent.names else found(name, package)
import benchmarks.bare
import numpy as np
from modeldiff_core import comparison, datamodels, margins, subsets
from modeldiff_core.data import Examples
from modeldiff_core.training import Execution, Task, train_subset_models
from modeldiff_core.training.tuning import fastest
from modeldiff_core.training.settings import Network
from modeldiff_core.training.sgd import Sgd

rng = np.random.default_rng(0)
examples = Examples(rng.integers(256, size=(40, 8, 8, 1), dtype=np.uint8), np.arange(40) % 4)
task = Task(Sgd(network=Network("mlp", (4,)), epochs=1), 0, examples, examples, 4)
sampler = subsets.SubsetSampler(40, 0.5, 0)
found = train_subset_models(task, sampler, range(3), Execution(stack=2))
assert found.margins.std() > 0.001
assert fastest(task, found.masks, range(3), Execution())[0].seconds_a_model > 0
assert not Absent.names & {name.partition(".")[0] for name in sys.modules} - {"jaxtyping"}
print("trained")
"""


def test_training_needs_no_more() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=300)
    assert done.stdout == "trained\n", done.stderr
