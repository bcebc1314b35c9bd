"""The notebook on features that training uses runs from top to bottom and finds what it says."""

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / "docs/examples/features.ipynb"


def test_it_is_kept_without_outputs() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert len(code) > 5
    assert not any(cell.outputs or cell.execution_count for cell in code)


@pytest.mark.nightly
def test_it_runs_and_finds_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELDIFF_STORE", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    done = NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [output for cell in done.cells if cell.cell_type == "code" for output in cell.outputs]
    said = "".join(output.text for output in outputs if output.output_type == "stream" and output.name == "stdout")
    reliance = [float(found) for found in re.findall(r"^attack \w+: .* Reliance: linear (\d\.\d\d)", said, re.M)]
    assert reliance[0] > 0.7 > 0.4 > reliance[1]
    assert re.search(r"^random, attack none, loss: .* outside the signal: it leaks", said, re.M)
    assert not re.search(r"^random, attack l2, loss: .* outside the signal: it leaks", said, re.M)
    assert re.search(r"^top, attack none, loss: .* outside the signal: it does not leak", said, re.M)
    assert "Warning: the shape of the masks alone explains these accuracies" in said
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 4
    assert sum("text/html" in output.get("data", {}) for output in outputs) == 2
