"""Mapping over threads, and the threads of the BLAS."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
import threadpoolctl

import charlm
from charlm.config import NetworkConfig
from charlm.engines.numpy_engine import NumpyEngine
from charlm.kernels.threads import OneThread, blas_libraries, blas_on_one_thread, limit_blas, parallel_map, set_threads
from charlm.nn.network import Network


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_parallel_map_returns_results_in_order(threads: int) -> None:
    assert parallel_map(lambda item: item * item, range(40), threads) == [item * item for item in range(40)]
    assert parallel_map(lambda item: item, [], threads) == []


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_parallel_map_after_an_error_begins_no_further_call(error: type[BaseException]) -> None:
    failed = threading.Event()
    begun: list[int] = []

    def work(item: int) -> None:
        begun.append(item)
        if item == 0:
            failed.set()
            raise error
        failed.wait(5)
        time.sleep(0.001)

    with pytest.raises(error):
        parallel_map(work, range(1000), 2)
    assert len(begun) < 500


Threads = Callable[[], set[int]]


def counts() -> set[int]:
    """Return the thread counts of the BLAS libraries."""
    return {library.num_threads for library in blas_libraries()}


@pytest.fixture
def blas_threads() -> Iterator[Threads]:
    """Set the BLAS to 3 threads and return a function that returns its counts."""
    before = [(library, library.num_threads) for library in blas_libraries()]
    for library, _ in before:
        set_threads(library, 3)
    yield counts
    for library, count in before:
        set_threads(library, count)


class CountPerThread(threading.local):
    """A BLAS with one thread count per calling thread."""

    num_threads = 3

    def set_num_threads(self, count: int) -> None:
        self.num_threads = count


def test_blas_limit_ends_when_the_last_thread_leaves(blas_threads: Threads) -> None:
    first, second = ExitStack(), ExitStack()
    first.enter_context(blas_on_one_thread)
    second.enter_context(blas_on_one_thread)
    assert blas_threads() == {1}
    first.close()
    assert blas_threads() == {1}
    second.close()
    assert blas_threads() == {3}


def test_blas_limit_may_be_ended_by_another_thread(blas_threads: Threads) -> None:
    entered, left = threading.Event(), threading.Event()

    def first() -> None:
        with blas_on_one_thread:
            entered.set()
            left.wait(5)

    other = threading.Thread(target=first)
    other.start()
    entered.wait(5)
    with blas_on_one_thread:
        left.set()
        other.join()
        assert blas_threads() == {1}
    assert blas_threads() == {3}


def test_blas_limit_holds_after_another_thread_set_a_limit(blas_threads: Threads) -> None:
    def seen() -> list[set[int]]:
        with blas_on_one_thread:
            inside = blas_threads()
        return [inside, blas_threads()]

    with threadpoolctl.threadpool_limits(2, user_api="blas"), ThreadPoolExecutor(1) as pool:
        assert pool.submit(seen).result() == [{1}, {2}]


def test_limit_blas_lets_other_threads_set_a_limit(blas_threads: Threads) -> None:
    def seen() -> set[int]:
        with threadpoolctl.threadpool_limits(1, user_api="blas"):
            return blas_threads()

    limit_blas(2)
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(seen).result() == {1}
    assert blas_threads() == {2}


def test_parallel_map_limits_a_library_with_a_number_per_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    library = CountPerThread()
    monkeypatch.setattr("charlm.kernels.threads.blas_libraries", lambda: [library])
    seen = []
    all_at_work = threading.Barrier(3)

    def work(_: int) -> None:
        all_at_work.wait(5)
        seen.append(library.num_threads)

    parallel_map(work, range(3), 3)
    assert seen == [1, 1, 1]
    assert library.num_threads == 3


def test_blas_limit_restores_counts_per_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    library = CountPerThread()
    monkeypatch.setattr("charlm.kernels.threads.blas_libraries", lambda: [library])
    limit = OneThread()
    entered, left, seen = threading.Event(), threading.Event(), []

    def other() -> None:
        library.num_threads = 5
        with limit:
            seen.append(library.num_threads)
            entered.set()
            left.wait(5)
            seen.append(library.num_threads)
        seen.append(library.num_threads)

    with limit:
        thread = threading.Thread(target=other)
        thread.start()
        entered.wait(5)
        assert library.num_threads == 1
    assert library.num_threads == 3
    left.set()
    thread.join()
    assert seen == [1, 1, 5]


def test_blas_limit_by_many_threads_is_restored(blas_threads: Threads) -> None:
    def limit(_: int) -> set[int]:
        with blas_on_one_thread:
            return blas_threads()

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(limit, range(200))) == [{1}] * 200
    assert blas_threads() == {3}


def test_blas_limit_after_overlapping_runs_is_restored(blas_threads: Threads) -> None:
    network = Network(NetworkConfig("rnn", 4, 1), 5)
    params = network.initial(np.random.default_rng(0))
    first, second = ExitStack(), ExitStack()
    for run in (first, second):
        engine = run.enter_context(NumpyEngine(network, params, 3, 2, 1))
        engine.loss_and_grads(np.ones((3, 2), np.intp), np.ones((3, 2), np.intp), None)
        assert blas_threads() == {1}
    first.close()
    assert blas_threads() == {1}
    second.close()
    assert blas_threads() == {3}


def test_blas_limit_after_a_failed_start_is_restored(blas_threads: Threads, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(NumpyEngine, "_start", lambda *_: 1 / 0)
    network = Network(NetworkConfig("rnn", 4, 1), 5)
    with pytest.raises(ZeroDivisionError), NumpyEngine(network, network.initial(np.random.default_rng(0)), 3, 2, 1):
        pass
    assert blas_threads() == {3}


def test_blas_limit_after_training_on_threads_is_restored(tmp_path: Path, blas_threads: Threads) -> None:
    (tmp_path / "text.txt").write_text("how much wood would a woodchuck chuck\n" * 20)

    def train(steps: int) -> int:
        where = tmp_path / f"{steps}.safetensors"
        model = charlm.train(tmp_path / "text.txt", where, steps=steps, hidden=4, batch=2, bptt=8, threads=1)
        return int(model.training.steps)

    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(train, [2, 30, 9])) == [2, 30, 9]
    assert blas_threads() == {3}


def test_parallel_map_has_one_blas_thread_per_thread(blas_threads: Threads) -> None:
    seen: list[set[int]] = []
    parallel_map(lambda _: seen.append(blas_threads()), range(4), 2)
    assert seen == [{1}] * 4
    assert blas_threads() == {3}


@pytest.mark.parametrize(("limit", "left"), [(1, 1), (2, 2), (3, 3), (7, 3)])
def test_limit_blas_only_lowers_the_count(blas_threads: Threads, limit: int, left: int) -> None:
    limit_blas(limit)
    assert blas_threads() == {left}
