"""Tuning constants of inference."""

from __future__ import annotations

from dataclasses import dataclass

from charlm.nn.tuning import DEFAULT_TUNING as NN_TUNING
from charlm.nn.tuning import NnTuning


@dataclass(frozen=True)
class InferenceTuning:
    """Sizes of the arrays that inference computes at a time, chosen by measurement."""

    max_window_values: int = 1 << 21
    """Values of the widest array that a window of `PreparedNetwork` computes at a time."""
    max_bidirectional_values: int = 1 << 23
    """The same for `PreparedBidirectionalNetwork`."""
    max_stacked_values: int = 1 << 22
    """Values of the members' input projections up to which a mixture keeps a copy of them as one array."""
    max_step_logits: int = 1 << 18
    """Logits that `Stepper.score` computes at a time, so that they stay in a core's cache."""
    cached_gate_values: int = 3 << 15
    """Gate values of a step, B * G*H, that stay in a core's cache."""
    min_streams: int = 32
    """Minimum of `PreparedNetwork.streams_per_step`."""
    min_packed_streams: int = 192
    """The same where the BLAS packs the weights for each product: a step then has twice the streams."""
    max_packed_streams: int = 384
    """Maximum of `PreparedNetwork.streams_per_step` there."""
    nn: NnTuning = NN_TUNING
    """Tuning of the weights' memory layout."""


DEFAULT_TUNING = InferenceTuning()
"""The instance that the classes of this package use unless they are given another."""
