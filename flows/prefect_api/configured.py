"""The Prefect API in PREFECT_API_URL: its address without credentials, its UI, and whether it answers."""

import base64
import os
import ssl
import urllib.error
import urllib.request
from http import HTTPStatus
from http.client import HTTPException
from urllib.parse import unquote, urlsplit

from modeldiff_core.errors import ConfigError
from modeldiff_platform.flows.prefect_api.surroundings import check_proxies, is_loopback

ANSWER_TIMEOUT = 5.0  # seconds


def check_api(api_url: str) -> None:
    """Asks a configured API whether it lives and lets this user in."""
    try:
        in_address = urlsplit(api_url).netloc.rpartition("@")[0]
        bare = without_credentials(api_url).rstrip("/")
    except ValueError as error:  # such as an IPv6 address without its closing bracket
        raise _no_api(api_url.rpartition("@")[2], str(error)) from None
    if not bare.startswith(("http://", "https://")):
        raise _no_api(bare, "It does not begin with http:// or https://")
    source, headers = _credentials(unquote(in_address))
    handlers: list[urllib.request.BaseHandler] = [urllib.request.HTTPSHandler(context=_tls())]
    if is_loopback(bare):
        handlers.append(urllib.request.ProxyHandler({}))
    else:
        check_proxies(bare)
    opener = urllib.request.build_opener(*handlers)
    # health is open to all, also where the API asks for a password; the version is not (Prefect Cloud has none: 404)
    for path in ("health", "admin/version"):
        try:
            request = urllib.request.Request(f"{bare}/{path}", headers=headers)  # noqa: S310
            with opener.open(request, timeout=ANSWER_TIMEOUT) as answer:
                is_page = "html" in answer.headers.get("Content-Type", "")
        except urllib.error.HTTPError as error:
            if error.code in (401, 403):
                raise _refused(bare, error.code, source) from None
            if path == "health" or error.code >= HTTPStatus.INTERNAL_SERVER_ERROR:
                raise _no_api(bare, f"It answered {error.code} {error.reason}") from None
            continue
        except (OSError, ValueError, HTTPException) as error:
            cause = error.reason if isinstance(error, urllib.error.URLError) else error
            raise _no_api(bare, f"No connection: {cause}") from None
        if is_page:
            raise _no_api(bare, "It answered with a web page; the API's address usually ends in /api")


def without_credentials(api_url: str) -> str:
    """Return the address without the credentials that it may contain."""
    parts = urlsplit(api_url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def ui_url(api_url: str) -> str:
    """Return where the UI is by Prefect's own convention, on a server and on Prefect Cloud."""
    url = (
        api_url.rstrip("/").removesuffix("/api").replace("https://api.prefect.cloud/api/", "https://app.prefect.cloud/")
    )
    return url.replace("/accounts/", "/account/").replace("/workspaces/", "/workspace/")


def _credentials(in_address: str) -> tuple[str, dict[str, str]]:
    """Return where the credentials come from ("" if there are none), and the header that sends them as Prefect
    would.
    """
    if password := in_address or os.environ.get("PREFECT_API_AUTH_STRING"):
        token = base64.b64encode(password.encode()).decode()
        return "the address" if in_address else "PREFECT_API_AUTH_STRING", {"Authorization": f"Basic {token}"}
    if key := os.environ.get("PREFECT_API_KEY"):
        return "PREFECT_API_KEY", {"Authorization": f"Bearer {key}"}
    return "", {}


def _tls() -> ssl.SSLContext:
    """Return the same trust as Prefect's client has."""
    import certifi

    context = ssl.create_default_context(cafile=os.environ.get("PREFECT_API_SSL_CERT_FILE") or certifi.where())
    if os.environ.get("PREFECT_API_TLS_INSECURE_SKIP_VERIFY", "").lower() in ("1", "true", "yes", "on"):
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _no_api(url: str, cause: str) -> ConfigError:
    hint = f"{cause}. Start that server, correct the address, or unset the variable to use a private server."
    return ConfigError("PREFECT_API_URL", "a Prefect API that answers", url, hint)


def _refused(url: str, status: int, source: str) -> ConfigError:
    sent = f"the credentials in {source} are wrong" if source else "no credentials were sent"
    remedy = "Set PREFECT_API_AUTH_STRING=user:password, or PREFECT_API_KEY for Prefect Cloud"
    return ConfigError(
        "PREFECT_API_URL", "a Prefect API that accepts the credentials", url, f"It answered {status}: {sent}. {remedy}."
    )
