"""A corpus: texts as token ids, split into a training part and a held-out part.

    ids = EOS document EOS document EOS ...

so that ids[i] is the context of ids[i + 1], and an input equal to EOS is the start of a document.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from os import PathLike

import numpy as np

from charlm.arrays import Ids
from charlm.config import TextConfig
from charlm.errors import EmptyCorpusError
from charlm.text.holdout import HoldOut, held_out_fraction, split_lines, split_text
from charlm.text.numbering import DocumentReader
from charlm.text.store import GrowingIds, store_ids
from charlm.text.tuning import DEFAULT_TUNING, TextTuning
from charlm.text.vocabulary import Vocabulary


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
        All ids in one array, the training part first.
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
    """

    ids: Ids
    train_size: int
    vocabulary: Vocabulary
    lines: bool
    valid: float
    source: Source
    unseen_rate: float
    unknown_rate: float

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
        reader = DocumentReader(config, tuning, spaces_apart=known is not None and known.spaces_apart)
        with closing(reader.ids):
            for path in paths:
                reader.read(path)
            if reader.n_characters == 0:
                raise EmptyCorpusError(f"{', '.join(reader.names)}: no text in it; there is nothing to learn")
            fraction = hold_out.fraction
            if fraction is None:
                fraction = held_out_fraction(reader.n_characters)
            if config.lines:
                train, held_out = split_lines(reader.ids, reader.token_keys(), fraction, hold_out.seed)
            else:
                train, held_out = split_text(reader.ids, fraction, hold_out.position, tuning)
        with closing(train), closing(held_out):
            counts = train.counts(len(reader.tokens))
            if vocabulary is None:
                vocabulary = build_vocabulary(reader.tokens, counts, config, base, tuning)
            return cls._encode(reader, train, held_out, counts, vocabulary, fraction)

    @classmethod
    def _encode(
        cls,
        reader: DocumentReader,
        train: GrowingIds,
        held_out: GrowingIds,
        counts: Ids,
        vocabulary: Vocabulary,
        fraction: float,
    ) -> Corpus:
        """Replace the provisional ids of both parts by those of the vocabulary, and return the corpus.

        The provisional ids number the tokens in the order of their appearance, see `DocumentReader`.
        counts: how often each provisional id occurs in the training part.
        """
        ids = np.concatenate([[vocabulary.eos, vocabulary.unk], vocabulary.ids(reader.tokens[2:])])  # by provisional id
        n_train, n_once = int(counts[1:].sum()), int((counts[2:] == 1).sum())
        unknown = int(counts[1:][ids[1:] == vocabulary.unk].sum()) / max(n_train, 1)
        if unknown == 1:
            raise EmptyCorpusError(
                f"{', '.join(reader.names)}: 100% of the training text would become UNK: "
                f"no {'word' if vocabulary.unit == 'word' else 'character'} in it is frequent enough; "
                "pass a lower `min_count` (1 keeps all) or a longer text"
            )
        pieces = (ids[chunk] for part in (train, held_out) for chunk in part.chunks())
        stored = store_ids(pieces, len(train) + len(held_out), len(vocabulary) - 1, reader.tuning)
        source = Source(tuple(reader.names), reader.n_characters, reader.hash.hexdigest())
        unseen = max(n_once / max(n_train, 1), 1 / (n_train + 1))
        return cls(stored, len(train), vocabulary, reader.config.lines, fraction, source, unseen, unknown)


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
