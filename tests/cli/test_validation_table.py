from preop.cli import commands


def test_an_auc_without_an_interval_is_written_alone():
    assert commands._interval({"value": 1.0, "lower": None, "upper": None}) == "1.00"


def test_an_interval_ends_where_an_auc_does():
    assert commands._interval({"value": 0.9, "lower": 0.75, "upper": 1.05}) == "0.90 [0.75, 1.00]"


def test_figures_of_a_run_on_bags_are_printed(bag_evidence):
    from preop.mil.evidence import figures

    table = commands._validation_table(figures(bag_evidence))
    cells = [list(column.cells) for column in table.columns]
    assert cells[0] == ["count head", "size rule alone"]
    assert cells[1:3] == [["6", "6"], ["3", "3"]]
    assert [cell.split()[0] for cell in cells[3]] == ["0.89", "0.67"]
