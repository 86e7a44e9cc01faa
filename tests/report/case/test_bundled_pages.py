"""Every study gives a page of its bundled case, from the stored outputs alone: no model, no torch."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from preop.errors import InvalidInputError
from preop.grandchallenge.algorithm import read_algorithm
from preop.grandchallenge.cases import read_case
from preop.report.case import MAX_BYTES, case_page_file
from tests.conftest import ROOT
from tests.report.reading import Page as ReadPage

ALGORITHMS = ROOT / "algorithms"
CASES = {
    "bladder_lymph_nodes": ("positive", "pN+", "Node", "Lymph nodes"),
    "liver_growth_pattern": ("non_desmoplastic", "growth", "Metastasis", "Liver metastases"),
    "lung_nodal_stage": ("n3_given", "N3", "11R", "Lymph nodes"),
    "primary_growth_pattern": ("desmoplastic", "Desmoplastic growth", "Tumour budding", "Score card"),
    "sarcoma_lung_metastasis": ("t1_pet_clinical", "Likelihood of lung metastasis", "PET", "Reasons"),
}


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("pages")
    found = {}
    for study, (case, *_) in CASES.items():
        algorithm, place = read_algorithm(ALGORITHMS / study), ALGORITHMS / study / "test" / case
        path = folder / f"{study}.html"
        card = case_page_file(
            read_case(algorithm, place / "input"), place / "expected", path, model=algorithm.folder / "model"
        )
        assert card.picture.startswith("data:image/svg+xml;base64,")
        found[study] = path.read_text(encoding="utf-8")
    return found


def test_every_study_has_a_case_here() -> None:
    assert sorted(CASES) == sorted(path.parent.name for path in ALGORITHMS.glob("*/algorithm.toml"))


@pytest.mark.parametrize("study", CASES)
def test_a_page_has_all_its_parts(pages: dict[str, str], study: str) -> None:
    text = pages[study]
    read = ReadPage(text)
    _, said, instance, table = CASES[study]
    assert said in text.partition("<h1>")[2].partition("</h1>")[0]
    assert {"result", "pictures", "table-1", "charts", "reasoning", "provenance"} <= set(read.anchors)
    assert table in read.text
    assert any(instance in row[0] for row in read.rows)
    assert text.count('<figure class="picture') >= 2
    assert "<h2>All slices</h2>" in text or study == "primary_growth_pattern"
    assert "sha256 of model.json: not stated" not in read.text.lower()
    assert len(text.encode()) < MAX_BYTES
    assert all(each[1:] in read.anchors for each in read.addresses if each.startswith("#"))


def test_the_likeliest_node_comes_first_and_leads_to_its_slice(pages: dict[str, str]) -> None:
    rows = [row for row in ReadPage(pages["bladder_lymph_nodes"]).rows if row[0].startswith("Node ")]
    shares = [0 if row[1].startswith("under") else int(row[1].split()[0]) for row in rows]
    assert shares == sorted(shares, reverse=True)
    table = json.loads((ALGORITHMS / "bladder_lymph_nodes/test/positive/expected/lymph-node-table.json").read_text())
    assert rows[0][0] == f"Node {table[0]['node']}"
    assert 'data-go="slices-ct" data-slice="' in pages["bladder_lymph_nodes"]


def test_what_the_score_card_did_not_assess_is_said_so(pages: dict[str, str]) -> None:
    rows = {row[0]: row for row in ReadPage(pages["primary_growth_pattern"]).rows}
    assert rows["Necrosis"][1:4] == ["", "not assessed", "\N{EN DASH}"]
    assert rows["Tumour budding"][3] == "1"


@pytest.fixture
def bladder(tmp_path: Path) -> Path:
    shutil.copytree(ALGORITHMS / "bladder_lymph_nodes" / "test" / "negative_mask", tmp_path / "case")
    return tmp_path / "case"


def written(case: Path, name: str = "a") -> str:
    algorithm = read_algorithm(ALGORITHMS / "bladder_lymph_nodes")
    case_page_file(read_case(algorithm, case / "input"), case / "expected", case / "case.html", name=name)
    return (case / "case.html").read_text(encoding="utf-8")


def test_names_and_sentences_of_foreign_files_are_escaped_and_bytes_are_the_same(bladder: Path) -> None:
    path = bladder / "expected" / "positive-lymph-nodes.json"
    said = json.loads(path.read_text())
    evil = "</script><script>alert(1)</script>"
    said["warnings"].insert(0, evil)
    said["decision"] = evil
    path.write_text(json.dumps(said))
    text = written(bladder, name=evil)
    assert "<script>alert" not in text
    assert text.count("&lt;script&gt;alert(1)") >= 3
    assert text == written(bladder, name=evil)


def test_outputs_that_lack_an_entry_are_refused_by_a_sentence(bladder: Path) -> None:
    path = bladder / "expected" / "positive-lymph-nodes.json"
    said = json.loads(path.read_text())
    del said["size_rule"]
    path.write_text(json.dumps(said))
    with pytest.raises(
        InvalidInputError, match=r"not those that bladder_lymph_nodes .* writes \(KeyError: 'size_rule'\)"
    ):
        written(bladder)


def test_a_chart_that_would_fetch_something_is_refused_by_a_sentence(bladder: Path) -> None:
    path = bladder / "expected" / "positive-lymph-nodes-chart.json"
    chart = json.loads(path.read_text())
    path.write_text(json.dumps(chart | {"data": {"url": "http://example.invalid/data.json"}}))
    with pytest.raises(InvalidInputError, match=r"A chart among the outputs cannot be drawn \(.*not allowed"):
        written(bladder)
    assert not (bladder / "case.html").exists()


def test_pages_need_no_torch() -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from pathlib import Path\n"
        "from preop.study import find_studies, page_of\n"
        f"assert all(page_of(study) for study in find_studies(Path({str(ALGORITHMS)!r})))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
