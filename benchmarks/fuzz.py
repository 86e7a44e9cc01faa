"""Do damaged inputs end in one sentence? ``python benchmarks/fuzz.py FOLDER [--mutations N] [--seed S] [--only KIND ...]``.

Each mutation changes one file of a bundled case (JSON, MetaImage, TIFF) or of a bundled submission (``predictions.json`` and
outputs), by bytes or by what stands in it, and then the case is read: what the algorithm does before it computes anything,
with its checks. For a sample the whole algorithm runs (``WHOLE_EVERY``). What a mutation is follows from the seed and its
number alone: ``--again NUMBER`` makes it once more, leaves the damaged case in FOLDER, and shows the whole traceback.

Workers are forked after all imports, so that a mutation takes milliseconds; a watchdog ends one that takes over 10 s or 2 GB.
Prints a table, and every foreign error, hang, excess of memory and crash, one line for each place in the code, with the number
of a mutation that shows it; exits with 1 if there was any.
"""

from __future__ import annotations

import argparse
import copy
import importlib
import json
import logging
import multiprocessing
import os
import random
import re
import resource
import shutil
import struct
import sys
import time
import traceback
import zlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "shared/src"), str(ROOT / "algorithms")]
for threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(threads, "1")

LIMIT_S = 10
"""Of processor time, which a busy machine does not lengthen; what waits without computing has six times as much."""
LIMIT_BYTES = 2 * 10**9

STUDIES = (
    *("bladder_lymph_nodes", "liver_growth_pattern", "lung_nodal_stage"),
    *("primary_growth_pattern", "sarcoma_lung_metastasis"),
)
SLIDES = "primary_growth_pattern"
WHOLE_EVERY = {"bladder_lymph_nodes": 40, "liver_growth_pattern": 40, "sarcoma_lung_metastasis": 40, SLIDES: 200}
"""Of so many mutations, one goes through the whole algorithm; the lung's takes longer than the limit, and is only read."""

LARGEST_MHA = 300_000
"""The CT of a chest takes long to unpack, and is read as all the others are."""

KINDS = {"json": 0.3, "mha": 0.35, "tiff": 0.2, "predictions": 0.15}
"""Share of the mutations by the file that is changed."""


@dataclass(frozen=True)
class Target:
    """A file that is changed, and the case or submission that it belongs to.

    Attributes
    ----------
    kind
        A key of ``KINDS``.
    study
        Algorithm, or folder of a submission below ``evaluation/test``.
    root
        The input folder.
    file
        Below ``root``.
    """

    kind: str
    study: str
    root: Path
    file: Path

    @property
    def name(self) -> str:
        """What a person calls it."""
        return f"{self.study} {self.root.parent.name}/{self.file}"


@cache
def targets() -> Mapping[str, Sequence[Target]]:
    """All JSON files, the images of each study's smallest cases, and all submissions, by kind."""
    found: dict[str, list[Target]] = {kind: [] for kind in KINDS}
    for study in STUDIES:
        inputs = sorted((ROOT / "algorithms" / study / "test").glob("*/input"))
        found["json"] += [
            Target("json", study, root, path.relative_to(root)) for root in inputs for path in root.glob("*.json")
        ]
        for root in sorted(inputs, key=_size)[:3] if study != "lung_nodal_stage" else inputs[-1:]:
            for path in sorted((root / "images").rglob("*.*")):
                if path.stat().st_size > LARGEST_MHA and path.suffix == ".mha":
                    continue
                kind = "mha" if path.suffix == ".mha" else "tiff"
                found[kind].append(Target(kind, study, root, path.relative_to(root)))
    for root in sorted((ROOT / "evaluation" / "test").glob("*/input")):
        # The list of jobs is changed half of the time.
        outputs = [path.relative_to(root) for path in sorted(root.glob("*/output/*.json"))]
        files = [Path("predictions.json")] * len(outputs) + outputs
        found["predictions"] += [Target("predictions", root.parent.name, root, file) for file in files]
    return found


def _size(root: Path) -> int:
    return sum(path.stat().st_size for path in root.rglob("*") if path.is_file())


# What is put in the place of a number, of a text, and of any JSON value.
NUMBERS = (
    *(
        "0",
        "-0",
        "-1",
        "1",
        "2",
        "3",
        "7",
        "0.5",
        "-0.5",
        "255",
        "256",
        "65535",
        "65536",
        "9993",
        "2147483647",
        "2147483648",
    ),
    *("4294967295", "4294967296", "9223372036854775807", "1e-300", "1e30", "1e300", "1e999", "nan", "inf", "-inf"),
    *("", "x", "1,5", "1_0", "0x10", "\u00b2", "9" * 400, "1 1", "%d", "True", "None"),
)
TEXTS = (
    "",
    "x",
    "..",
    "/",
    "/etc/passwd",
    "../../x",
    "a/b",
    "\0",
    "\ud800",
    "x" * 300,
    "x" * 5000,
    "CON",
    "%s",
    "{}",
    "\u202e",
    "Image",
)
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 0.5, 1e300, 10**30, -(10**400), 2**63, [], {}, [[]], [None], {"": None}, "x", ""),
    *({"slug": 5}, {"name": ["x"]}, {"socket": {}}, float("nan"), float("inf")),
)
INTEGERS = (0, 1, 2, 3, 127, 255, 256, 65535, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**63 - 1, 2**63, 2**64 - 1)


def by_bytes(data: bytes, draw: random.Random) -> bytes:
    """Change bytes, wherever they are."""
    changed = bytearray(data)
    for _ in range(draw.choice((1, 1, 1, 2, 4, 16))):
        if not changed:
            break
        at, count = draw.randrange(len(changed)), draw.choice((1, 2, 4, 8, 64, 1024))
        what = draw.randrange(7)
        if what == 0:
            changed[at] ^= 1 << draw.randrange(8)
        elif what == 1:
            changed[at : at + count] = draw.randbytes(len(changed[at : at + count]))
        elif what == 2:
            del changed[at : at + count]
        elif what == 3:
            changed[at:at] = draw.randbytes(count)
        elif what == 4:
            del changed[at:]
        elif what == 5:
            changed[at:at] = changed[at : at + count]
        else:
            size = draw.choice((1, 2, 4, 8))
            changed[at : at + size] = (draw.choice(INTEGERS) % 256**size).to_bytes(size, draw.choice(("little", "big")))
    return bytes(changed)


def json_by_content(data: bytes, draw: random.Random) -> bytes:
    """Put another value somewhere, leave a key out, give it another name, or repeat an element."""
    content = json.loads(data)
    for _ in range(draw.choice((1, 1, 2, 4))):
        places = list(_places(content))
        if not places:
            return json.dumps(draw.choice(VALUES)).encode()
        holder, key = draw.choice(places)
        what = draw.randrange(5)
        if what == 0:
            del holder[key]
        elif what == 1 and isinstance(holder, dict):
            holder[draw.choice(TEXTS)] = holder.pop(key)
        elif what == 2 and isinstance(holder, list):
            holder.append(copy.deepcopy(holder[key]))
        elif isinstance(holder[key], str) and what == 3:
            holder[key] = draw.choice(TEXTS)
        else:
            holder[key] = copy.deepcopy(draw.choice(VALUES))  # the next change may go into it
    text = json.dumps(content)
    if draw.random() < 0.1:  # what no writer makes of a value
        text = draw.choice(
            ("[" * 50_000 + "]" * 50_000, text * 2, text.replace('"', "'"), f"[{'9' * 5000}]", f"\ufeff{text}")
        )
    return text.encode("utf-8", "surrogatepass")


def _places(value: Any) -> Any:
    """Everything in a JSON value, as its holder and key."""
    steps = (
        list(value.items()) if isinstance(value, dict) else list(enumerate(value)) if isinstance(value, list) else []
    )
    for key, item in steps:
        yield value, key
        yield from _places(item)


def mha_by_content(data: bytes, draw: random.Random) -> bytes:
    """Change a line of the header, or the voxels behind an intact one."""
    end = data.index(b"ElementDataFile = LOCAL\n") + len(b"ElementDataFile = LOCAL\n")
    head, stored = data[:end], data[end:]
    if draw.random() < 0.25:
        voxels = by_bytes(zlib.decompress(stored), draw)
        packed = zlib.compress(voxels, 1)
        return re.sub(rb"CompressedDataSize = \d+", b"CompressedDataSize = %d" % len(packed), head) + packed
    lines = head.decode().splitlines()
    for _ in range(draw.choice((1, 1, 2, 3))):
        at = draw.randrange(len(lines))
        name, _, text = lines[at].partition(" = ")
        parts = text.split(" ")
        what = draw.randrange(6)
        if what == 0:
            del lines[at]
            lines = lines or [""]
        elif what == 1:
            lines.insert(draw.randrange(len(lines) + 1), lines[at])
        elif what == 2:
            lines[at] = (
                f"{name} = {draw.choice((*TEXTS, *NUMBERS, 'MET_UCHAR', 'MET_DOUBLE', 'LIST', 'False', 'True', '%d 1 5 1', 'cm'))}"
            )
        elif what == 3:
            lines[at] = (
                f"{draw.choice(('NDims', 'DimSize', 'ElementType', 'HeaderSize', 'ElementNumberOfChannels', 'BinaryData', 'x'))} = {text}"
            )
        elif what == 4:
            lines[at] = f"{name} = {' '.join([*parts, draw.choice(NUMBERS)])}"
        else:
            parts[draw.randrange(len(parts))] = draw.choice(NUMBERS)
            lines[at] = f"{name} = {' '.join(parts)}"
    return "\n".join([*lines, ""]).encode("utf-8", "surrogatepass") + stored


def tiff_by_content(data: bytes, draw: random.Random) -> bytes:
    """Change an entry of a directory of a BigTIFF: its tag, type, count, value, or the number of entries or next directory."""
    changed = bytearray(data)
    entries, links = _entries(data)
    for _ in range(draw.choice((1, 1, 2, 4))):
        what = draw.randrange(8)
        entry = draw.choice(entries)
        number = draw.choice((*INTEGERS, *entries, len(data), len(data) - 8))
        if what == 0:
            struct.pack_into(
                "<H",
                changed,
                entry,
                draw.choice((*range(254, 300), 320, 322, 323, 324, 325, 330, 338, 339, 347, 530, 65535)),
            )
        elif what == 1:
            struct.pack_into("<H", changed, entry + 2, draw.choice((*range(19), 65535)))
        elif what == 2:
            struct.pack_into("<Q", changed, entry + 4, number % 2**64)
        elif what == 3:
            struct.pack_into("<Q", changed, draw.choice(links), number % 2**64)
        else:
            size, code = draw.choice(((2, "<H"), (4, "<I"), (8, "<Q")))
            struct.pack_into(code, changed, entry + 12, number % 256**size)
    return bytes(changed)


def _entries(data: bytes) -> tuple[list[int], list[int]]:
    """Where the entries of all directories of a BigTIFF stand, and the links between these and their counts."""
    (at,) = struct.unpack_from("<Q", data, 8)
    entries, links = [], [8]
    while at:
        (count,) = struct.unpack_from("<Q", data, at)
        entries += [at + 8 + 20 * number for number in range(count)]
        link = at + 8 + 20 * count
        links += [at, link]
        (at,) = struct.unpack_from("<Q", data, link)
    return entries, links


BY_CONTENT: Mapping[str, Callable[[bytes, random.Random], bytes]] = {
    "json": json_by_content,
    "predictions": json_by_content,
    "mha": mha_by_content,
    "tiff": tiff_by_content,
}


@dataclass(frozen=True)
class Mutation:
    """One change, which follows from the seed and its number.

    Attributes
    ----------
    way
        Whether bytes are changed, or what stands in the file.
    whole
        Whether the whole algorithm runs.
    """

    number: int
    target: Target
    way: str
    whole: bool
    data: bytes

    @staticmethod
    def of(seed: int, number: int, only: Sequence[str]) -> Mutation:
        """Make the mutation of a number."""
        draw = random.Random(f"{seed} {number}")  # noqa: S311 - reproducible, not secret
        kinds = [kind for kind in KINDS if kind in only]
        (kind,) = draw.choices(kinds, [KINDS[kind] for kind in kinds])
        target = draw.choice(targets()[kind])
        way = "content" if draw.random() < 0.6 else "bytes"
        whole = draw.random() < 1 / WHOLE_EVERY.get(target.study, float("inf"))
        change = BY_CONTENT[kind] if way == "content" else by_bytes
        return Mutation(number, target, way, whole, change((target.root / target.file).read_bytes(), draw))

    def lay_out(self, folder: Path) -> Path:
        """Copy the case below a folder, where it does not lie there yet, put the change in, and give the input folder."""
        root = folder / f"{self.target.study}-{self.target.root.parent.name}" / "input"
        if not root.is_dir():
            shutil.copytree(self.target.root, root)
        (root / self.target.file).write_bytes(self.data)
        return root

    def put_back(self, root: Path) -> None:
        """Put the original in the place of the change."""
        shutil.copyfile(self.target.root / self.target.file, root / self.target.file)


def judge(mutation: Mutation, root: Path) -> None:
    """Read what was changed, with its checks; or run the whole algorithm."""
    if mutation.target.kind == "predictions":
        from evaluation.evaluate import evaluate
        from preop.grandchallenge.predictions import read_predictions
        from preop.grandchallenge.values import to_json

        to_json(evaluate(read_predictions(root), mutation.target.root.parent / "ground_truth")).encode()
        return
    from preop.grandchallenge.cases import read_case
    from preop.grandchallenge.outputs import check_outputs

    study = mutation.target.study
    module, algorithm, model = loaded(study)
    case = read_case(algorithm, root)
    if mutation.whole:
        check_outputs(module.predict(case, model), algorithm, case)
        return
    changed = [slug for slug, path in case.image_paths.items() if path == root / mutation.target.file]
    for slug in changed:
        if study == SLIDES:
            _look_at(case, slug)
        else:
            case.image(slug)
            if algorithm.input(slug).overlay_segments:
                case.mask(slug)


def _look_at(case: Any, slug: str) -> None:
    from preop.slides import Slide
    from primary_growth_pattern.examination import MASK, MASK_PIXEL_MM

    if slug == MASK:
        case.flat_mask(slug, pixel_mm=MASK_PIXEL_MM)
        return
    with case.open(slug, partial(Slide, um_per_pixel=None)) as slide:
        slide.overview(64.0)
        slide.read_region((100.0, 100.0), (256, 256), max(0.5, slide.um_per_pixel))


@cache
def loaded(study: str) -> tuple[Any, Any, Any]:
    """Module, algorithm and model of a study; the algorithm alone where it never runs as a whole."""
    from preop.grandchallenge.algorithm import read_algorithm

    algorithm = read_algorithm(ROOT / "algorithms" / study)
    if study not in WHOLE_EVERY:
        return None, algorithm, None
    module = importlib.import_module(f"{study}.inference")
    return module, algorithm, module.load_model(ROOT / "algorithms" / study / "model", algorithm)


def outcome_of(mutation: Mutation, root: Path) -> tuple[str, str]:
    """Say how a mutation ended (answered, refused, foreign, memory), and where in the code if it was wrong."""
    from preop.errors import PreopError

    try:
        judge(mutation, root)
    except PreopError as error:
        return ("refused", "") if str(error).strip() else ("foreign", "an empty sentence")
    except MemoryError as error:
        return "memory", _where(error)
    except BaseException as error:  # noqa: BLE001 - whatever else comes is what is looked for
        return "foreign", _where(error)
    return "answered", ""


def _where(error: BaseException) -> str:
    """Name an error by its type and the innermost line of ours."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if str(ROOT) in frame.filename and "fuzz.py" not in frame.filename] or frames
    place = Path(ours[-1].filename).name
    return f"{type(error).__name__} at {place}:{ours[-1].lineno} ({str(error)[:80]})"


def work(seed: int, numbers: Sequence[int], only: Sequence[str], folder: Path, pipe: Connection) -> None:
    """Judge mutations one after another, telling each before and after."""
    with Path("/proc/self/statm").open() as statm:
        used = int(statm.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + LIMIT_BYTES, -1))
    shutil.rmtree(folder)  # what an earlier worker was killed at may be damaged still
    for number in numbers:
        mutation = Mutation.of(seed, number, only)
        root = mutation.lay_out(folder)
        pipe.send((number, "begun", ""))
        pipe.send((number, *outcome_of(mutation, root)))
        mutation.put_back(root)
    pipe.close()


@dataclass
class Watched:
    """What was seen of all mutations.

    Attributes
    ----------
    ended
        Outcome and place by number.
    longest_s, most_bytes
        Of one mutation; of a worker, beyond what it has after its imports.
    """

    ended: dict[int, tuple[str, str]]
    longest_s: float = 0.0
    most_bytes: int = 0


def watch(seed: int, count: int, only: Sequence[str], folder: Path, seen: Watched) -> None:
    """Run workers, one at a time, end those that take too long or too much, and note what is seen."""
    fork = multiprocessing.get_context("fork")
    following = 0
    while following < count:
        here, there = fork.Pipe(duplex=False)
        worker = fork.Process(daemon=True, target=work, args=(seed, range(following, count), only, folder, there))
        worker.start()
        there.close()
        at_first = _resident(worker.pid)
        begun, computed, number = time.monotonic(), _computed_s(worker.pid), following
        verdict = ("died", "")
        while True:
            try:
                if here.poll(0.1):
                    number, outcome, where = here.recv()
                    if outcome == "begun":
                        begun, computed = time.monotonic(), _computed_s(worker.pid)
                    else:
                        seen.longest_s = max(seen.longest_s, _computed_s(worker.pid) - computed)
                        seen.ended[number] = outcome, where
                        if number % 500 == 499:
                            print(f"{number + 1} of {count}", file=sys.stderr, flush=True)
                        number += 1
            except EOFError:
                worker.join()
                verdict = "died", f"exit code {worker.exitcode}"
                break
            beyond = _resident(worker.pid) - at_first
            seen.most_bytes = max(seen.most_bytes, beyond)
            if beyond > LIMIT_BYTES:
                verdict = "memory", f"{beyond / 1e9:.1f} GB"
            elif _computed_s(worker.pid) - computed > LIMIT_S or time.monotonic() - begun > 6 * LIMIT_S:
                verdict = "hang", f"over {LIMIT_S} s"
            else:
                continue
            worker.kill()
            worker.join()
            break
        if number < count and number not in seen.ended:
            seen.ended[number] = verdict
            number += 1
        following = number


def _resident(pid: int | None) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()
    except (OSError, IndexError):
        return 0


def _computed_s(pid: int | None) -> float:
    """Processor time of a process so far, in seconds; 0 of one that has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def report(seen: Watched, seed: int, only: Sequence[str]) -> bool:
    """Print the table and every kind of problem; give whether there was none."""
    rows: dict[str, Counter[str]] = {}
    problems: dict[str, list[Mutation]] = {}
    for number, (outcome, where) in sorted(seen.ended.items()):
        mutation = Mutation.of(seed, number, only)
        target = mutation.target
        for row in (f"{target.kind} {target.study} by {mutation.way}", f"all {target.kind}", "all"):
            rows.setdefault(row, Counter())[outcome] += 1
            if mutation.whole:
                rows[row]["whole"] += 1
        if outcome not in {"answered", "refused"}:
            problems.setdefault(f"{outcome}: {where}", []).append(mutation)
    columns = ("answered", "refused", "foreign", "memory", "hang", "died")
    print(f"{'changed':52}{'mutations':>10}" + "".join(f"{name:>10}" for name in (*columns, "whole")))
    for row, counts in sorted(rows.items(), key=lambda item: (item[0].startswith("all"), item[0])):
        total = sum(counts[name] for name in columns)
        print(f"{row:52}{total:>10}" + "".join(f"{counts[name]:>10}" for name in (*columns, "whole")))
    print(f"longest {seen.longest_s:.1f} s, most memory beyond the imports {seen.most_bytes / 1e6:.0f} MB, seed {seed}")
    for problem, found in sorted(problems.items(), key=lambda item: -len(item[1])):
        print(f"{len(found):5} x {problem} --again {found[0].number} ({found[0].target.name})")
    return not problems


def main() -> None:
    """Fuzz from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where damaged cases are laid out")
    parser.add_argument("--mutations", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", choices=list(KINDS), default=list(KINDS))
    parser.add_argument("--again", type=int, metavar="NUMBER", help="make one mutation again, and show the traceback")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    if arguments.again is not None:
        mutation = Mutation.of(arguments.seed, arguments.again, arguments.only)
        root = mutation.lay_out(arguments.folder)
        print(f"{mutation.target.name} by {mutation.way}{', the whole algorithm' if mutation.whole else ''}: {root}")
        judge(mutation, root)
        return
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)
    for study in STUDIES:
        loaded(study)
    for module in ("evaluation.evaluate", "tifffile", "imagecodecs", "openslide", "scipy.ndimage", "SimpleITK"):
        importlib.import_module(module)
    # Whoever stops it early sees what was found until then.
    seen = Watched({})
    with suppress(KeyboardInterrupt):
        watch(arguments.seed, arguments.mutations, arguments.only, arguments.folder, seen)
    sys.exit(not report(seen, arguments.seed, arguments.only))


if __name__ == "__main__":
    main()
