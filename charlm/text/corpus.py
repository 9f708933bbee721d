"""A corpus: texts as token ids, split into a training part and a held-out part.

    ids = EOS document EOS document EOS ...

so that ids[i] is the context of ids[i + 1], and an input equal to EOS is the start of a document.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, replace
from os import PathLike

import numpy as np

from charlm.arrays import Ids
from charlm.config import TextConfig
from charlm.errors import EmptyCorpusError
from charlm.text.holdout import HoldOut, held_out_fraction, split_lines, split_text
from charlm.text.numbering import DocumentReader
from charlm.text.store import GrowingIds, store_ids
from charlm.text.symbols import Conditions, Scheme, Symbols, collect_labels
from charlm.text.tuning import DEFAULT_TUNING, TextTuning
from charlm.text.vocabulary import EOS, Vocabulary


@dataclass(frozen=True)
class Source:
    """The origin of a corpus.

    Attributes
    ----------
    names : tuple of str
        Names of the files.
    n_characters : int
        Number of tokens, without EOS.
    digest : str
        SHA-256 of the normalised text, hexadecimal.
    """

    names: tuple[str, ...]
    n_characters: int
    digest: str


@dataclass(frozen=True, eq=False)
class Corpus:
    """Token ids of all texts, split into a training part and a held-out part.

    Attributes
    ----------
    ids : ndarray of int, (n,)
        All ids in one array, the training part first; those of the symbols if the text is labelled.
    train_size : int
        Number of ids of the training part.
    vocabulary : Vocabulary
        The vocabulary of the ids.
    lines : bool
        Whether each line is a document.
    valid : float
        Held-out fraction, in [0, 1).
    source : Source
        Files, size and digest of the text.
    unseen_rate : float
        Good-Turing estimate of the probability that the next token of the training part is new: the fraction of
        tokens that occur once, at least 1 / (n + 1) for n tokens.
    unknown_rate : float
        Fraction of UNK in the training part, in [0, 1].
    labels : tuple of str
        The labels of labelled text, by their numbers.
    symbols : Symbols or None
        Tokens and labels of the symbols of labelled text.
    conditions : Conditions or None
        The same, if the labels are read and not predicted.
    label_counts : tuple of int
        Number of training texts with each label that is read.
    """

    ids: Ids
    train_size: int
    vocabulary: Vocabulary
    lines: bool
    valid: float
    source: Source
    unseen_rate: float
    unknown_rate: float
    labels: tuple[str, ...] = ()
    symbols: Symbols | None = None
    conditions: Conditions | None = None
    label_counts: tuple[int, ...] = ()

    @property
    def train_ids(self) -> Ids:
        """The training part, (n,), EOS first."""
        return self.ids[: self.train_size]

    @property
    def characters_per_token(self) -> float:
        """Mean length of the known tokens of the held-out part in characters; nan if there are none."""
        counts = np.bincount(self.valid_ids, minlength=len(self.vocabulary))[2:]  # without EOS and UNK
        lengths = [len(token) for token in self.vocabulary.tokens[2:]]
        return float(counts @ lengths / counts.sum()) if counts.sum() else math.nan

    @property
    def valid_ids(self) -> Ids:
        """The held-out part, (n,), EOS first; empty if nothing is held out."""
        return self.ids[self.train_size :]

    @classmethod
    def read(
        cls,
        paths: Iterable[str | PathLike[str]],
        config: TextConfig | None = None,
        *,
        vocabulary: Vocabulary | None = None,
        base: Vocabulary | None = None,
        hold_out: HoldOut | None = None,
        scheme: Scheme | None = None,
        tuning: TextTuning = DEFAULT_TUNING,
    ) -> Corpus:
        """Read texts, number their tokens, and split them. Each text is read once, in bounded memory.

        Parameters
        ----------
        paths : iterable of paths
            The texts; "-" is standard input.
        config : TextConfig, optional
            How text becomes tokens.
        vocabulary : Vocabulary, optional
            The vocabulary to use. By default it is built from the training part.
        base : Vocabulary, optional
            A vocabulary to extend, if one is built: its tokens keep their ids, new tokens get the next ids.
        hold_out : HoldOut, optional
            Which part is held out; by default the end, or some lines, see `held_out_fraction` for the size.
        scheme : Scheme, optional
            How files become the symbols of labelled text.
        tuning : TextTuning
            Sizes of chunks and of what is kept in memory.

        Returns
        -------
        Corpus

        Raises
        ------
        CorpusError
            A text cannot be read; or the texts are empty, or have no token of the vocabulary (EmptyCorpusError).
        """
        config, hold_out = config or TextConfig(), hold_out or HoldOut()
        known = vocabulary or base
        spaces_apart = known is not None and known.spaces_apart
        reader = DocumentReader(config, tuning, scheme, spaces_apart=spaces_apart)
        with closing(reader.ids):
            for path in paths:
                reader.read(path)
            if reader.n_characters == 0:
                raise EmptyCorpusError(f"{', '.join(reader.names)}: no text in it; there is nothing to learn")
            fraction = held_out_fraction(reader.n_characters) if hold_out.fraction is None else hold_out.fraction
            train, held_out = split(reader, fraction, hold_out)
        with closing(train), closing(held_out):
            counts, tokens = train.counts(len(reader.tokens)), reader.tokens
            if scheme is not None:
                tokens = [*tokens[:2], *(scheme.split(symbol)[0] for symbol in tokens[2:])]
            if vocabulary is None:
                vocabulary = build_vocabulary(*sum_counts(tokens, counts), config, base, tuning)
            corpus = cls._encode(reader, train, held_out, tokens, vocabulary, fraction)
        return corpus if scheme is None else corpus._with_labels(scheme, reader.tokens, tokens, counts)

    def _with_labels(self, scheme: Scheme, symbols: list[str], tokens: list[str], counts: Ids) -> Corpus:
        """Return the corpus with its labels. tokens, counts: of each symbol, see `collect_labels`."""
        labels, numbers = collect_labels(scheme, symbols, counts)
        ids = token_ids(tokens, self.vocabulary)
        if not scheme.is_condition:
            return replace(self, labels=labels, symbols=Symbols(ids, numbers))
        conditions = Conditions(ids, numbers, len(labels))
        return replace(self, labels=labels, conditions=conditions, label_counts=conditions.texts(self.train_ids))

    @classmethod
    def _encode(
        cls,
        reader: DocumentReader,
        train: GrowingIds,
        held_out: GrowingIds,
        tokens: list[str],
        vocabulary: Vocabulary,
        fraction: float,
    ) -> Corpus:
        """Replace the provisional ids of both parts by those of the vocabulary, and return the corpus.

        The provisional ids number the tokens in the order of their appearance, see `DocumentReader`. Those of the
        symbols of labelled text stay.
        tokens: the token of each provisional id.
        """
        counts = train.counts(len(tokens))
        ids = token_ids(tokens, vocabulary)
        is_read = ids != vocabulary.eos
        n_train, n_once = int(counts[is_read].sum()), int((sum_counts(tokens, counts)[1][2:] == 1).sum())
        unknown = int(counts[ids == vocabulary.unk].sum()) / max(n_train, 1)
        if unknown == 1:
            raise EmptyCorpusError(
                f"{', '.join(reader.names)}: 100% of the training text would become UNK: "
                f"no {'word' if vocabulary.unit == 'word' else 'character'} in it is frequent enough; "
                "pass a lower `min_count` (1 keeps all) or a longer text"
            )
        new_ids = np.arange(len(tokens)) if reader.scheme else ids
        pieces = (new_ids[chunk] for part in (train, held_out) for chunk in part.chunks())
        max_id = len(tokens) if reader.scheme else len(vocabulary) - 1
        stored = store_ids(pieces, len(train) + len(held_out), max_id, reader.tuning)
        source = Source(tuple(reader.names), reader.n_characters, reader.hash.hexdigest())
        unseen = max(n_once / max(n_train, 1), 1 / (n_train + 1))
        return cls(stored, len(train), vocabulary, reader.config.lines, fraction, source, unseen, unknown)


def split(reader: DocumentReader, fraction: float, hold_out: HoldOut) -> tuple[GrowingIds, GrowingIds]:
    """Split what was read into a training part and a held-out part: lines, or running text."""
    if reader.config.lines:
        return split_lines(reader.ids, reader.token_keys(), fraction, hold_out.seed)
    return split_text(reader.ids, fraction, hold_out.position, reader.tuning)


def token_ids(tokens: list[str], vocabulary: Vocabulary) -> Ids:
    """Return the id of each token in a vocabulary, (n,); the first two are EOS and UNK.

    A later EOS is a symbol that is a label alone.
    """
    ids = np.concatenate([[vocabulary.eos, vocabulary.unk], vocabulary.ids(tokens[2:])])
    return np.where([token == EOS for token in tokens], vocabulary.eos, ids)


def sum_counts(tokens: list[str], counts: Ids) -> tuple[list[str], Ids]:
    """Return the distinct tokens, in the order of their first appearance, and the sum of the counts of each."""
    numbers = {token: number for number, token in enumerate(dict.fromkeys(tokens))}
    of_token = np.fromiter(map(numbers.__getitem__, tokens), np.intp, len(tokens))
    return list(numbers), np.bincount(of_token, counts, len(numbers)).astype(np.int64)


def build_vocabulary(
    tokens: list[str], counts: Ids, config: TextConfig, base: Vocabulary | None, tuning: TextTuning
) -> Vocabulary:
    """Build the vocabulary of a training part.

    Parameters
    ----------
    tokens : list of str
        The tokens by provisional id; EOS and UNK come first.
    counts : ndarray of int, (tokens,)
        How often each token occurs in the training part.
    config : TextConfig
        Unit and minimum count. The default minimum is 1, or 2 for a large text: its tokens that occur once become UNK.
    base : Vocabulary or None
        A vocabulary to extend: its tokens keep their ids.
    tuning : TextTuning
        Number of tokens from which a text is large.

    Returns
    -------
    Vocabulary
    """
    has_rare = bool((counts[2:] == 1).any())
    is_large = int(counts.sum()) >= tuning.min_tokens_to_drop_rare
    min_count = config.min_count or (2 if is_large and has_rare else 1)
    present = {token: int(n) for token, n in zip(tokens[2:], counts[2:], strict=True) if n}
    vocabulary = Vocabulary.build(present, min_count=min_count, unit=config.unit)
    return base.extended(vocabulary.tokens[2:]) if base else vocabulary
