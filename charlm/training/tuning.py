"""Tuning constants of training and of its runs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TrainingTuning:
    """Tuning constants of training and of its runs; a test passes another instance."""

    max_evaluations: int = 10
    """Evaluations of a run, spread evenly over its budget."""
    evaluation_fraction: float = 0.07
    """Fraction of the time between two evaluations that the second may take when minutes are the budget."""
    max_evaluation_fraction: float = 0.02
    """Fraction of a budget of minutes that one evaluation may take; the last one has no time before it to wait for."""
    evaluation_speedup: float = 1.0
    """Held-out characters per second divided by training characters per second, before the first measurement."""
    evaluation_passes: int = 2
    """Times that an evaluation reads the held-out text, at most: before and after it changes the logit scale."""
    certain_factor: float = 4.0
    """Characters that an evaluation may read, divided by those held out, from which its cost is not measured before."""
    min_held_out_characters: int = 200
    """Minimum number of held-out characters that a short budget evaluates."""
    min_held_out_labels: int = 50
    """Minimum number of labels in the held-out text that is evaluated, if it has that many."""
    max_held_out_characters: int = 200_000
    """Maximum number of held-out characters."""
    held_out_streams_per_thread: int = 16
    """Streams of the held-out text that each thread reads in parallel."""
    warm_up_characters: int = 96
    """Characters that each held-out stream reads before its loss counts."""
    logit_scale_tolerance: float = 0.02
    """Change of the logit scale that needs no second evaluation: about 0.0003 nats per character."""
    logit_scale_precision: float = 100.0
    """Precision of the Gaussian prior of the logit scale: a standard deviation of 0.1 around 1."""
    min_logit_scale: float = 0.5
    max_logit_scale: float = 2.0
    few_steps: int = 10
    """Steps below which a budget of minutes has taught a model hardly anything, so that a warning is due."""
    round_seconds: float = 0.25
    """Seconds that the members of an ensemble train between two reports."""
    snapshot_steps: int = 100
    """Steps between two snapshots of the state."""
    max_rollbacks: int = 5
    """Rollbacks to the same snapshot before training gives up."""
    level_rate: float = 0.05
    """Update rate of the running mean of the loss."""
    few_labels: int = 200
    """Labels of a window below which divergence is detected in the running mean of the loss, not in its loss."""
    loss_noise: float = 3.0
    """Noise of the loss of a window of n characters, as a multiple of the uniform loss / sqrt(n)."""
    max_snapshot_bytes: int = 16 << 20
    """Bytes of a snapshot that stays in memory; a larger one goes to a temporary file."""
    process_bytes: float = 45e6
    """Bytes of an interpreter with NumPy, about."""
    pytorch_bytes: float = 300e6
    """Additional bytes of PyTorch, about."""
    gpu_bytes: float = 600e6
    """Bytes of a GPU that a process of PyTorch takes for itself and for the buffers of cuDNN, about."""
    max_unknown_fraction: float = 0.05
    """Fraction of UNK in the training text above which a warning is due."""
    save_fraction: float = 0.05
    """Fraction of the time between two saves that the second may take, if an improved held-out loss causes it."""
    log_seconds: float = 1.0
    """Seconds between rows of the log."""


DEFAULT_TUNING = TrainingTuning()
