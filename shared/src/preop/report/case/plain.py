"""The page of a study that brings none of its own: what its ``algorithm.toml`` says about its inputs and outputs."""

from __future__ import annotations

from collections.abc import Mapping

from preop.grandchallenge.algorithm import Kind
from preop.grandchallenge.cases import Case
from preop.grandchallenge.results import CaseOutputs
from preop.imaging import Image
from preop.report.case.content import CasePage, Headline, Layer, Place, Series, SlicePicture, Stack, mr_window
from preop.report.case.places import middle_of

_VALUES = {Kind.FLOAT, Kind.INTEGER, Kind.BOOL, Kind.STRING}


def plain_page(case: Case, outputs: CaseOutputs) -> CasePage:
    """Show each scan with its segmentations, each chart, and each value in the words of its socket."""
    sockets = case.algorithm.outputs_of(case.interface)
    said = [
        f"{socket.description.split('.')[0]}: {_written(outputs.value(socket.slug))}."
        for socket in sockets
        if socket.kind in _VALUES
    ]
    tables = [outputs.value(socket.slug) for socket in sockets if socket.kind is Kind.ANYTHING]
    explanations = [table for table in tables if isinstance(table, Mapping) and "model" in table]
    scans = {
        socket.slug: case.image(socket.slug)
        for socket in case.algorithm.inputs
        if socket.kind is Kind.IMAGE and socket.segmentation_of is None and socket.slug in case
    }
    stacks = [_stack(slug, scan, case, outputs) for slug, scan in scans.items()]
    return CasePage(
        headline=Headline(said[0] if said else case.algorithm.summary, " ".join(said[1:])),
        explanation=explanations[0] if explanations else {},
        pictures=[_picture(stack) for stack in stacks],
        reasoning=" ".join(said),
        stacks=stacks,
        charts=[outputs.value(socket.slug) for socket in sockets if socket.kind is Kind.CHART],
    )


def _stack(slug: str, scan: Image, case: Case, outputs: CaseOutputs) -> Stack:
    layers = [
        Layer(socket.slug.replace("-", " "), case.image(socket.slug))
        for socket in case.algorithm.inputs
        if socket.segmentation_of == slug and socket.slug in case
    ]
    layers += [
        Layer(
            socket.slug.replace("-", " "),
            outputs.image(socket.slug),
            {number: name for name, number in socket.overlay_segments.items()},
            "#40b0ff",
        )
        for socket in case.algorithm.outputs_of(case.interface)
        if socket.segmentation_of == slug and socket.kind is Kind.SEGMENTATION
    ]
    name = slug.replace("-", " ")
    return Stack(slug, name, [Series(name, scan, mr_window(scan))], layers)


def _picture(stack: Stack) -> SlicePicture:
    labelled = [layer.labels for layer in stack.layers if layer.labels.voxels.any()]
    position = middle_of(labelled[0] if labelled else stack.series[0].image)
    return SlicePicture(Place(stack.name, position), stack.title)


def _written(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
