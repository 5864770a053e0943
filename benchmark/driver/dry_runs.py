"""What a study would train, how long that takes where it trains, and what is there already."""

from __future__ import annotations

import functools
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, CancelledError
from dataclasses import dataclass

from benchmark.driver import estimating
from benchmark.driver.cluster import NoCluster
from benchmark.driver.estimating import Estimate, core_hours, minutes
from benchmark.driver.executors import open_pool
from benchmark.driver.options import Options
from benchmark.driver.planning import design, too_few_seeds
from benchmark.driver.units import trial_of
from benchmark.engine.machine.devices import choose_device, gpus
from benchmark.records import Search, Study
from benchmark.results import StudyFolder

KINDS = {"cpu": "a CPU", "cuda": "a GPU"}

Make = Callable[..., Estimate]


@dataclass(frozen=True)
class Place:
    """Where a study would train: what kind of device each of ``processes`` has there.

    ``estimate`` was made there, or else here; ``assumed`` says so.
    """

    kind: str
    processes: int
    estimate: Estimate
    assumed: str | None = None


def place_of(make: Make, options: Options) -> Place:
    """Where a study with these ``options`` would train, by what ``make`` times there.

    On a cluster a worker is asked, as the run asks it. Where none is to be had, its workers are
    taken to be as this machine is.

    Raises
    ------
    ValueError
        If there is no such device, or the cluster cannot train the study.
    """
    if not options.elsewhere:
        kind = choose_device(options.device).type
        return Place(kind, options.processes, make(device=options.device))
    try:
        return _on_cluster(make, options)
    except NoCluster as error:
        why = str(error)
    # by name, as a driver has it that packs for a cluster
    kind = "cuda" if options.device.startswith("cuda") else choose_device(options.device).type
    here = make(device=options.device if kind == "cpu" or _has(options.device) else "cpu")
    each = f"{options.processes} worker{'s' * (options.processes > 1)} as fast as {here.where} here"
    return Place(kind, options.processes, here, f"{why}; assumed: {each}")


def _has(device: str) -> bool:
    return (device in ("auto", "cuda") and bool(gpus())) or device in gpus()


def _on_cluster(make: Make, options: Options) -> Place:
    pool = open_pool(options.executor, options.processes)
    try:
        if not (workers := pool.slots()):
            raise NoCluster(f"{options.executor} has no workers")
        kind = pool.kind(options.device)
        estimate = pool.executor.submit(make, device=options.device).result()
        return Place(kind, workers, estimate)
    except (BrokenExecutor, CancelledError) as error:
        raise NoCluster(f"{options.executor} was lost: {error}") from error
    finally:
        pool.stop()


def dry_run(study: Study | Search, options: Options) -> str:
    """What ``study`` would train, how long that would take, and what is there already.

    And that its seeds are too few for a difference to be significant, where they are.

    Raises
    ------
    ValueError
        On an unknown name or a number out of range; as `place_of` does.
    ResultsError
        If the folder holds files that cannot be read.
    """
    planned = design(study)
    make = functools.partial(
        Estimate,
        planned.trials,
        checkpoints=study.checkpoints,
        layers=isinstance(study, Study) and study.layers,
        sharpness=isinstance(study, Study) and study.sharpness,
        seconds=estimating.SECONDS,
    )
    place = place_of(make, options)
    estimate = place.estimate
    whole = sum(map(estimate.seconds, planned.trials))
    folder = options.results / study.name
    found = StudyFolder(folder).load(trials_only=True).trials
    finished = found[found["status"] != "failed"]
    there = [trial_of(row) for row in finished.to_dict("records")]
    left = max(0.0, whole - sum(map(estimate.seconds, there)))
    kinds = dict.fromkeys([place.kind, "cuda"])
    # searches are compared by the best trial of each, whatever configuration that has
    few = too_few_seeds(planned.trials) if isinstance(study, Study) else None
    return "\n".join(
        [
            f"{study.name}: {planned}",
            *filter(None, [few, place.assumed]),
            *(f"on {KINDS[kind]}: {planned.packing(kind, study.checkpoints)}" for kind in kinds),
            *filter(None, [_narrow(study)]),
            f"in all {core_hours(whole)} on {estimate.where}, by the time of {estimate.timed} of "
            f"{estimate.kinds} kinds of trials",
            f"{folder} has {len(there):,} trials; left {core_hours(left)}, about "
            f"{minutes(left / place.processes)} with {_counted(place, options)}",
        ]
    )


def _narrow(study: Study | Search) -> str | None:
    """What of a search keeps its units narrow, and how they become wide; None for a study."""
    if isinstance(study, Study) or not (names := study.parting()):
        return None
    one = " ".join(f"--only {name}=LEVEL" for name in names)
    return f"units have one level of {', '.join(names)}: wide ones come of {one}"


def _counted(place: Place, options: Options) -> str:
    one, more = ("worker", "workers") if options.elsewhere else ("process", "processes")
    return f"{place.processes} {one if place.processes == 1 else more}"
