"""Attention: what a decoder reads of the outputs of its encoder at each step.

    a_ts = softmax over s (d_t . e_s)              B x T x S weights, over the characters of each source
    c_t  = sum over s of a_ts e_s                  the context, (H,)

It has no parameters. Source: Luong, Pham & Manning 2015, arXiv:1508.04025, global attention with the dot score.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from charlm.arrays import Array, Mask

EXCLUDED = -1e9
"""Score of a position that is no character of the source."""


class AttentionCache(NamedTuple):
    """What the backward pass needs: `encoded` and `decoded` of `attend`, and the weights (B, T, S)."""

    encoded: Array
    decoded: Array
    weights: Array


def attend(encoded: Array, decoded: Array, is_source: Mask) -> tuple[Array, AttentionCache]:
    """Return the context of each step.

    Parameters
    ----------
    encoded : array (B, S, H)
        Outputs of the encoder; any strides.
    decoded : array (B, T, H)
        Outputs of the decoder; any strides.
    is_source : mask (B, S)
        Which positions are characters of the sources. A stream without any gets some context.

    Returns
    -------
    contexts : array (B, T, H)
    cache : AttentionCache
    """
    weights = np.matmul(decoded, encoded.swapaxes(1, 2))
    weights += np.where(is_source, 0, EXCLUDED).astype(weights.dtype)[:, None]
    weights -= weights.max(axis=2, keepdims=True)
    np.exp(weights, out=weights)
    weights /= weights.sum(axis=2, keepdims=True)
    return np.matmul(weights, encoded), AttentionCache(encoded, decoded, weights)


def attend_backward(cache: AttentionCache, dcontexts: Array) -> tuple[Array, Array]:
    """Return the gradients of the outputs of the encoder (B, S, H), and of the decoder (B, T, H).

    dcontexts: d loss / d contexts, (B, T, H).
    """
    encoded, decoded, weights = cache
    dencoded = np.matmul(weights.swapaxes(1, 2), dcontexts)  # backward of the sum, to e
    dscores = np.matmul(dcontexts, encoded.swapaxes(1, 2))  # backward of the sum, to a
    dscores *= weights
    dscores -= weights * dscores.sum(axis=2, keepdims=True)  # backward of the softmax
    dencoded += np.matmul(dscores.swapaxes(1, 2), decoded)  # backward of d . e, to e
    return dencoded, np.matmul(dscores, encoded)  # backward of d . e, to d
