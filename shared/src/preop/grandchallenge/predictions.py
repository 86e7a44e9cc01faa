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
from preop.grandchallenge.roots import below, below_without_links
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
    outputs
        Relative path of each output, by slug.
    error_message
        Why it failed, where that is known.
    root
        Folder of all jobs.
    problem
        What is wrong with the description of its outputs: then none of them can be read, and other jobs are not touched.
    """

    pk: str
    succeeded: bool
    inputs: Mapping[str, JSON]
    root: Path
    outputs: Mapping[str, str]
    error_message: str = ""
    problem: str = ""

    @property
    def folder(self) -> Path:
        """Where its outputs lie."""
        return self.root / self.pk / "output"

    def case_name(self, slug: str) -> str | None:
        """Give the name of the input image (without its file ending) or the inline value that identifies the case."""
        value = self.inputs.get(slug)
        return None if value is None else str(value)

    def value(self, slug: str) -> JSON:
        """Read the JSON output of a socket.

        Raises
        ------
        InvalidInputError
            If the job failed, or the output is missing, is not JSON, no regular file, too large, or behind a link.
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
        if self.problem:
            raise InvalidInputError(self.problem)
        if slug not in self.outputs:
            raise InvalidInputError(f"The job {self.pk} has no output {slug}.")
        return below_without_links(self.root, f"{self.pk}/output/{self.outputs[slug]}")


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
    algorithm: Algorithm,
    pk: str,
    *,
    image_names: Mapping[str, str],
    values: Mapping[str, JSON],
    error_message: str | None = None,
) -> JSON:
    """Make one job of ``predictions.json`` as the platform writes it, from a case that was run here.

    Parameters
    ----------
    error_message
        Why the algorithm failed; None where it did not. The platform passes only jobs that succeeded to an evaluation.
    """
    outputs = [
        {"socket": description, "interface": description, "value": None, "image": None, "file": None}
        for description in (
            {
                "slug": socket.slug,
                "kind": str(socket.kind),
                "super_kind": socket.super_kind,
                "relative_path": socket.relative_path,
            }
            for socket in algorithm.outputs_of((*image_names, *values))
        )
    ]
    return {
        "pk": pk,
        "inputs": [item_of(algorithm, slug, image_name=name) for slug, name in image_names.items()]
        + [item_of(algorithm, slug, value=value) for slug, value in values.items()],
        "outputs": outputs,
        "status": _SUCCEEDED if error_message is None else "Failed",
        **({} if error_message is None else {"error_message": error_message}),
    }


def _job(item: JSON, root: Path) -> Job:
    if not isinstance(item, Mapping) or not isinstance(item.get("pk"), str):
        raise InvalidInputError(f"{PREDICTIONS_FILE} holds a job without a name (pk).")
    pk = item["pk"]
    if "/" in pk or below(root, pk).name != pk:
        raise InvalidInputError(f"{PREDICTIONS_FILE} holds the job {pk!r:.60}; expected a name without a path.")
    inputs = {_socket(part, pk)["slug"]: _key_of(part) for part in _list(item, "inputs", pk)}
    outputs, problem = {}, ""
    try:
        outputs = _outputs(item, pk)
    except InvalidInputError as error:
        problem = str(error)
    message = item.get("error_message")
    return Job(
        pk=pk,
        succeeded=item.get("status") == _SUCCEEDED,
        inputs=inputs,
        root=root,
        outputs=outputs,
        error_message=message if isinstance(message, str) else "",
        problem=problem,
    )


def _outputs(item: Mapping[str, Any], pk: str) -> dict[str, str]:
    """Relative path of each output of a job, by slug."""
    sockets = [_socket(part, pk) for part in _list(item, "outputs", pk)]
    for socket in sockets:
        path = socket.get("relative_path", "")
        if not isinstance(path, str):
            raise InvalidInputError(
                f"The job {pk} in {PREDICTIONS_FILE} has the relative_path {path!r:.60} for {socket['slug']}; expected text."
            )
    return {socket["slug"]: socket["relative_path"] for socket in sockets if "relative_path" in socket}


def _list(item: Mapping[str, Any], key: str, pk: str) -> list[JSON]:
    value = item.get(key) or []
    if not isinstance(value, list):
        raise InvalidInputError(f"The job {pk} in {PREDICTIONS_FILE} has {key} {value!r:.60}; expected a list.")
    return value


def _socket(part: JSON, pk: str) -> Mapping[str, Any]:
    """Give the description of a socket, under the new name or the legacy one."""
    socket = (part.get("socket") or part.get("interface")) if isinstance(part, Mapping) else None
    if not isinstance(socket, Mapping) or not isinstance(socket.get("slug"), str):
        raise InvalidInputError(f"The job {pk} in {PREDICTIONS_FILE} has an input or output without a slug.")
    return socket


def _key_of(part: Mapping[str, Any]) -> JSON:
    name = case_key(part)
    return part.get("value") if name is None else name
