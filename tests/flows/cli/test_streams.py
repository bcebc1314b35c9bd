"""Standard output that is full, closed, read no more, or of an encoding that lacks letters; other odd surroundings."""

import io
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from harness.commands import Commands
from harness.small_studies import SMALL
from modeldiff_platform.flows.cli import VERBS, main
from modeldiff_platform.flows.cli.streams import Outlet, outlets
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

    monkeypatch.setattr("modeldiff_platform.flows.cli.implementation", lambda verb: fails)
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

from modeldiff_platform.flows.cli import main

def output(target):
    if target == "closed":
        os.close(1)
        sys.stdout = None
        return
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
    if sys.stdout is not None:
        sys.stdout.close()
json.dump(codes, open(os.path.join(folder, "codes.json"), "w"))
"""


def every_verb(root: Path, tmp_path: Path) -> dict[str, list[str]]:
    """Return the arguments of every verb, on one finished study, so that nothing is trained."""
    study = [*SMALL, f"store.root={root}"]
    (margins,) = [str(path.relative_to(root).with_suffix("")) for path in root.glob("trainings/*/margins-*.json")][:1]
    taken = ["name=größe − …", f"masks={tmp_path}/masks.npy", f"margins={tmp_path}/margins.npy"]
    return {
        "help": ["--help"],
        **{verb: [verb, *study] for verb in ("plan", "status", "report", "verify", "run", "compare")},
        "sweep": ["sweep", *study, "+sweep.algorithm_a.name=['größe × 2']"],
        "export": ["export", f"store.root={root}", f"key={margins}", f"to={tmp_path}/größe.npz"],
        "adopt": ["adopt", f"store.root={root}", *taken],
        "compare-adopted": ["compare-adopted", f"store.root={root}", "a=größe", "b=−"],
        "verify-adopted": ["verify-adopted", f"store.root={root}", "a=größe", "b=−"],
        "counterfactual": ["counterfactual", *study, "counterfactual.models=0"],
        "preview": ["preview", *study, "preview.trainings=0"],
        "remove": ["remove", *study],
        "deploy": ["deploy", *study, "deployment.pool=größe"],
        "retry": ["retry", "größe"],
        "ui": ["ui", "größe"],
        "data": ["data", "build", "dataset=digits", f"data.out={tmp_path}/größe"],
    }


WRONG = {"adopt", "compare-adopted", "verify-adopted", "counterfactual", "preview", "remove", "deploy", "retry", "ui"}
"""Verbs of which the arguments above are wrong requests."""
PROXIES = {
    "ALL_PROXY": "socks5://127.0.0.1:9",
    "HTTP_PROXY": "unknown://127.0.0.1:9",
    "http_proxy": "unknown://127.0.0.1:9",
    "NO_PROXY": "::1,fd00::/8,10.0.0.0/8",
    "no_proxy": "::1,fd00::/8,10.0.0.0/8",
}
ASCII = {"PYTHONIOENCODING": "ascii"}


@dataclass(frozen=True)
class Said:
    """What every verb did in some surroundings: exit codes, standard errors and outputs by name, and all of it."""

    codes: dict[str, int]
    errors: dict[str, str]
    outputs: dict[str, bytes]
    told: str


def carried_out(
    commands: Commands, asked: dict[str, tuple[str, list[str]]], odd: dict[str, str | None], folder: Path
) -> Said:
    """Carry out verbs in one process, with each its standard output: file, pipe without a reader, closed, or a path."""
    environment = {name: value for name, value in {**commands.environment, **odd}.items() if value is not None}
    done = subprocess.run(
        [sys.executable, "-c", EVERY_VERB, json.dumps(asked), str(folder)],
        env=environment,
        capture_output=True,
        stdin=subprocess.DEVNULL,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    said = {part.split("\n", 1)[0].strip(): part.split("\n", 1)[1] for part in done.stderr.split("== ")[1:]}
    outputs = {path.stem: path.read_bytes() for path in folder.glob("*.out")}
    told = done.stderr + b"".join(outputs.values()).decode("ascii")
    return Said(json.loads((folder / "codes.json").read_text()), said, outputs, told)


def check_refusals(said: Said) -> None:
    assert "Traceback" not in said.told
    for name in WRONG & said.errors.keys():
        assert said.errors[name].startswith("modeldiff: "), said.errors[name]
        assert len(said.errors[name].splitlines()) == 1, said.errors[name]


@pytest.mark.nightly
def test_every_verb_with_an_ascii_output_odd_proxies_and_forty_columns(
    commands: Commands, finished_run: FinishedRun, tmp_path: Path
) -> None:
    root = finished_run.copied(tmp_path / "größe, (1)")
    verbs = every_verb(root, tmp_path)
    asked = {name: ("file", arguments) for name, arguments in verbs.items()}
    assert asked.keys() - {"data", "help"} >= VERBS.keys()
    asked |= {
        "run": ("/dev/full", verbs["run"]),
        "compare": ("pipe", verbs["compare"]),
        "status full": ("/dev/full", verbs["status"]),
        "help full": ("/dev/full", verbs["help"]),
        "status read no more": ("pipe", verbs["status"]),
        "status closed": ("closed", verbs["status"]),
    }
    found = carried_out(commands, asked, {**PROXIES, **ASCII, "COLUMNS": "40"}, tmp_path)
    lost = {"run", "compare", "status full", "help full", "status read no more", "status closed"}
    assert found.codes == {name: 2 if name in WRONG else 1 if name in lost else 0 for name in asked}, found.told
    check_refusals(found)
    for name in found.outputs.keys() - WRONG - lost:
        assert found.outputs[name], name
    assert b"gr\\xf6\\xdfe, (1)" in found.outputs["status"]
    assert b"gr\\xf6\\xdfe\\ x\\ 2" in found.outputs["sweep"]
    for name, why in (
        ("run", "No space left on device"),
        ("compare", "Broken pipe"),
        ("status closed", "it is closed"),
    ):
        assert f"modeldiff: standard output takes no more ({why}): what is computed is kept" in found.errors[name]
    assert found.errors["status read no more"] == ""


SURROUNDINGS: dict[str, dict[str, str | None]] = {
    "proxies": PROXIES,
    "proxy of every scheme": {"ALL_PROXY": "socks4://127.0.0.1:9", "HTTPS_PROXY": "ftp://[::1]:9", "NO_PROXY": "*"},
    "a proxy that is no address": {"HTTP_PROXY": "nonsense", "http_proxy": "http://:::", "NO_PROXY": "fe80::1%eth0"},
    "forty columns": {"COLUMNS": "40", "LINES": "5", "TERM": "dumb"},
    "a bare terminal": {"TERM": None, "COLUMNS": "0", "NO_COLOR": "1"},
    "the C locale": {"LC_ALL": "C", "LANG": "C"},
    "a locale that there is not": {"LC_ALL": "xx_YY.UTF-8", "LANG": "xx"},
    "no home": {"HOME": None, "USER": None, "LOGNAME": None, "XDG_CACHE_HOME": None},
    "a home that is not there": {"HOME": "/nonexistent/größe"},
    "warnings as errors of others": {"PYTHONDEVMODE": "1", "PYTHONWARNINGS": "always"},
}


@pytest.mark.nightly
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("output", ["file", "/dev/full", "pipe", "closed"])
def test_every_verb_with_every_output(
    commands: Commands, finished_run: FinishedRun, tmp_path: Path, output: str
) -> None:
    root = finished_run.copied(tmp_path / "größe, (1)")
    asked = {name: (output, arguments) for name, arguments in every_verb(root, tmp_path).items()}
    found = carried_out(commands, asked, dict(ASCII), tmp_path)
    fine = 0 if output == "file" else 1
    assert found.codes == {name: 2 if name in WRONG else fine for name in asked}, found.told
    check_refusals(found)


@pytest.mark.nightly
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", SURROUNDINGS)
def test_every_verb_in_every_odd_surrounding(
    commands: Commands, finished_run: FinishedRun, tmp_path: Path, name: str
) -> None:
    """With standard output in ASCII, too."""
    root = finished_run.copied(tmp_path / "größe, (1)")
    asked = {verb: ("file", arguments) for verb, arguments in every_verb(root, tmp_path).items()}
    found = carried_out(commands, asked, {**SURROUNDINGS[name], **ASCII}, tmp_path)
    assert found.codes == {verb: 2 if verb in WRONG else 0 for verb in asked}, found.told
    assert "Traceback" not in found.told
    if "warnings" not in name:
        check_refusals(found)
    for verb in found.outputs.keys() - WRONG:
        assert found.outputs[verb], verb
