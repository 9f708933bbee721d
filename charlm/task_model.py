"""What models of the tasks do: the methods of `LanguageModel` for models that predict labels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from charlm.checks import COUNT, NON_NEGATIVE, check_texts, check_value, number_rule
from charlm.errors import ConfigError
from charlm.inference.prepare import prepare_bidirectional, prepare_causal, prepare_pairs
from charlm.kernels.threads import cores_for
from charlm.nn.bidirectional import Tagger
from charlm.nn.encoder_decoder import EncoderDecoder
from charlm.nn.network import Network
from charlm.settings import plain
from charlm.stored_model import StoredModel

if TYPE_CHECKING:
    from charlm.tasks.classify import Classifier, Labelled
    from charlm.tasks.pairs import Translation, Translator
    from charlm.tasks.restore import Restored, Restorer
    from charlm.tasks.tag import Tagged, TokenTagger

PROBABILITY = number_rule("in [0, 1]", lambda value: 0 <= value <= 1)


class TaskModel(StoredModel):
    """The base class of `LanguageModel`, with the methods of models that predict labels."""

    @cached_property
    def restorer(self) -> Restorer:
        """The model, prepared for restoring text; ConfigError if it is of another task."""
        from charlm.tasks.restore import Restorer

        if self.text.task != "restore" or not isinstance(self.network, Tagger):
            raise ConfigError(f"restoring needs a model of the task 'restore'; {self.task.for_commands()}")
        network = prepare_bidirectional(self.network, self.members)
        return Restorer(network, self.vocabulary, self.labels, self.text, self.training.forms)

    def restore(self, text: str, *, min_probability: float = 0.0) -> str:
        """Return a text with what the model was trained to restore, such as its marks.

        Stripping the result gives the stripped text: nothing else changes.

        Parameters
        ----------
        text : str
            Any text.
        min_probability : float, default 0
            A change with a lower probability is not made.
        """
        return "".join(part.text for part in self.restore_each([text], min_probability=min_probability))

    def restore_each(self, chunks: Iterable[str], *, min_probability: float = 0.0) -> Iterator[Restored]:
        """Yield a text of any length part by part, with the changes in it; see `restore`."""
        check_value("min_probability", plain(min_probability), PROBABILITY)
        return self.restorer.restore(chunks, plain(min_probability))

    @cached_property
    def classifier(self) -> Classifier:
        """The model, prepared for classifying texts; ConfigError if it is of another task."""
        from charlm.tasks.classify import Classifier

        if self.text.task != "classify" or not isinstance(self.network, Network):
            raise ConfigError(f"labels need a model of the task 'classify'; {self.task.for_commands()}")
        return Classifier(prepare_causal(self.network, self.members), self.vocabulary, self.labels)

    def classify(self, text: str) -> Labelled:
        """Return the most probable label of a text, and the probability of each label.

        A model that reads labels compares the probabilities of the text given each of them. For several language
        models, see `charlm.classify`.
        """
        return next(self.classify_each([text]))

    def classify_each(self, texts: Iterable[str], *, threads: int | None = None) -> Iterator[Labelled]:
        """Yield the labels of each text, in order and in bounded memory.

        Parameters
        ----------
        texts : iterable of str
            The texts.
        threads : int, optional
            Cores to use; 0 or None for all that this process may use.
        """
        check_texts(texts)
        if self.reads_labels:
            return self.any_label.classify(map(self.clean, texts), threads)
        return self.classifier.classify(map(self.clean, texts), cores_for(threads))

    @cached_property
    def tagger(self) -> TokenTagger:
        """The model, prepared for labelling tokens; ConfigError if it is of another task."""
        from charlm.tasks.tag import TokenTagger

        if self.text.task != "tag" or not isinstance(self.network, Tagger):
            raise ConfigError(f"tagging needs a model of the task 'tag'; {self.task.for_commands()}")
        return TokenTagger(prepare_bidirectional(self.network, self.members), self.vocabulary, self.labels)

    def tag(self, text: str) -> Tagged:
        """Return the labels of the tokens of a sentence: of its words, numbers and punctuation marks."""
        from charlm.text.conll import split_tokens

        return next(self.tag_each([[token for _, token in split_tokens(self.clean(text))]]))

    def tag_each(self, sentences: Iterable[Sequence[str]]) -> Iterator[Tagged]:
        """Yield the labels of the tokens of each sentence, in order and in bounded memory.

        Parameters
        ----------
        sentences : iterable of sequence of str
            The tokens of each sentence.
        """
        check_texts(sentences)
        return self.tagger.tag(sentences)

    @cached_property
    def translator(self) -> Translator:
        """The model, prepared for predicting targets; ConfigError if it is of another task."""
        from charlm.tasks.pairs import Translator

        if self.text.task != "pairs" or not isinstance(self.network, EncoderDecoder):
            raise ConfigError(f"translating needs a model of the task 'pairs'; {self.task.for_commands()}")
        network = prepare_pairs(self.network, self.members)
        return Translator(network, self.vocabulary, self.labels, self.text.target_unit)

    def translate(self, source: str, *, beam: int = 1, best: int = 1, length_exponent: float = 0.0) -> Translation:
        """Return the most probable target of a source, such as the pronunciation of a word.

        See `translate_each` for the parameters.
        """
        return next(self.translate_each([source], beam=beam, best=best, length_exponent=length_exponent))

    def translate_each(
        self,
        sources: Iterable[str],
        *,
        beam: int = 1,
        best: int = 1,
        length_exponent: float = 0.0,
        threads: int | None = None,
    ) -> Iterator[Translation]:
        """Yield the targets of each source, in order and in bounded memory.

        Parameters
        ----------
        sources : iterable of str
            The sources. An empty one has an empty target.
        beam : int, default 1
            Width of the beam search; 1 takes the most probable unit at each step. It is `best` at least.
        best : int, default 1
            Targets of each source, at most.
        length_exponent : float, default 0
            Targets are ranked by their log-probability, divided by their length to this power.
        threads : int, optional
            Cores to use; 0 or None for all that this process may use.
        """
        check_texts(sources)
        check_value("beam", plain(beam), COUNT)
        check_value("best", plain(best), COUNT)
        check_value("length_exponent", plain(length_exponent), NON_NEGATIVE)
        return self.translator.translate(
            map(self.clean, sources), beam=max(plain(beam), plain(best)), best=plain(best),
            length_exponent=plain(length_exponent), threads=cores_for(threads),
        )  # fmt: skip
