"""What tests ask of deployments on a server."""

from typing import Any

import psutil

from harness.commands import Commands, wait_for
from harness.prefect_server import PrefectServer


def deployment(server: PrefectServer, name: str) -> dict[str, Any]:
    found: dict[str, Any] = server.ask(f"deployments/name/compare/{name}")
    return found


def descendants_named(words: str) -> list[psutil.Process]:
    return [p for p in psutil.process_iter(["cmdline"]) if words in " ".join(p.info["cmdline"] or [])]


def completed(server: PrefectServer, here: Commands, deployment: str, seconds: float = 240) -> None:
    """Start a run of a deployment and wait until a worker has completed it."""
    run = server.ask(f"deployments/{deployment}/create_flow_run", {})
    wait_for(lambda: server.state(run["id"]) in ("Completed", "Failed", "Crashed"), seconds, "the end")
    assert server.state(run["id"]) == "Completed", (here.folder / "worker.log").read_text()[-3000:]


def deployed_before(server: PrefectServer, entrypoint: str, parameters: dict[str, Any]) -> str:
    """Return the id of a deployment as an earlier version registered it."""
    body = {
        "name": f"before {entrypoint}",
        "flow_id": server.ask("flows/", {"name": entrypoint.rpartition(".")[2]})["id"],
        "entrypoint": entrypoint,
        "path": "",
        "parameters": parameters,
        "work_pool_name": "here",
    }
    return str(server.ask("deployments/", body)["id"])
