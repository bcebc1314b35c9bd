"""What is odd about adopted masks and margins is found, named and counted, and the planted direction with it."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from modeldiff_core.errors import ConfigError
from modeldiff_core.experiments.adopted.adopt import adopt
from modeldiff_core.experiments.adopted.export import export
from modeldiff_core.experiments.adopted.stored import find_stored
from modeldiff_core.stages.screening import screening_sentences
from modeldiff_core.store import MarginMatrix, ObjectStore, read_tensors
from modeldiff_core.study.adopted import Adoption, Export
from tests.modeldiff_core.experiments.adopted import oddities, running
from tests.modeldiff_core.experiments.adopted.oddities import (
    MODELS,
    TARGETS,
    TRAIN,
    WILD,
    changed,
    direction,
    filled,
    same,
    save,
    save_zarr,
    times,
    unwritten,
    world,
)
from tests.modeldiff_core.stages.studies import local

THIRD = f"rows {MODELS * 2 // 3} to {MODELS - 1}"
SETTINGS: dict[str, Any] = {
    "name": "odd",
    "evaluation_models": 30,
    "regression": {"n_lambdas": 4},
    "comparison": {"components": 2, "permutations": 12, "top": 4, "significance": 0.1},
}


@pytest.fixture(scope="module")
def sides() -> oddities.Sides:
    return world()


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    return local(tmp_path / "store")


def taken(store: ObjectStore, files: dict[str, str], name: str = "theirs", **asked: Any) -> str:
    return adopt(store, Adoption.model_validate({"name": name, **files, **asked})).key


def said(store: ObjectStore, key: str) -> list[str]:
    found = find_stored(store, key, "a")
    return screening_sentences(found.name, found.record)


def compared(store: ObjectStore, made: oddities.Sides, at: Path, **asked: Any) -> tuple[dict[str, Any], float]:
    """The summary, and the cosine of A's first direction and the planted one."""
    keys = {side: taken(store, save(at / side, *pair), side.upper(), **asked) for side, pair in made.items()}
    comparison, summary = running.summarized(store, {**SETTINGS, **keys})
    first = read_tensors(store, comparison.directions.record).arrays["a-b.directions"][0]
    return summary, float(abs(first @ direction()))


def is_found(summary: dict[str, Any], cosine: float) -> bool:
    """Whether A's first direction is the planted one and significant, and no other is."""
    significant = [(d["side"], d["index"]) for d in summary["directions"] if d["significant"]]
    return cosine > 0.85 and significant == [("a-b", 0)]


def test_nothing_is_said_of_what_is_not_odd(store: ObjectStore, sides: oddities.Sides, tmp_path: Path) -> None:
    summary, cosine = compared(store, sides, tmp_path)
    assert is_found(summary, cosine)
    assert len(summary["findings"]) == 3
    assert [summary["algorithms"][side]["left_out"] for side in "ab"] == [0, 0]


UNWRITTEN = {
    "both": (unwritten, unwritten, "masks of zeros alone"),
    "margins": (same, unwritten, "margins of zeros alone"),
    "masks": (unwritten, same, "masks of zeros alone"),
    "filled with nan": (same, filled(np.nan), "margins none of which is finite"),
    "filled with a number": (same, filled(-1), "margins of one number alone"),
    "filled with a large number": (same, filled(9.96921e36), "margins of one number alone, above 1"),
}


@pytest.mark.parametrize("kind", UNWRITTEN)
def test_rows_that_were_never_written_are_named_and_refused(
    store: ObjectStore, sides: oddities.Sides, tmp_path: Path, kind: str
) -> None:
    masks, margins, reason = UNWRITTEN[kind]
    files = save(tmp_path, *changed(sides, masks, margins)["a"])
    with pytest.raises(ConfigError) as caught:
        taken(store, files)
    for words in (f"{MODELS // 3} of {MODELS} rows", THIRD, reason, "unfinished=leave_out"):
        assert words in str(caught.value)
    assert not store.sizes("trainings"), "nothing was written"
    key = taken(store, files, unfinished="leave_out")
    matrix = MarginMatrix.open(store, key)
    assert np.flatnonzero(~matrix.valid()).tolist() == list(range(MODELS * 2 // 3, MODELS))
    (count, note) = said(store, key)
    assert f"{MODELS // 3} of {MODELS} models of theirs were never written and are left out" in count
    assert THIRD in note
    assert reason in note


@pytest.mark.parametrize(("fill", "chunks"), [(0.0, (80, TRAIN)), (np.nan, (80, TRAIN)), (7.0, (20, 10))])
def test_chunks_of_zarr_arrays_that_are_not_there(
    store: ObjectStore, sides: oddities.Sides, tmp_path: Path, fill: float, chunks: tuple[int, int]
) -> None:
    files = save_zarr(tmp_path, *sides["a"], fill, chunks)
    with pytest.raises(ConfigError, match=THIRD):
        taken(store, files)
    key = taken(store, files, unfinished="leave_out")
    assert MarginMatrix.open(store, key).valid().sum() == MODELS * 2 // 3


def test_a_chunk_that_is_missing_in_the_middle_of_rows(
    store: ObjectStore, sides: oddities.Sides, tmp_path: Path
) -> None:
    """Its rows have other values beside the fill value, so only the format can tell."""
    masks, margins = sides["a"]
    files = save(tmp_path, masks, margins)
    made: Any = zarr.create_array(tmp_path / "margins.zarr", shape=margins.shape, chunks=(40, 8), dtype=np.float32)
    made[:] = margins
    (chunk,) = tmp_path.glob("margins.zarr/c/2/1")
    chunk.unlink()
    with pytest.raises(ConfigError, match=r"rows 80 to 119 \(parts that were never written\)"):
        taken(store, {**files, "margins": str(tmp_path / "margins.zarr")})


def test_masks_of_few_entries_a_chunk_may_lack_chunks(
    store: ObjectStore, sides: oddities.Sides, tmp_path: Path
) -> None:
    """zarr does not write chunks that hold nothing but the fill value, which four entries of a mask may well do."""
    masks, margins = (array[:60] for array in sides["a"])
    made: Any = zarr.create_array(tmp_path / "masks.zarr", shape=masks.shape, chunks=(1, 4), dtype=bool)
    made[:] = masks
    assert len(list(tmp_path.glob("masks.zarr/c/*/*"))) < 60 * TRAIN // 4
    files = {**save(tmp_path, masks, margins), "masks": str(tmp_path / "masks.zarr")}
    assert said(store, taken(store, files)) == []


def test_unfinished_rows_may_be_kept(store: ObjectStore, sides: oddities.Sides, tmp_path: Path) -> None:
    files = save(tmp_path, *changed(sides, unwritten, same)["a"])
    assert MarginMatrix.open(store, taken(store, files, unfinished="keep")).valid().all()


def test_no_finished_row_at_all(store: ObjectStore, sides: oddities.Sides, tmp_path: Path) -> None:
    files = save(tmp_path, sides["a"][0], np.zeros((MODELS, TARGETS)))
    for asked in ("refuse", "leave_out"):
        with pytest.raises(ConfigError, match="a finished model in some row"):
            taken(store, files, unfinished=asked)


def test_a_model_of_few_targets_may_be_wrong_about_all(store: ObjectStore, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    masks, right = rng.random((MODELS, TRAIN)) < 0.5, rng.random((MODELS, 3)) < 0.6
    assert (~right.any(axis=1)).sum() > 5
    key = taken(store, save(tmp_path, masks, right))
    assert MarginMatrix.open(store, key).valid().all()
    many = rng.random((MODELS, 60)) < 0.6
    many[7] = False
    with pytest.raises(ConfigError, match=r"row 7 \(margins of zeros alone\)"):
        taken(store, save(tmp_path, masks, many))


def test_flags_beside_the_files_are_followed(store: ObjectStore, sides: oddities.Sides, tmp_path: Path) -> None:
    masks, margins = changed(sides, unwritten, unwritten)["a"]
    plain = taken(store, save(tmp_path / "plain", masks[:160], margins[:160]))
    flagged = save(tmp_path / "flags", masks, margins, _completed=np.arange(MODELS) < 160)
    numbered = save(tmp_path / "numbers", masks, margins, _completed=np.arange(160))
    for files, words in ((flagged, "leaves out 80 of 240 rows"), (numbered, "the numbers of the 160 finished of 240")):
        assert taken(local(tmp_path / words), files) == plain
        (note,) = said(local(tmp_path / words), plain)
        assert words in note
    wrong = save(tmp_path / "wrong", masks, margins, _completed=np.arange(MODELS + 1) % 7)
    with pytest.raises(ConfigError, match="_completed of shape"):
        taken(store, wrong)
    none = save(tmp_path / "none", masks, margins, _completed=np.zeros(MODELS, bool))
    with pytest.raises(ConfigError, match="leaves out 240 of 240 rows: there are none"):
        taken(store, none)


@pytest.mark.parametrize("factor", [30.0, 1e6])
def test_one_wild_model_is_left_out_and_the_direction_found(
    store: ObjectStore, sides: oddities.Sides, tmp_path: Path, factor: float
) -> None:
    masks, margins = changed(sides, None, times(factor))["a"]
    summary, cosine = compared(store, {"a": (masks, margins), "b": sides["b"]}, tmp_path)
    assert is_found(summary, cosine)
    (told,) = summary["findings"][3:]
    assert f"1 of {MODELS} models of A cannot be a model among the others and is left out (model {WILD}" in told
    assert [summary["algorithms"][side]["models"] for side in "ab"] == [MODELS - 1, MODELS]
    assert [summary["algorithms"][side]["left_out"] for side in "ab"] == [1, 0]


def test_a_wild_model_that_is_kept_hides_the_direction(
    store: ObjectStore, sides: oddities.Sides, tmp_path: Path
) -> None:
    masks, margins = changed(sides, None, times(300))["a"]
    summary, cosine = compared(store, {"a": (masks, margins), "b": sides["b"]}, tmp_path, wild="name")
    assert not is_found(summary, cosine)
    (told,) = summary["findings"][3:]
    assert "stands out from the others and is kept (model 117; margins" in told


@pytest.mark.parametrize(("factor", "left_out"), [(5.0, False), (0.01, False), (5.0, True)])
def test_strange_models_are_named_and_left_out_by_choice(
    store: ObjectStore, sides: oddities.Sides, tmp_path: Path, factor: float, left_out: bool
) -> None:
    files = save(tmp_path, *changed(sides, None, times(factor))["a"])
    key = taken(store, files, **({"strange": "leave_out"} if left_out else {}))
    (told,) = said(store, key)
    assert ("stands out from the others and is left out" if left_out else "is kept") in told
    assert MarginMatrix.open(store, key).valid().all() is not np.bool_(left_out)


def test_exact_copies_count_once(store: ObjectStore, tmp_path: Path) -> None:
    made = {side: tuple(np.repeat(array, 2, axis=0) for array in pair) for side, pair in world(strength=0.5).items()}
    summary, cosine = compared(store, made, tmp_path)  # type: ignore[arg-type]
    assert is_found(summary, cosine)
    assert [summary["algorithms"][side]["models"] for side in "ab"] == [MODELS, MODELS]
    assert f"{MODELS} of {2 * MODELS} models of A are exact copies of earlier ones and are left out" in "".join(
        summary["findings"]
    )


@pytest.mark.parametrize("exponent", [83])
def test_the_scale_of_margins_makes_no_difference(
    store: ObjectStore, sides: oddities.Sides, tmp_path: Path, exponent: int
) -> None:
    """Squares of such numbers overflow in single precision, or vanish."""
    summary, _ = compared(store, sides, tmp_path / "plain")
    scaled = changed(sides, None, lambda margins: np.ldexp(margins, exponent))
    again, same_cosine = compared(store, scaled, tmp_path / "scaled")
    assert is_found(again, same_cosine)
    for one, other in zip(summary["directions"], again["directions"], strict=True):
        assert one["explained_variance"] == pytest.approx(other["explained_variance"], rel=1e-4)
        assert one["top_targets"] == other["top_targets"]
    assert again["lds"]["a"]["mean"] == pytest.approx(summary["lds"]["a"]["mean"], abs=1e-4)


def test_numbers_that_single_precision_cannot_add_are_refused(
    store: ObjectStore, sides: oddities.Sides, tmp_path: Path
) -> None:
    masks, margins = sides["a"]
    with pytest.raises(ConfigError, match=r"margins: expected numbers of at most 1e\+30.*power of two"):
        taken(store, save(tmp_path, masks, margins * np.float32(1e35)))
    np.save(tmp_path / "scores.npy", np.full((TARGETS, TRAIN), 1e35, np.float32))
    with pytest.raises(ConfigError, match=r"scores: expected numbers of at most 1e\+30"):
        taken(store, {"scores": str(tmp_path / "scores.npy")}, orientation="targets_train")


def test_a_weight_that_cannot_be_told_is_no_zero(store: ObjectStore, sides: oddities.Sides, tmp_path: Path) -> None:
    def always_and_never(masks: np.ndarray) -> None:
        masks[:, 20], masks[:, 21] = True, False

    made = changed(sides, always_and_never, same)
    keys = {side: taken(store, save(tmp_path / side, *pair), side) for side, pair in made.items()}
    asked = {**SETTINGS, **keys, "comparison": {**SETTINGS["comparison"], "top": TRAIN}}
    comparison, summary = running.summarized(store, asked)
    for entry in summary["directions"]:
        assert sorted(entry["top_train"]) == [train for train in range(TRAIN) if train not in (20, 21)]
    export(store, Export(key=comparison.pair.a[0].reference.key, to=str(tmp_path / "weights.npy")))
    weights = np.load(tmp_path / "weights.npy")
    assert np.isnan(weights[:, [20, 21]]).all()
    assert np.isfinite(np.delete(weights, [20, 21], axis=1)).all()


def test_margins_that_stand_still_while_masks_go_on_are_named(
    store: ObjectStore, sides: oddities.Sides, tmp_path: Path
) -> None:
    def stopped(margins: np.ndarray) -> None:
        margins[200:] = margins[199]

    key = taken(store, save(tmp_path, *changed(sides, None, stopped)["a"]))
    (told,) = said(store, key)
    assert "rows 200 to 239 have exactly the margins of an earlier row, on another mask (row 200 those of row" in told
    assert MarginMatrix.open(store, key).valid().all()


def test_models_of_two_sizes_are_told(store: ObjectStore, sides: oddities.Sides, tmp_path: Path) -> None:
    def every_other(margins: np.ndarray) -> None:
        margins[::2] *= 50

    told = said(store, taken(store, save(tmp_path, *changed(sides, None, every_other)["a"])))
    assert any("are of very different sizes" in one and "recorded, alike?" in one for one in told), told
    assert said(store, taken(store, save(tmp_path / "as they were", *sides["a"]), "plain")) == []


def test_masks_that_are_empty_by_chance(store: ObjectStore, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    masks = rng.random((MODELS, TRAIN)) < 0.08
    empty = ~masks.any(axis=1)
    assert 3 < empty.sum() < 30
    margins = (masks @ rng.normal(size=(TRAIN, TARGETS)) + rng.normal(size=(MODELS, TARGETS))).astype(np.float32)
    assert MarginMatrix.open(store, taken(store, save(tmp_path, masks, margins))).valid().all()
    margins[empty] = 0
    with pytest.raises(ConfigError, match="rows look as if they were never written"):
        taken(store, save(tmp_path, masks, margins))


def test_a_target_that_no_model_has_is_named_as_such(store: ObjectStore, sides: oddities.Sides, tmp_path: Path) -> None:
    def missing(margins: np.ndarray) -> None:
        margins[:, 5] = np.nan

    with pytest.raises(ConfigError, match="Target 5 is finite for none of them: take such targets out"):
        taken(store, save(tmp_path, *changed(sides, None, missing)["a"]))


def test_what_does_not_vary_is_told(store: ObjectStore, sides: oddities.Sides, tmp_path: Path) -> None:
    def always_and_never(masks: np.ndarray) -> None:
        masks[:, 4], masks[:, 5] = True, False

    def constant(margins: np.ndarray) -> None:
        margins[:, 3] = 1.5

    key = taken(store, save(tmp_path, *changed(sides, always_and_never, constant)["a"]))
    told = said(store, key)
    assert [re.sub(r" of theirs.*", "", line) for line in told[:2]] == ["1 training example"] * 2
    assert "(example 4) is left in by every model" in told[0]
    assert "(example 5) is left out by every model" in told[1]
    assert "1 target (target 3) are the same for all models" in told[2]


@pytest.mark.parametrize(
    ("masks", "margins", "words"),
    [
        (np.ones_like, same, "every mask leaves in every example"),
        (lambda masks: np.tile(masks[0], (len(masks), 1)), same, "all masks are equal"),
        (same, lambda margins: np.full_like(margins, 2), "the same for all 240 models"),
    ],
)
def test_what_does_not_vary_at_all_is_refused(
    store: ObjectStore, sides: oddities.Sides, tmp_path: Path, masks: Any, margins: Any, words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        taken(store, save(tmp_path, *changed(sides, masks, margins)["a"]))


@pytest.mark.parametrize(
    ("masks", "words"),
    [
        (lambda masks: np.where(masks, 1, -1), "Of -1 and 1, give masks > 0"),
        (lambda masks: masks.astype(np.uint8) * 255, "Of 0 and 255, give masks > 0"),
        (lambda masks: masks + np.float32(1e-6), "They are 0 and 1 but for rounding: give masks > 0.5"),
        (lambda masks: masks * np.float32(0.3), "Weights of examples are no masks"),
        (lambda masks: np.packbits(masks, axis=1), "have to be unpacked first"),
        (lambda masks: np.stack([np.flatnonzero(mask) for mask in masks]), "numbers of the examples that are left in"),
    ],
)
def test_masks_in_other_forms_are_refused_with_what_to_do(
    store: ObjectStore, sides: oddities.Sides, tmp_path: Path, masks: Any, words: str
) -> None:
    with pytest.raises(ConfigError, match=re.escape(words)):
        taken(store, save(tmp_path, *changed(sides, masks, same)["a"]))


def test_masks_that_say_who_was_left_out(store: ObjectStore, sides: oddities.Sides, tmp_path: Path) -> None:
    masks, margins = sides["a"]
    summary, _ = compared(store, {"a": (~masks, margins), "b": sides["b"]}, tmp_path)
    assert summary["similarity"] < -0.2
    (told,) = summary["findings"][3:]
    assert "point in opposite directions" in told
    assert "do the masks of one of them say who was left out" in told


def test_masks_of_both_that_say_who_was_left_out(store: ObjectStore, sides: oddities.Sides, tmp_path: Path) -> None:
    """Similarity cannot tell, but a target's own class should not lower its margin."""
    rng = np.random.default_rng(0)
    targets, train = rng.integers(0, 3, TARGETS), rng.integers(0, 3, TRAIN)
    masks, noise = sides["a"][0], rng.normal(0, 0.4, (2, MODELS, TARGETS))
    margins = masks @ np.where(targets[:, None] == train, 0.3, -0.1).T + noise
    for name, labels in (("targets", targets), ("train", train)):
        (tmp_path / f"{name}.csv").write_text("label\n" + "\n".join(map(str, labels)) + "\n")
    known = {name: {"table": str(tmp_path / f"{name}.csv")} for name in ("targets", "train")}
    for given, doubted in ((masks, 0), (~masks, 2)):
        files = [save(tmp_path / str(which), given, margins[which].astype(np.float32)) for which in (0, 1)]
        keys = {side: taken(store, file, side) for side, file in zip("ab", files, strict=True)}
        _, summary = running.summarized(store, {**SETTINGS, **known, **keys})
        told = [line for line in summary["findings"] if "own class lower its margin" in line]
        assert len(told) == doubted
