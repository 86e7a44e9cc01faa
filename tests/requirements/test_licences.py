"""Every locked package has a licence that is known and allowed."""

import importlib.util
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import ModuleType

import pytest

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def licences() -> ModuleType:
    spec = importlib.util.spec_from_file_location("licences", REPOSITORY / "requirements" / "licences.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_locked_package_is_in_the_table(licences: ModuleType) -> None:
    assert set(licences.noted()) == set(licences.locked())


def test_every_licence_is_allowed_where_it_is(licences: ModuleType) -> None:
    noted = licences.noted()
    assert {
        name: parts for name, locks in licences.locked().items() if (parts := licences.refused(noted[name], locks))
    } == {}


def test_the_table_says_what_the_packages_say(licences: ModuleType) -> None:
    def installed(name: str) -> bool:
        try:
            return bool(version(name))
        except PackageNotFoundError:
            return False

    noted = licences.noted()
    assert {name: noted[name] for name in noted if installed(name) and licences.stated(name) != noted[name]} == {}


@pytest.mark.parametrize(
    ("licence", "locks", "refused"),
    [
        ("MIT", {"imaging"}, []),
        ("GPL-3.0-only", {"imaging", "development"}, ["GPL-3.0-only"]),
        ("GPL-3.0-only", {"development"}, []),
        ("GPL-3.0-only OR MIT", {"imaging"}, []),
        ("MIT AND (BSD-3-Clause OR GPL-2.0-only)", {"imaging"}, []),
        ("MIT AND (AGPL-3.0-only OR GPL-2.0-only)", {"imaging"}, ["AGPL-3.0-only"]),
        ("LicenseRef-NVIDIA", {"imaging"}, ["LicenseRef-NVIDIA"]),
        ("unknown", {"docs"}, ["unknown"]),
    ],
)
def test_what_is_allowed(licences: ModuleType, licence: str, locks: set[str], refused: list[str]) -> None:
    assert licences.refused(licence, locks) == refused
