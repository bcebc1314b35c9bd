"""The site's pages: their commands are commands, the start page's ten lines run, and notebooks are what was run."""

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest

import modeldiff_core as md
from harness.pages import gallery, notebooks
from modeldiff_core.errors import ConfigError
from modeldiff_platform.flows.cli import parser

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(path for path in DOCS.rglob("*.md") if path.name != "log.md" and "examples" not in path.parts)
STUDIES = {study.name: study.kind for study in gallery.shipped()}
SMALL = {
    "subsets": {"shard_size": 10, "rounds": {"growth": 4.0}},
    "ensemble": {"models": 2, "shard_size": 2},
    "regression": {"estimator": "ridge"},
    "comparison": {"draws": 19, "components": 2},
    "search": {"directions": 0},
    "targets": 40,
}
"""Settings with which the start page's comparison takes seconds."""


def commands() -> Iterator[tuple[str, list[str]]]:
    """Yield each command of `modeldiff` on a page: the page, and its words without comments."""
    for page in PAGES:
        for _, text in re.findall(r"^```(\w*)[^\n]*\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL):
            for line in text.replace("\\\n", " ").splitlines():
                if line.startswith("modeldiff "):
                    yield page.name, shlex.split(line, comments=True)[1:]


COMMANDS = list(commands())
COMPOSED = [
    (page, words)
    for page, words in COMMANDS
    if any(f"study={name}" in words for name in STUDIES) and words[0] != "deploy" and "..." not in " ".join(words)
]


def test_every_command_of_a_page_is_one() -> None:
    assert len(COMMANDS) > 50
    whole = parser()
    for page, words in COMMANDS:
        try:
            whole.parse_args([word for word in words if word != "STUDY"])
        except SystemExit as end:
            pytest.fail(f"{page}: modeldiff {shlex.join(words)}: exit code {end.code}")


def test_the_studies_of_commands_ship_or_are_the_readers_own() -> None:
    named = {word.removeprefix("study=") for _, words in COMMANDS for word in words if word.startswith("study=")}
    own = {"study.json", "my_study", "NAME", "...", "mine.yaml"}
    assert named - own <= STUDIES.keys()


@pytest.mark.nightly
@pytest.mark.parametrize(("page", "words"), COMPOSED, ids=lambda value: value if isinstance(value, str) else None)
def test_what_a_command_asks_for_is_composed(page: str, words: list[str]) -> None:
    from modeldiff_platform.flows.cli.compose import request

    kinds = {"counterfactual": "counterfactual", "remove": "removal", "preview": "preview"}
    overrides = [word for word in words[1:] if "=" in word and not word.startswith(("--", "+sweep."))]
    try:
        request(overrides, kinds.get(words[0], ""))
    except ConfigError as error:
        pytest.fail(f"{page}: {shlex.join(words)}: {error}")


def test_the_two_commands_of_the_start_page_are_targets_of_make() -> None:
    makefile, page = (ROOT / "Makefile").read_text(), (DOCS / "index.md").read_text()
    named = re.findall(r"^make (\w+)", page, re.MULTILINE)
    assert named == ["demo", "test"]
    assert all(re.search(rf"^{name}:", makefile, re.MULTILINE) for name in named)
    assert "modeldiff compare study=digits_watermark" in page
    assert "modeldiff compare study=digits_watermark" in makefile


def test_the_ten_lines_of_the_start_page_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As they stand but for the number of models and settings that make them quick, in one process."""
    blocks = dict(
        re.findall(r'^```python title="([^"]+)"\n(.*?)^```$', (DOCS / "index.md").read_text(), re.MULTILINE | re.DOTALL)
    )
    assert list(blocks) == ["training.py", "compare.py"]
    lines = [line for line in blocks["compare.py"].splitlines() if line.strip()]
    assert len(lines) <= 10
    for name, text in blocks.items():
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    whole, in_process = md.compare, "modeldiff_core.api.compare._submit"
    asked: dict[str, Any] = {}

    def small(*functions: Any, models: int, **others: Any) -> md.Report:
        asked.update(models=models)
        return whole(*functions, models=60, **others, **SMALL)

    monkeypatch.setattr(md, "compare", small, raising=False)
    monkeypatch.setattr(in_process, here)
    monkeypatch.setattr(
        "modeldiff_core.experiments.compare.experiment.render",
        lambda facts: {"index.html": b"", "study.json": json.dumps(facts.config, default=str).encode()},
    )
    exec(compile(blocks["compare.py"], "compare.py", "exec"), {"__name__": "__main__"})
    assert asked == {"models": 150}
    said = capsys.readouterr().out.splitlines()
    assert said[-1].startswith("Report: file://")
    assert len(list(tmp_path.glob("runs/comparisons/*/report/index.html"))) == 1


def here(algorithms: Any, store: Any, execution: Any, workers: Any) -> Any:
    """Carry steps out in this process, whatever could be done elsewhere."""
    from contextlib import nullcontext

    from modeldiff_core.plan import InProcess
    from modeldiff_core.stages.rehearsal import rehearse_here

    return nullcontext((InProcess(store, execution), rehearse_here))


def test_notebooks_are_shown_as_they_were_run() -> None:
    names = notebooks.names()
    assert names == sorted(path.stem for path in notebooks.SHOWN.glob("*.ipynb"))
    assert len(names) >= 2
    for name in names:
        source, shown = (nbformat.read(folder / f"{name}.ipynb", 4) for folder in (notebooks.SOURCES, notebooks.SHOWN))
        assert notebooks.cells(source) == notebooks.cells(shown), f"python -m harness.pages.notebooks {name}"
        outputs = [one for cell in shown.cells if cell.cell_type == "code" for one in cell.outputs]
        assert any("image/png" in one.get("data", {}) for one in outputs)
        assert not any(one.output_type == "error" for one in outputs)


@pytest.mark.nightly
@pytest.mark.parametrize("name", notebooks.names())
def test_a_notebook_runs_and_gives_what_is_shown(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    shown = nbformat.read(notebooks.SHOWN / f"{name}.ipynb", 4)
    found = notebooks.executed(name, tmp_path)
    assert notebooks.cells(found) == notebooks.cells(shown)
    kinds = [
        [[one.output_type for one in cell.outputs] for cell in book.cells if cell.cell_type == "code"]
        for book in (found, shown)
    ]
    assert kinds[0] == kinds[1]
