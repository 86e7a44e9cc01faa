"""What an algorithm takes and gives: the typed content of its ``algorithm.toml``.

The kinds of sockets are those of grand-challenge.org (2025-11); only the ones the five studies use are known here.

Slugs and paths of sockets are unique over the whole platform. Where one exists there already under another name, a file
``sockets.toml`` beside ``algorithm.toml`` lets it stand for ours: the algorithm reads and writes what the platform calls so.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from enum import StrEnum
from functools import cached_property
from itertools import combinations
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, RootModel, ValidationError, field_validator, model_validator

from preop.errors import InvalidInputError
from preop.grandchallenge.series_rules import SeriesRule
from preop.toml import first_validation_error, read_toml

DESCRIPTION_FILE = "algorithm.toml"
SOCKETS_FILE = "sockets.toml"
LARGEST_UPLOAD_BYTES = 10 * 10**9
"""Of an image, and of a model."""
MAXIMUM_SEGMENTS = 256
"""Of a 3D segmentation, the background among them: the values of 8 bits (panimg 0.18.2, ``models.py``)."""
MAXIMUM_SEGMENTS_OF_TIFF = 64
"""From the smallest value to the largest (panimg 0.18.2, ``image_builders/tiff.py``)."""

Slug = Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")]


class Kind(StrEnum):
    """Kinds of sockets, by the platform's names."""

    IMAGE = "Image"
    SEGMENTATION = "Segmentation"
    HEAT_MAP = "Heat Map"
    FLOAT = "Float"
    INTEGER = "Integer"
    BOOL = "Bool"
    STRING = "String"
    ANYTHING = "Anything"
    MULTIPLE_POINTS = "Multiple points"
    CHART = "Chart"
    THUMBNAIL = "Thumbnail jpg"

    @property
    def is_image(self) -> bool:
        """Whether the socket holds an image, which the platform keeps in a folder of its own."""
        return self in {Kind.IMAGE, Kind.SEGMENTATION, Kind.HEAT_MAP}

    @property
    def super_kind(self) -> str:
        """How the platform passes it on: as an image, as a file, or as a value that also stands in ``inputs.json``."""
        if self.is_image:
            return "Image"
        return "File" if self in {Kind.MULTIPLE_POINTS, Kind.THUMBNAIL} else "Value"

    @property
    def file_ending(self) -> str:
        """Of the file of a socket that holds no image."""
        return ".jpeg" if self is Kind.THUMBNAIL else ".json"


class _Checked(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Socket(_Checked):
    """One input or output."""

    slug: Slug
    kind: Kind
    relative_path: str = Field(description="folder of an image, or file of a value, below /input or /output")
    description: str = Field(min_length=1)
    segmentation_of: str | None = Field(None, description="slug of the scan whose grid this image must share")
    stands_for: str | None = Field(
        None,
        description="slug of the segmentation that this output is made in place of, by a network, where its scan is given "
        "without it; where it is not, there is no such output",
    )
    overlay_segments: dict[str, int] = Field({}, description="name of each label of a segmentation, and its value")
    instances: int | None = Field(
        None,
        ge=1,
        lt=MAXIMUM_SEGMENTS,
        description="an Image of one whole number for each structure: the platform is asked for a Segmentation with so many",
    )
    minimum: float | None = Field(None, description="smallest value of a Float or Integer")
    maximum: float | None = Field(None, description="largest value of a Float or Integer")
    choices: tuple[str, ...] = Field((), description="the values a String may take")
    json_schema: str | None = Field(None, description="file beside algorithm.toml with the JSON schema of an Anything")
    columns: tuple[str, ...] = Field((), description="columns of cohort.csv that together make this JSON object")
    features_of: str | None = Field(
        None,
        description="slug of the segmentation for whose structures an Anything holds features of an encoder; a column of cohort.csv "
        "names their file (preop.stored_features)",
    )
    series: SeriesRule | None = Field(None, description="which DICOM series an import takes for it")

    @property
    def super_kind(self) -> str:
        """How the platform passes it on; features, which are many numbers, as a file and not as a value."""
        return "File" if self.features_of else self.kind.super_kind

    @field_validator("relative_path")
    @classmethod
    def _stays_below_its_root(cls, path: str) -> str:
        if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
            raise ValueError("must be a relative path without '..'")
        return path

    @model_validator(mode="after")
    def _fits_its_kind(self) -> Self:
        """Apply the rules by which the platform makes a socket (``components/models.py``, ``clean`` of its sockets)."""
        path = PurePosixPath(self.relative_path)
        if self.kind.is_image and not (path.parts[0] == "images" and len(path.parts) > 1 and not path.suffix):
            raise ValueError("the relative_path of an image is a folder below images/")
        ending = self.kind.file_ending
        if not self.kind.is_image and (path.parts[0] == "images" or path.suffix != ending):
            raise ValueError(f"the relative_path of a {self.kind} is a {ending} file outside of images/")
        if (self.kind is Kind.SEGMENTATION) != bool(self.overlay_segments):
            raise ValueError("a segmentation, and nothing else, names its labels in overlay_segments")
        if self.instances and not (self.kind is Kind.IMAGE and self.segmentation_of):
            raise ValueError("instances are for an Image that is a segmentation_of a scan")
        if self.features_of and (self.kind is not Kind.ANYTHING or self.columns):
            raise ValueError("features_of is for an Anything that is made of no columns")
        labels = sorted({0, *self.overlay_segments.values()})
        if labels != list(range(labels[0], labels[0] + len(labels))) or len(labels) > MAXIMUM_SEGMENTS:
            raise ValueError(
                f"overlay_segments are consecutive numbers with the background 0, at most {MAXIMUM_SEGMENTS}"
            )
        return self


class StandIn(_Checked):
    """A socket that exists on the platform and is used in place of one of ours."""

    slug: Slug = Field(description="what the platform calls it")
    relative_path: str | None = Field(None, description="where its folder or file lies; left out where it is as ours")


class Combinations(_Checked):
    """Interfaces that are many, by what they are combined of: the table ``[interfaces]``."""

    any_of: tuple[tuple[Slug, ...], ...] = Field(min_length=1, description="a case has one or more of these groups")
    optional: tuple[Slug, ...] = Field(
        (), description="inputs that may be there or not, whether they belong to a group or to none"
    )

    def all(self) -> Iterator[tuple[Slug, ...]]:
        """Give each combination, those of few groups first."""
        for number in range(1, len(self.any_of) + 1):
            for groups in combinations(self.any_of, number):
                yield from self._with_and_without(sum(groups, ()))

    def _with_and_without(self, slugs: tuple[Slug, ...]) -> Iterator[tuple[Slug, ...]]:
        of_no_group = set(self.optional).difference(*self.any_of)
        free = [slug for slug in self.optional if slug in slugs or slug in of_no_group]
        every = (*slugs, *(slug for slug in self.optional if slug in of_no_group))
        for number in range(len(free) + 1):
            for added in combinations(free, number):
                yield tuple(slug for slug in every if slug not in free or slug in added)


class Algorithm(_Checked):
    """One algorithm, as its folder describes it."""

    folder: Path
    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    title: str
    summary: str = Field(description="one sentence: from what, to what")
    version: str
    requirements: str = Field(description="the lock under requirements/ that its image installs")
    cuda_requirements: str | None = Field(
        None, description="the lock of its image of the flavour cuda, with torch; left out where it has no networks"
    )
    memory_gb: int = Field(gt=0, description="memory to ask the platform for")
    time_limit_minutes: int = Field(gt=0)
    gpu: bool
    inputs: tuple[Socket, ...]
    outputs: tuple[Socket, ...]
    interfaces: tuple[tuple[Slug, ...], ...] = Field(
        description="accepted combinations of input slugs: all of them, or a table of what they are combined of"
    )
    core: tuple[tuple[Slug, ...], ...] = Field(
        (), description="those of the interfaces to ask the platform for first; all of them if left out"
    )
    stand_ins: Mapping[str, StandIn] = Field({}, description="sockets of the platform in place of ours, by our slugs")
    networks: dict[str, str] = Field(
        {}, description="folders of segmentation networks that may be put into a model, and what each of them does"
    )

    @field_validator("interfaces", mode="before")
    @classmethod
    def _each_combination(cls, given: object) -> object:
        return tuple(Combinations.model_validate(given).all()) if isinstance(given, Mapping) else given

    @model_validator(mode="after")
    def _names_agree(self) -> Self:
        for sockets in (self.inputs, self.outputs):
            slugs = [socket.slug for socket in sockets]
            if len(set(slugs)) < len(slugs):
                raise ValueError(f"a slug stands twice among {', '.join(slugs)}")
            paths = [socket.relative_path for socket in sockets]
            if len(set(paths)) < len(paths):
                raise ValueError(f"a relative_path stands twice among {', '.join(paths)}")
        known = {socket.slug for socket in self.inputs}
        for socket in self.inputs:
            if socket.kind is Kind.THUMBNAIL:
                raise ValueError(f"{socket.slug} is a thumbnail, which can only be an output")
        for slug in {slug for interface in self.interfaces for slug in interface} - known:
            raise ValueError(f"an interface names the unknown input {slug}")
        accepted = {frozenset(interface) for interface in self.interfaces}
        for interface in self.core:
            if frozenset(interface) not in accepted:
                raise ValueError(f"core names {', '.join(interface)}, which is none of the interfaces")
        for socket in (*self.inputs, *self.outputs):
            if socket.segmentation_of and socket.segmentation_of not in known:
                raise ValueError(f"{socket.slug} is a segmentation of the unknown input {socket.segmentation_of}")
            if socket.features_of and socket.features_of not in known:
                raise ValueError(f"{socket.slug} holds features of the unknown input {socket.features_of}")
        if self.folder.name != self.name:
            raise ValueError(f"the folder is called {self.folder.name}, not {self.name}")
        return self

    @model_validator(mode="after")
    def _stand_for_segmentations(self) -> Self:
        scans = {socket.slug: socket.segmentation_of for socket in self.inputs if socket.kind is Kind.SEGMENTATION}
        if wrong := [socket for socket in self.inputs if socket.stands_for]:
            raise ValueError(f"{wrong[0].slug} is an input; only an output stands for a segmentation that is not given")
        for socket in self.outputs:
            if socket.stands_for and scans.get(socket.stands_for) != socket.segmentation_of:
                raise ValueError(
                    f"{socket.slug} stands for {socket.stands_for}, which is no segmentation of the same scan"
                )
        return self

    @property
    def core_interfaces(self) -> tuple[tuple[Slug, ...], ...]:
        """The combinations of inputs to ask the platform for first."""
        return self.core or self.interfaces

    def outputs_of(self, inputs: Collection[str]) -> tuple[Socket, ...]:
        """Give the outputs of a case with these inputs, by their slugs."""
        return tuple(
            socket
            for socket in self.outputs
            if socket.stands_for is None or (socket.segmentation_of in inputs and socket.stands_for not in inputs)
        )

    @cached_property
    def outlined_interfaces(self) -> tuple[tuple[Slug, ...], ...]:
        """Those of the interfaces that leave nothing for a network to draw."""
        always = self.outputs_of(())
        return tuple(interface for interface in self.interfaces if self.outputs_of(interface) == always)

    def platform_slug(self, slug: str) -> str:
        """Tell what the platform calls one of our sockets."""
        return self.stand_ins[slug].slug if slug in self.stand_ins else slug

    def own_slug(self, platform_slug: str) -> str:
        """Tell which of our sockets the platform means; our own names are understood as well."""
        return next((ours for ours, theirs in self.stand_ins.items() if theirs.slug == platform_slug), platform_slug)

    def input(self, slug: str) -> Socket:
        """Give the input socket called ``slug``."""
        return next(socket for socket in self.inputs if socket.slug == slug)

    def output(self, slug: str) -> Socket:
        """Give the output socket called ``slug``."""
        return next(socket for socket in self.outputs if socket.slug == slug)

    @cached_property
    def json_schemas(self) -> dict[str, Any]:
        """JSON schema of each socket that has one, by slug."""
        return {
            socket.slug: json.loads((self.folder / socket.json_schema).read_text())
            for socket in (*self.inputs, *self.outputs)
            if socket.json_schema
        }


def read_algorithm(folder: Path) -> Algorithm:
    """Read and check the ``algorithm.toml`` of a folder.

    Raises
    ------
    InvalidInputError
        If it is missing, is not TOML, or breaks a rule of the contract; the sentence names the rule.
    """
    path = folder.absolute() / DESCRIPTION_FILE
    if not path.is_file():
        raise InvalidInputError(f"{folder} is not the folder of an algorithm: it holds no {DESCRIPTION_FILE}.")
    described = read_toml(path, Algorithm, folder=path.parent)
    sockets = path.with_name(SOCKETS_FILE)
    return with_stand_ins(described, sockets) if sockets.is_file() else described


def with_stand_ins(algorithm: Algorithm, path: Path) -> Algorithm:
    """Let sockets of the platform stand for some of an algorithm's, as a ``sockets.toml`` says.

    Raises
    ------
    InvalidInputError
        If the file is not right, names a socket that the algorithm does not have, or makes two sockets one.
    """
    stand_ins = read_toml(path, _StandIns).root
    try:
        return _replaced(algorithm, stand_ins)
    except ValidationError as error:
        raise InvalidInputError(f"{path} is not right: {first_validation_error(error)}.") from None
    except ValueError as error:
        raise InvalidInputError(f"{path} is not right: {error}.") from None


class _StandIns(RootModel[dict[str, StandIn]]):
    """Content of ``sockets.toml``."""


def _replaced(algorithm: Algorithm, stand_ins: Mapping[str, StandIn]) -> Algorithm:
    sockets = {socket.slug: socket for socket in (*algorithm.inputs, *algorithm.outputs)}
    for slug in stand_ins.keys() - sockets.keys():
        raise ValueError(f"{algorithm.name} has no socket {slug}")
    names = [stand_ins[slug].slug if slug in stand_ins else slug for slug in sockets]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"two sockets of {algorithm.name} would be called {name}")

    def placed(socket: Socket) -> Socket:
        path = stand_ins[socket.slug].relative_path if socket.slug in stand_ins else None
        return socket if path is None else Socket.model_validate({**dict(socket), "relative_path": path})

    replaced = {
        "inputs": tuple(map(placed, algorithm.inputs)),
        "outputs": tuple(map(placed, algorithm.outputs)),
        "stand_ins": stand_ins,
    }
    return Algorithm.model_validate({**{name: getattr(algorithm, name) for name in Algorithm.model_fields}, **replaced})
