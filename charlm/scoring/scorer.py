"""Score texts: compute the log-probabilities of any number of texts.

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
5. **Shared prefixes.** While enough texts of a part begin alike, each distinct prefix is read once. Names and words
   share many of their first characters: of the ids of 32,000 names, a quarter is read.
6. **Windows.** After that, each text is a column, the longest first. Windows (T, B) of columns of similar lengths are
   read one after another. A column that has ended reads its last id again, and these results are discarded; when a
   tenth of the columns have ended, the next window is narrower.

Log-probabilities are summed in float64. The score of a text in a batch and its score alone differ only by the rounding
of float32.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from itertools import chain, cycle, repeat

import numpy as np
import numpy.typing as npt

from charlm.inference.prepared_network import PreparedNetwork
from charlm.inference.prompt import read_prompt
from charlm.inference.stepper import Stepper
from charlm.kernels.threads import parallel_map
from charlm.nn.base import NetworkState
from charlm.nn.functional import gather_log_probs
from charlm.scoring.chunked import score_chunked
from charlm.scoring.score import Score
from charlm.scoring.text_batch import Indices, TextBatch, assign, encode_batch
from charlm.scoring.tuning import DEFAULT_TUNING, ScoringTuning
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
        log_probs = BatchScorer(network, batch, tuning).score(prompt.state, threads)
        is_unknown = batch.targets == vocabulary.unk
        sums = batch.sums(log_probs), batch.sums(np.where(is_unknown, log_probs, 0.0))
        yield from map(Score, batch.counts.tolist(), batch.sums(is_unknown.astype(int)), *sums, batch.texts)


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


class BatchScorer:
    """Compute the log-probabilities of a batch.

    Parameters
    ----------
    network : computes the log-probabilities.
    batch : the ids of the texts.
    tuning : sizes that determine the speed.
    """

    def __init__(self, network: PreparedNetwork, batch: TextBatch, tuning: ScoringTuning) -> None:
        self.network, self.batch, self.tuning = network, batch, tuning
        self.log_probs = np.empty(batch.targets.size)

    def score(self, state: NetworkState, threads: int) -> npt.NDArray[np.float64]:
        """Return the log-probability of each target, (N,) in nats.

        state: before the first input of each text, for one stream.
        """
        batch, tuning = self.batch, self.tuning
        texts = np.flatnonzero(batch.counts)
        is_long = batch.counts[texts] >= tuning.min_chunked_characters
        if np.count_nonzero(is_long) < tuning.min_step_columns // 2:
            for start, count in zip(batch.starts[texts[is_long]], batch.counts[texts[is_long]], strict=True):
                span = slice(start, start + count)
                inputs, targets = batch.inputs[span], batch.targets[span]
                self.log_probs[span], _ = score_chunked(self.network, inputs, targets, state, threads, tuning)
            texts = texts[~is_long]
        texts = np.array(sorted(texts.tolist(), key=batch.texts.__getitem__), np.intp)
        prefix_lengths = batch.common_prefix_lengths(texts)
        multiplications = self.network.size * int(batch.counts[texts].sum())
        max_threads = min(texts.size // tuning.min_step_columns, multiplications // tuning.min_thread_multiplications)
        threads = max(1, min(threads, max_threads))
        to_read = np.cumsum(batch.counts[texts] - prefix_lengths)
        bounds = np.searchsorted(to_read, to_read[-1:] * np.arange(1, threads) / threads)
        parts = list(zip(np.split(texts, bounds), np.split(prefix_lengths, bounds), strict=True))
        parallel_map(lambda part: self._score_part(*part, state), parts, threads)
        return self.log_probs

    def _score_part(self, texts: Indices, prefix_lengths: Indices, state: NetworkState) -> None:
        """Score sorted texts.  prefix_lengths: of the prefix that each text has in common with the text before."""
        depth, texts, rows, states = self._score_prefixes(texts, prefix_lengths, state)
        order = np.argsort(-self.batch.counts[texts], kind="stable")
        for columns in np.array_split(order, max(1, math.ceil(order.size / self.network.streams_per_step))):
            self._score_columns(texts[columns], depth, self.network.select(states, rows[columns]))

    def _score_prefixes(
        self, texts: Indices, prefix_lengths: Indices, state: NetworkState
    ) -> tuple[int, Indices, Indices, NetworkState]:
        """Score the first targets of sorted texts, as long as enough texts share their prefixes.

        In step t, each distinct prefix of t targets is one row, however many texts begin with it.

        Returns
        -------
        depth : inputs that were read of each text.
        texts : (A,) those with more than `depth` targets.
        rows : (A,) the row of each of them in `states`.
        states : after each distinct prefix of `depth` inputs.
        """
        network, batch, tuning = self.network, self.batch, self.tuning
        depth, states, rows = 0, state, np.zeros(texts.size, np.intp)
        active: Indices = np.arange(texts.size)  # texts with more than `depth` targets, as indices into `texts`
        buffers = cycle([network.zero_state(texts.size), network.zero_state(texts.size)])
        while True:
            prefixes = np.cumsum(prefix_lengths < depth)[active]
            is_first = np.diff(prefixes, prepend=-1) != 0  # the first text of each distinct prefix
            saved = active.size - np.count_nonzero(is_first)
            if saved < max(tuning.min_saved_rows, tuning.min_saved_fraction * active.size):
                return depth, texts[active], rows, states
            indices = batch.starts[texts[active]] + depth
            inputs, targets, parents = batch.inputs[indices[is_first]], batch.targets[indices], rows[is_first]
            rows = np.cumsum(is_first) - 1
            buffer = next(buffers)
            width = math.ceil(inputs.size / math.ceil(inputs.size / network.streams_per_step))
            stepper = network.stepper(network.zero_state(width))
            for start in range(0, inputs.size, width):
                start = min(start, inputs.size - width)  # the last slice overlaps the one before, to have its width
                span = slice(start, start + width)
                stepper.move_to(states, parents[span])
                logits = stepper.read(inputs[span])
                assign(buffer, span, stepper.state)
                members = slice(*np.searchsorted(rows, (span.start, span.stop)))  # texts with these prefixes
                log_probs = gather_log_probs(logits, targets[members], rows[members] - start)
                self.log_probs[indices[members]] = log_probs
            states = buffer
            depth += 1
            has_more = batch.counts[texts[active]] > depth
            active, rows = active[has_more], rows[has_more]

    def _score_columns(self, columns: Indices, depth: int, state: NetworkState) -> None:
        """Score texts in windows with one column per text.

        columns: indices of the texts, the longest first.  depth: inputs of each that were read.  state: after them.
        """
        starts, counts = self.batch.starts[columns], self.batch.counts[columns]
        stepper: Stepper | None = None
        while counts.size:
            first_to_leave = int(counts[math.ceil(self.tuning.min_active_fraction * counts.size) - 1])
            stop = min(first_to_leave, depth + max(1, self.tuning.max_window_ids // counts.size))
            steps = np.arange(depth, stop)[:, None]
            indices = starts + np.minimum(steps, counts - 1)  # (T, B); a column that has ended reads its last id again
            inputs, targets = self.batch.inputs[indices], self.batch.targets[indices]
            if counts.size < self.tuning.min_step_columns:
                window, state = self.network.score(inputs, targets, state)
            else:
                stepper = stepper or self.network.stepper(state)
                window, state = stepper.score(inputs, targets), stepper.state
            has_target = steps < counts
            self.log_probs[indices[has_target]] = window[has_target]
            depth = stop
            active = np.count_nonzero(counts > depth)
            if active < counts.size:
                starts, counts, state = starts[:active], counts[:active], self.network.select(state, slice(active))
                stepper = None
