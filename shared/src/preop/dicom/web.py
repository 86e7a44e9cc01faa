"""A PACS by DICOMweb (DICOM PS3.18): series searched for (QIDO), fetched (WADO) and stored (STOW), through dicomweb-client.

Names and passwords come from ``~/.netrc``, a token from the environment variable ``PREOP_DICOMWEB_TOKEN``, certificates from
``REQUESTS_CA_BUNDLE``: none of them is ever an option, which others could see in the list of processes.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from preop.atomic import remove_leftovers, replacing_folder
from preop.errors import InvalidInputError, InvalidOutputError, MissingToolError
from preop.folders import folder_names
from preop.progress import progress_bar

TOKEN = "PREOP_DICOMWEB_TOKEN"  # noqa: S105 - the name of a variable
ALL = "*"
TIMEOUT_S = 120.0
_STUDY, _SERIES, _MODALITY = "0020000D", "0020000E", "00080060"


def download(
    url: str, folder: Path, *, patients: Collection[str], modalities: Collection[str], dates: str | None = None
) -> int:
    """Fetch the series of some patients, each into a folder of its own; a series that is there is not fetched again.

    Parameters
    ----------
    url
        Of the server's DICOMweb service, such as ``http://localhost:8042/dicom-web``.
    patients
        Numbers of patients; ``*`` for all of the server.
    modalities
        Series of others stay where they are.
    dates
        Day or range of days of examinations, ``20240101-20240630``.

    Returns
    -------
    How many series were fetched now.

    Raises
    ------
    InvalidInputError
        If the server cannot be reached, refuses, or has none of these patients.
    """
    client = _client(url)
    folder.mkdir(parents=True, exist_ok=True)
    remove_leftovers(folder)
    with _told(url):
        found = sorted(set(_series_of(client, patients, modalities, dates)))
    if not found:
        raise InvalidInputError(
            f"{url} has no series ({', '.join(sorted(modalities))}) of these patients{f' from {dates}' if dates else ''}; look at "
            "their numbers and the dates."
        )
    names = folder_names(series for _, series in found)
    wanted = [each for each in found if not (folder / names[each[1]]).is_dir()]
    with progress_bar("Fetching series", len(wanted)) as advance:
        for study, series in wanted:
            with _told(url), replacing_folder(folder / names[series]) as partial:
                for number, instance in enumerate(client.iter_series(study, series)):
                    instance.save_as(partial / f"{number:06d}.dcm", enforce_file_format=True)
            advance(1)
    return len(wanted)


def store(url: str, files: Sequence[Path]) -> None:
    """Store objects on a server.

    Raises
    ------
    InvalidInputError
        If the server cannot be reached or refuses.
    InvalidOutputError
        If it did not take an object, with its reason.
    """
    import pydicom

    client = _client(url)
    with progress_bar("Storing", len(files)) as advance:
        for file in files:
            with _told(url), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                answer = client.store_instances([pydicom.dcmread(file)])
            failed = answer.get("FailedSOPSequence")
            if failed:
                reason = failed[0].get("FailureReason", "")
                raise InvalidOutputError(f"{url} did not store {file.name} (failure reason {reason}).")
            advance(1)


def _client(url: str) -> Any:
    try:
        from dicomweb_client.api import DICOMwebClient
    except ImportError as error:
        raise MissingToolError("dicomweb-client is not installed: requirements/install.sh hospital") from error
    if not url.startswith(("http://", "https://")):
        raise InvalidInputError(f"{url} is no address of a DICOMweb service; expected http://... or https://...")
    token = os.environ.get(TOKEN)
    headers = {"Authorization": f"Bearer {token}"} if token else None
    client = DICOMwebClient(url.rstrip("/"), headers=headers, timeout=TIMEOUT_S)
    client.set_http_retry_params(max_attempts=3, wait_exponential_multiplier=300)
    return client


def _series_of(
    client: Any, patients: Collection[str], modalities: Collection[str], dates: str | None
) -> Iterator[tuple[str, str]]:
    """UIDs of study and series of all that is wanted."""
    for patient in patients:
        filters = {} if patient == ALL else {"PatientID": patient}
        if dates:
            filters["StudyDate"] = dates
        for study in client.search_for_studies(search_filters=filters, get_remaining=True):
            uid = _value(study, _STUDY)
            for series in client.search_for_series(uid, get_remaining=True):
                if _value(series, _MODALITY) in modalities:
                    yield uid, _value(series, _SERIES)


def _value(item: Any, tag: str) -> str:
    return str((item.get(tag, {}).get("Value") or [""])[0])


@contextmanager
def _told(url: str) -> Iterator[None]:
    """Turn what goes wrong between here and the server into a sentence."""
    import requests

    try:
        yield
    except requests.HTTPError as error:
        status = error.response.status_code if error.response is not None else "none"
        raise InvalidInputError(
            f"{url} refused (HTTP status {status}): look at the address, and at name and password in ~/.netrc or {TOKEN}."
        ) from error
    except (requests.RequestException, OSError) as error:
        raise InvalidInputError(f"{url} cannot be reached ({type(error).__name__}): is the server running?") from error
    except ValueError as error:
        raise InvalidInputError(f"{url} gave an answer that is no DICOMweb: {error}.") from error
