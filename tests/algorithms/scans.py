"""Cases made of scans in memory, as the platform would hand them over."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from preop.grandchallenge.algorithm import Algorithm
from preop.grandchallenge.cases import INPUTS_FILE, Case, item_of, read_case
from preop.grandchallenge.values import JSON, to_json
from preop.imaging import Image, write_image


def case_of(algorithm: Algorithm, root: Path, inputs: Mapping[str, Image | JSON], *, ending: str = ".mha") -> Case:
    """Write the inputs of a case, by slug, and read them back."""
    items = []
    for slug, content in inputs.items():
        path = root / algorithm.input(slug).relative_path
        if isinstance(content, Image):
            path.mkdir(parents=True, exist_ok=True)
            write_image(content, path / f"scan{ending}")
            items.append(item_of(algorithm, slug, image_name=f"scan{ending}"))
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(to_json(content), encoding="utf-8")
            items.append(item_of(algorithm, slug, value=content))
    (root / INPUTS_FILE).write_text(to_json(items), encoding="utf-8")
    return read_case(algorithm, root)
