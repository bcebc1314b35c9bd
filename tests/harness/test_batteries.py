"""A battery that was stopped goes on where it was; a line that was cut off counts as no study."""

from pathlib import Path
from typing import Any

from harness.batteries import Battery, records


def test_what_is_finished_is_not_run_again(tmp_path: Path) -> None:
    asked: list[tuple[str, int]] = []

    def study(row: str, number: int) -> dict[str, Any]:
        asked.append((row, number))
        return {"row": row, "study": number}

    out = tmp_path / "battery.jsonl"
    battery = Battery("Rows.", ("a", "b"), 2, out, study, lambda path: str(len(list(records(path)))))
    battery.run(("a", "b"), range(1), out)
    assert asked == [("a", 0), ("b", 0)]
    with out.open("a") as file:
        file.write('{"row": "a", "stu')
    assert [one["row"] for one in records(out)] == ["a", "b"]
    out.write_text("".join(f"{line}\n" for line in out.read_text().splitlines()[:2]))
    battery.main(["--first", "0", "--studies", "2"])
    assert asked[2:] == [("a", 1), ("b", 1)]
    battery.run(("a",), range(2, 9), out, seconds=-1.0)
    assert len(asked) == 4, "no time was left"
