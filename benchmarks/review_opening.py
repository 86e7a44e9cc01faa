"""How long the review takes to open each patient, in a real browser without a graphics card.

    .venv/bin/python benchmarks/review_opening.py ../shared/data/sarcoma
    .venv/bin/python benchmarks/review_opening.py --large

The first opens the CT of every patient of the public sarcomas (docs/data.md) with its mask, one after another in one run; the
second a scan of 512 x 512 x 400 voxels. A time runs from the click to the picture: the scan is read by the server, sent,
prepared, and drawn. Needs the lock development, Node.js and Chromium.
"""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from preop.imaging import Geometry, Image, write_image
from preop.review.pages import BUILT_VARIABLE, find_pages

LARGE = (400, 512, 512)
CHROMIUM = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist"]
SERVER = "import sys; from preop.cli import main; sys.exit(main())"


def sarcomas(data: Path, folder: Path) -> Path:
    """Write the table of the public sarcomas."""
    lines = ["patient,ct-image,ct-tumour-segmentation"]
    patients = sorted(path for path in data.iterdir() if path.is_dir())
    lines += [f"{path.name},{path / 'CT_image.nii.gz'},{path / 'CT_mask.nii.gz'}" for path in patients]
    return write_table(folder, lines)


def large(folder: Path) -> Path:
    """Write one scan of 512 x 512 x 400 voxels with a mask, as large as a CT of chest and abdomen."""
    grid = Geometry.axis_aligned(LARGE, (1.0, 0.75, 0.75))
    voxels = np.random.default_rng(0).normal(40, 15, LARGE).astype(np.int16)
    voxels[:, :60] = -1000
    mask = np.zeros(LARGE, np.uint8)
    mask[180:220, 230:290, 230:290] = 1
    write_image(Image(voxels, grid), folder / "ct.nii.gz")
    write_image(Image(mask, grid), folder / "mask.nii.gz")
    return write_table(folder, ["patient,ct-image,ct-tumour-segmentation", "large,ct.nii.gz,mask.nii.gz"])


def write_table(folder: Path, lines: list[str]) -> Path:
    """Write a cohort table."""
    table = folder / "cohort.csv"
    table.write_text("\n".join(lines) + "\n")
    return table


def main() -> None:
    """Open every patient and print the times."""
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="?", type=Path, help="folder sarcoma of the public data")
    parser.add_argument("--large", action="store_true", help="a scan of 512 x 512 x 400 voxels instead")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        table = large(folder) if arguments.large else sarcomas(arguments.data.absolute(), folder)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        pages = find_pages(print)
        command = [sys.executable, "-c", SERVER, "review", str(table), "--masks", str(folder / "masks")]
        server = subprocess.Popen(
            [*command, "--port", str(port), "--study", "sarcoma_lung_metastasis"],
            env={**os.environ, BUILT_VARIABLE: str(pages)},
            stdout=subprocess.DEVNULL,
        )
        try:
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=CHROMIUM)
                context = browser.new_context(viewport={"width": 1400, "height": 860})
                context.add_init_script("localStorage.setItem('preop-reviewer', 'benchmark')")
                context.set_default_timeout(180_000)
                page = context.new_page()
                wait_for(port)
                page.goto(f"http://127.0.0.1:{port}/")
                page.wait_for_selector("tr[data-patient]")
                page.wait_for_function("() => !document.body.innerText.includes('being checked')")
                names = page.locator("td.name").all_inner_texts()
                times = []
                for number, name in enumerate(names, 1):
                    began = time.perf_counter()
                    page.goto(f"http://127.0.0.1:{port}/#/patient/{number}")
                    page.wait_for_selector(f".frame[data-patient='{number}']")
                    times.append(time.perf_counter() - began)
                    print(f"{name:12} {times[-1]:6.2f} s", flush=True)
                print(f"{len(times)} patients: median {statistics.median(times):.2f} s, longest {max(times):.2f} s")
                browser.close()
        finally:
            server.terminate()
            server.wait()


def wait_for(port: int) -> None:
    """Wait until the server listens."""
    for _ in range(600):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise SystemExit("The server did not start.")


if __name__ == "__main__":
    main()
