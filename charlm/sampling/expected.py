"""Continue a text from many of its positions: what a model expected there."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

import numpy as np

from charlm.arrays import Ids
from charlm.config import SampleConfig
from charlm.inference.interface import CausalModel
from charlm.sampling.drawing import TokenSampler, uniform_rows
from charlm.sampling.tuning import DEFAULT_TUNING
from charlm.text.vocabulary import Vocabulary


def continue_from(
    network: CausalModel, vocabulary: Vocabulary, ids: Ids, positions: Sequence[int], config: SampleConfig, seed: int
) -> list[str]:
    """Draw one text from each of several positions, all in one batch.

    Parameters
    ----------
    network, vocabulary : the model.
    ids : (n,) EOS and the text.
    positions : ascending indices into `ids`, 0 or more; a text continues after the id at its position.
    config : how characters are drawn; filters that depend on the text are not supported.
    seed : the same seed gives the same texts.

    Returns
    -------
    list of str
        A text for each position, of at most `config.length` tokens.
    """
    if not positions:
        return []
    state, done, states = network.zero_state(1), 0, []
    for position in positions:
        state = network.advance(ids[done:position, None], state)
        done = position
        states.append(state)
    stacked = [tuple(map(np.concatenate, zip(*layer, strict=True))) for layer in zip(*states, strict=True)]
    stepper = network.stepper(stacked)
    eos, never_drawn = vocabulary.eos, vocabulary.never_drawn
    sampler = TokenSampler(config, never_drawn if config.can_end else (eos, *never_drawn))
    last = ids[np.asarray(positions)]
    rows = []
    uniforms = uniform_rows(seed, range(len(positions)), DEFAULT_TUNING.uniform_block)
    for uniform in islice(uniforms, config.length):
        logits = stepper.read(last)
        logits[last == eos, eos] = -np.inf  # no text is empty
        last, _ = sampler.draw(logits, uniform)
        rows.append(last)
    return [vocabulary.decode(ids_until(column, eos)) for column in np.array(rows).reshape(-1, len(positions)).T]


def ids_until(ids: Ids, eos: int) -> Ids:
    """Return the ids before the first EOS."""
    ends = np.flatnonzero(ids == eos)
    return ids[: ends[0]] if ends.size else ids
