"""Learning from bags of instances: heads, training, validation and attribution; where instances come from is not known.

Importing this package imports torch.
"""

from preop.mil.bags import Bag, Batch, batches, collate, pad
from preop.mil.ensembles import Ensemble, Prediction, read_ensemble
from preop.mil.heads import HEADS, Head, Reading, make_head
from preop.mil.network import BagNetwork
from preop.mil.regions import RegionEncoder
from preop.mil.training import Augmentation, Settings, mean_deviance, train
from preop.mil.validation import HeldOut, cross_validate, fit, stratified_folds

__all__ = [
    "HEADS",
    "Augmentation",
    "Bag",
    "BagNetwork",
    "Batch",
    "Ensemble",
    "Head",
    "HeldOut",
    "Prediction",
    "Reading",
    "RegionEncoder",
    "Settings",
    "batches",
    "collate",
    "cross_validate",
    "fit",
    "make_head",
    "mean_deviance",
    "pad",
    "read_ensemble",
    "stratified_folds",
    "train",
]
