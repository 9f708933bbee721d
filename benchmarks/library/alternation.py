"""Compare programs on a machine whose speed drifts: alternate them in one run, take the median of the ratios."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from statistics import median
from typing import NamedTuple

import numpy as np
from threadpoolctl import threadpool_info, threadpool_limits

from benchmarks.library.peers import Form, Step
from charlm.machine import usable_cores


class Comparison(NamedTuple):
    """Median rates of charlm and of the fastest form of PyTorch, and the median of their ratios by round."""

    ours: float
    theirs: float
    form: str
    ratio: float


def alternate(candidates: Mapping[str, Callable[[], float]], rounds: int) -> Comparison:
    """Run the candidates in turn, and compare the first with the fastest of the others.

    candidates: name -> a function that runs for a while and returns its rate; the first is charlm.
    """
    first, *others = candidates
    measured: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(rounds):
        for name, run in candidates.items():
            measured[name].append(run())
    medians = {name: median(rates) for name, rates in measured.items()}
    best = max(others, key=medians.__getitem__)
    ratios = [a / b for a, b in zip(measured[first], measured[best], strict=True)]
    return Comparison(medians[first], medians[best], best, median(ratios))


def rate_of(step: Callable[[], int], seconds: float, warm_up: int = 2) -> float:
    """Call `step` for some seconds and return units of work per second. `step` returns its units of work."""
    for _ in range(warm_up):
        step()
    units, started = 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        units += step()
    return units / (time.perf_counter() - started)


TOO_SLOW = 3.0
"""Ratio of first-step times above which a form leaves the race."""
TOO_SLOW_IF_LONG = 1.5
"""The same ratio where one step takes longer than a measurement, so that warm-up matters little."""
CLOSE = 0.9
"""Minimum fraction of the fastest rate at which the second form is compared in full, too."""


def race(forms: Sequence[Form], prepare: Callable[[Form], Step], seconds: float = 0.3) -> dict[Form, Step]:
    """Return the fastest form, and the second if it is close, each with its step.

    prepare: returns the step of a form.  seconds: length of each measurement.
    """
    rates: dict[Form, float] = {}
    steps: dict[Form, Step] = {}
    fastest = float("inf")  # seconds per unit of work in a first step
    for form in forms:
        form.apply()
        step = prepare(form)
        if form.compiled:
            step()
        started = time.perf_counter()
        units = step()
        first = (time.perf_counter() - started) / units
        if first > (TOO_SLOW_IF_LONG if first * units > seconds else TOO_SLOW) * fastest:
            continue
        fastest = min(fastest, first)
        rates[form], steps[form] = rate_of(step, seconds, warm_up=1 if first * units < 0.1 else 0), step
    best = sorted(rates, key=rates.__getitem__, reverse=True)[:2]
    return {form: steps[form] for form in best if rates[form] >= CLOSE * rates[best[0]]}


def timed(form: Form, step: Step, seconds: float, warm_up: int = 1) -> Callable[[], float]:
    """Return a candidate for `alternate` that measures the rate of a form."""

    def run() -> float:
        form.apply()
        return rate_of(step, seconds, warm_up)

    return run


def sgemm_peak(threads: int, size: int = 2048, rounds: int = 5) -> float:
    """Return the best rate of a large float32 product, in FLOP/s."""
    a = np.random.default_rng(0).standard_normal((size, size)).astype(np.float32)
    out = np.empty_like(a)
    best = 0.0
    with threadpool_limits(threads, user_api="blas"):
        for _ in range(rounds):
            started = time.perf_counter()
            np.matmul(a, a, out=out)
            best = max(best, 2 * size**3 / (time.perf_counter() - started))
    return best


def describe_machine() -> str:
    """Return one line: date, processor, cores, versions of Python, NumPy, PyTorch and BLAS."""
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
