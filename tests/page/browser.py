"""Headless Chromium through Selenium: pages from files, with what the browser logged and asked for."""

from __future__ import annotations

import base64
import io
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-dev-shm-usage", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--window-size=1200,1000",
)  # fmt: skip


class Browser:
    """A window that shows one page at a time."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def open(self, path: Path, *, dark: bool = False, width: int = 1200) -> None:
        """Show a file, in a colour scheme and a width."""
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": scheme})
        metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        self.requests(), self.messages()  # of the page before
        self.driver.get(path.as_uri())

    def messages(self) -> list[str]:
        """Return what the page wrote to the console since the last call."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def requests(self) -> list[str]:
        """Return the addresses that the page asked for since the last call."""
        events = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        return [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]

    def run(self, script: str, *arguments: object) -> Any:
        """Run the body of a function in the page, after the next frame is drawn, and return its result."""
        settled = "const done = arguments[arguments.length - 1], given = [...arguments].slice(0, -1);"
        wrapped = (
            f"{settled} requestAnimationFrame(() => setTimeout(() => done((function () {{ {script} }})(...given))));"
        )
        return self.driver.execute_async_script(wrapped, *arguments)

    def text(self, selector: str) -> str:
        """Return the text of an element."""
        return str(self.run("return document.querySelector(arguments[0]).textContent;", selector))

    def find(self, selector: str) -> Any:
        """Return an element."""
        return self.driver.find_element("css selector", selector)

    def hover(self, element: Any) -> None:
        """Move the mouse to an element."""
        from selenium.webdriver.common.action_chains import ActionChains

        ActionChains(self.driver).move_to_element(element).perform()

    def press(self, *keys: str) -> None:
        """Press keys."""
        from selenium.webdriver.common.action_chains import ActionChains

        ActionChains(self.driver).send_keys(*keys).perform()

    def picture(self) -> np.ndarray:
        """Return the pixels of the window, (height, width, 3), from 0 to 1."""
        from PIL import Image

        shot = self.driver.execute_cdp_cmd("Page.captureScreenshot", {})["data"]
        return np.asarray(Image.open(io.BytesIO(base64.b64decode(shot))).convert("RGB")) / 255


@contextmanager
def open_browser() -> Iterator[Browser]:
    """Start a browser; skip the test, with the reason, where there is none."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="Selenium is not installed (pip install selenium)")
    pytest.importorskip("PIL", reason="Pillow is not installed (pip install pillow)")
    driver = os.environ.get("CHROMEDRIVER") or shutil.which("chromedriver")
    if driver is None:
        pytest.skip("no browser: chromedriver is not installed (on Debian: apt install chromium chromium-driver)")
    options = webdriver.ChromeOptions()
    for flag in FLAGS:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    started = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    try:
        yield Browser(started)
    finally:
        started.quit()
