"""A small cohort to review: oblique scans in other orders of axes, one patient without a mask, one with an empty one."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
from sqlalchemy import create_engine, text
from starlette.testclient import TestClient

from preop.imaging import Geometry, Image, write_image
from preop.review.app import make_app
from preop.review.records import Records
from preop.review.review import Review
from preop.review.start import Options, open_records, open_review
from preop.study import find_studies

ROOT = Path(__file__).parents[2]
STUDIES = find_studies(ROOT / "algorithms")
HOST = "127.0.0.1:8790"
ORIGIN = {"origin": f"http://{HOST}"}
CT, CT_MASK = "ct-image", "ct-tumour-segmentation"
DATABASE_VARIABLE = "PREOP_TEST_DATABASE"
PROPOSAL = "ct-tumour-proposal"
PET, PET_MASK = "pet-image", "pet-tumour-segmentation"

TURN = np.deg2rad(20)
# Rows run from head to foot, columns from front to back, slices from left to right; and all of it is tilted by 20 degrees.
OBLIQUE = np.array([[1, 0, 0], [0, np.cos(TURN), -np.sin(TURN)], [0, np.sin(TURN), np.cos(TURN)]]) @ np.array(
    [[0, 0, -1], [1, 0, 0], [0, -1, 0]]
)
OBLIQUE_GRID = Geometry((24, 30, 26), (2.0, 1.0, 1.5), (-40.0, 17.0, 300.0), tuple(OBLIQUE.ravel().tolist()))
STRAIGHT_GRID = Geometry.axis_aligned((20, 32, 28), (3.0, 1.0, 1.0), (5.0, -60.0, 12.0))
COARSE_GRID = Geometry.axis_aligned((10, 12, 12), (5.0, 4.0, 4.0), (0.0, -64.0, 12.0))


def ball(grid: Geometry, radius_mm: float = 8.0) -> Image:
    """Mask of a ball in the middle of a grid."""
    index = np.stack(np.meshgrid(*(np.arange(size) for size in grid.shape), indexing="ij"), -1).reshape(-1, 3)
    centre = grid.world_mm((np.array(grid.shape) - 1)[None] / 2)
    near = np.linalg.norm(grid.world_mm(index) - centre, axis=1) <= radius_mm
    return Image(near.reshape(grid.shape).astype(np.uint8), grid)


def ct(grid: Geometry, seed: int = 0) -> Image:
    """A ball of soft tissue in fat, with air at one edge and a little noise."""
    voxels = np.where(ball(grid).voxels, 60, -100).astype(np.float64)
    voxels += np.random.default_rng(seed).normal(0, 8, grid.shape)
    voxels[:, :3] = -1000
    return Image(np.rint(voxels).astype(np.int16), grid)


def make_cohort(folder: Path) -> Path:
    """Write three patients: an oblique scan with its mask, one without a mask and with a PET, one with an empty mask."""
    for name, grid, seed in (("one", OBLIQUE_GRID, 1), ("two", STRAIGHT_GRID, 2), ("three", STRAIGHT_GRID, 3)):
        write_image(ct(grid, seed), folder / name / "ct.nii.gz")
    write_image(ball(OBLIQUE_GRID), folder / "one" / "mask.nii.gz")
    write_image(Image(np.zeros(STRAIGHT_GRID.shape, np.uint8), STRAIGHT_GRID), folder / "three" / "mask.mha")
    pet = Image((ball(COARSE_GRID, 10).voxels * 4.5 + 0.5).astype(np.float32), COARSE_GRID)
    write_image(pet, folder / "two" / "pet.nii.gz")
    rows = [
        f"patient,centre,lung_metastasis,{CT},{CT_MASK},{PET},{PET_MASK}",
        "one,A,1,one/ct.nii.gz,one/mask.nii.gz,,",
        "two,A,0,two/ct.nii.gz,,two/pet.nii.gz,",
        "three,B,0,three/ct.nii.gz,three/mask.mha,,",
    ]
    (folder / "cohort.csv").write_text("\n".join(rows) + "\n")
    return folder / "cohort.csv"


def lay_out_results(folder: Path, likelihoods: dict[str, float]) -> Path:
    """Write outputs as ``preop validate`` does."""
    for name, likelihood in likelihoods.items():
        output = folder / "predictions" / name / "output"
        output.mkdir(parents=True)
        (output / "lung-metastasis-likelihood.json").write_text(json.dumps(likelihood))
    return folder


def lay_out_proposal(results: Path, name: str, labels: Image) -> None:
    """Write what a network outlined on the CT of a patient, beside the other outputs."""
    write_image(labels, results / "predictions" / name / "output" / "images" / PROPOSAL / "output.mha")


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the cohort and an empty database, made once."""
    folder = tmp_path_factory.mktemp("reviewed")
    open_records(make_cohort(folder), STUDIES, Options()).engine.dispose()
    return folder


@pytest.fixture
def cohort(prepared: Path, tmp_path: Path) -> Path:
    shutil.copytree(prepared, tmp_path, dirs_exist_ok=True)
    return tmp_path / "cohort.csv"


@pytest.fixture
def options() -> Iterator[Options]:
    """The SQLite file that is the default; or, where it is named, an empty schema of a PostgreSQL database (docs/review.md)."""
    address = os.environ.get(DATABASE_VARIABLE)
    if not address:
        yield Options()
        return
    schema = f"preop_{uuid.uuid4().hex}"
    engine = create_engine(address, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE SCHEMA {schema}"))
        yield Options(database=f"{address}?options=-csearch_path%3D{schema}")
        connection.execute(text(f"DROP SCHEMA {schema} CASCADE"))
    engine.dispose()


@pytest.fixture
def records(cohort: Path, options: Options) -> Iterator[Records]:
    records = open_records(cohort, STUDIES, options)
    yield records
    records.engine.dispose()


@pytest.fixture
def review(cohort: Path, options: Options) -> Iterator[Review]:
    review = open_review(cohort, STUDIES, options)
    yield review
    review.records.engine.dispose()


class Browser:
    """Talks to the server as the pages do."""

    def __init__(self, client: TestClient, reviewer: str = "A. Meyer") -> None:
        self.client = client
        self.headers = {**ORIGIN, "x-preop-reviewer": quote(reviewer)}

    def get(self, path: str) -> Any:
        return self.client.get(f"/api/{path}", headers=self.headers)

    def post(self, path: str, body: dict[str, Any]) -> Any:
        return self.client.post(f"/api/{path}", json=body, headers=self.headers)

    def save(self, patient: int, slug: str, voxels: bytes, revision: int) -> Any:
        headers = {"content-type": "application/octet-stream", "content-encoding": "gzip", "if-match": str(revision)}
        path = f"/api/patients/{patient}/masks/{slug}"
        return self.client.put(path, content=gzip.compress(voxels), headers={**self.headers, **headers})


@pytest.fixture
def client(review: Review) -> Iterator[TestClient]:
    with TestClient(make_app(review, None, hosts=[HOST]), base_url=f"http://{HOST}") as client:
        yield client


@pytest.fixture
def browser(client: TestClient) -> Browser:
    return Browser(client)
