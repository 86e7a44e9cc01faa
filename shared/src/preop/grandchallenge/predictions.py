"""The evaluation's side of the contract: what the jobs of a submission were given, and what they gave."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from preop.atomic import write_text
from preop.errors import InvalidInputError
from preop.grandchallenge.algorithm import Algorithm
from preop.grandchallenge.cases import case_key, item_of, single_image
from preop.grandchallenge.roots import below
from preop.grandchallenge.values import JSON, read_json, to_json

PREDICTIONS_FILE = "predictions.json"
_SUCCEEDED = "Succeeded"


@dataclass(frozen=True)
class Job:
    """One run of the submitted algorithm.

    Attributes
    ----------
    pk
        The platform's name of the job.
    succeeded
        Whether the algorithm ran to its end.
    inputs
        What identifies the case, by input slug: the name of an image, or the inline value.
    folder
        Where its outputs lie: ``<pk>/output``.
    outputs
        Relative path of each output, by slug.
    """

    pk: str
    succeeded: bool
    inputs: Mapping[str, JSON]
    folder: Path
    outputs: Mapping[str, str]

    def case_name(self, slug: str) -> str | None:
        """Give the name of the input image (without its file ending) or the inline value that identifies the case."""
        value = self.inputs.get(slug)
        return None if value is None else str(value)

    def value(self, slug: str) -> JSON:
        """Read the JSON output of a socket.

        Raises
        ------
        InvalidInputError
            If the job failed, or the output is missing or is not JSON.
        """
        return read_json(self._path(slug))

    def image_path(self, slug: str) -> Path:
        """Find the one image of an output socket.

        Raises
        ------
        InvalidInputError
            If the job failed, or the output is not exactly one image.
        """
        return single_image(self._path(slug), slug)

    def _path(self, slug: str) -> Path:
        if not self.succeeded:
            raise InvalidInputError(f"The job {self.pk} did not succeed.")
        if slug not in self.outputs:
            raise InvalidInputError(f"The job {self.pk} has no output {slug}.")
        return below(self.folder, self.outputs[slug])


def read_predictions(root: Path) -> list[Job]:
    """Read the jobs of a submission, sorted by their names: the platform gives them in arbitrary order.

    Raises
    ------
    InvalidInputError
        If ``predictions.json`` is missing, broken, or names a job twice.
    """
    content = read_json(root / PREDICTIONS_FILE)
    if not isinstance(content, list):
        raise InvalidInputError(f"{PREDICTIONS_FILE} is not a list of jobs.")
    jobs = [_job(item, root) for item in content]
    if len({job.pk for job in jobs}) < len(jobs):
        raise InvalidInputError(f"{PREDICTIONS_FILE} names a job twice.")
    return sorted(jobs, key=lambda job: job.pk)


def write_predictions(root: Path, jobs: Sequence[Mapping[str, Any]]) -> None:
    """Write ``predictions.json``; the outputs lie at ``<pk>/output`` already. Make the jobs with ``job_item``."""
    write_text(root / PREDICTIONS_FILE, to_json(list(jobs)))


def job_item(
    algorithm: Algorithm, pk: str, *, image_names: Mapping[str, str], values: Mapping[str, JSON], succeeded: bool
) -> JSON:
    """Make one job of ``predictions.json`` as the platform writes it, from a case that was run here."""
    outputs = [
        {"socket": description, "interface": description, "value": None, "image": None, "file": None}
        for description in (
            {
                "slug": socket.slug,
                "kind": str(socket.kind),
                "super_kind": socket.kind.super_kind,
                "relative_path": socket.relative_path,
            }
            for socket in algorithm.outputs
        )
    ]
    return {
        "pk": pk,
        "inputs": [item_of(algorithm, slug, image_name=name) for slug, name in image_names.items()]
        + [item_of(algorithm, slug, value=value) for slug, value in values.items()],
        "outputs": outputs,
        "status": _SUCCEEDED if succeeded else "Failed",
    }


def _job(item: JSON, root: Path) -> Job:
    if not isinstance(item, Mapping) or not isinstance(item.get("pk"), str):
        raise InvalidInputError(f"{PREDICTIONS_FILE} holds a job without a name (pk).")
    pk = item["pk"]
    return Job(
        pk=pk,
        succeeded=item.get("status") == _SUCCEEDED,
        inputs={_socket(part, pk)["slug"]: _key_of(part) for part in item.get("inputs") or []},
        folder=below(root, pk) / "output",
        outputs={
            _socket(part, pk)["slug"]: _socket(part, pk)["relative_path"]
            for part in item.get("outputs") or []
            if "relative_path" in _socket(part, pk)
        },
    )


def _socket(part: JSON, pk: str) -> Mapping[str, Any]:
    """Give the description of a socket, under the new name or the legacy one."""
    socket = (part.get("socket") or part.get("interface")) if isinstance(part, Mapping) else None
    if not isinstance(socket, Mapping) or not isinstance(socket.get("slug"), str):
        raise InvalidInputError(f"The job {pk} in {PREDICTIONS_FILE} has an input or output without a slug.")
    return socket


def _key_of(part: Mapping[str, Any]) -> JSON:
    name = case_key(part)
    return part.get("value") if name is None else name
