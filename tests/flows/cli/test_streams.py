"""Standard output that is full, closed, read no more, or of an encoding that lacks letters; other odd surroundings."""

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from flows.cli import VERBS, main
from flows.cli.streams import Outlet, outlets
from harness.commands import Commands
from harness.small_studies import SMALL
from tests.flows.conftest import FinishedRun


class Failing(io.StringIO):
    """A stream that fails from its second write on."""

    def __init__(self, error: OSError) -> None:
        super().__init__()
        self.error = error

    def write(self, text: str) -> int:
        if self.getvalue():
            raise self.error
        return super().write(text)


@pytest.mark.parametrize(
    ("encoding", "written"),
    [("ascii", b"20 x 3 - ...: gr\\xf6\\xdfe \\u65e5 \\xff\n"), ("utf-8", "20 × 3 − …: größe 日 \\xff\n".encode())],
)
def test_letters_that_an_encoding_lacks_are_spelled(encoding: str, written: bytes) -> None:
    raw = io.BytesIO()
    outlet = Outlet(io.TextIOWrapper(raw, encoding, newline="\n"))
    outlet.write("20 × 3 − …: größe 日 \udcff\n")
    outlet.flush()
    assert raw.getvalue() == written
    assert outlet.lost is None
    assert outlet.encoding == encoding


def test_a_stream_that_fails_is_left_alone_and_told_of_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    full = Failing(OSError(28, "No space left on device"))
    monkeypatch.setattr(sys, "stdout", full)
    with outlets() as out:
        for line in "first", "second", "third":
            print(line)
        assert isinstance(out.lost, OSError)
    assert full.getvalue() == "first", "print writes the end of the line by itself"
    assert sys.stdout is full
    said = capsys.readouterr().err
    assert said.count("standard output takes no more (No space left on device)") == said.count("\n") == 1


def test_an_error_that_nobody_foresaw_is_a_sentence_that_names_the_log(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def fails(*_: Any) -> int:
        raise ZeroDivisionError("by nothing")

    monkeypatch.setattr("flows.cli.implementation", lambda verb: fails)
    monkeypatch.setenv("MODELDIFF_HOME", str(tmp_path / "home"))
    assert main(["status"]) == 1
    (log,) = (tmp_path / "home" / "logs").iterdir()
    assert capsys.readouterr().err == f"modeldiff: ZeroDivisionError: by nothing\nThe rest is in {log}.\n"
    assert "in fails" in log.read_text()

    (tmp_path / "file").touch()
    monkeypatch.setenv("MODELDIFF_HOME", str(tmp_path / "file"))
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path / "file" / "below"))
    assert main(["status"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("modeldiff: ZeroDivisionError: by nothing (the traceback could not be written: ")
    assert "Traceback" not in said
    assert len(said.splitlines()) == 1


EVERY_VERB = """
import json, os, sys

from flows.cli import main

def output(target):
    number = os.open(target, os.O_WRONLY) if isinstance(target, str) else target
    os.dup2(number, 1)
    sys.stdout = open(1, "w", encoding="ascii", closefd=False)

asked, folder = json.loads(sys.argv[1]), sys.argv[2]
codes = {}
for name, (target, arguments) in asked.items():
    if target == "pipe":
        reader, target = os.pipe()
        os.close(reader)
    elif target == "file":
        target = os.open(os.path.join(folder, name + ".out"), os.O_WRONLY | os.O_CREAT)
    print("==", name, file=sys.stderr, flush=True)
    output(target)
    try:
        codes[name] = main(arguments)
    except SystemExit as end:
        codes[name] = end.code
    sys.stdout.close()
json.dump(codes, open(os.path.join(folder, "codes.json"), "w"))
"""


def test_every_verb_with_an_ascii_output_odd_proxies_and_forty_columns(
    commands: Commands, finished_run: FinishedRun, tmp_path: Path
) -> None:
    """All in one process, on one finished study, so that nothing is trained."""
    root = finished_run.copied(tmp_path / "größe, (1)")
    study = [*SMALL, f"store.root={root}"]
    (margins,) = [str(path.relative_to(root).with_suffix("")) for path in root.glob("trainings/*/margins-*.json")][:1]
    taken = ["name=größe − …", f"masks={tmp_path}/masks.npy", f"margins={tmp_path}/margins.npy"]
    asked: dict[str, tuple[str, list[str]]] = {
        "help": ("file", ["--help"]),
        **{verb: ("file", [verb, *study]) for verb in ("plan", "status", "report", "verify")},
        "sweep": ("file", ["sweep", *study, "+sweep.algorithm_a.name=['größe × 2']"]),
        "export": ("file", ["export", f"store.root={root}", f"key={margins}", f"to={tmp_path}/größe.npz"]),
        "adopt": ("file", ["adopt", f"store.root={root}", *taken]),
        "compare-adopted": ("file", ["compare-adopted", f"store.root={root}", "a=größe", "b=−"]),
        "verify-adopted": ("file", ["verify-adopted", f"store.root={root}", "a=größe", "b=−"]),
        "counterfactual": ("file", ["counterfactual", *study, "counterfactual.models=0"]),
        "preview": ("file", ["preview", *study, "preview.trainings=0"]),
        "remove": ("file", ["remove", *study]),
        "deploy": ("file", ["deploy", *study, "deployment.pool=größe"]),
        "retry": ("file", ["retry", "größe"]),
        "ui": ("file", ["ui", "größe"]),
        "data": ("file", ["data", "build", "dataset=digits", f"data.out={tmp_path}/größe"]),
        "run": ("/dev/full", ["run", *study]),
        "compare": ("pipe", ["compare", *study]),
        "status full": ("/dev/full", ["status", *study]),
        "help full": ("/dev/full", ["--help"]),
        "status read no more": ("pipe", ["status", *study]),
    }
    odd = {
        "ALL_PROXY": "socks5://127.0.0.1:9",
        "HTTP_PROXY": "unknown://127.0.0.1:9",
        "http_proxy": "unknown://127.0.0.1:9",
        "NO_PROXY": "::1,fd00::/8,10.0.0.0/8",
        "no_proxy": "::1,fd00::/8,10.0.0.0/8",
        "COLUMNS": "40",
        "PYTHONIOENCODING": "ascii",
    }
    done = subprocess.run(
        [sys.executable, "-c", EVERY_VERB, json.dumps(asked), str(tmp_path)],
        env={**commands.environment, **odd},
        capture_output=True,
        stdin=subprocess.DEVNULL,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    said = {part.split("\n", 1)[0].strip(): part.split("\n", 1)[1] for part in done.stderr.split("== ")[1:]}
    codes = json.loads((tmp_path / "codes.json").read_text())
    assert asked.keys() - {"data", "help"} >= VERBS.keys()
    wrong = {"adopt", "compare-adopted", "verify-adopted", "counterfactual", "preview", "remove"}
    wrong |= {"deploy", "retry", "ui"}
    lost = {"run", "compare", "status full", "help full", "status read no more"}
    assert codes == {name: 2 if name in wrong else 1 if name in lost else 0 for name in asked}, done.stderr
    outputs = {path.stem: path.read_bytes() for path in tmp_path.glob("*.out")}
    told = done.stderr + b"".join(outputs.values()).decode("ascii")
    assert "Traceback" not in told
    for name in wrong:
        assert said[name].startswith("modeldiff: "), said[name]
        assert len(said[name].splitlines()) == 1, said[name]
    for name in outputs.keys() - wrong - lost:
        assert outputs[name], name
    assert b"gr\\xf6\\xdfe, (1)" in outputs["status"]
    assert b"gr\\xf6\\xdfe\\ x\\ 2" in outputs["sweep"]
    for name, why in ("run", "No space left on device"), ("compare", "Broken pipe"):
        assert f"modeldiff: standard output takes no more ({why}): what is computed is kept" in said[name]
    assert said["status read no more"] == ""
