"""The portable form of every network of a model (:mod:`preop.portable`), for models that lack it or whose networks changed."""

from __future__ import annotations

from pathlib import Path

from preop.grandchallenge.algorithm import Algorithm
from preop.segmentation.model_folder import PLANS_FILE
from preop.segmentation.portable_network import write_portable
from preop.study.contract import portable_of
from preop.study.provenance import put_into_model, register
from preop.wording import counted


def write_portable_forms(folder: Path, algorithm: Algorithm) -> list[str]:
    """Write the portable form of every network of a model folder, and list it there: nothing is trained.

    Returns
    -------
    What was written, a sentence for each network.

    Raises
    ------
    InvalidModelError
        If there is no model, it is damaged, or both forms of a network differ.
    """
    told = []
    for place in (folder / name for name in algorithm.networks):
        for plans in sorted(place.rglob(PLANS_FILE)):
            files = write_portable(plans.parent)
            of = plans.parent.relative_to(folder).as_posix()
            told.append(
                f"{of}: {counted(len(files), 'fold')} in portable form."
                if files
                else f"{of}: it has no portable form, and runs by torch."
            )
    if told:
        register(folder, algorithm)
    study = portable_of(algorithm)
    if study is not None:
        files_of_study = study.portable_files(folder, algorithm)
        put_into_model(folder, algorithm, files_of_study)
        told += [f"{name}: written." for name in files_of_study]
    return told
