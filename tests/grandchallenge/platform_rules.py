"""The platform's rules for a new socket, restated: what its form and the ``clean`` of its model would say to a request.

Source: github.com/comic/grand-challenge.org (2026), ``app/grandchallenge/components/models.py`` (``ComponentInterface``),
``components/validators.py`` and ``workstation_configs/models.py`` (``OVERLAY_SEGMENTS_SCHEMA``); slugs are made by
Django's ``slugify``.
"""

from __future__ import annotations

import posixpath
import re
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any

from jsonschema import Draft7Validator, SchemaError

IMAGES = {"Image", "Segmentation", "Heat Map"}
STORED = {"String", "Integer", "Float", "Bool", "Anything", "Chart"}
ENDINGS = {**dict.fromkeys((*STORED, "Multiple points"), ".json"), "Thumbnail jpg": ".jpeg"}
RESERVED_SLUGS = {
    *("predictions-csv-file", "predictions-json-file", "predictions-zip-file"),
    *("metrics-json-file", "results-json-file"),
}
SEGMENTS = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["voxel_value", "name", "visible"],
        "additionalProperties": False,
        "properties": {
            "voxel_value": {"type": "integer"},
            "name": {"type": "string"},
            "visible": {"type": "boolean"},
            "metric_template": {"type": "string"},
        },
    },
}
UUID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


def slugify(title: str) -> str:
    """Make a slug as Django does."""
    text = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode()
    return re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", text.lower())).strip("-_")


def refusals(request: Mapping[str, Any]) -> Iterator[str]:
    """Say everything for which the platform would refuse a request."""
    kind, path, segments = request["kind"], request["relative_path"], request["overlay_segments"]
    if not 0 < len(request["title"]) <= 255:
        yield "title: 1 to 255 characters"
    if slugify(request["title"]) != request["slug"] or request["slug"] in RESERVED_SLUGS:
        yield "title: does not give the slug, or one that is reserved"
    if kind not in IMAGES | ENDINGS.keys():
        yield "kind: not a choice"
        return
    yield from _of_path(path, kind)
    yield from _of_segments(segments, kind)
    if request["store_in_database"] and kind not in STORED:
        yield "store_in_database: not for this kind"
    try:
        Draft7Validator.check_schema(request["schema"])
    except SchemaError as error:
        yield f"schema: {error.message}"
    if request["default_value"] is not None and not request["store_in_database"]:
        yield "default_value: only for values"


def _of_path(path: str, kind: str) -> Iterator[str]:
    if len(path) > 255 or posixpath.normpath(path) != path or path.startswith(("/", "..")) or path.endswith("/"):
        yield "relative_path: not a safe, normal path"
    if path.casefold() == "inputs.json" or UUID.search(path):
        yield "relative_path: reserved, or holds a UUID"
    if (kind in IMAGES) != path.startswith("images/"):
        yield "relative_path: images/ is for images"
    if kind in IMAGES and posixpath.splitext(posixpath.basename(path))[1]:
        yield "relative_path: an image is a folder"
    if kind not in IMAGES and not path.endswith(ENDINGS[kind]):
        yield f"relative_path: ends in {ENDINGS[kind]}"


def _of_segments(segments: Any, kind: str) -> Iterator[str]:
    if error := next(Draft7Validator(SEGMENTS).iter_errors(segments), None):
        yield f"overlay_segments: {error.message}"
        return
    if (kind == "Segmentation") != bool(segments):
        yield "overlay_segments: for segmentations, and for each of them"
    values = sorted({0, *(segment["voxel_value"] for segment in segments)})
    if values != list(range(values[0], values[-1] + 1)):
        yield "overlay_segments: not contiguous"
