#!/usr/bin/env bash
# Usage: docs/build.sh
# Builds the site of all documentation and the API reference into site/, from its own environment (docs/.venv, made once).
# A link to a page, heading or image that is not there is an error. The site needs no network, neither to build nor to read.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ "$(cat docs/.venv/installed 2>/dev/null)" != "$(cksum <requirements/docs.txt)" ]; then
    echo "Making docs/.venv from requirements/docs.txt (once) ..."
    "${PYTHON:-python3}" -m venv --clear docs/.venv
    docs/.venv/bin/pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements/docs.txt
    cksum <requirements/docs.txt >docs/.venv/installed
fi

# Pages keep their places in the repository, so that links between them are the same on the site.
pages="$(mktemp -d)"
trap 'rm -rf "$pages"' EXIT
git ls-files -z --cached --others --exclude-standard -- '*.md' 'docs/images/*' 'docs/validation/*.json' 'algorithms/*.png' 'algorithms/*.jpg' \
    ':!shared/src/preop/study/template' |
    xargs -0 cp --parents --target-directory="$pages"
mv "$pages/docs/site.md" "$pages/index.md"

rm -rf site
docs/.venv/bin/sphinx-build --quiet --fail-on-warning --keep-going --conf-dir docs --builder html "$pages" site
rm -rf site/.doctrees site/.buildinfo
echo "The site is at site/index.html."
