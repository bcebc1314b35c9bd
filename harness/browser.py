"""The system's Chromium, driven by playwright, which the extra ``dev`` has."""

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser

NAMES = ("chromium", "chromium-browser", "google-chrome")


@contextmanager
def chromium() -> "Iterator[Browser]":
    """Yield the system's Chromium, or the one that `playwright install chromium` brought; closed at the end.

    Raises:
        playwright.sync_api.Error: Where there is no browser.
    """
    from playwright.sync_api import sync_playwright

    place = next(filter(None, map(shutil.which, NAMES)), None)
    sandbox = [] if os.getuid() else ["--no-sandbox"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=place, args=["--disable-gpu", *sandbox])
        yield browser
        browser.close()


def browser_or_skip() -> "Iterator[Browser]":
    """Yield the browser as a test's fixture does; the test is skipped where there is none."""
    import pytest

    sync_api = pytest.importorskip("playwright.sync_api")
    with ExitStack() as stack:
        try:
            browser = stack.enter_context(chromium())
        except sync_api.Error as error:
            pytest.skip(f"no Chromium: docker/system-packages.sh test brings it ({str(error).splitlines()[0]})")
        yield browser
