"""What a model's gradients do on a text: whether they vanish, last or explode on their way back."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from charlm.arrays import Array, Ids
from charlm.config import check, is_count
from charlm.diagnostics.gradient_norms import gradient_norms, reached
from charlm.errors import EmptyCorpusError
from charlm.kernels.threads import blas_on_one_thread
from charlm.kernels.workspace import Workspace
from charlm.nn.layout import Parameters
from charlm.nn.network import Network
from charlm.text.vocabulary import Vocabulary

WARM_UP = 96
"""Characters read before those that a gradient is followed over."""
VALUES_AT_ONCE = 1 << 24
"""Values that the windows of one batch of places may hold, about."""
LITTLE = 0.01
"""Share of the gradient one step back that counts as vanished."""


@dataclass(frozen=True, eq=False)
class GradientFlow:
    """The norm of d loss_t / d h_(t-k), averaged over places t of a text; the loss in nats.

    norms: for each layer and each k, (L, K + 1); NaN where no text reaches so far back.
    places: how many places the average for each k is over, (K + 1,).
    """

    norms: Array
    places: Ids

    def factor(self, layer: int) -> float:
        """Return what a step back multiplies the norm by: the geometric mean over the steps from k = 1 on.

        Below 1 the gradient vanishes, above 1 it explodes. NaN if there are no two steps to compare.
        """
        norms = self.norms[layer, 1:]
        norms = norms[np.isfinite(norms)]
        if len(norms) < 2 or norms[0] == 0:
            return math.nan
        ratio: float = norms[-1] / norms[0]
        return float(ratio ** (1 / (len(norms) - 1)))

    def steps_until_little(self, layer: int) -> int | None:
        """Return the first k at which the norm is below LITTLE of that at k = 1; None if it stays above."""
        norms = self.norms[layer]
        below = np.flatnonzero(norms[2:] < LITTLE * norms[1])
        return int(below[0]) + 2 if below.size else None

    def as_json(self) -> dict[str, Any]:
        """Return all figures, JSON-able; None for what is not a finite number."""
        layers = range(len(self.norms))
        return {
            "norms": [[_number(norm) for norm in layer] for layer in self.norms],
            "places": self.places.tolist(),
            "factor_per_step": [_number(self.factor(layer)) for layer in layers],
            "steps_until_one_percent": [self.steps_until_little(layer) for layer in layers],
        }


def measure_gradients(
    network: Network, params: Parameters, vocabulary: Vocabulary, text: str, *, lines: bool, back: int, places: int
) -> GradientFlow:
    """Follow the loss of single characters back over the states before them; dropout is off.

    lines: whether each line is a text of its own.  back: K, >= 1.  places: characters, spread evenly over the text.
    Numbers are float64, so that what vanishes is small and not zero.
    Raises ConfigError if a number is out of its range, EmptyCorpusError if there is no character.
    """
    check(is_count(back) and back <= 10_000, "back", back, "1 to 10000")
    check(is_count(places) and places <= 100_000, "places", places, "1 to 100000")
    ids = _ids(vocabulary, text, lines)
    if len(ids) < 2:
        raise EmptyCorpusError("there is no character whose loss could be measured; name a text with some")
    last = len(ids) - 2
    chosen = np.unique(np.linspace(min(back, last), last, places).round().astype(np.intp))
    exact = network.parameters(params.flat.astype(np.float64))
    total = np.zeros((network.config.layers, back + 1))
    counts = np.zeros(back + 1, np.intp)
    with blas_on_one_thread:  # threads of BLAS would wait for each other at every small product
        for part in _batches(network, chosen, back):
            norms, counted = _follow(network, exact, ids, part, back)
            total += np.where(counted, norms, 0).sum(axis=2)
            counts += counted.sum(axis=1)
    with np.errstate(invalid="ignore"):  # 0 / 0 where no text reaches so far back
        return GradientFlow(total / counts, counts)


def _ids(vocabulary: Vocabulary, text: str, lines: bool) -> npt.NDArray[np.intp]:
    """Return a text as a model learned it: EOS before it, or around each of its lines."""
    texts = [line for line in text.split("\n") if line] if lines else [text]
    end = np.array([vocabulary.eos], np.intp)
    pieces = [end]
    for one in texts:
        pieces += [vocabulary.encode(one).astype(np.intp), end]
    return np.concatenate(pieces if lines else pieces[:-1])


def _batches(network: Network, places: Ids, back: int) -> Iterator[Ids]:
    """Cut the places into batches that need no more than VALUES_AT_ONCE."""
    config = network.config
    rows = (network.cell.gates + 2) * (config.layers + 1) * config.hidden
    most = max(1, VALUES_AT_ONCE // (rows * (WARM_UP + back + 1)))
    for start in range(0, len(places), most):
        yield places[start : start + most]


def _follow(network: Network, params: Parameters, ids: Ids, places: Ids, back: int) -> tuple[Array, Ids]:
    """Return the norms (L, K + 1, B) for the places (B,), and whether each counts, (K + 1, B)."""
    steps = places + np.arange(-WARM_UP - back, 1)[:, None]
    windows = np.where(steps < 0, network.start, ids[np.maximum(steps, 0)])
    state = network.zero_state(len(places), params.flat.dtype)
    state = network.stack.forward(params, windows[:WARM_UP], state, Workspace(params.flat.dtype)).state
    inputs = windows[WARM_UP:]
    return gradient_norms(network, params, inputs, ids[places + 1], state), reached(inputs, network.start)


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
