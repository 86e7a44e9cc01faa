"""A step of an MHub workflow that runs an algorithm of preop: the CT and the drawn tumour in, its outputs as JSON out."""

import shutil
import subprocess
import tempfile
from pathlib import Path

from mhubio.core import IO, Instance, InstanceData, Module


@IO.Config(
    "algorithm", str, "sarcoma_lung_metastasis", the="name of the algorithm, or the folder with its algorithm.toml"
)
@IO.Config("preop", str, "preop", the="how the command preop is called")
class PreopRunner(Module):
    """Runs ``preop run`` in a process of its own: an image of MHub is the container already."""

    algorithm: str
    preop: str

    @IO.Instance()
    @IO.Input("image", "mha|nifti|dicom:mod=ct", the="CT of the tumour")
    @IO.Input("tumour", "mha|nifti|dicomseg|rtstruct:mod=seg", the="the tumour, drawn on the CT")
    @IO.Output("likelihood", "likelihood.json", "json:type=likelihood", the="likelihood of lung metastasis, 0 to 1")
    @IO.Output(
        "explanation", "explanation.json", "json:type=explanation", the="what it rests on, and whether it is assessable"
    )
    def task(
        self,
        instance: Instance,  # noqa: ARG002 - MHub gives it
        image: InstanceData,
        tumour: InstanceData,
        likelihood: InstanceData,
        explanation: InstanceData,
    ) -> None:
        """Run one patient; a failure ends the workflow with the algorithm's sentence."""
        with tempfile.TemporaryDirectory() as folder:
            output = Path(folder) / "output"
            command = [self.preop, "run", self.algorithm, "--engine", "process", "--output", str(output)]
            command += ["--ct-image", image.abspath, "--ct-tumour-segmentation", tumour.abspath]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise RuntimeError(done.stderr.strip().splitlines()[-1])
            shutil.copyfile(output / "lung-metastasis-likelihood.json", likelihood.abspath)
            shutil.copyfile(output / "lung-metastasis-explanation.json", explanation.abspath)
