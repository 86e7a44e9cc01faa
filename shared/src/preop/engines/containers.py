"""Docker and podman as engines: a container as strict as the platform's."""

from __future__ import annotations

import functools
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from preop.engines.base import DEFAULT_OPTIONS, Engine, Identity, Started, data_limit_bytes, spawn, succeeds
from preop.engines.programs import Program, sources_digest
from preop.engines.workspace import readable_by_all
from preop.errors import MissingToolError
from preop.folders import PACKAGES
from preop.grandchallenge.options import Options
from preop.grandchallenge.roots import Roots
from preop.grandchallenge.runtime import API_METHOD_VARIABLE, END_EARLY_VARIABLE, ApiMethod

PLATFORM = "linux/amd64"
SOURCES_LABEL = "preop.sources"
_PACKAGES = """
import json, platform
from importlib.metadata import distributions
found = {each.metadata["Name"]: each.version for each in distributions()}
print(json.dumps({"python": platform.python_version(), **found}))
"""
_VERSION = re.compile(r"[0-9][0-9A-Za-z.+!-]{0,40}")
_PROCESS_LIMIT = 4096
_OPEN_FILES_LIMIT = 1024


@dataclass(frozen=True)
class ContainerEngine(Engine):
    """Docker or podman.

    Attributes
    ----------
    name
        The program's name.
    command
        How to call it: the program and options that go before its subcommand.
    run_options
        What ``run`` needs on this machine in addition.
    limits_resources
        Whether this machine lets it limit memory and number of processes.
    """

    name: str
    command: tuple[str, ...]
    run_options: tuple[str, ...] = ()
    limits_resources: bool = True

    @property
    def own_network(self) -> bool:
        """Always."""
        return True

    @property
    def isolation(self) -> str:
        """What is shut off, in words."""
        limits = "limits on memory and processes" if self.limits_resources else "only the data segment limited"
        return f"{self.name} container: no network, no capabilities, read-only input and model, not root, {limits}"

    def start(
        self,
        program: Program,
        folders: Mapping[str, Path],
        work: Path,
        *,
        method: ApiMethod,
        options: Options = DEFAULT_OPTIONS,
    ) -> Started:
        """Run the program's image in the foreground."""
        if self.labels_of(program) is None:
            raise MissingToolError(_no_image(self, program))
        self._end_orphans()
        container = f"preop-{program.name}-{uuid.uuid4().hex[:12]}-pid{os.getpid()}"
        places = Roots()
        volumes = [
            f"--volume={folder}:{getattr(places, name)}{'' if name == 'output' else ':ro'}"
            for name, folder in folders.items()
        ]
        process = spawn(
            [
                *(*self.command, "run", "--rm", f"--name={container}", *self.restrictions(program.memory_gb)),
                *(self._gpu_options() if program.gpu else ()),
                *volumes,
                f"--env={API_METHOD_VARIABLE}={method}",
                f"--env={END_EARLY_VARIABLE}=1",
                *(f"--env={name}={value}" for name, value in options.environment().items()),
                program.image,
            ],
            work,
        )

        def send(number: signal.Signals) -> None:
            subprocess.run(
                [*self.command, "kill", f"--signal={number.name}", container], capture_output=True, check=False
            )

        return Started(process, send, lambda: [*self.command, "exec", container, "python"])

    def restrictions(self, memory_gb: int) -> list[str]:
        """Give the options of ``run`` that make a container as strict as the platform's."""
        limits = [f"--memory={memory_gb}g", f"--pids-limit={_PROCESS_LIMIT}"] if self.limits_resources else []
        return [
            f"--platform={PLATFORM}",
            "--network=none",
            "--cap-drop=ALL",
            "--security-opt=no-new-privileges",
            "--security-opt=label=disable",  # SELinux would refuse the mounted folders; without SELinux it says nothing
            *limits,
            f"--shm-size={memory_gb * 512}m",
            f"--ulimit=data={data_limit_bytes(memory_gb)}:{data_limit_bytes(memory_gb)}",
            "--tmpfs=/tmp",
            *self.run_options,
        ]

    def identify(self, program: Program) -> Identity:
        """Tell the image, the sources that its label states, and the versions inside of it.

        Raises
        ------
        MissingToolError
            If there is no such image.
        """
        labels = self.labels_of(program)
        if labels is None:
            raise MissingToolError(_no_image(self, program))
        stated = labels.get(SOURCES_LABEL, "")
        sources = stated if re.fullmatch("[0-9a-f]{64}", stated) else None
        return Identity(self.name, self.image_of(program), sources, self._versions(program))

    def image_of(self, program: Program) -> str | None:
        """Give the digest of the program's image (SHA-256, hexadecimal), or None if there is no such image."""
        command = [*self.command, "image", "inspect", "--format={{.Id}}", program.image]
        said = subprocess.run(command, capture_output=True, text=True, check=False).stdout
        return said.strip().removeprefix("sha256:") or None

    def _versions(self, program: Program) -> dict[str, str]:
        """Ask the image for its packages; it may be anyone's, and its answer is taken for nothing but versions."""
        run = [
            *self.command,
            "run",
            "--rm",
            *self.restrictions(program.memory_gb),
            "--entrypoint=python",
            program.image,
        ]
        done = subprocess.run([*run, "-c", _PACKAGES], capture_output=True, text=True, check=False, errors="replace")
        try:
            told = json.loads(done.stdout)
            found = {name: str(told[name]) for name in ("python", *PACKAGES) if name in told}
        except (ValueError, TypeError):
            return {}
        return {name: version for name, version in found.items() if _VERSION.fullmatch(version)}

    def share(self, folder: Path, work: Path) -> Path:
        """Copy the folder if the container's user could not read all of it, or if links lead out of it."""
        if readable_by_all(folder):
            return folder
        copy = Path(tempfile.mkdtemp(dir=work)) / folder.name
        shutil.copytree(folder, copy, copy_function=shutil.copyfile)
        for path in (copy, *copy.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
        return copy

    def reclaim(self, folder: Path, program: Program) -> None:
        """Hand over what the container's user wrote: only root, here or in a container, may change the owner."""
        owner = folder.stat()
        foreign = [path for path in folder.rglob("*") if path.lstat().st_uid != owner.st_uid]
        if not foreign:
            return
        if os.geteuid() == 0:
            for path in foreign:
                os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)
            return
        # Inside, the folder's owner is whoever called, also where users are mapped (rootless podman or docker).
        subprocess.run(
            [
                *(*self.command, "run", "--rm", "--network=none", "--security-opt=label=disable", "--user=0:0"),
                *(*self.run_options, f"--volume={folder}:/output", "--entrypoint=chown", program.image),
                *("-R", "--no-dereference", "--reference=/output", "/output"),
            ],
            capture_output=True,
            check=False,
        )

    def labels_of(self, program: Program) -> dict[str, str] | None:
        """Give the labels of the program's image, or None if there is no such image."""
        try:
            said = subprocess.run(
                [*self.command, "image", "inspect", "--format={{json .Config.Labels}}", program.image],
                capture_output=True,
                check=True,
            ).stdout
        except (OSError, subprocess.CalledProcessError):
            return None
        return json.loads(said) or {}

    def _end_orphans(self) -> None:
        """End the containers that runs of this machine left behind when they were killed."""
        command = [*self.command, "ps", "--filter=name=^preop-", "--format={{.Names}}"]
        names = subprocess.run(command, capture_output=True, text=True, check=False).stdout.split()
        for name in names if Path("/proc/self").exists() else ():
            owner = re.search(r"-pid(\d+)$", name)
            if owner and not Path(f"/proc/{owner[1]}").exists():
                subprocess.run([*self.command, "kill", name], capture_output=True, check=False)

    def _gpu_options(self) -> list[str]:
        if not succeeds(["nvidia-smi"]):
            return []
        return ["--gpus=all"] if self.name == "docker" else ["--device=nvidia.com/gpu=all"]


def image_problem(engine: ContainerEngine, program: Program) -> str | None:
    """Say in a sentence why the engine cannot run a program as it is now; None where its image is there and current."""
    labels = engine.labels_of(program)
    if labels is None:
        return _no_image(engine, program)
    if program.imported:
        return None
    if labels.get(SOURCES_LABEL) == sources_digest(program):
        return None
    return (
        f"{engine.name}'s image {program.image} was built from other sources: "
        f"build it again with ./build.sh {program.name}"
    )


def _no_image(engine: ContainerEngine, program: Program) -> str:
    return f"{engine.name} has no image {program.image}: build it with ./build.sh {program.name}"


@functools.cache
def find_docker() -> ContainerEngine | None:
    """Find docker, if its daemon answers."""
    engine = ContainerEngine("docker", ("docker",))
    return engine if succeeds(["docker", "version", "--format={{.Server.Version}}"]) else None


@functools.cache
def find_podman() -> ContainerEngine | None:
    """Find podman, if it can run a container under all restrictions."""
    try:
        info = subprocess.run(["podman", "info", "--format=json"], capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    host = json.loads(info)["host"]
    # crun does not run in version 1 of the control groups, nor in a mixture of both versions.
    old_groups = host.get("cgroupVersion") == "v1" and shutil.which("runc")
    engine = ContainerEngine(
        "podman",
        # Its warnings would stand among the lines of the program, whose last one is the error.
        ("podman", "--log-level=error", *(["--runtime=runc"] if old_groups else [])),
        # podman would raise these limits above those of the caller, which not every caller may do.
        tuple(
            f"--ulimit={name}={limit}:{limit}"
            for name, limit in (("nofile", _OPEN_FILES_LIMIT), ("nproc", _PROCESS_LIMIT))
        ),
    )
    # A container without an image: where all else works, it gets as far as missing its program (exit code 127).
    with tempfile.TemporaryDirectory() as empty:
        trial = subprocess.run(
            [*engine.command, "run", "--rm", *engine.restrictions(memory_gb=1), "--rootfs", empty, "/missing"],
            capture_output=True,
            text=True,
            check=False,
        )
    # Without root, version 1 of the control groups does not limit anything: podman says so and goes on.
    limits = "limits are not supported" not in trial.stderr
    return replace(engine, limits_resources=limits) if trial.returncode == 127 else None
