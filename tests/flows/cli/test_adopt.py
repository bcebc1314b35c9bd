"""``modeldiff adopt``, ``export`` and ``compare-adopted`` as a user gives them, in this process."""

import json
from pathlib import Path

import numpy as np
import pytest

from harness.commands import Commands
from modeldiff_platform.flows.cli import main

DATASET = ("dataset=digits", "dataset.n_train=100", "dataset.n_test=40")
QUICK = (
    "regression.n_lambdas=3",
    "comparison.components=2",
    "comparison.permutations=2",
    "evaluation_models=20",
    "runner.workers=1",
)


@pytest.fixture(autouse=True)
def server(commands: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs of this process are recorded by the server of the session's commands."""
    monkeypatch.setenv("MODELDIFF_HOME", commands.environment["MODELDIFF_HOME"])


def pair(folder: Path, seed: int) -> dict[str, Path]:
    """Margins of 120 models of digits that two training examples a target decide."""
    rng = np.random.default_rng(seed)
    masks = rng.random((120, 100)) < 0.5
    margins = masks[:, :30] * 2.0 - masks[:, 30:60] + rng.normal(size=(120, 30)) + 1
    folder.mkdir()
    np.save(folder / "masks.npy", masks)
    np.save(folder / "margins.npy", margins.astype(np.float32))
    np.save(folder / "_completed.npy", np.ones(120, dtype=bool))
    return {"masks": folder / "masks.npy", "margins": folder / "margins.npy"}


def out(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> list[str]:
    assert main(arguments) == code, capsys.readouterr()
    told = capsys.readouterr()
    return (told.err if code else told.out).splitlines()


def test_margins_in_compared_with_a_report_and_out_again(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    store = f"store.root={tmp_path / 'store'}"
    files = pair(tmp_path / "a", 1)
    pair(tmp_path / "b", 2)
    first = out(
        capsys, "adopt", "name=first", f"masks={files['masks']}", f"margins={files['margins']}", *DATASET, store
    )
    second = out(capsys, "adopt", "name=second", f"folder={tmp_path / 'b'}", *DATASET, store)
    assert first[0] == "first: margins of 120 models, 100 training examples, 30 targets"
    assert first[1].startswith("trainings/digits.adopted-")
    assert first[1] != second[1]
    asked = ("compare-adopted", "name=both", f"a={first[1]}", f"b={second[1]}", *QUICK, *DATASET, store)
    lines = out(capsys, *asked)
    (folder,) = (tmp_path / "store/comparisons").glob("both-*")
    assert lines[-3:] == [
        f"Summary: file://{folder}/summary.json",
        f"Table: file://{folder}/directions.csv",
        f"Report: file://{folder}/report/index.html",
    ]
    summary = json.loads((folder / "summary.json").read_text())
    assert lines[0].split() == ["images", "train", "test"], "the table of the data comes first"
    (served,) = (at for at, line in enumerate(lines) if line.startswith("Prefect UI: http://127.0.0.1:"))
    assert lines[served + 1 : -3] == summary["findings"]
    assert summary["lds"]["a"]["mean"] > 0.2
    page = (folder / "report/index.html").read_text()
    assert "first" in page
    assert "modeldiff compare-adopted study=study.json" in page
    assert out(capsys, "compare-adopted", f"study={folder}/report/study.json", store) == lines, "every setting is in it"
    assert out(capsys, "verify-adopted", f"study={folder}/report/study.json", store)[-1] == "everything is sound"
    assert "<strong>Effects.</strong>" not in page
    assert "No transformation was tested in this study." in page
    out(capsys, "export", f"key={first[1]}", f"to={tmp_path / 'again'}", store)
    for name in ("masks", "margins", "_completed"):
        assert (tmp_path / "again" / f"{name}.npy").read_bytes() == (tmp_path / "a" / f"{name}.npy").read_bytes()
    key = json.loads((folder / "study.json").read_text())["sources"]["a"]
    assert key == first[1]


def test_attributions_in_and_compared(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    store = f"store.root={tmp_path / 'store'}"
    keys = []
    for seed in (1, 2):
        np.save(tmp_path / "scores.npy", np.random.default_rng(seed).normal(size=(30, 100)).astype(np.float32))
        asked = ("adopt", f"name=n{seed}", f"scores={tmp_path / 'scores.npy'}", store)
        refused = out(capsys, *asked, code=2)
        assert refused[0].startswith("modeldiff: orientation: expected targets_train or train_targets")
        keys.append(out(capsys, *asked, "orientation=targets_train")[1])
    lines = out(
        capsys, "compare-adopted", f"a={keys[0]}", f"b={keys[1]}", "comparison.components=2", "runner.workers=1", store
    )
    assert "were not tested against chance" in lines[1]
    (folder,) = (tmp_path / "store/comparisons").glob("adopted-*")
    assert lines[-1] == f"Report: file://{folder}/report/index.html"
    assert sorted(path.name for path in folder.iterdir()) == ["directions.csv", "report", "study.json", "summary.json"]
    assert {d["null_p"] for d in json.loads((folder / "summary.json").read_text())["directions"]} == {1.0}
    out(capsys, "export", f"key={keys[1]}", f"to={tmp_path / 'again.npy'}", store)
    assert (tmp_path / "again.npy").read_bytes() == (tmp_path / "scores.npy").read_bytes()


@pytest.mark.parametrize("kind", [pytest.param("margins", marks=pytest.mark.nightly), "scores"])
def test_a_comparison_of_adopted_results_is_verified_and_repaired(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, kind: str
) -> None:
    store, root = f"store.root={tmp_path / 'store'}", tmp_path / "store"
    adopts, keys = [], []
    for seed in (1, 2):
        if kind == "margins":
            pair(tmp_path / f"{seed}", seed)
            adopts.append(("adopt", f"name=n{seed}", f"folder={tmp_path / str(seed)}", store))
        else:
            np.save(tmp_path / f"{seed}.npy", np.random.default_rng(seed).normal(size=(30, 100)))
            adopts.append(
                ("adopt", f"name=n{seed}", f"scores={tmp_path}/{seed}.npy", "orientation=targets_train", store)
            )
        keys.append(out(capsys, *adopts[-1])[1])
    (tmp_path / "targets.csv").write_text("label\n" + "0\n1\n" * 15)
    settings = (
        QUICK
        if kind == "margins"
        else ("comparison.components=2", f"targets.table={tmp_path}/targets.csv", "runner.workers=1")
    )
    asked = (f"a={keys[0]}", f"b={keys[1]}", *settings, store)
    out(capsys, "compare-adopted", *asked)
    assert out(capsys, "verify-adopted", *asked)[-1] == "everything is sound"

    patterns = ["comparisons/directions-*", "comparisons/subpopulations-*", "comparisons/adopted-*/*.*"]
    if kind == "margins":
        patterns += ["trainings/*/scores-*.json", "comparisons/null-*/*", "trainings/*/datamodels-*/*"]
    found = (path for pattern in patterns for path in root.glob(pattern))
    made = sorted(path for path in found if not path.name.endswith(".time.json"))  # how long it took is no result
    assert len(made) == 4 + (4 if kind == "scores" else 2 + 1 + 6 * 2)
    for path in made:
        whole = path.read_bytes()
        path.write_bytes(whole[:-3] + bytes([whole[-3] ^ 1]) + whole[-2:])
        assert main(("verify-adopted", *asked)) == 1
        assert f"damaged  file://{path}: " in capsys.readouterr().out
        path.write_bytes(whole)
    (root / "comparisons" / "notes.txt").write_text("of someone else")
    stray = next(root.glob("comparisons/adopted-*")) / "notes.txt"
    stray.write_text("mine")
    made[0].write_bytes(b"")
    assert main(("verify-adopted", *asked, "--repair")) == 1
    told = capsys.readouterr()
    assert f"removed  file://{made[0]}" in told.out
    assert f"removed  file://{stray}" in told.out
    assert "modeldiff compare-adopted a=" in told.err
    out(capsys, "compare-adopted", *asked)
    assert out(capsys, "verify-adopted", *asked)[-1] == "everything is sound"

    end = "margins/c/0/0" if kind == "margins" else "datamodels-*/targets-*"
    adopted = next(root.glob(f"{keys[0].rsplit('/', 1)[0]}/*{end}" if kind == "scores" else f"{keys[0]}.*/{end}"))
    adopted.write_bytes(adopted.read_bytes()[:-1] + b"!")
    assert main(("verify-adopted", *asked, "--repair")) == 1
    told = capsys.readouterr()
    assert "damaged  file://" in told.out
    assert "does not match its checksum" in told.out or "do not match its checksum" in told.out
    assert "adopting it again: modeldiff adopt" in told.err
    assert out(capsys, *adopts[0])[1] == keys[0]
    main(("verify-adopted", *asked, "--repair"))  # arrays that were damaged are strays now
    capsys.readouterr()
    assert out(capsys, "verify-adopted", *asked)[-1] == "everything is sound"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("adopt", "scores=x.npy"), "name: expected a value"),
        (("adopt", "name=x"), "folder, masks, margins, scores: expected"),
        (("adopt", "name=x", "scores=none.npy"), "scores: expected an existing file, got 'none.npy'"),
        (("adopt", "name=x", "nonsense=1"), "nonsense"),
        (("adopt", "name=x", "scores=x.npy", "orientation=upright"), "orientation: expected"),
        (("export", "key=trainings/none", "to=out"), "key: expected the key of one matrix of margins or of datamodels"),
        (("compare-adopted", "a=x"), "b: expected a value"),
        (("compare-adopted", "a=x", "b=y", "comparison.components=0"), "comparison.components: expected"),
    ],
)
def test_what_is_wrong_is_said_with_its_key(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    told = out(capsys, *arguments, f"store.root={tmp_path / 'store'}", code=2)
    assert len(told) == 1
    assert words in told[0]
    assert not list(tmp_path.glob("store/trainings/*"))
