"""The same images under two names: refused, for a copy on both sides of a split makes noise look like knowledge."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing, suppress
from functools import partial
from pathlib import Path

import numpy as np

from preop.cohort.running import Mapped, map_patients
from preop.cohort.table import GROUP_COLUMN, Cohort
from preop.errors import InvalidInputError, PreopError
from preop.folders import Contents, Noted
from preop.grandchallenge.algorithm import Kind
from preop.imaging import read_geometry, read_image, reorient

VOLUME_SUFFIXES = (".mha", ".mhd", ".nii", ".nii.gz", ".nrrd", ".nhdr", ".hdr", ".img")
"""Files that are compared by their voxels; slides and others are by their bytes."""
_SHAPE, _VOXELS = "shape", "voxels"
_MAX_TOLD = 5

_Place = tuple[str, str]
"""A patient and an input."""


def refuse_copies(cohort: Cohort, contents: Contents, *, mapped: Mapped | None = None) -> None:
    """Refuse patients who share an image, unless the column ``group`` says that they are the same person.

    Images are the same if they hold the same voxels, whatever their format, the order of their axes, their name or their
    place in space. Segmentations are not compared: those without a finding are all alike.

    Parameters
    ----------
    mapped
        What reads images; by default processes of this machine.

    Raises
    ------
    InvalidInputError
        If two patients of different groups share an image, with both names.
    """
    group_of = {patient.name: patient.group for patient in cohort.patients}
    readable = _readable_scans(cohort, contents)
    pairs = _shared(((place, contents.of(path)) for place, path in readable.items()), group_of)
    pairs = pairs or _shared(_alike_in_voxels(readable, contents, mapped), group_of)
    contents.save()
    if pairs:
        told = "; ".join(f"{one} and {other} ({slug})" for one, other, slug in pairs[:_MAX_TOLD])
        more = f"; and {len(pairs) - _MAX_TOLD} more pairs" if len(pairs) > _MAX_TOLD else ""
        raise InvalidInputError(
            f"{cohort.path.name} has the same image under several patients: {told}{more}. Leave the copies out; or, if they "
            f"are the same person, give them the same name in a column {GROUP_COLUMN}."
        )


def image_digests(cohort: Cohort, contents: Contents, *, mapped: Mapped | None = None) -> dict[str, list[str]]:
    """Give the checksums of what each patient's images hold: the voxels of scans, the files of slides.

    Segmentations are left out, and so is what cannot be read.

    Parameters
    ----------
    mapped
        What reads images; by default processes of this machine.

    Returns
    -------
    Checksums of each patient, by name, in the order of the cohort.
    """
    readable = _readable_scans(cohort, contents)
    volumes = {place: path for place, path in readable.items() if _is_volume(path)}
    digests = {place: contents.of(path) for place, path in readable.items() if place not in volumes}
    digests |= _voxels(volumes, contents, mapped, "Reading images")
    contents.save()
    found: dict[str, list[str]] = {patient.name: [] for patient in cohort.patients}
    for (name, _), digest in digests.items():
        found[name].append(digest)
    return found


def read_elsewhere(cohort: Cohort, contents: Contents, mapped: Mapped, *, voxels: bool) -> None:
    """Let the machines of a cluster read the images for all that is asked of them here: there are more of them.

    All images of a patient are one task, for a task costs the scheduler more than a small image costs a worker. Patients
    whose files are remembered are left out; what cannot be read is told of its patient later.

    Parameters
    ----------
    voxels
        Whether :func:`image_digests` will be asked for.
    """
    tasks = []
    for patient in cohort.patients:
        paths = {slug: path.absolute() for slug, path in patient.case.image_paths.items()}
        if not all(contents.remembers(path) for path in paths.values()):
            scans = [path for slug, path in paths.items() if _is_scan(cohort, slug) and _is_volume(path)]
            tasks.append((list(paths.values()), scans))
    with closing(mapped(partial(_read, voxels=voxels), tasks, description="Reading images")) as found:
        for _, noted in found:
            if not isinstance(noted, PreopError):
                contents.learn(noted)


def _read(images: tuple[Sequence[Path], Sequence[Path]], *, voxels: bool) -> Noted:
    """Note the checksums of images, and what is asked of the scans among them."""
    paths, scans = images
    contents = Contents()
    for path in paths:
        with suppress(PreopError):
            contents.of(path)
    for path in scans:
        with suppress(PreopError):
            contents.derived(path, _SHAPE, _shape)
            if voxels:
                contents.derived(path, _VOXELS, voxel_digest)
    return contents.noted


def _readable_scans(cohort: Cohort, contents: Contents) -> dict[_Place, Path]:
    images = {
        (patient.name, slug): path
        for patient in cohort.patients
        for slug, path in patient.case.image_paths.items()
        if _is_scan(cohort, slug)
    }
    return {place: path for place, path in images.items() if _content(path, contents)}


def _is_scan(cohort: Cohort, slug: str) -> bool:
    socket = cohort.algorithm.input(slug)
    return socket.kind is Kind.IMAGE and socket.segmentation_of is None


def _content(path: Path, contents: Contents) -> str | None:
    """Checksum of an image's files, or None where it cannot be read: that is told of its patient, later."""
    try:
        return contents.of(path)
    except PreopError:
        return None


def _shared(digests: Iterable[tuple[_Place, str]], group_of: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """Pairs of patients of different groups with the same digest, each copy beside the first of its kind."""
    first: dict[str, str] = {}
    pairs = []
    for (name, slug), digest in digests:
        owner = first.setdefault(digest, name)
        if group_of[owner] != group_of[name]:
            pairs.append((owner, name, slug))
    return pairs


def _is_volume(path: Path) -> bool:
    return path.is_dir() or path.name.lower().endswith(VOLUME_SUFFIXES)


def _alike_in_voxels(
    images: Mapping[_Place, Path], contents: Contents, mapped: Mapped | None
) -> Iterable[tuple[_Place, str]]:
    """Digests of voxels of those images that could be the same, for their shapes are."""
    by_shape: dict[str, list[_Place]] = defaultdict(list)
    for place, path in images.items():
        if _is_volume(path):
            with suppress(PreopError):
                by_shape[contents.derived(path, _SHAPE, _shape)].append(place)
    alike = {place: images[place] for places in by_shape.values() if len(places) > 1 for place in places}
    return _voxels(alike, contents, mapped, "Looking for copies").items()


def _voxels(
    images: Mapping[_Place, Path], contents: Contents, mapped: Mapped | None, description: str
) -> dict[_Place, str]:
    """Digests of the voxels of images, as far as they can be read; each content is read once."""
    todo = [path for path in images.values() if contents.known(path, _VOXELS) is None]
    with closing((mapped or map_patients)(voxel_digest, list(dict.fromkeys(todo)), description=description)) as found:
        for path, result in found:
            if isinstance(result, str):
                contents.note(path, _VOXELS, result)
    digests = {place: contents.known(path, _VOXELS) for place, path in images.items()}
    return {place: digest for place, digest in digests.items() if digest is not None}


def _shape(path: Path) -> str:
    return " ".join(map(str, sorted(read_geometry(path).shape)))


def voxel_digest(path: Path) -> str:
    """SHA-256 of an image's voxels as numbers, in the order of the patient's axes; spacing and origin do not count.

    Raises
    ------
    InvalidInputError
        If it cannot be read.
    """
    image = read_image(path)
    voxels = image.voxels if image.voxels.ndim != 3 else reorient(image, "LPS").voxels
    content = hashlib.sha256(repr(voxels.shape).encode())
    # Adding 0 makes -0 a 0. Whole numbers up to 2^24 are exact in float32, in which most formats store the rest.
    content.update((voxels.astype(np.float32) + np.float32(0)).tobytes())
    return content.hexdigest()
