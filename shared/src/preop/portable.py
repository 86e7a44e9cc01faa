"""The portable form of a network: ONNX, which ONNX Runtime runs on a processor without torch.

It is made of weights that torch has read, and compared with them when it is made (:func:`to_portable`). A file of this form
is data, as weights are: ONNX Runtime runs none of it as code, and what it names outside of itself is refused
(:func:`read_portable`).
"""

from __future__ import annotations

import contextlib
import importlib.util
import inspect
import io
import json
import logging
import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from preop.errors import InvalidModelError, need_package

if TYPE_CHECKING:
    from torch import Tensor, nn

SUFFIX = ".onnx"
TOLERANCE = 1e-4
"""Largest difference from torch, as a part of the largest number that a network gives, with which this form is written."""

_OPSET = 20
_FACTS = "preop"
_ELSEWHERE = "session.model_external_initializers_file_folder_path"
# Threads that wait for work in a loop take the processor from what is computed between two calls.
_SPINNING = "session.intra_op.allow_spinning"
_THREADS_VARIABLE = "OMP_NUM_THREADS"
_GPU_DEVICE = Path("/dev/nvidiactl")


@dataclass(frozen=True, eq=False)
class PortableNetwork:
    """A network in its portable form, made by :func:`read_portable`.

    Attributes
    ----------
    path
        File that it was read from.
    facts
        What was written down with it, from JSON; no more to be believed than the rest of a model.
    """

    path: Path
    facts: Mapping[str, Any]
    _session: Any

    def __call__(self, *inputs: NDArray[Any]) -> list[NDArray[Any]]:
        """Run the network: its outputs in order, from its inputs in order.

        Raises
        ------
        InvalidModelError
            If the inputs do not fit the network, or a number that it gives is not finite.
        """
        names = [each.name for each in self._session.get_inputs()]
        if len(names) != len(inputs):
            raise InvalidModelError(f"The network {self.path} takes {len(names)} inputs; expected {len(inputs)}.")
        try:
            outputs: list[NDArray[Any]] = self._session.run(None, dict(zip(names, inputs, strict=True)))
        except Exception as error:
            raise InvalidModelError(f"The network {self.path} cannot be run: {_first_line(error)}") from error
        if not all(map(_is_finite, outputs)):
            raise InvalidModelError(
                f"The network {self.path} gives numbers that are not finite: its weights are damaged, or its input is far "
                "outside of what it has learned from."
            )
        return outputs


def _is_finite(values: NDArray[Any]) -> bool:
    # A sum is finite where all of its numbers are, unless they are huge, and takes a fraction of the time.
    with np.errstate(over="ignore", invalid="ignore"):
        total = values.sum()
    return bool(np.isfinite(total) or np.isfinite(values).all())


def runs_portable() -> bool:
    """Whether networks run by their portable form here: where torch is not installed, or has no GPU to offer."""
    if not has_torch():
        return True
    if not _GPU_DEVICE.exists():  # importing torch takes longer than many a case
        return True
    import torch

    return not torch.cuda.is_available()


def has_torch() -> bool:
    """Whether torch is installed, without which only portable networks run."""
    return importlib.util.find_spec("torch") is not None


def missing_portable(path: Path) -> InvalidModelError:
    """Say that a network has no portable form, and torch is not there to run it otherwise."""
    return InvalidModelError(
        f"The network in {path.parent} can only be run by torch, which is not installed here, for it has no {path.name}: where "
        "torch is installed, write it by preop register --portable, or run the model in an image of the flavour cuda."
    )


def read_portable(path: Path, *, threads: int | None = None) -> PortableNetwork:
    """Read a network in its portable form.

    Parameters
    ----------
    threads
        Number of threads; if None what OMP_NUM_THREADS says, else one for each core that this process may use. They
        change the time, and no number.

    Raises
    ------
    InvalidModelError
        If the file is missing, damaged, or refers to other files.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise InvalidModelError(f"The model in {path.parent} is incomplete: {path.name} is missing.") from None
    except OSError as error:
        raise InvalidModelError(f"The network {path} cannot be read: {error.strerror}.") from None
    session = _session(content, threads, str(path))
    try:
        facts = json.loads(session.get_modelmeta().custom_metadata_map.get(_FACTS, "{}"))
    except ValueError:
        facts = None
    if not isinstance(facts, dict):
        raise InvalidModelError(f"The network {path} is damaged: what is written down with it is no JSON.")
    return PortableNetwork(path, facts, session)


def check_writing() -> None:
    """Tell what is missing for :func:`to_portable`: asked before a training, which ends with it.

    Raises
    ------
    MissingToolError
        If onnxscript is not installed, by which torch writes ONNX, and which brings onnx.
    """
    need_package("onnxscript", "The portable form of a network", "development")


def to_portable(
    network: nn.Module,
    inputs: Mapping[str, Tensor],
    outputs: Sequence[str],
    *,
    free: Mapping[str, Sequence[int]] | None = None,
    facts: Mapping[str, Any] | None = None,
) -> bytes:
    """Give the portable form of a network, after comparing what both forms give.

    Parameters
    ----------
    network
        In evaluation mode, on the processor.
    inputs
        Example of each argument, by name, of at least 2 along free axes; also what the forms are compared on.
    outputs
        Names of what it gives: a tensor, or a tuple of tensors.
    free
        By input, the axes whose length may be another than in the example.
    facts
        Written down with it, as JSON.

    Raises
    ------
    InvalidModelError
        If both forms differ by more than ``TOLERANCE``.
    MissingToolError
        As :func:`check_writing`.
    """
    import torch

    check_writing()
    import onnx

    # Inputs that share the name of an axis share its length: all free axes of the same place are the instances of a bag.
    shapes = [dict.fromkeys((free or {}).get(name, ()), torch.export.Dim.DYNAMIC) or None for name in inputs]
    parameters = inspect.signature(network.forward).parameters.values()
    any_number = any(each.kind is each.VAR_POSITIONAL for each in parameters)
    with _quietly(), torch.no_grad():
        program = torch.onnx.export(
            network,
            tuple(inputs.values()),
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_shapes=((tuple(shapes),) if any_number else tuple(shapes)) if free else None,
            opset_version=_OPSET,
            dynamo=True,
            verbose=False,
        )
        expected = network(*inputs.values())
    model = program.model_proto  # type: ignore[union-attr]
    # Where torch's own code lies on this machine is no part of a network.
    for part in (model.graph, *model.graph.node, *model.graph.input, *model.graph.output, *model.graph.value_info):
        part.ClearField("doc_string")
        part.ClearField("metadata_props")
    for initializer in model.graph.initializer:
        initializer.ClearField("metadata_props")
    del model.metadata_props[:], model.graph.value_info[:]
    onnx.helper.set_model_props(model, {_FACTS: json.dumps(dict(facts or {}), sort_keys=True)})
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString(deterministic=True)
    given = _session(content, None, "of this network")
    names = [each.name for each in given.get_inputs()]
    found = given.run(None, {name: inputs[name].numpy() for name in names})
    wanted = expected if isinstance(expected, tuple) else (expected,)
    for name, ours, torchs in zip(outputs, found, wanted, strict=True):
        check_agreement(ours, torchs.numpy(), name)
    return content


def check_agreement(portable: NDArray[Any], torchs: NDArray[Any], what: str) -> None:
    """Compare what both forms of a network give.

    Raises
    ------
    InvalidModelError
        If they differ by more than ``TOLERANCE`` of the largest number, or in shape.
    """
    if portable.shape != torchs.shape:
        raise InvalidModelError(
            f"The portable form of the network gives {what} of the shape {portable.shape}; expected {torchs.shape}."
        )
    difference = float(np.abs(portable.astype(np.float64) - torchs).max(initial=0))
    scale = max(1.0, float(np.abs(torchs).max(initial=0)))
    if not difference <= TOLERANCE * scale:
        raise InvalidModelError(
            f"The portable form of the network gives {what} that differ by {difference:.2g} from torch's, which go up to "
            f"{scale:.2g}; expected at most {TOLERANCE:g} of that."
        )


def _session(content: bytes, threads: int | None, name: str) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what is wrong is raised
    options.intra_op_num_threads = threads or _usable_threads()
    options.inter_op_num_threads = 1
    options.use_deterministic_compute = True
    options.add_session_config_entry(_SPINNING, "0")
    # A network that keeps weights in other files would be read from a folder that is not there.
    options.add_session_config_entry(_ELSEWHERE, os.devnull)
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    # ONNX Runtime raises classes of its own, each derived from Exception alone.
    except Exception as error:
        raise InvalidModelError(
            f"The network {name} is no network in ONNX that can be run here, is damaged, or refers to other files: "
            f"{_first_line(error)}"
        ) from error


def _usable_threads() -> int:
    said = os.environ.get(_THREADS_VARIABLE, "")
    if said.isdecimal() and int(said):
        return int(said)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextlib.contextmanager
def _quietly() -> Any:
    """Keep what the exporter says of its steps away from the user, who cannot do anything about it."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
