"""Learning from bags of instances: heads, training, validation and attribution; where instances come from is not known.

Importing this package is light. What learns needs torch, which is imported with the first name that does; a trained ensemble
in its portable form (``portable_ensembles``) does not.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from preop.mil.ahead import Member, train_ahead
    from preop.mil.bags import Bag, Batch, Part, batches, collate, pad
    from preop.mil.ensembles import Ensemble, read_ensemble
    from preop.mil.heads import HEADS, Head, Reading, make_head
    from preop.mil.network import BagNetwork
    from preop.mil.portable_ensembles import PortableEnsemble, load_ensemble, portable_ensemble
    from preop.mil.predictions import COUNTING, HEAD_NAMES, Prediction
    from preop.mil.regions import RegionEncoder
    from preop.mil.training import Augmentation, Settings, mean_deviance, train
    from preop.mil.validation import HeldOut, cross_validate, fit, stratified_folds

_PLACES = {
    "Member": "ahead",
    "train_ahead": "ahead",
    "Bag": "bags",
    "Batch": "bags",
    "Part": "bags",
    "batches": "bags",
    "collate": "bags",
    "pad": "bags",
    "Ensemble": "ensembles",
    "read_ensemble": "ensembles",
    "HEADS": "heads",
    "Head": "heads",
    "Reading": "heads",
    "make_head": "heads",
    "BagNetwork": "network",
    "PortableEnsemble": "portable_ensembles",
    "load_ensemble": "portable_ensembles",
    "portable_ensemble": "portable_ensembles",
    "COUNTING": "predictions",
    "HEAD_NAMES": "predictions",
    "Prediction": "predictions",
    "RegionEncoder": "regions",
    "Augmentation": "training",
    "Settings": "training",
    "mean_deviance": "training",
    "train": "training",
    "HeldOut": "validation",
    "cross_validate": "validation",
    "fit": "validation",
    "stratified_folds": "validation",
}
"""Module of each name."""


def __getattr__(name: str) -> Any:
    """Import the module of a name when it is first asked for."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)


__all__ = [
    "COUNTING",
    "HEADS",
    "HEAD_NAMES",
    "Augmentation",
    "Bag",
    "BagNetwork",
    "Batch",
    "Ensemble",
    "Head",
    "HeldOut",
    "Member",
    "Part",
    "PortableEnsemble",
    "Prediction",
    "Reading",
    "RegionEncoder",
    "Settings",
    "batches",
    "collate",
    "cross_validate",
    "fit",
    "load_ensemble",
    "make_head",
    "mean_deviance",
    "pad",
    "portable_ensemble",
    "read_ensemble",
    "stratified_folds",
    "train",
    "train_ahead",
]
