"""How a wave is shown: lines in a file while it goes on, and numbers on a terminal of any width."""

import io
import re
import time

import pytest
from rich.console import Console

from modeldiff_core.plan import Cost, Label, Reference, Step, Tally, Wave
from modeldiff_core.plan.products import Record
from modeldiff_platform.flows.prefect_api import progress
from modeldiff_platform.flows.prefect_api.progress import bar, lines


def shards(count: int) -> list[Step]:
    def stage(store: object, spec: object) -> None:
        raise AssertionError("nothing is carried out here")

    label = Label("subsets", "train", (), "models")
    made = [Record(Reference(f"shard-{index}", "digest", f"shard-{index}")) for index in range(count)]
    return [Step(f"shard {i}", one, stage, i, (), label, Cost(1.0, units=50)) for i, one in enumerate(made)]


def wave(count: int) -> tuple[Tally, list[Step]]:
    steps = shards(count)
    return Tally(Wave("training", tuple(steps), noun="shards"), (), steps), steps


@pytest.mark.parametrize(("columns", "drawn"), [(40, False), (60, False), (80, True), (200, True)])
def test_a_terminal_of_any_width_shows_the_numbers(columns: int, drawn: bool) -> None:
    tally, steps = wave(8)
    out = io.StringIO()
    with bar(tally, Console(file=out, width=columns, force_terminal=True, color_system=None)) as show:
        for step in steps[:4]:
            time.sleep(0.001)
            tally.advance(step)
            show(step)
    last = [line for line in re.split("[\r\n]", out.getvalue()) if "training" in line][-1]
    assert "training" in last
    assert "200/400" in last
    assert re.search(r"\d s", last), "the time that is left"
    assert ("━" in last) == drawn


def test_a_file_gets_lines_while_a_stage_goes_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "LINE_EVERY", 0.05)
    tally, steps = wave(8)
    said = ""
    with lines(tally) as show:
        assert capsys.readouterr().err == "training: 0 of 400 models\n"
        tally.advance(steps[0])
        show(steps[0])
        deadline = time.monotonic() + 60
        while "s so far" not in said and time.monotonic() < deadline:
            time.sleep(0.01)
            said += capsys.readouterr().err
    assert re.match(r"training: 50 of 400 models, about \d+ s left, \d+ models a minute, \d+ s so far\n", said)
    assert re.search(r"^training: 50 of 400 models.*, in \d+ s$", said + capsys.readouterr().err, re.MULTILINE)
