"""What a slide shows: a map of its tissues, and the cells that are counted, found by two small networks.

Both networks read the slide at one micrometre a pixel, tile by tile in the order in which the file holds them, as optical
density. They learn under stains of many kinds (``stain.py``), so that a centre's own need not have been among them.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import version
from itertools import count, groupby, product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from preop.atomic import replacing, write_text
from preop.errors import InvalidInputError, InvalidModelError
from preop.folders import code_digest, open_resumable_run, sha256
from preop.grandchallenge.values import to_json
from preop.imaging import Image
from preop.portable import PortableNetwork, has_torch, missing_portable, read_portable, runs_portable, to_portable
from preop.slides import Slide, Tiling, Tissue
from preop.slides.levels import WHITE
from preop.slides.tiling import UM_PER_MM, check_flat
from preop.study import MODEL_FILE, DataSource, read_description
from preop.weights import put_into, read_weights

from .definitions import TissueLabel
from .findings import (
    INPUT_UM,
    MAP_UM,
    Cells,
    NetworkSettings,
    NetworksInfo,
    Region,
    TissueMap,
)
from .reading import PortableNetworks, SlideNetworks
from .stain import CLEAR_DENSITY, density

if TYPE_CHECKING:
    from .networks import Networks

Progress = Callable[[int, int], None]

__all__ = [
    "Cells",
    "NetworkSettings",
    "Region",
    "TissueMap",
    "fit_networks",
    "load_networks",
    "measure",
    "note_figures",
    "readable",
    "write_networks",
]

INFO_FILE = "networks.json"
TISSUE_WEIGHTS, CELL_WEIGHTS = "tissue.safetensors", "cells.safetensors"
TISSUE_PORTABLE, CELLS_PORTABLE = "tissue.onnx", "cells.onnx"
MADE_FROM = "weights_sha256"
"""What a portable form says of the weights that it was made from."""

_TILE_PX = 1024
_FRAME_PX = 96  # what the networks see around a pixel
_TILE_SQUARES, _FRAME_SQUARES = (round(side * INPUT_UM / MAP_UM) for side in (_TILE_PX, _FRAME_PX))
_MULTIPLE_PX = 32
_MIN_SHARE = 1e-3
_BESIDE_TISSUE_UM = 400.0
_BESIDE_ARTEFACT_UM = 32.0  # a fold slopes, and a blur fades


def measure(
    slide: Slide, mask: Image, networks: SlideNetworks, progress: Progress | None = None
) -> tuple[TissueMap, Cells]:
    """Map the tissues of a slide and find its cells.

    The memory is that of three rows of tiles of a millimetre, the map (a byte for 64 square micrometres) and the cells.

    Parameters
    ----------
    mask
        Flat mask of what is looked at, at any resolution: ``readable(find_tissue(slide))``, or a reader's. Everything
        else is background on the map, and has no cells.
    progress
        Called with the number of tiles done and their total.

    Raises
    ------
    InvalidInputError
        If the mask is empty or not flat, or the slide is coarser than the networks read.
    """
    check_flat(mask)
    if not mask.voxels.any():
        raise InvalidInputError(f"{slide.path.name} has no tissue that can be assessed: look at its tissue mask.")
    tiling = slide.tiling(size_px=_TILE_PX, um_per_pixel=INPUT_UM, within=mask, min_share=_MIN_SHARE)
    map_um = tiling.um_per_pixel * MAP_UM / INPUT_UM
    height, width = slide.geometry(map_um).shape
    labels = np.zeros((height + -height % _TILE_SQUARES, width + -width % _TILE_SQUARES), np.uint8)
    clear = np.zeros(labels.shape, bool)
    found: list[Cells] = []
    for done, (row, column, pixels) in enumerate(_framed_tiles(slide, tiling), start=1):
        tissue, cells = networks.read(pixels)
        top, left = row * _TILE_SQUARES, column * _TILE_SQUARES
        place = (slice(top, top + _TILE_SQUARES), slice(left, left + _TILE_SQUARES))
        labels[place] = tissue[_FRAME_SQUARES:-_FRAME_SQUARES, _FRAME_SQUARES:-_FRAME_SQUARES]
        clear[place] = _is_clear(pixels[_FRAME_PX:-_FRAME_PX, _FRAME_PX:-_FRAME_PX])
        found.append(_in_tile(cells, tiling, row, column))
        if progress is not None:
            progress(done, len(tiling))
    inside = TissueMap(_sampled(mask, (height, width), map_um).astype(np.uint8), map_um)
    tissue_map = TissueMap(labels[:height, :width] * inside.labels, map_um, clear=clear[:height, :width])
    return tissue_map, _within(_joined(found), inside)


def readable(tissue: Image) -> Image:
    """Mask of what the networks may look at: all within 0.4 mm of tissue, but pen, folds and what is out of focus.

    Parameters
    ----------
    tissue
        Labels of :func:`preop.slides.find_tissue`. To it most fat is background, but where a tumour meets fat is its front.
    """
    looked_at = tissue.voxels == Tissue.TISSUE
    if not looked_at.any():
        return tissue.with_voxels(looked_at)
    artefact = np.isin(tissue.voxels, [Tissue.PEN, Tissue.FOLD, Tissue.BLUR])
    near_tissue = _distance_um(looked_at, tissue) <= _BESIDE_TISSUE_UM
    near_artefact = artefact.any() and _distance_um(artefact, tissue) <= _BESIDE_ARTEFACT_UM
    return tissue.with_voxels(np.asarray(near_tissue & ~np.asarray(near_artefact)))


def load_networks(folder: Path) -> SlideNetworks:
    """Read the networks from their folder, in the form that runs here.

    Raises
    ------
    InvalidModelError
        If the folder is missing, incomplete or damaged, the weights do not fit, or torch is needed and not installed.
    """
    info = _read_info(folder)
    tissue, cells = folder / TISSUE_PORTABLE, folder / CELLS_PORTABLE
    if tissue.is_file() and cells.is_file() and runs_portable():
        return PortableNetworks(_portable(tissue, TISSUE_WEIGHTS, info), _portable(cells, CELL_WEIGHTS, info), info)
    if not has_torch():
        raise missing_portable(tissue)
    return load_torch_networks(folder)


def _portable(path: Path, weights: str, info: NetworksInfo) -> PortableNetwork:
    network = read_portable(path)
    if network.facts.get(MADE_FROM) != info.sha256.get(weights):
        raise InvalidModelError(
            f"{path} was not made from the {weights} that {INFO_FILE} names: write it anew by preop register --portable."
        )
    return network


def portable_networks(networks: Networks) -> dict[str, bytes]:
    """Give the portable form of both networks, as content of files by name."""
    import torch

    picture = torch.rand(1, 3, 2 * _MULTIPLE_PX, 3 * _MULTIPLE_PX, generator=torch.Generator().manual_seed(0))
    return {
        file: to_portable(
            network,
            {"density": picture},
            ["logits"],
            free={"density": (2, 3)},
            facts={MADE_FROM: networks.info.sha256[weights]},
        )
        for file, network, weights in (
            (TISSUE_PORTABLE, networks.tissue, TISSUE_WEIGHTS),
            (CELLS_PORTABLE, networks.cells, CELL_WEIGHTS),
        )
    }


def load_torch_networks(folder: Path) -> Networks:
    """Read the networks by torch; errors are those of :func:`load_networks`."""
    from .networks import CellNetwork, Networks, TissueNetwork

    info = _read_info(folder)
    networks = Networks(TissueNetwork(info.settings.tissue_channels), CellNetwork(info.settings.cell_channels), info)
    for file, network in ((TISSUE_WEIGHTS, networks.tissue), (CELL_WEIGHTS, networks.cells)):
        path = folder / file
        if not path.is_file():
            raise InvalidModelError(f"The model in {folder} is incomplete: {file} is missing.")
        if sha256(path) != info.sha256.get(file):
            raise InvalidModelError(
                f"The model in {folder} is damaged: {file} is not the file that was written (its SHA-256 differs)."
            )
        put_into(network, read_weights(path), path, f"their settings in {INFO_FILE}")
        network.eval()
    return networks


def write_networks(folder: Path, networks: Networks) -> NetworksInfo:
    """Write the networks, so that :func:`load_networks` reads them; the weights first, then what they are."""
    from safetensors.torch import save

    folder.mkdir(parents=True, exist_ok=True)
    hashes = {}
    for file, network in ((TISSUE_WEIGHTS, networks.tissue), (CELL_WEIGHTS, networks.cells)):
        partial = folder / f".{file}"
        partial.write_bytes(save({name: value.contiguous() for name, value in network.state_dict().items()}))
        hashes[file] = sha256(partial)
        partial.replace(folder / file)
    return _write_info(folder, networks.info.model_copy(update={"sha256": hashes}))


def note_figures(folder: Path, **figures: Any) -> NetworksInfo:
    """Write figures of the networks down beside them: fields of :class:`~.findings.NetworksInfo`, measured after training.

    What is not assessed follows from them (``limits.py``). Where the folder lies in a model, the checksum there is renewed.
    """
    info = _write_info(folder, _read_info(folder).model_copy(update=figures))
    model = folder.parent / MODEL_FILE
    if model.is_file():
        content = json.loads(model.read_text(encoding="utf-8"))
        content["files"][f"{folder.name}/{INFO_FILE}"] = sha256(folder / INFO_FILE)
        write_text(model, to_json(content))
    return info


def fit_networks(
    regions: Sequence[Region],
    settings: NetworkSettings,
    training_data: DataSource,
    progress: Progress | None = None,
    kept: Path | None = None,
) -> Networks:
    """Train both networks on annotated regions, and choose thresholds on those of patients left out.

    Parameters
    ----------
    progress
        Called with the number of steps done and their total.
    kept
        Folder from which a training that was stopped goes on; it must be that of the same regions and settings.

    Raises
    ------
    InvalidInputError
        If a region does not fit together, is smaller than a patch, or there are fewer than two patients.
    """
    from .learning import choose_thresholds, confusion, fit_cells, fit_tissue
    from .networks import Networks

    for region in regions:
        _check_region(region, max(settings.tissue_patch_px, settings.cell_patch_px))
    learned, held_out = _split(regions, settings)
    total, steps = settings.tissue_steps + settings.cell_steps, count(1)

    def advance() -> None:
        done = next(steps)
        if progress is not None:
            progress(done, total)

    tissue = fit_tissue(learned, settings, advance, kept and kept / "tissue.pt")
    cells = fit_cells(learned, settings, advance, kept and kept / "cells.pt")
    info = NetworksInfo(
        format=1,
        settings=settings,
        thresholds=choose_thresholds(cells, held_out, settings.seed),
        training_data=training_data,
        regions=len(regions),
        patients=len({region.patient for region in regions}),
        dice=_dice(confusion(tissue, held_out, settings.seed)),
        agreement={},
        agreement_measured_on="",
        validated_appearance={},
        real_tissue={},
        software={name: version(name) for name in ("preop", "torch", "numpy")},
        sha256={},
    )
    return Networks(tissue, cells, info)


def _distance_um(mask: NDArray[np.bool_], image: Image) -> NDArray[np.float64]:
    """Distance of each pixel to a mask."""
    from scipy import ndimage

    return np.asarray(ndimage.distance_transform_edt(~mask, [UM_PER_MM * side for side in image.spacing_mm]))


def _framed_tiles(slide: Slide, tiling: Tiling) -> Iterator[tuple[int, int, NDArray[np.uint8]]]:
    """Read tiles, and give the row and column of each with its pixels and a frame of its neighbours' around them.

    Each tile is read once; three rows of tiles are kept. A neighbour that is not read is white, as glass.
    """
    rows: dict[int, dict[int, NDArray[np.uint8]]] = {}
    waiting: int | None = None
    for row, tiles in groupby(slide.tiles(tiling), key=lambda tile: int(tiling.rows[tile.number])):
        rows[row] = {int(tiling.columns[tile.number]): tile.pixels for tile in tiles}
        if waiting is not None:
            yield from _framed_row(rows, waiting)
            rows = {number: kept for number, kept in rows.items() if number >= waiting}
        waiting = row
    if waiting is not None:
        yield from _framed_row(rows, waiting)


def _framed_row(
    rows: Mapping[int, Mapping[int, NDArray[np.uint8]]], row: int
) -> Iterator[tuple[int, int, NDArray[np.uint8]]]:
    side, frame = _TILE_PX, _FRAME_PX
    # Of the tile before, of the tile itself, of the tile after: what is taken, and where it goes.
    parts = (
        (-1, slice(side - frame, side), slice(0, frame)),
        (0, slice(0, side), slice(frame, frame + side)),
        (1, slice(0, frame), slice(frame + side, side + 2 * frame)),
    )
    for column in rows[row]:
        framed = np.full((side + 2 * frame, side + 2 * frame, 3), WHITE, np.uint8)
        for (down, from_rows, to_rows), (right, from_columns, to_columns) in product(parts, parts):
            neighbour = rows.get(row + down, {}).get(column + right)
            if neighbour is not None:
                framed[to_rows, to_columns] = neighbour[from_rows, from_columns]
        yield row, column, framed


def _is_clear(pixels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Say which squares of the map are mostly as clear as glass."""
    side = round(MAP_UM / INPUT_UM)
    clear = density(pixels).sum(axis=2) < CLEAR_DENSITY
    return np.asarray(clear.reshape(clear.shape[0] // side, side, -1, side).mean(axis=(1, 3)) >= 0.5)


def _in_tile(cells: Cells, tiling: Tiling, row: int, column: int) -> Cells:
    """Cells of a framed tile that lie in the tile itself, with their places on the slide."""
    points_px = cells.points_um / INPUT_UM - _FRAME_PX
    kept = ((points_px >= 0) & (points_px < _TILE_PX)).all(axis=1)
    corner_px = np.array([row, column], np.float32) * _TILE_PX
    points_um = (points_px[kept] + corner_px) * np.float32(tiling.um_per_pixel)
    return Cells(points_um.astype(np.float32), cells.kinds[kept], cells.probability[kept])


def _joined(parts: Sequence[Cells]) -> Cells:
    return Cells(
        np.concatenate([part.points_um for part in parts]),
        np.concatenate([part.kinds for part in parts]),
        np.concatenate([part.probability for part in parts]),
    )


def _within(cells: Cells, inside: TissueMap) -> Cells:
    kept = inside.at(cells.points_um) > 0
    return Cells(cells.points_um[kept], cells.kinds[kept], cells.probability[kept])


def _sampled(mask: Image, shape: tuple[int, int], um_per_pixel: float) -> NDArray[np.bool_]:
    """Mask at the centres of a map's pixels; outside it nothing is wanted."""
    rows, columns = (
        ((np.arange(side) + 0.5) * um_per_pixel / UM_PER_MM / spacing_mm).astype(np.intp)
        for side, spacing_mm in zip(shape, mask.spacing_mm, strict=True)
    )
    height, width = mask.shape
    nearest = mask.voxels[np.ix_(rows.clip(max=height - 1), columns.clip(max=width - 1))] > 0
    return np.asarray(nearest & (rows < height)[:, None] & (columns < width))


def _check_region(region: Region, min_px: int) -> None:
    height, width = region.pixels.shape[:2]
    square = round(MAP_UM / INPUT_UM)
    if height % _MULTIPLE_PX or width % _MULTIPLE_PX or min(height, width) < min_px:
        raise InvalidInputError(
            f"A region of {region.patient} has {height} x {width} pixels; expected multiples of {_MULTIPLE_PX} from {min_px} on."
        )
    if region.labels.shape != (height // square, width // square):
        raise InvalidInputError(
            f"A region of {region.patient} has {height} x {width} pixels and labels of {region.labels.shape}; expected one label "
            f"for {square} x {square} pixels."
        )
    if region.points_um.shape != (len(region.kinds), 2):
        raise InvalidInputError(
            f"A region of {region.patient} has points of the shape {region.points_um.shape} and {len(region.kinds)} kinds; "
            "expected y and x for each kind."
        )


def _split(regions: Sequence[Region], settings: NetworkSettings) -> tuple[list[Region], list[Region]]:
    """Regions of patients to learn from, and of those left out."""
    patients = sorted({region.patient for region in regions})
    if len(patients) < 2:
        raise InvalidInputError(f"The regions are of {len(patients)} patients; expected two or more.")
    rng = np.random.default_rng([settings.seed, 0])
    left_out = set(rng.permutation(patients)[: max(1, round(settings.held_out * len(patients)))].tolist())
    return (
        [region for region in regions if region.patient not in left_out],
        [region for region in regions if region.patient in left_out],
    )


def _dice(confusion: NDArray[np.int64]) -> dict[str, float]:
    """Overlap of each tissue that occurs, of squares by their label (true, found)."""
    both, total = np.diag(confusion), confusion.sum(axis=0) + confusion.sum(axis=1)
    return {
        label.name.lower(): round(float(2 * both[label] / total[label]), 4) for label in TissueLabel if total[label]
    }


def _read_info(folder: Path) -> NetworksInfo:
    info = read_description(folder, INFO_FILE, NetworksInfo)
    for name, part in (("settings", info.settings), ("training_data", info.training_data)):
        # Defaults are for whoever trains; they do not stand for what was forgotten or cut out.
        if unstated := type(part).model_fields.keys() - part.model_fields_set:
            raise InvalidModelError(
                f"The model in {folder} is damaged: {INFO_FILE}, {name}.{min(unstated)}: Field required."
            )
    return info


def _write_info(folder: Path, info: NetworksInfo) -> NetworksInfo:
    partial = folder / f".{INFO_FILE}"
    partial.write_text(json.dumps(info.model_dump(mode="json"), indent=2) + "\n")
    partial.replace(folder / INFO_FILE)
    return info


def _keeping(drawn: Iterator[Region], kept: Path) -> list[Region]:
    """Take the regions of a patient from where an earlier run kept them; draw and keep them otherwise."""
    if not kept.is_file():
        regions = list(drawn)
        arrays = {
            f"{number} {name}": getattr(region, name)
            for number, region in enumerate(regions)
            for name in ("pixels", "labels", "points_um", "kinds", "patient")
        }
        kept.parent.mkdir(parents=True, exist_ok=True)
        with replacing(kept) as partial, partial.open("wb") as file:
            np.savez_compressed(file, **arrays)
        return regions
    with np.load(kept, allow_pickle=False) as stored:
        parts: dict[str, dict[str, Any]] = {}
        for key in stored:
            number, name = key.split(" ")
            parts.setdefault(number, {})[name] = stored[key]
    return [Region(**part | {"patient": str(part["patient"])}) for part in parts.values()]


def main() -> None:
    """Train the networks: those that ship, on regions of simulated slides, or others on annotated slides.

    What is done is kept in OUTPUT/work until the networks are complete: a run that was stopped goes on from there.
    """
    from preop.progress import progress_bar, progress_bars

    from .annotations import read_regions
    from .simulation import SOURCE
    from .simulation.annotated_slides import simulated_regions

    parser = argparse.ArgumentParser(prog="python -m primary_growth_pattern.tissue", description=main.__doc__)
    parser.add_argument("output", type=Path, help="folder for the networks")
    parser.add_argument(
        "--annotations", type=Path, help="folder of annotated slides, one folder a patient (annotations.py)"
    )
    parser.add_argument("--description", help="of the annotated slides, in one line")
    parser.add_argument(
        "--patients", type=int, default=120, help="simulated patients, of three regions each (default 120)"
    )
    parser.add_argument("--seed", type=int, default=4100, help="of patients and training (default 4100)")
    usual = NetworkSettings()
    parser.add_argument(
        "--steps",
        type=int,
        nargs=2,
        default=(usual.tissue_steps, usual.cell_steps),
        metavar=("TISSUE", "CELLS"),
        help=f"of either network (default {usual.tissue_steps} {usual.cell_steps})",
    )
    arguments = parser.parse_args()
    tissue_steps, cell_steps = arguments.steps
    settings = NetworkSettings(seed=arguments.seed, tissue_steps=tissue_steps, cell_steps=cell_steps)
    work = arguments.output / "work"
    if arguments.annotations is None:
        source = SOURCE
        drawn = {f"{number}": simulated_regions(arguments.seed, number) for number in range(arguments.patients)}
    else:
        source = DataSource(description=arguments.description or "not stated")
        folders = sorted(path for path in arguments.annotations.iterdir() if path.is_dir())
        drawn = {folder.name: read_regions(folder) for folder in folders}
    made_of: dict[str, str | int] = {"settings": settings.model_dump_json(), "source": source.model_dump_json()}
    made_of |= {"patients": len(drawn), "code": code_digest(Path(__file__).parent)}
    open_resumable_run(work, made_of)
    regions = []
    with progress_bar("Regions", len(drawn)) as advance:
        for name, of_patient in drawn.items():
            regions.extend(_keeping(of_patient, work / "regions" / f"{name}.npz"))
            advance(1)
    with progress_bars() as bar:
        task = bar.add_task("Training", total=None)
        networks = fit_networks(
            regions,
            settings,
            source,
            lambda done, total: bar.update(task, completed=done, total=total),
            work,
        )
    info = write_networks(arguments.output, networks)
    shutil.rmtree(work)
    sys.stdout.write(f"Dice {info.dice}\nThe networks are in {arguments.output}.\n")


if __name__ == "__main__":
    main()
