"""How the tissue network and the cell network learn from annotated regions."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from preop.atomic import replacing
from preop.repeatable import repeatable

from .definitions import STROMA, CellKind, TissueLabel
from .findings import INPUT_UM, MAP_UM, NOT_ANNOTATED, NetworkSettings, Region, Thresholds
from .networks import CellNetwork, TissueNetwork
from .reading import CELL_STRIDE, TISSUE_STRIDE, find_centres
from .stain import RandomStain, density, disturbed, draw_stain

Floats = NDArray[np.float32]
Targets = Sequence[NDArray[np.generic]]
Place = tuple[int, NDArray[np.floating[Any]]]
"""Number of a region, and a point in it, y and x in micrometres."""

Network = TypeVar("Network", bound=nn.Module)

CENTRE_UM = {CellKind.LYMPHOCYTE: 3.0, CellKind.BUD: 6.0}
"""Standard deviation of the blob that stands for a centre: about the radius of what is found."""

_ON_A_PLACE = (
    0.7  # share of patches around a place of a kind, each kind as often, however rare it is; others lie anywhere
)
_PLACES_A_TISSUE = 10  # of each region
_STEPS_TO_KEEP = 100
_MIN_PROBABILITY = 0.02


def fit_tissue(
    regions: Sequence[Region], settings: NetworkSettings, advance: Callable[[], None], kept: Path | None = None
) -> TissueNetwork:
    """Train the tissue network: cross-entropy of the squares that are annotated.

    Parameters
    ----------
    kept
        File from which a training that was stopped goes on.
    """
    targets = [region.labels for region in regions]
    patches = _Patches(regions, targets, _places_of_tissues(regions), settings.tissue_patch_px, settings.seed)
    with repeatable(settings.seed):
        network = TissueNetwork(settings.tissue_channels)
        return _fitted(network, patches, tissue_loss, settings, settings.tissue_steps, advance, kept)


def fit_cells(
    regions: Sequence[Region], settings: NetworkSettings, advance: Callable[[], None], kept: Path | None = None
) -> CellNetwork:
    """Train the cell network: focal loss of the centres; ``kept`` as in :func:`fit_tissue`."""
    targets = [blobs(region) for region in regions]
    patches = _Patches(regions, targets, _places_of_cells(regions), settings.cell_patch_px, settings.seed + 1)
    with repeatable(settings.seed + 1):
        network = CellNetwork(settings.cell_channels)
        return _fitted(network, patches, cell_loss, settings, settings.cell_steps, advance, kept)


def blobs(region: Region) -> NDArray[np.float16]:
    """Draw a blob around every annotated centre, 1 there (kinds, h / 4, w / 4); NaN where nothing is annotated."""
    from scipy import ndimage

    stride_um = CELL_STRIDE * INPUT_UM
    height, width = (side // CELL_STRIDE for side in region.pixels.shape[:2])
    drawn = np.zeros((len(CellKind), height, width), np.float16)
    for kind in CellKind:
        rows, columns = (region.points_um[region.kinds == kind] / stride_um).astype(np.intp).T
        elsewhere = np.ones((height, width), bool)
        elsewhere[rows.clip(0, height - 1), columns.clip(0, width - 1)] = False
        if len(rows):
            distance_um = stride_um * ndimage.distance_transform_edt(elsewhere)
            drawn[kind] = np.exp(-((distance_um / CENTRE_UM[kind]) ** 2) / 2)
    finer = TISSUE_STRIDE // CELL_STRIDE
    drawn[:, (region.labels == NOT_ANNOTATED).repeat(finer, axis=0).repeat(finer, axis=1)] = np.nan
    return drawn


def tissue_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of labels (n, h, w), those annotated."""
    return functional.cross_entropy(logits, labels.long(), ignore_index=NOT_ANNOTATED)


def cell_loss(logits: Tensor, blobs: Tensor) -> Tensor:
    """Focal loss of centres (Law & Deng, ECCV 2018, equation 1), each kind and picture by its number of centres.

    Beside a centre, saying "here" costs less the nearer it is; where it is NaN, nothing costs anything.
    """
    known, blobs = ~blobs.isnan(), blobs.nan_to_num()
    log_yes, log_no = functional.logsigmoid(logits), functional.logsigmoid(-logits)
    yes, no = log_yes.exp(), log_no.exp()
    at_centre = blobs >= 1
    terms = known * torch.where(at_centre, no**2 * log_yes, (1 - blobs) ** 4 * yes**2 * log_no)
    # A picture of a lymphoid aggregate has a thousand centres; it is not to outweigh those with a few.
    centres = at_centre.sum(dim=(2, 3)).clamp(min=1)
    return -(terms.sum(dim=(2, 3)) / centres).mean()


def choose_thresholds(network: CellNetwork, regions: Sequence[Region], seed: int) -> Thresholds:
    """Threshold of each kind at which as many cells are found as there are, under random stains.

    Then both kinds of error cancel in a count. What lies outside tumour and stroma is never counted, and left out.
    """
    rng = np.random.default_rng([seed, 2])
    true = dict.fromkeys(CellKind, 0)
    scores: dict[CellKind, list[Floats]] = {kind: [np.zeros(0, np.float32)] for kind in CellKind}
    for region in regions:
        picture = _restained(density(region.pixels), draw_stain(rng))
        with torch.inference_mode():
            logits = network(_as_batch(picture[None]))[0]
        found = find_centres(logits.numpy(), Thresholds(lymphocyte=_MIN_PROBABILITY, bud=_MIN_PROBABILITY))
        for kind in CellKind:
            scores[kind].append(found.probability[(found.kinds == kind) & _countable(region, found.points_um)])
            true[kind] += int(((region.kinds == kind) & _countable(region, region.points_um)).sum())
    lymphocyte, bud = (_nth_highest(np.concatenate(scores[kind]), true[kind]) for kind in CellKind)
    return Thresholds(lymphocyte=lymphocyte, bud=bud)


def confusion(network: TissueNetwork, regions: Sequence[Region], seed: int) -> NDArray[np.int64]:
    """Count squares by their label, (true, found), under random stains."""
    rng = np.random.default_rng([seed, 3])
    count = len(TissueLabel)
    total = np.zeros((count, count), np.int64)
    for region in regions:
        picture = _restained(density(region.pixels), draw_stain(rng))
        with torch.inference_mode():
            found = network(_as_batch(picture[None]))[0].argmax(dim=0).numpy()
        known = region.labels != NOT_ANNOTATED
        pairs = region.labels[known].astype(np.int64) * count + found[known]
        total += np.bincount(pairs, minlength=count**2).reshape(count, count)
    return total


class _Patches:
    """Batches of patches of regions, each turned, mirrored, stained and scanned anew, with their targets.

    Parameters
    ----------
    targets
        Of each region (..., h / stride, w / stride).
    places
        Of each kind that is to be seen as often as the others.
    """

    def __init__(
        self, regions: Sequence[Region], targets: Targets, places: Sequence[Sequence[Place]], side_px: int, seed: int
    ) -> None:
        self._regions = regions
        self._targets = targets
        self._side = side_px
        self._places = [kind for kind in places if kind]
        self.rng = np.random.default_rng([seed, 1])

    def draw(self, count: int) -> tuple[Tensor, Tensor]:
        """Pictures (n, 3, side, side) and targets (n, ..., side / stride, side / stride)."""
        pictures, targets = zip(*(self._patch() for _ in range(count)), strict=True)
        return _as_batch(np.stack(pictures)), torch.from_numpy(np.stack(targets))

    def _patch(self) -> tuple[Floats, NDArray[np.generic]]:
        rng = self.rng
        number, corner = self._place()
        region, target = self._regions[number], self._targets[number]
        stride = region.pixels.shape[0] // target.shape[-2]
        place = tuple(slice(start, start + self._side) for start in corner)
        rows, columns = (slice(start // stride, (start + self._side) // stride) for start in corner)
        picture = _restained(density(region.pixels[place]), draw_stain(rng))
        picture = disturbed(picture, rng)
        turns, mirror = int(rng.integers(4)), bool(rng.integers(2))
        turned = np.rot90(target[..., rows, columns], turns, (-2, -1))
        picture = np.rot90(picture, turns, (0, 1))
        if mirror:
            turned, picture = turned[..., ::-1], picture[:, ::-1]
        return np.ascontiguousarray(picture), np.ascontiguousarray(turned)

    def _place(self) -> tuple[int, tuple[int, int]]:
        """Region, and corner of a patch on a multiple of every stride."""
        rng = self.rng
        if self._places and rng.random() < _ON_A_PLACE:
            kind = self._places[rng.integers(len(self._places))]
            number, point_um = kind[int(rng.integers(len(kind)))]
            corner = point_um / INPUT_UM - rng.uniform(0.1, 0.9, 2) * self._side
        else:
            number = int(rng.integers(len(self._regions)))
            corner = rng.uniform(0, 1, 2) * (np.array(self._regions[number].pixels.shape[:2]) - self._side)
        height, width = self._regions[number].pixels.shape[:2]
        y, x = (
            int(np.clip(value, 0, side - self._side)) // TISSUE_STRIDE * TISSUE_STRIDE
            for value, side in zip(corner, (height, width), strict=True)
        )
        return number, (y, x)


def _places_of_tissues(regions: Sequence[Region]) -> list[list[Place]]:
    """Some evenly spread squares of each tissue in each region."""
    places: list[list[Place]] = [[] for _ in TissueLabel]
    for number, region in enumerate(regions):
        for label in TissueLabel:
            squares = np.argwhere(region.labels == label)
            spread = squares[:: max(1, len(squares) // _PLACES_A_TISSUE)]
            places[label].extend((number, square * MAP_UM) for square in spread)
    return places


def _places_of_cells(regions: Sequence[Region]) -> list[list[Place]]:
    """Tumour buds and lymphocytes in tumour and stroma."""
    places: list[list[Place]] = [[] for _ in CellKind]
    for number, region in enumerate(regions):
        countable = _countable(region, region.points_um)
        for kind in CellKind:
            places[kind].extend((number, point) for point in region.points_um[countable & (region.kinds == kind)])
    return places


def _fitted(
    network: Network,
    patches: _Patches,
    loss: Callable[[Tensor, Tensor], Tensor],
    settings: NetworkSettings,
    steps: int,
    advance: Callable[[], None],
    kept: Path | None,
) -> Network:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network.to(device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    optimiser = torch.optim.AdamW(network.parameters(), lr=settings.learning_rate, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, settings.learning_rate, total_steps=steps)
    done = _restored(kept, network, optimiser, schedule, patches)
    for _ in range(done):
        advance()
    for step in range(done, steps):
        if kept is not None and step and step % _STEPS_TO_KEEP == 0:
            _keep(kept, step, network, optimiser, schedule, patches)
        pictures, target = (part.to(device) for part in patches.draw(settings.batch))
        with torch.autocast(device.type, torch.bfloat16):
            logits = network(pictures)
        optimiser.zero_grad()
        loss(logits.float(), target).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
        advance()
    return network.cpu().eval()


def _keep(
    kept: Path, step: int, network: nn.Module, optimiser: Optimizer, schedule: LRScheduler, patches: _Patches
) -> None:
    states = [part.state_dict() for part in (network, optimiser, schedule)]
    with replacing(kept) as partial:
        torch.save({"step": step, "states": states, "patches": json.dumps(patches.rng.bit_generator.state)}, partial)


def _restored(
    kept: Path | None, network: nn.Module, optimiser: Optimizer, schedule: LRScheduler, patches: _Patches
) -> int:
    """Go on from where a training was stopped; give the number of steps that are done."""
    if kept is None or not kept.is_file():
        return 0
    found = torch.load(kept, weights_only=True)
    of_network, of_optimiser, of_schedule = found["states"]
    network.load_state_dict(of_network)
    optimiser.load_state_dict(of_optimiser)
    schedule.load_state_dict(of_schedule)
    patches.rng.bit_generator.state = json.loads(found["patches"])
    return int(found["step"])


def _restained(densities: Floats, stain: RandomStain) -> Floats:
    return np.asarray(np.maximum(densities @ stain.mixing, 0) + stain.white)


def _as_batch(pictures: Floats) -> Tensor:
    """Pictures (n, h, w, 3) as a network takes them, (n, 3, h, w) with channels last in memory."""
    return torch.from_numpy(pictures).permute(0, 3, 1, 2)


def _countable(region: Region, points_um: Floats) -> NDArray[np.bool_]:
    """Whether points lie in tumour or stroma."""
    rows, columns = (points_um / MAP_UM).astype(np.intp).T
    height, width = region.labels.shape
    labels = region.labels[rows.clip(0, height - 1), columns.clip(0, width - 1)]
    return np.asarray(np.isin(labels, [TissueLabel.TUMOUR, *STROMA.values()]))


def _nth_highest(probabilities: Floats, count: int) -> float:
    """Threshold that so many reach; 0.5 where there is nothing to choose it on."""
    if not count or not len(probabilities):
        return 0.5
    return round(float(np.sort(probabilities)[::-1][min(count, len(probabilities)) - 1]), 4)
