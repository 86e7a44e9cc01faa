"""Warnings that say the same of several models are said once, with all of them behind it."""

from preop.report.grouping import Group, grouped


def test_numbers_become_ranges_and_what_stands_alone_stays() -> None:
    several = [
        "CT: 4 events for 3 of 169 features, 1.3 for each, where 10 are the usual minimum.",
        "PET: 6 events for 3 of 20 features, \N{MINUS SIGN}0.5 for each, where 10 are the usual minimum.",
        "T1: 5 events for 3 of 169 features, 2.0 for each, where 10 are the usual minimum.",
        "T2: 5 events for 3 of 169 features, 2.0 for each, where 10 are the usual minimum.",
    ]
    alone = "The patients come from 1 centre."
    assert grouped([several[0], alone, *several[1:]]) == [
        Group(
            "CT, PET, T1 and 1 more: 4 to 6 events for 3 of 20 to 169 features, \N{MINUS SIGN}0.5 to 2.0 for each, where 10 are the usual "
            "minimum.",
            several,
        ),
        Group(alone),
    ]


def test_names_with_digits_are_no_numbers_and_lists_of_their_own_are_left_to_the_details() -> None:
    several = ["A: volume in disguise: x_1 (+0.99).", "B: volume in disguise: y."]
    assert grouped(several) == [Group("A, B: volume in disguise.", several)]
    assert [group.summary for group in grouped(["A: see T1w.", "A: see T2w."])] == ["A: see T1w.", "A: see T2w."]
