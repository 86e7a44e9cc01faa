"""Tables as hospitals write them: CSV of any delimiter and encoding, and Excel; read where unambiguous, else refused.

How a table was read, where that is not plain CSV, is told in ``Table.notes``: one sentence each, for the user to check.
All cells stay text, so that ``001`` and ``1E5`` remain names.
"""

from __future__ import annotations

import csv
import gc
import io
import math
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from preop.errors import InvalidInputError
from preop.wording import counted

DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}
SUFFIXES = {".csv", ".tsv", ".txt", ".xlsx", ".xlsm"}
"""Endings of tables, in lower case."""
_NO_WIDTH = dict.fromkeys(map(ord, "\ufeff\u200b\u2060"))
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_WITH_COMMA = re.compile(r"[+-]?\d+,\d+([eE][+-]?\d+)?", re.ASCII)
_MAYBE_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2},\d{3}", re.ASCII)


class MissingColumnError(InvalidInputError):
    """A table without the column that names its rows."""


@dataclass(frozen=True)
class Table:
    """The rows of a table as text.

    Attributes
    ----------
    columns
        Names, each once.
    rows
        One dictionary a row with all columns, "" where a cell is empty.
    lines
        Line of the file (row of the sheet) in which each row begins.
    notes
        How it was read, in sentences.
    """

    columns: tuple[str, ...]
    rows: list[dict[str, str]]
    lines: list[int]
    notes: tuple[str, ...]


@dataclass
class _Raw:
    """Cells as they stand, row by row with their lines; ``notes`` grows as it is read."""

    rows: list[tuple[int, list[str]]]
    notes: list[str]


def is_table(path: Path) -> bool:
    """Whether a file's ending is that of a table, in any case."""
    return path.suffix.lower() in SUFFIXES


def read_table(path: Path, *, key: str, expected: Collection[str] = (), what: str = "table") -> Table:
    """Read a table whose rows are named in one column.

    Parameters
    ----------
    path
        CSV (any of four delimiters; UTF-8, UTF-16 or Windows-1252) or Excel (.xlsx).
    key
        Column with the name of each row, which must be there, filled, and different in each row.
    expected
        Columns that are known beside it: found also where only capitals differ.
    what
        Word for the table in messages.

    Raises
    ------
    MissingColumnError
        If it has no such column.
    InvalidInputError
        If it is missing, empty, no table, or can be read in more than one way; with the line and column.
    """
    with _no_collection():
        return _read_table(path, key, expected, what)


def _read_table(path: Path, key: str, expected: Collection[str], what: str) -> Table:
    raw = _read(path, key, what)
    raw.rows = _without_blank_head(raw.rows)
    if not raw.rows:
        raise InvalidInputError(
            f"{path.name} is empty; expected a line with the names of the columns, {key} among them."
        )
    _, header = raw.rows[0]
    columns = _column_names(header, raw, path.name, [key, *expected])
    if key not in columns:
        named = ", ".join(column for column in columns if column) or "none"
        raise MissingColumnError(f"{path.name} has no column {key}; its columns are {named}.")
    rows, lines = _rows(columns, raw, path.name)
    _check_names(rows, lines, key, path.name)
    _read_decimal_commas(rows, columns, key, raw.notes)
    return Table(tuple(columns), rows, lines, tuple(raw.notes))


@contextmanager
def _no_collection() -> Iterator[None]:
    """Keep the search for unreachable cycles, of which there are none, from going through millions of cells again."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def number(cell: str, what: str) -> float:
    """Read a cell as a finite number; ``what`` names it in the message.

    Raises
    ------
    InvalidInputError
        If it is empty or no plain decimal number: ``6_9``, ``inf``, ``nan`` and ``1e400`` are none.
    """
    text = cell.strip()
    value = float(text) if _NUMBER.fullmatch(text) else math.nan
    if math.isfinite(value):
        return value
    if _MAYBE_THOUSANDS.fullmatch(text):
        raise InvalidInputError(
            f"{what} is {cell!r}, which can mean {text.replace(',', '')} or {text.replace(',', '.')}; "
            "write it with a decimal point and without thousands separators."
        )
    raise InvalidInputError(f"{what} is {cell!r}; expected a number{'' if text else ' in the cell'}.")


def whole_number(cell: str, what: str) -> int:
    """Read a cell as a whole number, also where a spreadsheet made 2.0 of 2.

    Raises
    ------
    InvalidInputError
        If it is none.
    """
    value = number(cell, what)
    if not value.is_integer():
        raise InvalidInputError(f"{what} is {cell!r}; expected a whole number.")
    return int(value)


def _read(path: Path, key: str, what: str) -> _Raw:
    """Take the cells out of the file, whatever it is, by its content rather than its ending."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise InvalidInputError(f"There is no {what} {path}.") from None
    except OSError as error:
        raise InvalidInputError(f"The {what} {path} cannot be read: {error.strerror}.") from None
    if content.startswith(b"PK\x03\x04"):
        return _read_excel(path, key)
    if content.startswith(b"\xd0\xcf\x11\xe0"):
        raise InvalidInputError(f"{path.name} is an Excel file of the old form (.xls); save it as .xlsx or .csv.")
    notes: list[str] = []
    text = _decode(content, path.name, notes)
    if text != (visible := text.translate(_NO_WIDTH)):
        text = visible
        notes.append(f"Characters without width in {path.name} were left out.")
    return _read_csv(text, path.name, key, notes)


def _decode(content: bytes, name: str, notes: list[str]) -> str:
    """Text of a file by its byte order mark, else UTF-16 where every other byte is 0, UTF-8, or Windows-1252."""
    for mark, encoding in ((b"\xff\xfe\x00\x00", "utf-32"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16")):
        if content.startswith(mark):
            return _decoded(content, encoding, name, notes)
    head = content[:2000]
    for start, encoding in ((0, "utf-16-be"), (1, "utf-16-le")):
        if len(head) >= 4 and head[start::2].count(0) > 0.7 * len(head[start::2]):
            return _decoded(content, encoding, name, notes)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        byte = content[error.start]
    if content.count(0):
        raise InvalidInputError(f"{name} is not a text file; expected a CSV table or an Excel file (.xlsx).")
    try:
        text = content.decode("cp1252")
    except UnicodeDecodeError:
        raise InvalidInputError(
            f"{name} is written in an unknown encoding (byte {byte:#x}); save it as 'CSV UTF-8'."
        ) from None
    notes.append(f"{name} is not UTF-8 and was read as Windows-1252 (Latin-1): check letters with accents.")
    return text


def _decoded(content: bytes, encoding: str, name: str, notes: list[str]) -> str:
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError:
        raise InvalidInputError(
            f"{name} begins as {encoding.upper()} but is damaged; save it as 'CSV UTF-8'."
        ) from None
    notes.append(f"{name} was read as {encoding[:6].upper()}.")
    return text


def _read_csv(text: str, name: str, key: str, notes: list[str]) -> _Raw:
    first_line = 1
    if match := re.match(r"sep=(.)\r?\n", text):  # written by Excel, above the header
        text, first_line, delimiter = text[match.end() :], 2, match[1]
    else:
        delimiter = _delimiter(text, key)
    if delimiter != ",":
        notes.append(f"The columns of {name} are separated by {DELIMITERS.get(delimiter, repr(delimiter))}.")
    return _Raw(list(_csv_rows(text, delimiter, name, first_line)), notes)


def _delimiter(text: str, key: str) -> str:
    """Find the one delimiter under which the first line names the key column."""
    header = next((line for line in text.splitlines() if line.strip()), "")
    candidates = [
        each
        for each in DELIMITERS
        if key.casefold() in (cell.strip().casefold() for cell in next(csv.reader([header], delimiter=each), []))
    ]
    if len(candidates) > 1:  # the header is this one column, unless a row tells otherwise
        return ","
    if not candidates:
        return max(DELIMITERS, key=header.count)
    return candidates[0]


def _csv_rows(text: str, delimiter: str, name: str, first_line: int) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    line = first_line
    try:
        for row in reader:
            end = first_line + reader.line_num - 1
            if end > line and any("\n" in cell and delimiter in cell for cell in row):
                raise InvalidInputError(
                    f"{name}: a quotation mark that opens in line {line} closes in line {end}, beyond "
                    f"{DELIMITERS.get(delimiter, 'delimiters')}; close it, or take line breaks out of cells."
                )
            yield line, row
            line = end + 1
    except csv.Error as error:
        raise InvalidInputError(
            f"{name} cannot be read as a table from line {line} on ({error}): look for a quotation mark that is not closed."
        ) from None


def _column_names(header: Sequence[str], raw: _Raw, name: str, known: Sequence[str]) -> list[str]:
    """Name the columns; "" for those that have no name, which must be empty."""
    columns = [cell.strip() for cell in header]
    while not columns[-1]:  # additional delimiters at the end of the line
        columns.pop()
    if any(column != cell for column, cell in zip(columns, header, strict=False)):
        raw.notes.append(f"Spaces around the names of columns of {name} were left out.")
    first: dict[str, int] = {}
    for place, column in enumerate(columns, 1):
        folded = column.casefold()
        if column and folded in first:
            other = columns[first[folded] - 1]
            raise InvalidInputError(
                f"{name} has the columns {first[folded]} and {place} called {other}"
                f"{'' if other == column else f' and {column}'}; expected each name once."
            )
        first.setdefault(folded, place)
    for wanted in known:
        place = first.get(wanted.casefold(), 0)
        if place and columns[place - 1] != wanted:
            raw.notes.append(f"The column {columns[place - 1]} of {name} was read as {wanted}.")
            columns[place - 1] = wanted
    return columns


def _rows(columns: Sequence[str], raw: _Raw, name: str) -> tuple[list[dict[str, str]], list[int]]:
    """Bring the rows to the columns; blank rows go, cells too many must be empty."""
    width = len(columns)
    named = [place for place, column in enumerate(columns) if column]
    unnamed = [place for place, column in enumerate(columns) if not column]
    used = [columns[place] for place in named]
    whole = len(named) == width
    rows, lines = [], []
    blank = ended = stripped = 0
    for line, cells in raw.rows[1:]:
        tidy = [cell.strip() for cell in cells]
        stripped += tidy != cells
        if not any(tidy):
            blank += bool(cells)
            continue
        if len(tidy) > width:
            if any(tidy[width:]):
                place = next(place for place in range(width, len(tidy)) if tidy[place])
                raise InvalidInputError(
                    f"{name} has {place + 1} cells in line {line} and {width} columns ({tidy[place]!r} is too many); put "
                    "cells that hold the delimiter into quotation marks."
                )
            ended += 1
        elif len(tidy) < width:
            raise InvalidInputError(f"{name} has {len(tidy)} cells in line {line}; expected {width}, one a column.")
        for place in unnamed:
            if tidy[place]:
                raise InvalidInputError(
                    f"{name} has {tidy[place]!r} in line {line} in column {place + 1}, which has no name; name it in the "
                    "first line."
                )
        if whole and tidy[:width] == used:
            raise InvalidInputError(f"{name} repeats the names of its columns in line {line}; remove that line.")
        rows.append(dict(zip(used, tidy if whole else [tidy[place] for place in named], strict=False)))
        lines.append(line)
    if blank:
        raw.notes.append(f"{counted(blank, 'blank row')} of {name} were left out.")
    if ended:
        raw.notes.append(
            f"{ended} {'row' if ended == 1 else 'rows'} of {name} end in additional delimiters, which were ignored."
        )
    if stripped:
        raw.notes.append(f"Spaces around cells were left out in {counted(stripped, 'row')} of {name}.")
    return rows, lines


def _check_names(rows: Iterable[dict[str, str]], lines: Sequence[int], key: str, table: str) -> None:
    seen: dict[str, int] = {}
    for row, line in zip(rows, lines, strict=True):
        name = row[key]
        if not name:
            raise InvalidInputError(f"{table} has no {key} in line {line}.")
        if name in seen:
            raise InvalidInputError(
                f"{table} has two rows for the {key} {name}, in lines {seen[name]} and {line}; expected one."
            )
        seen[name] = line


def _read_decimal_commas(rows: Sequence[dict[str, str]], columns: Iterable[str], key: str, notes: list[str]) -> None:
    """Turn decimal commas into points, column by column, where all cells are numbers and one comma must be decimal."""
    for column in columns:
        if not column or column == key or not any("," in row[column] for row in rows):
            continue
        cells = [row[column] for row in rows if row[column]]
        commas = [cell for cell in cells if _WITH_COMMA.fullmatch(cell)]
        others = [cell for cell in cells if "," not in cell]
        plain = all(re.fullmatch(r"[+-]?\d+", cell, re.ASCII) for cell in others)
        if len(commas) + len(others) < len(cells) or not plain or all(map(_MAYBE_THOUSANDS.fullmatch, commas)):
            continue
        for row in rows:
            row[column] = row[column].replace(",", ".")
        notes.append(
            f"Commas in the column {column} were read as decimal points ({commas[0]} as {commas[0].replace(',', '.')})."
        )


def _read_excel(path: Path, key: str) -> _Raw:
    """Cells of the one sheet that has the key column in its first row that is not blank."""
    try:
        from openpyxl import load_workbook
    except ImportError:
        raise InvalidInputError(
            f"{path.name} is an Excel file, which needs the package openpyxl: save it as .csv."
        ) from None
    try:
        values, formulas = (load_workbook(path, data_only=data_only) for data_only in (True, False))
    except Exception as error:  # noqa: BLE001 - a damaged file fails anywhere in openpyxl
        raise InvalidInputError(f"{path.name} cannot be read as an Excel file ({error}); save it as .csv.") from None
    found = []
    for sheet in values.worksheets:
        rows = [
            (cells[0].row, [_excel_text(cell, formulas[sheet.title], path.name) for cell in cells])
            for cells in sheet.iter_rows()
        ]
        head = _without_blank_head(rows)[:1]
        if head and key.casefold() in (cell.strip().casefold() for cell in head[0][1]):
            found.append((sheet.title, rows))
    if len(found) != 1:
        sheets = ", ".join(title for title, _ in found) or ", ".join(values.sheetnames)
        raise InvalidInputError(
            f"{path.name} has {len(found)} sheets with a column {key} ({sheets}); expected one: save it as .csv."
        )
    title, rows = found[0]
    return _Raw(rows, [f"{path.name} was read from the sheet {title}."])


def _without_blank_head(rows: list[tuple[int, list[str]]]) -> list[tuple[int, list[str]]]:
    """Leave out what stands above the line with the names of the columns and is blank."""
    first = next((place for place, (_, cells) in enumerate(rows) if any(map(str.strip, cells))), len(rows))
    return rows[first:]


def _excel_text(cell: Any, formulas: Any, name: str) -> str:
    """Write the value of an Excel cell as it would stand in CSV."""
    from datetime import date, datetime, time

    value, place = cell.value, cell.coordinate
    if value is None:
        formula = formulas[place].value
        if formula is not None:
            raise InvalidInputError(
                f"{name} has the formula {formula} without a value in {place}; save it from Excel again."
            )
        return ""
    if getattr(cell, "data_type", "") == "e":
        raise InvalidInputError(f"{name} has the error {value} in cell {place}; mend or empty it.")
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, int | float):
        return _excel_number(value, str(getattr(cell, "number_format", "")))
    if isinstance(value, datetime):
        return value.date().isoformat() if value.time() == time() else value.isoformat(sep=" ")
    if isinstance(value, date | time):
        return value.isoformat()
    return str(value)


def _excel_number(value: float, number_format: str) -> str:
    """Whole numbers without a point, with the leading zeros that their format shows."""
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{int(value):0{len(number_format)}d}" if re.fullmatch("0{2,}", number_format) else str(int(value))
    return repr(value)
