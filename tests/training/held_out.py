"""The held-out loss, from its parts."""

from __future__ import annotations

import numpy as np

from charlm.inference.prepared_network import PreparedNetwork
from charlm.training.evaluation import cut_into_streams


def held_out_loss(prepared: PreparedNetwork, ids: np.ndarray, streams: int) -> float:
    """Return the mean loss of a text (N + 1,) in nats, read in parallel streams."""
    inputs, targets, counts = cut_into_streams(ids, streams, prepared.network.start)
    return float(prepared.measure(inputs, targets)[0, counts].mean())
