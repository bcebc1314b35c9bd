"""A secret that the environment holds is nowhere in what a run leaves behind."""

import base64
import gzip
import json
import os
import pickle
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import LogFilter
from prefect.settings import PREFECT_API_URL, temporary_settings

from harness.commands import Commands, kill_all
from harness.s3_server import S3Server, s3_server
from harness.small_studies import DRILLED
from modeldiff_core.store import ObjectStore, StoreSettings

TINY = (*DRILLED, "subsets.models=160", "transformation@transformations=digits_watermark", "runner.workers=1")


def forms(secret: str) -> dict[str, bytes]:
    """The secret as it stands, quoted, and as it would look in base64 at any offset."""
    plain = secret.encode()
    found = {"plain": plain, "quoted": urllib.parse.quote_plus(secret).encode(), "hex": plain.hex().encode()}
    for skip in range(3):
        whole = base64.b64encode(b"\0" * skip + plain)
        found[f"base64 at {skip}"] = whole[4:-4]
    return found


@dataclass(frozen=True)
class Run:
    """A finished run: what it printed, where its objects are, its home folder, and the environment that it had."""

    out: str
    settings: StoreSettings
    home: Path
    environment: dict[str, str]
    server: S3Server


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """A run on S3, with another one that fails at the end of it, in a home of their own whose server is still up."""
    folder = tmp_path_factory.mktemp("secrets")
    (folder / "s3").mkdir()
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "AWS_"))}
    with s3_server(folder / "s3") as server, pytest.MonkeyPatch.context() as patch:
        for name, value in server.environment.items():
            patch.setenv(name, value)
        token = {"MODELDIFF_HOME": str(folder / "home"), "PYTHONUNBUFFERED": "1", "PREFECT_LOGGING_LEVEL": "DEBUG"}
        commands = Commands({**clean, **server.environment, **token}, folder)
        ui = commands.start("ui")
        assert ui.stdout is not None
        address = ui.stdout.readline().split()[2]
        settings = StoreSettings(f"s3://{server.bucket}/secrets", server.endpoint)
        place = [f"store.root={settings.root}", f"store.endpoint={settings.endpoint}"]
        done = commands.run("compare", *TINY, *place)
        assert done.returncode == 0, done.stdout + done.stderr
        failed = commands.run("compare", *TINY, *place, "algorithm_b.recipe.learning_rate=1e12")
        assert failed.returncode == 1, failed.stdout + failed.stderr
        refused = Commands({**commands.environment, "AWS_ACCESS_KEY_ID": "nobody"}, folder).run(
            "compare", *TINY, *place
        )
        assert refused.returncode == 2, refused.stdout + refused.stderr
        out = "".join(ended.stdout + ended.stderr for ended in (done, failed, refused))
        yield Run(out, settings, folder / "home", {**commands.environment, "UI": address}, server)
        kill_all(ui)


def complaints(where: str, data: bytes, secret: str) -> list[str]:
    if data[:2] == b"\x1f\x8b":
        data += gzip.decompress(data)
    return [f"{where} holds the secret ({form})" for form, word in forms(secret).items() if word in data]


def test_the_search_finds_what_is_planted() -> None:
    secret = "secret/of+the tests-9f3b61"
    for skip in range(3):
        inside = b"x" * skip + json.dumps({"key": secret}).encode()
        assert complaints("here", base64.b64encode(inside), secret)
    assert complaints("here", urllib.parse.urlencode({"key": secret}).encode(), secret)
    assert complaints("here", pickle.dumps({"key": secret}), secret)
    assert complaints("here", gzip.compress(secret.encode()), secret)
    assert not complaints("here", b"secret", secret)


@pytest.mark.nightly
def test_no_secret_is_printed(finished: Run) -> None:
    assert "Report: s3://" in finished.out
    assert "Diverged" in finished.out
    assert "PermissionError" in finished.out
    assert complaints("the terminal", finished.out.encode(), finished.server.secret_key) == []


@pytest.mark.nightly
def test_no_secret_is_in_the_store(finished: Run) -> None:
    store = ObjectStore(finished.settings)
    keys = [path[len(store.path("")) :] for path in store.fs.find(store.path(""))]
    assert {"index.html", "summary.json", "training.json"} <= {key.rsplit("/", 1)[-1] for key in keys}
    assert any(key.startswith(".prefect/results/") for key in keys)
    found = [line for key in keys for line in complaints(key, store.read(key), finished.server.secret_key)]
    assert found == []


@pytest.mark.nightly
def test_no_secret_is_in_the_home_folder(finished: Run) -> None:
    """Prefect's database with its journal, its logs and stored results."""
    files = [path for path in finished.home.rglob("*") if path.is_file()]
    assert any(path.suffix == ".db" and path.stat().st_size > 100_000 for path in files), files
    together = b"".join(path.read_bytes() for path in files)
    assert finished.settings.root.encode() in together, "the search reads what the runs wrote"
    found = [line for path in files for line in complaints(str(path), path.read_bytes(), finished.server.secret_key)]
    assert found == []


@pytest.mark.nightly
def test_no_secret_is_in_what_the_api_gives(finished: Run) -> None:
    """Parameters, states, logs, artifacts, variables, and blocks, which lie encrypted in the database, opened."""
    api = f"{finished.environment['UI']}/api"
    with temporary_settings({PREFECT_API_URL: api}), get_client(sync_client=True) as client:
        assert isinstance(client, SyncPrefectClient)
        answers = {}
        for what in ("flow_runs", "task_runs", "artifacts", "variables", "deployments", "events"):
            response = client._client.post(f"/{what}/filter", json={})
            assert response.status_code == 200, response.text
            answers[what] = response.content
        blocks = client._client.post("/block_documents/filter", json={"include_secrets": True})
        answers["blocks"] = blocks.content
        answers["logs"] = json.dumps([log.message for log in client.read_logs(LogFilter(), limit=200)]).encode()
        for run in json.loads(answers["flow_runs"]):
            states = client._client.get("/flow_run_states/", params={"flow_run_id": run["id"]})
            answers[f"states of {run['id']}"] = states.content
    assert {run["state_name"] for run in json.loads(answers["flow_runs"])} == {"Completed", "Failed"}
    assert len(json.loads(answers["task_runs"])) > 40
    assert any(finished.settings.root in json.dumps(block["data"]) for block in json.loads(answers["blocks"]))
    assert json.loads(answers["logs"])
    found = [line for what, data in answers.items() for line in complaints(what, data, finished.server.secret_key)]
    assert found == []


@pytest.mark.nightly
def test_no_secret_is_in_what_goes_between_processes(finished: Run) -> None:
    settings = {"root": finished.settings.root, "endpoint": finished.settings.endpoint}
    store = ObjectStore(StoreSettings(**settings))
    assert store.exists(".prefect/results") or store.sizes("")
    sent = (
        pickle.dumps(settings) + pickle.dumps(finished.settings) + pickle.dumps(store.fs) + store.fs.to_json().encode()
    )
    assert finished.server.endpoint.encode() in sent
    assert complaints("a message", sent, finished.server.secret_key) == []
