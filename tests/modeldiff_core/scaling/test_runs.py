"""Tables of runs: what is read, what is counted, and what is refused in one line."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from modeldiff_core.errors import ConfigError
from modeldiff_core.scaling import Runs

GOOD = ["N,D,S,C,loss,seed", "1e8,2e9,0.5,6e17,3.1,0", "1e8,1e9,0,6e17,3.3,0", "2e8,1e9,0.75,3e17,3.4,1"]


def written(folder: Path, lines: Sequence[str]) -> Path:
    path = folder / "runs.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_table_becomes_runs(tmp_path: Path) -> None:
    runs = Runs.from_csv(written(tmp_path, GOOD))
    assert len(runs) == 3
    assert runs.notes == ()
    np.testing.assert_array_equal(runs.sparsity, [0.5, 0, 0.75])
    assert runs.seed is not None
    np.testing.assert_array_equal(runs.seed, [0, 0, 1])
    assert runs.rate is None
    some = runs.take(np.array([2, 2]))
    np.testing.assert_array_equal(some.parameters, [2e8, 2e8])


def test_experts_give_the_sparsity_and_names_may_be_long(tmp_path: Path) -> None:
    lines = [
        "run,total_params,tokens,experts,top_k,flops,val_loss",
        "a,1e8,2e9,16,4,6e17,3.1",
        "b,1e8,2e9,16,16,1e18,3",
    ]
    runs = Runs.from_csv(written(tmp_path, lines))
    np.testing.assert_allclose(runs.sparsity, [0.75, 0])
    assert runs.cell == ("a", "b")
    assert runs.take(np.array([False, True])).cell == ("b",)


def test_diverged_and_repeated_rows_are_counted(tmp_path: Path) -> None:
    lines = [*GOOD, "1e8,2e9,0.5,6e17,nan,1", "1e8,2e9,0.5,6e17,,2", GOOD[1]]
    runs = Runs.from_csv(written(tmp_path, lines))
    assert len(runs) == 3
    assert runs.notes[0].startswith("2 of 6 rows have no loss")
    assert runs.notes[1].startswith("1 of 6 rows repeat")


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (["N,D,S,C,loss"], "a header and at least one row"),
        (["N,D,S,loss", "1e8,2e9,.5,3"], "A column of flops is called one of"),
        (["N,D,C,loss", "1e8,2e9,6e17,3"], "a column S, or both E and K"),
        (["N,D,S,C,bits_per_token", "1e8,2e9,.5,6e17,4.3"], "Multiply bits per token by ln 2"),
        (["N,D,S,C,loss", "1e8,2e9,1,6e17,3"], "at 1 no expert is active"),
        (["N,D,S,C,loss", "1e8,2e9,50,6e17,3"], "Percent are divided by 100"),
        (["N,D,S,C,loss", "100,2e9,.5,6e17,3"], "N = 100 parameters looks like"),
        (["N,D,S,C,loss", "1e8,2,.5,6e17,3"], "D = 2 tokens looks like"),
        (["N,D,S,C,loss", "1e8,2e9,.5,600,3"], "other units than FLOPs"),
        (["N,D,S,C,loss", "1e8,2e9,.5,6e17,27"], "a perplexity's logarithm"),
        (["N,D,S,C,loss", "1e8,2e9,.5,6e17,nan"], "none of them with a loss"),
        (["N,D,S,C,loss", "1e8,2e9,.5,6e17,three"], "numbers in column loss"),
        (["N,D,S,C,loss", "1e8,,.5,6e17,3"], "Row 1 has none"),
        (["N,D,S,C,loss", "1e8,2e9,.5,6e17"], "5 columns, as in the header"),
        (["N,D,S,C,loss,L", "1e8,2e9,.5,6e17,3,3"], "one column of loss"),
        (["N,D,E,K,C,loss", "1e8,2e9,8,16,6e17,3"], "K ≤ E experts"),
        (["N,D,S,E,K,C,loss", "1e8,2e9,.5,16,2,6e17,3"], "S = (E − K)/E within .006"),
        (["N,D,S,C,loss", "-1e8,2e9,.5,6e17,3"], "numbers above 0"),
    ],
)
def test_what_cannot_be_fitted_is_refused_in_one_line(tmp_path: Path, lines: list[str], told: str) -> None:
    with pytest.raises(ConfigError) as error:
        Runs.from_csv(written(tmp_path, lines))
    assert told in str(error.value)
    assert "\n" not in str(error.value)


def test_losses_worse_than_a_guess_are_refused_where_the_vocabulary_is_known(tmp_path: Path) -> None:
    path = written(tmp_path, ["N,D,S,C,loss", "1e8,2e9,.5,6e17,5.1", "1e8,1e9,.5,3e17,5.9"])
    assert len(Runs.from_csv(path, vocabulary=400)) == 2
    with pytest.raises(ConfigError, match="losses up to 5.545 nats.*bits times ln 2"):
        Runs.from_csv(path, vocabulary=256)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="a CSV file that can be read"):
        Runs.from_csv(tmp_path / "nothing.csv")


def test_as_many_names_as_runs() -> None:
    ones = np.ones(3)
    with pytest.raises(ConfigError, match="runs.cell"):
        Runs(ones, ones, 0 * ones, ones, ones, cell=("a", "b"))
