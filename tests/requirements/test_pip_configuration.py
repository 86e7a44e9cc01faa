"""What of this machine's pip configuration enters an image build."""

from __future__ import annotations

import configparser
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
PROGRAM = REPOSITORY / "requirements/pip_configuration.py"


def printed(home: Path, **variables: str) -> tuple[dict[str, str], str]:
    environment = {"HOME": str(home), "XDG_CONFIG_DIRS": str(home / "shared"), "PATH": "/usr/bin:/bin", **variables}
    done = subprocess.run(
        [sys.executable, str(PROGRAM)], env=environment, capture_output=True, text=True, check=True, cwd=home
    )
    parser = configparser.RawConfigParser()
    parser.read_string(done.stdout)
    return dict(parser.items("global")), done.stderr


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_files_of_this_machine_stay_outside(tmp_path: Path) -> None:
    write(
        tmp_path / ".config/pip/pip.conf",
        "[global]\nconstraint = /etc/limits.txt\nfind-links = /srv/wheels\ncert = /etc/ca.pem\n"
        "client-cert = /etc/me.pem\nrequirement = more.txt\nindex-url = https://pip.hospital.example/simple\n",
    )
    settings, said = printed(tmp_path)
    assert settings["index-url"] == "https://pip.hospital.example/simple"
    assert not {"constraint", "find-links", "cert", "client-cert", "requirement"} & set(settings)
    assert "constraint" in said
    assert "client-cert" in said


def test_variables_are_treated_as_files_are(tmp_path: Path) -> None:
    settings, _ = printed(
        tmp_path, PIP_CONSTRAINT="/etc/limits.txt", PIP_FIND_LINKS="/srv/wheels", PIP_TRUSTED_HOST="pip.example"
    )
    assert settings.get("trusted-host") == "pip.example"
    assert not {"constraint", "find-links"} & set(settings)


def test_of_several_indexes_only_those_on_disk_are_left_out(tmp_path: Path) -> None:
    settings, said = printed(
        tmp_path,
        PIP_EXTRA_INDEX_URL="file:///srv/simple https://one.example/simple /srv/other http://two.example/simple",
    )
    assert settings["extra-index-url"] == "https://one.example/simple http://two.example/simple"
    assert "extra-index-url on this machine's disk" in said


def test_the_users_file_goes_over_the_shared_one_and_variables_over_both(tmp_path: Path) -> None:
    write(tmp_path / "shared/pip/pip.conf", "[global]\ntimeout = 1\nretries = 1\nproxy = http://a.example\n")
    write(tmp_path / ".config/pip/pip.conf", "[global]\ntimeout = 2\nretries = 2\n")
    settings, _ = printed(tmp_path, PIP_TIMEOUT="3")
    assert (settings["timeout"], settings["retries"], settings["proxy"]) == ("3", "2", "http://a.example")


def test_a_configuration_file_that_is_switched_off_is_not_read(tmp_path: Path) -> None:
    write(tmp_path / ".config/pip/pip.conf", "[global]\nretries = 2\n")
    settings, _ = printed(tmp_path, PIP_CONFIG_FILE="/dev/null")
    assert "retries" not in settings
