"""nnU-Net v2 networks in their portable form: the same labels as by torch, from ONNX Runtime and numpy.

A fold in this form is a file ``fold_<n>/network.onnx`` beside, or in place of, its checkpoint. It holds the network, without
outputs that never win, and what is to be known of its plans (:class:`Recipe`). :func:`write_portable` makes it from the
weights. Networks of slices and of regions, and such as prepare scans in rarer ways, have no portable form.

The arithmetic is that of ``torch_network.py``: sums of tiles are rounded to float16 after each, and resampled scores too.
What remains is that convolutions add in another order, so that a voxel where two classes are level may go either way.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from preop.atomic import write_bytes
from preop.errors import InvalidModelError
from preop.folders import sha256
from preop.imaging import Image
from preop.portable import PortableNetwork, read_portable, to_portable
from preop.repeatable import one_algebra_thread
from preop.segmentation.model_folder import CHECKPOINT_FILE, DATASET_FILE, PLANS_FILE, ModelFolder, read_descriptions
from preop.segmentation.network import Network, Progress
from preop.segmentation.preparation import READERS, PreparedScan, prepare
from preop.segmentation.resampling import SKIMAGE, interpolation_matrix, orders_of
from preop.segmentation.tiles import Tile, count_tiles, lifted, mirrorings, tiles_of, weight_of_voxels
from preop.toml import first_validation_error

if TYPE_CHECKING:
    from preop.segmentation.torch_network import TorchNetwork

PORTABLE_FILE = "network.onnx"
COMMAND = "preop register --portable"

_LINEAR = "resample_torch_fornnunet"
_OF_SEGMENTATIONS = {"is_seg", "memefficient_seg_resampling"}
_LARGEST_FLOAT16 = 65504
_SLAB_VOXELS = 2**19  # of all classes, that stay in the cache
_VALUES_AT_ONCE = 2**16  # with what is computed from them, they stay in the cache
_LINES_AT_ONCE = 2**16

Floats = NDArray[np.float32]
Scheme = Literal["CTNormalization", "ZScoreNormalization", "NoNormalization"]
"""nnU-Net's names of what can be done here."""
SCHEMES = frozenset(get_args(Scheme))


class Intensities(BaseModel):
    """How one channel is normalised; what a scheme does not ask for is 0."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    scheme: Scheme
    mean: FiniteFloat = 0.0
    spread: FiniteFloat = 0.0
    low: FiniteFloat = 0.0
    high: FiniteFloat = 0.0


class Resampling(BaseModel):
    """Resampling by splines, in the terms of nnU-Net's functions; ``rounded`` to float16 where they do that to scores."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rounded: bool
    order: int = Field(3, ge=0, le=5)
    order_z: int = Field(0, ge=0, le=5)
    force_separate_z: bool | None = False
    separate_z_anisotropy_threshold: FiniteFloat = Field(3.0, gt=0)


class Recipe(BaseModel):
    """What is to be known of a network beside its weights and its data set.

    Attributes
    ----------
    weights_sha256
        Of the checkpoint that the network was made from.
    configuration, trainer, mirrored_axes
        As in :class:`ModelFolder`.
    heads
        Which outputs of the checkpoint are there.
    patch, spacing_mm
        Size of a tile, and voxel spacing, in the network's order of axes.
    forward, back
        Axes of the images in the network's order, and the other way round.
    reader
        nnU-Net's class that reads scans.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    weights_sha256: str
    configuration: str
    trainer: str
    mirrored_axes: tuple[Literal[0, 1, 2], ...]
    heads: tuple[int, ...] = Field(min_length=1)
    patch: tuple[int, int, int]
    spacing_mm: tuple[FiniteFloat, FiniteFloat, FiniteFloat]
    forward: tuple[Literal[0, 1, 2], Literal[0, 1, 2], Literal[0, 1, 2]]
    back: tuple[Literal[0, 1, 2], Literal[0, 1, 2], Literal[0, 1, 2]]
    reader: str
    intensities: tuple[Intensities, ...]
    of_scans: Resampling
    of_scores: Resampling


@dataclass(frozen=True, eq=False)
class PortableSegmentation(Network):
    """A network that ONNX Runtime runs; made by :func:`load_portable_network`."""

    recipe: Recipe
    by_fold: tuple[PortableNetwork, ...]

    @property
    def reader(self) -> str:
        """nnU-Net's class that reads its scans, which decides how they lie in memory."""
        return self.recipe.reader

    @property
    def _back(self) -> Sequence[int]:
        return self.recipe.back

    def _maps(
        self,
        images: Sequence[Image],
        names: tuple[str, ...],
        *,
        mirroring: bool,
        step: float,
        progress: Progress | None,
    ) -> tuple[PreparedScan, list[NDArray[Any]]]:
        with one_algebra_thread():
            scan = prepare(
                images,
                order=self.recipe.forward,
                spacing_mm=self.recipe.spacing_mm,
                normalise=self._normalise,
                resample=self._resample,
            )
            by_fold = self._scores(scan.data, mirroring=mirroring, step=step, progress=progress)
            return scan, self._on_scan(scan, by_fold, [self.labels[name] for name in names])

    def _normalise(self, data: Floats, _not_zero: NDArray[np.bool_]) -> None:
        for number, channel in enumerate(self.recipe.intensities):
            if channel.scheme == "NoNormalization":
                continue
            if channel.scheme == "CTNormalization":
                np.clip(data[number], channel.low, channel.high, out=data[number])
                mean, spread = channel.mean, channel.spread
            else:
                mean, spread = data[number].mean(), data[number].std()
            data[number] -= mean
            data[number] /= max(spread, 1e-8)

    def _resample(
        self, data: Floats, shape: Sequence[int], spacing: Sequence[float], new_spacing: Sequence[float]
    ) -> Floats:
        if tuple(data.shape[1:]) == tuple(shape):
            return data
        orders, thick = orders_of(self.recipe.of_scans.model_dump(), spacing, new_spacing)
        return np.stack([_resampled(channel, shape, orders, thick) for channel in data])

    def _scores(
        self, scan: Floats, *, mirroring: bool, step: float, progress: Progress | None
    ) -> Iterator[Iterator[Floats]]:
        """Scores of each fold, by :func:`_scores_of_slices`."""
        axes = self.recipe.mirrored_axes if mirroring else ()
        finished, total = 0, count_tiles(scan.shape[1:], self.recipe.patch, step) * len(self.by_fold)

        def done() -> None:
            nonlocal finished
            finished += 1
            if progress is not None:
                progress(finished, total)

        for fold in self.by_fold:
            yield _scores_of_slices(fold, scan, self.recipe, mirrorings(axes), step, done)

    def _on_scan(
        self, scan: PreparedScan, by_fold: Iterator[Iterator[Floats]], wanted: Sequence[Any]
    ) -> list[NDArray[Any]]:
        """Labels, and probabilities of the ``wanted`` ones, on the cropped grid of the scan, one class at a time."""
        heads = self.recipe.heads
        shape = tuple(part.stop - part.start for part in scan.box)
        resampled = scan.data.shape[1:] != shape
        if len(self.by_fold) == 1 and not resampled:  # nothing but a few slices of all classes is kept
            return _together(_classes(slices.__getitem__, heads, wanted) for slices in next(by_fold))
        scores = self._mean_scores(scan.data.shape[1:], by_fold)
        if resampled:
            settings = self.recipe.of_scores
            orders, thick = orders_of(settings.model_dump(), scan.network_spacing, scan.spacing)

            def score(head: int) -> Floats:
                on_scan = _resampled(scores[head], shape, orders, thick)
                return _in_steps_of_float16(on_scan) if settings.rounded else on_scan

            return _classes(score, heads, wanted)
        slices = max(1, _SLAB_VOXELS // scores[0, 0].size)
        return _together(
            _classes(scores[:, start : start + slices].__getitem__, heads, wanted)
            for start in range(0, shape[0], slices)
        )

    def _mean_scores(self, shape: Sequence[int], by_fold: Iterator[Iterator[Floats]]) -> Floats:
        """Score of each class on the network's grid, of numbers that float16 has: the mean over the folds."""
        scores = np.empty((len(self.recipe.heads), *shape), np.float32)
        for number, of_fold in enumerate(by_fold):
            start = 0
            for slices in of_fold:
                here = scores[:, start : start + slices.shape[1]]
                here[:] = slices if number == 0 else _in_steps_of_float16(here + slices)
                start += slices.shape[1]
        folds = len(self.by_fold)
        return scores if folds == 1 else _in_steps_of_float16(scores / np.float32(folds))


def holds_portable(folder: Path, folds: Sequence[int | str] | None = None) -> bool:
    """Whether a folder holds these folds, or all that it has, in their portable form."""
    files = _files(folder, folds)
    return bool(files) and all(file.is_file() for file in files.values())


def load_portable_network(folder: Path, folds: Sequence[int | str] | None, threads: int | None) -> PortableSegmentation:
    """Load a network in its portable form; parameters are those of :func:`preop.segmentation.load_network`.

    Raises
    ------
    InvalidModelError
        If a file is missing or damaged, folds do not belong together, or the form was made from other weights than those
        that lie beside it.
    """
    plans, dataset = read_descriptions(folder)
    files = _files(folder, folds)
    networks = tuple(read_portable(file, threads=threads) for file in files.values())
    recipes = [_recipe(network) for network in networks]
    first = recipes[0]
    if any(each.model_copy(update={"weights_sha256": first.weights_sha256}) != first for each in recipes):
        raise InvalidModelError(
            f"The folds of {folder} were trained with different settings: use the folds of one run."
        )
    checksums = {name: sha256(folder / name) for name in (PLANS_FILE, DATASET_FILE)}
    for file, recipe in zip(files.values(), recipes, strict=True):
        checkpoint = file.with_name(CHECKPOINT_FILE)
        if checkpoint.is_file() and sha256(checkpoint) != recipe.weights_sha256:
            raise InvalidModelError(
                f"{file} was not made from {checkpoint.name} beside it: remove it, and the weights run by torch; or write it "
                f"anew by {COMMAND}."
            )
        checksums[str(checkpoint.relative_to(folder))] = recipe.weights_sha256
    labels = dataset["labels"]
    if not isinstance(labels, dict) or max(first.heads) >= len(labels):
        raise InvalidModelError(
            f"{DATASET_FILE} of the segmentation network in {folder} names {len(labels)} labels, and the network gives more: "
            "it is another network's."
        )
    content = ModelFolder(
        path=folder,
        folds=tuple(files),
        plans=plans,
        dataset=dataset,
        configuration=first.configuration,
        trainer=first.trainer,
        mirrored_axes=first.mirrored_axes,
        weights=(),
        checksums=checksums,
    )
    return PortableSegmentation(content, threads, first, networks)


def write_portable(folder: Path) -> list[Path]:
    """Write the portable form of each fold of a network beside its weights, after comparing both.

    Returns
    -------
    The files; none where this kind of network has no portable form.

    Raises
    ------
    InvalidModelError
        As by :func:`preop.segmentation.load_network`, or if both forms differ.
    """
    import torch

    from preop.segmentation.torch_network import load_torch_network

    found = []
    for name in sorted(path.parent.name.removeprefix("fold_") for path in folder.glob(f"fold_*/{CHECKPOINT_FILE}")):
        network = load_torch_network(folder, [name], "cpu", None)
        file = folder / f"fold_{name}" / PORTABLE_FILE
        recipe = _recipe_of(network, sha256(file.with_name(CHECKPOINT_FILE)))
        if recipe is None:
            return []
        tile = torch.randn(1, len(recipe.intensities), *recipe.patch, generator=torch.Generator().manual_seed(0))
        write_bytes(file, to_portable(network.module, {"scan": tile}, ["scores"], facts=recipe.model_dump(mode="json")))
        found.append(file)
    return found


def _files(folder: Path, folds: Sequence[int | str] | None) -> dict[str, Path]:
    """File of each fold by its name; ``fold_all`` only where it is alone, as nnU-Net does."""
    if folds is None:
        there = {
            path.parent.name for name in (CHECKPOINT_FILE, PORTABLE_FILE) for path in folder.glob(f"fold_*/{name}")
        }
        names = sorted(name.removeprefix("fold_") for name in there)
        folds = [name for name in names if name != "all"] or names
    return {str(fold): folder / f"fold_{fold}" / PORTABLE_FILE for fold in folds}


def _recipe(network: PortableNetwork) -> Recipe:
    try:
        recipe = Recipe.model_validate(network.facts)
    except ValidationError as error:
        raise InvalidModelError(f"The network {network.path} is damaged: {first_validation_error(error)}.") from None
    if recipe.reader not in READERS or sorted(recipe.forward) != [0, 1, 2] or sorted(recipe.back) != [0, 1, 2]:
        raise InvalidModelError(f"The network {network.path} is damaged: how it reads scans is not known.")
    return recipe


def _recipe_of(network: TorchNetwork, weights_sha256: str) -> Recipe | None:
    """Take the recipe of a network from its plans; None where it does what is not known here."""
    configuration, plans = network.configuration, network.plans
    settings = configuration.configuration
    of_scans, of_scores = (
        _resampling(settings[f"resampling_fn_{what}"], settings[f"resampling_fn_{what}_kwargs"])
        for what in ("data", "probabilities")
    )
    known = of_scans is not None and of_scores is not None and set(configuration.normalization_schemes) <= SCHEMES
    if not known or len(configuration.patch_size) != 3 or network.has_regions or any(configuration.use_mask_for_norm):
        return None
    properties = plans.foreground_intensity_properties_per_channel
    return Recipe(
        weights_sha256=weights_sha256,
        configuration=network.folder.configuration,
        trainer=network.folder.trainer,
        mirrored_axes=network.folder.mirrored_axes,
        heads=network.heads,
        patch=tuple(configuration.patch_size),
        spacing_mm=tuple(configuration.spacing),
        forward=tuple(plans.transpose_forward),
        back=tuple(plans.transpose_backward),
        reader=network.reader,
        intensities=tuple(
            _intensities(scheme, properties.get(str(channel), {}))
            for channel, scheme in enumerate(configuration.normalization_schemes)
        ),
        of_scans=of_scans,
        of_scores=of_scores,
    )


def _intensities(scheme: Any, properties: Any) -> Intensities:
    if scheme != "CTNormalization":
        return Intensities(scheme=scheme)
    return Intensities(
        scheme=scheme,
        mean=properties["mean"],
        spread=properties["std"],
        low=properties["percentile_00_5"],
        high=properties["percentile_99_5"],
    )


def _resampling(function: str, settings: Mapping[str, Any]) -> Resampling | None:
    """Tell one of nnU-Net's functions with its settings; None if it is another."""
    told = {name: value for name, value in settings.items() if name not in _OF_SEGMENTATIONS}
    if function == SKIMAGE and told.keys() <= Resampling.model_fields.keys():
        return Resampling(rounded=True, **told)
    if function == _LINEAR and told == {"force_separate_z": False}:
        return Resampling(rounded=False, order=1)
    return None


def _scores_of_slices(
    network: PortableNetwork,
    scan: Floats,
    recipe: Recipe,
    flips: Sequence[Sequence[int]],
    step: float,
    done: Callable[[], None],
) -> Iterator[Floats]:
    """Run a network over a scan (channels, z, y, x), as :func:`preop.segmentation.tiles.predict_scores` does by torch.

    Yields
    ------
    Scores (classes, slices, y, x) of the next slices, as soon as no further tile covers them: sums are kept of no more than
    the depth of a tile. They are overwritten afterwards.
    """
    shape = lifted(scan.shape[1:], recipe.patch)
    before = [(size - old) // 2 for size, old in zip(shape, scan.shape[1:], strict=True)]
    inside = tuple(slice(at, at + old) for at, old in zip(before, scan.shape[1:], strict=True))
    padded = np.zeros((len(scan), *shape), np.float32)
    padded[(slice(None), *inside)] = scan
    weight = weight_of_voxels(recipe.patch).astype(np.float32)
    scores = np.zeros((len(recipe.heads), recipe.patch[0], *shape[1:]), np.float32)
    weights = np.zeros(scores.shape[1:], np.float32)
    deep = max(1, _VALUES_AT_ONCE // weight[0].size)
    value = np.empty((deep, *recipe.patch[1:]), np.float32)
    bits = np.empty(value.shape, np.uint32)

    def finished(slices: int, first: int) -> Floats:
        of_scan = slice(max(inside[0].start - first, 0), min(inside[0].stop - first, slices))
        for of_head in scores:
            for some in _pieces(slices, max(1, _VALUES_AT_ONCE // weights[0].size)):
                sums = of_head[some]
                if np.abs(sums).max() > _LARGEST_FLOAT16:
                    raise InvalidModelError(
                        "The segmentation network gives scores beyond the range of float16: its weights are damaged, or the "
                        "scan is far outside of what it has learned from."
                    )
                sums /= weights[some]
                _in_steps_of_float16(sums)
        return scores[:, of_scan, inside[1], inside[2]]

    first = 0
    for start, tiles in itertools.groupby(tiles_of(shape, recipe.patch, step), key=_first_slice):
        if moved := start - first:
            yield finished(moved, first)
            for sums in (weights, *scores):
                sums[:-moved] = sums[moved:]
                sums[-moved:] = 0
            first = start
        for tile in tiles:
            found = _mirrored(network, padded[tile][None], flips)
            if found.shape != (len(recipe.heads), *recipe.patch):
                raise InvalidModelError(
                    f"The network {network.path} gives scores of the shape {found.shape}; expected "
                    f"{(len(recipe.heads), *recipe.patch)}."
                )
            place = (slice(None), *tile[2:])
            for of_head, sums in zip(found, scores, strict=True):
                for some in _pieces(recipe.patch[0], deep):
                    here = sums[(some, *tile[2:])]
                    new, memory = value[: len(here)], bits[: len(here)]
                    np.multiply(of_head[some], weight[some], out=new)
                    np.add(new, here, out=new)
                    here[:] = _in_steps_of_float16(new, memory)
            weights[place] = _in_steps_of_float16(weights[place] + weight)
            done()
    yield finished(recipe.patch[0], first)


def _first_slice(tile: Tile) -> int:
    depth = tile[1]
    assert isinstance(depth, slice)  # noqa: S101 - a portable network is of three dimensions
    return int(depth.start)


def _pieces(length: int, size: int) -> Iterator[slice]:
    return (slice(start, min(start + size, length)) for start in range(0, length, size))


def _together(parts: Iterable[list[NDArray[Any]]]) -> list[NDArray[Any]]:
    """Lay the maps of some slices behind one another."""
    return [np.concatenate(maps) for maps in zip(*parts, strict=True)]


def _mirrored(network: PortableNetwork, tile: Floats, flips: Sequence[Sequence[int]]) -> Floats:
    scores: Floats = network(tile)[0][0]
    for axes in flips:
        turned = network(np.ascontiguousarray(np.flip(tile, tuple(axes))))[0]
        scores = scores + np.flip(turned, tuple(axes))[0]
    return scores / np.float32(len(flips) + 1) if flips else scores


def _in_steps_of_float16(values: Floats, bits: NDArray[np.uint32] | None = None) -> Floats:
    """Round in place to the nearest number with the 11 significant bits of float16, to the even one of two.

    Several times faster than to float16 and back, which processors do in hardware and numpy does not. Below 6e-5, where the
    steps of float16 stop getting smaller, these go on. ``bits`` is memory of the same shape, for what is called often.
    """
    whole = values.view(np.uint32)
    half = np.right_shift(whole, np.uint32(13), out=bits)
    half &= np.uint32(1)
    half += np.uint32(0xFFF)
    whole += half
    whole &= np.uint32(0xFFFFE000)
    return values


def _classes(score: Callable[[int], Floats], heads: Sequence[int], wanted: Sequence[Any]) -> list[NDArray[Any]]:
    """Class of the highest score, the first of equal ones, and the softmax of the ``wanted`` classes.

    ``score`` is called with the position of a class in ``heads``; a class that is not there has probability 0.
    """
    best = np.array(score(0))
    labels = np.full(best.shape, heads[0], dtype=np.uint8 if max(heads) < 255 else np.uint16)
    total = best.copy() if wanted else None
    for position, head in enumerate(heads[1:], 1):
        candidate = score(position)
        labels[candidate > best] = head
        np.maximum(best, candidate, out=best)
        if total is not None:
            np.logaddexp(total, candidate, out=total)
    if total is None:
        return [labels]
    probabilities = [
        np.exp(score(heads.index(head)) - total) if head in heads else np.zeros_like(best) for head in wanted
    ]
    return [labels, *probabilities]


def _resampled(volume: Floats, shape: Sequence[int], orders: tuple[int, int, int], thick: int | None) -> Floats:
    """Resample (z, y, x), first inside slices, then between them; a spline does not leave the range of its input."""
    axis = thick or 0
    slices = np.moveaxis(volume, axis, 0)
    inside = [each for each in range(3) if each != axis]
    rows, columns = (interpolation_matrix(volume.shape[each], shape[each], orders[each]) for each in inside)
    turned = np.empty((len(slices), len(rows), len(columns)), np.float32)
    for number, slice_ in enumerate(slices):
        result = rows @ slice_.astype(np.float64) @ columns.T
        if thick is not None:
            np.clip(result, slice_.min(), slice_.max(), out=result)
        turned[number] = result
    if volume.shape[axis] != shape[axis]:
        turned = _along_first(interpolation_matrix(volume.shape[axis], shape[axis], orders[axis]), turned)
    if thick is None:
        np.clip(turned, volume.min(), volume.max(), out=turned)
    return np.ascontiguousarray(np.moveaxis(turned, 0, axis))


def _along_first(matrix: NDArray[np.float64], volume: Floats) -> Floats:
    """Multiply along the first axis, a bounded part of the others at a time."""
    flat = volume.reshape(len(volume), -1)
    result = np.empty((len(matrix), flat.shape[1]), np.float32)
    for start in range(0, flat.shape[1], _LINES_AT_ONCE):
        part = slice(start, start + _LINES_AT_ONCE)
        result[:, part] = matrix @ flat[:, part].astype(np.float64)
    return result.reshape(len(matrix), *volume.shape[1:])
