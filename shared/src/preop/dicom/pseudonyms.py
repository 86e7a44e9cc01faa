"""Names of patients in a cohort: a keyed hash of their number, so that who lacks the key cannot tell whose it is.

The same key gives the same patient the same name in every cohort; a hash without a key could be tried out, for numbers of
patients are short.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
from pathlib import Path

from preop.dicom.headers import Header
from preop.errors import InvalidInputError

KEY_BYTES = 32
_LETTERS = 10  # 50 bits: of 100,000 patients two are alike once in 200,000 cohorts


def read_key(path: Path) -> bytes:
    """Read the key, or make one where there is none, which its owner alone can read.

    Raises
    ------
    InvalidInputError
        If the file holds no key.
    """
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(secrets.token_hex(KEY_BYTES) + "\n")
    try:
        key = bytes.fromhex(path.read_text(encoding="ascii").strip())
    except (OSError, ValueError) as error:
        raise InvalidInputError(f"{path} holds no key; expected {2 * KEY_BYTES} hexadecimal digits.") from error
    if len(key) < KEY_BYTES:
        raise InvalidInputError(f"{path} holds a key of {len(key)} bytes; expected {KEY_BYTES} or more.")
    return key


def person(header: Header) -> str:
    """Give what stands for a person in headers: the number with who issued it, else name and birth date, else the examination."""
    number = str(header.get("PatientID", "")).strip()
    if number:
        return "\0".join((str(header.get("IssuerOfPatientID", "")).strip(), number))
    named = [str(header.get(tag, "")) for tag in ("PatientName", "PatientBirthDate")]
    return "\0".join(("name", *named)) if all(named) else f"study\0{header.get('StudyInstanceUID', '')}"


def pseudonym(who: str, key: bytes) -> str:
    """Give the name of a person in cohorts: P and ten letters or digits."""
    digest = hmac.new(key, who.encode("utf-8", "surrogatepass"), hashlib.sha256).digest()
    return "P" + base64.b32encode(digest).decode()[:_LETTERS]
