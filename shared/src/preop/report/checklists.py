"""Reporting guidelines, and where a training report or the page of an evaluation answers them.

Each item is put in words of our own, under the number it has in the guideline; those of STARD-AI under their subject.

References
----------
Collins GS, et al. TRIPOD+AI statement: updated guidance for reporting clinical prediction models that use regression or
machine learning methods. BMJ 2024;385:e078378.
Bossuyt PM, et al. STARD 2015: an updated list of essential items for reporting diagnostic accuracy studies.
BMJ 2015;351:h5527.
Sounderajah V, et al. The STARD-AI reporting guideline for diagnostic accuracy studies using artificial intelligence.
Nat Med 2025;31:3283-9.
Kocak B, et al. CheckList for EvaluAtion of Radiomics research (CLEAR). Insights Imaging 2023;14:75.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Topic(StrEnum):
    """What sections of a training report are about, by their anchor."""

    RESULT = "result"
    WARNINGS = "warnings"
    MODELS = "models"
    BASELINES = "baselines"
    DETAILS = "details"
    FORMULA = "formula"
    COHORT = "cohort"
    VARIABLES = "variables"
    STABILITY = "stability"
    CENTRES = "centres"
    EXTERNAL = "external"
    SURVIVAL = "survival"
    METHOD = "method"


@dataclass(frozen=True)
class Item:
    """One item of a guideline.

    Attributes
    ----------
    name, words
        Its number in the guideline, or its subject, and what it asks for in short.
    topics
        Where the report answers it, at least in part; none where it cannot.
    in_evaluation
        Where the page of an evaluation answers it, by the names of its sections.
    """

    name: str
    words: str
    topics: tuple[Topic, ...] = ()
    in_evaluation: tuple[str, ...] = ()


_S = Topic

TRIPOD_AI = (
    Item("1", "Title names the model, the patients and the outcome", (_S.RESULT,)),
    Item("2", "Structured abstract"),
    Item("3a", "Clinical background and reason for the model"),
    Item("3b", "Intended patients, place in their care, and users"),
    Item("3c", "Known inequalities between groups of patients"),
    Item("4", "Objectives: development, evaluation, or both", (_S.RESULT,)),
    Item("5a", "Sources of the data", in_evaluation=("method",)),
    Item("5b", "Dates of inclusion and follow-up"),
    Item("6a", "Setting and centres", (_S.CENTRES,)),
    Item("6b", "Eligibility criteria"),
    Item("6c", "Treatments received"),
    Item("7", "Preparation and checks of the data", (_S.METHOD,), in_evaluation=("method",)),
    Item("8a", "Outcome: definition and time horizon"),
    Item("8b", "Who judged the outcome, and how consistently"),
    Item("8c", "Blinding when the outcome was judged"),
    Item("9a", "Choice of candidate predictors", (_S.MODELS,)),
    Item("9b", "Definition and timing of the predictors"),
    Item("9c", "Who measured predictors that need judgement"),
    Item("10", "Sample size", (_S.WARNINGS,)),
    Item(
        "11",
        "Missing data",
        (_S.METHOD, _S.COHORT),
        in_evaluation=(
            "patients",
            "failures",
        ),
    ),
    Item("12a", "How the data were divided", (_S.METHOD,)),
    Item("12b", "Handling of predictors", (_S.METHOD,)),
    Item("12c", "Kind of model, all steps of building and internal validation", (_S.METHOD, _S.FORMULA)),
    Item("12d", "Differences between centres in the analysis", (_S.METHOD, _S.CENTRES), in_evaluation=("groups",)),
    Item(
        "12e",
        "Measures and plots of performance",
        (_S.METHOD, _S.DETAILS),
        in_evaluation=(
            "method",
            "figures",
            "charts",
        ),
    ),
    Item("12f", "Updating of the model"),
    Item("12g", "How predictions were computed in an evaluation", (_S.METHOD,), in_evaluation=("method",)),
    Item("13", "Class imbalance", (_S.METHOD,)),
    Item("14", "Fairness", in_evaluation=("groups",)),
    Item("15", "Output of the model, and its threshold", (_S.METHOD, _S.FORMULA), in_evaluation=("results",)),
    Item("16", "Differences between development and evaluation data", (_S.EXTERNAL,)),
    Item("17", "Ethical approval and consent"),
    Item("18a", "Funding"),
    Item("18b", "Conflicts of interest"),
    Item("18c", "Protocol"),
    Item("18d", "Registration"),
    Item("18e", "Availability of the data"),
    Item("18f", "Availability of the code"),
    Item("19", "Involvement of patients and the public"),
    Item("20a", "Flow of participants, and the outcome", (_S.MODELS,), in_evaluation=("patients",)),
    Item("20b", "Characteristics of the participants", (_S.COHORT,)),
    Item("20c", "Comparison of development and evaluation data", (_S.EXTERNAL,)),
    Item(
        "21",
        "Patients and events in each analysis",
        (_S.MODELS,),
        in_evaluation=(
            "patients",
            "groups",
        ),
    ),
    Item("22", "The full model, so that others can use it", (_S.FORMULA,)),
    Item(
        "23a",
        "Performance with intervals",
        (_S.MODELS, _S.DETAILS),
        in_evaluation=(
            "figures",
            "charts",
        ),
    ),
    Item("23b", "Differences in performance between centres", (_S.CENTRES,), in_evaluation=("groups",)),
    Item("24", "Results of updating"),
    Item("25", "Interpretation", (_S.RESULT,)),
    Item("26", "Limitations", (_S.WARNINGS,), in_evaluation=("unknown",)),
    Item(
        "27a",
        "What is done with poor or missing input",
        (_S.METHOD,),
        in_evaluation=(
            "failures",
            "figures",
        ),
    ),
    Item("27b", "Interaction and expertise that users need"),
    Item("27c", "Next steps"),
)

CLEAR = (
    Item("1", "Title names radiomics", ()),
    Item("2", "Structured abstract"),
    Item("3", "Keywords"),
    Item("4", "Scientific background"),
    Item("5", "Reason for radiomics"),
    Item("6", "Objectives", (_S.RESULT,)),
    Item("7", "Guidelines followed", (_S.METHOD,)),
    Item("8", "Ethics"),
    Item("9", "Sample size", (_S.WARNINGS,)),
    Item("10", "Retrospective or prospective"),
    Item("11", "Eligibility criteria"),
    Item("12", "Flow chart of the technical steps"),
    Item("13", "Source of the data"),
    Item("14", "Overlap with earlier studies"),
    Item("15", "How the data were divided", (_S.METHOD,)),
    Item("16", "Imaging protocol"),
    Item("17", "Definition of predictors other than radiomics"),
    Item("18", "Reference standard"),
    Item("19", "Segmentation"),
    Item("20", "Who segmented"),
    Item("21", "Image processing"),
    Item("22", "Resampling"),
    Item("23", "Discretisation"),
    Item("24", "Original and filtered images"),
    Item("25", "Software of feature extraction"),
    Item("26", "Families of features"),
    Item("27", "Number of features", (_S.MODELS,)),
    Item("28", "Settings left at their defaults"),
    Item("29", "Missing data", (_S.METHOD, _S.COHORT)),
    Item("30", "Class imbalance", (_S.METHOD,)),
    Item("31", "Reliability of the segmentation", (_S.STABILITY,)),
    Item("32", "Scaling of features", (_S.METHOD,)),
    Item("33", "Reduction of dimensions", (_S.METHOD,)),
    Item("34", "Classifier", (_S.METHOD, _S.FORMULA)),
    Item("35", "Training and tuning", (_S.METHOD,)),
    Item("36", "Confounders", (_S.CENTRES,)),
    Item("37", "How a model was chosen", (_S.METHOD,)),
    Item("38", "Internal and external testing", (_S.METHOD, _S.EXTERNAL)),
    Item("39", "Measures of performance, and why these", (_S.METHOD,)),
    Item("40", "Uncertainty", (_S.METHOD, _S.MODELS)),
    Item("41", "Statistical comparison of performance", (_S.BASELINES,)),
    Item("42", "Comparison with models without radiomics, and with both", (_S.BASELINES,)),
    Item("43", "How predictions are explained", (_S.DETAILS, _S.FORMULA)),
    Item("44", "Characteristics of the patients", (_S.COHORT,)),
    Item("45", "Flow chart of eligibility"),
    Item("46", "Statistics of the features: stability and selection", (_S.DETAILS, _S.VARIABLES)),
    Item("47", "Performance", (_S.MODELS, _S.DETAILS)),
    Item("48", "Performance beside models without radiomics, and with both", (_S.MODELS, _S.BASELINES)),
    Item("49", "Main findings", (_S.RESULT,)),
    Item("50", "Earlier work"),
    Item("51", "Meaning for practice"),
    Item("52", "Strengths and limitations", (_S.WARNINGS,)),
    Item("53", "Images and segmentations shared"),
    Item("54", "Features shared"),
    Item("55", "Scripts of processing shared"),
    Item("56", "Code of modelling shared"),
    Item("57", "Final model shared", (_S.FORMULA,)),
    Item("58", "A system ready to use shared"),
)

STARD = (
    Item("1", "Title or abstract names a measure of accuracy"),
    Item("2", "Structured abstract"),
    Item("3", "Background, intended use and place of the test"),
    Item("4", "Objectives and hypotheses"),
    Item("5", "Data collected before or after the tests"),
    Item("6", "Eligibility criteria"),
    Item("7", "How eligible patients were found"),
    Item("8", "Setting, places and dates"),
    Item("9", "Consecutive, random or convenience series"),
    Item("10a", "The test, so that it can be repeated"),
    Item("10b", "The reference standard, so that it can be repeated", in_evaluation=("method",)),
    Item("11", "Why this reference standard"),
    Item("12a", "Cut-offs of the test, set before or after", in_evaluation=("results",)),
    Item("12b", "Cut-offs of the reference standard"),
    Item("13a", "What those who did the test knew"),
    Item("13b", "What those who judged the reference knew"),
    Item("14", "Methods of estimating and comparing accuracy", in_evaluation=("method", "figures", "comparisons")),
    Item("15", "What was done with indeterminate results", in_evaluation=("method", "figures")),
    Item("16", "What was done with missing data", in_evaluation=("method", "failures")),
    Item("17", "Analyses of variability, planned or not", in_evaluation=("groups",)),
    Item("18", "Intended sample size"),
    Item("19", "Flow of participants", in_evaluation=("patients",)),
    Item("20", "Characteristics of the participants"),
    Item("21a", "Severity of disease in those who have it", in_evaluation=("patients",)),
    Item("21b", "Other diagnoses in those who do not"),
    Item("22", "Time and treatment between test and reference"),
    Item("23", "Table of test by reference", in_evaluation=("results", "charts")),
    Item("24", "Accuracy with its precision", in_evaluation=("figures",)),
    Item("25", "Adverse events"),
    Item("26", "Limitations", in_evaluation=("unknown",)),
    Item("27", "Meaning for practice"),
    Item("28", "Registration"),
    Item("29", "Protocol"),
    Item("30", "Funding"),
)

STARD_AI = (
    Item("Title", "Says that the test is one by artificial intelligence, and names a measure of accuracy"),
    Item("Background", "Intended use, whether the test is new or established, and its place in the work of a clinic"),
    Item("Ethics", "Approval by an ethics committee, or why none was needed"),
    Item("Eligibility", "Criteria for patients and for data, in the order in which they were applied"),
    Item("Source of the data", "Routine care, collected for the study, or public", in_evaluation=("method",)),
    Item("Annotation", "Who annotated the data, with what experience, and in which setting"),
    Item("Devices and software", "Scanners by maker and model; the software of the test by version"),
    Item(
        "Acquisition and preparation", "Protocols of the images and what was done to them, so that it can be repeated"
    ),
    Item("Development", "How the test was trained, validated and tested, on how many patients"),
    Item("Users", "Whom the test is for, and what they must know"),
    Item("Errors and fairness", "How errors, bias and fairness were looked into", in_evaluation=("groups", "cases")),
    Item("Characteristics", "Patients and images of the training, the validation and the test side by side"),
    Item("Representativeness", "Whether the disease is spread as among those whom the test is for"),
    Item("External evaluation", "How its patients differ from those that the test was made with"),
    Item("Ethics of the use", "Ethical standards and fairness where the test is used"),
    Item("Commercial interests", "Those of the authors and of the test"),
    Item("Data and code", "Where they are, and what may be done with them"),
    Item("Audit", "Whether outputs are stored and can be looked at", in_evaluation=("cases",)),
)
"""What STARD-AI changes in STARD 2015, of which all other items stay, or adds to it."""
