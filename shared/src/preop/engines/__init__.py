"""Running, building and exporting programs on this machine, as grand-challenge.org does: docker, podman, or a process."""
