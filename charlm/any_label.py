"""The texts of a model with labels, whatever their label is.

    P(text) = sum over the labels l of P(l) P(text | l)

P(l) is the prior: the fraction of the training texts with the label. After a context it is P(l | context), by Bayes'
rule, and so is the label of a text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import chain, islice, repeat
from typing import TYPE_CHECKING

import numpy as np

from charlm.arrays import Array, Ids
from charlm.checkpoint import TrainingRecord
from charlm.checks import COUNT, NATURAL, check_texts, check_value
from charlm.config import SampleConfig
from charlm.errors import ConfigError
from charlm.inference.interface import CausalModel
from charlm.nn.functional import mix_log_probs
from charlm.sampling.sampler import Sample
from charlm.scoring.score import Score
from charlm.scoring.text_batch import encode_batch
from charlm.settings import plain
from charlm.text.quoting import listed
from charlm.text_model import TextModel

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from charlm.settings import SampleSettings
    from charlm.tasks.classify import Labelled

BATCHES = (1, 32, 512)
"""Number of texts of the first batches that are scored or drawn for one label after another; the last one repeats."""

MAX_MODELS = 16
"""Models of a label that are kept in memory."""


class AnyLabel(TextModel):
    """The distribution over texts that a model with labels has without a label.

    Parameters
    ----------
    model : TextModel
        Its vocabulary, its text settings and its training records are those of this model.
    conditioned : callable
        Returns the model of a label; ConfigError for an unknown label.
    labels : sequence of str
        The L labels.
    priors : sequence of float
        P(label) of each, above 0; they sum to 1.
    """

    def __init__(
        self, model: TextModel, conditioned: Callable[[str], TextModel], labels: Sequence[str], priors: Sequence[float]
    ) -> None:
        self.vocabulary, self.text = model.vocabulary, model.text
        self._records = model.training_records
        self._conditioned = lru_cache(MAX_MODELS)(conditioned)
        self._labels, self._log_priors = tuple(labels), np.log(priors)

    def given(self, label: str | None) -> TextModel:
        """See `TextModel.given`."""
        return self if label is None else self._conditioned(label)

    @property
    def reads_labels(self) -> bool:
        """See `TextModel.reads_labels`."""
        return True

    @property
    def prepared(self) -> CausalModel:
        """No network: it needs a label."""
        raise ConfigError(f"this model needs a `label`, one of {listed(self._labels)}")

    @property
    def training_records(self) -> tuple[TrainingRecord, ...]:
        """What the model remembers of its training."""
        return self._records

    def sampling(self, config: SampleConfig | None, settings: Mapping[str, object]) -> SampleConfig:
        """See `TextModel.sampling`. Texts are not drawn exactly: their label does not depend on whether they match."""
        config = super().sampling(config, settings)
        if config.exact:
            raise ConfigError("`exact` draws from the texts of one label; pass `label`")
        return config

    def log_posterior(self, context: str = "") -> Array:
        """Return log P(label | context) of each label, (L,), in nats; of lines, the context is the last one."""
        context = self.clean(context)
        context = context.rpartition("\n")[2] if self.text.lines else context
        if not context:
            return self._log_priors
        each = [self._conditioned(label).score(context, end=False).log_prob for label in self._labels]
        joint: Array = self._log_priors + np.array(each)
        return joint - mix(joint)

    def sample_each(
        self, prompt: str = "", *, n: int | None = None, seed: int | None = None, threads: int | None = None,
        config: SampleConfig | None = None, label: str | None = None, **settings: Unpack[SampleSettings],
    ) -> Iterator[Sample]:  # fmt: skip
        """Yield texts: see `TextModel.sample_each`. The label of each is drawn first, given the prompt."""
        if label is not None:
            return self._conditioned(label).sample_each(
                prompt, n=n, seed=seed, threads=threads, config=config, **settings
            )
        config, n = self.sampling(config, settings), plain(n)
        if n is not None:
            check_value("n", n, COUNT)
        return self._draw(prompt, n, self._rng(seed), threads, config)

    def stream(
        self, prompt: str = "", *, seed: int | None = None, config: SampleConfig | None = None,
        label: str | None = None, **settings: Unpack[SampleSettings],
    ) -> Iterator[str]:  # fmt: skip
        """Draw one text, and yield each character as it is drawn: the first one of `sample_each`."""
        if label is not None:
            return self._conditioned(label).stream(prompt, seed=seed, config=config, **settings)
        return self._stream(prompt, self._rng(seed), self.sampling(config, settings))

    def score(self, text: str, *, end: bool | None = None, context: str = "", label: str | None = None) -> Score:
        """Return the log probability of a text and of each of its characters: see `TextModel.score`."""
        if label is not None:
            return self._conditioned(label).score(text, end=end, context=context)
        text, end = self.clean(text), self.counts_end(end)
        each = [self._conditioned(one).score(text, end=end, context=context).log_probs for one in self._labels]
        log_probs = np.array(each, np.float64)  # (L, N)
        joint = self.log_posterior(context)[:, None] + np.cumsum(np.insert(log_probs, 0, 0, axis=1), axis=1)
        ids = encode_batch([text], self.vocabulary, self.vocabulary.eos, end=end).targets
        return Score.of(text, np.diff(mix(joint)), ids == self.vocabulary.unk, self.vocabulary)

    def score_many(
        self, texts: Iterable[str], *, end: bool | None = None, context: str = "", threads: int | None = None,
        label: str | None = None,
    ) -> Iterator[Score]:  # fmt: skip
        """Yield the log probability of each text: see `TextModel.score_many`."""
        if label is not None:
            return self._conditioned(label).score_many(texts, end=end, context=context, threads=threads)
        check_texts(texts)
        return self._scores(texts, self.counts_end(end), context, threads)

    def classify(self, texts: Iterable[str], threads: int | None = None) -> Iterator[Labelled]:
        """Yield the labels of each text by Bayes' rule, in order and in bounded memory."""
        from charlm.tasks.classify import Labelled

        for scores, joint in self._joint(texts, self.counts_end(None), "", threads):
            for score, log_probs in zip(scores, (joint - mix(joint)).T, strict=True):
                yield Labelled.of(score.text, self._labels, log_probs)

    def _joint(
        self, texts: Iterable[str], end: bool, context: str, threads: int | None
    ) -> Iterator[tuple[list[Score], Array]]:
        """Yield the scores under the first label, and log P(label, text | context), (L, n), of n texts at a time."""
        remaining, log_posterior = iter(texts), self.log_posterior(context)
        for size in sizes():
            batch = list(islice(remaining, size))
            if not batch:
                return
            each = [
                list(self._conditioned(label).score_many(batch, end=end, context=context, threads=threads))
                for label in self._labels
            ]
            yield each[0], log_posterior[:, None] + [[score.log_prob for score in scores] for scores in each]

    def _scores(self, texts: Iterable[str], end: bool, context: str, threads: int | None) -> Iterator[Score]:
        """Yield the score of each text."""
        for scores, joint in self._joint(texts, end, context, threads):
            for score, log_prob in zip(scores, mix(joint).tolist(), strict=True):
                if score.unknown:  # their part of the log-probability needs that of each character
                    yield replace(self.score(score.text, end=end, context=context), log_probs=None)
                else:
                    yield replace(score, log_prob=log_prob)

    def _rng(self, seed: int | None) -> np.random.Generator:
        """Return the random generator of a seed; ConfigError if it is negative."""
        seed = plain(seed)
        if seed is not None:
            check_value("seed", seed, NATURAL)
        return np.random.default_rng(seed)

    def _choose(self, rng: np.random.Generator, posterior: Array, size: int) -> tuple[Ids, list[int]]:
        """Draw the labels of a batch, (size,), and a seed for the texts of each label."""
        labels: Ids = np.searchsorted(np.cumsum(posterior)[:-1], rng.random(size), side="right")
        return labels, rng.integers(1 << 32, size=len(self._labels)).tolist()

    def _draw(
        self, prompt: str, n: int | None, rng: np.random.Generator, threads: int | None, config: SampleConfig
    ) -> Iterator[Sample]:
        """Yield texts batch by batch; the texts of a label are drawn together. Text k does not depend on n."""
        posterior, drawn = np.exp(self.log_posterior(prompt)), 0
        for size in sizes():
            labels, seeds = self._choose(rng, posterior, size)
            labels = labels[: size if n is None else n - drawn]
            texts: dict[int, Iterator[Sample]] = {}
            for k in np.unique(labels).tolist():
                model, number = self._conditioned(self._labels[k]), int(np.count_nonzero(labels == k))
                texts[k] = iter(model.sample(prompt, n=number, seed=seeds[k], threads=threads, config=config))
            for k in labels.tolist():
                yield replace(next(texts[k]), label=self._labels[k])
            drawn += len(labels)
            if drawn == n:
                return

    def _stream(self, prompt: str, rng: np.random.Generator, config: SampleConfig) -> Iterator[str]:
        """Yield the characters of the first text of `_draw`."""
        (k,), seeds = self._choose(rng, np.exp(self.log_posterior(prompt)), 1)
        yield from self._conditioned(self._labels[k]).stream(prompt, seed=seeds[k], config=config)


def sizes() -> Iterator[int]:
    """Yield the sizes of batches."""
    return chain(BATCHES, repeat(BATCHES[-1]))


def mix(joint: Array) -> Array:
    """Return log(sum over l of exp(joint[l])) of (L, ...)."""
    return mix_log_probs(joint, np.zeros(len(joint)))
