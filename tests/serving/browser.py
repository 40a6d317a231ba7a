"""Headless Chromium on the playground; skips with a reason where there is none."""

import shutil
from contextlib import contextmanager

import pytest

FLAGS = [
    "--no-sandbox",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
NAMES = ("chromium", "chromium-browser", "google-chrome")


@contextmanager
def browser():
    """Yield a browser of playwright."""
    driver = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip(f"no browser: none of {', '.join(NAMES)} is on the path")
    with driver.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield chromium
        chromium.close()


class Page:
    """The playground in a browser, with all it logged and requested."""

    def __init__(self, chromium, url, width=1440, height=900, scheme="light"):
        self.context = chromium.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme, accept_downloads=True
        )
        self.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=url)
        self.page = self.context.new_page()
        self.logged, self.requested = [], []
        self.page.on("console", lambda message: self.logged.append(message.text))
        self.page.on("pageerror", lambda error: self.logged.append(str(error)))
        self.page.on("request", lambda request: self.requested.append(request.url))
        self.page.goto(url)
        self.settled(1)

    def settled(self, least=None):
        """Wait until the page has drawn `least` times, or once more than now."""
        least = self.drawn() + 1 if least is None else least
        self.page.wait_for_function(f"() => Number(document.body.dataset.shown ?? 0) >= {least}", timeout=60_000)

    def drawn(self):
        return int(self.page.locator("body").get_attribute("data-shown") or 0)

    @contextmanager
    def redrawn(self):
        before = self.drawn()
        yield
        self.settled(before + 1)

    def pixels(self, canvas):
        """A canvas as text, to compare."""
        self.page.wait_for_timeout(400)  # labels fade in
        return self.page.evaluate("id => document.getElementById(id).toDataURL()", canvas)
