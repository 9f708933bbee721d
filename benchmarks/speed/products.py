"""Matrix products of a recurrence: plain, and with `charlm/kernels/packed_matrix.py`."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from statistics import median

import click
import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.library.alternation import describe_machine, sgemm_peak
from charlm.arrays import Array
from charlm.kernels.packed_matrix import PackedMatrix, block_shape
from charlm.machine import usable_cores


def gigaflops(multiply: Callable[[Array], object], xs: Array, columns: int, seconds: float) -> float:
    """Return the median GFLOP/s of a product with xs (B, K)."""
    times = []
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        started = time.perf_counter()
        multiply(xs)
        times.append(time.perf_counter() - started)
    return 2 * xs.size * columns / median(times) / 1e9


def plain_product(matrix: Array, out: Array, xs: Array) -> Array:
    """Multiply with NumPy."""
    return np.matmul(xs, matrix, out=out)


def nanoseconds(function: np.ufunc, seconds: float) -> float:
    """Return nanoseconds per value of an elementwise function on 12,800 values (25 streams of an LSTM 128)."""
    values = np.random.default_rng(0).standard_normal(12_800).astype(np.float32)
    out = np.empty_like(values)
    times = []
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        started = time.perf_counter()
        function(values, out=out)
        times.append(time.perf_counter() - started)
    return 1e9 * median(times) / values.size


@click.command()
@click.option("--hidden", default="128,256,512", show_default=True)
@click.option("--rows", default="8,16,25,32,50,64", show_default=True, help="Streams of a process.")
@click.option("--seconds", default=0.1, show_default=True, help="Length of a measurement.")
def main(hidden: str, rows: str, seconds: float) -> None:
    """Measure GFLOP/s on one core of the forward and backward products of an LSTM."""
    print(describe_machine())
    cores = usable_cores()
    print(f"large products: {sgemm_peak(1) / 1e9:.0f} GFLOP/s on one core, {sgemm_peak(cores) / 1e9:.0f} on {cores}; "
          f"tanh {nanoseconds(np.tanh, seconds):.2f}, exp {nanoseconds(np.exp, seconds):.2f} ns a value\n")  # fmt: skip
    print("| hidden | rows | pass | blocks, width | in blocks | plain, as PyTorch stores it | plain, transposed |")
    print("|---|---|---|---|---|---|---|")
    rng = np.random.default_rng(0)
    with threadpool_limits(1, user_api="blas"):
        for size in map(int, hidden.split(",")):
            stored = rng.standard_normal((4 * size, size)).astype(np.float32)
            for count in map(int, rows.split(",")):
                for name, matrix in (("forward", stored.T), ("backward", stored)):
                    inner, columns = matrix.shape
                    xs = rng.standard_normal((count, inner)).astype(np.float32)
                    out = np.empty((count, columns), np.float32)
                    other = np.asarray(matrix, order="F" if matrix.flags.c_contiguous else "C")
                    forms: list[Callable[[Array], object]] = [
                        PackedMatrix(matrix).into(out),
                        partial(plain_product, matrix, out),
                        partial(plain_product, other, out),
                    ]
                    rates = " | ".join(f"{gigaflops(form, xs, columns, seconds):.0f}" for form in forms)
                    shape = ", ".join(map(str, block_shape(inner, columns, count)))
                    print(f"| {size} | {count} | {name} | {shape} | {rates} |", flush=True)


if __name__ == "__main__":
    main()
