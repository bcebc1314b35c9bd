"""From the command line's overrides to validated objects: Hydra composes, pydantic checks."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_module
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import ConfigCompositionException, HydraException, MissingConfigException
from omegaconf import OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException
from pydantic import ValidationError

from modeldiff_core.errors import ConfigError, meant
from modeldiff_core.experiments.experiment import KIND, experiment_kind, experiments, parse_settings
from modeldiff_core.settings import build_settings, config_error
from modeldiff_core.store import ObjectStore, StoreSettings
from modeldiff_platform.flows.cli.overrides import literal
from modeldiff_platform.flows.cli.own_files import CONF, ROOT, with_own_conf
from modeldiff_platform.flows.cli.python_study import find_own_modules, is_python, python_study
from modeldiff_platform.flows.cli.replaced import replaced, without_whole
from modeldiff_platform.flows.cli.study_files import check_files, read_json
from modeldiff_platform.flows.request import Request, RunnerConfig

ROOTS = {"compare_adopted": "compare_adopted"}
"""Root configurations of experiments whose studies are not composed from the usual one."""
GROUPS = {
    "counterfactual": ("+counterfactual=standard",),
    "preview": ("+preview=standard",),
    "removal": ("+removal=standard",),
}
"""Groups that are added to a study for an experiment."""
SCALE, SIZED, PAPER = "scale", "sized", "paper"
"""Keys that say which size was asked for, and that the study has it; the size that every study has."""
CHOOSES = f"{KIND}="
"""The override that chooses an experiment, for studies that do not name their own."""
GROUP_LISTS = {
    "study": "studies",
    "dataset": "datasets",
    "transformation": "transformations",
    "algorithm": "algorithms",
}
"""Lists of the command line by groups of the configuration."""
GIVEN_IN_STUDY = {"compare_adopted": ("a=''", "b=''")}
"""What has to be given on the command line, and is not where a file holds the whole study."""
INSIDE = re.compile(r"In '(.+)': Could not override '/?([^']+)'")
"""What Hydra says of an override within a file that finds nothing to override."""
FROM_ANOTHER = "A study that goes on from another one names it without its group: '- digits_watermark'"
"""What helps where a study's file leads back to itself."""


def request(overrides: Sequence[str], kind: str = "") -> Request:
    """Compose and validate; raises ConfigError for anything that is wrong with the overrides.

    ``study=<path>.json`` takes a whole study as a report or a store keeps it; only store and runner are then composed.
    kind: the experiment that a verb stands for; empty for that of the study.
    """
    named = [override.removeprefix(CHOOSES) for override in overrides if override.startswith(CHOOSES)]
    others = [override for override in overrides if not override.startswith(CHOOSES)]
    kind = named[-1] if named else kind
    root = ROOTS.get(kind, "config")
    find_own_modules()
    if others and is_python(others[0]):
        return python_request(others)
    found = study_file(others)
    if found is not None:
        study, around = found
        content = composed([*around, *GIVEN_IN_STUDY.get(kind, ())], root=root)
        store, runner = parse_store(content["store"]), parse_runner(content["runner"])
        return parse_study_of(kind or experiment_kind(study), study, store, runner)
    others, whole = without_whole(others)
    content = composed(others, *GROUPS.get(kind, ()), root=root)
    content = {**replaced(others, content, composed), **whole}
    store, runner = parse_store(content.pop("store")), parse_runner(content.pop("runner"))
    if "transformations" in content:
        tests = content.pop("transformations") or {}
        content["transformations"] = [{"name": name, **settings} for name, settings in tests.items() if settings]
    return parse_study_of(kind or experiment_kind(content), content, store, runner)


def python_request(overrides: Sequence[str]) -> Request:
    """Return the request for ``module:study`` with overrides of store and runner; its data are written to the store.

    Raises ConfigError for other overrides, and for anything that is wrong with the study.
    """
    name, *others = overrides
    study = python_study(name)
    own = [o for o in others if o.split("=")[0].lstrip("+~").split(".")[0] not in ("store", "runner")]
    if own:
        hint = f"Settings of the study are in {name}: Study(..., settings={{...}})"
        raise ConfigError(own[0].split("=")[0], f"only settings of store and runner beside {name}", own[0], hint)
    content = composed(others)
    store, runner = parse_store(content["store"]), parse_runner(content["runner"])
    ObjectStore(store).check()
    return Request("compare", study.config(ObjectStore(store)), store, runner)


def parse_study_of(kind: str, study: Any, store: StoreSettings, runner: RunnerConfig) -> Request:
    """Return the request for a study of plain values."""
    return Request(kind, parse_settings(experiments().get(kind).settings, study), store, runner)


def study_file(overrides: Sequence[str]) -> tuple[Any, list[str]] | None:
    """Return the study in the file that ``study=<path>.json`` names, and the other overrides; None if there is no
    such one.

    Raises ConfigError for a file that holds none, and for overrides of anything but store and runner beside it.
    """
    files = [o.removeprefix("study=") for o in overrides if o.startswith("study=") and o.endswith(".json")]
    if not files:
        return None
    name, others = files[-1], [override for override in overrides if not override.startswith("study=")]
    own = [o for o in others if o.split("=")[0].lstrip("+~").split(".")[0] not in ("store", "runner")]
    if own:
        raise ConfigError(own[0].split("=")[0], f"only settings of store and runner beside study={name}", own[0])
    try:
        content = read_json(Path(name).expanduser())
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError("study", "a file that holds a study as JSON", name, str(error)) from error
    if not isinstance(content, dict):
        raise ConfigError("study", "a file that holds a study as JSON", name, f"It holds a {type(content).__name__}")
    # study.json of a store stands for the study and says where its results are
    return content["study"] if isinstance(content.get("study"), dict) else content, others


def composed(overrides: Sequence[str], *groups: str, root: str = "config") -> dict[str, Any]:
    """Return the configuration of a root file as plain values; `groups` are appended to it, as in ``+data=build``.

    Raises ConfigError that names the key of an override that does not fit, or of a value that is still to be given.
    """
    GlobalHydra.instance().clear()
    overrides = with_own_conf(overrides)
    check_files(overrides)
    try:
        with initialize_config_module("modeldiff_platform.conf", version_base="1.3"):
            configuration = compose(root, overrides=[*literal(overrides), *groups])
        content = OmegaConf.to_container(configuration, resolve=True, throw_on_missing=True)
    except MissingConfigException as error:
        group, _, name = str(error.missing_cfg_file or "").rpartition("/")
        hint = meant(name, error.options or []) or f"modeldiff list {GROUP_LISTS.get(group, 'studies')} shows them"
        expected = f"one of {', '.join(sorted(error.options or []))}"
        raise ConfigError(group or "overrides", expected, name, hint) from error
    except MissingMandatoryValue as error:
        key = error.full_key or "overrides"
        raise ConfigError(key, "a value", "???", f"It has no default: add {key}=... to the command") from error
    except RecursionError as error:
        asked = next((o.partition("=")[2] for o in overrides if o.startswith("study=")), root)
        expected = "a file whose defaults do not lead back to itself"
        raise ConfigError("study", expected, asked, FROM_ANOTHER) from error
    except (ConfigCompositionException, OmegaConfBaseException, HydraException) as error:
        said = str(error).split("\n")[0]
        if inside := INSIDE.match(said):
            file, group = inside.groups()
            expected = f"defaults that name a group as '- /{group}: NAME', without override"
            raise ConfigError(file, expected, f"override {group}") from error
        key = next((o.split("=")[0] for o in overrides if o.split("=")[0].strip("+~") in str(error)), "") or "overrides"
        unknown = f"Could not override '{key}'"
        if said.startswith(unknown):
            wanted = next(o.partition("=")[2] for o in overrides if o.split("=")[0] == key)
            hint = meant(key.lstrip("+~"), _known_keys(overrides, key, groups, root))
            hint = hint or f"A setting that the configuration leaves to its default is added with +{key}=..."
            raise ConfigError(key, "a key of the configuration", wanted, hint) from error
        raise ConfigError(key, "overrides of the form KEY=VALUE, as Hydra reads them", list(overrides), said) from error
    assert isinstance(content, dict)
    return without_scale({str(key): value for key, value in content.items()})


def without_scale(content: dict[str, Any]) -> dict[str, Any]:
    """Return a configuration without the size that was asked for; raises ConfigError where its study has no sizes."""
    asked, found = content.pop(SCALE, None), content.pop(SIZED, None)
    if asked not in (found, PAPER):
        known = ", ".join(sorted(path.name for path in (ROOT / CONF / "sizes").iterdir() if path.is_dir()))
        expected, hint = "paper, the size of a study that has no others", f"Studies with sizes: {known}"
        raise ConfigError(SCALE, expected, asked, hint)
    return content


def _known_keys(overrides: Sequence[str], wrong: str, groups: Sequence[str], root: str) -> list[str]:
    """Return the keys that a configuration has without an override that does not fit."""
    try:
        content = composed([o for o in overrides if o.split("=")[0] != wrong], *groups, root=root)
    except ConfigError:
        return []
    return sorted(_flat(content))


def _flat(content: Any, path: str = "") -> list[str]:
    """Return the dotted keys of nested mappings."""
    if not isinstance(content, dict):
        return [path]
    inner = [key for name, value in content.items() for key in _flat(value, f"{path}.{name}" if path else str(name))]
    return [path, *inner] if path else inner


def parse_runner(content: dict[str, Any]) -> RunnerConfig:
    """Return the runner's part of a composed configuration."""
    try:
        return RunnerConfig.model_validate(content)
    except ValidationError as error:
        raise config_error(error, prefix="runner.") from error


def parse_store(content: dict[str, Any]) -> StoreSettings:
    """Return the store's part of a composed configuration."""
    return build_settings(StoreSettings, content, "store")
