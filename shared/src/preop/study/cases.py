"""The cases that come with a study: inputs as the platform lays them out, and what the model made of them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from preop.engines.submissions import DESCRIPTION_FILE
from preop.grandchallenge.algorithm import Algorithm
from preop.grandchallenge.cases import INPUTS_FILE, Case, item_of, read_case
from preop.grandchallenge.outputs import Output, write_outputs
from preop.grandchallenge.values import JSON, to_json
from preop.imaging import Image, write_image
from preop.toml import to_toml

_LIKENESS = "likeness_to_training"
"""Entry of an explanation that says whether a patient is like those of the training."""


def write_case(
    algorithm: Algorithm,
    folder: Path,
    inputs: Mapping[str, Image | JSON],
    predict: Callable[[Case], Mapping[str, Output]],
    shows: str | None = None,
) -> dict[str, Output]:
    """Write a bundled case in place of an earlier one, and give what was predicted.

    Parameters
    ----------
    folder
        Its last part names the case; gets ``input`` and ``expected``.
    inputs
        Image or value of each input, by slug.
    predict
        Makes the expected outputs of the case, read back as the platform gives it.
    shows
        What there is to see, in one sentence, of a case that was chosen to illustrate.
    """
    shutil.rmtree(folder, ignore_errors=True)
    root, items = folder / "input", []
    for slug, content in inputs.items():
        path = root / algorithm.input(slug).relative_path
        if isinstance(content, Image):
            write_image(content, path / f"{folder.name}.mha")
            items.append(item_of(algorithm, slug, image_name=f"{folder.name}.mha"))
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(to_json(content), encoding="utf-8")
            items.append(item_of(algorithm, slug, value=content))
    (root / INPUTS_FILE).write_text(to_json(items), encoding="utf-8")
    case = read_case(algorithm, root)
    outputs = dict(predict(case))
    (folder / "expected").mkdir()
    write_outputs(outputs, case, folder / "expected")
    if shows is not None:
        describe_case(folder, shows)
    return outputs


def is_like_the_training(outputs: Mapping[str, Output]) -> bool:
    """Whether the patient is like those of the training, by what the explanation among the outputs says."""
    said = [each[_LIKENESS] for each in outputs.values() if isinstance(each, Mapping) and _LIKENESS in each]
    return bool(said) and all(each["like_training_patients"] for each in said)


def describe_case(folder: Path, shows: str, *, repeats: str | None = None) -> None:
    """Say in one sentence what there is to see in a bundled case, and which other case shows the same."""
    told = {"shows": shows} if repeats is None else {"shows": shows, "repeats": repeats}
    (folder / DESCRIPTION_FILE).write_text(to_toml(told), encoding="utf-8")


@dataclass(frozen=True)
class Illustration:
    """What a bundled case is to show: a patient with or without the outcome, whom the model judges rightly or not.

    Attributes
    ----------
    positive, right
        Whether the patient has the outcome, and whether the model says so.
    shows
        The sentence for a reader.
    """

    positive: bool
    right: bool
    shows: str

    def fits(self, likelihood: Output, threshold: float, margin: float = 0.05) -> bool:
        """Whether a likelihood lies on the wanted side of the threshold, and clearly so; where there is none, no."""
        called_positive = self.positive is self.right
        if not isinstance(likelihood, float):
            return False
        return likelihood >= threshold + margin if called_positive else likelihood <= threshold - margin
