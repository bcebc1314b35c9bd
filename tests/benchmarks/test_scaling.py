"""A slice of the battery of planted scaling laws: one study a row keeps to the rules, and the table has their lines."""

import json
from pathlib import Path

from benchmarks.scaling import BATTERY, study, table


def test_one_study_of_each_row(tmp_path: Path) -> None:
    found = {name: study(name, 5000) for name in BATTERY.rows}
    assert found["exact"]["coefficients"] < 1e-3
    assert found["exact"]["falls"]
    low, high = found["noise .005"], found["noise .02"]
    assert low["held_rmse"] < 0.015
    assert low["s_off"] < 0.01
    assert high["s_off"] > low["s_off"] > 0
    assert high["e_flagged"]
    assert min(one["points"] for one in (low, high)) >= 15
    assert found["advice"]["reached"]
    assert found["advice"]["share"] < 0.6
    assert found["advice"]["uniform"] < found["advice"]["before"]
    out = tmp_path / "scaling.jsonl"
    out.write_text("".join(json.dumps(one) + "\n" for one in found.values()))
    lines = table(out).splitlines()
    assert [line.split(",")[0] for line in lines] == list(BATTERY.rows)
    assert "flagged in 100.0%" in lines[2]
