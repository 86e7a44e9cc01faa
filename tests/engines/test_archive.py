"""Each upload rule of the platform refuses a small archive that breaks it, and only that one."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from preop.engines import archive
from preop.engines.archive import check_archive, check_model_archive, export, write_folder_archive
from preop.engines.containers import SOURCES_LABEL, ContainerEngine
from preop.engines.programs import Program, sources_digest
from preop.errors import InvalidInputError, InvalidOutputError, MissingToolError

LABEL = "org.grand-challenge.api-method"


def config(**changed: Any) -> dict[str, Any]:
    """What a good image says about itself; ``changed`` replaces parts of how it is run."""
    return {"architecture": "amd64", "os": "linux", "config": {"User": "preop", "Labels": {LABEL: "exec"}, **changed}}


def write_tar(path: Path, files: dict[str, bytes]) -> Path:
    with gzip.open(path, "wb") as compressed, tarfile.open(fileobj=compressed, mode="w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return path


def image_files(image: dict[str, Any], *, oci: bool = False, images: int = 1) -> dict[str, bytes]:
    """The files of an archive, in the layout of docker before version 25, or in that of the OCI since."""
    content = json.dumps(image).encode()
    digest = hashlib.sha256(content).hexdigest()
    name = f"blobs/sha256/{digest}" if oci else f"{digest}.json"
    manifest = json.dumps([{"Config": name, "RepoTags": ["preop/x:1"], "Layers": ["layer.tar"]}] * images).encode()
    # The layer stands first and is not JSON: what describes the image is found wherever it lies.
    files = {"layer.tar": b"\0" * 10240, name: content, "manifest.json": manifest}
    return {**files, "oci-layout": b"{}", "index.json": b"{}"} if oci else files


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Path]:
    def make(image: dict[str, Any], **layout: Any) -> Path:
        return write_tar(tmp_path / "image.tar.gz", image_files(image, **layout))

    return make


@pytest.mark.parametrize("oci", [False, True])
def test_a_good_image_passes_in_both_layouts(make, oci):
    path = make(config(), oci=oci)
    found = check_archive(path)
    assert (found.user, found.api_method, found.size_bytes) == ("preop", "exec", path.stat().st_size)
    assert found.sha256 == hashlib.sha256(json.dumps(config()).encode()).hexdigest()


def test_an_archive_need_not_be_compressed(tmp_path, make):
    plain = tmp_path / "image.tar"
    plain.write_bytes(gzip.decompress(make(config()).read_bytes()))
    assert check_archive(plain).user == "preop"


@pytest.mark.parametrize("count", [0, 2])
def test_exactly_one_image_is_taken(make, count):
    with pytest.raises(InvalidOutputError, match=f"holds {count} images; the platform takes exactly one"):
        check_archive(make(config(), images=count))


@pytest.mark.parametrize("architecture", ["arm64", None])
def test_another_architecture_is_refused(make, architecture):
    with pytest.raises(InvalidOutputError, match="the platform runs 'amd64' only"):
        check_archive(make({**config(), "architecture": architecture}))


@pytest.mark.parametrize("user", ["", None, "root", "0", "0:0", "root:root", "ROOT", "0:1000", " root", "00", ":10"])
def test_root_is_refused_in_all_spellings(make, user):
    with pytest.raises(InvalidOutputError, match="add a USER to the Dockerfile"):
        check_archive(make(config(User=user)))


@pytest.mark.parametrize("user", ["10001", "10001:0", "rooted", "1000:1000"])
def test_other_users_pass(make, user):
    assert check_archive(make(config(User=user))).user == user


@pytest.mark.parametrize(
    ("labels", "method"),
    [
        ({LABEL: "invoke"}, "invoke"),
        ({f" {LABEL.upper()}": " 'Invoke' "}, "invoke"),
        ({"other": "x"}, "exec"),
        (None, "exec"),
    ],
)
def test_the_label_is_read_as_the_platform_reads_it(make, labels, method):
    assert check_archive(make(config(Labels=labels))).api_method == method


@pytest.mark.parametrize("value", ["", "serve", "exec,invoke"])
def test_another_value_of_the_label_is_refused(make, value):
    with pytest.raises(InvalidOutputError, match="expected exec or invoke"):
        check_archive(make(config(Labels={LABEL: value})))


def test_a_program_does_what_its_label_promises(make):
    served = config(Labels={LABEL: "invoke"}, Env=["PATH=/usr/bin", "PREOP_API_METHOD=invoke"])
    assert check_archive(make(served)).api_method == "invoke"
    with pytest.raises(InvalidOutputError, match=r"label .*=invoke, but its program runs as exec"):
        check_archive(make(config(Labels={LABEL: "invoke"}, Env=["PREOP_API_METHOD=exec"])))
    with pytest.raises(InvalidOutputError, match=r"label .*=exec, but its program runs as invoke"):
        check_archive(make(config(Env=["PREOP_API_METHOD=invoke"])))


def test_an_archive_that_is_too_large_is_refused(make, monkeypatch):
    path = make(config())
    monkeypatch.setattr(archive, "LARGEST_UPLOAD_BYTES", path.stat().st_size)
    check_archive(path)
    monkeypatch.setattr(archive, "LARGEST_UPLOAD_BYTES", path.stat().st_size - 1)
    with pytest.raises(InvalidOutputError, match="GB at most"):
        check_archive(path)


@pytest.mark.parametrize("missing", ["manifest.json", ".json"])
def test_an_archive_without_its_description_is_refused(tmp_path, missing):
    files = {name: content for name, content in image_files(config()).items() if not name.endswith(missing)}
    with pytest.raises(InvalidOutputError, match="was it made with docker save"):
        check_archive(write_tar(tmp_path / "image.tar.gz", files))


def test_a_name_that_leads_out_of_the_archive_is_only_a_name(tmp_path):
    manifest = json.dumps([{"Config": "/etc/hostname"}]).encode()
    with pytest.raises(InvalidOutputError, match="lacks /etc/hostname"):
        check_archive(write_tar(tmp_path / "image.tar.gz", {"manifest.json": manifest}))


def test_an_image_whose_name_is_no_digest_is_refused(tmp_path):
    files = {"config.json": json.dumps(config()).encode(), "manifest.json": b'[{"Config": "config.json"}]'}
    with pytest.raises(InvalidOutputError, match="expected a sha256 digest"):
        check_archive(write_tar(tmp_path / "image.tar.gz", files))


@pytest.mark.parametrize("content", [b"{", b"[1]", b'[{"Config": "manifest.json"}]', b'{"a": 1}'])
def test_a_strange_manifest_is_refused_with_a_sentence(tmp_path, content):
    with pytest.raises(InvalidOutputError):
        check_archive(write_tar(tmp_path / "image.tar.gz", {"manifest.json": content}))


@pytest.mark.parametrize("kept", [0.5, 0.99])
def test_an_archive_that_was_cut_off_is_refused(make, kept):
    path = make(config())
    path.write_bytes(path.read_bytes()[: int(kept * path.stat().st_size)])
    with pytest.raises(InvalidOutputError, match="damaged or cut off"):
        check_archive(path)


def test_a_changed_byte_is_noticed_by_the_checksum_of_the_compression(make):
    path = make(config())
    content = bytearray(path.read_bytes())
    content[-6] ^= 1  # in the checksum
    path.write_bytes(content)
    with pytest.raises(InvalidOutputError, match="damaged or cut off"):
        check_archive(path)


# --- Models


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    (folder / "fold_0").mkdir(parents=True)
    (folder / "model.json").write_text("{}")
    (folder / "fold_0" / "weights.safetensors").write_bytes(b"1")
    return folder


def test_the_same_model_gives_the_same_bytes_without_a_top_folder(model, tmp_path):
    first, second = tmp_path / "first.tar.gz", tmp_path / "second.tar.gz"
    write_folder_archive(model, first)
    for path in model.rglob("*"):
        path.chmod(0o700)
        path.touch()
    write_folder_archive(model, second)
    assert first.read_bytes() == second.read_bytes()
    listed = subprocess.run(["tar", "-tzf", first], capture_output=True, text=True, check=True).stdout.split()
    assert listed == ["fold_0/", "fold_0/weights.safetensors", "model.json"]
    check_model_archive(first)


def test_a_model_packed_as_the_platform_tells_passes(model, tmp_path):
    path = tmp_path / "model.tar.gz"
    subprocess.run(["tar", "-czf", path, "-C", model, "."], check=True)
    check_model_archive(path)


def test_a_model_with_a_top_folder_is_refused(model, tmp_path):
    path = tmp_path / "model.tar.gz"
    subprocess.run(["tar", "-czf", path, "-C", tmp_path, "model"], check=True)
    with pytest.raises(InvalidOutputError, match=r"no model\.json at its top \(it lies in model\)"):
        check_model_archive(path)


def test_a_model_without_its_description_is_refused(tmp_path):
    with pytest.raises(InvalidOutputError, match=r"no model\.json at its top \(there is none\)"):
        check_model_archive(write_tar(tmp_path / "model.tar.gz", {"weights.json": b"{}"}))


@pytest.mark.parametrize("name", ["/model.json", "../model.json"])
def test_a_model_that_reaches_out_of_its_folder_is_refused(tmp_path, name):
    with pytest.raises(InvalidOutputError, match="expected plain files below its top only"):
        check_model_archive(write_tar(tmp_path / "model.tar.gz", {name: b"{}"}))


def test_a_model_with_a_link_is_refused(model, tmp_path):
    (model / "link").symlink_to("/etc/hostname")
    path = tmp_path / "model.tar.gz"
    subprocess.run(["tar", "-czf", path, "-C", model, "."], check=True)
    with pytest.raises(InvalidOutputError, match="link"):
        check_model_archive(path)


# --- Export


@pytest.fixture
def engine(tmp_path: Path) -> ContainerEngine:
    """An engine whose only image has the labels in labels.json, and is saved as what lies in saved.tar."""
    script = tmp_path / "docker"
    script.write_text(
        f'#!/bin/sh\ncase "$1" in image) test -e {tmp_path}/saved.tar && cat {tmp_path}/labels.json;; '
        f'save) cat {tmp_path}/saved.tar; test ! -e {tmp_path}/broken || {{ echo "disk on fire" >&2; exit 1; }};; esac\n'
    )
    script.chmod(0o755)
    return ContainerEngine("docker", (str(script),))


@pytest.fixture
def program(tmp_path: Path) -> Program:
    """A program whose image was built from its sources as they are."""
    folder = tmp_path / "x"
    folder.mkdir()
    program = Program("x", "X", "1.0.0", "x.inference", folder, tmp_path, "imaging", memory_gb=1, time_limit_s=1)
    (tmp_path / "labels.json").write_text(json.dumps({SOURCES_LABEL: sources_digest(program)}))
    return program


def save(tmp_path: Path, image: dict[str, Any]) -> None:
    packed = write_tar(tmp_path / "saved.tar.gz", image_files(image))
    (tmp_path / "saved.tar").write_bytes(gzip.decompress(packed.read_bytes()))


def test_an_export_holds_image_model_and_digests(engine, program, model, tmp_path):
    save(tmp_path, config())
    done = export(engine, program, tmp_path / "exports", model=model)
    assert sorted(path.name for path in (tmp_path / "exports/x").iterdir()) == [
        "SHA256SUMS",
        "model.tar.gz",
        "x.tar.gz",
    ]
    assert {path.name for path in done.written} == {"x.tar.gz", "model.tar.gz"}
    subprocess.run(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=done.folder, check=True, capture_output=True)


def test_an_evaluation_is_exported_with_its_ground_truth(engine, program, tmp_path):
    save(tmp_path, config())
    (tmp_path / "truth").mkdir()
    (tmp_path / "truth/ground_truth.csv").write_text("patient\n")
    done = export(engine, program, tmp_path / "exports", ground_truth=tmp_path / "truth")
    assert {path.name for path in done.files} == {"x.tar.gz", "ground_truth.tar.gz", "SHA256SUMS"}


def test_exporting_the_same_again_writes_nothing(engine, program, model, tmp_path):
    save(tmp_path, config())
    export(engine, program, tmp_path / "exports", model=model)
    assert export(engine, program, tmp_path / "exports", model=model).written == ()


def test_another_export_is_replaced_only_when_forced(engine, program, model, tmp_path):
    save(tmp_path, config())
    before = export(engine, program, tmp_path / "exports", model=model).image
    save(tmp_path, config(User="other"))
    with pytest.raises(InvalidOutputError, match=r"x\.tar\.gz exists already with other content.*--force"):
        export(engine, program, tmp_path / "exports", model=model)
    assert check_archive(tmp_path / "exports/x/x.tar.gz") == before
    assert export(engine, program, tmp_path / "exports", model=model, force=True).image.user == "other"


def test_an_image_that_the_platform_refuses_is_not_exported(engine, program, tmp_path):
    save(tmp_path, config(User="root"))
    with pytest.raises(InvalidOutputError, match="runs as root"):
        export(engine, program, tmp_path / "exports")
    assert list((tmp_path / "exports/x").iterdir()) == []


def test_an_engine_that_fails_to_save_is_quoted_and_leaves_nothing(engine, program, tmp_path):
    save(tmp_path, config())
    (tmp_path / "broken").touch()
    with pytest.raises(MissingToolError, match=r"could not save preop/x:1\.0\.0: disk on fire"):
        export(engine, program, tmp_path / "exports")
    assert list((tmp_path / "exports/x").iterdir()) == []


def test_an_image_that_was_not_built_is_refused(engine, program, tmp_path):
    with pytest.raises(MissingToolError, match=r"build it with \./build\.sh x"):
        export(engine, program, tmp_path / "exports")


def test_an_image_of_other_sources_is_not_exported(engine, program, tmp_path):
    save(tmp_path, config())
    (program.folder / "inference.py").touch()
    with pytest.raises(MissingToolError, match=r"built from other sources: build it again with \./build\.sh x"):
        export(engine, program, tmp_path / "exports")
    assert list((tmp_path / "exports/x").iterdir()) == []


def test_a_model_folder_that_is_not_there_is_refused(engine, program, tmp_path):
    save(tmp_path, config())
    with pytest.raises(InvalidInputError, match="no folder"):
        export(engine, program, tmp_path / "exports", model=tmp_path / "nowhere")
