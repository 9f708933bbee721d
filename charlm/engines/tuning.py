"""Tuning constants of the engines."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class EngineTuning:
    """Sizes and durations that change how an engine works, not what it computes beyond rounding."""

    max_micro_batch_values: int = 14_000_000
    """Values of a training window above which a shard splits its streams into micro-batches."""
    min_micro_batch_streams: int = 8
    """Streams of a micro-batch: fewer take as long."""
    max_spin_seconds: float = 0.002
    """Seconds that a process polls its pipe before it sleeps: waking it takes longer than a small network pauses."""
    min_steps_per_chunk: float = 8.0
    """Mean steps between resets below which PyTorch reads packed segments faster than chunks of time."""
    min_steps_per_chunk_on_gpu: float = 1e9
    """The same on a GPU, where each call starts many kernels: a window with a reset is always read in segments."""
    held_out_streams_on_gpu: int = 256
    """Streams of held-out text that a GPU reads in parallel."""
    held_out_streams_on_cpu: int = 32
    """The same for PyTorch on a CPU."""
    max_held_out_values_on_gpu: int = 1 << 25
    """Values of an array, such as the logits, for which a GPU reads held-out text at a time."""
    max_held_out_values_on_cpu: int = 1 << 21
    """The same for PyTorch on a CPU."""
    onednn_primitives: int = 16
    """Compiled kernels that PyTorch's oneDNN keeps on a CPU: without a limit, one for each length of a chunk."""
    max_wait_seconds: float = 600.0
    """Seconds that a rank waits for the others: each of them reads the text first."""
    silent_wait_seconds: float = 10.0
    """Seconds after which a waiting rank logs a warning."""
    wait_poll_seconds: float = 0.1
    """Seconds between two checks for the other ranks; a signal ends the wait within this time."""


DEFAULT_TUNING = EngineTuning()
"""The values of an ordinary run."""
