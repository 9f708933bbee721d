"""Read documents as provisional ids, before the vocabulary is known: EOS is 0, tokens count from 2 as they appear."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from os import PathLike

import numpy as np

from charlm.arrays import Ids
from charlm.config import TextConfig
from charlm.text.novelty import hash_of
from charlm.text.reading import name_of, read_chunks, regroup
from charlm.text.store import GrowingIds
from charlm.text.symbols import Scheme
from charlm.text.tuning import TextTuning
from charlm.text.vocabulary import EOS, TO_LAST_WORD_BORDER, UNK, code_points, split_text


class DocumentReader:
    """Documents as provisional ids.

    Parameters
    ----------
    config : TextConfig
        How text becomes tokens.
    tuning : TextTuning
        Sizes of chunks and of what is kept in memory.
    scheme : Scheme, optional
        How a file becomes the symbols of labelled text. They are the tokens then.
    spaces_apart : bool
        Whether a space before a word is a token, see `Vocabulary`.

    Attributes
    ----------
    ids : GrowingIds
        EOS document EOS document EOS ...; in a corpus of lines each line is a document. Close it after use.
    names : list of str
        Names of the documents' files.
    n_characters : int
        Number of tokens of text, without EOS.
    hash : hash object
        SHA-256 of the normalised texts.
    """

    def __init__(
        self, config: TextConfig, tuning: TextTuning, scheme: Scheme | None = None, *, spaces_apart: bool = False
    ) -> None:
        self.config, self.tuning, self.scheme, self.spaces_apart = config, tuning, scheme, spaces_apart
        self.ids = GrowingIds(tuning)
        self.ids.append(np.zeros(1, np.uint8))
        self.names: list[str] = []
        self.n_characters = 0
        self.hash = hashlib.sha256()
        self._ids = {EOS: 0, UNK: 1}
        self._ids_by_point = np.zeros(0x110000, np.int32)  # those of characters, by code point
        self._last_id = 0

    @property
    def tokens(self) -> list[str]:
        """The tokens by provisional id."""
        return list(self._ids)

    def read(self, path: str | PathLike[str]) -> None:
        """Read a document and end it with EOS."""
        self.names.append(name_of(path))
        for tokens in self._tokens(path):
            self.hash.update("".join(tokens).encode("utf-8", "surrogatepass"))
            self._append(self._encode(tokens))
        self.hash.update(b"\xff")  # no text has this byte: it ends a document
        if self._last_id != 0:
            self._append(np.zeros(1, np.uint8))

    def token_keys(self) -> Ids:
        """Return 64 random bits for each provisional id; they depend on the token alone, (tokens,).

        In a corpus of pairs they are 0 for the symbols of targets and for EOS: all pairs of a source are in one part.
        """
        keys = np.fromiter(map(hash_of, self._ids), np.uint64, len(self._ids))
        if self.scheme is not None:
            is_label = [number > 1 and self.scheme.split(symbol)[0] == EOS for symbol, number in self._ids.items()]
            keys[is_label] = 0
            keys[0] *= not any(is_label)
        return keys

    def _tokens(self, path: str | PathLike[str]) -> Iterator[Sequence[str]]:
        """Yield the tokens of a document in parts; a str has one token for each character."""
        if self.scheme is not None:
            yield from self.scheme.read(path, self.config, self.tuning)
            return
        chunks = read_chunks(path, self.config, self.tuning)
        if self.config.unit == "word":
            chunks = regroup(chunks, TO_LAST_WORD_BORDER)
        for chunk in chunks:
            yield split_text(chunk, self.config.unit, spaces_apart=self.spaces_apart)

    def _encode(self, tokens: Sequence[str]) -> Ids:
        """Return the ids of tokens, (n,); new tokens get the next ids."""
        new = [token for token in dict.fromkeys(tokens) if token not in self._ids]
        new_ids = range(len(self._ids), len(self._ids) + len(new))
        self._ids.update(zip(new, new_ids, strict=True))
        if not isinstance(tokens, str):
            return np.fromiter(map(self._ids.__getitem__, tokens), np.int32, len(tokens))
        self._ids_by_point[code_points("".join(new))] = new_ids
        ids: Ids = self._ids_by_point[code_points(tokens)]
        return ids

    def _append(self, ids: Ids) -> None:
        """Append ids; in a corpus of lines a newline becomes EOS, and empty lines are dropped."""
        if self.config.lines:
            ids = ids if self.scheme else np.where(ids == self._ids.get("\n"), 0, ids)
            previous = np.concatenate([[self._last_id], ids[:-1]])
            ids = ids[(ids != 0) | (previous != 0)]
        if ids.size:
            self.ids.append(ids)
            self.n_characters += int(np.count_nonzero(ids))
            self._last_id = int(ids[-1])
