"""The cases that come with a study: inputs as the platform lays them out, and what the model made of them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from preop.grandchallenge.algorithm import Algorithm
from preop.grandchallenge.cases import INPUTS_FILE, Case, item_of, read_case
from preop.grandchallenge.outputs import Output, write_outputs
from preop.grandchallenge.values import JSON, to_json
from preop.imaging import Image, write_image


def write_case(
    algorithm: Algorithm,
    folder: Path,
    inputs: Mapping[str, Image | JSON],
    predict: Callable[[Case], Mapping[str, Output]],
) -> None:
    """Write a bundled case in place of an earlier one.

    Parameters
    ----------
    folder
        Its last part names the case; gets ``input`` and ``expected``.
    inputs
        Image or value of each input, by slug.
    predict
        Makes the expected outputs of the case, read back as the platform gives it.
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
    (folder / "expected").mkdir()
    write_outputs(dict(predict(case)), case, folder / "expected")
