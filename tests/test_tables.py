"""Tables of hospitals: what can be meant in one way only is read, and said; all else is refused with line and column."""

import csv
import io
import time
from pathlib import Path

import pytest
from openpyxl import Workbook

from preop.errors import InvalidInputError
from preop.tables import Table, number, read_table

PLAIN = [["patient", "image", "age"], ["001", "a b.mha", "61.5"], ["1E5", "c.mha", ""]]


def read(path: Path, content: str | bytes, *, key: str = "patient") -> Table:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_table(path, key=key, expected=["image"])


def written(delimiter: str = ",", rows: list[list[str]] = PLAIN) -> str:
    """The rows by the standard library's writer."""
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter).writerows(rows)
    return text.getvalue()


def cells(table: Table) -> list[list[str]]:
    return [list(table.columns), *(list(row.values()) for row in table.rows)]


@pytest.mark.parametrize(
    ("content", "note"),
    [
        (written(), None),
        (written().replace("\r\n", "\n").rstrip(), None),
        (written().replace("\r\n", "\r"), None),
        ("\ufeff" + written(), None),
        (written(";"), "semicolons"),
        (written("\t"), "tabs"),
        (written("|"), "vertical bars"),
        ("sep=;\r\n" + written(";"), "semicolons"),
        (written().encode("utf-16"), "UTF-16"),
        (written("\t").encode("utf-16-be"), "UTF-16"),
        (written("\t").encode("utf-16-le"), "UTF-16"),
        (written().encode("utf-32"), "UTF-32"),
        (written().replace("\r\n", ",\r\n"), None),
        (written().replace("\r\n", ",,\r\n").replace("age,,", "age"), "additional delimiters"),
        ("\r\n,,\r\n" + written() + ",,\r\n\r\n", "blank row"),
        (written(rows=[["patient ", " image", "age"], *PLAIN[1:]]), "Spaces around the names"),
        (written(rows=[*PLAIN[:2], [" 1E5\u00a0", "c.mha ", ""]]), "Spaces around cells"),
        (written().replace("patient", "Patient").replace("image", "IMAGE"), "Patient of t.csv was read as patient"),
        (written(";").replace("61.5", "61,5"), "age were read as decimal points (61,5 as 61.5)"),
        (written().replace("61.5", '"61,5"'), "decimal points"),
    ],
)
def test_the_same_rows_come_out_of_every_way_to_write_them(
    tmp_path: Path, content: str | bytes, note: str | None
) -> None:
    table = read(tmp_path / "t.csv", content)
    assert cells(table) == PLAIN
    if note:
        assert any(note in each for each in table.notes)


def test_letters_of_windows_are_read_and_told(tmp_path: Path) -> None:
    table = read(tmp_path / "t.csv", "patient,centre\nMüller,Zürich\n".encode("cp1252"))
    assert table.rows == [{"patient": "Müller", "centre": "Zürich"}]
    assert "Windows-1252" in table.notes[0]


def test_the_given_example_of_trailing_commas_is_read_right(data: Path) -> None:
    table = read_table(data / "faults" / "tables" / "trailing_comma_rows.csv", key="patient")
    assert table.rows[0] == {"patient": "001", "image": "p1_im.nii.gz", "mask": "p1_mk.nii.gz"}
    assert table.rows[1]["patient"] == "1E5"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("", "is empty"),
        (" \n\n", "is empty"),
        ("image,mask\na,b\n", "has no column patient; its columns are image, mask"),
        ("patient,image,Image\na,b,c\n", "has the columns 2 and 3 called image and Image"),
        ("patient,age,age\na,1,2\n", "has the columns 2 and 3 called age; expected each name once"),
        ("Patient,patient\na,b\n", "columns 1 and 2 called Patient and patient"),
        ("patient,image\na,b\nc\n", "has 1 cells in line 3; expected 2"),
        ("patient,image\na,b,c\n", "has 3 cells in line 2 and 2 columns ('c' is too many)"),
        ("patient,age\na,61,5\n", "has 3 cells in line 2"),
        ("patient,,age\na,b,3\n", "has 'b' in line 2 in column 2, which has no name"),
        ('patient,image\na,"b\nc,d\n', "from line 2 on"),
        ('patient,image\na,"b\nc,d"\ne,f\n', "opens in line 2 closes in line 3"),
        ('patient,image\na,b"c"\n"d"e,f\n', "from line 3 on"),
        ("patient,image\na,b\n,c\n", "has no patient in line 3"),
        ("patient,image\na,b\n\na,c\n", "two rows for the patient a, in lines 2 and 4"),
        ("patient,image\na,b\npatient,image\n", "repeats the names of its columns in line 3"),
        (b"patient,image\n\x81\x8d\x00\xff", "is not a text file"),
        (b"patient,image\na,\x81\x8d\n", "unknown encoding"),
        (b"\xff\xfep\x00a\x00t\x00\xd8", "damaged"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "save it as .xlsx or .csv"),
        (b"PK\x03\x04nothing", "cannot be read as an Excel file"),
    ],
)
def test_what_can_be_meant_in_two_ways_is_refused_with_its_place(
    tmp_path: Path, content: str | bytes, sentence: str
) -> None:
    with pytest.raises(InvalidInputError) as caught:
        read(tmp_path / "t.csv", content)
    assert sentence in str(caught.value)


def test_commas_that_may_part_thousands_stay_as_they_are(tmp_path: Path) -> None:
    table = read(tmp_path / "t.csv", "patient;volume;codes\na;1,234;1,2\nb;12,345;x,3\n")
    assert [row["volume"] for row in table.rows] == ["1,234", "12,345"]
    assert [row["codes"] for row in table.rows] == ["1,2", "x,3"]
    with pytest.raises(InvalidInputError, match=r"can mean 1234 or 1\.234"):
        number(table.rows[0]["volume"], "volume of a")


@pytest.mark.parametrize(("cell", "value"), [("61", 61), (" 1.0 ", 1), ("-.5", -0.5), ("+2.", 2), ("1e-3", 0.001)])
def test_a_number_is_a_number(cell: str, value: float) -> None:
    assert number(cell, "age") == value


@pytest.mark.parametrize(
    "cell",
    [
        "",
        "6_9",
        "1e400",
        "-1e999",
        "inf",
        "-Infinity",
        "nan",
        "NaN",
        "0x1f",
        "1 234",
        "61,5",
        "١٢",
        "12 mm",
        "--1",
        "1.2.3",
    ],
)
def test_what_python_or_a_person_may_take_for_a_number_is_none(cell: str) -> None:
    with pytest.raises(InvalidInputError, match="age of A is"):
        number(cell, "age of A")


def excel(path: Path, *sheets: list[list[object]], formats: dict[str, str] | None = None) -> Path:
    book = Workbook()
    book.remove(book.active)
    for count, rows in enumerate(sheets, 1):
        sheet = book.create_sheet(f"Sheet{count}")
        for row in rows:
            sheet.append(row)
        for place, shown in (formats or {}).items():
            sheet[place].number_format = shown
    book.save(path)
    return path


def test_excel_is_read_as_it_is_shown(tmp_path: Path) -> None:
    rows = [["patient", "age", "label", "image"], [1, 61.5, 1, "a.mha"], [None] * 4, [2, None, 0.0, "b.mha"]]
    path = excel(tmp_path / "t.xlsx", [["notes"], ["x"]], rows, formats={"A2": "000", "A4": "000"})
    table = read_table(path, key="patient")
    assert cells(table)[1:] == [["001", "61.5", "1", "a.mha"], ["002", "", "0", "b.mha"]]
    assert table.lines == [2, 4]
    assert table.notes[0] == "t.xlsx was read from the sheet Sheet2."


def test_excel_is_refused_where_a_cell_has_no_value_or_two_sheets_are_tables(tmp_path: Path) -> None:
    rows: list[list[object]] = [["patient", "age"], ["a", 1]]
    with pytest.raises(InvalidInputError, match=r"has 2 sheets with a column patient \(Sheet1, Sheet2\)"):
        read_table(excel(tmp_path / "two.xlsx", rows, rows), key="patient")
    with pytest.raises(InvalidInputError, match=r"the formula =1\+1 without a value in B2"):
        read_table(excel(tmp_path / "formula.xlsx", [["patient", "age"], ["a", "=1+1"]]), key="patient")


def test_a_million_rows_are_read_in_seconds(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("patient,image,mask,age\n" + "".join(f"p{n},a{n}.mha,m{n}.mha,{n % 90}\n" for n in range(200_000)))
    start = time.process_time()
    assert len(read_table(path, key="patient").rows) == 200_000
    assert time.process_time() - start < 2  # a fifth of a million
