"""Building the image of a program."""

from __future__ import annotations

import os
import shlex
import subprocess

from preop.engines.containers import PLATFORM, SOURCES_LABEL, ContainerEngine
from preop.engines.programs import Program, sources_digest
from preop.errors import InvalidInputError, MissingToolError
from preop.grandchallenge.runtime import ApiMethod

BASE_IMAGE_VARIABLE = "PREOP_BASE_IMAGE"
BUILD_OPTIONS_VARIABLE = "PREOP_BUILD_OPTIONS"
SOURCE_DATE_EPOCH = 1735689600
"""Time that all files of an image have (2025-01-01), so that the same sources give the same image."""


def build_image(
    engine: ContainerEngine,
    program: Program,
    *,
    api_method: ApiMethod = "exec",
    base_image: str | None = None,
    options: list[str] | None = None,
) -> None:
    """Build a program's image; what the engine says goes to this process's own streams.

    A label says from which sources it was built, so that an image that is out of date is known as such. With podman the
    same sources on the same base give the same image on machines with the same processor, for which loops are compiled.

    Parameters
    ----------
    api_method
        How the platform is to run the image.
    base_image
        What to build on; by default what PREOP_BASE_IMAGE names, else the Dockerfile's own.
    options
        Further options of the engine's ``build``; by default those in PREOP_BUILD_OPTIONS, written as for a shell.

    Raises
    ------
    InvalidInputError
        If there is no Dockerfile, the program cannot serve and is to, or PREOP_BUILD_OPTIONS is not written as for a shell.
    MissingToolError
        If the build fails.
    """
    dockerfile = program.folder / "Dockerfile"
    if not dockerfile.is_file():
        raise InvalidInputError(f"{program.folder} holds no Dockerfile to build an image from.")
    check_api_method(program, api_method)
    base_image = base_image or os.environ.get(BASE_IMAGE_VARIABLE)
    command = [
        *(*engine.command, "build", f"--platform={PLATFORM}", f"--file={dockerfile}", f"--tag={program.image}"),
        f"--label={SOURCES_LABEL}={sources_digest(program)}",
        f"--label=org.opencontainers.image.title={program.title}",
        f"--label=org.opencontainers.image.version={program.version}",
        f"--build-arg=API_METHOD={api_method}",
        f"--build-arg=LOCK={program.requirements}",
        f"--build-arg=SOURCE_DATE_EPOCH={SOURCE_DATE_EPOCH}",
        *([f"--timestamp={SOURCE_DATE_EPOCH}"] if engine.name == "podman" else []),
        *([f"--build-arg=BASE_IMAGE={base_image}"] if base_image else []),
        *(_build_options() if options is None else options),
        str(program.repository),
    ]
    # Docker's old builder does not know the secrets that the Dockerfiles mount.
    environment = {**os.environ, "DOCKER_BUILDKIT": "1"}
    code = subprocess.run(command, env=environment, check=False).returncode
    if code:
        raise MissingToolError(
            f"{engine.name} could not build {program.image} (exit code {code}); its last lines above say why. "
            f"{BUILD_OPTIONS_VARIABLE} and {BASE_IMAGE_VARIABLE} adapt a build to a network behind a proxy."
        )


def check_api_method(program: Program, api_method: ApiMethod) -> None:
    """Refuse to make a server of a program that is none.

    Raises
    ------
    InvalidInputError
        If the program cannot serve and is to.
    """
    if api_method == "invoke" and not program.serves:
        raise InvalidInputError(
            f"{program.name} runs once for a submission and cannot serve: name the algorithms that shall, as in "
            "preop build --api-method invoke ALGORITHM."
        )


def _build_options() -> list[str]:
    written = os.environ.get(BUILD_OPTIONS_VARIABLE, "")
    try:
        return shlex.split(written)
    except ValueError as error:
        raise InvalidInputError(
            f"{BUILD_OPTIONS_VARIABLE} is {written!r}, which a shell could not read: {error}."
        ) from error
