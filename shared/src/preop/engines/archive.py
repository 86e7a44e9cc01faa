"""What is uploaded to grand-challenge.org: the archive of an image, and that of a model or a ground truth.

The archives are checked by the rules of the platform (``components/tasks.py`` of grand-challenge.org, 2025-11), on
what is in the file itself: no name in an archive is used as a path, and nothing is unpacked.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

from preop.atomic import PARTIAL
from preop.engines.containers import PLATFORM, ContainerEngine, image_problem
from preop.engines.programs import Program
from preop.errors import InvalidInputError, InvalidOutputError, MissingToolError
from preop.folders import locked, sha256
from preop.grandchallenge.algorithm import LARGEST_UPLOAD_BYTES
from preop.grandchallenge.runtime import API_METHOD_VARIABLE

API_METHOD_LABEL = "org.grand-challenge.api-method"
API_METHODS = ("exec", "invoke")
MODEL_ARCHIVE = "model.tar.gz"
GROUND_TRUTH_ARCHIVE = "ground_truth.tar.gz"
CHECKSUMS = "SHA256SUMS"

_LARGEST_METADATA_BYTES = 4 * 2**20
_MOST_METADATA_BYTES = 512 * 2**20
_COMPRESSION_LEVEL = 6
_GZIP_MAGIC = b"\x1f\x8b"
_DAMAGED = (EOFError, zlib.error, gzip.BadGzipFile, tarfile.TarError)


@dataclass(frozen=True)
class ImageArchive:
    """What the archive of an image says about it.

    Attributes
    ----------
    sha256
        Digest of the image, which the platform accepts only once.
    user
        Who the program runs as.
    api_method
        ``exec`` or ``invoke``.
    size_bytes
        Size of the archive.
    config, layers
        Names of what makes up the image, in the archive.
    """

    sha256: str
    user: str
    api_method: str
    size_bytes: int
    config: str
    layers: tuple[str, ...]


@dataclass(frozen=True)
class Export:
    """What an export left in its folder.

    Attributes
    ----------
    files
        The archives and their list of digests.
    written
        Those of them that are new; the others were there already with the same content.
    """

    folder: Path
    image: ImageArchive
    files: tuple[Path, ...]
    written: tuple[Path, ...]


def export(
    engine: ContainerEngine,
    program: Program,
    output: Path,
    *,
    model: Path | None = None,
    ground_truth: Path | None = None,
    force: bool = False,
) -> Export:
    """Write and check all that is uploaded for one program, in ``output/<name>``.

    An archive that is there already stays if it holds the same; if it holds something else, it is replaced only
    when forced.

    Parameters
    ----------
    model, ground_truth
        The folder that is uploaded beside the image of an algorithm, or of the evaluation.
    force
        Replace archives that hold something else.

    Raises
    ------
    InvalidOutputError
        If the platform would refuse an archive, or another one stands in the way.
    MissingToolError
        If the engine has no image of the program, or one that was built from other sources.
    """
    folder = output / program.name
    with locked(folder):
        return _export(engine, program, folder, model=model, ground_truth=ground_truth, force=force)


def _export(
    engine: ContainerEngine,
    program: Program,
    folder: Path,
    *,
    model: Path | None,
    ground_truth: Path | None,
    force: bool,
) -> Export:
    image_path = folder / f"{program.name}.tar.gz"
    files, written = [image_path], []

    with _in_the_making(image_path) as partial:
        save_image(engine, program, partial)
        image = check_archive(partial)
        if image.api_method == "invoke" and not program.serves:
            raise InvalidOutputError(
                f"The image of {program.name} is labelled {API_METHOD_LABEL}=invoke, and it cannot serve: build it again."
            )
        if _put(partial, image_path, lambda path: check_archive(path).sha256, force=force):
            written.append(image_path)

    for source, name in ((model, MODEL_ARCHIVE), (ground_truth, GROUND_TRUTH_ARCHIVE)):
        if source is None:
            continue
        path = folder / name
        with _in_the_making(path) as partial:
            write_folder_archive(source, partial)
            if source is model:
                check_model_archive(partial)
            if _put(partial, path, sha256, force=force):
                written.append(path)
        files.append(path)

    checksums = folder / CHECKSUMS
    checksums.write_text("".join(f"{sha256(path)}  {path.name}\n" for path in sorted(files)))
    return Export(folder, image, (*files, checksums), tuple(written))


def save_image(engine: ContainerEngine, program: Program, path: Path) -> None:
    """Save a program's image as the platform wants it: ``save IMAGE | gzip``.

    Raises
    ------
    MissingToolError
        If the engine has no such image, or one from other sources, or fails to save it.
    """
    if problem := image_problem(engine, program):
        raise MissingToolError(problem)
    with (
        tempfile.TemporaryFile() as complaints,
        _gzip_writer(path) as target,
        subprocess.Popen(
            [*engine.command, "save", program.image], stdout=subprocess.PIPE, stderr=complaints
        ) as process,
    ):
        assert process.stdout is not None  # noqa: S101 - a pipe was asked for
        shutil.copyfileobj(process.stdout, target, 2**20)
        if process.wait():
            complaints.seek(0)
            reason = complaints.read().decode(errors="replace").strip().splitlines()[-1:]
            raise MissingToolError(
                f"{engine.name} could not save {program.image}: {''.join(reason) or 'no reason given'}"
            )


def write_folder_archive(folder: Path, path: Path) -> None:
    """Pack a folder without a top folder, as ``tar -czf PATH -C FOLDER .`` does; the same content gives the same bytes.

    Raises
    ------
    InvalidInputError
        If there is no such folder.
    """
    if not folder.is_dir():
        raise InvalidInputError(f"There is no folder {folder} to pack.")
    with _gzip_writer(path) as compressed, tarfile.open(fileobj=compressed, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for source in sorted(folder.rglob("*")):
            entry = tarfile.TarInfo(source.relative_to(folder).as_posix())
            if source.is_dir():
                entry.type, entry.mode = tarfile.DIRTYPE, 0o755
                tar.addfile(entry)
            else:
                entry.size, entry.mode = source.stat().st_size, 0o644
                with source.open("rb") as content:
                    tar.addfile(entry, content)


def check_archive(path: Path) -> ImageArchive:
    """Apply the platform's upload rules to the archive of an image, in the old or the OCI layout of ``docker save``.

    Raises
    ------
    InvalidOutputError
        If the platform would refuse it; the sentence names the rule.
    """
    size = path.stat().st_size
    if size > LARGEST_UPLOAD_BYTES:
        raise InvalidOutputError(
            f"{path.name} is {size / 1e9:.1f} GB; the platform takes {LARGEST_UPLOAD_BYTES / 1e9:.0f} GB at most."
        )
    metadata = {entry.name: content for entry, content in entries_of(path)}
    manifest = _parsed(metadata, "manifest.json", path)
    if not isinstance(manifest, list) or len(manifest) != 1:
        count = len(manifest) if isinstance(manifest, list) else 0
        raise InvalidOutputError(f"{path.name} holds {count} images; the platform takes exactly one.")
    config_name = manifest[0].get("Config") if isinstance(manifest[0], dict) else None
    config = _parsed(metadata, str(config_name), path)
    settings = config.get("config") if isinstance(config, dict) else None
    if not isinstance(settings, dict):
        raise InvalidOutputError(f"{path.name} does not say how its image is run; was it made with docker save?")
    _check_architecture(config.get("architecture"), path)
    api_method = _checked_api_method(settings.get("Labels") or {}, path)
    _check_promise(api_method, settings.get("Env") or [], path)
    return ImageArchive(
        sha256=_digest_in(str(config_name), path),
        user=_checked_user(settings.get("User"), path),
        api_method=api_method,
        size_bytes=size,
        config=str(config_name),
        layers=tuple(map(str, manifest[0].get("Layers") or ())),
    )


def check_model_archive(path: Path) -> None:
    """Check that the archive of a model holds plain files, ``model.json`` at its top.

    Raises
    ------
    InvalidOutputError
        If it does not.
    """
    names = set()
    for entry, _ in streams_of(path):
        name = PurePosixPath(entry.name)
        if name.is_absolute() or ".." in name.parts or not (entry.isfile() or entry.isdir()):
            raise InvalidOutputError(f"{path.name} holds {entry.name!r}; expected plain files below its top only.")
        names.add(name)
    if PurePosixPath("model.json") not in names:
        deeper = [name for name in names if name.name == "model.json"]
        found = f"it lies in {min(deeper).parent}" if deeper else "there is none"
        raise InvalidOutputError(
            f"{path.name} has no model.json at its top ({found}): pack the model folder's content."
        )


def _check_architecture(found: object, path: Path) -> None:
    wanted = PLATFORM.split("/")[1]
    if found != wanted:
        raise InvalidOutputError(
            f"{path.name} is built for {found!r}; the platform runs {wanted!r} only: build with --platform={PLATFORM}."
        )


def _checked_user(user: object, path: Path) -> str:
    """Refuse root in all its spellings, a group behind it included."""
    text = str(user or "").strip()
    name = text.split(":")[0].lower()
    if name in {"", "root"} or re.fullmatch(r"[+-]?0+", name):
        raise InvalidOutputError(
            f"{path.name} runs as {text or 'nobody in particular, which is root'}; "
            "the platform wants a user without privileges: add a USER to the Dockerfile."
        )
    return text


def _checked_api_method(labels: dict[str, Any], path: Path) -> str:
    """Read the label as the platform does: spaces, quotes and capitals do not count."""
    for label, value in labels.items():
        if label.lower().strip() == API_METHOD_LABEL:
            method = re.sub("['\"]", "", str(value)).lower().strip()
            if method not in API_METHODS:
                raise InvalidOutputError(
                    f"{path.name} has the label {API_METHOD_LABEL}={value!r}; expected {' or '.join(API_METHODS)}."
                )
            return method
    return API_METHODS[0]


def _check_promise(api_method: str, environment: list[str], path: Path) -> None:
    """Refuse an image whose program does another thing than its label says to the platform."""
    variables = dict(variable.split("=", 1) for variable in environment if "=" in variable)
    does = variables.get(API_METHOD_VARIABLE, api_method)  # programs of others know no such variable
    if does != api_method:
        raise InvalidOutputError(
            f"{path.name} has the label {API_METHOD_LABEL}={api_method}, but its program runs as {does} "
            f"({API_METHOD_VARIABLE}): the platform would wait for it in vain; build it with --api-method {api_method}."
        )


def _digest_in(config_name: str, path: Path) -> str:
    digest = config_name.rsplit("/", maxsplit=1)[-1].removesuffix(".json").removeprefix("sha256:")
    if not re.fullmatch("[0-9a-f]{64}", digest):
        raise InvalidOutputError(f"{path.name} calls its image {config_name!r}; expected a sha256 digest.")
    return digest


def _parsed(metadata: dict[str, bytes], name: str, path: Path) -> Any:
    try:
        return json.loads(metadata[name])
    except KeyError:
        raise InvalidOutputError(f"{path.name} lacks {name}; was it made with docker save?") from None
    except ValueError:
        raise InvalidOutputError(f"{path.name} holds a damaged {name}; make the archive anew.") from None


def entries_of(path: Path) -> Iterator[tuple[tarfile.TarInfo, bytes]]:
    """Go through an archive once; small files come with their content.

    The layers of an image are large, what describes them is not.

    Raises
    ------
    InvalidOutputError
        If it is damaged, or holds more in small files than an image or a model does.
    """
    kept = 0
    with whole(path):
        for entry, file in streams_of(path):
            small = file is not None and entry.size <= _LARGEST_METADATA_BYTES
            kept += entry.size if small else 0
            if kept > _MOST_METADATA_BYTES:
                raise InvalidOutputError(
                    f"{path.name} holds more than {_MOST_METADATA_BYTES / 1e6:.0f} MB in small files."
                )
            yield entry, file.read() if file is not None and small else b""


@contextmanager
def whole(path: Path) -> Iterator[None]:
    """Refuse an archive that turns out to be damaged or cut off while it is read.

    Raises
    ------
    InvalidOutputError
        If it is.
    """
    try:
        yield
    except _DAMAGED as error:
        raise InvalidOutputError(f"{path.name} is not a whole tar archive: it is damaged or cut off.") from error


def streams_of(path: Path) -> Iterator[tuple[tarfile.TarInfo, IO[bytes] | None]]:
    """Go through an archive once, to its very end, so that the checksum of the compression is checked too.

    Files come open, to be read before the next one is asked for, and under :func:`whole`.
    """
    with path.open("rb") as raw, whole(path):
        compressed = raw.read(2) == _GZIP_MAGIC
        raw.seek(0)
        stream: Any = gzip.GzipFile(fileobj=raw) if compressed else raw
        with tarfile.open(fileobj=stream, mode="r|") as tar:
            for entry in tar:
                yield entry, tar.extractfile(entry) if entry.isfile() else None
        while stream.read(2**20):
            pass


def _put(partial: Path, target: Path, content_of: Callable[[Path], str], *, force: bool) -> bool:
    """Move a new archive to its place; give False where the same is there already, and refuse where another one is."""
    if target.exists() and not force:
        if content_of(target) == content_of(partial):
            return False
        raise InvalidOutputError(
            f"{target} exists already with other content: move it away, or export with --force to replace it."
        )
    partial.replace(target)
    return True


@contextmanager
def _in_the_making(target: Path) -> Iterator[Path]:
    """Give a name beside the target for a file that is not complete yet."""
    try:
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=PARTIAL, suffix=target.name)
        os.close(handle)
        partial = Path(name)
        partial.chmod(0o644)
    except OSError as error:
        raise InvalidOutputError(f"The folder {target.parent} cannot be written: {error.strerror}.") from error
    try:
        yield partial
    except OSError as error:
        raise InvalidOutputError(f"{target} could not be written: {error.strerror}.") from error
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def _gzip_writer(path: Path) -> Iterator[gzip.GzipFile]:
    """Compress without name and time, so that the same content gives the same bytes."""
    with (
        path.open("wb") as raw,
        gzip.GzipFile(filename="", mode="wb", compresslevel=_COMPRESSION_LEVEL, fileobj=raw, mtime=0) as compressed,
    ):
        yield compressed
