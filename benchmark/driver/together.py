"""Several studies at once on one machine: each a process of its own, with a share of the workers.

A GPU that trains the units of one study waits whenever that study asks, packs and writes; with
several studies in flight another one's units train meanwhile.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from benchmark.calling import program
from benchmark.driver.commandline import make_parser
from benchmark.driver.places import CLUSTER
from benchmark.driver.sharing_gpu import mps
from benchmark.driver.stopping import HOW_TO_RESUME
from benchmark.machine import cores
from benchmark.names import UnknownName, unknown
from benchmark.project import CHECKOUT, PACKAGE, scripts
from benchmark.provenance import command
from benchmark.records import read_selection
from benchmark.terminal import COUNT, Parser

OPTION, MPS = "--at-once", "--mps"
TOGETHER_A_GPU = 16
"""Worker processes of all studies on one GPU: in four lanes of four they trained 14 studies of
`paper` in 17 minutes (H200, 16 cores)."""
ENTRY = re.compile(r"^    sys\.exit\(run\(", re.MULTILINE)
"""What a script has that takes the options of every study."""
WAIT_SECONDS = 0.1
READ_SECONDS = 10.0
"""How long the last words of a study that has ended may take."""

Say = Callable[[str], None]


@dataclass
class Running:
    """A study that runs in a lane, and the thread that passes on what it prints."""

    name: str
    process: subprocess.Popen[bytes]
    lane: int
    reader: threading.Thread


def are_several(arguments: Sequence[str]) -> bool:
    """Whether the arguments of ``run`` name several studies, or have an option for several."""
    names = _leading(arguments)
    asked = any(a in (OPTION, MPS) or a.startswith(f"{OPTION}=") for a in arguments)
    return asked or any(name in studies() for name in names[1:])


def _leading(arguments: Sequence[str]) -> list[str]:
    options = [i for i, a in enumerate(arguments) if a.startswith("-")]
    return list(arguments[: min(options, default=len(arguments))])


def studies() -> dict[str, Path]:
    """The scripts that have the options of every study."""
    return {
        name: path
        for name, path in scripts().items()
        if ENTRY.search(path.read_text(encoding="utf-8"))
    }


def run_together(arguments: Sequence[str], at_once: int) -> int:
    """Run ``STUDY ... [--at-once N] [--mps] [OPTION ...]``; returns the exit status.

    ``at_once`` studies run at the same time where the option is not given.

    0: all finished; 1: not all did, as `benchmark.driver.commandline.run` says, but the others ran
    on; 2: bad input; 130 or 143: stopped from outside, and every study with it. The same command
    goes on.

    Raises
    ------
    ValueError
        If a name, a number or an option is wrong; nothing has begun then.
    """
    names, options, rest = _read(arguments, at_once)
    shares = share(options.workers, options.at_once, options.device)
    around: AbstractContextManager[dict[str, str]] = mps() if options.mps else nullcontext({})
    with around as variables:
        lanes = [[*rest, *more] for more in shares]
        statuses, stopped = run_all(names, lanes, {**os.environ, **variables})
    for name, status in statuses.items():
        print(f"{name}: {ENDS.get(status, f'ended with status {status}')}")
    left = [name for name in names if name not in statuses]
    if left:
        print(f"not begun: {', '.join(left)}")
    if stopped:
        print(f"interrupted\n{HOW_TO_RESUME.format(command(typed=True))}", file=sys.stderr)
        return 128 + stopped
    if set(statuses.values()) == {2}:
        return 2
    return 1 if any(statuses.values()) else 0


ENDS = {
    0: "finished",
    1: "not finished: see above",
    2: "did not begin: see above",
    130: "stopped; what is finished is kept",
    143: "stopped; what is finished is kept",
}
"""What an exit status of a study says."""


def _read(
    arguments: Sequence[str], at_once: int
) -> tuple[list[str], argparse.Namespace, list[str]]:
    """Names of studies, the options of this module and of studies, and what studies are told."""
    names, known = _leading(arguments), studies()
    if not names:
        raise ValueError(f"no study is named; `{program()} list study` lists them")
    for name in names:
        if name not in known:
            raise UnknownName(unknown("study", name, known))
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"{', '.join(twice)} is named twice")
    mine = Parser(add_help=False)
    mine.add_argument(OPTION, type=COUNT, default=min(at_once, len(names)))
    mine.add_argument(MPS, action="store_true")
    mine.add_argument("--workers", type=COUNT)
    options, rest = mine.parse_known_args(arguments[len(names) :])
    # what a study would refuse is refused before any begins
    theirs = make_parser("Several studies at once.").parse_args(rest)
    read_selection(theirs.only)
    options.at_once = min(options.at_once, len(names))
    if options.workers is not None and options.workers < options.at_once:
        raise ValueError(
            f"--workers, which the studies share, must be at least {options.at_once} for "
            f"{options.at_once} studies at once, but got {options.workers}"
        )
    if options.mps and theirs.device == "cpu":
        raise ValueError("--mps shares a GPU, but the device is 'cpu'")
    elsewhere = theirs.executor.startswith(CLUSTER)
    if options.mps and elsewhere:
        raise ValueError(
            f"--mps shares a GPU of this machine, but {theirs.executor} trains elsewhere"
        )
    # a cluster has as many workers as it has, whatever GPUs are here
    options.device = "cpu" if elsewhere else theirs.device
    return names, options, rest


def share(workers: int | None, lanes: int, device: str) -> list[list[str]]:
    """The option ``--workers`` of each lane: its part of all ``workers``.

    Unless given, one a core; on GPUs at most `TOGETHER_A_GPU` for each.

    >>> share(6, 4, "cpu")
    [['--workers', '2'], ['--workers', '2'], ['--workers', '1'], ['--workers', '1']]
    """
    if workers is None:
        # torch takes seconds to import, and not every script that is run by name needs it
        from benchmark.engine.machine.devices import gpus

        found = gpus() if device != "cpu" else []
        workers = max(min(cores(), TOGETHER_A_GPU * len(found)) if found else cores(), lanes)
    each, more = divmod(workers, lanes)
    return [["--workers", str(each + (lane < more))] for lane in range(lanes)]


def launcher() -> list[str]:
    """The command that runs studies, to which their names and options are added."""
    # a checkout need not be installed, and the studies run where the user stands
    path = f"sys.path.append({str(PACKAGE.parent)!r}); " if CHECKOUT else ""
    start = f"import sys; {path}from benchmark.__main__ import main; sys.exit(main())"
    return [sys.executable, "-c", start, "run"]


def run_all(
    names: Sequence[str],
    lanes: Sequence[Sequence[str]],
    environment: Mapping[str, str],
    say: Say = lambda text: print(text, flush=True),
) -> tuple[dict[str, int], int]:
    """Run each of ``names`` with the options of a free lane; exit statuses, and what stopped them.

    Each has a process group of its own: Ctrl-C goes to all of them, and each lands what is in
    flight; a second one stops them at once. The number of the signal is 0 where none came.
    """
    waiting, free = list(names), list(range(len(lanes)))
    running: list[Running] = []
    statuses: dict[str, int] = {}
    with _signals() as came:
        passed = 0
        try:
            while running or (waiting and not came):
                while waiting and free and not came:
                    name, lane = waiting.pop(0), free.pop(0)
                    say(f"{name} begins")
                    running.append(_start(name, lane, lanes[lane], environment, say))
                time.sleep(WAIT_SECONDS)
                for number in came[passed:]:
                    passed += 1
                    for study in running:
                        study.process.send_signal(number)
                for study in [r for r in running if r.process.poll() is not None]:
                    study.reader.join(timeout=READ_SECONDS)
                    running.remove(study)
                    free.append(study.lane)
                    code = study.process.returncode
                    # killed by a signal: as a shell has it
                    statuses[study.name] = code if code >= 0 else 128 - code
        finally:
            for study in running:
                # only where an error ends this process: nothing runs on unseen
                study.process.kill()
    return statuses, came[0] if came else 0


def _start(
    name: str, lane: int, options: Sequence[str], environment: Mapping[str, str], say: Say
) -> Running:
    process = subprocess.Popen(
        [*launcher(), name, *options],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    assert process.stdout is not None
    reader = threading.Thread(target=_tell, args=(name, process.stdout, say), daemon=True)
    reader.start()
    return Running(name, process, lane, reader)


def _tell(name: str, stream: IO[bytes], say: Say) -> None:
    """Pass on what a study prints, a line at a time, with its name before each."""
    with stream:
        for line in stream:
            text = line.decode(errors="replace").rstrip()
            if text:
                say(f"{name}: {text.removeprefix(f'{name}: ')}")


@contextmanager
def _signals() -> Iterator[list[int]]:
    """Within, Ctrl-C and SIGTERM are only noted, in the list, in the order in which they come."""
    came: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield came
        return
    wanted = (signal.SIGINT, signal.SIGTERM)
    before = {n: signal.signal(n, lambda number, frame: came.append(number)) for n in wanted}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
