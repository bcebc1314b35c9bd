"""What a command's environment may not do to it: proxies that loopback is asked through, and usage data sent away."""

import os
import re
from pathlib import Path
from urllib.parse import urlsplit

from modeldiff_core.errors import ConfigError

STAYS_HERE = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
}
"""Prefect sends no usage data, and starts no server of its own where no API is configured, which would send some."""
LOOPBACK = ("127.0.0.1", "localhost", "::1")
"""Hosts that no proxy is ever asked for."""
NO_HTTPX_PROXY = "*"
"""Among other hosts in NO_PROXY this turns the proxies of httpx off, and those of nothing else here."""
VARIABLES = "ALL_PROXY", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"


def stays_here() -> None:
    """Set, for as long as this process lives, what keeps Prefect from sending anything to anybody.

    It is never put back: a thread of Prefect that outlasts its run would start a server of its own, which reports to
    its makers. Nor is a proxy ever asked for loopback, whatever is there: an S3 server, say.
    """
    os.environ.update(STAYS_HERE)
    os.environ.update(without_proxies(LOOPBACK))


def without_proxies(hosts: tuple[str, ...]) -> dict[str, str]:
    """Return what to set so that these hosts, too, are reached without a proxy: nothing where there are no proxies."""
    if not any(os.environ.get(name) or os.environ.get(name.lower()) for name in VARIABLES):
        return {}
    # the lower-case name is the one that counts where both are set
    before = next((value for name in ("no_proxy", "NO_PROXY") if (value := os.environ.get(name))), "")
    there = [host for host in map(str.strip, before.split(",")) if host]
    if there == ["*"]:
        return {}
    value = ",".join([*there, *(host for host in hosts if host not in there)])
    return {"NO_PROXY": value, "no_proxy": value}


def direct() -> dict[str, str]:
    """Return the environment in which Prefect's clients, which are asked for loopback only, know no proxy.

    httpx, their library, reads the variables of all proxies before it looks at the address: it fails at a SOCKS proxy
    without a package of its own, at a scheme that it does not know, and at ranges of IPv6 addresses in NO_PROXY.
    """
    return without_proxies((*LOOPBACK, NO_HTTPX_PROXY))


def is_loopback(url: str) -> bool:
    """Return whether an address is of this machine alone."""
    host = urlsplit(url).hostname or ""
    return host in LOOPBACK or re.fullmatch(r"127(\.\d+){3}", host) is not None


def check_proxies(url: str) -> None:
    """Raise ConfigError if Prefect's client cannot make sense of the proxies on the way to an address elsewhere."""
    import httpx

    try:
        httpx.Client().close()
    except (ImportError, ValueError, httpx.InvalidURL) as error:
        given = {name: value for name in VARIABLES if (value := os.environ.get(name.lower()) or os.environ.get(name))}
        shown = ", ".join(f"{name}={value.rpartition('@')[2]}" for name, value in given.items())
        why = str(error).rstrip(".")
        hint = f"{why}. Set them otherwise for this command, or unset them if {urlsplit(url).hostname} needs no proxy"
        raise ConfigError(
            "proxies", "addresses that Prefect's client knows (http://, https://)", shown, hint
        ) from error


def home_folder() -> Path:
    """Return the folder of the private server and of log files: ``$MODELDIFF_HOME``, or ``~/.modeldiff``."""
    return Path(os.environ.get("MODELDIFF_HOME") or "~/.modeldiff")
