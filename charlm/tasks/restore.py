"""Restore marks, case, spaces and punctuation. Any text is training data: what is removed from it is what is learned.

The network reads the stripped text from both sides. The label of a character is what it stood for, see
`charlm.text.stripping`. Stripping the restored text gives the stripped input, whatever the network predicts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from os import PathLike
from typing import Any, ClassVar, NamedTuple

import numpy as np

from charlm.arrays import Array, Ids
from charlm.config import NetworkConfig, TextConfig
from charlm.errors import ConfigError
from charlm.inference.interface import BidirectionalModel
from charlm.tasks.task import Task
from charlm.tasks.tuning import DEFAULT_TUNING, TaskTuning
from charlm.tasks.word_labels import WordLabels
from charlm.text.corpus import Corpus
from charlm.text.lexicon import Lexicon, count_forms, words_in
from charlm.text.reading import read_chunks, regroup
from charlm.text.stripping import Label, Stripper
from charlm.text.symbols import NO_LABEL
from charlm.text.tuning import DEFAULT_TUNING as DEFAULT_TEXT_TUNING
from charlm.text.tuning import TextTuning
from charlm.text.vocabulary import EOS, Vocabulary

TO_LAST_NEWLINE = re.compile(r".+(?=\n)", re.DOTALL)
"""Matches a text up to its last newline, which starts the next part."""
TO_LAST_SPACE = re.compile(r".+(?=\s)", re.DOTALL)
"""Matches a text up to its last space."""
ADDRESS = re.compile(r"\S+://\S+|www\.\S+|\S+@\S+\.\S+")
"""A URL or an e-mail address; nothing is restored in it."""


class Restore(Task):
    """Both stacks read the stripped text; each character has a label."""

    does = "restores what was removed from a text"
    commands = ("restore",)
    network: ClassVar[Mapping[str, Any]] = {"bidirectional": True}
    options = ("remove",)

    def text(self, config: TextConfig) -> TextConfig:
        """See `Task.text`. The kinds to remove must be given."""
        if not config.remove:
            raise ConfigError("the task 'restore' needs `remove`, such as `remove=marks` or `remove=case,punctuation`")
        Stripper.of(config.remove)
        return super().text(config)

    def check_model(self, text: TextConfig, config: NetworkConfig, labels: tuple[str, ...]) -> None:
        """See `Task.check_model`. Each label must be one of `charlm.text.stripping`."""
        super().check_model(text, config, labels)
        for label in labels:
            Label.parse(label)

    def scheme(self, config: TextConfig, labels: tuple[str, ...] | None) -> RestoreScheme:
        """See `Task.scheme`."""
        return RestoreScheme(Stripper.of(config.remove), labels)

    def forms(self, config: TextConfig, corpus: Corpus) -> dict[str, int]:
        """See `Task.forms`. They tell of marks; text without spaces has no words."""
        stripper = Stripper.of(config.remove)
        has_forms = "marks" in stripper.kinds and "spaces" not in stripper.kinds
        return count_forms(training_text(corpus, stripper)) if has_forms else {}


def training_text(corpus: Corpus, stripper: Stripper) -> Iterator[str]:
    """Yield the training part of a corpus of units in parts that end between words; a space is for what is unknown."""
    assert corpus.symbols is not None
    labels, tokens = [Label.parse(label) for label in corpus.labels], corpus.vocabulary.tokens
    units = [
        " " if token in (corpus.vocabulary.eos, corpus.vocabulary.unk) or label == NO_LABEL
        else stripper.restore(tokens[token], labels[label])
        for token, label in zip(corpus.symbols.tokens.tolist(), corpus.symbols.labels.tolist(), strict=True)
    ]  # fmt: skip
    ids, size = corpus.train_ids, DEFAULT_TEXT_TUNING.ids_per_chunk
    parts = ("".join(map(units.__getitem__, ids[k : k + size].tolist())) for k in range(0, len(ids), size))
    return regroup(parts, TO_LAST_SPACE)


@dataclass
class RestoreScheme:
    """Units as symbols: see `charlm.text.symbols.Scheme`. A unit without a character that stays is left out."""

    stripper: Stripper
    labels: tuple[str, ...] | None
    min_count: int = DEFAULT_TUNING.min_label_count
    is_condition: bool = False

    def read(self, path: str | PathLike[str], config: TextConfig, tuning: TextTuning) -> Iterator[Sequence[str]]:
        """Yield the units of a text in parts; in a corpus of lines a newline becomes EOS."""
        for part in regroup(read_chunks(path, config, tuning), TO_LAST_NEWLINE):
            units = [unit for unit in self.stripper.units(part) if not self.stripper.is_removed(unit[0])]
            yield [EOS if unit[0] == "\n" else unit for unit in units] if config.lines else units

    def split(self, symbol: str) -> tuple[str, str]:
        """Return the stripped character of a unit, and its label."""
        return self.stripper.strip_character(symbol[0]), str(self.stripper.label(symbol))


class Change(NamedTuple):
    """A change of a text: its offset in the text, the unit there, the new one, and its probability in (0, 1]."""

    offset: int
    original: str
    restored: str
    probability: float


class Restored(NamedTuple):
    """A part of a text, and the changes in it, in order; their offsets are those in the whole text."""

    original: str
    start: int
    changes: tuple[Change, ...]

    @property
    def text(self) -> str:
        """The part with the changes."""
        return "".join(chain.from_iterable(self.pieces()))

    def pieces(self) -> Iterator[tuple[str, str]]:
        """Yield each unchanged piece with the restored unit after it, which is empty at the end."""
        position = self.start
        for change in self.changes:
            yield self.original[position - self.start : change.offset - self.start], change.restored
            position = change.offset + len(change.original)
        yield self.original[position - self.start :], ""


class Position(NamedTuple):
    """A unit of a text: its offset, its characters, whether it may change, and the id that the network reads."""

    offset: int
    unit: str
    is_open: bool
    token: int


class Restorer:
    """Restores texts with a network.

    Parameters
    ----------
    network : BidirectionalModel
        Predicts a label at each position.
    vocabulary : Vocabulary
        The tokens that it reads.
    labels : sequence of str
        The labels that it predicts.
    text : TextConfig
        What was removed in training, and whether lines were documents.
    forms : mapping of str to int, optional
        Counts of the forms of words in the training text.
    tuning : TaskTuning
        Sizes of windows, and how much the counts weigh.
    """

    def __init__(
        self,
        network: BidirectionalModel,
        vocabulary: Vocabulary,
        labels: Sequence[str],
        text: TextConfig,
        forms: Mapping[str, int] | None = None,
        tuning: TaskTuning = DEFAULT_TUNING,
    ) -> None:
        self.stripper = Stripper.of(text.remove)
        self._network, self._vocabulary, self._tuning = network, vocabulary, tuning
        self._labels = [Label.parse(label) for label in labels]
        self._has_words = bool(forms)
        self._word_labels = WordLabels(self._labels, Lexicon(forms or {}), tuning)

    def restore(self, chunks: Iterable[str], min_probability: float = 0.0) -> Iterator[Restored]:
        """Restore a text, part by part, in bounded memory.

        The result does not depend on how the text is cut into chunks. A line is in memory as a whole.

        Parameters
        ----------
        chunks : iterable of str
            The text.
        min_probability : float
            A change with a lower probability is not made.
        """
        size, context = self._tuning.window * self._tuning.windows_per_batch, self._tuning.margin + 1
        held: list[Position] = []
        first = 0  # index in `held` of the first position without a label; those before it are context
        for position in self._positions(chunks):
            held.append(position)
            if len(held) - first >= size + context:
                last = self._word_border(held, first, first + size)
                yield self._restore(held, first, last, min_probability)
                held = held[max(0, last - context) :]
                first = min(last, context)
        if len(held) > first:
            yield self._restore(held, first, len(held), min_probability)

    def _word_border(self, held: Sequence[Position], first: int, last: int) -> int:
        """Return the last border between words in held[first:last]; `last` if there is none, or words do not matter."""
        if not self._has_words:
            return last
        borders = (index for index in range(last, first, -1) if held[index - 1].unit[0].isspace())
        return next(borders, last)

    def _positions(self, chunks: Iterable[str]) -> Iterator[Position]:
        """Yield the positions of a text; letters in addresses and unknown characters are not open."""
        offset = 0
        for part in regroup(chunks, TO_LAST_NEWLINE):
            units = self.stripper.units(part)
            tokens = self._vocabulary.encode("".join(self.stripper.strip_character(unit[0]) or " " for unit in units))
            in_address = np.zeros(len(part), bool)
            for address in ADDRESS.finditer(part):
                in_address[address.start() : address.end()] = True
            start = 0
            for unit, token in zip(units, tokens.tolist(), strict=True):
                is_known = token != self._vocabulary.unk and not self.stripper.is_removed(unit[0])
                yield Position(offset + start, unit, is_known and not in_address[start], token)
                start += len(unit)
            offset += len(part)

    def _restore(self, held: Sequence[Position], first: int, last: int, min_probability: float) -> Restored:
        """Predict the labels of held[first:last], and return that part with its changes."""
        probs = self._predict(np.array([position.token for position in held]), first, last)
        tokens = self._vocabulary.tokens
        known = (position.token for position in held[first:last])
        stripped = "".join(tokens[token] if len(tokens[token]) == 1 else " " for token in known)
        chosen = self._word_labels.choose(probs, words_in(stripped))
        changes = []
        labelled = zip(range(first, last), chosen.labels.tolist(), chosen.probabilities.tolist(), strict=True)
        for index, number, probability in labelled:
            position, label = held[index], self._labels[number]
            if not position.is_open or probability < min_probability:
                continue
            following = held[index + 1].unit if index + 1 < len(held) else ""
            if label.trailing and position.unit.isdigit() and following[:1].isdigit():
                continue  # within a number
            restored = self.stripper.restore(position.unit, label)
            if restored != position.unit:
                changes.append(Change(position.offset, position.unit, restored, probability))
        text = "".join(position.unit for position in held[first:last])
        return Restored(text, held[first].offset, tuple(changes))

    def _predict(self, tokens: Ids, first: int, last: int) -> Array:
        """Return the probabilities of the labels of tokens[first:last], (last - first, L)."""
        context, inner = self._tuning.margin + 1, min(self._tuning.window, last - first)
        starts = np.arange(first, last, inner)
        indices = starts - context + np.arange(inner + 2 * context)[:, None]  # (T, B)
        is_used = (indices >= -1) & (indices <= len(tokens))
        indices = indices[is_used.any(axis=1)]
        is_text = (indices >= 0) & (indices < len(tokens))  # EOS is beyond the ends of the text
        inside = tokens[np.clip(indices, 0, len(tokens) - 1)]
        windows = np.where(is_text, inside, self._vocabulary.eos).astype(np.intp)
        log_probs = self._network.predict(windows, windows)  # (T, L, B)
        own = is_text & (indices >= starts) & (indices < np.minimum(starts + inner, last))
        probs: Array = np.exp(log_probs.transpose(0, 2, 1)[own][np.argsort(indices[own])])
        return probs
