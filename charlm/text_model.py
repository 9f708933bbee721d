"""TextModel: the methods of what predicts a text from left to right, a model or a mixture of models."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from charlm.checkpoint import TrainingRecord
from charlm.checks import COUNT, NATURAL, TRUTH, check, check_texts, check_value
from charlm.config import SampleConfig, TextConfig
from charlm.errors import ConfigError
from charlm.inference.interface import CausalModel
from charlm.kernels.threads import cores_for
from charlm.sampling.sampler import Sample, Sampler
from charlm.scoring.characters import score_characters
from charlm.scoring.score import CharScore, Score
from charlm.scoring.scorer import score_text, score_texts
from charlm.settings import SampleSettings, checked, plain, show_keywords
from charlm.text.reading import normalize_text
from charlm.text.vocabulary import Vocabulary

if TYPE_CHECKING:  # loaded by the methods that use them
    from typing_extensions import Unpack

    from charlm.scoring.continuations import Next


class TextModel(ABC):
    """A distribution over texts: a vocabulary, and the probability of each character given those before it.

    Attributes
    ----------
    vocabulary : Vocabulary
        Encodes texts.
    text : TextConfig
        How text becomes tokens.
    """

    vocabulary: Vocabulary
    text: TextConfig

    @property
    @abstractmethod
    def prepared(self) -> CausalModel:
        """What computes the probabilities."""

    @property
    @abstractmethod
    def training_records(self) -> tuple[TrainingRecord, ...]:
        """What each model remembers of its training."""

    @property
    def reads_labels(self) -> bool:
        """Whether its texts have labels, so that some methods need one."""
        return False

    def given(self, label: str | None) -> TextModel:
        """Return the model of the texts with a label; for None, of all texts.

        Raises
        ------
        ConfigError
            If a label is given, and the model was trained without labels or does not have it.
        """
        if label is not None:
            raise ConfigError("`label` is for models that were trained with labels, and this one has none")
        return self

    @show_keywords(SampleSettings, SampleConfig)
    def sample(
        self,
        prompt: str = "",
        *,
        n: int = 1,
        seed: int | None = None,
        threads: int | None = None,
        config: SampleConfig | None = None,
        label: str | None = None,
        **settings: Unpack[SampleSettings],
    ) -> list[Sample]:
        """Draw n texts that continue a prompt.

        Parameters
        ----------
        prompt : str
            The text to continue; it is not part of the result. A model of words draws a space with the word after it,
            so a space at the end of its prompt is dropped.
        n : int, default 1
            Number of texts.
        seed : int, optional
            The same seed gives the same texts.
        threads : int, optional
            Cores to use; 0 or None for all that this process may use.
        config : SampleConfig, optional
            How characters are drawn.
        label : str, optional
            The label of the texts, of a model with labels; by default each text has one that is drawn by its frequency.
        **settings
            Fields of SampleConfig that override `config`, such as `temperature=0.5` or `length=200`.
        """
        check_value("n", plain(n), COUNT)
        model = self.given(label)
        return list(model.sample_each(prompt, n=n, seed=seed, threads=threads, config=config, **settings))

    @show_keywords(SampleSettings, SampleConfig)
    def sample_each(
        self,
        prompt: str = "",
        *,
        n: int | None = None,
        seed: int | None = None,
        threads: int | None = None,
        config: SampleConfig | None = None,
        label: str | None = None,
        **settings: Unpack[SampleSettings],
    ) -> Iterator[Sample]:
        """Yield the texts of `sample` in batches as they are drawn, without end if n is None."""
        model = self.given(label)
        if model is not self:
            return model.sample_each(prompt, n=n, seed=seed, threads=threads, config=config, **settings)
        config = self.sampling(config, settings)
        sampler = Sampler(self.prepared, self.vocabulary, config, threads=cores_for(threads))
        return sampler.texts(self.clean_prompt(prompt), n=plain(n), seed=plain(seed))

    @show_keywords(SampleSettings, SampleConfig)
    def stream(
        self,
        prompt: str = "",
        *,
        seed: int | None = None,
        config: SampleConfig | None = None,
        label: str | None = None,
        **settings: Unpack[SampleSettings],
    ) -> Iterator[str]:
        """Draw one text, and yield each character as it is drawn; see `sample`."""
        model = self.given(label)
        if model is not self:
            return model.stream(prompt, seed=seed, config=config, **settings)
        sampler = Sampler(self.prepared, self.vocabulary, self.sampling(config, settings))
        return sampler.stream(self.clean_prompt(prompt), seed=plain(seed))

    def sampling(self, config: SampleConfig | None, settings: Mapping[str, object]) -> SampleConfig:
        """Complete the settings of sampling.

        A model of one running text never draws EOS, which was never a target. The stop string and the texts that a text
        must have are normalized.
        """
        has_seen_ends = self.text.lines or any(len(record.sources) != 1 for record in self.training_records)
        config = SampleConfig() if config is None else config
        check(isinstance(config, SampleConfig), "config", config, "a SampleConfig")
        given = checked(settings, SampleSettings.__annotations__)
        config = replace(config, **{"can_end": config.can_end and has_seen_ends, **given})
        names = ("stop", "starts_with", "contains", "ends_with")
        given = {name: getattr(config, name) for name in names}
        cleaned: dict[str, Any] = {name: self.clean(text) for name, text in given.items() if text is not None}
        return replace(config, **cleaned)

    def score(self, text: str, *, end: bool | None = None, context: str = "", label: str | None = None) -> Score:
        """Return the log probability of a text and of each of its characters; see `score_many`."""
        model = self.given(label)
        if model is not self:
            return model.score(text, end=end, context=context)
        text, context = self.clean(text), self.clean(context)
        end, threads = self.counts_end(end), cores_for(None)
        return score_text(self.prepared, self.vocabulary, text, end=end, context=context, threads=threads)

    def score_many(
        self, texts: Iterable[str], *, end: bool | None = None, context: str = "", threads: int | None = None,
        label: str | None = None,
    ) -> Iterator[Score]:  # fmt: skip
        """Yield the log probability of each text, in order and in bounded memory, without those of its characters.

        Parameters
        ----------
        texts : iterable of str
            The texts; each is scored before the next is read. EOS precedes each of them.
        end : bool, optional
            Whether the end of a text counts; by default it does in a model of lines.
        context : str
            Text that precedes each text and does not count.
        threads : int, optional
            Cores to use; 0 or None for all that this process may use.
        label : str, optional
            The label of the texts, of a model with labels; by default their probability is summed over all labels.
        """
        model = self.given(label)
        if model is not self:
            return model.score_many(texts, end=end, context=context, threads=threads)
        check_texts(texts)
        texts, context = map(self.clean, texts), self.clean(context)
        end, threads = self.counts_end(end), cores_for(threads)
        return score_texts(self.prepared, self.vocabulary, texts, end=end, context=context, threads=threads)

    def score_characters(
        self, text: str, *, end: bool | None = None, context: str = "", alternatives: int = 5,
        label: str | None = None,
    ) -> Iterator[CharScore]:  # fmt: skip
        """Yield the score of each character, with the `alternatives` most probable ones; see `score_many`.

        A model with labels needs a `label`.
        """
        check_value("alternatives", alternatives, NATURAL)
        network = self.given(label).prepared
        text, context, end = self.clean(text), self.clean(context), self.counts_end(end)
        return score_characters(network, self.vocabulary, text, end=end, context=context, alternatives=alternatives)

    def next(self, prompt: str = "", *, words: int = 10, label: str | None = None) -> Next:
        """Return what the model expects after a prompt.

        Parameters
        ----------
        prompt : str
            The text before; EOS precedes it.
        words : int, default 10
            Number of next words to search for.
        label : str, optional
            The label of the text; a model with labels needs it.

        Returns
        -------
        Next
            The distribution of the next character (`characters`), and the most probable next words (`words`).
        """
        from charlm.scoring.continuations import expect_next

        check_value("words", plain(words), NATURAL)
        network = self.given(label).prepared
        return expect_next(network, self.vocabulary, self.clean_prompt(prompt), words=plain(words))

    def refuse_unknown(self, text: str) -> None:
        """Raise UnknownCharacterError, with line and column, if a token of a text is not in the vocabulary."""
        self.vocabulary.refuse_unknown(self.clean(text))

    def counts_end(self, end: bool | None) -> bool:
        """Return whether the end of a text counts, by default in a model of lines."""
        if end is None:
            return self.text.lines
        check_value("end", end, TRUTH)
        return end

    def clean(self, text: str) -> str:
        """Return a text as training normalizes it: newlines as LF, in the Unicode normal form of the model."""
        return normalize_text(text, self.text)

    def clean_prompt(self, prompt: str) -> str:
        """Return a prompt as training normalizes it, without a last space that a model of words draws with a word."""
        return self.vocabulary.without_open_space(self.clean(prompt))
