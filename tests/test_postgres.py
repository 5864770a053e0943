"""PostgreSQL as the storage: a real server, which may stop in the middle of a study."""

import contextlib
import dataclasses
import glob
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import optuna
import pytest
from test_storage import STUDY

from benchmark.driver import Options, mirror, run_study
from benchmark.driver.executors import InThisProcess
from benchmark.driver.mirror import close_storage, open_storage

psycopg = pytest.importorskip("psycopg", reason="the extra 'cluster' is not installed")

PROGRAMS = sorted(glob.glob("/usr/lib/postgresql/*/bin")) or [
    os.path.dirname(path) for path in [shutil.which("initdb")] if path
]
USER = "postgres"
"""Whom Debian's package adds; the server refuses to run as root."""
PASSWORD = "hunter2"
PATIENCE = 300.0

needs_server = pytest.mark.skipif(
    not PROGRAMS, reason="no PostgreSQL server on this machine (Debian: apt install postgresql)"
)
pytestmark = needs_server


class Server:
    """A server of its own, on a free port of 127.0.0.1."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # root hands the server to its user
        self.as_user: dict[str, Any] = {"user": USER, "group": USER} if os.getuid() == 0 else {}
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        secret = folder / "password"
        secret.write_text(PASSWORD)
        if self.as_user:
            for path in (folder, secret):
                shutil.chown(path, USER)
        self._run("initdb", "-D", str(folder / "data"), "-U", "me", "-A", "md5", "--pwfile", secret)
        self.start()
        with self.connect("postgres") as connection:
            connection.execute("CREATE DATABASE studies")

    @property
    def url(self) -> str:
        return f"postgresql+psycopg://me:{PASSWORD}@127.0.0.1:{self.port}/studies"

    def _run(self, program: str, *arguments: Any) -> None:
        command = [f"{PROGRAMS[-1]}/{program}", *map(str, arguments)]
        subprocess.run(command, cwd=self.folder, check=True, capture_output=True, **self.as_user)

    def start(self) -> None:
        command = [f"{PROGRAMS[-1]}/postgres", "-D", str(self.folder / "data")]
        command += ["-p", str(self.port), "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]
        command += ["-c", f"unix_socket_directories={self.folder}"]
        quiet = subprocess.DEVNULL
        self.process = subprocess.Popen(
            command, cwd=self.folder, stdout=quiet, stderr=quiet, **self.as_user
        )
        end = time.monotonic() + PATIENCE
        while True:
            try:
                self.connect("postgres").close()
                return
            except psycopg.OperationalError:
                assert time.monotonic() < end, "the server does not answer"
                assert self.process.poll() is None, "the server ended"
                time.sleep(0.1)

    def connect(self, database: str) -> Any:
        where = f"host=127.0.0.1 port={self.port} user=me password={PASSWORD} dbname={database}"
        return psycopg.connect(where, autocommit=True, connect_timeout=5)

    def stop(self) -> None:
        """At once, in the middle of whatever it does."""
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGQUIT)
        self.process.wait(PATIENCE)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    if os.getuid() == 0:
        try:
            pwd.getpwnam(USER)
        except KeyError:
            pytest.skip(f"the server refuses to run as root, and there is no user {USER!r}")
    # pytest's own folders are closed to other users
    folder = Path(tempfile.mkdtemp(prefix="postgres-"))
    started = Server(folder)
    yield started
    started.stop()
    shutil.rmtree(folder)


def options(path: Path, storage: str, **more: Any) -> Options:
    plain: dict[str, Any] = {"device": "cpu", "progress": False, "executor": "here"}
    return Options(path, storage=storage, **plain | more)


def wait_until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.1)


def copied(url: str, name: str) -> int:
    opened = open_storage(url)
    try:
        found = {s.study_name: s for s in optuna.get_all_study_summaries(opened)}
        return found[name].n_trials if name in found else 0
    finally:
        close_storage(opened)


def stored(url: str, name: str) -> list[optuna.trial.FrozenTrial]:
    opened = open_storage(url)
    try:
        return optuna.load_study(study_name=name, storage=opened).trials
    finally:
        close_storage(opened)


def test_a_study_is_read_back_from_the_server_with_optuna(server: Server, tmp_path: Path) -> None:
    trials = run_study(STUDY, options(tmp_path, server.url))
    run_study(STUDY, options(tmp_path, server.url))
    copies = stored(server.url, "tiny")

    assert [t.user_attrs["trial"] for t in copies] == trials["trial"].tolist()
    assert [t.params["normalization"] for t in copies] == trials["normalization"].tolist()
    assert all(t.value is not None and t.value < 10 for t in copies)


class StopsServer(InThisProcess):
    """Stops the server before the second call, once the first has been copied."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.calls = 0

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.calls += 1
        if self.calls == 2:
            wait_until(lambda: copied(self.server.url, "interrupted") > 0)
            self.server.stop()
        return super().submit(fn, *args, **kwargs)


def test_a_server_that_stops_does_not_stop_the_study(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    monkeypatch.setattr(mirror, "PAUSES", (0.05,))
    study = dataclasses.replace(STUDY, name="interrupted")
    trials = run_study(
        study, options(tmp_path, server.url, executor=StopsServer(server), workers=0)
    )
    said = caplog.text
    server.start()
    before = copied(server.url, "interrupted")
    run_study(study, options(tmp_path, server.url))

    assert len(trials) == 4
    assert "the Optuna storage failed and gets no more trials; parquet has them all" in said
    assert "the commit" not in said
    assert 0 < before < 4
    copies = stored(server.url, "interrupted")
    assert [t.user_attrs["trial"] for t in copies] == trials["trial"].tolist()
    assert PASSWORD not in said
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files
    assert not any(PASSWORD.encode() in path.read_bytes() for path in files)
