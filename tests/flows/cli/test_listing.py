"""Lists, the whole configuration of a study, and names and keys that were nearly right."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from modeldiff_core import __version__
from modeldiff_core.errors import ConfigError, meant
from modeldiff_platform.flows.cli import main
from modeldiff_platform.flows.cli.compose import composed, request
from modeldiff_platform.flows.cli.listing import LISTS


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["--version"])
    assert end.value.code == 0
    assert capsys.readouterr().out == f"modeldiff {__version__}\n"


@pytest.mark.parametrize(("given", "asked"), [("sho", " Is show meant?\n"), ("xyzzy", "'data')\n")])
def test_a_verb_that_is_none_is_answered_with_the_one_that_was_meant(
    given: str, asked: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        main([given])
    assert end.value.code == 2
    assert capsys.readouterr().err.endswith(asked)


@pytest.mark.parametrize(
    ("what", "names"),
    [
        ("studies", {"digits_watermark", "components_digits"}),
        ("datasets", {"digits", "npz"}),
        ("algorithms", {"mlp", "sklearn", "sgd", "function"}),
        ("transformations", {"noise", "watermark"}),
        ("estimators", {"lasso", "ridge", "trak"}),
        ("architectures", {"mlp", "resnet9"}),
        ("experiments", {"compare", "sweep"}),
    ],
)
def test_each_list_has_its_names(what: str, names: set[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", what]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert names <= {line.split()[0] for line in lines}
    assert all(len(line) < 140 for line in lines)


def test_every_list_is_looked_at() -> None:
    (given,) = [mark for mark in test_each_list_has_its_names.pytestmark if mark.name == "parametrize"]  # type: ignore[attr-defined]
    assert {what for what, _ in given.args[1]} == set(LISTS)


def test_show_is_what_is_composed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "study=digits_sklearn", "subsets.models=900"]) == 0
    shown = yaml.safe_load(capsys.readouterr().out)
    assert shown == composed(["study=digits_sklearn", "subsets.models=900"])
    assert shown["subsets"]["models"] == 900
    assert shown["algorithm_b"]["recipe"]["classifier"] == "SVC"


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["subsets.model=5"], "subsets.model: expected a key of the configuration, got '5'. Is subsets.models meant?"),
        (["subset.models=5"], "Is subsets.models meant?"),
        (["study=digits_watermrk"], "got 'digits_watermrk'. Is digits_watermark meant?"),
        (["algorithm@algorithm_a=slearn"], "Is sklearn meant?"),
        (["algorithm_a.recipe.epoch=3"], "Is algorithm_a.recipe.epochs meant?"),
        (["dataset.kind=digit"], "Is digits meant?"),
        (["regression.estimator=laso"], "Is lasso meant?"),
    ],
)
def test_what_was_nearly_right_is_asked_about(
    overrides: list[str], words: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["compare", f"store.root={tmp_path}", *overrides]) == 2
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1


def test_a_list_that_is_not_there_is_asked_about(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "study"]) == 2
    assert "Is studies meant?" in capsys.readouterr().err


def test_nothing_is_asked_where_nothing_is_close() -> None:
    assert meant("zebra", ["models", "targets"]) == ""
    assert meant("models", ["models"]) == ""
    assert meant("subset.models", ["subsets.models", "targets"]) == "Is subsets.models meant?"


def test_completion_is_a_script_that_a_shell_reads(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "bash"]) == 0
    script = capsys.readouterr().out
    asked = 'COMP_WORDS=(modeldiff compare study=digits_w); COMP_CWORD=2; _modeldiff; echo "${COMPREPLY[@]}"'
    done = subprocess.run(["bash", "-c", f"{script}\n{asked}"], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["study=digits_watermark"]
    assert main(["completion", "fish"]) == 2


ROOT = Path(__file__).parents[3]
OWN = (ROOT / "conf/study/digits_sklearn.yaml").read_text().replace("name: digits_sklearn", "name: my_study")
OWN = re.sub(r"^# Two classifiers.*$", "# A study of one's own.", OWN, flags=re.MULTILINE)
GLOBAL = "# @package _global_\n"


@pytest.fixture
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a folder ``conf`` of the user's own, as in docs/examples/nearest_centroid."""
    (tmp_path / "conf/study").mkdir(parents=True)
    (tmp_path / "conf/study/mine.yaml").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_studies_of_the_working_directory_are_found(own_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert request(["study=mine"]).study.name == "my_study"
    assert main(["list", "studies"]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("mine ")]
    assert line.endswith("A study of one's own (conf/study/mine.yaml)")


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("- override /dataset: digits", r"^study/wrong: expected .*'- /dataset: NAME', without override"),
        ("- /study: digits_watermark", r"^study: expected a file whose .*got 'wrong'.*'- digits_watermark'"),
    ],
)
def test_defaults_of_ones_own_study_that_lead_nowhere_are_one_sentence(lines: str, said: str, own_folder: Path) -> None:
    (own_folder / "conf/study/wrong.yaml").write_text(f"{GLOBAL}defaults:\n  {lines}\nname: wrong\n")
    with pytest.raises(ConfigError, match=said):
        request(["study=wrong"])
    (own_folder / "conf/study/wrong.yaml").write_text(
        f"{GLOBAL}defaults: [digits_watermark, _self_]\nname: from_another\n"
    )
    assert request(["study=wrong"]).study.name == "from_another"


def test_folders_of_the_users_own_take_no_place_of_the_products(own_folder: Path) -> None:
    for name in ("conf", "flows", "tasks"):
        (own_folder / name).mkdir(exist_ok=True)
        (own_folder / name / "__init__.py").write_text("raise RuntimeError('not the product')\n")
    done = subprocess.run(
        [sys.executable, "-m", "modeldiff", "show", "study=mine"],
        cwd=own_folder,
        env={"PYTHONPATH": f"{own_folder}:{ROOT}", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert yaml.safe_load(done.stdout)["name"] == "my_study"


def test_an_algorithm_of_another_kind_has_none_of_the_studys_settings(capsys: pytest.CaptureFixture[str]) -> None:
    study = request(["study=fashion_sgd_noise", "algorithm@algorithm_a=sklearn", "algorithm_a.name=other"]).study
    assert study.algorithm_a.kind == "sklearn"
    assert study.algorithm_a.name == "other"
    assert set(study.algorithm_a.recipe) == {"classifier", "parameters"}
    said = capsys.readouterr().err
    assert said.startswith("modeldiff: algorithm_a.recipe.")
    assert "left out, since the study sets it for sgd and sklearn is of the kind sklearn" in said
    assert said.count("\n") == 1


def test_a_whole_algorithm_on_the_command_line_stands_as_it_is() -> None:
    given = "algorithm_a={kind: sklearn, name: mine, recipe: {classifier: LinearSVC}}"
    study = request(["study=digits_watermark", given]).study
    assert study.algorithm_a.model_dump() == {
        "name": "mine",
        "kind": "sklearn",
        "seed": 0,
        "recipe": {"classifier": "LinearSVC"},
    }


def test_an_algorithm_of_the_same_kind_keeps_what_the_study_sets() -> None:
    overrides = ["study=digits_watermark", "algorithm@algorithm_a=mlp"]
    assert request(overrides).study.algorithm_a == request(overrides[:1]).study.algorithm_a


def test_a_class_that_is_no_dataclass_is_one_sentence() -> None:
    from modeldiff_core.settings import build_settings

    class Plain:
        pass

    with pytest.raises(ConfigError, match=r"algorithm_a\.recipe: expected .* a dataclass, got 'Plain'\. .*@dataclass"):
        build_settings(Plain, {}, "algorithm_a.recipe")
