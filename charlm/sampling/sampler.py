"""Draw texts from a network, one character at a time.

    prompt ids -> stepper -> logits -> filters -> softmax -> draw an id -> character, and the id is the next input

Every text begins with EOS, followed by the prompt. UNK is never drawn, nor a newline in a model of lines. EOS ends a
text. No document of a corpus is empty, so EOS never follows EOS in training; it is never drawn as the first token of a
text.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from html import escape
from itertools import chain, count, islice, repeat

import numpy as np

from charlm.arrays import Ids
from charlm.checks import COUNT, NATURAL, check_value
from charlm.config import SampleConfig
from charlm.inference.interface import CausalModel
from charlm.inference.prompt import Prompt, read_prompt
from charlm.kernels.blas import max_small_product
from charlm.kernels.threads import parallel_map
from charlm.sampling.drawing import TextFilters, TokenSampler, text_filters, uniform_numbers, uniform_rows
from charlm.sampling.stopping import StopString
from charlm.sampling.tuning import DEFAULT_TUNING, SamplingTuning
from charlm.text.quoting import quoted
from charlm.text.vocabulary import Vocabulary


@dataclass(frozen=True, repr=False)
class Sample:
    """A text that was drawn; `str(sample)` is the text.

    Attributes
    ----------
    text : the characters after the prompt.
    log_prob : ln p(text | prompt) in nats under the unfiltered model at temperature 1, including EOS if it was drawn.
        Scoring the text gives the same value.
    has_ended : whether EOS was drawn. If not, the text ended at the maximum length or at the stop string.
    """

    text: str
    log_prob: float
    has_ended: bool

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        end = ", ended" * self.has_ended
        return f"<Sample {quoted(self.text)}, {len(self.text):,} characters, log p {self.log_prob:.4g} nats{end}>"

    def _repr_html_(self) -> str:
        return f'<pre style="white-space: pre-wrap">{escape(self.text)}</pre>'


@dataclass(frozen=True)
class Sampler:
    """Draw texts from a network.

    Parameters
    ----------
    network : computes the logits.
    vocabulary : encodes the prompt and decodes the ids.
    config : filters, maximum length, stop string, and whether EOS may be drawn.
    threads : threads that draw batches, 1 or more.
    tuning : sizes that determine the speed.
    """

    network: CausalModel
    vocabulary: Vocabulary
    config: SampleConfig
    threads: int = 1
    tuning: SamplingTuning = DEFAULT_TUNING

    def stream(self, prompt: str = "", *, seed: int | None = None) -> Iterator[str]:
        """Draw one text; yield each character as soon as it is drawn.

        Parameters
        ----------
        prompt : text that is read first and not yielded; unknown characters are read as UNK.
        seed : 0 or more; the same seed gives the same text, the first one of `texts`. None for a random seed.

        Raises
        ------
        ConfigError
            If the seed is negative.
        DivergedError
            While drawing, if the network's outputs are nan.
        """
        return self._stream(prompt, _checked_seed(seed))

    def texts(self, prompt: str = "", *, n: int | None = None, seed: int | None = None) -> Iterator[Sample]:
        """Draw texts in batches; yield the texts of a batch when all of them are drawn.

        Parameters
        ----------
        prompt : text that is read before each text; unknown characters are read as UNK.
        n : number of texts, 1 or more; None for texts without end.
        seed : 0 or more, None for a random seed. Text k depends on the seed and on k, and not on n, except for
            rounding in batches of different sizes.

        Raises
        ------
        ConfigError
            If `n` is below 1 or the seed is negative.
        DivergedError
            While drawing, if the network's outputs are nan.
        """
        if n is not None:
            check_value("n", n, COUNT)
        return self._texts(prompt, n, _checked_seed(seed))

    def _stream(self, prompt: str, seed: int) -> Iterator[str]:
        last_id, state = read_prompt(self.network, self.vocabulary, prompt)
        stepper = self.network.stepper(state)
        stop, eos, tokens = StopString(self.config.stop), self.vocabulary.eos, self.vocabulary.tokens
        uniforms = chain.from_iterable(map(np.ndarray.tolist, uniform_numbers(seed, 0, self.tuning.uniform_block)))
        filters = self._text_filters(prompt)
        for token_sampler, uniform in zip(self._token_samplers(last_id), uniforms, strict=False):
            last_id = token_sampler.draw_one(stepper.read_one(last_id)[0], uniform, filters)
            if last_id == eos:
                return
            for filter_ in filters.values():
                filter_.read(last_id)
            piece = tokens[last_id]
            end = stop.end_in(piece)
            yield piece[:end]
            if end is not None:
                return

    def _texts(self, prompt: str, n: int | None, seed: int) -> Iterator[Sample]:
        start = read_prompt(self.network, self.vocabulary, prompt)
        filters = self._text_filters(prompt)
        size = self.tuning.max_batch_texts
        for first in count(0, size) if n is None else range(0, n, size):
            texts = np.arange(first, first + size if n is None else min(first + size, n))
            parts = np.array_split(texts, self._thread_count(texts.size))
            draw = partial(self._draw_batch, start, filters, seed)
            yield from chain.from_iterable(parallel_map(draw, parts, self.threads))

    def _thread_count(self, texts: int) -> int:
        """Return the number of threads for a batch of texts."""
        min_texts = 1 if max_small_product() else self.tuning.min_thread_texts
        multiplications = texts * self.network.size
        max_count = min(texts // min_texts, multiplications // self.tuning.min_thread_multiplications)
        return max(1, min(self.threads, max_count))

    def _text_filters(self, prompt: str) -> TextFilters:
        """Return the filters that depend on the text so far, at the end of a prompt."""
        return text_filters(
            self.config, self.vocabulary, [self.vocabulary.eos, *self.vocabulary.encode(prompt).tolist()]
        )

    def _draw_batch(self, start: Prompt, filters: TextFilters, seed: int, texts: Ids) -> list[Sample]:
        """Draw texts as the columns of one batch; a column leaves the batch when its text ends."""
        size, eos = texts.size, self.vocabulary.eos
        active: Ids = np.arange(size)  # columns whose texts have not ended
        ids: Ids = np.full(size, start.last_id)
        stepper = self.network.stepper(self.network.select(start.state, np.zeros(size, np.intp)))
        stops = [StopString(self.config.stop) for _ in texts]
        filters_of = [{name: each.copy() for name, each in filters.items()} for _ in texts]
        rows: list[Ids] = []  # the ids of each step, EOS after the end of a text
        log_probs, has_ended = np.zeros(size), np.zeros(size, bool)
        uniforms = uniform_rows(seed, texts.tolist(), self.tuning.uniform_block)
        for token_sampler, uniform in zip(self._token_samplers(start.last_id), uniforms, strict=False):
            ids, step_log_probs = token_sampler.draw(
                stepper.read(ids),
                uniform[active],
                [filters_of[column] for column in active.tolist()] if filters else (),
            )
            rows.append(np.full(size, eos, np.int32))
            rows[-1][active] = ids
            log_probs[active] += step_log_probs
            if filters:
                for column, token in zip(active.tolist(), ids.tolist(), strict=True):
                    for filter_ in filters_of[column].values():
                        filter_.read(token)
            is_active = ids != eos
            has_ended[active[~is_active]] = True
            if self.config.stop:
                pieces = (self.vocabulary.tokens[i] for i in ids.tolist())
                ends = [stops[column].end_in(piece) for column, piece in zip(active.tolist(), pieces, strict=True)]
                is_active &= [end is None for end in ends]
            if not is_active.all():
                active, ids = active[is_active], ids[is_active]
                if not active.size:
                    break
                stepper = self.network.stepper(self.network.select(stepper.state, np.flatnonzero(is_active)))
        columns = np.array(rows, np.int32).reshape(len(rows), size).T
        return list(map(Sample, map(self._decode, columns), log_probs.tolist(), has_ended.tolist()))

    def _decode(self, ids: Ids) -> str:
        """Return the text of ids, up to the end of the stop string; EOS is not a character."""
        text = self.vocabulary.decode(ids)
        return text[: StopString(self.config.stop).end_in(text)]

    def _token_samplers(self, last_id: int) -> Iterator[TokenSampler]:
        """Yield the token sampler of each step, up to the maximum length.

        `never_drawn` is excluded in every step, EOS where a text may not end: after EOS, and if `can_end` is not set.
        """
        eos, never_drawn = self.vocabulary.eos, self.vocabulary.never_drawn
        without_end = TokenSampler(self.config, (eos, *never_drawn))
        with_end = TokenSampler(self.config, never_drawn) if self.config.can_end else without_end
        return islice(chain([without_end if last_id == eos else with_end], repeat(with_end)), self.config.length)


def _checked_seed(seed: int | None) -> int:
    """Return the seed, or a random one for None; raise ConfigError if it is negative."""
    if seed is None:
        return int.from_bytes(os.urandom(16), "little")
    check_value("seed", seed, NATURAL)
    return seed
