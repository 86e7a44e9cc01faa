"""The server's addresses: each a few lines that take a request apart, ask the review, and put the answer together.

Patients and files are named by number and slug alone, and looked up in the table: no path comes from a browser.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal, TypeVar
from urllib.parse import unquote

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from preop.errors import InvalidInputError, InvalidOutputError, PreopError
from preop.review.agreement import reviewer_agreement
from preop.review.networks import IN_BOX
from preop.review.proposals import Prompt
from preop.review.records import ConflictError, Standing, UnknownPatientError
from preop.review.review import Review
from preop.review.security import Guard
from preop.review.tables import LONGEST_NAME, Phase
from preop.review.volumes import diameters_in_view, index_in_scan, mask_bytes, mask_from_bytes, packed, unpacked
from preop.toml import first_validation_error

REVIEWER_HEADER = "x-preop-reviewer"
"""Name of the reviewer, percent-encoded. No page of another site can send it without being asked first (CORS)."""
MAX_JSON_BYTES = 2**16
MAX_IMPORT_BYTES = 2**28
_OCTETS = "application/octet-stream"
Body = TypeVar("Body", bound=BaseModel)


class _Checked(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Decision(_Checked):
    """Body of a decision."""

    verdict: Literal["approve", "reject", "reopen"]
    revision: int
    note: str = Field("", max_length=4000)


class Reading(_Checked):
    """Body of a reading."""

    phase: Literal["before", "after"]
    answer: str = Field(min_length=1, max_length=LONGEST_NAME)
    likelihood: float | None = Field(None, ge=0, le=1)
    note: str = Field("", max_length=4000)


Voxel = tuple[int, int, int]


class Pointed(BaseModel):
    """Body of a prompt, in voxels (x, y, z) of the viewer."""

    model_config = ConfigDict(extra="forbid")

    method: str = Field(max_length=LONGEST_NAME)
    inside: list[Voxel] = Field(default=[], max_length=200)
    outside: list[Voxel] = Field(default=[], max_length=200)
    box: tuple[Voxel, Voxel] | None = None
    radius_mm: float = Field(40.0, gt=0, le=200)


class Asked(_Checked):
    """Body of a request for a network's proposal."""

    network: str = Field(max_length=LONGEST_NAME)


def make_app(review: Review, pages: Path | None, *, hosts: Collection[str], token: str | None = None) -> ASGIApp:
    """Put the server together.

    Parameters
    ----------
    pages
        Folder of the built pages; None for the addresses alone.
    hosts, token
        As in :class:`preop.review.security.Guard`.
    """

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        review.examination.start()
        yield
        review.networks.stop()
        review.examination.stop()

    patient = "/api/patients/{patient:int}"
    routes: list[Route | Mount] = [
        Route("/api/review", _plain(review, _description)),
        Route("/api/patients", _plain(review, _patients)),
        Route("/api/agreement", _plain(review, _agreement)),
        Route(patient, _of_patient(review, _patient)),
        Route(f"{patient}/prepared", _of_patient(review, _prepare)),
        Route(f"{patient}/thumbnail", _of_patient(review, _thumbnail)),
        Route(f"{patient}/scans/{{slug}}", _of_patient(review, _scan)),
        Route(f"{patient}/results/{{slug}}", _of_patient(review, _layer)),
        Route(f"{patient}/masks/{{slug}}", _of_patient(review, _mask), methods=["GET"]),
        Route(f"{patient}/masks/{{slug}}", _saving(review), methods=["PUT"]),
        Route(f"{patient}/masks/{{slug}}/file", _of_patient(review, _mask_file)),
        Route(f"{patient}/masks/{{slug}}/import", _importing(review), methods=["POST"]),
        Route(f"{patient}/masks/{{slug}}/diameters", _measuring(review), methods=["POST"]),
        Route(f"{patient}/masks/{{slug}}/results/{{layer}}", _of_patient(review, _result_as_mask)),
        Route(f"{patient}/masks/{{slug}}/prompt", _with_body(review, Pointed, _prompt), methods=["POST"]),
        Route(f"{patient}/masks/{{slug}}/network", _with_body(review, Asked, _network), methods=["POST"]),
        Route("/api/jobs/{job}", _plain(review, _job)),
        Route("/api/jobs/{job}/mask", _plain(review, _job_mask)),
        Route(f"{patient}/decision", _with_body(review, Decision, _decide), methods=["POST"]),
        Route(f"{patient}/readings", _with_body(review, Reading, _read), methods=["POST"]),
        Route(f"{patient}/history", _of_patient(review, _history)),
    ]
    if pages is not None:
        routes.append(Mount("/", StaticFiles(directory=pages, html=True)))
    failures = {HTTPException: _http_failed, PreopError: _failed}
    app = Starlette(routes=routes, lifespan=lifespan, exception_handlers=failures)  # type: ignore[arg-type]
    return Guard(app, hosts, token)


Answering = Callable[[Request], Awaitable[Response]]


def _plain(review: Review, answer: Callable[[Review, Request], Response]) -> Answering:
    async def endpoint(request: Request) -> Response:
        return await run_in_threadpool(answer, review, request)

    return endpoint


def _of_patient(review: Review, answer: Callable[[Review, Standing, Request], Response]) -> Answering:
    async def endpoint(request: Request) -> Response:
        def work() -> Response:
            return answer(review, review.records.one(request.path_params["patient"]), request)

        return await run_in_threadpool(work)

    return endpoint


def _with_body(
    review: Review, kind: type[Body], answer: Callable[[Review, Standing, Request, Body], Response]
) -> Answering:
    async def endpoint(request: Request) -> Response:
        if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
            raise HTTPException(415, "Expected application/json.")
        content = await _body(request, MAX_JSON_BYTES)
        try:
            body = kind.model_validate_json(content)
        except ValidationError as error:
            raise HTTPException(400, f"The request is not right: {first_validation_error(error)}.") from None

        def work() -> Response:
            return answer(review, review.records.one(request.path_params["patient"]), request, body)

        return await run_in_threadpool(work)

    return endpoint


def _saving(review: Review) -> Answering:
    async def endpoint(request: Request) -> Response:
        if request.headers.get("content-type") != _OCTETS or request.headers.get("content-encoding") != "gzip":
            raise HTTPException(415, f"Expected {_OCTETS}, packed by gzip.")
        patient, slug = request.path_params["patient"], request.path_params["slug"]
        try:
            revision = int(request.headers.get("if-match", ""))
            based_on = int(request.query_params["based_on"]) if "based_on" in request.query_params else None
        except ValueError:
            raise HTTPException(428, "Which revision of the patient was changed? The request does not say.") from None
        standing = await run_in_threadpool(review.records.one, patient)
        grid = await run_in_threadpool(review.grid, standing, slug)
        limit = int(np.prod(grid.shape))
        # Random bytes grow a little when they are packed.
        content = await _body(request, limit + limit // 1000 + 1024)

        def work() -> Response:
            labels = mask_from_bytes(unpacked([content], limit), grid)
            _check_labels(review, slug, labels.voxels)
            saved = review.records.save_mask(
                patient,
                slug,
                labels,
                reviewer=_reviewer(request),
                revision=revision,
                origin=request.query_params.get("origin", "drawn by hand"),
                based_on=based_on,
            )
            review.examination.again(patient)
            return JSONResponse(_standing(review, saved, _reviewer(request)))

        return await run_in_threadpool(work)

    return endpoint


def _importing(review: Review) -> Answering:
    async def endpoint(request: Request) -> Response:
        if request.headers.get("content-type") != _OCTETS:
            raise HTTPException(415, f"Expected {_OCTETS}.")
        content = await _body(request, MAX_IMPORT_BYTES)
        name = request.query_params.get("name", "")

        def work() -> Response:
            standing = review.records.one(request.path_params["patient"])
            return _voxels(review.imported(standing, request.path_params["slug"], name, content))

        return await run_in_threadpool(work)

    return endpoint


def _measuring(review: Review) -> Answering:
    """Measure what is drawn and not saved yet: the browser sends the box around it."""

    async def endpoint(request: Request) -> Response:
        if request.headers.get("content-type") != _OCTETS or request.headers.get("content-encoding") != "gzip":
            raise HTTPException(415, f"Expected {_OCTETS}, packed by gzip.")
        try:
            size, at = ([int(each) for each in request.query_params[name].split(",")] for name in ("size", "at"))
        except (KeyError, ValueError):
            raise HTTPException(400, "Which box, and which voxel in it? The request does not say.") from None
        standing = await run_in_threadpool(review.records.one, request.path_params["patient"])
        grid = await run_in_threadpool(review.grid, standing, request.path_params["slug"])
        limit = int(np.prod(grid.shape))
        content = await _body(request, limit + limit // 1000 + 1024)

        def work() -> Response:
            diameters, volume_ml = diameters_in_view(unpacked([content], limit), size, at, grid)
            return JSONResponse({**diameters._asdict(), "volume_ml": volume_ml})

        return await run_in_threadpool(work)

    return endpoint


async def _body(request: Request, limit: int) -> bytes:
    """Read a body of bounded size, without believing what it says of itself."""
    found = bytearray()
    async for part in request.stream():
        found += part
        if len(found) > limit:
            raise HTTPException(413, f"The request is too large; expected at most {limit:,} bytes.")
    return bytes(found)


def _description(review: Review, _: Request) -> Response:
    return JSONResponse(review.description())


def _patients(review: Review, _: Request) -> Response:
    findings = review.examination.findings()
    rows = []
    for standing in review.records.all():
        examined = review.examination.of(standing.id)
        rows.append(
            {
                **_summary(review, standing),
                "findings": [asdict(each) for each in findings.get(standing.id, [])],
                "checked": examined is not None,
                "thumbnail": examined.picture.name if examined and examined.picture else None,
                "volumes_ml": {slug: facts.volume_ml for slug, facts in examined.masks.items()} if examined else {},
            }
        )
    return JSONResponse(rows)


def _patient(review: Review, standing: Standing, request: Request) -> Response:
    return JSONResponse(_standing(review, standing, _reviewer(request, needed=False)))


def _summary(review: Review, standing: Standing) -> dict[str, Any]:
    return {
        "id": standing.id,
        "name": standing.name,
        "centre": review.subject(standing).centre,
        "state": standing.state,
        "revision": standing.revision,
        "reviewer": standing.reviewer,
        "changed_at": standing.changed_at and standing.changed_at.isoformat(),
        "note": standing.note,
    }


def _standing(review: Review, standing: Standing, reader: str) -> dict[str, Any]:
    subject = review.subject(standing)
    answer = review.answer(standing, reader)
    return {
        **_summary(review, standing),
        "scans": {slug: {"window": review.window(standing, slug)} for slug in subject.scans},
        "masks": review.records.numbers(standing),
        "originals": sorted(subject.masks),
        "saved": [
            {
                "slug": mask.slug,
                "number": mask.number,
                "reviewer": mask.reviewer,
                "at": mask.at.isoformat(),
                "origin": mask.origin,
            }
            for mask in standing.masks
        ],
        "findings": [asdict(each) for each in review.examination.findings().get(standing.id, [])],
        "readings": [
            {"phase": row.phase, "answer": row.answer, "likelihood": row.likelihood, "note": row.note}
            for row in review.records.readings(standing.id)
            if row.reader == reader
        ],
        "result": answer
        and {
            "said": answer.said,
            "values": answer.values,
            "layers": [{"slug": each.slug, "of": each.of, "labels": each.is_labels} for each in answer.layers],
            "points": [
                {
                    "name": each.name,
                    "probability": each.probability,
                    "voxels": {slug: review.voxel_of(standing, slug, each.position_mm) for slug in subject.scans},
                }
                for each in answer.points
            ],
        },
    }


def _thumbnail(review: Review, standing: Standing, _: Request) -> Response:
    examined = review.examination.of(standing.id)
    if examined is None or examined.picture is None:
        raise HTTPException(404, "There is no picture yet.")
    return Response(examined.picture.read_bytes(), media_type="image/png")


def _scan(review: Review, standing: Standing, request: Request) -> Response:
    slug = request.path_params["slug"]
    content = review.scan_for_viewer(standing, slug, request.query_params.get("base", slug))
    return StreamingResponse(content, media_type=_OCTETS)


def _prepare(review: Review, standing: Standing, _: Request) -> Response:
    review.prepare(standing)
    return Response(status_code=204)


def _layer(review: Review, standing: Standing, request: Request) -> Response:
    base = request.query_params.get("base", "")
    content = review.layer_for_viewer(standing, request.path_params["slug"], base, _reviewer(request, needed=False))
    return StreamingResponse(content, media_type=_OCTETS)


def _result_as_mask(review: Review, standing: Standing, request: Request) -> Response:
    slug, layer = request.path_params["slug"], request.path_params["layer"]
    return _voxels(review.result_as_mask(standing, slug, layer, _reviewer(request, needed=False)))


def _mask(review: Review, standing: Standing, request: Request) -> Response:
    number = request.query_params.get("number")
    try:
        content = review.mask_for_viewer(standing, request.path_params["slug"], None if number is None else int(number))
    except ValueError:
        raise HTTPException(400, f"{number!r} is no number of a mask.") from None
    return Response(status_code=204) if content is None else _voxels(content)


def _mask_file(review: Review, standing: Standing, request: Request) -> Response:
    form = request.query_params.get("format", "nifti")
    name, content = review.mask_file(standing, request.path_params["slug"], form)
    return Response(content, media_type=_OCTETS, headers={"Content-Disposition": f'attachment; filename="{name}"'})


def _prompt(review: Review, standing: Standing, request: Request, body: Pointed) -> Response:
    slug = request.path_params["slug"]
    method = review.methods.get(body.method)
    if method is None:
        raise InvalidInputError(f"There is no method {body.method!r}; there are: {', '.join(review.methods)}.")
    of = review.cohort.mask(slug).of
    review.networks.check(body.method.removeprefix(IN_BOX), of)
    scan = review.scan(standing, of)
    corners = [index_in_scan(scan.geometry, corner) for corner in body.box or ()]
    prompt = Prompt(
        inside=[index_in_scan(scan.geometry, voxel) for voxel in body.inside],
        outside=[index_in_scan(scan.geometry, voxel) for voxel in body.outside],
        box=(corners[0], corners[1]) if corners else None,
        radius_mm=body.radius_mm,
    )
    found = method.propose(scan, prompt, np.zeros(scan.shape, dtype=np.bool_))
    return _voxels(mask_bytes(scan.with_voxels(found.astype(np.uint8))))


def _network(review: Review, standing: Standing, request: Request, body: Asked) -> Response:
    slug = request.path_params["slug"]
    of = review.cohort.mask(slug).of
    review.networks.check(body.network, of)
    path = review.scan_path(standing, of)
    job = review.networks.begin(body.network, standing.id, slug, path)
    return JSONResponse({"job": job.id}, 202)


def _job(review: Review, request: Request) -> Response:
    job = review.networks.job(request.path_params["job"])
    return JSONResponse({"done": job.done, "total": job.total, "finished": job.finished, "error": job.error})


def _job_mask(review: Review, request: Request) -> Response:
    job = review.networks.job(request.path_params["job"])
    if job.labels is None:
        raise InvalidInputError(job.error or "The proposal is not finished.")
    return _voxels(mask_bytes(job.labels))


def _decide(review: Review, standing: Standing, request: Request, body: Decision) -> Response:
    reviewer = _reviewer(request)
    changed = review.records.decide(
        standing.id, body.verdict, reviewer=reviewer, revision=body.revision, note=body.note
    )
    return JSONResponse(_standing(review, changed, reviewer))


def _read(review: Review, standing: Standing, request: Request, body: Reading) -> Response:
    reader, phase = _reviewer(request), Phase(body.phase)
    review.records.read(
        standing.id,
        phase,
        body.answer,
        reader=reader,
        likelihood=body.likelihood,
        note=body.note,
        algorithm_said=review.said(standing) if phase is Phase.AFTER else "",
    )
    return JSONResponse(_standing(review, standing, reader))


def _history(review: Review, standing: Standing, _: Request) -> Response:
    return JSONResponse(
        [{**asdict(change), "at": change.at.isoformat()} for change in review.records.history(standing.id)]
    )


def _agreement(review: Review, _: Request) -> Response:
    return JSONResponse([asdict(each) for each in reviewer_agreement(review.records)])


def _voxels(content: bytes) -> Response:
    return Response(packed(content), media_type=_OCTETS, headers={"Content-Encoding": "gzip"})


def _check_labels(review: Review, slug: str, voxels: np.ndarray[Any, Any]) -> None:
    labels = review.cohort.mask(slug).labels
    strange = {int(value) for value in np.unique(voxels)} - {0, *labels.values()} if labels else set()
    if strange:
        expected = ", ".join(f"{value} {name}" for name, value in labels.items())
        raise InvalidInputError(f"The mask holds the label {min(strange)}; expected {expected}.")


def _reviewer(request: Request, *, needed: bool = True) -> str:
    name = unquote(request.headers.get(REVIEWER_HEADER, ""))[: LONGEST_NAME + 1].strip()
    if needed and not name:
        raise InvalidInputError("Who is reviewing? Give your name or initials first.")
    return name


async def _failed(_: Request, error: PreopError) -> Response:
    status = 400
    if isinstance(error, ConflictError):
        status = 409
    elif isinstance(error, UnknownPatientError):
        status = 404
    elif isinstance(error, InvalidOutputError):
        status = 507
    return JSONResponse({"error": str(error)}, status)


async def _http_failed(_: Request, error: HTTPException) -> Response:
    return JSONResponse({"error": error.detail}, error.status_code, headers=error.headers)
