"""Score texts: compute the log-probabilities of any number of texts.

Every text is read as EOS, context, text. By the chain rule, its log-probability is the sum over its characters of
log p(c_t | EOS, context, c_1 ... c_{t-1}).

`score_texts` is the entry point for texts of any number and length; `score_text` also returns the log-probability of
each character. `score_texts` computes the log-probabilities as follows:

1. **Context.** EOS and the context are read once; their last state is the initial state of every text
   (`read_prompt`).
2. **Batches.** Texts are taken from the iterable in batches. The first batch has one text, the second 32, later ones
   up to 16,384: the first scores are yielded early, and the memory is bounded. The texts of a batch are encoded into
   flat arrays (`TextBatch`).
3. **Chunks.** A text of 8,192 characters or more is cut into chunks, which are read in parallel (`chunked.py`), unless
   a batch has so many of these texts that they fill the columns of a window.
4. **Threads.** The other texts are sorted and split into one part per thread, with about the same number of
   characters. Sorting puts texts with a common prefix into one part.
5. **Shared prefixes.** While enough texts of a part start with the same characters, each distinct prefix is read
   once. For 32,000 names, the network then reads a quarter of the ids.
6. **Windows.** The rest of each text is a column, the longest first. Windows (T, B) of columns of similar lengths are
   read one after another. A column that has ended is padded with its last id, and the results of the padding are
   discarded. When a tenth of the columns have ended, the next window is narrower.

Log-probabilities are summed in float64. The score of a text in a batch and its score alone differ only by the rounding
of float32.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from itertools import chain, cycle, repeat

import numpy as np
import numpy.typing as npt

from charlm.arrays import split_evenly
from charlm.inference.interface import CausalModel, CausalStepper
from charlm.inference.prompt import read_prompt
from charlm.kernels.threads import parallel_map
from charlm.nn.base import NetworkState
from charlm.nn.functional import gather_log_probs
from charlm.scoring.chunked import score_chunked
from charlm.scoring.score import Score
from charlm.scoring.text_batch import Indices, TextBatch, assign, encode_batch
from charlm.scoring.tuning import DEFAULT_TUNING, ScoringTuning
from charlm.text.vocabulary import Vocabulary


def score_texts(
    network: CausalModel,
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
    network : CausalModel
        Computes the log-probabilities.
    vocabulary : Vocabulary
        Encodes the texts; unknown characters are scored as UNK.
    texts : iterable of str
        Any number of texts. The first score is yielded before the second text is taken.
    end : bool
        Whether EOS is scored as the last character of each text.
    context : str
        Text that is read before each text and not scored.
    threads : int
        Number of threads, at least 1.
    tuning : ScoringTuning
        Sizes that determine the speed and the memory.

    Yields
    ------
    Score
    """
    prompt = read_prompt(network, vocabulary, context)
    state_values = sum(array.size for layer in prompt.state for array in layer)
    for batch_texts in _batches(texts, state_values, tuning):
        batch = encode_batch(batch_texts, vocabulary, prompt.last_id, end=end)
        log_probs = BatchScorer(network, batch, tuning).score(prompt.state, threads)
        is_unknown = batch.targets == vocabulary.unk
        unknown, *sums = batch.sums(is_unknown, log_probs, np.where(is_unknown, log_probs, 0.0))
        counts, unit = batch.counts.tolist(), repeat(vocabulary.unit)
        yield from map(Score, counts, map(int, unknown), *sums, batch.texts, unit)


def score_text(
    network: CausalModel, vocabulary: Vocabulary, text: str, *, end: bool = False, context: str = "", threads: int = 1,
    tuning: ScoringTuning = DEFAULT_TUNING,
) -> Score:  # fmt: skip
    """Return the score of one text with the log-probability of each character; see `score_texts`."""
    prompt = read_prompt(network, vocabulary, context)
    batch = encode_batch([text], vocabulary, prompt.last_id, end=end)
    log_probs = BatchScorer(network, batch, tuning).score(prompt.state, threads)
    return Score.of(text, log_probs, batch.targets == vocabulary.unk, vocabulary)


def _batches(texts: Iterable[str], state_values: int, tuning: ScoringTuning) -> Iterator[list[str]]:
    """Yield the texts in batches, limited by their number, their characters and the memory of their states.

    state_values: number of values in the state of one text, which a batch stores for each of its texts.
    """
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
    """Compute the log-probability of each target of a batch.

    Parameters
    ----------
    network : CausalModel
    batch : TextBatch
        The ids of the texts, with N targets.
    tuning : ScoringTuning
        Sizes that determine the speed.

    Attributes
    ----------
    log_probs : array (N,)
        Log-probability of each target in nats; `score` fills it, each of its helpers the part of its texts.
    """

    def __init__(self, network: CausalModel, batch: TextBatch, tuning: ScoringTuning) -> None:
        self.network, self.batch, self.tuning = network, batch, tuning
        self.log_probs = np.empty(batch.targets.size)

    def score(self, state: NetworkState, threads: int) -> npt.NDArray[np.float64]:
        """Score all texts and return `log_probs`.

        Parameters
        ----------
        state : NetworkState
            The initial state of every text, for one stream.
        threads : int
            Maximum number of threads.
        """
        batch, tuning = self.batch, self.tuning
        texts = np.flatnonzero(batch.counts)
        is_long = batch.counts[texts] >= tuning.min_chunked_characters
        if np.count_nonzero(is_long) < tuning.min_step_columns // 2:  # too few to fill the columns of a window
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
        ids_to_read = np.cumsum(batch.counts[texts] - prefix_lengths)  # up to each text, shared prefixes once
        bounds = np.searchsorted(ids_to_read, ids_to_read[-1:] * np.arange(1, threads) / threads)
        parts = list(zip(np.split(texts, bounds), np.split(prefix_lengths, bounds), strict=True))
        parallel_map(lambda part: self._score_part(*part, state), parts, threads)
        return self.log_probs

    def _score_part(self, texts: Indices, prefix_lengths: Indices, state: NetworkState) -> None:
        """Score the sorted texts of one thread.

        prefix_lengths: number of targets at the start of each text that are equal in the previous text.
        """
        depth, texts, rows, states = self._score_prefixes(texts, prefix_lengths, state)
        order = np.argsort(-self.batch.counts[texts], kind="stable")
        for columns in np.array_split(order, max(1, math.ceil(order.size / self.network.streams_per_step))):
            self._score_columns(texts[columns], depth, self.network.select(states, rows[columns]))

    def _score_prefixes(
        self, texts: Indices, prefix_lengths: Indices, state: NetworkState
    ) -> tuple[int, Indices, Indices, NetworkState]:
        """Score the first targets of sorted texts, as long as enough texts have the same prefix.

        In step t the network reads one row per distinct prefix of t targets, not one row per text.

        Returns
        -------
        depth : int
            Number of steps: the first `depth` targets of each text are scored.
        texts : array (A,)
            The texts with more than `depth` targets.
        rows : array (A,)
            Row of each of these texts in `states`.
        states : NetworkState
            One row for each distinct prefix, after `depth` inputs.
        """
        network, batch, tuning = self.network, self.batch, self.tuning
        depth, states, rows = 0, state, np.zeros(texts.size, np.intp)
        active: Indices = np.arange(texts.size)  # texts with more than `depth` targets, as indices into `texts`
        both = network.zero_state(2 * texts.size)  # the system provides one large array faster than two
        buffers = cycle([network.select(both, half) for half in split_evenly(0, 2 * texts.size, 2)])
        while True:
            prefixes = np.cumsum(prefix_lengths < depth)[active]  # number of the distinct prefix of each text
            is_first = np.diff(prefixes, prepend=-1) != 0  # the first text of each distinct prefix
            saved_rows = active.size - np.count_nonzero(is_first)
            if saved_rows < max(tuning.min_saved_rows, tuning.min_saved_fraction * active.size):
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
        """Score the rest of each text in windows with one column per text.

        columns: indices of the texts, the longest first.  depth: number of targets of each that are scored already.
        state: state of each text after `depth` inputs.
        """
        starts, counts = self.batch.starts[columns], self.batch.counts[columns]
        stepper: CausalStepper | None = None
        while counts.size:
            narrow_at = int(counts[math.ceil(self.tuning.min_active_fraction * counts.size) - 1])
            stop = min(narrow_at, depth + max(1, self.tuning.max_window_ids // counts.size))
            steps = np.arange(depth, stop)[:, None]
            indices = starts + np.minimum(steps, counts - 1)  # (T, B); a column that has ended repeats its last id
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
