"""Check the verdict on a whole comparison where the truth is known: wrong answers, and whether told models decide.

    python -m benchmarks.verdicts [--first 7000] [--studies 100] [--out FILE] [--seconds S] [--table]

The rules, fixed before the run: of 400 studies, 100 of each row, at most 5 % of the verdicts are wrong: "different"
where all that differs is not above the margin, "equivalent" where it is not below. Of undecided studies to which a
number of models is told, 80 % or more are decided by a study of the same algorithms with so many models. Numbers
beyond MOST models are not tried, and are counted.

Studies are those of benchmarks.nulls with SIZE examples, targets and models; the margin of a study is one of MARGINS.
What truly differs is what the same masks and directions give with margins without noise (contrast_intervals).
Directions are tested with 39 draws. Seeds from (row, number), from 7000, not looked at before. One JSON line a study;
a run that was stopped goes on.
"""

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.contrast_intervals import SIZE, truth
from benchmarks.nulls import LEVEL, simulated
from harness.batteries import Battery, records
from harness.null_draws import against_null
from modeldiff_core.comparison.contrast_null import sequential_p
from modeldiff_core.comparison.effect_sizes import effect_sizes
from modeldiff_core.comparison.verdict import Verdict, verdict

ROWS = "identical", "tempered, own c, noise x 2", "planted in A, 0.15", "planted in A, 0.3"
MARGINS = 0.02, 0.05, 0.1, 0.2
DRAWS, MOST = 39, 5000


def judged(name: str, number: int, models: int, margin: float) -> tuple[Verdict, float]:
    """Return the verdict on one study with so many models of each, and what truly differs."""
    made = simulated(name, number, (*SIZE[:2], models))
    test = against_null(made.masks, made.margins, 3, DRAWS, number)
    values = [sequential_p(float(value), test.drawn) for value in test.found.eigenvalues]
    significant = np.flatnonzero(np.maximum.accumulate(values) <= LEVEL).tolist()
    sizes = effect_sizes(test.sample, test.fits, test.contrast, test.found).naming(len(significant))
    true = truth(made, test.sample, test.contrast, test.found, sizes)["total"]
    return verdict(sizes, significant, models, margin, LEVEL), true


def study(name: str, number: int) -> dict[str, Any]:
    """Return the verdict on one study, whether it is wrong, and whether the models that were told decide."""
    margin = MARGINS[number % len(MARGINS)]
    found, true = judged(name, number, SIZE[2], margin)
    wrong = (found.answer == "different" and true <= margin) or (found.answer == "equivalent" and true >= margin)
    decides = None
    if found.models is not None and found.models <= MOST:
        decides = judged(name, number, found.models, margin)[0].answer != "undecided"
    record = {"row": name, "study": number, "margin": margin, "true": round(true, 5), "answer": found.answer}
    return {**record, "wrong": wrong, "models": found.models, "decides": decides}


def table(out: Path) -> str:
    """Return a line for each row, and for all."""
    lines = [
        "| row | studies | different | equivalent | undecided | wrong | models told | tried | decide |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    found = list(records(out))
    for name in (*ROWS, "all"):
        own = [one for one in found if name in (one["row"], "all")]
        if not own:
            continue
        answers = [sum(one["answer"] == word for one in own) for word in ("different", "equivalent", "undecided")]
        told = sum(one["models"] is not None for one in own)
        tried = [one["decides"] for one in own if one["decides"] is not None]
        cells = (len(own), *answers, sum(one["wrong"] for one in own), told, len(tried), sum(tried))
        lines.append(f"| {name} | {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


BATTERY = Battery("The verdict on a whole comparison.", list(ROWS), 100, Path("verdicts.jsonl"), study, table)


if __name__ == "__main__":
    BATTERY.main()
