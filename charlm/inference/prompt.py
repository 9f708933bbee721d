"""Read a prompt: the text that a network reads before it samples or scores."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from charlm.inference.interface import CausalModel
from charlm.nn.base import NetworkState
from charlm.text.vocabulary import Vocabulary


class Prompt(NamedTuple):
    """EOS and a text, read up to their last id.

    last_id: the last id, which is the next input of the network.  state: before that input, for one stream.
    """

    last_id: int
    state: NetworkState


def read_prompt(network: CausalModel, vocabulary: Vocabulary, text: str) -> Prompt:
    """Read EOS and `text` with a network, except for the last id.

    Parameters
    ----------
    network : reads the ids.
    vocabulary : encodes the text; unknown characters are read as UNK.
    text : may be empty; then EOS is the last id, and the state is zero.

    Returns
    -------
    Prompt
        The last id and the state before it.
    """
    ids = np.concatenate(([vocabulary.eos], vocabulary.encode(text))).astype(np.intp)
    return Prompt(int(ids[-1]), network.advance(ids[:-1, None], network.zero_state(1)))
