"""nnU-Net v2 networks in this process: the labels of ``nnUNetv2_predict``, without its workers and its waiting.

Network, normalisation and tiles are nnunetv2's own. Replaced is what costs time and memory there: worker processes that
import everything again, resampling point by point, and a resampled score of every class in memory at once.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from preop.errors import InvalidInputError, InvalidModelError
from preop.imaging import Image, reorient_like
from preop.repeatable import one_thread
from preop.segmentation.model_folder import (
    PLANS_FILE,
    ModelFolder,
    builds_its_own_network,
    check_architecture,
    heads_taken,
    heard_heads,
    read_model_folder,
)
from preop.segmentation.preparation import PREPROCESSOR, READERS, PreparedScan, in_file_order, prepare
from preop.segmentation.resampling import resample_scores
from preop.segmentation.tiles import count_tiles, predict_scores

Device = Literal["auto", "cpu", "cuda"]
Progress = Callable[[int, int], None]
"""Called with the number of tiles done and the number of all."""

_SLAB_VOXELS = 2**19


@dataclass(frozen=True, eq=False)
class Network:
    """A trained segmentation network, ready for scans; made by :func:`load_network`.

    Attributes
    ----------
    folder
        What was read and checked: plans, data set, folds and the checksum of each file.
    device
        ``cpu`` or ``cuda``.
    threads
        Number of CPU threads; all that torch takes by default if None.
    _heads
        The outputs of the network that can win at all: the others are not computed.
    """

    folder: ModelFolder
    device: Any
    threads: int | None
    _module: Any
    _plans: Any
    _configuration: Any
    _labels: Any
    _heads: tuple[int, ...]
    _weights: Sequence[Mapping[str, Any]]

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the scans it takes, in order."""
        dataset = self.folder.dataset
        names = dataset["modality"] if "modality" in dataset else dataset["channel_names"]
        return tuple(names[key] for key in sorted(names, key=int))

    @property
    def labels(self) -> dict[str, int | tuple[int, ...]]:
        """Value of each label by its name; several values of a region that holds them all."""
        labels = self.folder.dataset["labels"].items()
        return {name: tuple(value) if isinstance(value, list) else value for name, value in labels}

    @property
    def checksums(self) -> Mapping[str, str]:
        """SHA-256 of each file it was read from, for the record of where a result comes from."""
        return self.folder.checksums

    def segment(
        self,
        images: Image | Sequence[Image],
        *,
        mirroring: bool = True,
        step: float = 0.5,
        progress: Progress | None = None,
    ) -> Image:
        """Segment a scan.

        Parameters
        ----------
        images
            One image a channel, all on one grid, in the order of :attr:`channels`.
        mirroring
            Average over the mirrorings that the network has learned, as nnU-Net does unless told otherwise: up to eight
            times the work.
        step
            Distance of the tiles as a fraction of their size; nnU-Net's is 0.5.
        progress
            Called after each tile.

        Returns
        -------
        Label map (uint8, or uint16 from 255 labels) on the grid of the scan.

        Raises
        ------
        InvalidInputError
            If the number of images is not that of the channels, their grids differ, or all voxels are 0.
        """
        return self._segment(images, (), mirroring=mirroring, step=step, progress=progress)[0]

    def segment_with_probabilities(
        self,
        images: Image | Sequence[Image],
        names: Sequence[str],
        *,
        mirroring: bool = True,
        step: float = 0.5,
        progress: Progress | None = None,
    ) -> tuple[Image, dict[str, Image]]:
        """Segment a scan, and give the probability (float32) of some labels in each voxel too.

        Parameters and errors are those of :meth:`segment`; ``names`` are of :attr:`labels`.
        """
        unknown = [name for name in names if name not in self.labels]
        if unknown:
            raise InvalidInputError(
                f"The network has no label {unknown[0]!r}; expected one of {', '.join(map(repr, self.labels))}."
            )
        return self._segment(images, tuple(names), mirroring=mirroring, step=step, progress=progress)

    def _segment(
        self,
        images: Image | Sequence[Image],
        names: tuple[str, ...],
        *,
        mirroring: bool,
        step: float,
        progress: Progress | None,
    ) -> tuple[Image, dict[str, Image]]:
        import torch

        given = [images] if isinstance(images, Image) else list(images)
        self._check(given)
        turned = in_file_order(given, self._plans.plans["image_reader_writer"])
        with _threads(self.threads):
            scan = prepare(turned, self._plans, self._configuration, self.device)
            scores = self._scores(scan.data, mirroring=mirroring, step=step, progress=progress)
            with torch.inference_mode():
                try:
                    maps = self._resampled(scan, scores, names)
                except torch.cuda.OutOfMemoryError:
                    maps = self._resampled(scan, scores.cpu(), names)
        on_grid = [
            reorient_like(turned[0].with_voxels(_uncropped(each, scan, self._plans, outside)), given[0].geometry)
            for each, outside in zip(maps, (0, *(float(self.labels[name] == 0) for name in names)), strict=True)
        ]
        # The very grid of the scan, without rounding of its numbers by turning there and back.
        labels, *probabilities = (given[0].with_voxels(image.voxels) for image in on_grid)
        return labels, dict(zip(names, probabilities, strict=True))

    def _check(self, images: Sequence[Image]) -> None:
        if len(images) != len(self.channels):
            raise InvalidInputError(
                f"The segmentation network takes {len(self.channels)} scans ({', '.join(self.channels)}); "
                f"found {len(images)}."
            )
        if len(images[0].shape) != 3:
            raise InvalidInputError("The segmentation network takes scans of three dimensions; found a flat image.")
        for name, image in zip(self.channels[1:], images[1:], strict=True):
            difference = images[0].geometry.difference(image.geometry)
            if difference:
                raise InvalidInputError(
                    f"{name} lies on another grid than {self.channels[0]} ({difference}): resample one to the other."
                )

    def _scores(self, scan: Any, *, mirroring: bool, step: float, progress: Progress | None) -> Any:
        """Score of each class on the network's grid, float16, the mean over the folds."""
        axes = self.folder.mirrored_axes if mirroring else ()
        patch = self._configuration.patch_size
        folds = self._weights
        finished, total = 0, count_tiles(scan.shape[1:], patch, step) * len(folds)

        def done() -> None:
            nonlocal finished
            finished += 1
            if progress is not None:
                progress(finished, total)

        scores: Any = None
        for weights in folds:
            if len(folds) > 1:
                self._module.load_state_dict(weights)
            of_fold = predict_scores(
                self._module,
                scan,
                patch,
                len(self._heads),
                device=self.device,
                mirrored_axes=axes,
                step=step,
                done=done,
            )
            scores = of_fold if scores is None else scores.to(of_fold.device).add_(of_fold)
        return scores if len(folds) == 1 else scores.div_(len(folds))

    def _resampled(self, scan: PreparedScan, scores: Any, names: tuple[str, ...]) -> list[Any]:
        """Labels, and probabilities of some of them, on the cropped grid of the scan, one class at a time."""
        import torch

        shape = tuple(part.stop - part.start for part in scan.box)
        if tuple(scores.shape[1:]) != shape:
            return self._maps(
                lambda head: resample_scores(
                    scores[head], shape, scan.network_spacing, scan.spacing, self._configuration
                ),
                names,
            )
        # Nothing to resample: a few slices of all classes stay in the cache.
        parts = scores.split(max(1, _SLAB_VOXELS // scores[0, 0].numel()), dim=1)
        maps = [self._maps(_of_part(part), names) for part in parts]
        return [torch.cat(slabs) for slabs in zip(*maps, strict=True)]

    def _maps(self, score: Callable[[int], Any], names: tuple[str, ...]) -> list[Any]:
        if self._labels.has_regions:
            return _regions(score, self._labels, self.labels, names)
        values = [self.labels[name] for name in names]
        return _classes(score, self._heads, values)


def load_network(
    folder: Path, *, folds: Sequence[int | str] | None = None, device: Device = "auto", threads: int | None = None
) -> Network:
    """Load a network that nnU-Net v2 has trained, after checking that its files are what they should be.

    Parameters
    ----------
    folder
        Holds ``plans.json``, ``dataset.json`` and ``fold_<n>/checkpoint_final.pth``.
    folds
        Which to average over; all that are there if not given.
    device
        ``auto`` takes a CUDA device where there is one.
    threads
        Number of CPU threads while it segments.

    Raises
    ------
    InvalidModelError
        If a file is missing or damaged, a checkpoint holds anything but weights and settings, or this kind of network
        is not supported (cascades, file formats other than scans).
    """
    import torch

    content = read_model_folder(folder, folds)
    with contextlib.redirect_stdout(io.StringIO()):
        from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

        plans = PlansManager(content.plans)
        try:
            configuration = plans.get_configuration(content.configuration)
            labels = plans.get_label_manager(content.dataset)
            _check_support(folder, plans, configuration)
            heads, weights = _heard(content, labels)
            module = _build(content, plans, configuration, len(heads))
        except (KeyError, TypeError, ValueError, AssertionError, ImportError, RuntimeError) as error:
            raise InvalidModelError(
                f"The network of {folder} cannot be built from {PLANS_FILE}: {_first_line(error)}."
            ) from error
    try:
        module.load_state_dict(weights[0])
    except RuntimeError as error:
        raise InvalidModelError(
            f"The weights in {folder} do not fit the network that {PLANS_FILE} describes: the files belong to different "
            "networks."
        ) from error
    place = torch.device("cuda" if device == "auto" and torch.cuda.is_available() else device.replace("auto", "cpu"))
    return Network(
        content, place, threads, module.to(place).eval(), plans, configuration, labels, tuple(heads), weights
    )


def _heard(content: ModelFolder, labels: Any) -> tuple[list[int], list[Mapping[str, Any]]]:
    """Leave out the outputs that never win, which small networks in a larger network's place have many of."""
    all_heads = list(range(labels.num_segmentation_heads))
    heard = [heard_heads(weights) for weights in content.weights]
    if labels.has_regions or builds_its_own_network(content.trainer) or heard != [heard[0]] * len(heard):
        return all_heads, list(content.weights)
    if not heard[0] or len(heard[0]) == len(all_heads):
        return all_heads, list(content.weights)
    return heard[0], [heads_taken(weights, heard[0]) for weights in content.weights]


def _build(content: ModelFolder, plans: Any, configuration: Any, heads: int) -> Any:
    from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
    from nnunetv2.utilities.label_handling.label_handling import determine_num_input_channels

    # Plans may inherit parts of a configuration: what is built is checked, and not only what stands in the file.
    check_architecture(
        content.path,
        {
            "network_class_name": configuration.network_arch_class_name,
            "arch_kwargs": configuration.network_arch_init_kwargs,
            "_kw_requires_import": configuration.network_arch_init_kwargs_req_import,
        },
    )
    channels = determine_num_input_channels(plans, configuration, content.dataset)
    if builds_its_own_network(content.trainer):
        from nnunetv2.utilities.find_objects import recursive_find_trainer_class_by_name

        trainer = recursive_find_trainer_class_by_name(content.trainer)
        return trainer.build_network_architecture(plans, configuration, channels, heads, enable_deep_supervision=False)
    return get_network_from_plans(
        configuration.network_arch_class_name,
        configuration.network_arch_init_kwargs,
        configuration.network_arch_init_kwargs_req_import,
        channels,
        heads,
        allow_init=False,
        deep_supervision=False,
    )


def _check_support(folder: Path, plans: Any, configuration: Any) -> None:
    reader = plans.plans["image_reader_writer"]
    if configuration.previous_stage_name is not None:
        raise InvalidModelError(
            f"The network of {folder} is the second stage of a cascade, which is not supported: use the full resolution "
            "network of the same training."
        )
    if reader not in READERS:
        raise InvalidModelError(f"The network of {folder} reads {reader}; expected one of {', '.join(READERS)}.")
    if configuration.preprocessor_name != PREPROCESSOR:
        raise InvalidModelError(
            f"The network of {folder} prepares scans by {configuration.preprocessor_name}; expected {PREPROCESSOR}."
        )


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")


@contextlib.contextmanager
def _threads(count: int | None) -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _of_part(scores: Any) -> Callable[[int], Any]:
    return lambda head: scores[head].float()


def _classes(score: Callable[[int], Any], heads: Sequence[int], wanted: Sequence[Any]) -> list[Any]:
    """Class of the highest score, the first of equal ones, and the softmax of the ``wanted`` classes.

    ``score`` is called with the position of a class in ``heads``; a class that is not there has probability 0.
    """
    import torch

    best = score(0)
    labels = torch.full_like(best, heads[0], dtype=torch.uint8 if max(heads) < 256 else torch.int32)
    total = best.clone() if wanted else None
    for position, head in enumerate(heads[1:], 1):
        candidate = score(position)
        labels.masked_fill_(candidate > best, head)
        torch.maximum(best, candidate, out=best)
        if total is not None:
            with one_thread():  # the last bit of an exponential depends on where the part of a thread ends
                torch.logaddexp(total, candidate, out=total)
    maps = [score(heads.index(head)) - total if head in heads else torch.full_like(best, -torch.inf) for head in wanted]
    with one_thread():
        return [labels, *(each.exp_() for each in maps)]


def _regions(score: Callable[[int], Any], manager: Any, values: Mapping[str, Any], names: Sequence[str]) -> list[Any]:
    """Regions of a probability above one half, written one over the other in the order that the network was trained for."""
    import torch

    labels = None
    for head, value in enumerate(manager.regions_class_order):
        inside = torch.sigmoid(score(head)) > 0.5
        if labels is None:
            labels = torch.zeros(inside.shape, dtype=torch.int32, device=inside.device)
        labels.masked_fill_(inside, value)
    heads = [manager.foreground_regions.index(values[name]) for name in names]
    return [labels, *(torch.sigmoid(score(head)) for head in heads)]


def _uncropped(voxels: Any, scan: PreparedScan, plans: Any, outside: float) -> Any:
    """Put a map back into the whole scan and its order of axes."""
    array = voxels.cpu().numpy()
    if array.dtype.kind == "i":
        array = array.astype(np.uint8 if array.max(initial=0) < 255 else np.uint16)
    whole = np.full(scan.whole_shape, outside, dtype=array.dtype)
    whole[scan.box] = array
    return whole.transpose(plans.transpose_backward)
