"""A study of Python handed to Prefect from Python: ``modeldiff_core.submit``."""

import sys
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from modeldiff_core.settings import config_error
from modeldiff_core.store import StoreSettings
from modeldiff_core.study import StudyConfig
from modeldiff_platform.flows.experiment import run_experiment
from modeldiff_platform.flows.prefect_api.recorded import recorded
from modeldiff_platform.flows.prefect_api.run_log import name_log
from modeldiff_platform.flows.prefect_api.surroundings import home_folder, stays_here
from modeldiff_platform.flows.request import Request, RunnerConfig
from modeldiff_platform.flows.resolve import resolve


def submit(study: StudyConfig, store: StoreSettings, runner: Mapping[str, Any]) -> None:
    """Run a comparison as a flow, on the Prefect server that is configured or a private one, until it is done.

    Raises:
        ConfigError: Before anything is trained, for what cannot give a result.
        RunFailed: For steps that failed for good.
    """
    stays_here()
    name_log(home_folder())
    try:
        asked = Request("compare", study, store, RunnerConfig.model_validate(dict(runner)))
    except ValidationError as error:
        raise config_error(error, prefix="runner.") from error
    _, warnings = resolve(asked)
    for warning in warnings:
        print(f"warning: {warning}", file=sys.stderr)
    with recorded() as api:
        print(f"Prefect UI: {api.ui_url}", file=sys.stderr, flush=True)
        run_experiment(asked)
