"""A corpus: texts as token ids, split into a training and a held-out part.

    ids = EOS document EOS document EOS ...

so that ids[i] is the context of ids[i + 1], and an input equal to EOS is where a document starts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from contextlib import closing
from os import PathLike
from types import TracebackType

import numpy as np

from charlm.arrays import Ids
from charlm.config import TextConfig
from charlm.errors import EmptyCorpusError
from charlm.text.holdout import held_out_fraction, split_lines, split_text
from charlm.text.reading import name_of, read_chunks
from charlm.text.store import FixedIds, GrowingIds
from charlm.text.vocabulary import EOS, UNK, Vocabulary, code_points, split_words

SPARES_RARE = 10_000
"""Characters of training text from which on those seen once are spared for UNK."""


class Corpus:
    """Texts as ids; use as a context, or close it.

    vocabulary: of the training part.  train_ids, valid_ids: (n,) each, EOS first.  valid: share that is held out.
    n_characters: tokens of text, without EOS.  sources: where they came from.  digest: SHA-256 of the text.
    novelty: how often a new character is to be expected (Good & Turing): the share of the training part
    that characters seen once make up, and never less than one in its length.
    unknown: share of the training part that is UNK, from 0 to 1; EOS is not counted.
    """

    def __init__(
        self,
        store: FixedIds,
        train_size: int,
        vocabulary: Vocabulary,
        *,
        lines: bool,
        valid: float,
        n_characters: int,
        sources: Sequence[str],
        digest: str,
        novelty: float,
        unknown: float,
    ) -> None:
        self.store = store
        self.vocabulary = vocabulary
        self.lines = lines
        self.valid = valid
        self.n_characters = n_characters
        self.sources = tuple(sources)
        self.digest = digest
        self.novelty = novelty
        self.unknown = unknown
        self.train_ids: Ids = store.ids[:train_size]
        self.valid_ids: Ids = store.ids[train_size:]

    @classmethod
    def read(
        cls,
        paths: Iterable[str | PathLike[str]],
        config: TextConfig | None = None,
        *,
        vocabulary: Vocabulary | None = None,
        base: Vocabulary | None = None,
        valid: float | None = None,
        held_out: str = "end",
        seed: int = 0,
    ) -> Corpus:
        """Read texts, once and in bounded memory; "-" is standard input.

        vocabulary: used as it is; None to build one from the training part.
        base: a vocabulary to keep the ids of, and to add what is new to.
        valid: share that is held out, None for `held_out_fraction`: random lines; of running text stretches "spread"
        over it, or the "end", as held_out says.  seed: which lines.
        Raises CorpusError if a text cannot be read, there is nothing in it, or nothing of it is in the vocabulary.
        """
        config = config or TextConfig()
        reader = Reader(config)
        with closing(reader.ids):
            for path in paths:
                reader.read(path)
            if reader.n_characters == 0:
                raise EmptyCorpusError(f"{', '.join(reader.sources)}: no text in it; there is nothing to learn")
            if valid is None:
                valid = held_out_fraction(reader.n_characters)
            if config.lines:
                train, aside = split_lines(reader.ids, reader.keys(), valid, seed)
            else:
                train, aside = split_text(reader.ids, valid, held_out)
        with closing(train), closing(aside):
            return cls._from_parts(reader, train, aside, valid, vocabulary, base)

    @classmethod
    def _from_parts(
        cls,
        reader: Reader,
        train: GrowingIds,
        held_out: GrowingIds,
        valid: float,
        vocabulary: Vocabulary | None,
        base: Vocabulary | None,
    ) -> Corpus:
        """Settle the vocabulary by the training part, and turn provisional ids into final ones."""
        config = reader.config
        counts = count(train, len(reader.tokens))
        once = int((counts[2:] == 1).sum())
        if vocabulary is None:
            min_count = config.min_count or (2 if len(train) >= SPARES_RARE and once else 1)
            seen = {token: int(n) for token, n in zip(reader.tokens[2:], counts[2:], strict=True) if n}
            vocabulary = Vocabulary.build(seen, min_count=min_count, unit=config.unit)
            vocabulary = base.extended(vocabulary.tokens[2:]) if base else vocabulary
        finals = np.array([0, 1, *(ids_of(vocabulary, reader.tokens[2:]))], np.int64)
        pieces = (finals[piece] for part in (train, held_out) for piece in part.chunks())
        characters = int(counts[1:].sum())
        unknown = int(counts[1:][finals[1:] == vocabulary.unk].sum()) / max(characters, 1)
        if unknown == 1:
            raise EmptyCorpusError(
                f"{', '.join(reader.sources)}: 100% of the training text would become UNK: "
                f"no {'character' if config.unit == 'char' else 'word'} in it is frequent enough; "
                "pass a lower --min-count (1 keeps all) or a longer text"
            )
        store = FixedIds(pieces, len(train) + len(held_out), len(vocabulary) - 1)
        train_size = len(train)
        return cls(
            store,
            train_size,
            vocabulary,
            lines=config.lines,
            valid=valid,
            n_characters=reader.n_characters,
            sources=reader.sources,
            digest=reader.hash.hexdigest(),
            novelty=max(once / max(characters, 1), 1 / (characters + 1)),
            unknown=unknown,
        )

    def __enter__(self) -> Corpus:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Remove what is kept on disk."""
        self.store.close()


class Reader:
    """Texts as provisional ids, in order of first appearance; 0 is EOS."""

    def __init__(self, config: TextConfig) -> None:
        self.config = config
        self.ids = GrowingIds()
        self.ids.append(np.zeros(1, np.uint8))
        self.tokens = [EOS, UNK]
        self.sources: list[str] = []
        self.n_characters = 0
        self.hash = hashlib.sha256()
        self._table = np.zeros(0x110000 if config.unit == "char" else 0, np.int32)
        self._words: dict[str, int] = {}
        self._ends_with_eos = True

    def read(self, path: str | PathLike[str]) -> None:
        """Read a document; its end is an EOS."""
        self.sources.append(name_of(path))
        rest = ""  # a word that may go on in the next chunk
        for chunk in read_chunks(path, self.config):
            self.hash.update(chunk.encode("utf-8", "surrogatepass"))
            if self.config.unit == "word":
                *words, rest = split_words(rest + chunk)
                self.add(self.word_ids(words))
            else:
                self.add(self.character_ids(chunk))
        if rest:
            self.add(self.word_ids([rest]))
        self.hash.update(b"\xff")  # no text has this byte: it ends a document
        if not self._ends_with_eos:
            self.append(np.zeros(1, np.uint8))

    def add(self, ids: Ids) -> None:
        """Append ids of text; in line mode a newline is an EOS, and empty lines are dropped."""
        if not ids.size:
            return
        if self.config.lines:
            ids = np.where(ids == self._newline_id(), 0, ids)
            before = np.concatenate([[0 if self._ends_with_eos else 1], ids[:-1]])
            ids = ids[(ids != 0) | (before != 0)]
        self.n_characters += int(np.count_nonzero(ids))
        self.append(ids)

    def append(self, ids: Ids) -> None:
        """Append ids, and note whether the last is an EOS."""
        if ids.size:
            self.ids.append(ids)
            self._ends_with_eos = bool(ids[-1] == 0)

    def _newline_id(self) -> int:
        return int(self._table[10]) if self.config.unit == "char" else self._words.get("\n", -1)

    def character_ids(self, text: str) -> Ids:
        """Return provisional ids of characters, new ones numbered as they come."""
        points = code_points(text)
        ids = self._table[points]
        if not ids.all():
            new, firsts = np.unique(points[ids == 0], return_index=True)
            new = new[np.argsort(firsts)]
            self._table[new] = np.arange(len(self.tokens), len(self.tokens) + new.size)
            self.tokens += new.astype("<u4").tobytes().decode("utf-32-le", "surrogatepass")
            ids = self._table[points]
        return ids

    def word_ids(self, words: list[str]) -> Ids:
        """Return provisional ids of words, new ones numbered as they come."""
        for word in words:
            if word not in self._words:
                self._words[word] = len(self.tokens)
                self.tokens.append(word)
        return np.fromiter((self._words[word] for word in words), np.int32, len(words))

    def keys(self) -> Ids:
        """Return 64 bits for each provisional id that depend on the token alone, not on when it was met."""
        digests = (hashlib.blake2b(t.encode("utf-8", "surrogatepass"), digest_size=8).digest() for t in self.tokens)
        return np.frombuffer(b"".join(digests), np.uint64)


def count(ids: GrowingIds, tokens: int) -> Ids:
    """Return how often each id occurs, (tokens,)."""
    counts = np.zeros(tokens, np.int64)
    for chunk in ids.chunks():
        counts += np.bincount(chunk, minlength=tokens)
    return counts


def ids_of(vocabulary: Vocabulary, tokens: Sequence[str]) -> Ids:
    """Return the final ids of provisional tokens."""
    if vocabulary.unit == "char":
        return vocabulary.encode("".join(tokens))
    return np.array([vocabulary.encode(token)[0] for token in tokens], np.int32)
