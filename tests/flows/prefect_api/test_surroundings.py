"""Proxies that nobody asks for loopback, and a disk without room for the private server."""

import resource
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from modeldiff_core.errors import ConfigError
from modeldiff_platform.flows.prefect_api.server import prefect_api
from modeldiff_platform.flows.prefect_api.surroundings import (
    VARIABLES,
    check_proxies,
    direct,
    is_loopback,
    without_proxies,
)

ODD = [
    {"ALL_PROXY": "socks5://proxy.corp:1080"},
    {"http_proxy": "unknown://proxy.corp:1"},
    {"NO_PROXY": "::1,fd00::/8"},
    {"HTTPS_PROXY": "http://u:secret@proxy.corp:3128", "no_proxy": "10.0.0.0/8,fe80::/10"},
]


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.mark.parametrize("odd", ODD, ids=str)
def test_what_asks_loopback_knows_no_proxy(odd: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in odd.items():
        monkeypatch.setenv(name, value)
    with pytest.raises((ImportError, ValueError, httpx.InvalidURL)):
        httpx.Client()
    with pytest.raises(ConfigError, match=r"proxies: expected addresses .*, or unset them if example\.org") as raised:
        check_proxies("https://example.org/api")
    assert next(iter(odd)).upper() in str(raised.value)
    assert "secret" not in str(raised.value)
    for name, value in direct().items():
        monkeypatch.setenv(name, value)
    with httpx.Client() as client:
        assert client._mounts == {}
    check_proxies("https://example.org/api")


def test_other_hosts_keep_their_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    assert direct() == {}, "nothing is set where there are no proxies"
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.corp:3128")
    monkeypatch.setenv("NO_PROXY", "example.org, ::1")
    expected = "example.org,::1,127.0.0.1,localhost"
    assert without_proxies(("127.0.0.1", "localhost", "::1")) == {"NO_PROXY": expected, "no_proxy": expected}
    monkeypatch.setenv("no_proxy", "*")
    assert direct() == {}, "no proxy for anything"


@pytest.mark.parametrize(
    ("url", "ours"),
    [
        ("http://127.0.0.1:4200/api", True),
        ("http://user:word@localhost/api", True),
        ("http://[::1]:80/api", True),
        ("http://127.8.0.1", True),
        ("http://127.0.0.1.example.org/api", False),
        ("https://example.org/127.0.0.1", False),
    ],
)
def test_which_addresses_are_of_this_machine(url: str, ours: bool) -> None:
    assert is_loopback(url) == ours


@pytest.fixture
def no_room() -> Iterator[None]:
    """Files of this process may not grow beyond a megabyte."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.usefixtures("no_room")
def test_a_home_without_room_is_named_before_its_server_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.setenv("MODELDIFF_HOME", str(tmp_path))
    with (
        pytest.raises(ConfigError, match=r"MODELDIFF_HOME: expected a folder that can be written, .*too large"),
        prefect_api(),
    ):
        pass
    assert list((tmp_path / "prefect" / "leases").iterdir()) == []
