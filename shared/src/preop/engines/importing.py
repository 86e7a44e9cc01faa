"""What somebody else has exported, taken in: an image from its archive, and a model from its own.

Both may come from anyone. Their checksums are compared first; of the archive of an image only the image goes to docker or
podman, without the names it has there, so that no image of this machine is replaced; a model is unpacked file by file into a
new folder.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import shutil
import subprocess
import tarfile
import tempfile
from dataclasses import replace
from pathlib import Path

from preop.atomic import replacing_folder
from preop.engines.archive import (
    CHECKSUMS,
    ImageArchive,
    check_archive,
    check_model_archive,
    entries_of,
    streams_of,
    whole,
)
from preop.engines.containers import ContainerEngine
from preop.engines.programs import Program
from preop.errors import InvalidInputError, InvalidOutputError, MissingToolError
from preop.folders import sha256
from preop.grandchallenge.algorithm import LARGEST_UPLOAD_BYTES
from preop.grandchallenge.roots import below

TITLE_LABEL = "org.opencontainers.image.title"
MOST_FILES = 10_000


def check_listed(path: Path) -> str:
    """Compare a file with the list of checksums beside it, as ``preop export`` writes it, and give its SHA-256.

    Raises
    ------
    InvalidInputError
        If there is no such file or list, the file is not in it, or holds something else.
    """
    if not path.is_file():
        raise InvalidInputError(f"There is no file {path}.")
    checksums = path.with_name(CHECKSUMS)
    if not checksums.is_file():
        raise InvalidInputError(
            f"There is no {CHECKSUMS} beside {path}, so that nobody can tell whether it arrived whole: ask for all files of "
            "the export."
        )
    lines = (line.split(maxsplit=1) for line in checksums.read_text(errors="replace").splitlines())
    listed = {words[1].removeprefix("*"): words[0] for words in lines if len(words) == 2}
    if path.name not in listed:
        raise InvalidInputError(f"{checksums} does not list {path.name}; it lists {', '.join(listed) or 'nothing'}.")
    found = sha256(path)
    if found != listed[path.name].lower():
        raise InvalidInputError(
            f"{path} is not the file that was exported: its SHA-256 is {found}, and {CHECKSUMS} lists {listed[path.name]:.64}."
        )
    return found


def imported_program(engine: ContainerEngine, program: Program, archive: Path) -> tuple[Program, ImageArchive]:
    """Load the image in an archive, unless it is there, and give the program that runs it in place of one built here.

    Raises
    ------
    InvalidInputError
        If the archive is not what its checksum says, holds another program, or is none that the platform would take.
    MissingToolError
        If the engine does not take the image.
    """
    check_listed(archive)
    try:
        described = check_archive(archive)
        config = next(content for entry, content in entries_of(archive) if entry.name == described.config)
    except InvalidOutputError as error:
        raise InvalidInputError(str(error)) from None
    if hashlib.sha256(config).hexdigest() != described.sha256:
        raise InvalidInputError(
            f"{archive.name} calls its image {described.sha256[:12]}, and that is not its checksum."
        )
    title = (json.loads(config)["config"].get("Labels") or {}).get(TITLE_LABEL)
    if title is not None and title != program.title:
        raise InvalidInputError(f"{archive.name} holds {str(title)[:80]!r}; expected an image of {program.title}.")
    imported = replace(program, imported=f"sha256:{described.sha256}")
    if engine.labels_of(imported) is None:
        imported = replace(imported, imported=_load(engine, archive, described))
    return imported, described


def _load(engine: ContainerEngine, archive: Path, described: ImageArchive) -> str:
    """Hand the image alone to the engine, which compares its layers with their checksums; give its identity there."""
    wanted = {described.config, *described.layers}
    manifest = json.dumps([{"Config": described.config, "RepoTags": None, "Layers": list(described.layers)}]).encode()
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen([*engine.command, "load"], stdin=subprocess.PIPE, stdout=said, stderr=said)
        assert process.stdin is not None  # noqa: S101 - a pipe was asked for
        try:
            with whole(archive), process.stdin as pipe, tarfile.open(fileobj=pipe, mode="w|") as tar:
                for entry, file in streams_of(archive):
                    if entry.name in wanted:
                        tar.addfile(entry, file)
                entry = tarfile.TarInfo("manifest.json")
                entry.size = len(manifest)
                tar.addfile(entry, io.BytesIO(manifest))
        except BrokenPipeError:
            pass  # it has refused: told below
        code = process.wait()
        said.seek(0)
        text = said.read().decode(errors="replace")
    if code:
        last = [line.strip() for line in text.splitlines() if line.strip()][-1:]
        raise MissingToolError(
            f"{engine.name} does not take the image in {archive.name}: {''.join(last) or 'no reason given'}"
        )
    identity = re.search("sha256:[0-9a-f]{64}", text)
    return identity[0] if identity else f"sha256:{described.sha256}"


def unpack_model(archive: Path, output: Path) -> Path:
    """Unpack a model archive into a hidden folder of the output, unless it is there, and give that.

    Raises
    ------
    InvalidInputError
        If the archive is not what its checksum says, is damaged, or holds anything but plain files below its top, or more
        than the platform takes.
    """
    folder = output / f".model-{check_listed(archive)[:16]}"
    if not folder.is_dir():
        try:
            check_model_archive(archive)
            with replacing_folder(folder) as partial, whole(archive):
                _unpack(archive, partial)
        except InvalidOutputError as error:
            raise InvalidInputError(str(error)) from None
        except OSError as error:
            raise InvalidInputError(
                f"{archive.name} cannot be unpacked: {error.strerror} ({error.filename})."
            ) from None
    return folder


def _unpack(archive: Path, root: Path) -> None:
    size = 0
    for count, (entry, file) in enumerate(streams_of(archive)):
        size += entry.size
        if count >= MOST_FILES or size > LARGEST_UPLOAD_BYTES:
            raise InvalidInputError(
                f"{archive.name} holds more than {LARGEST_UPLOAD_BYTES / 1e9:.0f} GB or {MOST_FILES:,} files, and the "
                "platform takes no more."
            )
        if file is not None:
            target = below(root, entry.name)
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("xb") as opened:
                shutil.copyfileobj(file, opened, 2**20)
