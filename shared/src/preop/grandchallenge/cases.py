"""Cases in: one patient's inputs, typed and checked, with images that are read when they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

import numpy as np

from preop.errors import InvalidInputError
from preop.grandchallenge.algorithm import Algorithm, Socket
from preop.grandchallenge.options import Options
from preop.grandchallenge.roots import below
from preop.grandchallenge.values import JSON, check_value, read_json
from preop.imaging import (
    Geometry,
    Image,
    check_mm,
    files_of,
    read_geometry,
    read_image,
    read_labels,
    read_mask,
    read_tiff,
)
from preop.stored_features import StoredFeatures, read_features

INPUTS_FILE = "inputs.json"
FEW_INTERFACES = 3
# Longer endings before those that they end in.
IMAGE_SUFFIXES = (
    *(".mha", ".mhd", ".nii.gz", ".nii", ".nrrd", ".dcm"),
    *(
        ".ome.tiff",
        ".ome.tif",
        ".tiff",
        ".tif",
        ".svs",
        ".ndpi",
        ".mrxs",
        ".scn",
        ".bif",
        ".vms",
        ".vmu",
        ".isyntax",
        ".czi",
    ),
    *(".png", ".jpeg", ".jpg"),
)

Opened = TypeVar("Opened")


@dataclass(frozen=True)
class Case:
    """The inputs of one patient, by socket.

    Attributes
    ----------
    algorithm
        Whose inputs they are.
    name
        What a person calls the case: the name of its first image, or of its row in the cohort.
    image_paths
        File, or folder of DICOM slices, of each image socket.
    values
        Checked content of each value socket.
    labels
        Which region of a segmentation is meant, by slug, where it holds several: as for ``preop.imaging.read_mask``.
    um_per_pixel
        Resolution of a slide whose file does not state one.
    feature_files
        File of features of each socket that holds such, where they are not among the values.
    """

    algorithm: Algorithm
    name: str
    image_paths: Mapping[str, Path]
    values: Mapping[str, JSON]
    _images: dict[str, Image] = field(default_factory=dict, repr=False, compare=False)
    labels: Mapping[str, str] = field(default_factory=dict)
    um_per_pixel: float | None = None
    feature_files: Mapping[str, Path] = field(default_factory=dict)

    def __contains__(self, slug: str) -> bool:
        """Tell whether the case has this input."""
        return slug in self.interface

    @property
    def interface(self) -> tuple[str, ...]:
        """The sorted slugs of what the case has."""
        return tuple(sorted((*self.image_paths, *self.values, *self.feature_files)))

    def image(self, slug: str) -> Image:
        """Read a 3D image; a second call gives the same one.

        Raises
        ------
        InvalidInputError
            If it cannot be read, is not 3D or not of a patient's size, holds NaN, or is a segmentation on another grid than its
        scan.
        """
        if slug not in self._images:
            self._images[slug] = self._read(self.algorithm.input(slug))
        return self._images[slug]

    def with_image(self, slug: str, image: Image) -> Case:
        """Give the case with an image that was made, as if it had been given; what is read of one is read of both."""
        self._images[slug] = image
        return replace(self, image_paths={**self.image_paths, slug: Path(slug)})

    def mask(self, slug: str) -> Image:
        """Read a segmentation as a mask of all its labels.

        Raises
        ------
        InvalidInputError
            If it is empty, holds a label that its socket does not name, or lies on another grid than its scan.
        """
        return self._as_mask(slug, self.image(slug))

    def flat_mask(self, slug: str, *, pixel_mm: float) -> Image:
        """Read the segmentation of a slide as a mask, from the coarsest stored level that is as fine as ``pixel_mm``.

        Raises
        ------
        InvalidInputError
            If it cannot be read, is no flat image, is empty, or holds a label that its socket does not name.
        """
        with _telling(slug):
            labels = read_tiff(self.image_paths[slug], pixel_mm=pixel_mm)
        return self._as_mask(slug, labels)

    def open(self, slug: str, reader: Callable[[Path], Opened]) -> Opened:
        """Open an image that is never read whole, such as a slide by ``preop.slides.Slide``.

        Raises
        ------
        InvalidInputError
            Whatever the reader says, after the name of the socket.
        """
        with _telling(slug):
            return reader(self.image_paths[slug])

    @property
    def notes(self) -> list[str]:
        """What was corrected or left out in the images that were read so far, in sentences."""
        return [f"{slug}: {note}" for slug, image in self._images.items() for note in image.notes]

    def value(self, slug: str) -> JSON:
        """Give the content of a value socket.

        Raises
        ------
        InvalidInputError
            If it is a file of features that cannot be read.
        """
        if slug in self.feature_files:
            return self.features(slug).to_json()
        return self.values[slug]

    def features(self, slug: str) -> StoredFeatures:
        """Give the features of structures that a socket holds.

        Raises
        ------
        InvalidInputError
            If they cannot be read, or are not a row of finite numbers for each of different labels.
        """
        with _telling(slug):
            if slug in self.feature_files:
                return read_features(self.feature_files[slug])
            return StoredFeatures.of_json(self.values[slug])

    def geometry(self, slug: str) -> Geometry:
        """Tell where the voxels of an image lie, without reading them where that is possible."""
        if slug in self._images:
            return self._images[slug].geometry
        with _telling(slug):
            return read_geometry(self.image_paths[slug])

    def _as_mask(self, slug: str, labels: Image) -> Image:
        allowed = self.algorithm.input(slug).overlay_segments
        unknown = sorted(set(np.unique(labels.voxels).tolist()) - {0, *allowed.values()})
        if unknown:
            named = ", ".join(f"{value} ({name})" for name, value in allowed.items())
            raise InvalidInputError(f"{slug} holds the label {unknown[0]:g}; expected only 0 and {named}.")
        mask = labels.voxels != 0
        if not mask.any():
            raise InvalidInputError(f"{slug} is empty: not one of its voxels is labelled; draw the structure first.")
        return labels.with_voxels(mask)

    def _read(self, socket: Socket) -> Image:
        path = self.image_paths[socket.slug]
        # Read before, so that a scan that cannot be read is not blamed on its segmentation.
        scan = None if socket.segmentation_of is None else self.geometry(socket.segmentation_of)
        with _telling(socket.slug):
            if label := self.labels.get(socket.slug):
                image = _as_label(read_mask(path, label=label, like=scan), socket)
            elif scan is None:
                image = read_image(path)
            else:
                image = read_labels(path, like=scan, scan=str(socket.segmentation_of))
        if image.voxels.ndim != 3:
            raise InvalidInputError(f"{socket.slug} is a flat image; expected a 3D scan.")
        check_mm(image.geometry, name=socket.slug)
        return image


def _as_label(mask: Image, socket: Socket) -> Image:
    """Give a region the first label that its socket knows."""
    first = min(socket.overlay_segments.values())
    return Image(mask.voxels.astype(np.uint8) * np.uint8(first), mask.geometry, mask.notes)


@contextmanager
def _telling(slug: str) -> Iterator[None]:
    """Put the socket before the sentence of an error."""
    try:
        yield
    except InvalidInputError as error:
        raise InvalidInputError(f"{slug}: {error}") from error


def read_case(algorithm: Algorithm, root: Path) -> Case:
    """Read the inputs that the platform has laid out below ``root``.

    Both names of a socket's description are understood: ``socket``, and the legacy ``interface``.

    Raises
    ------
    InvalidInputError
        If ``inputs.json`` is missing or broken, the set of slugs is none of the algorithm's interfaces,
        an image folder does not hold exactly one image, or a value breaks its schema.
    """
    items = _items(read_json(root / INPUTS_FILE), algorithm)
    check_interface(algorithm, tuple(items))
    image_paths: dict[str, Path] = {}
    values: dict[str, JSON] = {}
    names: list[str] = []
    for slug, item in items.items():
        socket = algorithm.input(slug)
        path = below(root, _description(item)["relative_path"])
        if socket.kind.is_image:
            image_paths[slug] = single_image(path, slug)
            _check_within(root, image_paths[slug], slug)
            names.append(case_key(item) or image_paths[slug].name)
        else:
            values[slug] = read_json(path) if path.exists() else _inline_value(item, path)
            check_value(values[slug], socket, algorithm.json_schemas.get(slug))
    name = names[0] if names else "case"
    return Case(algorithm, name, image_paths, values, um_per_pixel=Options.from_environment().um_per_pixel)


def check_interface(algorithm: Algorithm, slugs: Sequence[str]) -> None:
    """Refuse a set of inputs that is not exactly one of the algorithm's interfaces."""
    given = tuple(sorted(slugs))
    if given not in {tuple(sorted(interface)) for interface in algorithm.interfaces}:
        raise InvalidInputError(
            f"The inputs {', '.join(given) or '(none)'} are not a combination that {algorithm.name} accepts; "
            f"{_advice(algorithm, set(given))}."
        )


def _advice(algorithm: Algorithm, given: set[str]) -> str:
    """Say what is accepted: all combinations where they are few, else what the nearest one has more or less."""
    if len(algorithm.interfaces) <= FEW_INTERFACES:
        return "expected " + "; or ".join(", ".join(interface) for interface in algorithm.interfaces)
    # Of two that are equally near, the one that keeps what was given.
    nearest = min(
        algorithm.interfaces,
        key=lambda interface: (len(given.symmetric_difference(interface)), len(given.difference(interface))),
    )
    missing = [slug for slug in nearest if slug not in given]
    surplus = sorted(given.difference(nearest))
    changes = [f"also needs {', '.join(missing)}"] if missing else []
    changes += [f"does without {', '.join(surplus)}"] if surplus else []
    return f"the nearest of its {len(algorithm.interfaces)} combinations {' and '.join(changes)}"


def single_image(folder: Path, slug: str) -> Path:
    """Find the one image of a folder, whatever its name, or the folder itself where it holds DICOM slices.

    Raises
    ------
    InvalidInputError
        If there is no image, more than one, or something else than files.
    """
    try:
        files = sorted(path for path in folder.iterdir() if not path.name.startswith(".")) if folder.is_dir() else []
        # A pipe would be waited for without end, and a device be read without end.
        odd = next((path for path in files if path.exists() and not path.is_file()), None)
    except OSError as error:
        raise InvalidInputError(f"{slug}: its folder cannot be read ({error.strerror}).") from error
    if odd is not None:
        what = "is a folder; expected an image in its place" if odd.is_dir() else "is not a regular file"
        raise InvalidInputError(f"{slug}: {odd.name} {what}.")
    if files and all(path.suffix.lower() == ".dcm" for path in files):
        return folder
    # A header with its data beside it.
    together = [path for path in files if path.suffix.lower() in {".mhd", ".nhdr", ".hdr"}]
    if len(together) == 1 and set(files_of(together[0])) == set(files):
        return together[0]
    if len(files) != 1:
        found = "no image" if not files else f"{len(files)} files ({', '.join(path.name for path in files[:3])} ...)"
        raise InvalidInputError(f"{slug}: found {found} in {folder}; expected exactly one.")
    return files[0]


def _check_within(root: Path, image: Path, slug: str) -> None:
    """Refuse an image that a link takes from elsewhere: it may be another patient's, or no file at all."""
    inside = root.resolve()
    for path in (image, *(image.iterdir() if image.is_dir() else ())):
        try:
            leads_out = not path.resolve(strict=True).is_relative_to(inside)
        except OSError as error:
            raise InvalidInputError(f"{slug}: {path.name} cannot be read ({error.strerror}).") from error
        except RuntimeError as error:  # Python 3.11 and 3.12 say so of a link that leads to itself
            raise InvalidInputError(f"{slug}: {path.name} cannot be read (it leads to itself).") from error
        if leads_out:
            raise InvalidInputError(
                f"{slug}: {path.name} is a link that leads out of the input folder; put the file itself there."
            )


def item_of(algorithm: Algorithm, slug: str, *, image_name: str | None = None, value: JSON = None) -> JSON:
    """Make one item of ``inputs.json`` as the platform writes it."""
    socket = algorithm.input(slug)
    description = {
        "slug": slug,
        "kind": str(socket.kind),
        "super_kind": socket.super_kind,
        "relative_path": socket.relative_path,
        "overlay_segments": [
            {"name": name, "voxel_value": number, "visible": True} for name, number in socket.overlay_segments.items()
        ],
    }
    return {
        "socket": description,
        "interface": description,
        "image": {"name": image_name} if image_name is not None else None,
        "value": value,
        "file": None,
    }


def _items(content: JSON, algorithm: Algorithm) -> dict[str, Any]:
    """Sort the items of ``inputs.json`` by our slugs."""
    if not isinstance(content, list):
        raise InvalidInputError(f"{INPUTS_FILE} is not a list of inputs.")
    items: dict[str, Any] = {}
    for item in content:
        slug = algorithm.own_slug(_description(item)["slug"])
        if slug in items:
            raise InvalidInputError(f"{INPUTS_FILE} names {slug} twice.")
        items[slug] = item
    return items


def _description(item: JSON) -> dict[str, Any]:
    """Give what an item says of its socket, under the new name or the legacy one."""
    description = None
    if isinstance(item, Mapping):
        description = item.get("socket") or item.get("interface")
    if not isinstance(description, Mapping) or not all(
        isinstance(description.get(key), str) for key in ("slug", "relative_path")
    ):
        raise InvalidInputError(f"{INPUTS_FILE} holds an item without the slug and relative_path of its socket.")
    return dict(description)


def case_key(item: Mapping[str, Any]) -> str | None:
    """Give what an input tells of its case: the name that the uploader gave its image, without folder and ending."""
    image = item.get("image")
    name = image.get("name") if isinstance(image, Mapping) else None
    if not isinstance(name, str) or not name:
        return None
    name = PurePosixPath(name).name
    ending = next((suffix for suffix in IMAGE_SUFFIXES if name.lower().endswith(suffix)), "")
    return name[: len(name) - len(ending)]


def _inline_value(item: Mapping[str, Any], path: Path) -> JSON:
    if item.get("value") is None:
        raise InvalidInputError(f"{path.name} is missing, and {INPUTS_FILE} holds no value in its place.")
    return item["value"]
