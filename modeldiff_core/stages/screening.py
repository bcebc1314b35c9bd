"""Which models of a matrix are left out or named, as its record holds it, and the sentences about them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from modeldiff_core.margins import OUTPUTS
from modeldiff_core.margins.distinct import FEW, Distinct
from modeldiff_core.margins.screening import Screened, Screening, sample_of, screen
from modeldiff_core.store import MarginMatrix
from modeldiff_core.study import StudyConfig, Training

VERSION = 1
MIXED = 20.0
"""Times by which the tenth and the ninetieth percentile of reaches differ where models are of two kinds.

Of one target with normal margins around zero it is 13, of more targets less.
"""
FEW_MODELS = 20
"""Models from which on tenths of them are compared."""
RANGES = 4
"""Most ranges of rows that a sentence names."""
DESCRIBED = 5
"""Most models whose measures are kept of each kind."""
REASONS = {
    "unfinished": ("was never written", "were never written"),
    "copies": ("is an exact copy of an earlier one", "are exact copies of earlier ones"),
    "wild": ("cannot be a model among the others", "cannot be models among the others"),
    "strange": ("stands out from the others", "stand out from the others"),
}
"""Why a model is left out, and several are, in the order in which they are reported."""
UNDEFINED = {"always_in": "left in by every model", "never_in": "left out by every model"}
"""Training examples that do not vary, in words."""


@dataclass(frozen=True)
class ScreeningOf:
    """How the models of a matrix are screened.

    Attributes:
        asked: What becomes of models that stand out.
        output: Name of the output that was recorded, which says when a prediction is right.
        classes: Number of classes, for the accuracy of chance; 0 if unknown.
    """

    asked: Screening
    output: str
    classes: int

    @classmethod
    def of(cls, study: StudyConfig, training: Training) -> "ScreeningOf":
        """Return how one of a study's trainings is screened."""
        return cls(study.screening, training.output, len(training.load().classes))

    def judge(self, margins: np.ndarray, finite: Bool[np.ndarray, " models"]) -> Screened:
        """Return the verdicts on some models."""
        right_above = OUTPUTS.get(self.output).right_above
        return screen(margins, finite, right_above=right_above, classes=self.classes)


def screen_matrix(matrix: MarginMatrix, screening: ScreeningOf) -> dict[str, Any]:
    """Return the fields of a matrix's record that say which of its models are left out, and which stand out.

    All margins are read.
    """
    finite = np.ones(matrix.record["models"], dtype=bool)
    finite[matrix.record["diverged"]] = False
    margins = matrix.margins()
    found = screening.judge(margins, finite)
    out = found.left_out(screening.asked)
    facts = screening_facts({"wild": out & found.wild, "strange": out & ~found.wild}, found)
    if chosen := screening.asked.choices():
        facts["screening"]["choices"] = chosen
    facts["screening"] |= distinct_facts(margins[sample_of(np.flatnonzero(finite))])
    return facts


def record_of(matrix: MarginMatrix, screening: ScreeningOf) -> dict[str, Any]:
    """Return the record of a matrix; of one that was made before models were screened, with those named that stand out.

    Nothing of such a matrix is left out: its record, which decides what is used, stays as it is. All margins are read.
    """
    if "screening" in matrix.record:
        return dict(matrix.record)
    finite = np.ones(matrix.record["models"], dtype=bool)
    finite[[*matrix.record.get("diverged", ()), *matrix.record.get("left_out", ())]] = False
    found = screening_facts({}, screening.judge(matrix.margins(), finite))
    if found["screening"]["named"]:
        found["screening"]["unscreened"] = True
    return {**matrix.record, **found}


def full_model_sentences(name: str, margins: Float[np.ndarray, "models targets"], classes: int) -> list[str]:
    """Return which models trained on all data stand out, in sentences; none is ever left out.

    Args:
        name: Of the algorithm.
        margins: Of the correct class; finite, since a model that is not fails its shard.
        classes: Number of classes, for the accuracy of chance.
    """
    found = screen(margins, np.ones(len(margins), dtype=bool), classes=classes)
    facts = screening_facts({}, found)["screening"]
    rows = facts["named"]
    if not rows:
        return []
    words = "stands out from the others and counts" if len(rows) == 1 else "stand out from the others and count"
    return [
        f"{len(rows):,} of {len(margins):,} models of {name} trained on all data {words} "
        f"({ranges(rows, 'model')}{_measured(facts, rows)}): look at plain differences and effects with that in mind."
    ]


def screening_facts(reasons: Mapping[str, Bool[np.ndarray, " models"]], found: Screened) -> dict[str, Any]:
    """Return ``left_out`` and ``screening`` of a record: rows by reason, those that are named only, and some measures.

    reasons: rows that are left out, by a key of REASONS; a row is listed under one of them.
    """
    out = np.logical_or.reduce([np.zeros(len(found.wild), dtype=bool), *reasons.values()])
    named = (found.wild | found.strange) & ~out
    screening = {
        "version": VERSION,
        "left_out": {reason: np.flatnonzero(rows).tolist() for reason, rows in reasons.items() if rows.any()},
        "named": np.flatnonzero(named).tolist(),
        "measured": found.reasons(_extreme(found, named | (out & (found.wild | found.strange)))),
    }
    if mixed := _mixed(found.reach[~out]):
        screening["mixed"] = mixed
    return {
        **({"left_out": np.flatnonzero(out).tolist()} if out.any() else {}),
        "screening": screening,
    }


def _mixed(reach: Float[np.ndarray, " models"]) -> list[float]:
    """Return the tenth and the ninetieth percentile of reaches if they are further apart than models ever are."""
    if len(reach) < FEW_MODELS:
        return []
    low, high = np.quantile(reach, (0.1, 0.9))
    return [float(f"{low:.3g}"), float(f"{high:.3g}")] if high > MIXED * low else []


def distinct_facts(sample: np.ndarray) -> dict[str, Any]:
    """Return ``distinct`` of a screening where margins take few values or many are equal."""
    found = Distinct.of(sample)
    return {} if found is None else {"distinct": asdict(found)}


def undefined_examples(records: Iterable[Mapping[str, Any]]) -> tuple[int, ...]:
    """Return the training examples that all models of some matrix have, or none: what they matter cannot be told."""
    found = (record.get("screening", {}).get(field, ()) for record in records for field in UNDEFINED)
    return tuple(sorted({int(example) for examples in found for example in examples}))


def screening_sentences(name: str, record: Mapping[str, Any]) -> list[str]:
    """Return what to report of a matrix's models: how many are left out and why, which stand out, what is constant.

    name: of the algorithm. record: of the matrix; nothing is said of one that was not screened.
    """
    screening: Mapping[str, Any] = record.get("screening", {})
    if not screening:
        return []
    return [*_about_models(name, record["models"], screening), *_about_values(name, screening)]


def _about_models(name: str, models: int, screening: Mapping[str, Any]) -> list[str]:
    said = []
    for reason, (one, several) in REASONS.items():
        if rows := screening["left_out"].get(reason):
            words = f"{one} and is" if len(rows) == 1 else f"{several} and are"
            said.append(
                f"{len(rows):,} of {models:,} models of {name} {words} left out ({ranges(rows, 'model')}"
                f"{_measured(screening, rows)}), from exchanges with the other algorithm's of the same number."
            )
    if rows := screening["named"]:
        words = "stands out from the others and is" if len(rows) == 1 else "stand out from the others and are"
        said.append(
            f"{len(rows):,} of {models:,} models of {name} {words} kept ({ranges(rows, 'model')}"
            f"{_measured(screening, rows)})."
        )
    if mixed := screening.get("mixed"):
        said.append(
            f"Models of {name} are of very different sizes: of a tenth margins are below {mixed[0]:g} times the usual, "
            f"of another tenth above {mixed[1]:g} times. Were all of them trained, and their outputs recorded, alike?"
        )
    if screening.get("unscreened"):
        said.append(
            f"The margins of {name} were gathered or adopted before models were screened, so none of these is left "
            "out: remove them from the store, or take another store.root, and they are gathered again, and screened."
        )
    said += [f"Of the files of {name}: {note}." for note in screening.get("notes", ())]
    return said


def _about_values(name: str, screening: Mapping[str, Any]) -> list[str]:
    said = []
    repeated = screening.get("repeated", 0) - len(screening["left_out"].get("copies", ()))
    if repeated > 0:
        said.append(
            f"{repeated:,} rows of {name} have the mask of an earlier row: models of one mask are kept together in "
            "halves, folds, exchanges and bootstraps."
        )
    for field, words in UNDEFINED.items():
        if rows := screening.get(field):
            one = len(rows) == 1
            said.append(
                f"{len(rows):,} training example{'' if one else 's'} of {name} ({ranges(rows, 'example')}) "
                f"{'is' if one else 'are'} {words}: the weight of {'it' if one else 'them'} is undefined."
            )
    if rows := screening.get("constant_targets"):
        many = f"{len(rows):,} target{'s' if len(rows) > 1 else ''} ({ranges(rows, 'target')})"
        said.append(f"The margins of {many} are the same for all models of {name}: no training example explains them.")
    if screening.get("turned"):
        said.append(
            f"The masks of {name} are square, every training example is left in by as many models, and subsets differ "
            "in size: are they turned, [train, models]?"
        )
    if distinct := screening.get("distinct"):
        few = distinct["values"] <= FEW
        said.append(
            f"Margins of {name} take {'few values' if few else 'one value often'}: {distinct['values']:,} distinct in "
            f"a sample, and {100 * distinct['share']:.0f} % of it is {'' if distinct['most'] == 0 else '±'}"
            f"{distinct['most']:.4g}. Probabilities that saturate, and counts of few leaves or neighbors, leave "
            "datamodels little to explain."
        )
    return said


def ranges(rows: Iterable[int], word: str = "row") -> str:
    """Return numbers in words: 'row 7', 'rows 3, 9 to 12 and 40', at most RANGES of them."""
    found = runs(sorted(rows))
    parts = [f"{first:,}" if first == last else f"{first:,} to {last:,}" for first, last in found[:RANGES]]
    if len(found) > RANGES:
        parts.append(f"{sum(last - first + 1 for first, last in found[RANGES:]):,} more")
    listed = parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
    return f"{word}{'s' if len(found) > 1 or found[0][0] != found[0][1] else ''} {listed}"


def runs(rows: Sequence[int]) -> list[tuple[int, int]]:
    """Return first and last of each run of consecutive numbers."""
    found: list[tuple[int, int]] = []
    for row in rows:
        if found and row == found[-1][1] + 1:
            found[-1] = found[-1][0], row
        else:
            found.append((row, row))
    return found


def _extreme(found: Screened, chosen: Bool[np.ndarray, " models"]) -> np.ndarray:
    """Return the most extreme of some models by reach, at most DESCRIBED from either end."""
    rows = np.flatnonzero(chosen)
    order = rows[np.argsort(found.reach[rows], kind="stable")]
    return np.unique(np.concatenate([order[:DESCRIBED], order[len(order) - min(len(order), DESCRIBED) :]]))


def _measured(screening: Mapping[str, Any], rows: Sequence[int]) -> str:
    """Return what was measured of the most extreme of some models, in words."""
    chosen = [one for one in screening["measured"] if one["model"] in set(rows)]
    if not chosen:
        return ""
    furthest = max(chosen, key=lambda one: abs(np.log(max(one["times"], 1e-12))))
    size = f"margins {furthest['times']:.3g} times as large as usual" if furthest["times"] else "all margins zero"
    accuracy = "" if furthest["accuracy"] is None else f", accuracy {furthest['accuracy']:.2f}"
    which = "" if len(rows) == 1 else f" of model {furthest['model']:,}"
    return f"; {size}{accuracy}{which}"
