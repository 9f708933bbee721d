"""Comparing two programs on a machine whose speed drifts: in turn, in one run, by the median of the ratios."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Mapping
from datetime import date
from statistics import median
from typing import NamedTuple

import numpy as np
from threadpoolctl import threadpool_info, threadpool_limits

from charlm.machine import usable_cores

TORCH = "PyTorch"


class Comparison(NamedTuple):
    """Medians of each candidate's rate, and the median of charlm's rate over the best other's, round by round."""

    rates: dict[str, float]
    ratio: float


def alternate(candidates: Mapping[str, Callable[[], float]], rounds: int) -> Comparison:
    """Run the candidates in turn; the first is compared with the fastest of the others.

    candidates: name -> a function that works for a while and returns its rate; the first is charlm.
    """
    first, *others = candidates
    measured: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(rounds):
        for name, run in candidates.items():
            measured[name].append(run())
    medians = {name: median(rates) for name, rates in measured.items()}
    best = max(others, key=medians.__getitem__)
    ratios = [a / b for a, b in zip(measured[first], measured[best], strict=True)]
    return Comparison(medians, median(ratios))


def rate_of(step: Callable[[], int], seconds: float, warm_up: int = 2) -> float:
    """Call `step` for some seconds and return how much it did per second; it returns how much it did."""
    for _ in range(warm_up):
        step()
    done, begun = 0, time.perf_counter()
    while time.perf_counter() - begun < seconds:
        done += step()
    return done / (time.perf_counter() - begun)


def sgemm_peak(threads: int, size: int = 2048, rounds: int = 5) -> float:
    """Return the best rate of a large float32 product, in FLOP/s."""
    a = np.random.default_rng(0).standard_normal((size, size)).astype(np.float32)
    out = np.empty_like(a)
    best = 0.0
    with threadpool_limits(threads, user_api="blas"):
        for _ in range(rounds):
            begun = time.perf_counter()
            np.matmul(a, a, out=out)
            best = max(best, 2 * size**3 / (time.perf_counter() - begun))
    return best


def describe_machine() -> str:
    """Return a line about the machine and the libraries."""
    blas = ", ".join(f"{x['internal_api']} {x.get('version')} {x.get('architecture', '')}" for x in threadpool_info())
    try:
        import torch

        versions = f"NumPy {np.__version__}, PyTorch {torch.__version__}"
    except ImportError:
        versions = f"NumPy {np.__version__}, no PyTorch"
    python = f"Python {platform.python_version()}"
    return f"{date.today()}, {processor()}, {usable_cores()} cores, {python}, {versions}, {blas}"


def processor() -> str:
    """Return the name of the processor."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return next(line.split(":")[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
