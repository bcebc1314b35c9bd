"""Checkpoints that cannot be used are refused before anything is computed, in one line."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from modeldiff_core.errors import ConfigError
from modeldiff_core.experiments.checkpoints.states import check_distinct, check_fits, digest_of, files_of, state_of


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))


def test_one_state_is_the_same_by_every_way_to_give_it(tmp_path: Path) -> None:
    given = net()
    torch.save(given.state_dict(), tmp_path / "plain.pt")
    torch.save({"epoch": 3, "state_dict": given.state_dict()}, tmp_path / "nested.pth")
    save_file(given.state_dict(), tmp_path / "plain.safetensors")
    torch.save({f"module.{name}": value for name, value in given.state_dict().items()}, tmp_path / "parallel.pt")
    ways: list[Any] = [given, given.state_dict(), *sorted(tmp_path.iterdir()), str(tmp_path / "plain.pt")]
    digests = {digest_of(state_of(way, "a")) for way in ways}
    assert len(ways) == 7
    assert len(digests) == 1
    check_fits(state_of(given, "a"), net(), "a", "given")
    with torch.no_grad():
        given[0].bias[0] += 1
    assert digest_of(state_of(given, "a")) not in digests


def test_halves_are_kept_as_float32() -> None:
    assert state_of(net().half(), "a")["0.weight"].dtype == np.float32
    check_fits(state_of(net().bfloat16(), "a"), net(), "a", "given")


class Payload:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("executed"),))


@pytest.mark.parametrize("way", ["module", "code", "pickle", "text"])
def test_pickles_are_refused_and_nothing_of_them_runs(
    way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "model.pt"
    if way in ("module", "code"):
        torch.save(net() if way == "module" else {"weight": Payload()}, path)
    else:
        path.write_bytes(pickle.dumps(Payload()) if way == "pickle" else b"no weights")
    with pytest.raises(ConfigError, match=r"^a: expected a state dict .* got .*model\.pt.*safetensors") as error:
        state_of(path, "a")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "executed").exists()


def test_what_does_not_fit_is_named() -> None:
    other = nn.Sequential(nn.Linear(3, 4), nn.Identity(), nn.Linear(4, 2, bias=False), nn.Linear(1, 1))
    with pytest.raises(ConfigError) as error:
        check_fits(state_of(other, "a"), net(), "a", "x.pt")
    said = str(error.value)
    assert said.startswith("a: expected weights of the network, Sequential, got 'x.pt'. ")
    assert "1.bias, 1.num_batches_tracked, 1.running_mean and 3 more missing" in said
    assert "3.bias, 3.weight unexpected" in said
    wide = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 5))
    with pytest.raises(ConfigError, match=r"2\.bias is \[5\] instead of \[2\]; 2\.weight is \[5, 4\]"):
        check_fits(state_of(wide, "a"), net(), "a", "x.pt")
    broken = net()
    with torch.no_grad():
        broken[2].weight[0, :2] = torch.nan
    with pytest.raises(ConfigError, match=r"finite weights.*2 of 8 values of 2\.weight are not finite"):
        check_fits(state_of(broken, "a"), net(), "a", "x.pt")


@pytest.mark.parametrize("given", [3, {}, {"weight": 1.0}, None])
def test_other_things_are_no_checkpoints(given: Any) -> None:
    with pytest.raises(ConfigError, match="expected modules, state dicts, or paths"):
        state_of(given, "a")


def test_the_same_twice_and_unequal_numbers_are_refused() -> None:
    names = {"a": ["one", "two"], "b": ["three", "four"]}
    check_distinct({"a": ["1", "2"], "b": ["3", "4"]}, names)
    with pytest.raises(ConfigError, match=r"b\.checkpoints.*'four'. It has the same weights as two of a"):
        check_distinct({"a": ["1", "2"], "b": ["3", "2"]}, names)
    with pytest.raises(ConfigError, match="as many checkpoints as of a, 2, got 1"):
        check_distinct({"a": ["1", "2"], "b": ["3"]}, {"a": ["one", "two"], "b": ["three"]})


def test_files_are_named_one_by_one_or_by_a_pattern(tmp_path: Path) -> None:
    for name in ("2.pt", "1.pt", "[3].pt"):
        (tmp_path / name).touch()
    assert [Path(one).name for one in files_of([str(tmp_path / "?.pt")], "a")] == ["1.pt", "2.pt"]
    assert len(files_of([str(tmp_path / "[3].pt"), str(tmp_path / "1.pt")], "a")) == 2
    for wrong in ([], [str(tmp_path / "4.pt")], [str(tmp_path / "*.x")]):
        with pytest.raises(ConfigError, match="^a: expected"):
            files_of(wrong, "a")
