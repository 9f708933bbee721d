"""Pairs of texts: the network reads a source and predicts its target, such as the pronunciation of a word.

    source -> encoder -> outputs and last state -> decoder -> target

See `charlm.nn.encoder_decoder`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from os import PathLike
from typing import Any, ClassVar, NamedTuple

import numpy as np

from charlm.arrays import Ids
from charlm.config import NetworkConfig, TextConfig
from charlm.inference.interface import PairModel
from charlm.kernels.threads import parallel_map
from charlm.tasks.beam_search import Hypothesis, Search
from charlm.tasks.task import Task
from charlm.tasks.tuning import DEFAULT_TUNING, TaskTuning
from charlm.text.pairs import PairScheme, join_target, read_pairs, split_target
from charlm.text.tuning import DEFAULT_TUNING as TEXT_TUNING
from charlm.text.vocabulary import Vocabulary

NEWLINE = str.maketrans("\n", " ")


class Pairs(Task):
    """An encoder reads each source; a decoder predicts its target. Each line is a pair."""

    does = "predicts the target of a source"
    commands = ("translate",)
    network: ClassVar[Mapping[str, Any]] = {"encoder_decoder": True, "bidirectional": False, "tied": False}
    options = ("target_unit",)

    def text(self, config: TextConfig) -> TextConfig:
        """See `Task.text`. Lines are documents."""
        return replace(super().text(config), lines=True)

    def check_model(self, text: TextConfig, config: NetworkConfig, labels: tuple[str, ...]) -> None:
        """See `Task.check_model`. The first label is END, which is empty."""
        super().check_model(text, config, labels)
        if labels[0] or len(labels) < 2:
            raise ValueError("its first label is not the empty one, which ends a target")

    def scheme(self, config: TextConfig, labels: tuple[str, ...] | None) -> PairScheme:
        """See `Task.scheme`."""
        return PairScheme(labels)


class Candidate(NamedTuple):
    """A target that a model found.

    Attributes
    ----------
    target : str
        The target.
    units : tuple of str
        Its characters or symbols.
    log_prob : float
        Log-probability given the source, in nats.
    is_complete : bool
        Whether the model ends the target here; False if it reached its maximum length.
    """

    target: str
    units: tuple[str, ...]
    log_prob: float
    is_complete: bool = True

    @property
    def probability(self) -> float:
        """The probability given the source."""
        return math.exp(self.log_prob)


class Translation(NamedTuple):
    """A source and the targets that a model found, the best first; at least one."""

    source: str
    candidates: tuple[Candidate, ...]

    @property
    def target(self) -> str:
        """The best target."""
        return self.candidates[0].target

    @property
    def probability(self) -> float:
        """The probability of the best target."""
        return self.candidates[0].probability


class Translator:
    """Predicts the targets of sources with a network.

    Parameters
    ----------
    network : PairModel
        The encoder and the decoder.
    vocabulary : Vocabulary
        The characters of sources.
    labels : sequence of str
        END, and the units of targets.
    target_unit : {"char", "symbol"}
        What a unit of a target is.
    tuning : TaskTuning
        Number of sources that are read at a time, and length of targets.
    """

    def __init__(
        self,
        network: PairModel,
        vocabulary: Vocabulary,
        labels: Sequence[str],
        target_unit: str,
        tuning: TaskTuning = DEFAULT_TUNING,
    ) -> None:
        self.target_unit = target_unit
        self._network, self._vocabulary, self._labels, self._tuning = network, vocabulary, labels, tuning

    def translate(
        self, sources: Iterable[str], *, beam: int = 1, best: int = 1, length_exponent: float = 0.0, threads: int = 1
    ) -> Iterator[Translation]:
        """Yield the targets of each source, in order and in bounded memory; the first ones early.

        An empty source has an empty target. Of a source, the first `max_source_length` characters are read.

        Parameters
        ----------
        sources : iterable of str
            The sources.
        beam : int
            Width of the beam search, at least `best`; 1 for greedy decoding.
        best : int
            Targets of each source, at most.
        length_exponent : float
            Targets are ranked by their log-probability, divided by their length to this power.
        threads : int
            Cores to use.
        """
        remaining, size = iter(sources), self._tuning.first_texts
        while batch := list(islice(remaining, size)):
            size = min(4 * size, self._tuning.texts_per_batch)
            ids = [self._ids_of(source) for source in batch]
            groups = self._groups([len(one) for one in ids], beam)

            def search(group: Sequence[int], ids: Sequence[Ids] = ids) -> list[list[Hypothesis]]:
                encoded = self._network.encode(self._window([ids[k] for k in group]))
                limits = np.array([self._limit(len(ids[k])) for k in group])
                return Search(self._network, encoded, limits, beam, best, length_exponent).run()

            found = [[Hypothesis((), 0.0, True)]] * len(batch)
            for group, results in zip(groups, parallel_map(search, groups, threads), strict=True):
                for k, hypotheses in zip(group, results, strict=True):
                    found[k] = hypotheses
            for source, hypotheses in zip(batch, found, strict=True):
                yield Translation(source, tuple(map(self._candidate, hypotheses)))

    def _ids_of(self, source: str) -> Ids:
        """Return the ids of a source, reversed; of a long one, those of its start."""
        return self._vocabulary.encode(source[: self._tuning.max_source_length].translate(NEWLINE))[::-1]

    def _candidate(self, hypothesis: Hypothesis) -> Candidate:
        units = tuple(self._labels[label] for label in hypothesis.labels)
        target = join_target(units, self.target_unit)
        return Candidate(target, units, hypothesis.log_prob, hypothesis.is_complete)

    def _groups(self, lengths: Sequence[int], beam: int) -> list[list[int]]:
        """Return the indices of sources of similar lengths that are read at a time; none of empty sources."""
        order = sorted((k for k, length in enumerate(lengths) if length), key=lambda k: lengths[k])
        groups: list[list[int]] = []
        for k in order:
            count = len(groups[-1]) + 1 if groups else 0
            fits = count * beam <= self._tuning.max_hypotheses and count * lengths[k] <= self._tuning.max_source_ids
            if groups and fits:
                groups[-1].append(k)
            else:
                groups.append([k])
        return groups

    def _window(self, sources: Sequence[Ids]) -> Ids:
        """Lay out reversed sources side by side, so that they end together; EOS before each resets the state."""
        window = np.full((max(map(len, sources)) + 1, len(sources)), self._vocabulary.eos, np.intp)
        for column, source in enumerate(sources):
            window[-len(source) :, column] = source
        return window

    def _limit(self, length: int) -> int:
        """Return the maximum number of labels of a target, with END, for the length of its source."""
        longest = TEXT_TUNING.max_pair_length
        return min(self._tuning.min_target_limit + self._tuning.target_factor * length, longest) + 1


class Comparison:
    """How many sources have one of their targets, and the edit distance of the others, in units.

    Attributes
    ----------
    sources, right : int
        Sources, and those whose best target is one of the given ones.
    units, errors : int
        Units of the nearest given targets, and insertions, deletions and replacements between them and the best ones.
    """

    def __init__(self, target_unit: str) -> None:
        self._unit = target_unit
        self.sources = self.right = self.units = self.errors = 0

    def add(self, targets: Iterable[str], found: Candidate) -> None:
        """Compare the best target of a source with its given targets."""
        given = [tuple(split_target(target, self._unit)) for target in targets]
        distance, length = min((edit_distance(found.units, units), len(units)) for units in given)
        self.sources += 1
        self.right += distance == 0
        self.units += length
        self.errors += distance

    @property
    def accuracy(self) -> float:
        """The fraction of sources whose best target is right."""
        return self.right / max(self.sources, 1)

    @property
    def unit_error_rate(self) -> float:
        """The edit distance divided by the number of units."""
        return self.errors / max(self.units, 1)


def read_targets(path: str | PathLike[str], config: TextConfig) -> dict[str, list[str]]:
    """Return the targets of each source in a file of pairs."""
    found: dict[str, list[str]] = {}
    for pair in read_pairs(path, config):
        found.setdefault(pair.source, []).append(pair.target)
    return found


def edit_distance(first: Sequence[str], second: Sequence[str]) -> int:
    """Return the number of insertions, deletions and replacements that turn one sequence into the other.

    >>> edit_distance("kitten", "sitting")
    3
    """
    distances = list(range(len(second) + 1))
    for i, one in enumerate(first, 1):
        diagonal, distances[0] = distances[0], i
        for j, other in enumerate(second, 1):
            diagonal, distances[j] = (
                distances[j],
                min(distances[j] + 1, distances[j - 1] + 1, diagonal + (one != other)),
            )
    return distances[-1]
