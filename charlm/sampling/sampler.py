"""Draw texts from a network, one character at a time.

    prompt ids -> stepper -> logits -> filters -> softmax -> draw an id -> character, and the id is the next input

Every text begins with EOS, followed by the prompt. UNK is never drawn, nor a newline in a model of lines. EOS ends a
text. No document of a corpus is empty, so EOS is never drawn as the first token of a text.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from html import escape
from itertools import chain, count, islice, repeat
from typing import TYPE_CHECKING

import numpy as np

from charlm.arrays import Array, Ids
from charlm.checks import COUNT, NATURAL, check_value
from charlm.config import SampleConfig
from charlm.errors import ConfigError
from charlm.inference.interface import CausalModel
from charlm.inference.prompt import Prompt, read_prompt
from charlm.kernels.blas import max_small_product
from charlm.kernels.threads import parallel_map
from charlm.sampling.drawing import TextFilters, TokenSampler, text_filters, uniform_numbers, uniform_rows
from charlm.sampling.stopping import StopString
from charlm.sampling.tuning import DEFAULT_TUNING, SamplingTuning
from charlm.text.quoting import quoted
from charlm.text.vocabulary import Vocabulary

if TYPE_CHECKING:  # loaded when a text must match
    from charlm.sampling.constraint import Constraint, Matching

ACCEPTANCE = 1 << 40
"""Offset of the random streams that decide which texts are accepted."""


@dataclass(frozen=True, repr=False)
class Sample:
    """A text that was drawn; `str(sample)` is the text.

    Attributes
    ----------
    text : the characters after the prompt.
    log_prob : ln p(text | prompt) in nats without filters at temperature 1, with EOS if it was drawn; that of `score`.
    has_ended : whether EOS was drawn. If not, the text ended at the maximum length or at the stop string.
    log_kept : if texts must match, the logarithm of the probability that the mask kept, summed over the steps: the
        importance weight. 0 otherwise.
    log_probs : the part of each character in `log_prob`, and that of EOS at the end if it was drawn.
    label : the label that was drawn first, of a model with labels; `log_prob` is that of the text given it.
    """

    text: str
    log_prob: float
    has_ended: bool
    log_kept: float = 0.0
    log_probs: tuple[float, ...] = field(default=(), compare=False)
    label: str | None = None

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
            If the seed is negative, or if no text can match.
        DivergedError
            While drawing, if the network's outputs are nan.
        """
        constraint = self._constraint(prompt)
        if self.config.exact and constraint:
            return (character for sample in self.texts(prompt, n=1, seed=seed) for character in sample.text)
        return self._stream(prompt, _checked_seed(seed), constraint)

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
            If `n` is below 1 or the seed is negative, if no text can match, or while drawing if `exact` accepts none.
        DivergedError
            While drawing, if the network's outputs are nan.
        """
        if n is not None:
            check_value("n", n, COUNT)
        return self._texts(prompt, n, _checked_seed(seed), self._constraint(prompt))

    def continue_from(self, start: Prompt, *, n: int, seed: int) -> list[Sample]:
        """Draw n texts in one batch after a prompt that was read before, without constraints and text filters."""
        drawn = self._draw_batch(start, {}, None, seed, np.arange(n))
        return [sample for sample in drawn if sample is not None]

    def _constraint(self, prompt: str) -> Constraint | None:
        if not self.config.is_constrained:
            return None
        from charlm.sampling.constraint import make_constraint  # loaded here because most texts are not constrained

        return make_constraint(self.config, self.vocabulary, prompt, self.tuning)

    def _stream(self, prompt: str, seed: int, constraint: Constraint | None) -> Iterator[str]:
        last_id, state = read_prompt(self.network, self.vocabulary, prompt)
        stepper = self.network.stepper(state)
        stop, eos, tokens = StopString(self.config.stop), self.vocabulary.eos, self.vocabulary.tokens
        uniforms = chain.from_iterable(map(np.ndarray.tolist, uniform_numbers(seed, 0, self.tuning.uniform_block)))
        filters = self._text_filters(prompt)
        matched, left = constraint.state if constraint else 0, self.config.max_length
        for token_sampler, uniform in zip(self._token_samplers(last_id), uniforms, strict=False):
            logits = stepper.read_one(last_id)[0]
            if constraint:
                if not (self.config.can_end and last_id != eos) and constraint.is_complete(matched, left):
                    return
                logits = logits + constraint.penalties(matched, left)
            last_id = token_sampler.draw_one(logits, uniform, filters)
            if constraint:
                matched, left = constraint.transitions.item(matched, last_id), left - 1
            if last_id == eos:
                return
            for filter_ in filters.values():
                filter_.read(last_id)
            piece = tokens[last_id]
            end = stop.end_in(piece)
            yield piece[:end]
            if end is not None:
                return

    def _texts(self, prompt: str, n: int | None, seed: int, constraint: Constraint | None) -> Iterator[Sample]:
        draw = partial(
            self._draw_batch,
            read_prompt(self.network, self.vocabulary, prompt),
            self._text_filters(prompt),
            constraint,
            seed,
        )
        size = self.tuning.max_batch_texts
        may_reject, accepted, last_accepted = self.config.exact and constraint, 0, 0
        for first in count(0, size):
            stop = first + size if n is None or may_reject else min(first + size, n)
            texts = np.arange(first, stop)
            parts = np.array_split(texts, self._thread_count(texts.size))
            for sample in chain.from_iterable(parallel_map(draw, parts, self.threads)):
                if sample is not None and accepted != n:
                    accepted, last_accepted = accepted + 1, stop
                    yield sample
            if accepted == n:
                return
            if stop - last_accepted >= self.tuning.max_exact_draws:
                raise ConfigError(
                    f"none of {stop - last_accepted:,} texts was accepted; `exact=False` masks step by step instead"
                )

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

    def _matching(self, constraint: Constraint | None, seed: int, texts: Ids) -> Matching | None:
        """Return the states of a constraint in a batch."""
        if constraint is None:
            return None
        from charlm.sampling.constraint import Matching

        numbers = [ACCEPTANCE + number for number in texts.tolist()]
        uniforms = uniform_rows(seed, numbers, self.tuning.uniform_block) if self.config.exact else None
        return Matching(constraint, texts.size, self.config.can_end, uniforms)

    def _draw_batch(
        self, start: Prompt, filters: TextFilters, constraint: Constraint | None, seed: int, texts: Ids
    ) -> list[Sample | None]:
        """Draw texts as the columns of one batch; a column leaves the batch when its text ends. None if rejected."""
        size, eos, left = texts.size, self.vocabulary.eos, self.config.max_length
        may_end = self.config.can_end and start.last_id != eos
        if constraint and not may_end and constraint.is_complete(constraint.state, left):
            return [Sample("", 0.0, False)] * size
        matching = self._matching(constraint, seed, texts)
        active: Ids = np.arange(size)  # columns whose texts have not ended
        ids: Ids = np.full(size, start.last_id)
        stepper = self.network.stepper(self.network.select(start.state, np.zeros(size, np.intp)))
        stops = [StopString(self.config.stop) for _ in texts]
        filters_of = [{name: each.copy() for name, each in filters.items()} for _ in texts]
        rows: list[Ids] = []  # the ids of each step, EOS after the end of a text
        steps: list[Array] = []  # the log-probabilities of each step
        counts, has_ended = np.zeros(size, np.intp), np.zeros(size, bool)
        uniforms = uniform_rows(seed, texts.tolist(), self.tuning.uniform_block)
        for token_sampler, uniform in zip(self._token_samplers(start.last_id), uniforms, strict=False):
            logits = stepper.read(ids)
            texts_of = [filters_of[column] for column in active.tolist()] if filters else ()
            if matching:
                penalties = matching.penalties(active, left)
                ids, step_log_probs, log_kept = token_sampler.draw_masked(logits, uniform[active], texts_of, penalties)
                matching.weigh(active, log_kept)
            else:
                ids, step_log_probs = token_sampler.draw(logits, uniform[active], texts_of)
            left -= 1
            rows.append(np.full(size, eos, np.int32))
            rows[-1][active] = ids
            steps.append(np.zeros(size))
            steps[-1][active] = step_log_probs
            counts[active] += 1
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
            if matching:
                is_active &= matching.read(active, ids, left)
            if not is_active.all():
                active, ids = active[is_active], ids[is_active]
                if not active.size:
                    break
                stepper = self.network.stepper(self.network.select(stepper.state, np.flatnonzero(is_active)))
        texts_drawn = map(self._decode, np.array(rows, np.int32).reshape(len(rows), size).T)
        log_probs = np.array(steps).reshape(len(steps), size)
        weights = matching.log_kept if matching else np.zeros(size)
        parts = (tuple(column[:count]) for column, count in zip(log_probs.T.tolist(), counts.tolist(), strict=True))
        samples = map(Sample, texts_drawn, log_probs.sum(axis=0).tolist(), has_ended.tolist(), weights.tolist(), parts)
        is_rejected = matching.is_rejected if matching else np.zeros(size, bool)
        return [None if rejected else sample for sample, rejected in zip(samples, is_rejected.tolist(), strict=True)]

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
        return islice(chain([without_end if last_id == eos else with_end], repeat(with_end)), self.config.max_length)


def _checked_seed(seed: int | None) -> int:
    """Return the seed, or a random one for None; raise ConfigError if it is negative."""
    if seed is None:
        return int.from_bytes(os.urandom(16), "little")
    check_value("seed", seed, NATURAL)
    return seed
