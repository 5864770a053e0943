"""Processes and GPUs: how many, which of them, and what becomes of a GPU that failed."""

import asyncio
import functools
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from conftest import TOY
from pretended_gpu import pretended_gpu

from benchmark import Study
from benchmark.driver import Options, executors, run_study, running, units
from benchmark.driver.cluster import DaskCluster
from benchmark.driver.dispatch import LostExecutor
from benchmark.driver.executors import preparations
from benchmark.driver.units import make_units, start_gpu_worker
from benchmark.driver.verifying import agree
from benchmark.driver.workers import WorkerDied, Workers
from benchmark.engine import resolve
from benchmark.engine.machine.devices import choose_device, libraries, reproducible
from benchmark.engine.trials import packing
from benchmark.engine.trials.packing import GPU_UNIT
from benchmark.norms import norm_of_all
from benchmark.provenance import LIBRARIES, surroundings
from benchmark.records import Trial
from benchmark.strategies.clipping import norm_of

HERE = Path("results")


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(executors, "cores", lambda: 16)


@pytest.mark.parametrize(
    ("chosen", "gpus", "processes"),
    [
        ({"device": "auto"}, ["cuda:0", "cuda:1"], 16),
        ({"device": "cuda"}, ["cuda:0", "cuda:1"], 16),
        ({"device": "cuda:1"}, ["cuda:1"], 8),
        ({"device": "cuda", "workers": 3}, ["cuda:0", "cuda:1"], 3),
        ({"device": "cpu"}, [], 16),
        ({"device": "cuda", "executor": "dask://there:8786"}, [], 16),
    ],
)
def test_gpus_and_processes_are_chosen(chosen, gpus, processes, two_gpus):
    options = Options(HERE, **chosen)
    assert options.gpus == gpus
    assert options.processes == processes


def test_no_more_processes_than_cores(two_gpus, monkeypatch):
    monkeypatch.setattr(executors, "cores", lambda: 5)
    assert Options(HERE).processes == 5


@pytest.mark.parametrize(("name", "index"), [("auto", 0), ("cuda", 0), ("cuda:1", 1)])
def test_a_gpu_by_its_number(name, index, two_gpus):
    assert choose_device(name) == torch.device("cuda", index)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cuda:2", "'cuda:2' was asked for, but the GPUs here are cuda:0, cuda:1"),
        ("cuda:-1", "`device` must be auto, cpu, cuda or cuda:N, but got 'cuda:-1'"),
        ("gpu", "`device` must be auto, cpu, cuda or cuda:N, but got 'gpu'"),
    ],
)
def test_a_gpu_that_is_not_there(name, message, two_gpus):
    with pytest.raises(ValueError, match=message):
        choose_device(name)


@pytest.mark.parametrize("sharing", [1, 2])
def test_a_worker_takes_its_gpu_and_its_share_of_the_memory(sharing, monkeypatch):
    said: list[Any] = []
    monkeypatch.setattr(units, "keep_freed_memory", lambda: None)
    monkeypatch.setattr(torch.cuda, "set_device", said.append)
    monkeypatch.setattr(
        torch.cuda, "set_per_process_memory_fraction", lambda *share: said.append(share)
    )
    start_gpu_worker("cuda:1", sharing)
    device = torch.device("cuda", 1)
    assert said == [device, (0.45, device)][:sharing]


def test_workers_take_the_gpus_in_turn(monkeypatch):
    monkeypatch.setattr(executors, "at_most", lambda count: count)
    # none is started before it is needed
    pool = executors.open_pool("processes", 3, ["cuda:0", "cuda:1"])
    places = [pool.executor._places.get_nowait() for _ in range(3)]
    pool.stop()
    assert [(p.func, *p.args) for p in places] == [
        (start_gpu_worker, "cuda:0", 2),
        (start_gpu_worker, "cuda:1", 1),
        (start_gpu_worker, "cuda:0", 2),
    ]


class Asked(Exception):
    """What a pool of workers was asked for."""


@pytest.mark.parametrize(
    ("chosen", "workers", "gpus"),
    [
        ({"device": "auto"}, 16, ["cuda:0", "cuda:1"]),
        ({"device": "cuda:1", "workers": 3}, 3, ["cuda:1"]),
    ],
)
def test_a_study_trains_on_the_gpus_that_are_chosen(
    chosen, workers, gpus, two_gpus, tmp_path, monkeypatch
):
    def open_pool(*arguments: Any) -> None:
        raise Asked(*arguments)

    monkeypatch.setattr(running, "open_pool", open_pool)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "a GPU")
    study = Study(name="tiny", question="?", factors={"dataset": TOY})
    with pytest.raises(Asked) as asked:
        run_study(study, Options(tmp_path, progress=False, **chosen))
    assert asked.value.args == ("processes", workers, gpus)


@pytest.mark.parametrize(("kind", "count"), [("cuda", 2), ("cpu", 1)])
def test_a_study_is_packed_for_where_it_is_trained(kind, count, tmp_path, monkeypatch):
    pool = executors.WorkerPool(executors.InThisProcess(), lambda: 0, kind=lambda device: kind)
    monkeypatch.setattr(running, "open_pool", lambda *_: pool)
    monkeypatch.setattr(packing, "GPU_UNIT", 3)
    factors = {"dataset": TOY, "batch_size": 16, "epochs": 1, "width": 4}
    study = Study(name="tiny", question="?", factors=factors, seeds=range(4), checkpoints=4)
    trials = run_study(study, Options(tmp_path, device="cpu", progress=False))
    assert trials["unit"].nunique() == count


def sit(name: str) -> None:
    os.environ["PLACE"] = name


def place() -> str:
    return os.environ["PLACE"]


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_process_that_replaces_another_takes_its_gpu():
    workers = Workers(1, [functools.partial(sit, "cuda:1")])
    try:
        assert workers.submit(place).result(300) == "cuda:1"
        with pytest.raises(WorkerDied):
            workers.submit(die).result(300)
        assert workers.submit(place).result(300) == "cuda:1"
    finally:
        workers.kill()


def test_each_process_has_a_preparation():
    with pytest.raises(ValueError, match="2 processes need as many preparations, but got 1"):
        Workers(2, preparations(1, ["cuda:0"]))


def test_a_gpu_that_fails_in_this_process_ends_the_run_and_fails_no_trial(tmp_path, monkeypatch):
    def broken(*arguments: Any, **options: Any) -> None:
        raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered\nmore")

    monkeypatch.setattr(units, "train", broken)
    factors = {"dataset": TOY, "normalization": ("none", "layer"), "batch_size": 16, "epochs": 1}
    study = Study(name="tiny", question="?", factors=factors, checkpoints=4)
    options = Options(tmp_path, device="cpu", progress=False, executor="here")
    with pytest.raises(LostExecutor, match=r"the GPU failed, .* illegal memory access"):
        run_study(study, options)
    assert not list((tmp_path / "tiny").glob("**/*trials.parquet"))


BROKEN = """
import pickle
import torch
from benchmark.driver.cluster import call_if_same, versions

def broken():
    raise torch.AcceleratorError("CUDA error: illegal memory access")

call_if_same(versions(), pickle.dumps((broken, (), {})))
print("still here")
"""


def test_a_cluster_worker_whose_gpu_fails_ends():
    run = subprocess.run([sys.executable, "-c", BROKEN], capture_output=True, text=True)
    assert run.returncode == 1
    assert "still here" not in run.stdout
    assert "this worker ends, because its GPU failed" in run.stderr


@pytest.mark.parametrize(
    ("kinds", "kind"), [({"a": "cuda", "b": "cuda"}, "cuda"), ({"a": "cuda", "b": "cpu"}, "cpu")]
)
def test_units_are_packed_for_what_the_workers_of_a_cluster_have(kinds, kind):
    client = SimpleNamespace(run=lambda *_: kinds, get_executor=lambda **_: None)
    assert DaskCluster(client).kind("auto") == kind
    trials = [resolve(Trial(dataset=TOY, seed=seed, epochs=1)) for seed in range(GPU_UNIT + 2)]
    how = {"checkpoints": 4, "layers": False, "sharpness": False, "device": "cuda"}
    made = make_units("s", trials, **how, packed_for=kind)
    assert max(len(unit.trials) for unit in made) <= GPU_UNIT
    # here is no GPU, and none is asked for
    assert {unit.device for unit in made} == {"cuda"}
    assert (len(made) == 2) == (kind == "cuda")


class OneWorker:
    """A client of Dask's with one worker, this process, which has a pretended GPU or none."""

    status = "running"

    def __init__(self, gpu: bool) -> None:
        self.gpu, self.loop = gpu, self

    def _call(self, function: Callable[..., Any], arguments: Any) -> Any:
        with pretended_gpu() if self.gpu else nullcontext():
            return function(*arguments)

    def run(self, function: Callable[..., Any], *arguments: Any) -> dict[str, Any]:
        return {"tcp://there:1": self._call(function, arguments)}

    def nthreads(self) -> dict[str, int]:
        return {"tcp://there:1": 1}

    def submit(self, function: Callable[..., Any], *arguments: Any, pure: bool) -> Any:
        return SimpleNamespace(found=self._call(function, arguments), done=lambda: True)

    async def gather(self, remote: Any, *, asynchronous: bool) -> Any:
        return remote.found

    def add_callback(self, deliver: Callable[..., Any], *arguments: Any) -> None:
        asyncio.run(deliver(*arguments))

    def close(self, timeout: float) -> None:
        pass


@pytest.mark.parametrize(
    ("device", "gpu", "count"), [("cuda", True, 2), ("auto", True, 2), ("auto", False, 1)]
)
def test_a_study_is_packed_for_a_gpu_that_only_a_worker_has(
    device, gpu, count, tmp_path, monkeypatch
):
    distributed = pytest.importorskip("distributed", reason="the extra 'cluster' is not installed")
    monkeypatch.setattr(distributed, "Client", lambda *_, **__: OneWorker(gpu))
    # the driver has none
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(packing, "GPU_UNIT", 3)
    factors = {"dataset": TOY, "batch_size": 16, "epochs": 1, "width": 4}
    study = Study(name="tiny", question="?", factors=factors, seeds=range(4), checkpoints=4)
    options = Options(tmp_path, device=device, progress=False, executor="dask://there:8786")
    trials = run_study(study, options)
    assert "failed" not in set(trials["status"])
    assert trials["unit"].nunique() == count
    assert {name == "pretended GPU" for name in trials["device"]} == {gpu}


def test_memory_is_not_filled_while_training_on_a_gpu():
    setting: Any = torch.utils.deterministic
    assert setting.fill_uninitialized_memory
    with pretended_gpu(), reproducible(torch.device("cuda", 0)):
        assert not setting.fill_uninitialized_memory
    assert setting.fill_uninitialized_memory


@pytest.mark.parametrize(
    ("device", "tf32", "within"),
    [
        ("cuda", False, "ieee"),
        ("cuda", True, "tf32"),
        ("cpu", False, "ieee"),
        ("cpu", True, "ieee"),
    ],
)
def test_products_are_rounded_where_that_is_asked_and_nowhere_else(device, tf32, within):
    def switches() -> list[str]:
        backends: Any = torch.backends
        owners = backends.cuda.matmul, backends.cudnn.conv, backends.mkldnn.matmul
        return [owner.fp32_precision for owner in owners]

    before = switches()
    with pretended_gpu(), reproducible(torch.device(device), tf32=tf32):
        assert switches() == [within] * 3
    assert switches() == before


def test_what_a_gpu_s_numbers_depend_on_is_kept():
    with pretended_gpu():
        found = libraries(torch.device("cuda", 0))
    assert set(found) == set(LIBRARIES)


@pytest.mark.parametrize(("driver", "same"), [("580.1", True), ("580.2", False), (None, False)])
def test_equal_bits_are_asked_for_by_the_same_driver_alone(driver, same):
    there = {"device": "NVIDIA X", "cuda": "13.0", "cudnn": "91200", "driver": "580.1"}
    before = surroundings(**there | {"driver": driver})
    assert agree([before], surroundings(**there), ("torch",)) == same
    assert not agree([before], surroundings(**there | {"device": "NVIDIA Y"}), ("torch",))


@pytest.mark.parametrize("norm", [norm_of, lambda x: norm_of_all([x], torch.float32)])
def test_squares_that_do_not_fit_are_added_in_double_on_a_gpu_without_a_look(norm):
    with pretended_gpu() as watch:
        numbers = torch.tensor([3e30, 4e30]).to("cuda:0")
        watch.set_sync_debug_mode("error")
        found = norm(numbers)
        watch.set_sync_debug_mode(0)
        assert found.item() == pytest.approx(5e30)
