"""Ranks: what the environment says of them, and how they meet; without PyTorch."""

from __future__ import annotations

import os
import signal
import socket
import threading
from typing import Any

import pytest

from charlm.engines import ranks as module
from charlm.engines.ranks import Ranks
from charlm.errors import ConfigError, ResourceError


class Store(dict[str, str]):
    """A store in this process."""

    def set(self, key: str, value: str) -> None:
        self[key] = value

    def check(self, keys: list[str]) -> bool:
        return all(key in self for key in keys)


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> tuple[str, int]:
    """Set an address at which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        host, port = server.getsockname()
    monkeypatch.setenv("MASTER_ADDR", host)
    monkeypatch.setenv("MASTER_PORT", str(port))
    return host, port


def test_environment_of_torchrun_gives_the_rank(address: tuple[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    assert Ranks.of_environment() == Ranks()
    for name, value in {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "2")
    assert Ranks.of_environment() == Ranks(3, 4, 1, 2, 2, True)
    assert not Ranks.of_environment().is_main_process
    assert Ranks.of_environment().address == address


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
        Ranks.of_environment()


def test_last_rank_does_not_wait() -> None:
    store = Store({"present.0": "1", "present.2": "1"})
    Ranks(1, 3).wait_for_all(store, max_seconds=0)
    assert store["present.1"] == "1"


def test_missing_ranks_are_named(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SILENT_SECONDS", 0.0)
    monkeypatch.setattr(module, "POLL_SECONDS", 0.001)
    with pytest.raises(ResourceError, match="rank 0, 2 of 4; start all ranks with torchrun"):
        Ranks(1, 4).wait_for_all(Store({"present.3": "1"}), max_seconds=0.01)
    assert caplog.messages == ["charlm: waiting for rank 0, 2 of 4"]


def test_missing_server_is_named(address: tuple[str, int]) -> None:
    with pytest.raises(ResourceError, match=f"{address[0]}:{address[1]} .*refused"):
        Ranks(1, 2).wait_for_server(max_seconds=0)


def test_server_ends_the_wait(address: tuple[str, int]) -> None:
    with socket.create_server(address):
        Ranks(1, 2).wait_for_server(max_seconds=0)


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="needs POSIX")
@pytest.mark.parametrize("wait", ["wait_for_server", "wait_for_all"])
def test_signal_ends_the_wait(wait: str, address: tuple[str, int]) -> None:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGUSR1, interrupt)
    arguments = (Store(),) if wait == "wait_for_all" else ()
    send_soon(signal.SIGUSR1)
    try:
        with pytest.raises(KeyboardInterrupt):
            getattr(Ranks(0, 2), wait)(*arguments)
    finally:
        signal.signal(signal.SIGUSR1, before)


def send_soon(number: int) -> None:
    """Send a signal to this process in a twentieth of a second."""
    threading.Timer(0.05, os.kill, (os.getpid(), number)).start()
