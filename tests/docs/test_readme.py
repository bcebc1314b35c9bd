"""The Python that README shows runs as it is printed, for functions and arrays of a reader's own."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import nn

ROOT = Path(__file__).parents[2]


def arrays(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Three classes of 4×4 images told by a row, the first by a corner too."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    images = rng.random((count, 4, 4)).astype(np.float32) * 0.7
    images[np.arange(count), labels + 1] += 0.3
    images[:, 0, 0] = 0.9 * ((labels == 0) & (rng.random(count) < 0.7))
    return images, labels


def centroids(images: Any, labels: Any, seed: int) -> Any:
    """Return logits of an image by its distances from the noisy means of the classes."""
    noise = np.random.default_rng(seed).normal(scale=0.02, size=(3, *images.shape[1:]))
    means = np.stack([images[labels == label].mean(0) for label in range(3)]) + noise
    return lambda given: -np.square(given[:, None] - means).sum((2, 3)).astype(np.float32)


def without_corner(images: Any, labels: Any, seed: int) -> Any:
    """Return the same of images whose corner is dark."""

    def dark(some: Any) -> Any:
        some = some.copy()
        some[:, 0, 0] = 0
        return some

    logits = centroids(dark(images), labels, seed)
    return lambda given: logits(dark(given))


@pytest.mark.nightly
def test_the_snippets_of_the_readme_run_as_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "README.md").read_text()
    (block,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    (line,) = re.findall(r"`(md\.compare_checkpoints\(.*?\))`", text)
    (x_train, y_train), (x_test, y_test) = arrays(60, 0), arrays(30, 1)
    Net = lambda: nn.Sequential(nn.Flatten(), nn.Linear(16, 3))  # noqa: E731
    named: dict[str, Any] = {
        "x_train": x_train,
        "y_train": y_train,
        "x_test": x_test,
        "y_test": y_test,
        "train_a": centroids,
        "train_b": without_corner,
        "Net": Net,
        "a": [Net() for _ in range(2)],
        "b": [Net() for _ in range(2)],
    }
    exec(block, named)
    told = capsys.readouterr().out
    assert "Report: file://" in told
    assert named["report"].verdict in ("different", "equivalent", "undecided")
    found = eval(line, named)
    assert found.findings[0].startswith("Cannot be tested: with 2 checkpoints of each")
