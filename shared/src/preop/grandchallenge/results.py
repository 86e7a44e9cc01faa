"""Outputs in again: what an algorithm made of a case, read and checked as it was when it was written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from preop.errors import InvalidInputError
from preop.grandchallenge.algorithm import Algorithm, Socket
from preop.grandchallenge.cases import Case, single_image
from preop.grandchallenge.values import JSON, check_value, read_json
from preop.imaging import Geometry, Image, read_geometry, read_image


@dataclass(frozen=True)
class CaseOutputs:
    """The outputs of a case, by slug.

    Attributes
    ----------
    case
        What they were made of.
    root
        Folder laid out as the platform's ``/output``.
    """

    case: Case
    root: Path

    @property
    def algorithm(self) -> Algorithm:
        """Whose outputs they are."""
        return self.case.algorithm

    def value(self, slug: str) -> JSON:
        """Read a JSON value.

        Raises
        ------
        InvalidInputError
            If it is missing, broken, or breaks the rules of its socket.
        """
        socket = self.algorithm.output(slug)
        value = read_json(self.path(slug))
        check_value(value, socket, self.algorithm.json_schemas.get(slug))
        return value

    def image(self, slug: str) -> Image:
        """Read an image.

        Raises
        ------
        InvalidInputError
            If it cannot be read, or does not lie on the grid of the scan that its socket names.
        """
        image = read_image(single_image(self.path(slug), slug))
        self._check_grid(self.algorithm.output(slug), image.geometry)
        return image

    def check_grids(self) -> None:
        """Refuse outputs of another case: images that do not lie on the grid of the scan that their sockets name.

        Raises
        ------
        InvalidInputError
            For the first of them.
        """
        for socket in self.algorithm.outputs_of(self.case.interface):
            if socket.segmentation_of is not None and socket.segmentation_of in self.case:
                self._check_grid(socket, read_geometry(single_image(self.path(socket.slug), socket.slug)))

    def _check_grid(self, socket: Socket, grid: Geometry) -> None:
        scan = socket.segmentation_of
        if scan is not None and (difference := self.case.geometry(scan).difference(grid)):
            raise InvalidInputError(
                f"{socket.slug} in {self.root} does not lie on the grid of {scan} ({difference}): is it the output of this "
                "input?"
            )

    def path(self, slug: str) -> Path:
        """Folder of an image, or file of a value."""
        return self.root / self.algorithm.output(slug).relative_path


def are_outputs_of(algorithm: Algorithm, folder: Path) -> bool:
    """Tell whether a folder holds every output that an algorithm makes of any case."""
    return all((folder / socket.relative_path).exists() for socket in algorithm.outputs_of(()))
