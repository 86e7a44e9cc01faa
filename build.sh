#!/usr/bin/env bash
# Usage: ./build.sh [ALGORITHM] ...
# Builds the images of the algorithms and of the evaluation with docker or podman.
# PREOP_FLAVOUR=cuda builds those with torch, for GPUs and the networks of others (docs/containers.md).
# PREOP_BASE_IMAGE names another image to build on. PREOP_BUILD_OPTIONS holds further options of the engine's build; in a
# network with its own package index or certificate authority (both secrets stay outside the image; docs/containers.md), after
# python3 requirements/pip_configuration.py >/tmp/pip.conf, which leaves out what names files of this machine:
#   --network=host --secret=id=pip,src=/tmp/pip.conf --secret=id=certificates,src=/etc/ssl/certs/ca-certificates.crt
set -euo pipefail
cd "$(dirname "$0")"
if ! docker version >/dev/null 2>&1 && ! podman info >/dev/null 2>&1; then
    echo "Images need docker or podman, and neither works here: start docker's daemon, or install podman and runc." >&2
    exit 1
fi
requirements/install.sh imaging
exec .venv/bin/preop build "$@"
