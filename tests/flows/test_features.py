"""Experiments on data with known features by the command line: smoke studies through every verb, killed and resumed."""

from pathlib import Path

import pytest

from harness.commands import Commands, kill_all, wait_for
from harness.own_experiments import content
from modeldiff_core.experiments.experiment import experiment_kind, experiments, parse_settings
from modeldiff_platform.flows.cli.compose import composed

CONF = Path(__file__).parents[2] / "conf/study"
STUDIES = sorted(path.stem for kind in ("simplicity", "leakage", "diffroar") for path in CONF.glob(f"{kind}_*.yaml"))
SAID = {
    "simplicity_smoke": "Control, 3-slab alone",
    "leakage_smoke": "of the top 10% lies outside the signal",
    "diffroar_smoke": "networks that see the masks alone reach",
}


def results(root: Path) -> dict[str, object]:
    """Everything but what Prefect keeps of its task runs."""
    return {key: value for key, value in content(root).items() if not key.startswith(".prefect/")}


def test_every_shipped_study_is_valid() -> None:
    assert len(STUDIES) == 20
    for name in STUDIES:
        study = {key: value for key, value in composed([f"study={name}"]).items() if key not in ("store", "runner")}
        kind = experiment_kind(study)
        assert name.startswith(kind)
        settings = parse_settings(experiments().get(kind).settings, study)
        attacked = settings.networks.cells(settings.attacks, "networks")  # type: ignore[attr-defined]
        assert list(attacked)


@pytest.mark.nightly
@pytest.mark.parametrize("name", SAID)
def test_a_smoke_study_is_planned_killed_resumed_reported_and_verified(
    name: str, commands: Commands, tmp_path: Path
) -> None:
    asked = (f"study={name}", "runner.workers=1", f"store.root={tmp_path / 'store'}")
    planned = commands.run("plan", *asked)
    assert planned.returncode == 0, planned.stderr
    process = commands.start("run", *asked)
    made = tmp_path / "store/features"
    wait_for(lambda: len(list(made.glob("*"))) >= 2, 240, "two results")
    kill_all(process)
    assert commands.run("report", *asked).returncode == 1
    resumed = commands.run("run", *asked)
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    assert SAID[name] in resumed.stdout
    again = (*asked[:2], f"store.root={tmp_path / 'again'}")
    assert commands.run("run", *again).returncode == 0
    assert results(tmp_path / "store") == results(tmp_path / "again")
    for verb in ("status", "report", "verify"):
        done = commands.run(verb, *asked)
        assert done.returncode == 0, done.stdout + done.stderr
