import pytest

from preop.cli.printing import interval, validation_table
from preop.evidence import BagEvidence, Figure, ModelsEvidence, SharesEvidence, SplitsEvidence, StageEvidence
from tests.evidence.by_hand import models_evidence, shares_evidence, splits_evidence, stage_evidence


def test_an_auc_without_an_interval_is_written_alone():
    assert interval(Figure(value=1.0, lower=None, upper=None)) == "1.00"


def test_an_interval_ends_where_an_auc_does():
    assert interval(Figure(value=0.9, lower=0.75, upper=1.05)) == "0.90 [0.75, 1.00]"


def test_figures_of_a_run_on_bags_are_printed(bag_evidence):
    table = validation_table(BagEvidence.read(bag_evidence).validation)
    cells = [list(column.cells) for column in table.columns]
    assert cells[0] == ["count head", "size rule alone"]
    assert cells[1:3] == [["6", "6"], ["3", "3"]]
    assert [cell.split()[0] for cell in cells[3]] == ["0.89", "0.67"]


@pytest.mark.parametrize(
    ("evidence", "models"),
    [
        (SplitsEvidence.read(splits_evidence()), ["CT", "volume alone"]),
        (StageEvidence.read(stage_evidence()), ["the algorithm", "the reader alone"]),
        (ModelsEvidence.read(models_evidence()), ["card", "tiles", "combined", "count alone"]),
        (SharesEvidence.read(shares_evidence()), ["both", "part alone", "mean of the cohort alone"]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_figures_of_every_kind_of_evidence_are_printed(evidence, models):
    table = validation_table(evidence.validation)
    assert list(table.columns[0].cells) == models
