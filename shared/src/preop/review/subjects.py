"""What is reviewed: the patients of a cohort table with their scans, and the masks that are there or still to be drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from preop.cohort.table import CENTRE_COLUMN, LABEL_ENDING, PATIENT_COLUMN, read_cohort_table
from preop.errors import InvalidInputError
from preop.grandchallenge.algorithm import Algorithm, Kind, Socket
from preop.radiomics.settings import Modality

_MODALITY_WORDS = {"ct": Modality.CT, "pet": Modality.PET, "mri": Modality.MR, "mr": Modality.MR}


@dataclass(frozen=True)
class Scan:
    """A kind of scan that patients of a study have: a column of the table."""

    slug: str
    title: str
    modality: Modality | None


@dataclass(frozen=True)
class MaskKind:
    """A kind of mask: a column of the table.

    Attributes
    ----------
    of
        Slug of the scan on which it is drawn.
    labels
        Value of each region by its name; empty where each instance (node, lesion) has a number of its own.
    """

    slug: str
    title: str
    of: str
    labels: Mapping[str, int]


@dataclass(frozen=True)
class Subject:
    """A row of the table: paths of what is there, by slug."""

    name: str
    centre: str
    scans: Mapping[str, Path]
    masks: Mapping[str, Path]
    mask_labels: Mapping[str, str]
    """Which region of a file is meant, where it holds several."""


@dataclass(frozen=True)
class ReviewedCohort:
    """A cohort table as the review sees it."""

    table: Path
    algorithm: Algorithm
    scans: tuple[Scan, ...]
    masks: tuple[MaskKind, ...]
    subjects: tuple[Subject, ...]
    columns: tuple[str, ...]
    rows: tuple[Mapping[str, str], ...]
    notes: tuple[str, ...]

    def mask(self, slug: str) -> MaskKind:
        """Give the kind of mask called ``slug``.

        Raises
        ------
        InvalidInputError
            If there is none.
        """
        found = next((mask for mask in self.masks if mask.slug == slug), None)
        if found is None:
            raise InvalidInputError(f"There is no mask {slug!r}; there are: {', '.join(m.slug for m in self.masks)}.")
        return found


def read_reviewed_cohort(table: Path, studies: Sequence[Algorithm], study: Algorithm | None = None) -> ReviewedCohort:
    """Read the patients of a cohort table; a mask that is missing is one to draw, and a scan may be missing too.

    Parameters
    ----------
    table
        ``cohort.csv``, or the folder that holds it.
    studies
        Those among which the table's is found by its columns, where ``study`` is not given.

    Raises
    ------
    InvalidInputError
        If the table cannot be read, no study or several have its columns, or the study has no volumes to draw on.
    """
    if table.is_dir():
        table /= "cohort.csv"
    algorithm = study or _study_of(read_cohort_table(table).columns, studies, table)
    scans = tuple(_scan(socket) for socket in algorithm.inputs if _is_scan(socket))
    masks = tuple(_mask(socket) for socket in algorithm.inputs if socket.segmentation_of)
    if not masks:
        raise InvalidInputError(f"{algorithm.name} has no mask that is drawn on a scan: there is nothing to review.")
    content = read_cohort_table(table, [*(scan.slug for scan in scans), *(mask.slug for mask in masks)])
    shown = tuple(scan for scan in scans if scan.slug in content.columns)
    if not shown:
        raise InvalidInputError(
            f"{table.name} has no column with a scan of {algorithm.name}; expected {', '.join(s.slug for s in scans)}."
        )
    here = {scan.slug for scan in shown}
    return ReviewedCohort(
        table=table,
        algorithm=algorithm,
        scans=shown,
        masks=tuple(mask for mask in masks if mask.of in here),
        subjects=tuple(_subject(row, table.parent, shown, masks) for row in content.rows),
        columns=content.columns,
        rows=tuple(content.rows),
        notes=content.notes,
    )


def _study_of(columns: Sequence[str], studies: Sequence[Algorithm], table: Path) -> Algorithm:
    """Find the one study that has a scan and a mask among the columns of a table."""
    given = {column.casefold() for column in columns}
    shares = [len(given & {socket.slug for socket in study.inputs if socket.kind.is_image}) for study in studies]
    best = max(shares, default=0)
    found = [study for study, share in zip(studies, shares, strict=True) if share == best > 0]
    if len(found) != 1:
        names = ", ".join(study.name for study in (found or studies))
        raise InvalidInputError(
            f"The columns of {table.name} are those of {'several studies' if found else 'no study'}: name one by --study "
            f"({names})."
        )
    return found[0]


def _is_scan(socket: Socket) -> bool:
    return socket.kind is Kind.IMAGE and socket.segmentation_of is None


def _scan(socket: Socket) -> Scan:
    words = socket.slug.split("-")
    return Scan(
        socket.slug, _title(socket.slug), next((_MODALITY_WORDS[w] for w in words if w in _MODALITY_WORDS), None)
    )


def _mask(socket: Socket) -> MaskKind:
    return MaskKind(socket.slug, _title(socket.slug), str(socket.segmentation_of), socket.overlay_segments)


def _title(slug: str) -> str:
    """Write a slug as words, with abbreviations in capitals: ``pet-tumour-segmentation`` as "PET tumour"."""
    words = [word for word in slug.split("-") if word not in {"image", "segmentation"}]
    capitals = {"ct", "pet", "mri", "mr", "fdg", "t1", "t2", "fs"}
    text = " ".join(word.upper() if word in capitals else word for word in words)
    return text[:1].upper() + text[1:]


def _subject(row: Mapping[str, str], folder: Path, scans: Sequence[Scan], masks: Sequence[MaskKind]) -> Subject:
    def paths(slugs: Sequence[str]) -> dict[str, Path]:
        return {slug: folder / row[slug] for slug in slugs if row.get(slug)}

    return Subject(
        name=row[PATIENT_COLUMN],
        centre=row.get(CENTRE_COLUMN, ""),
        scans=paths([scan.slug for scan in scans]),
        masks=paths([mask.slug for mask in masks]),
        mask_labels={mask.slug: row[mask.slug + LABEL_ENDING] for mask in masks if row.get(mask.slug + LABEL_ENDING)},
    )
