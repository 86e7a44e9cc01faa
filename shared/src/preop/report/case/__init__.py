"""The page of one case: what a study says of it as types, drawn and written as one file."""

from preop.report.case.cards import Card, gallery, link
from preop.report.case.collection import cohort_pages
from preop.report.case.content import (
    BONE,
    LIVER,
    LUNG,
    SOFT_TISSUE,
    CasePage,
    FlatPicture,
    Headline,
    Instance,
    Instances,
    Layer,
    Place,
    ProjectionPicture,
    Series,
    Shape,
    SlicePicture,
    Stack,
    Window,
    mr_window,
    suv_window,
)
from preop.report.case.drawing import circle, square
from preop.report.case.page import MAX_BYTES
from preop.report.case.places import middle_of, numbered
from preop.report.case.printing import print_page
from preop.report.case.wording import auc_in_words, percent, sentence_of
from preop.report.case.writing import PAGE_FILE, case_page_file

__all__ = [
    "BONE",
    "LIVER",
    "LUNG",
    "MAX_BYTES",
    "PAGE_FILE",
    "SOFT_TISSUE",
    "Card",
    "CasePage",
    "FlatPicture",
    "Headline",
    "Instance",
    "Instances",
    "Layer",
    "Place",
    "ProjectionPicture",
    "Series",
    "Shape",
    "SlicePicture",
    "Stack",
    "Window",
    "auc_in_words",
    "case_page_file",
    "circle",
    "cohort_pages",
    "gallery",
    "link",
    "middle_of",
    "mr_window",
    "numbered",
    "percent",
    "print_page",
    "sentence_of",
    "square",
    "suv_window",
]
