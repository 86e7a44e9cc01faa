"""What to ask the platform for: each socket as its form takes it, and the combinations of inputs.

Source: ``ComponentInterface`` and its ``clean`` in ``app/grandchallenge/components/models.py``, ``OVERLAY_SEGMENTS_SCHEMA`` in
``app/grandchallenge/workstation_configs/models.py`` of github.com/comic/grand-challenge.org (2026).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from preop.errors import InvalidInputError
from preop.grandchallenge.algorithm import Algorithm, Kind, Socket
from preop.grandchallenge.values import JSON, limits_of

_DRAFT = "http://json-schema.org/draft-07/schema#"
_CAPITALS = ("CT", "PET", "MRI", "FDG", "T1", "N")
_NOT_STORED = {Kind.MULTIPLE_POINTS}
"""JSON that the platform keeps as a file, because it can be large."""


def title_of(slug: str) -> str:
    """Give a title from which the platform makes this slug."""
    words = [word.upper() if word.upper() in _CAPITALS else word for word in slug.split("-")]
    return " ".join([words[0][:1].upper() + words[0][1:], *words[1:]])


def request_of(algorithm: Algorithm, socket: Socket) -> dict[str, JSON]:
    """Give the fields of the platform's form for a new socket, by their names there; the platform derives the slug."""
    return {
        "title": title_of(socket.slug),
        "slug": socket.slug,
        "description": socket.description,
        "kind": str(_kind(socket)),
        "relative_path": socket.relative_path,
        "schema": _schema(algorithm, socket),
        "overlay_segments": [
            {"name": name, "voxel_value": value, "visible": True} for name, value in _segments(socket).items()
        ],
        "store_in_database": not socket.kind.is_image
        and socket.kind.file_ending == ".json"
        and socket.kind not in _NOT_STORED
        and not socket.features_of,
        "default_value": None,
    }


def requests(algorithm: Algorithm, *, every: bool = False) -> dict[str, list[dict[str, JSON]]]:
    """Give the requests of the sockets that must be made: those that stand-ins replace are there already.

    Parameters
    ----------
    every
        Give the inputs of all combinations that the algorithm accepts, not only of the core.
    """
    interfaces = algorithm.interfaces if every else algorithm.core_interfaces
    asked = {slug for interface in interfaces for slug in interface}
    inputs = [socket for socket in algorithm.inputs if socket.slug in asked]
    made = {socket.slug for interface in interfaces for socket in algorithm.outputs_of(interface)}
    outputs = [socket for socket in algorithm.outputs if socket.slug in made]
    return {
        role: [request_of(algorithm, socket) for socket in sockets if socket.slug not in algorithm.stand_ins]
        for role, sockets in (("inputs", inputs), ("outputs", outputs))
    }


def interface_requests(algorithm: Algorithm, *, every: bool = False) -> list[dict[str, list[str]]]:
    """Give the combinations of inputs, each with its outputs, by the slugs of the platform.

    Parameters
    ----------
    every
        Give all that the algorithm accepts, not only the core.
    """
    return [
        {
            "inputs": [algorithm.platform_slug(slug) for slug in interface],
            "outputs": [algorithm.platform_slug(socket.slug) for socket in algorithm.outputs_of(interface)],
        }
        for interface in (algorithm.interfaces if every else algorithm.core_interfaces)
    ]


def compare(algorithm: Algorithm, existing: Sequence[Mapping[str, Any]]) -> list[str]:
    """Say of each socket whether the platform has it already, has something in its way, or has to make it.

    Parameters
    ----------
    existing
        What the platform's API lists under ``components/interfaces/``.

    Raises
    ------
    InvalidInputError
        If the list is not that.
    """
    if not all(isinstance(each, Mapping) and {"slug", "kind", "relative_path"} <= each.keys() for each in existing):
        raise InvalidInputError(
            "The list of existing sockets is not the platform's: expected slug, kind and relative_path."
        )
    by_slug = {each["slug"]: each for each in existing}
    by_path = {each["relative_path"]: each for each in existing}
    said = []
    for socket in (*algorithm.inputs, *algorithm.outputs):
        name = algorithm.platform_slug(socket.slug)
        found, in_the_way = by_slug.get(name), by_path.get(socket.relative_path)
        if found is not None:
            difference = _difference(socket, found)
            said.append(
                f"{name}: exists and can be used." if difference is None else f"{name}: exists with {difference}."
            )
        elif in_the_way is not None:
            said.append(
                f"{name}: its path {socket.relative_path} is taken by {in_the_way['slug']}; let that stand for it."
            )
        elif socket.slug in algorithm.stand_ins:
            said.append(f"{name}: does not exist, though it is to stand for {socket.slug}.")
        else:
            said.append(f"{name}: has to be made.")
    return said


def describe(algorithm: Algorithm, *, every: bool = False) -> str:
    """Write the request to the platform's staff as text, with each socket in the fields of their form."""
    parts = [
        f'Sockets for the algorithm "{algorithm.title}" (preop {algorithm.name} {algorithm.version})',
        "New sockets, with the fields as the form has them:",
    ]
    for role, made in requests(algorithm, every=every).items():
        parts += [f"\n## New {role}\n" if made else f"\n## New {role}: none\n"]
        parts += ["\n".join(f"{field}: {_written(value)}" for field, value in each.items()) + "\n" for each in made]
    used = [f"{theirs.slug} (in place of {ours})" for ours, theirs in algorithm.stand_ins.items()]
    parts += [f"\n## Existing sockets that are used: {', '.join(used) or 'none'}\n", "\n## Interfaces\n"]
    always = [algorithm.platform_slug(socket.slug) for socket in algorithm.outputs_of(())]
    for number, interface in enumerate(interface_requests(algorithm, every=every), 1):
        more = [slug for slug in interface["outputs"] if slug not in always]
        parts.append(
            f"{number}. inputs: {', '.join(interface['inputs'])}"
            + (f"; also as outputs: {', '.join(more)}" if more else "")
        )
    parts.append(f"   outputs of each: {', '.join(always)}")
    left = len(algorithm.interfaces) - len(algorithm.core_interfaces)
    if left and not every:
        parts.append(
            f"   The algorithm accepts {left} more combinations: preop sockets {algorithm.name} --all-interfaces"
        )
    return "\n".join(parts)


def _kind(socket: Socket) -> Kind:
    return Kind.SEGMENTATION if socket.instances else socket.kind


def _segments(socket: Socket) -> dict[str, int]:
    """Name the values of a segmentation; structures that are only counted are called by their numbers."""
    return (
        {str(number): number for number in range(1, socket.instances + 1)}
        if socket.instances
        else socket.overlay_segments
    )


def _schema(algorithm: Algorithm, socket: Socket) -> JSON:
    if socket.slug in algorithm.json_schemas:
        return algorithm.json_schemas[socket.slug]
    limits = limits_of(socket)
    return {"$schema": _DRAFT, **limits} if limits else {}


def _difference(socket: Socket, found: Mapping[str, Any]) -> str | None:
    """Say how a socket of the platform differs from ours, where it cannot be used for it."""
    if found["kind"] not in {str(socket.kind), str(_kind(socket))}:
        return f"the kind {found['kind']}, not {_kind(socket)}: map {socket.slug} to another one in sockets.toml"
    if found["relative_path"] != socket.relative_path:
        return f"the path {found['relative_path']}, not {socket.relative_path}: say so in sockets.toml"
    theirs = {each["name"]: each["voxel_value"] for each in found.get("overlay_segments") or []}
    if found["kind"] == str(Kind.SEGMENTATION) and not set(_segments(socket).values()) <= set(theirs.values()):
        return f"the segments {theirs}, not {_segments(socket)}: map {socket.slug} to another one in sockets.toml"
    return None


def _written(value: JSON) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
