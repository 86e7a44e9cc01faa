#!/usr/bin/env bash
# Usage: requirements/supply_chain.sh sbom [FOLDER] | audit
# sbom: a bill of materials (CycloneDX, JSON) of each image's Python packages, from its lock, in FOLDER (default: sbom/).
# audit: whether a locked version has a known vulnerability; asks the Python Package Index over the internet.
# Its tools have an environment of their own, requirements/.venv, made once.
set -euo pipefail
cd "$(dirname "$0")/.."
tools=requirements/.venv

lock=requirements/supply_chain.txt
wanted() { cksum <"$lock"; }
if [ "$(cat $tools/installed 2>/dev/null)" != "$(wanted)" ]; then
    echo "Making $tools from $lock (once) ..." >&2
    "${PYTHON:-python3}" -m venv --clear $tools
    $tools/bin/pip install --quiet --disable-pip-version-check --no-deps --require-hashes --requirement "$lock"
    wanted >$tools/installed
fi

case "${1:-}" in
    sbom)
        folder="${2:-sbom}"
        mkdir -p "$folder"
        for program in algorithms/*/ evaluation/; do
            name="$(basename "$program")"
            image_lock="$(sed -n 's/^ARG LOCK=\(.*\)/\1.txt/p' "$program/Dockerfile")"
            # It warns that a lock does not say which package needs which.
            PYTHONWARNINGS=ignore $tools/bin/cyclonedx-py requirements "requirements/$image_lock" --pyproject pyproject.toml \
                --mc-type application --output-reproducible --output-format JSON --output-file "$folder/$name.cdx.json"
            echo "$folder/$name.cdx.json"
        done
        ;;
    audit)
        for each in imaging inference slides learning pathology training development; do
            echo "requirements/$each.txt"
            $tools/bin/pip-audit --requirement "requirements/$each.txt" --require-hashes --disable-pip --strict \
                --progress-spinner off
        done
        ;;
    *)
        sed -n '2,5s/^# //p' "$0" >&2
        exit 2
        ;;
esac
