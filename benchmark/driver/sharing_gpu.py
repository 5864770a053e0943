"""NVIDIA's Multi-Process Service (MPS): kernels of several processes run on one GPU side by side.

Without it a GPU takes turns between processes, as long as each has its slice of time.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

CONTROL = "nvidia-cuda-mps-control"
SECONDS = 30.0
"""How long the control program may take to start or to stop."""


@contextmanager
def mps() -> Iterator[dict[str, str]]:
    """Within, MPS runs for this user; gives the variables that let a process find it.

    It is stopped at the end, whatever happened.

    Raises
    ------
    ValueError
        If there is no control program, or it does not start the service.
    """
    program = shutil.which(CONTROL)
    if program is None:
        raise ValueError(
            f"--mps needs the program {CONTROL}, which comes with NVIDIA's driver and is not on "
            "the PATH; run without it"
        )
    with tempfile.TemporaryDirectory(prefix="mps-") as folder:
        variables = {
            "CUDA_MPS_PIPE_DIRECTORY": os.path.join(folder, "pipe"),
            "CUDA_MPS_LOG_DIRECTORY": os.path.join(folder, "log"),
        }
        for path in variables.values():
            os.mkdir(path)
        _ask(program, ["-d"], "", variables)
        try:
            yield variables
        finally:
            _ask(program, [], "quit\n", variables)


def _ask(program: str, arguments: list[str], words: str, variables: Mapping[str, str]) -> None:
    """Run the control program; a ValueError says what it said where it fails."""
    try:
        subprocess.run(
            [program, *arguments],
            input=words,
            env={**os.environ, **variables},
            text=True,
            # a daemon keeps what it inherits open: a pipe would be waited for without end
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            # a Ctrl-C is for the studies: the service outlives what is in flight
            start_new_session=True,
            timeout=SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise ValueError(f"--mps: {CONTROL} failed: {error}") from error
