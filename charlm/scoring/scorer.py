"""Score texts: the log-probability of whole texts and of single characters.

Every text is read as EOS, context, text. By the chain rule, its log-probability is the sum over its characters of
log p(c_t | EOS, context, c_1 ... c_{t-1}).

`score_texts` is the entry point for texts of any number and length. It computes the log-probabilities as follows:

1. **Context.** EOS and the context are read once; every text starts from the state after them (`read_prompt`).
2. **Batches.** Texts are taken from the iterable in batches. The first batch has one text, the second 32, later ones
   up to 16,384, so that the first scores are there early and the memory is bounded. The texts of a batch are encoded
   into flat arrays (`TextBatch`).
3. **Chunks.** A text of 8,192 characters or more is cut into chunks, which are read in parallel (`chunked.py`), unless
   a batch has so many of these texts that they fill the columns of a window.
4. **Threads.** The other texts are sorted and split into one part per thread, with about the same number of
   characters. Sorting puts texts with a common prefix into one part.
5. **Shared prefixes.** While enough texts of a part begin alike, each distinct prefix is read once
   (`shared_prefixes.py`).
6. **Windows.** After that, each text is a column, the longest first. Windows (T, B) of columns of similar lengths are
   read one after another. A column that has ended reads its last id again, and these results are discarded; when a
   tenth of the columns have ended, the next window is narrower.

Log-probabilities are summed in float64. The score of a text in a batch and its score alone differ only by the rounding
of float32.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import chain, repeat
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from charlm.inference.prompt import read_prompt
from charlm.kernels.threads import parallel_map
from charlm.scoring.chunked import score_chunked
from charlm.scoring.score import Score
from charlm.scoring.shared_prefixes import common_prefix_lengths, score_shared_prefixes
from charlm.scoring.text_batch import Indices, TextBatch, encode_batch
from charlm.scoring.tuning import DEFAULT_TUNING, ScoringTuning

if TYPE_CHECKING:
    from charlm.inference.prepared_network import PreparedNetwork
    from charlm.inference.stepper import Stepper
    from charlm.nn.base import NetworkState
    from charlm.text.vocabulary import Vocabulary


def score_texts(
    network: PreparedNetwork,
    vocabulary: Vocabulary,
    texts: Iterable[str],
    *,
    end: bool = False,
    context: str = "",
    threads: int = 1,
    tuning: ScoringTuning = DEFAULT_TUNING,
) -> Iterator[Score]:
    """Yield the score of each text, in the order of the input.

    Parameters
    ----------
    network : computes the log-probabilities.
    vocabulary : encodes the texts; unknown characters are scored as UNK.
    texts : any number of texts. The first score is yielded before the second text is taken.
    end : whether EOS after each text counts, as one character.
    context : text that is read before each text and not counted.
    threads : threads that compute, 1 or more.
    tuning : sizes that determine the speed and the memory.
    """
    prompt = read_prompt(network, vocabulary, context)
    state_values = sum(array.size for layer in prompt.state for array in layer)
    for gathered in _batches(texts, state_values, tuning):
        batch = encode_batch(gathered, vocabulary, prompt.last_id, end=end)
        log_probs = score_batch(network, batch, prompt.state, threads, tuning)
        is_unknown = batch.targets == vocabulary.unk
        yield from map(
            Score,
            batch.counts.tolist(),
            batch.sums(is_unknown.astype(np.int64)),
            batch.sums(log_probs),
            batch.sums(np.where(is_unknown, log_probs, 0.0)),
            batch.texts,
        )


def _batches(texts: Iterable[str], state_values: int, tuning: ScoringTuning) -> Iterator[list[str]]:
    """Yield the texts in batches.  state_values: values in the state of one text."""
    max_texts = max(tuning.min_step_columns, tuning.max_batch_state_values // state_values)
    limits = chain(tuning.first_batch_texts, repeat(min(tuning.max_batch_texts, max_texts)))
    batch: list[str] = []
    characters, limit = 0, next(limits)
    for text in texts:
        batch.append(text)
        characters += len(text)
        if len(batch) >= limit or characters >= tuning.max_batch_characters:
            yield batch
            batch, characters, limit = [], 0, next(limits)
    if batch:
        yield batch


def score_batch(
    network: PreparedNetwork, batch: TextBatch, state: NetworkState, threads: int, tuning: ScoringTuning
) -> npt.NDArray[np.float64]:
    """Return the log-probability of each target of a batch, (N,) in nats.

    state: before the first input of each text, for one stream.
    """
    log_probs = np.empty(batch.targets.size)
    texts = np.flatnonzero(batch.counts)
    is_long = batch.counts[texts] >= tuning.min_chunked_characters
    if np.count_nonzero(is_long) < tuning.min_step_columns // 2:
        for start, count in zip(batch.starts[texts[is_long]], batch.counts[texts[is_long]], strict=True):
            span = slice(start, start + count)
            inputs, targets = batch.inputs[span], batch.targets[span]
            log_probs[span], _ = score_chunked(network, inputs, targets, state, threads, tuning)
        texts = texts[~is_long]
    texts = np.array(sorted(texts.tolist(), key=batch.texts.__getitem__), np.intp)
    prefix_lengths = common_prefix_lengths(batch, texts)
    multiplications = network.size * int(batch.counts[texts].sum())
    max_threads = min(texts.size // tuning.min_step_columns, multiplications // tuning.min_thread_multiplications)
    parts = max(1, min(threads, max_threads))
    to_read = np.cumsum(batch.counts[texts] - prefix_lengths)
    bounds = np.searchsorted(to_read, to_read[-1:] * np.arange(1, parts) / parts)
    score = partial(_score_part, network, batch, state, log_probs, tuning)
    parallel_map(score, list(zip(np.split(texts, bounds), np.split(prefix_lengths, bounds), strict=True)), parts)
    return log_probs


def _score_part(
    network: PreparedNetwork,
    batch: TextBatch,
    state: NetworkState,
    log_probs: npt.NDArray[np.float64],
    tuning: ScoringTuning,
    part: tuple[Indices, Indices],
) -> None:
    """Score sorted texts; write the results into `log_probs` (N,).

    part: indices of the texts, and the lengths of their common prefixes with the text before.
    """
    reading = score_shared_prefixes(network, batch, part, state, log_probs, tuning)
    order = np.argsort(-batch.counts[reading.texts], kind="stable")
    for columns in np.array_split(order, max(1, math.ceil(order.size / network.streams_per_step))):
        column_state = network.select(reading.states, reading.rows[columns])
        _score_columns(network, batch, reading.texts[columns], reading.depth, column_state, log_probs, tuning)


def _score_columns(
    network: PreparedNetwork,
    batch: TextBatch,
    columns: Indices,
    depth: int,
    state: NetworkState,
    log_probs: npt.NDArray[np.float64],
    tuning: ScoringTuning,
) -> None:
    """Score texts in windows with one column per text; write the results into `log_probs` (N,).

    columns: indices of the texts, the longest first.  depth: inputs of each that were read.  state: after them.
    """
    starts, counts = batch.starts[columns], batch.counts[columns]
    stepper: Stepper | None = None
    while counts.size:
        first_to_leave = int(counts[math.ceil(tuning.min_active_fraction * counts.size) - 1])
        stop = min(first_to_leave, depth + max(1, tuning.max_window_ids // counts.size))
        steps = np.arange(depth, stop)[:, None]
        indices = starts + np.minimum(steps, counts - 1)  # (T, B); a column that has ended reads its last id again
        inputs, targets = batch.inputs[indices], batch.targets[indices]
        if counts.size < tuning.min_step_columns:
            window, state = network.score(inputs, targets, state)
        else:
            stepper = stepper or network.stepper(state)
            window, state = stepper.score(inputs, targets), stepper.state
        has_target = steps < counts
        log_probs[indices[has_target]] = window[has_target]
        depth = stop
        active = np.count_nonzero(counts > depth)
        if active < counts.size:
            starts, counts, state = starts[:active], counts[:active], network.select(state, slice(active))
            stepper = None
