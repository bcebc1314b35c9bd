"""Notices that a deployment sends: a webhook of a real server hears of failure and completion."""

import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from harness.commands import wait_for
from harness.prefect_server import PrefectServer
from modeldiff_platform.flows.cli import main


class _Hook(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.server.told.append(self.rfile.read(int(self.headers["Content-Length"])).decode())  # type: ignore[attr-defined]
        self.send_response(200)
        self.end_headers()

    def log_message(self, *args: object) -> None:
        pass


SAVE = """
import sys
from prefect.blocks.notifications import CustomWebhookNotificationBlock
CustomWebhookNotificationBlock(name="team", url=sys.argv[1], json_data={"text": "{{subject}} | {{body}}"}).save("team")
"""
ENDS = """
from prefect import flow
@flow(name="compare", flow_run_name="compare {study}")
def compare(study):
    if study == "doomed":
        raise ValueError("out of luck")
compare("fine")
compare("doomed", return_state=True)
"""


@pytest.mark.usefixtures("client_here")
def test_notices_of_failure_and_completion_reach_a_webhook(
    server: PrefectServer, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    told: list[str] = []
    with ThreadingHTTPServer(("127.0.0.1", 0), _Hook) as hook:
        hook.told = told  # type: ignore[attr-defined]
        threading.Thread(target=hook.serve_forever, args=(0.01,), daemon=True).start()
        asked = ["deploy", f"store.root={tmp_path}", "deployment.pool=here", "deployment.name=noticed", "--notify"]
        assert main([*asked, "slack-webhook/nobody"]) == 2
        assert "--notify: expected kind/name of a notification block" in capsys.readouterr().err
        url = f"http://127.0.0.1:{hook.server_port}"
        subprocess.run([sys.executable, "-c", SAVE, url], env=server.environment, check=True, timeout=120)
        assert main([*asked, "custom-webhook/team"]) == 0
        subprocess.run([sys.executable, "-c", ENDS], env=server.environment, check=True, timeout=120)
        wait_for(lambda: len(told) >= 2, 120, "both notices")
        hook.shutdown()
    assert any("compare fine: Completed" in text for text in told)
    assert any("compare doomed: Failed" in text and "out of luck" in text for text in told)
