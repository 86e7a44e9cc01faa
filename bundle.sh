#!/usr/bin/env bash
# Usage: ./bundle.sh FOLDER [LOCK] ...
# Writes all that a machine without internet needs into a new folder: this repository with its models (preop/), the packages of the
# locks (wheels/; by default those that run, evaluate and train every algorithm, 3 GB), the images that were built here (images/), and SHA256SUMS.
# There, with the same system, processor and Python: cd FOLDER/preop && ./run.sh
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
if [ $# -eq 0 ]; then
    sed -n '2,5s/^# //p' "$0"
    exit 1
fi
folder="$1"
shift
if [ -e "$folder" ]; then
    echo "$folder exists: name a new folder, so that nothing is overwritten." >&2
    exit 1
fi
"$here/requirements/install.sh" imaging
if [ $# -eq 0 ]; then set -- imaging inference slides training evaluation learning pathology; fi
partial="$folder.partial"
rm -rf "$partial"
mkdir -p "$partial/wheels" "$partial/images" "$partial/preop"
for lock in "$@"; do
    echo "Packages of $lock ..."
    "$here/.venv/bin/pip" download --quiet --disable-pip-version-check --no-deps --require-hashes \
        --requirement "$here/requirements/$lock.txt" --dest "$partial/wheels"
done
echo "This repository ..."
(cd "$here" && git ls-files -z | tar --create --null --files-from=- --file=-) | tar --extract --file=- --directory="$partial/preop"
# Only images that were built from the sources as they are; in one archive, for they share layers.
"$here/.venv/bin/python" - >"$partial/images/list" <<'PYTHON'
import sys

from preop.cli.programs import programs
from preop.engines.choosing import find_engine
from preop.engines.containers import ContainerEngine, image_problem

engine = find_engine()
for program, _ in programs(None) if isinstance(engine, ContainerEngine) else ():
    problem = image_problem(engine, program)
    if problem is None:
        print(engine.name, program.image)
    else:
        print(f"Left out: {problem}", file=sys.stderr)
PYTHON
if [ -s "$partial/images/list" ]; then
    engine="$(head -n 1 "$partial/images/list" | cut -d " " -f 1)"
    mapfile -t images < <(cut -d " " -f 2 "$partial/images/list")
    echo "Images ${images[*]} ..."
    several=()
    if [ "$engine" = podman ]; then several=(--quiet --multi-image-archive); fi
    "$engine" save ${several[@]+"${several[@]}"} --output "$partial/images/images.tar" "${images[@]}"
else
    echo "No image is taken along: there, algorithms run in isolated processes." >&2
fi
rm "$partial/images/list"
echo "Checksums ..."
(cd "$partial" && find wheels images -type f -print0 | sort --zero-terminated | xargs --null --no-run-if-empty sha256sum >SHA256SUMS)
mv "$partial" "$folder"
echo "$folder: $(du -sh "$folder" | cut -f1). Take it along; there: cd $(basename "$folder")/preop && ./run.sh"
