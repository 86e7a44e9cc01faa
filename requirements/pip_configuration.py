"""Prints what this machine tells pip, for use inside an image build: what holds there and nothing of this machine's disk.

    python3 requirements/pip_configuration.py >pip.conf

pip reads its files in a fixed order, then variables named PIP_*; the last one wins (pip documentation, "Configuration").
Only settings that say how an index is reached are kept. A constraint, find-links, a certificate or a ``file:`` address
names files that a build does not have, and the hashed locks need none of them. Each setting left out is named on stderr.
"""

from __future__ import annotations

import configparser
import os
import sys
from pathlib import Path

KEPT = ("index-url", "extra-index-url", "trusted-host", "proxy", "timeout", "default-timeout", "retries")


def configuration_files(environment: dict[str, str]) -> list[Path]:
    """Give the files that pip reads on this machine, in its order: all users', this user's, the named one."""
    home = Path(environment.get("HOME", "~")).expanduser()
    shared = environment.get("XDG_CONFIG_DIRS") or "/etc/xdg"
    own = Path(environment.get("XDG_CONFIG_HOME") or home / ".config")
    files = [Path(folder) / "pip/pip.conf" for folder in shared.split(":")]
    files += [Path("/etc/pip.conf"), home / ".pip/pip.conf", own / "pip/pip.conf"]
    named = environment.get("PIP_CONFIG_FILE")
    if named == os.devnull:  # pip's own way to say: read no file
        return []
    return [*files, Path(named)] if named else files


def read_settings(files: list[Path], environment: dict[str, str]) -> dict[str, str]:
    """Merge the settings of the files and the PIP_* variables; keys are written with hyphens."""
    parser = configparser.RawConfigParser()
    parser.read(files, encoding="utf-8")
    settings: dict[str, str] = {}
    for section in ("global", "install"):
        if parser.has_section(section):
            settings.update({key.replace("_", "-"): value for key, value in parser.items(section)})
    for variable, value in environment.items():
        if variable.startswith("PIP_") and variable != "PIP_CONFIG_FILE":
            settings[variable.removeprefix("PIP_").lower().replace("_", "-")] = value
    return settings


def portable(settings: dict[str, str]) -> tuple[dict[str, str], list[str]]:
    """Split settings into those that hold inside a build, and the names of those left out.

    Of a list of addresses, the ones on this machine's disk (``file:`` or a path) are left out and the others kept.
    """
    kept: dict[str, str] = {}
    left_out: list[str] = []
    for key, value in settings.items():
        if key not in KEPT:
            left_out.append(key)
            continue
        words = value.split()
        if key.endswith("index-url"):
            words = [word for word in words if word.startswith(("https://", "http://"))]
        if len(words) < len(value.split()):
            left_out.append(f"{key} on this machine's disk")
        if words:
            kept[key] = " ".join(words)
    return kept, left_out


def main() -> None:
    """Print the configuration."""
    environment = dict(os.environ)
    kept, left_out = portable(read_settings(configuration_files(environment), environment))
    parser = configparser.RawConfigParser()
    parser["global"] = kept
    parser.write(sys.stdout)
    if left_out:
        print("Left out of pip's configuration for builds: " + ", ".join(sorted(left_out)) + ".", file=sys.stderr)


if __name__ == "__main__":
    main()
