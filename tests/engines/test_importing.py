"""What somebody else has exported is taken in only as it was exported, and nowhere but where it belongs."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import subprocess
import tarfile
from pathlib import Path

import pytest

from preop.engines import importing
from preop.engines.archive import CHECKSUMS, save_image, write_folder_archive
from preop.engines.containers import ContainerEngine
from preop.engines.importing import check_listed, imported_program, unpack_model
from preop.engines.programs import Program
from preop.engines.running import run
from preop.errors import InvalidInputError, MissingToolError
from tests.engines.conftest import case
from tests.engines.test_archive import config, image_files, write_tar


def listed(path: Path) -> Path:
    """List a file as an export does."""
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    path.with_name(CHECKSUMS).write_text(f"{digest}  {path.name}\n")
    return path


@pytest.fixture
def model_archive(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    (folder / "networks").mkdir(parents=True)
    (folder / "model.json").write_text("{}")
    (folder / "networks" / "weights.bin").write_bytes(b"weights")
    (tmp_path / "export").mkdir()
    write_folder_archive(folder, tmp_path / "export" / "model.tar.gz")
    return listed(tmp_path / "export" / "model.tar.gz")


def test_a_file_has_to_be_listed_with_its_checksum(model_archive: Path) -> None:
    assert check_listed(model_archive) == hashlib.sha256(model_archive.read_bytes()).hexdigest()
    sums = model_archive.with_name(CHECKSUMS)
    sums.write_text(sums.read_text().replace(" model.tar.gz", " other.tar.gz"))
    with pytest.raises(InvalidInputError, match=r"does not list model\.tar\.gz; it lists other\.tar\.gz"):
        check_listed(model_archive)
    sums.write_text(f"{'0' * 64} *model.tar.gz\n")
    with pytest.raises(InvalidInputError, match="is not the file that was exported: its SHA-256 is"):
        check_listed(model_archive)
    sums.unlink()
    with pytest.raises(InvalidInputError, match="There is no SHA256SUMS beside"):
        check_listed(model_archive)
    with pytest.raises(InvalidInputError, match="There is no file"):
        check_listed(model_archive.with_name("none"))


def test_a_model_is_unpacked_once_beside_the_outputs(model_archive: Path, tmp_path: Path) -> None:
    output = tmp_path / "output"
    folder = unpack_model(model_archive, output)
    assert {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} == {
        "model.json",
        "networks/weights.bin",
    }
    made = (folder / "model.json").stat().st_mtime_ns
    assert unpack_model(model_archive, output) == folder
    assert (folder / "model.json").stat().st_mtime_ns == made


def entry(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    found = tarfile.TarInfo(name)
    found.type, found.linkname = kind, link
    return found


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ([entry("../escaped")], "holds '../escaped'; expected plain files below its top only"),
        ([entry("/tmp/escaped")], "holds '/tmp/escaped'"),  # noqa: S108 - what a bad archive would write
        ([entry("link", tarfile.SYMTYPE, "/etc/passwd")], "holds 'link'"),
        ([entry("hard", tarfile.LNKTYPE, "model.json")], "holds 'hard'"),
        ([entry("pipe", tarfile.FIFOTYPE)], "holds 'pipe'"),
        ([entry("same"), entry("same")], "cannot be unpacked: File exists"),
        ([entry("same"), entry("same/below")], "cannot be unpacked"),
    ],
)
def test_a_model_archive_writes_nothing_outside_and_nothing_but_files(
    tmp_path: Path, entries: list[tarfile.TarInfo], said: str
) -> None:
    path = tmp_path / "model.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        for each in [entry("model.json"), *entries]:
            tar.addfile(each, io.BytesIO())
    with pytest.raises(InvalidInputError, match=said):
        unpack_model(listed(path), tmp_path / "output")
    assert not list(tmp_path.rglob("escaped"))
    assert not list((tmp_path / "output").glob("*")) if (tmp_path / "output").is_dir() else True


def test_a_model_that_would_fill_the_disk_is_refused(model_archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importing, "LARGEST_UPLOAD_BYTES", 5)
    with pytest.raises(InvalidInputError, match="and the platform takes no more"):
        unpack_model(model_archive, model_archive.parent)
    assert not list(model_archive.parent.glob(".model-*"))


def test_an_image_under_a_wrong_name_or_of_another_program_is_refused(
    tmp_path: Path, program: Program, recorder: ContainerEngine
) -> None:
    good = image_files(config())
    name = next(file for file in good if file.endswith(".json") and file != "manifest.json")
    forged = {**good, name: json.dumps({**config(), "os": "plan9"}).encode()}
    with pytest.raises(InvalidInputError, match="and that is not its checksum"):
        imported_program(recorder, program, listed(write_tar(tmp_path / "image.tar.gz", forged)))
    other = image_files(config(Labels={"org.opencontainers.image.title": "Another"}))
    with pytest.raises(InvalidInputError, match=r"holds 'Another'; expected an image of Probe\."):
        imported_program(recorder, program, listed(write_tar(tmp_path / "image.tar.gz", other)))
    assert not (tmp_path / "called").exists()


def test_only_the_image_reaches_the_engine_and_none_of_its_names(tmp_path: Path, program: Program) -> None:
    layer = hashlib.sha256(b"\0" * 10240).hexdigest()
    image = {**config(), "rootfs": {"diff_ids": [f"sha256:{layer}"]}}
    files = {**image_files(image), "evil": b"x", "repositories": b'{"python": {"3.11": "x"}}'}
    digest = next(file for file in files if file.endswith(".json") and file != "manifest.json").removesuffix(".json")
    script = tmp_path / "docker"
    script.write_text(
        f'#!/bin/sh\n[ "$1" = load ] || exit 1\ncat > {tmp_path}/loaded.tar\necho "Loaded image ID: sha256:{"e" * 64}"\n'
    )
    script.chmod(0o755)
    engine = ContainerEngine("docker", (str(script),))
    imported, described = imported_program(engine, program, listed(write_tar(tmp_path / "image.tar.gz", files)))
    assert (imported.image, described.sha256) == (f"sha256:{'e' * 64}", digest)
    with tarfile.open(tmp_path / "loaded.tar") as tar:
        assert sorted(tar.getnames()) == sorted(["layer.tar", f"{digest}.json", "manifest.json"])
        manifest = json.load(tar.extractfile("manifest.json"))  # type: ignore[arg-type]
    assert manifest == [{"Config": f"{digest}.json", "RepoTags": None, "Layers": ["layer.tar"]}]
    (tmp_path / "loaded.tar").unlink()
    forged = listed(write_tar(tmp_path / "image.tar.gz", {**files, "layer.tar": b"\1" * 10240}))
    with pytest.raises(InvalidInputError, match=r"image\.tar\.gz holds other layers than its image was made with"):
        imported_program(engine, program, forged)
    zipped = {**files, "layer.tar": gzip.compress(b"\0" * 10240)}
    imported_program(engine, program, listed(write_tar(tmp_path / "image.tar.gz", zipped)))
    script.write_text("#!/bin/sh\ncat > /dev/null\necho 'no space left' >&2\nexit 1\n")
    with pytest.raises(MissingToolError, match=r"does not take the image in image\.tar\.gz: no space left"):
        imported_program(engine, program, tmp_path / "image.tar.gz")


def test_an_exported_image_runs_in_place_of_the_one_built_here(
    container: ContainerEngine, program: Program, tmp_path: Path
) -> None:
    """Saved, removed, taken in and run, with an identity that is the digest of its archive."""
    path = tmp_path / "probe.tar.gz"
    save_image(container, program, path)
    built = container.identify(program)
    remove = [*container.command, "rmi", "--force", program.image]
    subprocess.run(remove, capture_output=True, check=True)
    imported, described = imported_program(container, program, listed(path))
    subprocess.run(
        [*container.command, "tag", imported.image.removeprefix("sha256:"), program.image],
        capture_output=True,
        check=True,
    )
    identity = container.identify(imported)
    assert (identity.image_sha256, identity.layers_sha256) == (described.sha256, built.layers_sha256)
    assert identity.versions["python"].startswith("3.")
    done = run(container, imported, input=case(tmp_path, "write"), output=tmp_path / "output")
    assert done.error is None
    assert (tmp_path / "output" / "images" / "facts.json").is_file()
