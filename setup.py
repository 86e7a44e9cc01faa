"""Puts the algorithms with their models, and the evaluation, into the wheel; all else stands in pyproject.toml.

An editable install finds them in the checkout, and an image has only its own.
"""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
BUNDLED = "preop/bundled"
FOLDERS = ("algorithms", "evaluation")
LEFT_OUT = shutil.ignore_patterns("__pycache__", "*.pyc", ".*", "runs")


class BuildWithStudies(build_py):
    """The library, and beside it what it runs."""

    def run(self) -> None:
        """Copy the library as usual, then the studies."""
        super().run()
        if self.editable_mode:
            return
        target = Path(self.build_lib) / BUNDLED
        shutil.rmtree(target, ignore_errors=True)
        for name in FOLDERS:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, target / name, ignore=LEFT_OUT)


setup(cmdclass={"build_py": BuildWithStudies})
