"""Execute the notebooks of docs/examples and keep them with their outputs in docs/tutorials, where the site shows them.

    python -m harness.pages.notebooks [NAME ...]

The walk through a stored study is given a store with a small study of its own, which is run first. Minutes.
"""

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

from harness.pages.repository import ROOT

SOURCES = ROOT / "docs/examples"
SHOWN = ROOT / "docs/tutorials"
STORED = "walkthrough"
"""The notebook that opens a finished study."""
NETWORK: dict[str, Any] = {"network": {"kind": "mlp", "widths": [32]}, "epochs": 15}
BLOCK = {"top": 0, "left": 0, "height": 3, "width": 2}
STUDY = {
    "name": "digits_watermark",
    "dataset": {
        "kind": "digits",
        "n_train": 500,
        "n_test": 300,
        "plant": {"label": 8, "fraction": 0.7, "seed": 0, "watermark": BLOCK},
    },
    "algorithm_a": {"name": "trained as is", "kind": "sgd", "recipe": NETWORK},
    "algorithm_b": {
        "name": "corner erased",
        "kind": "sgd",
        "recipe": {**NETWORK, "augmentations": [{"kind": "erase", **BLOCK}]},
    },
    "subsets": {"models": 1000},
    "search": {"directions": 0},
}


def names() -> list[str]:
    """Return the names of all notebooks."""
    return sorted(path.stem for path in SOURCES.glob("*.ipynb"))


def executed(name: str, folder: Path) -> nbformat.NotebookNode:
    """Return a notebook after it was run from top to bottom in a folder; raises CellExecutionError."""
    if name == STORED:
        from modeldiff_core.experiments.run import run_study

        run_study(STUDY, root=folder / "runs")
    book = nbformat.read(SOURCES / f"{name}.ipynb", as_version=4)
    NotebookClient(book, timeout=1800, kernel_name="python3", resources={"metadata": {"path": str(folder)}}).execute()
    for cell in book.cells:
        cell.metadata.pop("execution", None)  # the times of this run
        if cell.cell_type == "code":
            cell.outputs = [one for one in cell.outputs if one.get("name") != "stderr"]  # bars of progress
    return book


def cells(book: nbformat.NotebookNode) -> list[tuple[str, str]]:
    """Return the kind and the text of each cell."""
    return [(cell.cell_type, cell.source) for cell in book.cells]


def main(arguments: Sequence[str] | None = None) -> None:
    """Execute the notebooks that are named, or all, and write them with their outputs."""
    for name in (sys.argv[1:] if arguments is None else arguments) or names():
        with tempfile.TemporaryDirectory(prefix="notebook-") as folder:
            book = executed(name, Path(folder))
        SHOWN.mkdir(exist_ok=True)
        nbformat.write(book, SHOWN / f"{name}.ipynb")
        print(f"docs/tutorials/{name}.ipynb")


if __name__ == "__main__":
    main()
