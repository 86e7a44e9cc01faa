"""Whether two builds of the same sources give the same image: ``python benchmarks/reproducible.py ALGORITHM``.

Builds twice without a cache, under a tag of its own, and compares the digests of image and archive. Needs podman; takes as
long as two builds.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from preop.cli import repository
from preop.engines.archive import check_archive, save_image
from preop.engines.building import BUILD_OPTIONS_VARIABLE, build_image
from preop.engines.choosing import find_engine
from preop.engines.containers import ContainerEngine
from preop.engines.programs import algorithm_program
from preop.folders import sha256


def main() -> None:
    """Build, save, compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("algorithm")
    program = algorithm_program(repository.find_algorithm(parser.parse_args().algorithm))
    program = dataclasses.replace(program, version=f"{program.version}-reproducible")
    engine = find_engine()
    if not isinstance(engine, ContainerEngine):
        sys.exit("No container engine works here.")
    options = ["--no-cache", *shlex.split(os.environ.get(BUILD_OPTIONS_VARIABLE, ""))]
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for number in (1, 2):
            build_image(engine, program, options=options)
            archive = Path(folder) / f"{number}.tar.gz"
            save_image(engine, program, archive)
            found.append((check_archive(archive).sha256, sha256(archive)))
            print(f"build {number}: image {found[-1][0]}, archive {found[-1][1]}", flush=True)
    subprocess.run([*engine.command, "rmi", program.image], capture_output=True, check=False)
    sys.exit("The two builds differ." if found[0] != found[1] else None)


if __name__ == "__main__":
    main()
