"""Commands for grand-challenge.org: what to ask for, and what to upload."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Annotated

import typer

from preop.cli import repository
from preop.cli.app import app
from preop.cli.options import AlgorithmName, CohortOption
from preop.errors import InvalidInputError, InvalidOutputError
from preop.grandchallenge.algorithm import SOCKETS_FILE, with_stand_ins
from preop.wording import counted

CLIENT_PYTHON = "requirements/.venv-upload/bin/python"
"""Made by requirements/apart.sh upload."""


@app.command()
def sockets(
    algorithm: AlgorithmName,
    sockets: Annotated[
        Path | None, typer.Option(help="sockets.toml: sockets of the platform that stand for some of ours.")
    ] = None,
    existing: Annotated[
        Path | None, typer.Option(help="JSON of the platform's list of sockets: says which of ours are there.")
    ] = None,
    all_interfaces: Annotated[  # noqa: FBT002
        bool, typer.Option("--all-interfaces", help="Every accepted combination of inputs, not only the core.")
    ] = False,
    output: Annotated[Path | None, typer.Option(help="Write the requests as JSON.")] = None,
    keep: Annotated[  # noqa: FBT002
        bool, typer.Option("--keep", help="Put sockets.toml beside algorithm.toml: images that are built hold it.")
    ] = False,
) -> None:
    """Print what to ask grand-challenge.org for: each socket as its form takes it, and the interfaces.

    Examples: `preop sockets sarcoma_lung_metastasis`;
    `preop sockets sarcoma_lung_metastasis --sockets my-sockets.toml --existing list.json --keep`
    """
    from preop.atomic import write_text
    from preop.grandchallenge.sockets import compare, describe, interface_requests, requests
    from preop.grandchallenge.values import read_json, to_json

    described = repository.find_algorithm(algorithm)
    if sockets is not None:
        described = with_stand_ins(described, sockets)
    if existing is not None:
        listed = read_json(existing)
        found = listed.get("results") if isinstance(listed, dict) else listed
        if not isinstance(found, list):
            raise InvalidInputError(f"{existing} is no list of sockets; expected what the API gives, with its results.")
        for sentence in compare(described, found):
            typer.echo(sentence)
    else:
        typer.echo(describe(described, every=all_interfaces))
    if output is not None:
        content = {
            **requests(described, every=all_interfaces),
            "interfaces": interface_requests(described, every=all_interfaces),
        }
        if output.exists():
            raise InvalidOutputError(f"{output} exists already: name another file.")
        write_text(output, to_json(content))
    if keep:
        if sockets is None:
            raise InvalidInputError("--keep needs the file to keep: --sockets my-sockets.toml.")
        target = described.folder / SOCKETS_FILE
        if target.exists() and target.read_bytes() != sockets.read_bytes():
            raise InvalidOutputError(f"{target} exists already with other content: move it away first.")
        shutil.copyfile(sockets, target)
        typer.echo(f"{target} is in the images that are built from now on.")


@app.command()
def upload(
    algorithm: AlgorithmName,
    cohort: CohortOption,
    archive: Annotated[str, typer.Option(help="Slug of the archive, as it stands in its address.")],
    sockets: Annotated[
        Path | None, typer.Option(help="sockets.toml: sockets of the platform that stand for some of ours.")
    ] = None,
    only: Annotated[
        Path | None, typer.Option(help="Text file with the names of the patients to take, one a line.")
    ] = None,
    send: Annotated[  # noqa: FBT002
        bool, typer.Option("--send", help="Send; without it, only say what would be sent.")
    ] = False,
    address: Annotated[
        str | None, typer.Option(help="Address of the API; by default that of grand-challenge.org.")
    ] = None,
) -> None:
    """Put the patients of a cohort into an archive of grand-challenge.org: one item each, by the platform's own client.

    Titles are the names of the table: use pseudonyms. What is there already stays as it is; the same call goes on where an
    earlier one was stopped. The token is read from GRAND_CHALLENGE_AUTHORIZATION.

    Examples: `preop upload sarcoma_lung_metastasis --cohort hospital/cohort.csv --archive my-archive`, then with `--send`
    """
    from preop.cohort import FailedPatientsError, read_cohort, tell
    from preop.upload import ADDRESS, TOKEN_VARIABLE, only_named, planned, send_cohort

    described = repository.find_algorithm(algorithm)
    if sockets is not None:
        described = with_stand_ins(described, sockets)
    patients = read_cohort(cohort, described)
    tell(patients.notes)
    if only is not None:
        patients = only_named(patients, only)
    plan = planned(patients)
    total = sum(sum(sizes.values()) for sizes in plan.values()) / 1e6
    slugs = sorted({slug for sizes in plan.values() for slug in sizes})
    typer.echo(
        f"{counted(len(plan), 'patient')}, {total:.0f} MB of files as they lie here, for the sockets {', '.join(slugs)}."
    )
    if not send:
        typer.echo(f"Nothing was sent. The same call with --send adds what {archive} does not have yet.")
        return
    if not os.environ.get(TOKEN_VARIABLE):
        raise InvalidInputError(
            f"{TOKEN_VARIABLE} is not set: make a token at https://grand-challenge.org/settings/api-tokens/, and export it."
        )
    outcome = send_cohort(patients, repository.ROOT / CLIENT_PYTHON, archive, address or ADDRESS)
    typer.echo(f"{outcome.sent} items added or completed, {outcome.kept} were there already.")
    if outcome.failures:
        reasons = "\n".join(f"{name}: {reason}" for name, reason in outcome.failures.items())
        raise FailedPatientsError(f"{len(outcome.failures)} of {len(plan)} patients were not sent:\n{reasons}")


def write_phase(name: str, algorithm: str, cohort: Path | None, output: Path | None, debug: int) -> None:
    """Make the pack of a challenge (``preop new NAME --phase ALGORITHM``)."""
    from preop.cohort import read_cohort, tell
    from preop.upload import write_pack

    if cohort is None:
        raise InvalidInputError("A challenge needs its patients: --cohort cohort.csv, with the reference standard.")
    described = repository.find_algorithm(algorithm)
    patients = read_cohort(cohort, described)
    tell(patients.notes)
    task = repository.ground_truth_folder(described) / "task.toml"
    page = write_pack(name, patients, task, output or Path(name), debug=debug)
    typer.echo(f"The pack is in {page.parent}; {page} leads through it.")
