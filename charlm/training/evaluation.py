"""The held-out loss: one pass over the held-out text, the state carried all along.

The text is cut into streams that are read side by side. Each but the first begins a little earlier than its
own part, with characters that are read and not counted, so that what is measured is a network in the middle
of a text, as if the whole had been read in one stream.
"""

from __future__ import annotations

import numpy as np

from charlm.arrays import Ids, Mask
from charlm.nn.bidirectional import BidirectionalRunner
from charlm.nn.network import Network
from charlm.nn.runner import Runner
from charlm.text.both_sides import cut_into_windows

WARM_UP = 96
"""Characters that a stream reads before those that count."""


def cut_into_streams(ids: Ids, streams: int, start: int) -> tuple[Ids, Ids, Mask]:
    """Lay out a text as (T, B) inputs, targets, and whether each target counts.

    ids: (N + 1,); ids[i] is the context of ids[i + 1].  streams: B at most; short texts get fewer.
    start: the id that fills up streams, and stands for the context before the text.
    """
    total = len(ids) - 1
    streams = max(1, min(streams, total // (4 * WARM_UP)))
    own = -(-total // streams)
    steps = own + (WARM_UP if streams > 1 else 0)
    firsts = np.maximum(np.arange(streams) * own - (steps - own), 0)
    places = firsts + np.arange(steps)[:, None]  # of the inputs, (T, B)
    owner = places // own == np.arange(streams)
    counts = owner & (places < total)
    safe = np.minimum(places, total - 1)
    inputs = np.where(places < total, np.asarray(ids)[safe], start)
    targets = np.asarray(ids)[safe + 1]
    return inputs.astype(np.intp), targets.astype(np.intp), counts


def lay_out(ids: Ids, network: Network, streams: int) -> tuple[Ids, Ids, Mask]:
    """Lay out a held-out text for a network, as `cut_into_streams` or `cut_into_windows`.

    With context on both sides what is measured is the pseudo-log-likelihood: each character given all others.
    """
    if network.config.bidirectional:
        return cut_into_windows(ids, network.start)
    return cut_into_streams(ids, streams, network.start)


def held_out_loss(runner: Runner, ids: Ids, streams: int = 32) -> float:
    """Return the mean loss over a held-out text, in nats per character.

    ids: (N + 1,), the context before the text first, N > 0.
    """
    total, count = held_out_sum(runner, *cut_into_streams(ids, streams, runner.network.start))
    return total / count


def held_out_sum(
    runner: Runner | BidirectionalRunner, inputs: Ids, targets: Ids, counts: Mask
) -> tuple[float, int]:
    """Return the summed loss over the targets that count, in nats, and their number.  All arrays (T, B)."""
    log_probs, _ = runner.score(inputs, targets, runner.zero_state(inputs.shape[1]))
    return -float(log_probs[counts].sum(dtype=np.float64)), int(counts.sum())
