"""A page as PDF, for a tumour board: printed by the browser that is there, without a window and without a network."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from preop.atomic import replacing
from preop.errors import InvalidOutputError, MissingToolError

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "microsoft-edge")
TIMEOUT_S = 120


def find_browser() -> str | None:
    """Find a browser that prints without a window."""
    return next((found for name in BROWSERS if (found := shutil.which(name))), None)


def print_page(page: Path, pdf: Path) -> None:
    """Print a page on A4.

    Raises
    ------
    MissingToolError
        If no browser that can do it is found.
    InvalidOutputError
        If the browser does not print it.
    """
    browser = find_browser()
    if browser is None:
        raise MissingToolError(
            f"There is no browser here that prints without a window (looked for {', '.join(BROWSERS)}): install Chromium "
            f"(on Debian or Ubuntu: apt install chromium), or open {page} in any browser and print it to PDF."
        )
    # Chromium refuses to run as root with its own isolation; the page is ours and reaches nothing.
    as_root = ["--no-sandbox"] if os.geteuid() == 0 else []
    with tempfile.TemporaryDirectory() as profile, replacing(pdf, suffix=".pdf") as partial:
        command = [browser, "--headless", *as_root, "--disable-gpu", "--disable-background-networking"]
        command += [f"--user-data-dir={profile}", "--no-pdf-header-footer", f"--print-to-pdf={partial}"]
        try:
            done = subprocess.run(
                [*command, page.absolute().as_uri()], capture_output=True, timeout=TIMEOUT_S, check=False
            )
        except subprocess.TimeoutExpired:
            raise InvalidOutputError(f"{browser} did not print {page} within {TIMEOUT_S} s; try again.") from None
        if done.returncode != 0 or not partial.stat().st_size:
            raise InvalidOutputError(
                f"{browser} could not print {page} (exit code {done.returncode}); open it and print it."
            )
