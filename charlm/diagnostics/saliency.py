"""Saliency: which characters before a character its probability depends on.

    s_k = x_(t-k) . d ln p(x_t | x_1 ... x_(t-1)) / d x_(t-k)          k = 1, 2, ...

"Gradient x input" through time: x is the one-hot vector of an input, also of a tied network, so s_k is the change of
ln p, to first order, per fraction by which that input is increased. Positive: the character made x_t more probable.
All numbers are float64.
References: Simonyan, Vedaldi & Zisserman 2014, arXiv:1312.6034; Shrikumar et al. 2017, arXiv:1704.02685.

The text is read forward once. The backward passes of B positions run as B streams, each of which gathers the values of
its own window.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from charlm.arrays import Array, Ids
from charlm.diagnostics.activations import read_chunks
from charlm.diagnostics.gradient_norms import loss_gradient
from charlm.diagnostics.tuning import DEFAULT_TUNING, DiagnosticsTuning
from charlm.kernels.packed_matrix import PackedMatrix
from charlm.kernels.workspace import Workspace
from charlm.nn.cells.cell import CellCache, RecurrenceGrads, reset_steps
from charlm.nn.layout import Parameters
from charlm.nn.network import Network
from charlm.text.quoting import quoted


@dataclass(frozen=True, eq=False, repr=False)
class Saliency:
    """How ln p of one character depends on the characters before it.

    Attributes
    ----------
    tokens : tuple of str
        The characters of the text up to and with the character.
    values : ndarray, (index,)
        The saliency of each character before it, in nats; 0 for those before the last EOS.
    start : float
        The saliency of the EOS before the text.
    """

    tokens: tuple[str, ...]
    values: Array
    start: float

    def strongest(self, count: int = 10) -> list[tuple[int, str, float]]:
        """Return index, character and saliency of the characters with the largest absolute saliency, in order."""
        order = np.argsort(-abs(self.values), kind="stable")[:count]
        return [(int(k), self.tokens[k], float(self.values[k])) for k in order]

    def __repr__(self) -> str:
        strongest = ", ".join(f"{token!r} at {index} {value:+.2g}" for index, token, value in self.strongest(3))
        before = quoted("".join(self.tokens[-41:-1]))
        return f"<Saliency of {self.tokens[-1]!r} after {before}: {strongest or 'no character before it'}>"


def measure_saliency(
    network: Network,
    params: Parameters,
    ids: Ids,
    targets: Ids,
    *,
    back: int,
    tuning: DiagnosticsTuning = DEFAULT_TUNING,
) -> Array:
    """Return the saliency of the `back` inputs before each of B characters, the nearest first, (B, back).

    Parameters
    ----------
    network, params : Network, Parameters
        The model.
    ids : ndarray of int, (n,)
        EOS and the text.
    targets : ndarray of int, (B,)
        Indices into `ids` of the characters, 1 to n - 1.
    back : int
        Number of inputs, 1 or more. Those before the text, and before the last EOS, have 0.
    tuning : DiagnosticsTuning
        Size of the batches.

    Notes
    -----
    The text is read up to the last of the targets; the memory grows by (G + 3) L H values for each of its characters.
    """
    exact = network.parameters(params.flat.astype(np.float64))
    caches = read_whole(network, exact, ids[: int(targets.max())])
    result = np.empty((len(targets), back))
    per_batch = max(1, tuning.max_window_values // network.window_size(back, 1))
    for start in range(0, len(targets), per_batch):
        batch = slice(start, start + per_batch)
        result[batch] = window_saliency(network, exact, caches, ids, targets[batch], back)
    return result


def read_whole(network: Network, params: Parameters, ids: Ids) -> list[CellCache]:
    """Read ids (n,) and return the values of each layer, as one window of one stream."""
    whole = DiagnosticsTuning(max_window_values=network.window_size(len(ids), 1))
    return next(caches for _, caches in read_chunks(network, params, ids, whole))


def window_saliency(
    network: Network, params: Parameters, caches: list[CellCache], ids: Ids, targets: Ids, back: int
) -> Array:
    """Return the saliency for one batch, (B, back): see `measure_saliency`.  caches: of all inputs."""
    steps = targets + np.arange(-back, 0)[:, None]  # (K, B): the inputs before each target
    inputs = np.where(steps < 0, network.start, ids[np.maximum(steps, 0)])
    steps = np.maximum(steps, 0)
    resets = reset_steps((inputs != network.start)[:, :, None].astype(np.float64))
    hidden, work = network.config.hidden, Workspace(np.float64)
    unused = RecurrenceGrads(np.empty((network.cell.gates * hidden, hidden)), np.empty(network.cell.gates * hidden))
    dhs = np.zeros((*steps.shape, hidden))
    dhs[-1] = loss_gradient(params, caches[-1].hs[targets - 1, 0], ids[targets])
    prepared = network.stack.prepare(params)
    dzs: Array = dhs
    for layer in reversed(range(network.config.layers)):
        window, scope = gathered(caches[layer], steps, resets), work.scope(f"layer{layer}")
        dzs, _ = network.cell.backward(prepared[layer].recurrence, window, scope, dhs, None, unused)
        if layer:
            dhs = PackedMatrix(params.layer("rnn", layer).weight_ih).fill_sum(np.empty_like(dhs), dzs)
    columns = params.one_hot_weight("rnn").T.reshape(-1, network.cell.gates, hidden)[inputs]  # (K, B, G, H)
    saliency: Array = -np.einsum("kbgh,gkbh->bk", columns, dzs)  # the gradient is that of -ln p
    return saliency[:, ::-1]


def gathered(cache: CellCache, steps: Ids, resets: dict[int, Array]) -> CellCache:
    """Return the values of one stream at steps (K, B) as those of a window of K steps and B streams."""
    states = np.concatenate([cache.states[:, steps[:1], 0], cache.states[:, steps + 1, 0]], axis=1)
    return CellCache(cache.gates[:, steps, 0], states, cache.saved[:, steps, 0], resets)
