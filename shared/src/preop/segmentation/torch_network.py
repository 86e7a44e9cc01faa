"""nnU-Net v2 networks by torch: the labels of ``nnUNetv2_predict``, without its workers and its waiting.

Network, normalisation and tiles are nnunetv2's own. Replaced is what costs time and memory there: worker processes that
import everything again, resampling point by point, and a resampled score of every class in memory at once.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preop.errors import InvalidModelError
from preop.imaging import Image
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
from preop.segmentation.network import Device, Network, Progress
from preop.segmentation.preparation import PREPROCESSOR, READERS, PreparedScan, normalise_by_plans, prepare
from preop.segmentation.resampling import resample_scan, resample_scores
from preop.segmentation.tiles import count_tiles, predict_scores

_SLAB_VOXELS = 2**19


@dataclass(frozen=True, eq=False)
class TorchNetwork(Network):
    """A network that torch runs.

    Attributes
    ----------
    device
        ``cpu`` or ``cuda``.
    plans, configuration
        nnU-Net's ``PlansManager`` and ``ConfigurationManager``.
    heads
        The outputs of the network that can win at all: the others are not computed.
    module
        The network of the first fold.
    """

    device: Any
    plans: Any
    configuration: Any
    heads: tuple[int, ...]
    module: Any
    _labels: Any
    _weights: Sequence[Mapping[str, Any]]

    @property
    def reader(self) -> str:
        """nnU-Net's class that reads its scans, which decides how they lie in memory."""
        return str(self.plans.plans["image_reader_writer"])

    @property
    def has_regions(self) -> bool:
        """Whether its outputs are regions that lie in each other, instead of classes."""
        return bool(self._labels.has_regions)

    @property
    def _back(self) -> Sequence[int]:
        return list(self.plans.transpose_backward)

    def _maps(
        self,
        images: Sequence[Image],
        names: tuple[str, ...],
        *,
        mirroring: bool,
        step: float,
        progress: Progress | None,
    ) -> tuple[PreparedScan, list[NDArray[Any]]]:
        import torch

        with _threads(self.threads):
            scan = prepare(
                images,
                order=self.plans.transpose_forward,
                spacing_mm=self.configuration.spacing,
                normalise=lambda data, not_zero: normalise_by_plans(data, not_zero, self.plans, self.configuration),
                resample=lambda data, *grids: resample_scan(
                    torch.from_numpy(data).to(self.device), *grids, self.configuration
                ),
            )
            scores = self._scores(scan.data, mirroring=mirroring, step=step, progress=progress)
            with torch.inference_mode():
                try:
                    maps = self._resampled(scan, scores, names)
                except torch.cuda.OutOfMemoryError:
                    maps = self._resampled(scan, scores.cpu(), names)
        return scan, [_in_fewest_bytes(each.cpu().numpy()) for each in maps]

    def _scores(self, scan: Any, *, mirroring: bool, step: float, progress: Progress | None) -> Any:
        """Score of each class on the network's grid, float16, the mean over the folds."""
        axes = self.folder.mirrored_axes if mirroring else ()
        patch = self.configuration.patch_size
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
                self.module.load_state_dict(weights)
            of_fold = predict_scores(
                self.module,
                scan,
                patch,
                len(self.heads),
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
            return self._values(
                lambda head: resample_scores(
                    scores[head], shape, scan.network_spacing, scan.spacing, self.configuration
                ),
                names,
            )
        # Nothing to resample: a few slices of all classes stay in the cache.
        parts = scores.split(max(1, _SLAB_VOXELS // scores[0, 0].numel()), dim=1)
        maps = [self._values(_of_part(part), names) for part in parts]
        return [torch.cat(slabs) for slabs in zip(*maps, strict=True)]

    def _values(self, score: Callable[[int], Any], names: tuple[str, ...]) -> list[Any]:
        if self.has_regions:
            return _regions(score, self._labels, self.labels, names)
        values = [self.labels[name] for name in names]
        return _classes(score, self.heads, values)


def load_torch_network(
    folder: Path, folds: Sequence[int | str] | None, device: Device, threads: int | None
) -> TorchNetwork:
    """Load a network from its weights; parameters and errors are those of :func:`preop.segmentation.load_network`."""
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
    return TorchNetwork(
        content, threads, place, plans, configuration, tuple(heads), module.to(place).eval(), labels, weights
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


def _in_fewest_bytes(labels: NDArray[Any]) -> NDArray[Any]:
    """Labels as uint8 where they fit; probabilities as they are."""
    if labels.dtype.kind != "i":
        return labels
    return labels.astype(np.uint8 if labels.max(initial=0) < 255 else np.uint16)
