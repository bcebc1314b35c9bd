"""A comparison in a notebook: functions and classes typed in cells, and the report below the cell."""

from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parents[2]
CELLS = (
    """
import numpy as np
import torch
from torch import nn
import modeldiff_core as md

RATE = 0.5
rng = np.random.default_rng(0)
y = np.arange(120) % 2
x = rng.integers(0, 200, (120, 4, 4)).astype(np.uint8)
x[y == 0, 0] += 50
""",
    """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(16, 2)

    def forward(self, images):
        return self.linear(images.flatten(1).float() / 255)
""",
    """
def train(images, labels, seed):
    torch.manual_seed(seed)
    net = Net()
    optimizer = torch.optim.SGD(net.parameters(), lr=RATE)
    images, labels = torch.as_tensor(images), torch.as_tensor(labels)
    for _ in range(5):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(images), labels).backward()
        optimizer.step()
    return net
""",
    """
def means(images, labels, seed):
    centers = np.stack([images[labels == k].mean(0).ravel() for k in (0, 1)]) / 255
    return lambda given: -((given.reshape(len(given), 1, -1) / 255 - centers) ** 2).sum(-1)
""",
    """
settings = {
    "subsets": {"shard_size": 10, "rounds": {"growth": 4.0}}, "ensemble": {"models": 4, "shard_size": 2},
    "regression": {"estimator": "ridge"}, "comparison": {"draws": 19, "components": 2}, "search": {"directions": 0},
}
data = md.Data(x[:80], y[:80], x[80:], y[80:])
report = md.compare(train, means, data=data, models=60, store="runs", **settings)
report.show()
""",
    "print(sorted(md.Algorithm(train).identity['sources']), md.Algorithm(train).identity['values'])",
    """
def means(images, labels, seed):
    return labels.missing
""",
    "md.compare(train, means, data=data, models=60, store='other', **settings)",
)


def streams(cell: Any, name: str) -> str:
    return "".join(output["text"] for output in cell["outputs"] if output.get("name") == name)


@pytest.mark.nightly
def test_cells_are_trained_in_the_kernel_and_the_report_stands_below(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text.strip()) for text in CELLS])
    client = NotebookClient(
        book, timeout=300, allow_errors=True, resources={"metadata": {"path": str(tmp_path)}}, kernel_name="python3"
    )
    client.execute()
    compared, identity, wrong = book["cells"][4], book["cells"][5], book["cells"][7]
    assert [output["ename"] for cell in book["cells"][:7] for output in cell["outputs"] if "ename" in output] == []
    said = streams(compared, "stderr")
    assert "Trained in this process, one model after the other on one torch thread" in said
    assert "means (line 1 of its cell) and train (line 1 of its cell)" in said
    assert "train: " in said
    (shown,) = [output["data"]["text/html"] for output in compared["outputs"] if "data" in output]
    assert shown.startswith("<iframe srcdoc=")
    assert streams(identity, "stdout").strip() == "['Net', 'train'] {'train.RATE': 0.5}"
    (error,) = [output for output in wrong["outputs"] if "ename" in output]
    assert error["ename"] == "RehearsalFailed"
    assert "algorithm_b: means (line 1 of its cell): it raised AttributeError" in error["evalue"]
    assert "line 2 of its cell: return labels.missing" in error["evalue"]
