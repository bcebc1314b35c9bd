"""Run the rows of benchmarks/nulls.py through the contrast with held slopes, which no study takes.

    python -m benchmarks.held_nulls [--rows ROW ...] [--first 45000] [--studies 100] [--out FILE] [--table]

Slopes outside the leading direction are those of cleared margins there, drawn towards one multiple (`Contrast.held`).
Rules, studies and table are those of benchmarks/nulls.py, with seeds not looked at before. A row of 100 null studies
passes with at most 9 alarms (a test of exactly 5 % fails that with probability .03).
"""

from functools import partial
from pathlib import Path

from benchmarks.nulls import ROWS, study, table
from harness.batteries import Battery

BATTERY = Battery(
    "Null studies and planted ones, held slopes.", list(ROWS), 100, Path("held.jsonl"), partial(study, held=True), table
)


if __name__ == "__main__":
    BATTERY.main()
