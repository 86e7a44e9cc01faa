"""Organs on CT by the networks of TotalSegmentator, offline, from weights in a model folder.

Tasks, classes, voxel spacings and folder names are read from the installed package (Wasserthal et al. 2023,
doi 10.1148/ryai.230024; version 2.18). Its own program writes files, starts workers, counts its runs on a server and
fetches what is missing from the internet. Here the same steps run in this process and touch no network: turn to RAS,
resample linearly to whole HU, nnU-Net without mirroring, nearest neighbour back. One step comes before them: the CT is cut
to the patient's body (``preop.segmentation.body``), so that nothing outside of it is called an organ.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from preop.errors import InvalidInputError, InvalidModelError
from preop.imaging import Geometry, Image, bounding_box, crop, reorient, reorient_like
from preop.segmentation.body import find_body
from preop.segmentation.loading import load_network
from preop.segmentation.model_folder import silent_heads_added, write_network
from preop.segmentation.network import Device, Network, Progress
from preop.segmentation.organs import Organs

Task = Literal["total", "lung_vessels", "trunk_cavities", "headneck_bones_vessels", "headneck_muscles"]
Quality = Literal["full", "fast", "fastest"]
"""Voxels of 1.5 mm (five networks), 3 mm or 6 mm; only the task ``total`` has a choice."""

TASKS: tuple[Task, ...] = ("total", "lung_vessels", "trunk_cavities", "headneck_bones_vessels", "headneck_muscles")
PLANS = "nnUNetPlans"

# How far around the organs that a task looks at its crop reaches, and how far apart tiles lie (of their size).
_CROP_MARGIN_MM = 20
_STEP_OF_TOTAL, _STEP = 0.8, 0.5


@dataclass(frozen=True, eq=False)
class OrganNetworks:
    """The networks of a task, ready for CTs; made by :func:`load_organ_networks`.

    Attributes
    ----------
    values
        Value of each wanted class in the result.
    spacing_mm
        Voxel spacing (x, y, z) of the networks.
    step
        Distance of the tiles as a fraction of their size.
    networks
        Each network with the class that each of its labels stands for.
    region
        Networks that find the organs to whose surroundings the CT is cropped first.
    """

    values: Mapping[str, int]
    spacing_mm: tuple[float, float, float]
    step: float
    networks: Sequence[tuple[Network, NDArray[np.uint8]]]
    region: OrganNetworks | None

    @property
    def checksums(self) -> dict[str, str]:
        """SHA-256 of each file that was read, by data set and path."""
        own = {
            f"{network.folder.path.parent.name}/{name}": digest
            for network, _ in self.networks
            for name, digest in network.checksums.items()
        }
        return {**(self.region.checksums if self.region else {}), **own}

    def segment(self, ct: Image, *, progress: Progress | None = None) -> Organs:
        """Segment a CT in HU.

        Parameters
        ----------
        ct
            CT (z, y, x) in any orientation.
        progress
            Called with thousandths done and all of them.

        Returns
        -------
        Label map (uint8) on the grid of the CT; nothing outside of the body has a label.

        Raises
        ------
        InvalidInputError
            If the CT shows no body, is flat, or all its voxels are 0.
        """
        body = find_body(ct)
        found = _labels_of(self, body.only(ct), progress)
        labels = np.zeros(ct.shape, dtype=np.uint8)
        labels[body.box] = np.where(body.mask[body.box], found, 0)
        return Organs(ct.with_voxels(labels), self.values)


def segment_anatomy(
    ct: Image,
    classes: Sequence[str],
    model_folder: Path,
    *,
    task: Task = "total",
    quality: Quality = "fast",
    device: Device = "auto",
    threads: int | None = None,
    progress: Progress | None = None,
) -> Organs:
    """Segment organs on one CT: :func:`load_organ_networks` and :meth:`OrganNetworks.segment` in one call."""
    networks = load_organ_networks(model_folder, classes, task=task, quality=quality, device=device, threads=threads)
    return networks.segment(ct, progress=progress)


def load_organ_networks(
    model_folder: Path,
    classes: Sequence[str],
    *,
    task: Task = "total",
    quality: Quality = "fast",
    device: Device = "auto",
    threads: int | None = None,
) -> OrganNetworks:
    """Load the networks that the wanted classes need, and no others.

    Parameters
    ----------
    model_folder
        Holds TotalSegmentator's own folders, for example
        ``Dataset297_TotalSegmentator_total_3mm_1559subj/nnUNetTrainer_4000epochs_NoMirroring__nnUNetPlans__3d_fullres``.
    classes
        Names of TotalSegmentator's classes of the task.
    task, quality
        Which networks.
    device, threads
        As in :func:`preop.segmentation.load_network`.

    Raises
    ------
    InvalidInputError
        If the task has no such class.
    InvalidModelError
        If weights are missing or not what they should be; the message says which command fetches them.
    """
    from totalsegmentator.map_to_binary import class_map

    values = {name: value for value, name in class_map[task].items()}
    unknown = [name for name in classes if name not in values]
    if unknown or not classes:
        raise InvalidInputError(
            f"TotalSegmentator's task {task} has no class {unknown[0]!r}; its classes are {', '.join(values)}."
            if unknown
            else f"No class is asked for; expected one or more of {', '.join(values)}."
        )
    settings = _settings(task, quality)
    networks = [
        (
            load_network(
                _folder(model_folder, settings, number, task, quality), folds=[0], device=device, threads=threads
            ),
            np.array([0, *(values[part[label]] for label in sorted(part))], dtype=np.uint8),
        )
        for number, part in _parts(task, settings["task_id"]).items()
        if set(part.values()) & set(classes)
    ]
    spacing = settings["resample"]
    region = settings.get("crop")
    return OrganNetworks(
        values={name: values[name] for name in classes},
        spacing_mm=tuple(spacing) if isinstance(spacing, list) else (spacing,) * 3,
        step=_STEP_OF_TOTAL if task == "total" else _STEP,
        networks=networks,
        region=load_organ_networks(
            model_folder,
            region,
            quality="fast" if settings.get("robust_crop") else "fastest",
            device=device,
            threads=threads,
        )
        if region
        else None,
    )


def write_organ_network(
    model_folder: Path,
    plans: Mapping[str, Any],
    weights: Mapping[str, Any],
    classes: Sequence[str],
    *,
    quality: Literal["fast", "fastest"] = "fast",
) -> Path:
    """Write a small network where TotalSegmentator's own would be, so that real weights can take its place.

    TotalSegmentator's program runs it too: the classes that it has not learned get outputs that never win.

    Parameters
    ----------
    model_folder
        Folder of weights.
    plans
        nnU-Net's plans, with the configuration ``3d_fullres`` at TotalSegmentator's spacing.
    weights
        State of a network with one output for the background and one for each of ``classes``, in order.
    classes
        Names of TotalSegmentator's classes.
    quality
        Whose place it takes.

    Returns
    -------
    The folder that was written.
    """
    from totalsegmentator.map_to_binary import class_map

    names = class_map["total"]
    values = {name: value for value, name in names.items()}
    settings = _settings("total", quality)
    folder = model_folder / _place(settings, settings["task_id"])
    dataset = {
        "channel_names": {"0": "CT"},
        "labels": {"background": 0, **values},
        "numTraining": 1,
        "file_ending": ".nii.gz",
    }
    heads = [0, *(values[name] for name in classes)]
    write_network(
        folder, plans, dataset, silent_heads_added(weights, heads, len(names) + 1), trainer=settings["trainer"]
    )
    return folder


def organ_names() -> frozenset[str]:
    """Names of all that TotalSegmentator draws on a CT."""
    from totalsegmentator.map_to_binary import class_map

    return frozenset(class_map["total"].values())


def _labels_of(networks: OrganNetworks, ct: Image, progress: Progress | None) -> NDArray[np.uint8]:
    """Label what a CT shows, air and table too (z, y, x)."""
    steps = len(networks.networks) + (len(networks.region.networks) if networks.region else 0)
    labels = np.zeros(ct.shape, dtype=np.uint8)
    box = tuple(slice(0, size) for size in ct.shape)
    part = ct
    if networks.region is not None:
        region = _labels_of(networks.region, ct, _share(progress, 0, len(networks.region.networks), steps))
        if not region.any():
            return labels
        zooms = _as_in_nifti(ct.spacing_mm)
        margin = tuple((_CROP_MARGIN_MM / zooms).astype(int).tolist())
        box = bounding_box(region, margin_voxels=margin)
        part = crop(ct, box)
        part = part.with_voxels(part.voxels.astype(np.int32))
    turned = reorient(part, "RAS")
    small = _to_spacing(turned, networks.spacing_mm)
    found = np.zeros(small.shape, dtype=np.uint8)
    for number, (network, classes) in enumerate(networks.networks, steps - len(networks.networks)):
        share = _share(progress, number, number + 1, steps)
        given = network.segment(small, mirroring=False, step=networks.step, progress=share).voxels
        if given.max() >= len(classes):
            raise InvalidModelError(
                f"The network in {network.folder.path} gives the label {given.max()}; expected at most "
                f"{len(classes) - 1}: it is of another task."
            )
        classified = classes[given]
        np.copyto(found, classified, where=classified != 0)
    found[~np.isin(found, list(networks.values.values()))] = 0
    whole = turned.with_voxels(_enlarged(found, turned.shape))
    labels[box] = reorient_like(whole, ct.geometry).voxels
    return labels


def _settings(task: Task, quality: Quality) -> dict[str, Any]:
    from totalsegmentator.map_tasks_config import DEFAULT_CONFIG, TASK_CONFIGS

    if task not in TASKS:
        raise InvalidInputError(f"The task {task!r} is not supported; expected one of {', '.join(TASKS)}.")
    own = TASK_CONFIGS[task]
    modes = own.get("sub_modes")
    return {**DEFAULT_CONFIG, **(modes["default" if quality == "full" else quality] if modes else own)}


def _parts(task: Task, numbers: int | list[int]) -> dict[int, dict[int, str]]:
    """Classes of each network of a task by the network's own labels."""
    from totalsegmentator import map_to_binary as maps

    if isinstance(numbers, int):
        return {numbers: maps.class_map[task]}
    parts, names = (
        (maps.class_map_5_parts, maps.map_taskid_to_partname_ct)
        if task == "total"
        else (maps.class_map_parts_headneck_muscles, maps.map_taskid_to_partname_headneck_muscles)
    )
    return {number: parts[names[number]] for number in numbers}


def _place(settings: Mapping[str, Any], number: int) -> Path:
    from totalsegmentator.map_tasks_config import TASK_ID_WEIGHTS_CONFIGS

    weights: Mapping[str, str] = TASK_ID_WEIGHTS_CONFIGS[number]
    name = f"{settings['trainer']}__{PLANS}__{settings['model']}"
    return Path(weights.get("rel_path") or "") / weights["foldername"] / name


def _folder(model_folder: Path, settings: Mapping[str, Any], number: int, task: Task, quality: Quality) -> Path:
    folder = model_folder / _place(settings, number)
    if not folder.is_dir():
        fetched = f"{task}_fast" if task == "total" and quality == "fast" else task
        raise InvalidModelError(
            f"TotalSegmentator's weights are missing: there is no {folder}; on a machine with internet, "
            f"TOTALSEG_WEIGHTS_PATH={model_folder} totalseg_download_weights -t {fetched} fetches them."
        )
    return folder


def _share(progress: Progress | None, start: int, stop: int, steps: int) -> Progress | None:
    """Progress of one network as a part of the whole."""
    if progress is None:
        return None
    report: Callable[[int, int], None] = progress
    return lambda done, total: report(round(1000 * (start + (stop - start) * done / total) / steps), 1000)


def _to_spacing(scan: Image, spacing_mm: tuple[float, float, float]) -> Image:
    """Resample linearly with the first and last voxels in place, to whole numbers, as TotalSegmentator does."""
    from scipy import ndimage

    # The axes too are in the order of NIfTI, so that sums are rounded in the same way.
    old = _as_in_nifti(scan.spacing_mm[::-1])
    if np.array_equal(old, spacing_mm):
        return scan
    zoom = old / np.array(spacing_mm)
    voxels = ndimage.zoom(scan.voxels.transpose(2, 1, 0), zoom, output=np.float64, order=1, mode="nearest")
    geometry = Geometry(
        shape=voxels.shape[::-1],
        spacing_mm=tuple((old / zoom)[::-1].tolist()),
        origin_mm=scan.geometry.origin_mm,
        direction=scan.geometry.direction,
    )
    return Image(np.ascontiguousarray(voxels.astype(np.int32).transpose(2, 1, 0)), geometry)


def _as_in_nifti(spacing_mm: tuple[float, ...]) -> NDArray[np.float64]:
    """Spacing as NIfTI stores it, in single precision."""
    return np.array(spacing_mm, dtype=np.float32).astype(np.float64)


def _enlarged(labels: NDArray[np.uint8], shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Take the nearest voxel with the first and last ones in place: one list of indices an axis."""
    from scipy import ndimage

    for axis, (old, new) in enumerate(zip(labels.shape, shape, strict=True)):
        nearest = ndimage.zoom(np.arange(old, dtype=np.float64), new / old, order=0, mode="nearest")
        labels = labels.take(nearest.astype(np.intp), axis=axis)
    return labels
