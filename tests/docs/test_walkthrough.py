"""The notebook that walks through a stored study runs from top to bottom, and its numbers are the study's."""

import ast
import importlib
import json
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from modeldiff_core.store import read_record
from tests.modeldiff_core.stages.studies import local, run, tiny

ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / "docs/examples/walkthrough.ipynb"
NUMBERS = """
import json
print(json.dumps({
    "lds": [float(score.mean()) for score in scores],
    "similarity": float(cosines.mean()),
    "in_sample": [values.tolist() for values in in_sample],
    "top": top.tolist(),
}))
"""


@pytest.fixture
def notebook() -> nbformat.NotebookNode:
    return nbformat.read(NOTEBOOK, as_version=4)


def test_it_is_kept_without_outputs_and_uses_public_names(notebook: nbformat.NotebookNode) -> None:
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert not any(cell.outputs or cell.execution_count for cell in code)
    imported = [
        (node.module, alias.name)
        for cell in code
        for node in ast.walk(ast.parse(cell.source))
        if isinstance(node, ast.ImportFrom) and node.module is not None
        for alias in node.names
    ]
    assert len(imported) > 10
    for module, name in imported:
        assert not name.startswith("_")
        found = importlib.import_module(module)
        assert name in getattr(found, "__all__", vars(found))


@pytest.mark.nightly
def test_it_runs_and_finds_what_the_study_found(
    notebook: nbformat.NotebookNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, comparison = local(tmp_path), tiny(transformations=[])
    monkeypatch.setattr("modeldiff_core.experiments.compare.experiment.render", lambda facts: {"index.html": b"report"})
    run(store, comparison)
    summary = read_record(store, comparison.summary.record)
    monkeypatch.setenv("MODELDIFF_STORE", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    notebook.cells.append(nbformat.v4.new_code_cell(NUMBERS))
    done = NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()

    outputs = [output for cell in done.cells if cell.cell_type == "code" for output in cell.outputs]
    said = "".join(output.text for output in outputs if output.output_type == "stream" and output.name == "stdout")
    assert all(finding in said for finding in summary["findings"])
    assert "as stored: True" in said
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 2
    found = json.loads(said.strip().rsplit("\n", 1)[-1])
    assert found["lds"] == pytest.approx([summary["lds"][name]["mean"] for name in "ab"], abs=1e-6)
    assert found["similarity"] == pytest.approx(summary["similarity"], abs=1e-6)
    first = summary["directions"][0]
    assert [found["in_sample"][i][0] for i in (0, 1)] == pytest.approx(
        [first["explained_variance_in_sample"][name] for name in "ab"], rel=1e-4
    )
    assert found["top"][:5] == first["top_targets"]
