"""Compares the outputs of the bundled cases by two versions: the same to the byte, renamed keys aside.

    ./run.sh                                                      # in a checkout of each version: runs/<time>/
    python benchmarks/same_outputs.py BEFORE AFTER [--renamed renamed.toml]

BEFORE and AFTER are such folders. Images and pictures are compared byte by byte, JSON value by value. ``renamed.toml``
maps an old name to the new one, in ``[keys]`` for keys, files and values that are names. Sentences that were reworded are counted and listed
apart: they are text, not results. Exit code 1 where a number, an image or a key differs.
"""

from __future__ import annotations

import argparse
import json
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any


def renamed(value: Any, names: Mapping[str, str]) -> Any:
    """Give old content with its new names."""
    if isinstance(value, dict):
        return {names.get(key, key): renamed(each, names) for key, each in value.items()}
    if isinstance(value, list):
        return [renamed(each, names) for each in value]
    return names.get(value, value) if isinstance(value, str) else value


def differences(before: Any, after: Any, place: str = "") -> Iterator[tuple[str, str]]:
    """Give the kind (result or wording) and the place of each difference of two JSON values."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key in sorted(before.keys() | after.keys()):
            where = f"{place}.{key}"
            if key not in after:
                yield "result", f"{where}: missing now"
            elif key not in before:
                yield "result", f"{where}: new"
            else:
                yield from differences(before[key], after[key], where)
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for number, (one, two) in enumerate(zip(before, after, strict=True)):
            yield from differences(one, two, f"{place}[{number}]")
    elif isinstance(before, str) and isinstance(after, str):
        if before != after:
            yield "wording", f"{place}: {before!r} -> {after!r}"
    elif before != after or type(before) is not type(after):
        yield "result", f"{place}: {before!r:.60} -> {after!r:.60}"


def outputs(folder: Path, names: Mapping[str, str]) -> dict[str, Path]:
    """Files of all cases of all studies, by study, case and new name."""
    found = {}
    for path in sorted(folder.glob("*/predictions/*/output/**/*")):
        if path.is_file():
            parts = [names.get(part, part) for part in path.relative_to(folder).parts]
            parts[-1] = names.get(path.stem, path.stem) + path.suffix
            found["/".join(parts)] = path
    return found


def main() -> None:
    """Compare from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("--renamed", type=Path)
    arguments = parser.parse_args()
    names = tomllib.loads(arguments.renamed.read_text())["keys"] if arguments.renamed else {}
    before, after = outputs(arguments.before, names), outputs(arguments.after, {})
    found = [
        ("result", f"{name}: only {'before' if name in before else 'now'}") for name in before.keys() ^ after.keys()
    ]
    for name in sorted(before.keys() & after.keys()):
        if name.endswith(".json"):
            one, two = (json.loads(files[name].read_text()) for files in (before, after))
            found += [(kind, f"{name} {place}") for kind, place in differences(renamed(one, names), two)]
        elif before[name].read_bytes() != after[name].read_bytes():
            found.append(("result", f"{name}: other bytes"))
    for kind in ("result", "wording"):
        chosen = [text for each, text in found if each == kind]
        print(f"{len(chosen)} differences of {kind}")
        for text in chosen:
            print(f"  {text}")
    print(f"{len(after)} files of {len({name.rsplit('/output/')[0] for name in after})} cases compared")
    sys.exit(any(kind == "result" for kind, _ in found))


if __name__ == "__main__":
    main()
