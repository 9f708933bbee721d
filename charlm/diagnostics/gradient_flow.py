"""Gradients of a model on a text: whether they vanish or explode with the distance in steps."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from charlm.arrays import Array, Ids, Mask, finite_or_none
from charlm.checks import check_value, integer_rule
from charlm.diagnostics.gradient_norms import gradient_norms, is_same_text
from charlm.diagnostics.tuning import DEFAULT_TUNING, DiagnosticsTuning
from charlm.errors import EmptyCorpusError
from charlm.kernels.threads import blas_on_one_thread
from charlm.kernels.workspace import Workspace
from charlm.nn.layout import Parameters
from charlm.nn.network import Network
from charlm.text.vocabulary import Vocabulary

VANISHED = 0.01
"""Ratio to the gradient one step back below which a gradient has vanished."""


@dataclass(frozen=True, eq=False)
class GradientFlow:
    """The norm of d loss_t / d h_(t-k), averaged over positions t of a text; the loss is in nats.

    Attributes
    ----------
    norms : ndarray, (L, K + 1)
        The mean norm for each layer and each k; NaN where no text is that long.
    counts : ndarray of int, (K + 1,)
        Number of positions in each mean.
    """

    norms: Array
    counts: Ids

    @property
    def reach(self) -> int:
        """The largest k that was measured; less than K if no text is that long."""
        return int(np.flatnonzero(self.counts).max(initial=0))

    def factor(self, layer: int) -> float:
        """Return the factor of the norm per step: its geometric mean over the steps from k = 1.

        Below 1 the gradient vanishes, above 1 it explodes. NaN if there are no two steps to compare.
        """
        norms = self.norms[layer, 1:]
        norms = norms[np.isfinite(norms)]
        if len(norms) < 2 or norms[0] == 0:
            return math.nan
        ratio: float = norms[-1] / norms[0]
        return float(ratio ** (1 / (len(norms) - 1)))

    def steps_until_vanished(self, layer: int) -> int | None:
        """Return the first k at which the norm is below 1 % of that at k = 1; None if there is none."""
        norms = self.norms[layer]
        vanished = np.flatnonzero(norms[2:] < VANISHED * norms[1])
        return int(vanished[0]) + 2 if vanished.size else None

    def as_json(self) -> dict[str, Any]:
        """Return all results as a JSON object; None for a number that is not finite."""
        layers = range(len(self.norms))
        return {
            "norms": [[finite_or_none(norm) for norm in layer] for layer in self.norms.tolist()],
            "places": self.counts.tolist(),
            "factor_per_step": [finite_or_none(self.factor(layer)) for layer in layers],
            "steps_until_one_percent": [self.steps_until_vanished(layer) for layer in layers],
        }


def encode_text(vocabulary: Vocabulary, text: str, *, lines: bool) -> Ids:
    """Return the ids of a text as in training, (n,): EOS before it, or around each of its lines that is not empty."""
    if not lines:
        return np.concatenate([[vocabulary.eos], vocabulary.encode(text)]).astype(np.intp)
    pieces = [np.append(vocabulary.encode(line), vocabulary.eos) for line in text.split("\n") if line]
    return np.concatenate([[vocabulary.eos], *pieces]).astype(np.intp)


def measure_gradients(
    network: Network,
    params: Parameters,
    ids: Ids,
    *,
    back: int,
    places: int,
    tuning: DiagnosticsTuning = DEFAULT_TUNING,
) -> GradientFlow:
    """Measure the gradients of the loss of single characters with respect to earlier states, without dropout.

    All numbers are float64, so that a vanishing gradient is small and not zero.

    Parameters
    ----------
    network, params : Network, Parameters
        The model.
    ids : ndarray of int, (n,)
        The text, as from `encode_text`.
    back : int
        K, the largest distance in steps, 1 to 10,000.
    places : int
        Number of positions t, 1 to 100,000; they are evenly spaced in the text.
    tuning : DiagnosticsTuning
        Length of the context and size of the batches.

    Raises
    ------
    ConfigError
        A number is out of its range.
    EmptyCorpusError
        The text has no character.
    """
    check_value("back", back, integer_rule(1, 10_000))
    check_value("places", places, integer_rule(1, 100_000))
    if len(ids) < 2:
        raise EmptyCorpusError("there is no character whose loss could be measured; pass another text")
    last = len(ids) - 2
    first = back if last > back else 0  # in a short text, few positions or none have `back` others before them
    positions = np.unique(np.linspace(first, last, places).round().astype(np.intp))
    exact = network.parameters(params.flat.astype(np.float64))
    rows = (network.cell.gates + 2) * (network.config.layers + 1) * network.config.hidden
    per_batch = max(1, tuning.max_window_values // (rows * (tuning.warm_up_steps + back + 1)))
    totals = np.zeros((network.config.layers, back + 1))
    counts = np.zeros(back + 1, np.intp)
    with blas_on_one_thread:  # the products are too small for threads of the BLAS
        for start in range(0, len(positions), per_batch):
            batch = positions[start : start + per_batch]
            norms, is_same = norms_at(network, exact, ids, batch, back, tuning.warm_up_steps)
            totals += np.where(is_same, norms, 0).sum(axis=2)
            counts += is_same.sum(axis=1)
    with np.errstate(invalid="ignore"):  # 0 / 0 where no text is that long
        return GradientFlow(totals / counts, counts)


def norms_at(
    network: Network, params: Parameters, ids: Ids, positions: Ids, back: int, warm_up_steps: int
) -> tuple[Array, Mask]:
    """Return the norms at positions (B,), (L, K + 1, B), and whether each state is in the same text, (K + 1, B)."""
    indices = positions + np.arange(-warm_up_steps - back, 1)[:, None]
    windows = np.where(indices < 0, network.start, ids[np.maximum(indices, 0)])
    state = network.zero_state(len(positions), params.flat.dtype)
    state = network.stack.forward(params, windows[:warm_up_steps], state, Workspace(params.flat.dtype)).state
    inputs = windows[warm_up_steps:]
    return gradient_norms(network, params, inputs, ids[positions + 1], state), is_same_text(inputs, network.start)
