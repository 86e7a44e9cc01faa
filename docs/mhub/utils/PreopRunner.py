"""A step of an MHub workflow that runs an algorithm of preop: a patient's series in, DICOM and the outputs as files out."""

import subprocess

from mhubio.core import IO, Instance, InstanceData, Module


@IO.Config(
    "algorithm", str, "sarcoma_lung_metastasis", the="name of the algorithm, or the folder with its algorithm.toml"
)
@IO.Config("preop", str, "/opt/preop/bin/preop", the="how the command preop is called")
class PreopRunner(Module):
    """Runs ``preop run`` in a process of its own: an image of MHub is the container already."""

    algorithm: str
    preop: str

    @IO.Instance()
    @IO.Input("series", "dicom", the="folder with the series of one patient: scans, and masks as RTSTRUCT or SEG")
    @IO.Output("results", "results", "dicom:type=results", the="segmentations and a structured report")
    @IO.Output(
        "outputs", "outputs", "json:type=outputs", the="the algorithm's outputs as files, by the platform's names"
    )
    def task(
        self,
        instance: Instance,  # noqa: ARG002 - MHub gives it
        series: InstanceData,
        results: InstanceData,
        outputs: InstanceData,
    ) -> None:
        """Run one patient; a failure ends the workflow with the algorithm's sentence."""
        command = [self.preop, "run", self.algorithm, "--engine", "process", "--dicom-in", series.abspath]
        command += ["--dicom-out", results.abspath, "--output", outputs.abspath]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(done.stderr.strip().splitlines()[-1])
