"""A walk through Prefect's UI in a real browser: a deployed comparison fails, is retried by a click and completes."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import Page

from harness.browser import chromium
from harness.prefect_server import PASSWORD, PrefectServer
from harness.small_studies import TINY
from modeldiff_core.experiments.compare.comparison import Comparison
from modeldiff_core.store import shard_key
from modeldiff_platform.flows.cli.compose import request

SIZE = {"width": 1280, "height": 860}
PATIENCE = 120_000.0
"""Milliseconds to wait for a page."""


@dataclass
class Ui:
    """Prefect's UI in a browser that is logged in.

    Attributes:
        page: The browser's page.
        server: The Prefect server.
        folder: Where pictures go.
    """

    page: Page
    server: PrefectServer
    folder: Path

    def open(self, path: str, *words: str | re.Pattern[str]) -> None:
        """Open a page and wait until it shows these words."""
        self.page.goto(f"{self.server.api.removesuffix('/api')}/{path}")
        self.shows(*words)

    def tab(self, name: str, *words: str) -> None:
        """Switch to a tab of the page and wait until it shows these words."""
        self.page.get_by_text(name, exact=True).first.click()
        self.shows(*words)

    def shows(self, *words: str | re.Pattern[str]) -> None:
        """Wait until the page shows these words."""
        for text in words:
            self.page.get_by_text(text).locator("visible=true").first.wait_for(timeout=PATIENCE)

    def photograph(self, name: str) -> None:
        """Save a picture of the page once its animations have ended."""
        self.page.wait_for_timeout(1500)
        self.page.screenshot(path=self.folder / f"{name}.png")


@contextmanager
def opened(server: PrefectServer, folder: Path) -> Iterator[Ui]:
    """Yield the UI in the system's Chromium, which is closed at the end of the block."""
    with chromium() as browser:
        context = browser.new_context(viewport=SIZE, color_scheme="light", timezone_id="UTC", locale="en-GB")
        context.set_default_timeout(PATIENCE)
        context.add_init_script(f"localStorage.setItem('prefect-password', btoa('{PASSWORD}'))")
        yield Ui(context.new_page(), server, folder)


@contextmanager
def working(server: PrefectServer, pool: str) -> Iterator[None]:
    """Run a worker of the pool until the block ends."""
    command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", pool, "--type", "process"]
    settings = {"PREFECT_WORKER_QUERY_SECONDS": "1", "PREFECT_WORKER_PREFETCH_SECONDS": "1"}
    paths = os.pathsep.join([str(Path.cwd()), *filter(None, [os.environ.get("PYTHONPATH")])])
    with (server.folder / "worker.log").open("wb") as log:
        process = subprocess.Popen(
            command,
            env={**server.environment, **settings, "PYTHONPATH": paths},
            cwd="/",
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@dataclass(frozen=True)
class Walked:
    """A study that is walked through.

    Attributes:
        overrides: What deploys it, without its store.
        deployment: The names of its flow and of its deployment.
        in_the_way: Key of a result in whose place a folder stands until it is retried.
        task: Words of the task run that makes that result.
        findings: The key of the artifact with its findings.
        form: Words of its settings in the deployment's form.
    """

    overrides: tuple[str, ...]
    deployment: str
    in_the_way: str
    task: str
    findings: str
    form: str


def comparison() -> Walked:
    """Return a small comparison, one of whose shards fails."""
    a, _ = Comparison.of(request(TINY).study).trainings
    shard = shard_key(a.subsets, 2)
    task, findings = "trained as is subsets shard 2", "digits-watermark-findings"
    return Walked(TINY, "compare/digits_watermark", shard, task, findings, "algorithm.a")


def walk(server: PrefectServer, folder: Path, root: Path, walked: Walked) -> dict[str, Any]:
    """Deploy a study, let a step fail, take pictures, retry by a click, take pictures again; return the ended run.

    Args:
        server: The Prefect server.
        folder: Where pictures go.
        root: An empty folder for the store.
        walked: The study.
    """
    server.ask("work_pools/", {"name": "here", "type": "process"})
    study = *walked.overrides, f"store.root={root}"
    deploy = [sys.executable, "-m", "modeldiff_platform.flows.cli", "deploy", *study, "deployment.pool=here"]
    paths = os.pathsep.join([str(Path.cwd()), *filter(None, [os.environ.get("PYTHONPATH")])])
    subprocess.run(deploy, env={**server.environment, "PYTHONPATH": paths}, check=True, stdout=subprocess.DEVNULL)
    in_the_way = root / walked.in_the_way
    (in_the_way / "folder").mkdir(parents=True)
    deployment = server.ask(f"deployments/name/{walked.deployment}")
    with working(server, "here"), opened(server, folder) as ui:
        ui.open(f"deployments/deployment/{deployment['id']}/run", re.compile(walked.form, re.IGNORECASE))
        ui.photograph("ui-form")
        run = server.ask(f"deployments/{deployment['id']}/create_flow_run", {})["id"]
        _ended(server, run, "Failed")
        ui.open(f"runs/flow-run/{run}", walked.deployment.replace("/", " "), "Failed", "Logs")
        ui.photograph("ui-run")
        ui.tab("Task Runs", walked.task)
        ui.photograph("ui-shards")
        (in_the_way / "folder").rmdir()
        in_the_way.rmdir()
        ui.page.get_by_role("button", name="Retry").first.click()
        ui.page.locator(".p-modal__footer").get_by_role("button", name="Retry").click()
        ended: dict[str, Any] = _ended(server, run, "Completed")
        ui.open(f"runs/flow-run/{run}?tab=Artifacts", "Completed")
        ui.tab("Artifacts", walked.findings)
        ui.photograph("ui-artifacts")
    return ended


def _ended(server: PrefectServer, run: str, state: str, seconds: float = 400) -> Any:
    end = time.monotonic() + seconds
    while (current := server.ask(f"flow_runs/{run}"))["state_name"] != state:
        if time.monotonic() > end:
            raise RuntimeError(f"{current['state_name']}: {(server.folder / 'worker.log').read_text()[-3000:]}")
        time.sleep(0.5)
    return current
