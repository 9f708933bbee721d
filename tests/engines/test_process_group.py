"""Process groups: what the environment says, and how ranks wait for each other; without PyTorch."""

from __future__ import annotations

import os
import signal
import socket
import threading
from dataclasses import replace
from typing import Any

import pytest

from charlm.engines.process_group import ProcessGroup, read_environment, wait_for_all, wait_for_server
from charlm.engines.tuning import DEFAULT_TUNING
from charlm.errors import ConfigError, ResourceError

IMPATIENT = replace(DEFAULT_TUNING, max_wait_seconds=0)


class Store(dict[str, str]):
    """A store in this process."""

    def set(self, key: str, value: str) -> None:
        self[key] = value

    def check(self, keys: list[str]) -> bool:
        return all(key in self for key in keys)


@pytest.fixture
def address() -> tuple[str, int]:
    """Return an address at which no process listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        host, port = server.getsockname()
    return host, port


def test_environment_of_torchrun_gives_the_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ProcessGroup(**read_environment()) == ProcessGroup()
    for name, value in {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MASTER_ADDR", "localhost")
    monkeypatch.setenv("MASTER_PORT", "29500")
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "2")
    group = ProcessGroup(**read_environment())
    assert group == ProcessGroup(3, 4, 1, 2, 2, True)
    assert not group.is_main_process


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"RANK": "2", "WORLD_SIZE": "2"}, "RANK is 2, but WORLD_SIZE is 2"),
        ({"WORLD_SIZE": "0"}, "WORLD_SIZE is 0"),
        ({"RANK": "1", "WORLD_SIZE": "2"}, "MASTER_ADDR or MASTER_PORT is not set"),
        ({"WORLD_SIZE": "2", "MASTER_ADDR": "here", "MASTER_PORT": "http"}, "MASTER_ADDR or MASTER_PORT is not set"),
    ],
)
def test_environment_of_ranks_that_cannot_meet_is_refused(
    variables: dict[str, str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=message):
        read_environment()


def test_group_of_one_reduces_to_its_own_values() -> None:
    with ProcessGroup() as group:
        assert group.all_reduce_sum(1.5, 2.0) == group.all_reduce_max(1.5, 2.0) == [1.5, 2.0]
        assert group.local_slice(7) == slice(0, 7)


def test_last_rank_does_not_wait() -> None:
    store = Store({"present.0": "1", "present.2": "1"})
    wait_for_all(store, 1, 3, IMPATIENT)
    assert store["present.1"] == "1"


def test_missing_ranks_are_named(caplog: pytest.LogCaptureFixture) -> None:
    tuning = replace(DEFAULT_TUNING, max_wait_seconds=0.01, silent_wait_seconds=0, wait_poll_seconds=0.001)
    with pytest.raises(ResourceError, match="rank 0, 2 of 4; start all ranks with torchrun"):
        wait_for_all(Store({"present.3": "1"}), 1, 4, tuning)
    assert caplog.messages == ["charlm: waiting for rank 0, 2 of 4"]


def test_missing_server_is_named(address: tuple[str, int]) -> None:
    with pytest.raises(ResourceError, match=f"{address[0]}:{address[1]} .*refused"):
        wait_for_server(*address, IMPATIENT)


def test_server_ends_the_wait(address: tuple[str, int]) -> None:
    with socket.create_server(address):
        wait_for_server(*address, IMPATIENT)


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="needs POSIX")
@pytest.mark.parametrize("wait", [wait_for_server, wait_for_all])
def test_signal_ends_the_wait(wait: Any, address: tuple[str, int]) -> None:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGUSR1, interrupt)
    send_soon(signal.SIGUSR1)
    try:
        with pytest.raises(KeyboardInterrupt):
            wait(*((Store(), 0, 2) if wait is wait_for_all else address), DEFAULT_TUNING)
    finally:
        signal.signal(signal.SIGUSR1, before)


def send_soon(number: int) -> None:
    """Send a signal to this process in a twentieth of a second."""
    threading.Timer(0.05, os.kill, (os.getpid(), number)).start()
