"""NVIDIA's Multi-Process Service (MPS): kernels of several processes run on one GPU side by side.

Without it a GPU takes turns between processes, as long as each has its slice of time.
"""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

CONTROL = "nvidia-cuda-mps-control"
PLACES = ("/usr/local/nvidia/bin", "/usr/local/cuda/bin", "/opt/nvidia/bin")
"""Where the control program may lie besides: a container often has the driver's programs apart."""
SECONDS = 30.0
"""How long the control program may take to start or to stop."""
QUIT = "quit -t 10\n"
"""Ends the service, after 10 seconds also where a process still has it."""
PROBE = "import torch; torch.zeros(1, device='cuda').add_(1).item()"
PROBE_SECONDS = 120.0

log = logging.getLogger(__name__)


def control() -> str | None:
    """Path of the control program, or None."""
    places = os.pathsep.join([os.environ.get("PATH", os.defpath), *PLACES])
    return shutil.which(CONTROL, path=places)


@contextmanager
def mps() -> Iterator[dict[str, str]]:
    """Within, MPS runs for this user; gives the variables that let a process find it.

    It is stopped at the end, whatever happened.

    Raises
    ------
    ValueError
        If there is no control program, or it does not start the service.
    """
    program = control()
    if program is None:
        raise ValueError(
            f"--mps needs the program {CONTROL}, which comes with NVIDIA's driver and is not on "
            "the PATH; run without it"
        )
    # a process may still write its log there when the service is told to end
    with tempfile.TemporaryDirectory(prefix="mps-", ignore_cleanup_errors=True) as folder:
        variables = {
            "CUDA_MPS_PIPE_DIRECTORY": os.path.join(folder, "pipe"),
            "CUDA_MPS_LOG_DIRECTORY": os.path.join(folder, "log"),
        }
        for path in variables.values():
            os.mkdir(path)
        try:
            _ask(program, ["-d"], "", variables)
        except (OSError, subprocess.SubprocessError) as error:
            raise ValueError(f"--mps: {CONTROL} failed: {error}") from error
        try:
            yield variables
        finally:
            try:
                _ask(program, [], QUIT, variables)
            except (OSError, subprocess.SubprocessError) as error:
                # what ran within is done, whatever becomes of the service
                log.warning("MPS was not stopped: %s", error)


def serves() -> bool:
    """Whether a process finds a GPU through MPS here: it is started, tried and stopped.

    A container may have the control program, and no server that its processes can reach.
    """
    if control() is None:
        return False
    try:
        with mps() as variables:
            run = subprocess.run(
                [sys.executable, "-c", PROBE],
                env={**os.environ, **variables},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=PROBE_SECONDS,
                check=False,
            )
    except (ValueError, subprocess.SubprocessError):
        return False
    return run.returncode == 0


def _ask(program: str, arguments: list[str], words: str, variables: Mapping[str, str]) -> None:
    """Run the control program."""
    environment = {**os.environ, **variables}
    # the service has all GPUs, and its processes choose: those that the service itself left out
    # would be counted anew, and a process's own choice would be another
    environment.pop("CUDA_VISIBLE_DEVICES", None)
    subprocess.run(
        [program, *arguments],
        input=words,
        env=environment,
        text=True,
        # a daemon keeps what it inherits open: a pipe would be waited for without end
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        # a Ctrl-C is for the studies: the service outlives what is in flight
        start_new_session=True,
        timeout=SECONDS,
        check=True,
    )
