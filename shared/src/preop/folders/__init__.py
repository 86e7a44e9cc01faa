"""Folders of long work: resumed by content, locked against a second run, with safe names; and checksums of files."""

from preop.folders.contents import Contents, Noted, digest_of, files_of, sha256
from preop.folders.locks import LOCK_FILE, is_empty, locked, was_killed
from preop.folders.names import folder_names
from preop.folders.resuming import SETTINGS_FILE, Key, Place, Results, changed_parts, changes_told, open_resumable_run
from preop.folders.versions import PACKAGES, code_digest, package_versions, versions_digest

__all__ = [
    "LOCK_FILE",
    "PACKAGES",
    "SETTINGS_FILE",
    "Contents",
    "Key",
    "Noted",
    "Place",
    "Results",
    "changed_parts",
    "changes_told",
    "code_digest",
    "digest_of",
    "files_of",
    "folder_names",
    "is_empty",
    "locked",
    "open_resumable_run",
    "package_versions",
    "sha256",
    "versions_digest",
    "was_killed",
]
