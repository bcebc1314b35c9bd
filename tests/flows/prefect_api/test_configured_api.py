"""A configured API is used as it is; one that cannot be used, or leaves, is told in a line and without its password."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from modeldiff_core.errors import ConfigError, ModelDiffError
from modeldiff_platform.flows.prefect_api.configured import ui_url
from modeldiff_platform.flows.prefect_api.server import prefect_api
from modeldiff_platform.flows.prefect_api.surroundings import VARIABLES
from tests.flows.prefect_api.answering import HEALTHY, VERSION, answering
from tests.flows.prefect_api.users import environment


def test_a_configured_api_is_used_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELDIFF_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", "user:password")
    monkeypatch.delenv("PREFECT_UI_URL", raising=False)
    for name in VARIABLES:  # with proxies there would be more to set
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    with answering({"/api/health": HEALTHY, "/api/admin/version": VERSION}) as server:
        monkeypatch.setenv("PREFECT_API_URL", f"{server.url}/api")
        before = dict(os.environ)
        with prefect_api() as api:
            assert (api.api_url, api.ui_url, api.private) == (f"{server.url}/api", server.url, False)
            assert dict(os.environ) == before
        assert server.credentials == {"Basic dXNlcjpwYXNzd29yZA=="}
        server.credentials.clear()
        monkeypatch.setenv("PREFECT_API_URL", f"{server.url}/api".replace("//", "//in:address@"))
        with prefect_api() as api:
            assert server.credentials == {"Basic aW46YWRkcmVzcw=="}
            assert api.ui_url == server.url, "shown to everybody, so without the password"
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize(
    ("health", "version", "password", "cause"),
    [
        (HEALTHY, (401, "application/json", b""), "", "It answered 401: no credentials were sent"),
        ((403, "text/plain", b""), VERSION, "a:secret", "It answered 403: the credentials in PREFECT_API_AUTH_STRING"),
        ((200, "text/html", b"<html>"), VERSION, "", "usually ends in /api"),
        ((502, "text/plain", b""), VERSION, "", "It answered 502"),
        (HEALTHY, (500, "text/plain", b""), "", "It answered 500"),
    ],
    ids=["open health, closed API", "closed by a proxy", "a page", "no server behind a proxy", "fails when asked"],
)
def test_a_configured_api_that_cannot_be_used_says_why(
    health: tuple[int, str, bytes],
    version: tuple[int, str, bytes],
    password: str,
    cause: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", password)
    monkeypatch.delenv("PREFECT_API_KEY", raising=False)
    with answering({"/api/health": health, "/api/admin/version": version}) as server:
        monkeypatch.setenv("PREFECT_API_URL", f"{server.url}/api")
        with pytest.raises(ConfigError, match=cause) as raised, prefect_api():
            pass
    assert raised.value.key == "PREFECT_API_URL"
    assert "secret" not in str(raised.value)


def test_what_the_api_refuses_or_leaves_unanswered_later_is_said_in_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    from prefect.client.orchestration import get_client
    from prefect.settings import PREFECT_API_URL, temporary_settings

    told = b'{"exception_message": "Internal\nServer Error"}'
    with answering({"/api/health": HEALTHY, "/api/admin/version": VERSION}) as server:
        url = f"{server.url}/api"
        server.answers["/api/work_pools/any"] = (500, "application/json", told)
        monkeypatch.setenv("PREFECT_API_URL", url.replace("//", "//in:address@"))
        with (
            temporary_settings({PREFECT_API_URL: url}),
            pytest.raises(ModelDiffError) as refused,
            prefect_api(),
            get_client(sync_client=True) as client,
        ):
            client.read_work_pool("any")
    # as if the server went away after it was asked
    monkeypatch.setattr("modeldiff_platform.flows.prefect_api.server.check_api", lambda url: None)
    with pytest.raises(ModelDiffError) as gone, prefect_api():
        httpx.get(f"{url}/health")
    assert not isinstance(refused.value, ConfigError)
    assert str(refused.value) == (
        f"Prefect's API at {url}: GET /api/work_pools/any was answered with 500: "
        '{"exception_message": "Internal Server Error"}'
    )
    assert str(gone.value).startswith(f"Prefect's API at {url}: no connection: ConnectError")


def test_the_ui_address_is_the_one_that_prefect_infers(tmp_path: Path) -> None:
    apis = ["http://host:4200/api", "https://api.prefect.cloud/api/accounts/1/workspaces/2", "https://host/prefix/api"]
    oracle = """
import sys
from prefect.settings import Settings
print(*(Settings(api={"url": url}).ui_url for url in sys.argv[1:]))
"""
    command = [sys.executable, "-c", oracle, *apis]
    home = {"PREFECT_HOME": str(tmp_path)}
    inferred = subprocess.run(command, env=environment(tmp_path) | home, capture_output=True, text=True, check=True)
    assert [ui_url(api) for api in apis] == inferred.stdout.split()


@pytest.mark.parametrize(
    ("url", "cause"),
    [
        ("http://user:password@127.0.0.1:{port}/api", "Connection refused"),
        ("127.0.0.1:{port}", "does not begin with http"),
        ("data:text/plain,true", "does not begin with http"),
        ("http://user:password@[::1/api", "Invalid IPv6 URL"),
    ],
    ids=["nobody listens", "no scheme", "another scheme", "half an address"],
)
def test_an_unreachable_api_is_told_at_once_and_without_its_password(
    url: str, cause: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        monkeypatch.setenv("PREFECT_API_URL", url.format(port=unused.getsockname()[1]))
        began = time.monotonic()
        with pytest.raises(ConfigError, match=f"PREFECT_API_URL.*{cause}") as raised, prefect_api():
            pass
    assert time.monotonic() - began < 30
    assert "password" not in str(raised.value)
