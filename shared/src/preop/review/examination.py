"""The checks of a whole cohort in the background: each patient once, and again when a mask of theirs changes."""

from __future__ import annotations

import json
import logging
import queue
import threading
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from preop.atomic import write_bytes
from preop.errors import PreopError
from preop.folders import Contents, digest_of
from preop.imaging import Image, read_image
from preop.review.checks import Finding, Kind, MaskFacts, examine_mask, examine_scan, volumes_out_of_range
from preop.review.plausibility import implausible
from preop.review.records import Records, Standing
from preop.review.subjects import Subject
from preop.review.thumbnails import thumbnail
from preop.study import plausibility_of

log = logging.getLogger(__name__)

VERSION = 2
"""Counts changes of the checks: what was remembered from earlier ones is then checked again."""


@dataclass(frozen=True)
class Examined:
    """What the checks have found for a patient."""

    masks: Mapping[str, MaskFacts]
    findings: tuple[Finding, ...]
    picture: Path | None


class Examination:
    """Checks patients one after another in a thread of its own.

    Parameters
    ----------
    records
        Whose masks are checked.
    folder
        For thumbnails, and for what need not be checked again at the next start.
    """

    def __init__(self, records: Records, folder: Path) -> None:
        self._records = records
        self._pictures = folder / "thumbnails"
        self._pictures.mkdir(parents=True, exist_ok=True)
        self._contents = Contents(folder / "checks.json")
        self._expected = plausibility_of(records.cohort.algorithm)
        self._subjects = {subject.name: subject for subject in records.cohort.subjects}
        self._found: dict[int, Examined] = {}
        self._waiting: queue.Queue[int | None] = queue.Queue()
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin with all patients."""
        for standing in self._records.all():
            self._waiting.put(standing.id)
        self._thread = threading.Thread(target=self._work, name="checks", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End after the patient at hand."""
        self._ending.set()
        self._waiting.put(None)
        if self._thread is not None:
            self._thread.join(timeout=10)

    def again(self, patient: int) -> None:
        """Check a patient whose masks have changed."""
        self._waiting.put(patient)

    def of(self, patient: int) -> Examined | None:
        """Give what was found, or None where the checks have not come that far."""
        return self._found.get(patient)

    def findings(self) -> dict[int, list[Finding]]:
        """Give all findings by patient, with those that come from comparing the cohort."""
        found = {patient: list(examined.findings) for patient, examined in dict(self._found).items()}
        volumes: defaultdict[str, dict[int, float]] = defaultdict(dict)
        for patient, examined in dict(self._found).items():
            for slug, facts in examined.masks.items():
                found[patient] += facts.findings
                if facts.volume_ml is not None:
                    volumes[slug][patient] = facts.volume_ml
        for slug, each in volumes.items():
            for patient, finding in volumes_out_of_range(each, slug).items():
                found[patient].append(finding)
        return found

    def _work(self) -> None:
        while (patient := self._waiting.get()) is not None and not self._ending.is_set():
            try:
                self._found[patient] = self.examine(self._records.one(patient))
            except Exception:  # the others are still to be checked
                log.exception("The checks of patient %d failed.", patient)
                failed = Finding(Kind.UNREADABLE, "", "The automatic checks failed: see what the server printed.")
                self._found[patient] = Examined({}, (failed,), None)
            if self._waiting.empty():
                self._contents.save()
        self._contents.save()

    def examine(self, standing: Standing) -> Examined:
        """Check all scans and masks of one patient."""
        subject = self._subjects[standing.name]
        facts: dict[str, MaskFacts] = {}
        findings: list[Finding] = []
        picture: Path | None = None
        for scan in self._records.cohort.scans:
            kinds = [kind for kind in self._records.cohort.masks if kind.of == scan.slug]
            if scan.slug not in subject.scans:
                if subject.masks.keys() & {kind.slug for kind in kinds}:
                    findings.append(Finding(Kind.MISSING, scan.slug, f"There is a mask, but no {scan.title}."))
                continue
            paths = {kind.slug: self._records.path_of(standing, kind.slug) for kind in kinds}
            findings += [
                Finding(Kind.MISSING, slug, "There is no mask yet: draw it.")
                for slug, path in paths.items()
                if not path
            ]
            try:
                noted = self._examined(subject, scan.slug, {slug: path for slug, path in paths.items() if path})
            except PreopError as error:
                findings.append(Finding(Kind.UNREADABLE, scan.slug, str(error)))
                continue
            findings += [_finding(each) for each in noted["scan"]]
            for slug, each in noted["masks"].items():
                facts[slug] = MaskFacts(each["volume_ml"], tuple(map(_finding, each["findings"])))
            picture = picture or self._pictures / noted["picture"]
        return Examined(facts, tuple(findings), picture)

    def _examined(self, subject: Subject, slug: str, masks: Mapping[str, Path]) -> dict[str, Any]:
        """Check a scan with its masks, or remember what was found in these very files."""
        scan_path = subject.scans[slug]
        states = [self._contents.of(path) if path.exists() else "gone" for path in masks.values()]
        key = digest_of([VERSION, slug, subject.mask_labels, *zip(masks, states, strict=True)])
        name = f"{digest_of([key, self._contents.of(scan_path)])[:20]}.png"
        noted = self._contents.known(scan_path, f"review {key}") if (self._pictures / name).is_file() else None
        if noted is None:
            noted = json.dumps(self._compute(scan_path, subject, slug, masks, name))
            self._contents.note(scan_path, f"review {key}", noted)
        return dict(json.loads(noted))

    def _compute(
        self, path: Path, subject: Subject, slug: str, masks: Mapping[str, Path], picture: str
    ) -> dict[str, object]:
        cohort = self._records.cohort
        scan = read_image(path)
        modality = next(each.modality for each in cohort.scans if each.slug == slug)
        facts: dict[str, MaskFacts] = {}
        read: dict[str, Image] = {}
        for kind in (kind for kind in cohort.masks if kind.slug in masks):
            facts[kind.slug], mask = examine_mask(masks[kind.slug], scan, kind, subject.mask_labels.get(kind.slug))
            if mask is not None:
                read[kind.slug] = mask
        lesion = next(iter(read.values()), None)
        write_bytes(self._pictures / picture, thumbnail(scan, modality, lesion))
        in_its_unit = examine_scan(scan, slug, modality, lesion)
        if not in_its_unit:  # Densities of another unit would say nothing.
            for each, mask in read.items():
                found = implausible(scan, mask, cohort.mask(each), modality, self._expected)
                facts[each] = replace(facts[each], findings=(*facts[each].findings, *found))
        return {
            "scan": [asdict(each) for each in in_its_unit],
            "masks": {name: asdict(each) for name, each in facts.items()},
            "picture": picture,
        }


def _finding(noted: Mapping[str, str]) -> Finding:
    return Finding(Kind(noted["kind"]), noted["slug"], noted["text"])
