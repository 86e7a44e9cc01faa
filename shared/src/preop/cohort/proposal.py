"""A cohort table proposed from the names of files and a clinical table: what was matched, by which pattern, and what was not.

Nothing is guessed silently. A file is matched by a pattern such as ``{patient}/ct.nii.gz``, and every pattern is told with the
input it was taken for. What fits none, or several, is told as well and left out until the user says what it is. Values of the
clinical table that an input does not allow stay as they are, and are told.
"""

from __future__ import annotations

import csv
import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from preop.atomic import replacing
from preop.cohort.table import CENTRE_COLUMN, GROUP_COLUMN, PATIENT_COLUMN
from preop.errors import InvalidInputError, meant
from preop.grandchallenge.algorithm import Algorithm, Kind, Socket
from preop.grandchallenge.cases import IMAGE_SUFFIXES, check_interface
from preop.grandchallenge.values import check_value
from preop.tables import number, read_table
from preop.wording import counted

PLACEHOLDER = "{patient}"
_SLIDE_SUFFIXES = (".svs", ".ndpi", ".mrxs", ".scn", ".bif")
_SUFFIXES = (*IMAGE_SUFFIXES, *_SLIDE_SUFFIXES)
_SEGMENTATION = "segmentation"
_SAME = {
    **dict.fromkeys(("mask", "masks", "seg", "segm", "label", "labels", "roi", "gtv", "rtstruct", "contour"), _SEGMENTATION),
    **dict.fromkeys(("mr", "mri"), "mri"),
    "t1w": "t1",
    "t2w": "t2",
    **dict.fromkeys(("fs", "fatsat", "spair", "spir", "stir", "tirm"), "fs"),
    **dict.fromkeys(("contrast", "postcontrast", "post", "gd", "gad", "km", "ce", "t1ce"), "contrast"),
    "tumor": "tumour",
    "node": "nodes",
    "lesions": "lesion",
    "pt": "pet",
}  # fmt: skip
"""Words of file names that mean the same as words of slugs."""
_SAYS_NOTHING = {"image", "scan", "volume", "nii", "gz", "dicom"}


@dataclass(frozen=True)
class Pattern:
    """Files of one form: where the patient's name stands in their paths, and which input they were taken for.

    Attributes
    ----------
    form
        Path below the folder with ``{patient}`` in place of the name.
    files
        By patient.
    slug
        The input; None where none or several fit.
    fits
        The inputs that fit.
    """

    form: str
    files: Mapping[str, PurePosixPath]
    slug: str | None
    fits: tuple[str, ...]


@dataclass
class Proposal:
    """What a cohort table could hold.

    Attributes
    ----------
    columns, rows
        Of the table, with paths relative to the folder.
    patterns
        All forms of files that were found.
    remarks
        What was left out, is missing or is not understood, and what to say about it, in sentences.
    """

    folder: Path
    columns: list[str]
    rows: list[dict[str, str]]
    patterns: list[Pattern]
    remarks: list[str] = field(default_factory=list)

    def write(self, path: Path, algorithm: Algorithm) -> None:
        """Write the table, with paths relative to where it lies.

        Raises
        ------
        InvalidInputError
            If there is a file of that name.
        """
        if path.exists():
            raise InvalidInputError(f"{path} exists: name another file by --output, so that nothing is overwritten.")
        images = {socket.slug for socket in algorithm.inputs if socket.kind.is_image}
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, self.columns, restval="")
            writer.writeheader()
            for row in self.rows:
                moved = {
                    column: Path(os.path.relpath(self.folder / row[column], path.parent)).as_posix()
                    for column in images & row.keys()
                    if row[column]
                }
                writer.writerow({**row, **moved})


def propose_cohort(
    folder: Path,
    algorithm: Algorithm,
    *,
    clinical: Path | None = None,
    files: Mapping[str, Sequence[str]] | None = None,
    columns: Mapping[str, str] | None = None,
    values: Mapping[tuple[str, str], str] | None = None,
) -> Proposal:
    """Match files and rows of a clinical table to patients and inputs.

    Parameters
    ----------
    folder
        Images of all patients, in folders of their own or side by side; a folder of DICOM slices is one image.
    clinical
        Table with a column ``patient``.
    files
        Patterns that the user names, by slug: they come before those that are found.
    columns
        Column of the clinical table that holds a column of the cohort.
    values
        What a value of a column of the cohort means.

    Raises
    ------
    InvalidInputError
        If there is no image, a pattern or name is unknown, or the clinical table cannot be read.
    """
    if not folder.is_dir():
        raise InvalidInputError(f"{folder} is not a folder; expected one with the images of all patients.")
    found = sorted(_images(folder))
    if not found:
        raise InvalidInputError(
            f"{folder} holds no image; expected files such as .nii.gz, .mha, .nrrd, or DICOM folders."
        )
    remarks: list[str] = []
    rows = _clinical_rows(clinical, algorithm, columns or {}, remarks)
    patterns = [*_named_patterns(found, algorithm, files or {})]
    taken = {path for pattern in patterns for path in pattern.files.values()}
    others = _found_patterns([path for path in found if path not in taken], algorithm, list(rows or ()))
    named = {pattern.slug for pattern in patterns}
    patterns += [replace(other, slug=None) if other.slug in named else other for other in others]
    images = _by_patient(patterns)
    remarks += _left_out(patterns)
    names = sorted(images if rows is None else {*images, *rows})
    if rows is not None:
        remarks += _without(sorted(set(rows) - set(images)), "of the clinical table without a file")
        remarks += _without(sorted(set(images) - set(rows)), "with files and without a row in the clinical table")
    merged = [{PATIENT_COLUMN: name, **(rows or {}).get(name, {}), **images.get(name, {})} for name in names]
    remarks += _translate(merged, algorithm, values or {})
    remarks += _incomplete(merged, algorithm)
    order = [PATIENT_COLUMN, *(socket.slug for socket in algorithm.inputs if socket.kind.is_image)]
    order += [column for row in (rows or {}).values() for column in row if column not in order]
    used = list(dict.fromkeys(column for column in order if any(column in row for row in merged)))
    return Proposal(folder, used, merged, patterns, remarks)


def _images(folder: Path) -> Iterator[PurePosixPath]:
    """Find images below a folder: files by their ending, and folders of DICOM slices."""
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        below = PurePosixPath(Path(place).relative_to(folder).as_posix())
        slices = [name for name in files if name.lower().endswith(".dcm")]
        if len(slices) > 1 and below.parts:
            yield below
            folders.clear()
            continue
        yield from (below / name for name in files if name.lower().endswith(_SUFFIXES) and not name.startswith("."))


def _named_patterns(
    found: Sequence[PurePosixPath], algorithm: Algorithm, files: Mapping[str, Sequence[str]]
) -> Iterator[Pattern]:
    slugs = [socket.slug for socket in algorithm.inputs if socket.kind.is_image]
    for slug, forms in files.items():
        if slug not in slugs:
            raise InvalidInputError(
                f"{algorithm.name} has no image input {slug}{meant(slug, slugs)}; there are {', '.join(slugs)}."
            )
        for form in forms:
            if PLACEHOLDER not in form:
                raise InvalidInputError(
                    f"The pattern {form} of {slug} has no {PLACEHOLDER} in place of the patient's name."
                )
            parts = form.split(PLACEHOLDER)
            wanted = re.compile("(?P<patient>[^/]+?)".join([re.escape(parts[0]), re.escape(parts[1])])
                                + "".join(f"(?P=patient){re.escape(part)}" for part in parts[2:]))  # fmt: skip
            matched = {match["patient"]: path for path in found if (match := wanted.fullmatch(str(path)))}
            if not matched:
                raise InvalidInputError(f"No file matches the pattern {form} of {slug}.")
            yield Pattern(form, matched, slug, (slug,))


def _found_patterns(found: Sequence[PurePosixPath], algorithm: Algorithm, names: Sequence[str]) -> list[Pattern]:
    """Group files by the form that their paths have around the patient's name."""
    forms: dict[str, dict[str, PurePosixPath]] = defaultdict(dict)
    endings = _common_endings(found)
    for path in found:
        name, form = _split_known(path, names) if names else _split(path, endings)
        forms[form if name not in forms[form] else str(path)][name] = path
    patterns = [Pattern(form, files, None, _fitting(form, algorithm)) for form, files in sorted(forms.items()) if files]
    return [replace(pattern, slug=_chosen(pattern, patterns)) for pattern in patterns]


def _chosen(pattern: Pattern, patterns: Sequence[Pattern]) -> str | None:
    """Take files for an input where nothing else can be meant: one input fits, and no other files fit it as well.

    A form that shares no word with the input is taken only where no other form could be meant, as for ``{patient}.nii.gz``.
    """
    if PLACEHOLDER not in pattern.form or len(pattern.fits) != 1:
        return None
    slug = pattern.fits[0]
    rivals = [other for other in patterns if other is not pattern and other.fits == pattern.fits]
    if not _shared(pattern.form, slug):
        return None if rivals else slug
    both = [other for other in rivals if _shared(other.form, slug) and other.files.keys() & pattern.files.keys()]
    return None if both else slug


def _split_known(path: PurePosixPath, names: Sequence[str]) -> tuple[str, str]:
    """Find a patient of the clinical table in a path: the longest name that stands between separators."""
    text = str(path)
    for name in sorted(names, key=len, reverse=True):
        place = re.compile(rf"(?<![A-Za-z0-9]){re.escape(name)}(?![A-Za-z0-9])")
        if place.search(text):
            return name, place.sub(PLACEHOLDER, text)
    return text, text


def _split(path: PurePosixPath, endings: Counter[tuple[str, ...]]) -> tuple[str, str]:
    """Split a path without a clinical table: by its first folder, or before the words that other files end in too."""
    if len(path.parts) > 1:
        name = path.parts[0]
        return name, str(path).replace(name, PLACEHOLDER)
    stem, suffix = _stem_and_suffix(path.name)
    words = re.split(r"([_\-. ]+)", stem)
    for count in range(len(words) // 2, 0, -1):
        ending = tuple(words[-2 * count + 1 :])
        if endings[tuple(words[-2 * count :])] > 1:
            return "".join(words[: -2 * count]), PLACEHOLDER + "".join(words[-2 * count]) + "".join(ending) + suffix
    return stem, PLACEHOLDER + suffix


def _common_endings(found: Sequence[PurePosixPath]) -> Counter[tuple[str, ...]]:
    """Count the words, with the separators before them, that names of files side by side end in; numbers are no words."""
    endings: Counter[tuple[str, ...]] = Counter()
    for path in found:
        if len(path.parts) == 1:
            words = re.split(r"([_\-. ]+)", _stem_and_suffix(path.name)[0])
            for count in range(1, len(words) // 2 + 1):
                if words[-2 * count + 1].isdigit():
                    break
                endings[tuple(words[-2 * count :])] += 1
    return endings


def _stem_and_suffix(name: str) -> tuple[str, str]:
    suffix = next((each for each in _SUFFIXES if name.lower().endswith(each)), PurePosixPath(name).suffix)
    return name[: len(name) - len(suffix)], name[len(name) - len(suffix) :]


def _fitting(form: str, algorithm: Algorithm) -> tuple[str, ...]:
    """Tell which inputs a form of paths can be: those that share most words with it, of the right sort.

    Of two of which one is called as the other and more, as "contrast T1" is beside "T1", the shorter name is meant.
    """
    drawn = _SEGMENTATION in _words(form)
    slugs = [socket.slug for socket in algorithm.inputs if socket.kind.is_image and _is_drawn(socket) == drawn]
    most = max((_shared(form, slug) for slug in slugs), default=0)
    fitting = [slug for slug in slugs if _shared(form, slug) == most]
    return tuple(slug for slug in fitting if not any(_words(other) < _words(slug) for other in fitting))


def _shared(form: str, slug: str) -> int:
    """Count the words that a form of paths and an input have in common."""
    return len(_words(slug) & _words(form.replace(PLACEHOLDER, " ")) - {_SEGMENTATION})


def _words(text: str) -> set[str]:
    words = {word for word in re.split(r"[^a-z0-9]+", text.lower()) if word}
    return {_SAME.get(word, word) for word in words} - _SAYS_NOTHING


def _is_drawn(socket: Socket) -> bool:
    return socket.kind is Kind.SEGMENTATION or socket.segmentation_of is not None


def _by_patient(patterns: Sequence[Pattern]) -> dict[str, dict[str, str]]:
    """Put the files of each patient together; of two for one input, the pattern that the user named first counts."""
    images: dict[str, dict[str, str]] = defaultdict(dict)
    for pattern in patterns:
        for name, path in pattern.files.items() if pattern.slug is not None else ():
            images[name].setdefault(str(pattern.slug), str(path))
    return images


def _left_out(patterns: Sequence[Pattern]) -> Iterator[str]:
    nobody = [form for form in (pattern.form for pattern in patterns) if PLACEHOLDER not in form]
    if nobody:
        names = "names" if len(nobody) == 1 else "name"
        yield f"{counted(len(nobody), 'file')} {names} no patient of the clinical table: {_listed(nobody)}."
    for pattern in patterns:
        if pattern.slug is None and PLACEHOLDER in pattern.form:
            many = len(pattern.fits) > 1
            could = f"can be {' or '.join(pattern.fits)}" if many else f"is not the only one for {pattern.fits[0]}"
            yield (
                f"{pattern.form} ({counted(len(pattern.files), 'file')}) {could}, and was left out: say what it is by --files "
                f"SLUG='{pattern.form}'."
            )


def _clinical_rows(
    path: Path | None, algorithm: Algorithm, columns: Mapping[str, str], remarks: list[str]
) -> dict[str, dict[str, str]] | None:
    """Read the rows of the clinical table by patient, with its columns under the cohort's names."""
    if path is None:
        return None
    known = [CENTRE_COLUMN, GROUP_COLUMN, *(column for socket in algorithm.inputs for column in socket.columns)]
    table = read_table(path, key=columns.get(PATIENT_COLUMN, PATIENT_COLUMN), expected=known, what="clinical table")
    for there in columns.values():
        if there not in table.columns:
            raise InvalidInputError(
                f"{path.name} has no column {there}{meant(there, table.columns)}; its columns are {', '.join(table.columns)}."
            )
    remarks += table.notes
    renamed = {there: here for here, there in columns.items()}
    held = {renamed.get(column, column) for column in table.columns}
    if missing := [column for column in known[2:] if column not in held]:
        remarks.append(
            f"{path.name} has no column {', '.join(missing)}: they stay empty, or say which column holds one by --column "
            f"{missing[0]}=COLUMN."
        )
    rows = [{renamed.get(column, column): cell for column, cell in row.items()} for row in table.rows]
    return {row.pop(PATIENT_COLUMN): row for row in rows}


def _translate(
    rows: Sequence[dict[str, str]], algorithm: Algorithm, values: Mapping[tuple[str, str], str]
) -> Iterator[str]:
    """Put what the user says that values mean, and tell of those that an input does not allow."""
    for socket in algorithm.inputs:
        schema = algorithm.json_schemas.get(socket.slug, {})
        for column in socket.columns:
            described = schema.get("properties", {}).get(column, {})
            unknown: Counter[str] = Counter()
            for row in rows:
                cell = row.get(column, "")
                row.update({column: values[column, cell]} if (column, cell) in values else {})
                if row.get(column) and not _allowed(row[column], column, described, socket):
                    unknown[row[column]] += 1
            if unknown:
                listed = ", ".join(
                    f"{value!r} ({counted(count, 'patient')})" for value, count in unknown.most_common(10)
                )
                wanted = ", ".join(map(str, described.get("enum", ()))) or "a number in its range"
                first = unknown.most_common(1)[0][0]
                yield (
                    f"{column} holds {listed}; expected {wanted}. They stay as they are, and no case with one is accepted: say what "
                    f"it means by --value {column}:{first}=MEANING."
                )


def _allowed(cell: str, column: str, described: Mapping[str, object], socket: Socket) -> bool:
    try:
        value = number(cell, column) if described.get("type") in {"number", "integer"} else cell
        check_value({column: value}, socket, {"properties": {column: described}})
    except InvalidInputError:
        return False
    return True


def _incomplete(rows: Sequence[Mapping[str, str]], algorithm: Algorithm) -> Iterator[str]:
    """Tell of patients whose inputs are no combination that the algorithm accepts, by reason."""
    reasons: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        given = [
            socket.slug
            for socket in algorithm.inputs
            if row.get(socket.slug) or any(row.get(column) for column in socket.columns)
        ]
        try:
            check_interface(algorithm, given)
        except InvalidInputError as error:
            reasons[str(error)].append(row[PATIENT_COLUMN])
    for reason, names in reasons.items():
        yield f"{_listed(names)}: {reason}"


def _without(names: Sequence[str], what: str) -> list[str]:
    return [f"{counted(len(names), 'patient')} {what}: {_listed(names)}."] if names else []


def _listed(names: Sequence[str], most: int = 5) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
