"""Takes the pictures of docs/serving.md from a real server: `python -m tests.serving.screenshots [FOLDER]`."""

import sys
import tempfile
from pathlib import Path

from tests.serving.browser import Page, browser
from tests.serving.running import running

DOCS = Path(__file__).parent.parent.parent / "docs"


def take(url, folder):
    """Write the pictures into a folder and return their paths."""
    pictures = [folder / "playground.png", folder / "playground-dark.png"]
    with browser() as chromium:
        for picture, scheme, at in zip(pictures, ("light", "dark"), ("0", "1000"), strict=True):
            shown = Page(chromium, url, 1280, 940, scheme)
            shown.page.locator("#travel").fill(at)
            shown.page.locator("#travel").blur()
            shown.page.wait_for_timeout(1500)
            shown.page.screenshot(path=picture)
            shown.context.close()
    return pictures


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as home, running(Path(home), "--log", "off") as server:
        for path in take(server.url, Path(sys.argv[1]) if len(sys.argv) > 1 else DOCS):
            print(path)
