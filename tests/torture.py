"""Kill a study again and again, and compare what is left with a run that nobody disturbed.

`python tests/torture.py` (or `make torture`) runs a study once in peace. Then it starts the same
command in another folder and, at a random moment, kills the driver, one worker, or everything
with SIGKILL; and again, the same command each time. In the end the rows must be the same bit for
bit, timings aside: none missing, none twice, and no file or process left over.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from benchmark.results import StudyFolder

ROOT = Path(__file__).resolve().parents[1]
VICTIMS = ("driver", "worker", "everything")
TABLES = ("plan", "trials", "history", "layers")
PATIENCE = 300.0
"""Seconds that processes have to be gone after a kill."""


@dataclass
class Run:
    """One start of the study's command, in a session of its own."""

    process: subprocess.Popen[bytes]

    @classmethod
    def start(cls, command: Sequence[str]) -> "Run":
        quiet = subprocess.DEVNULL
        # files, not pipes: a pipe that nobody reads would stop the study
        return cls(subprocess.Popen(command, start_new_session=True, stdout=quiet, stderr=quiet))

    @property
    def over(self) -> bool:
        return self.process.poll() is not None

    def members(self) -> dict[int, str]:
        """The living processes of the session: pid and command line."""
        found = {}
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                # the name in parentheses may hold spaces
                state, _, _, session = (folder / "stat").read_text().rpartition(")")[2].split()[:4]
                if int(session) == self.process.pid and state != "Z":
                    found[int(folder.name)] = (folder / "cmdline").read_text()
            except (OSError, ValueError):
                continue
        return found

    def workers(self) -> list[int]:
        return [pid for pid, command in self.members().items() if "spawn_main" in command]

    def kill(self, victim: str, rng: random.Random) -> str:
        """Kill ``victim``; returns what was killed."""
        if victim == "worker":
            workers = self.workers()
            if not workers:
                return "no worker yet"
            os.kill(rng.choice(workers), signal.SIGKILL)
        elif victim == "driver":
            self.process.kill()
        else:
            os.killpg(self.process.pid, signal.SIGKILL)
        return victim

    def is_gone(self) -> bool:
        """Wait until no process of the session is left; False if one stays."""
        self.process.wait()
        end = time.monotonic() + PATIENCE
        while self.members() and time.monotonic() < end:
            time.sleep(0.1)
        return not self.members()


def parts(folder: Path) -> int:
    """Units that have landed and are not merged yet."""
    return len(list((folder / "parts").glob("*.trials.parquet")))


def differences(reference: Path, folder: Path) -> Iterator[str]:
    """What two folders of one study differ in, timings aside, and which worker trained a row."""
    names = [sorted(str(p.relative_to(f)) for p in f.rglob("*")) for f in (reference, folder)]
    if names[0] != names[1]:
        yield f"files {names[1]}, expected {names[0]}"
    one, other = StudyFolder(reference).load(), StudyFolder(folder).load()
    for table in TABLES:
        rows, found = (
            frame.drop(columns=[c for c in frame if c.endswith(("seconds", "worker"))])
            for frame in (getattr(one, table), getattr(other, table))
        )
        try:
            pd.testing.assert_frame_equal(rows, found, check_exact=True)
        except AssertionError as error:
            yield f"{table}: {' '.join(str(error).split())}"


def torture(
    command: Sequence[str], folder: Path, rounds: int, rng: random.Random, longest: float
) -> Iterator[str]:
    """Start ``command`` ``rounds`` times, each time killing it within ``longest`` seconds.

    Yields what happened in each round, and stops early when the study is finished.
    """
    for _ in range(rounds):
        run = Run.start(command)
        moment = rng.uniform(0.0, longest)
        _wait(run, moment)
        landed = parts(folder)
        if run.over:
            run.is_gone()
            yield f"finished before {moment:.1f} s"
            return
        killed = run.kill(rng.choice(VICTIMS), rng)
        if killed not in ("driver", "everything"):
            # the study goes on without that worker; one start loses one worker at most, as a unit
            # that loses two is halved, and halves may round differently
            _wait(run, rng.uniform(0.0, longest))
            if not run.over:
                run.kill("everything", rng)
        gone = run.is_gone()
        yield f"killed {killed} after {moment:.1f} s, {landed} units landed"
        if not gone:
            raise SystemExit(f"processes are left over: {run.members()}")


def _wait(run: Run, seconds: float) -> None:
    end = time.monotonic() + seconds
    while not run.over and time.monotonic() < end:
        time.sleep(0.02)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--study", type=Path, default=ROOT / "studies" / "grid.py")
    parser.add_argument("--rounds", type=int, default=20, help="kills in all")
    parser.add_argument("--seed", type=int, default=0, help="of victims and moments")
    parser.add_argument("options", nargs="*", help="of the study, after --")
    given = parser.parse_args()
    options = given.options or ["--scale", "quick"]
    rng = random.Random(given.seed)
    with tempfile.TemporaryDirectory() as temporary:
        space = Path(temporary)

        def command(name: str) -> list[str]:
            return [sys.executable, str(given.study), *options, "--results", str(space / name)]

        began = time.monotonic()
        subprocess.run(command("peace"), check=True, stdout=subprocess.DEVNULL)
        took = time.monotonic() - began
        (reference,) = [p.parent for p in (space / "peace").glob("*/plan.parquet")]
        print(f"undisturbed: {took:.0f} s", flush=True)
        left, attempt, found = given.rounds, 0, []
        # the start-up takes several seconds, so that a tenth of the whole leaves little to land
        longest = 12 + took / 6
        while left > 0 and not found:
            attempt += 1
            name = f"torture-{attempt}"
            for said in torture(command(name), space / name / reference.name, left, rng, longest):
                left -= said.startswith("killed")
                print(f"{given.rounds - left:3d} {said}", flush=True)
            subprocess.run(command(name), check=True, stdout=subprocess.DEVNULL)
            found = list(differences(reference, space / name / reference.name))
        print("\n".join(found) or f"{given.rounds} kills, the same rows", flush=True)
        return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
