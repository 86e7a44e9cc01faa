"""Estimators of scikit-learn as files that cannot run code (skops), with the same bytes for the same estimator."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

from preop.errors import InvalidModelError

_SCHEMA = "schema.json"
# What skops does not trust by itself and the estimators of this package are made of: numbers of a decision tree.
_TRUSTED = ["sklearn.tree._tree.Tree"]
_BEGINNING = (1980, 1, 1, 0, 0, 0)  # the first date that a zip archive can hold


def dump_estimator(estimator: Any) -> bytes:
    """Write an estimator.

    skops names the parts by their place in memory and dates them; here they are numbered in order of appearance and
    carry no date.
    """
    import skops.io

    source = zipfile.ZipFile(io.BytesIO(skops.io.dumps(estimator)))
    numbers: dict[int, int] = {}
    schema = _renumber(json.loads(source.read(_SCHEMA)), numbers)
    parts = {_SCHEMA: json.dumps(schema, indent=1).encode()}
    for place, number in numbers.items():
        if f"{place}.npy" in source.namelist():
            parts[f"{number}.npy"] = source.read(f"{place}.npy")
    result = io.BytesIO()
    with zipfile.ZipFile(result, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            info = zipfile.ZipInfo(name, _BEGINNING)
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, content)
    return result.getvalue()


def load_estimator(content: bytes) -> Any:
    """Read an estimator.

    Raises
    ------
    InvalidModelError
        If the content is damaged, or holds a type that no estimator of this package is made of.
    """
    import skops.io

    try:
        strange = set(skops.io.get_untrusted_types(data=content)) - set(_TRUSTED)
        if strange:
            raise InvalidModelError(
                f"A classifier of the model holds {min(strange)}, which is not trusted; use a model from a known source."
            )
        return skops.io.loads(content, trusted=_TRUSTED)
    except (zipfile.BadZipFile, KeyError, ValueError) as error:
        raise InvalidModelError(f"A classifier of the model is damaged ({error}).") from error


def _renumber(part: Any, numbers: dict[int, int]) -> Any:
    """Put the order of appearance in place of every place in memory."""
    if isinstance(part, list):
        return [_renumber(item, numbers) for item in part]
    if not isinstance(part, dict):
        return part
    result: dict[str, Any] = {}
    for key, item in part.items():
        if key == "__id__":
            result[key] = numbers.setdefault(item, len(numbers))
        elif key == "file":
            place, _, suffix = item.partition(".")
            result[key] = f"{numbers.setdefault(int(place), len(numbers))}.{suffix}"
        else:
            result[key] = _renumber(item, numbers)
    return result
