"""Untrained models of the tasks."""

from __future__ import annotations

import numpy as np

from charlm.checkpoint import TrainingRecord
from charlm.config import NetworkConfig, TextConfig
from charlm.model import LanguageModel
from charlm.nn.networks import make_network
from charlm.tasks.classify import END
from charlm.text.vocabulary import Vocabulary

LABELS = ("|||", "||\u0301|", "^|||", "|||, ", "|ł||", "||\u030c| ")


def random_restorer(
    remove: str = "marks,case,spaces,punctuation", *, characters: str = "abcelst1 .\n", seed: int = 0, members: int = 1
) -> LanguageModel:
    """Return an untrained model that restores; its weights are large, so that it changes a lot."""
    vocabulary = Vocabulary.build(dict.fromkeys(characters, 1))
    config = NetworkConfig("gru", 6, 1, bidirectional=True, outputs=len(LABELS))
    network = make_network(config, len(vocabulary), vocabulary.eos)
    rng = np.random.default_rng(seed)
    params = [network.initial(rng) for _ in range(members)]
    for one in params:
        one.flat[...] *= 4
    return LanguageModel(network, params, vocabulary, TextConfig(task="restore", remove=remove), labels=LABELS)


def random_classifier(
    *, labels: tuple[str, ...] = ("one", "two", "three"), seed: int = 0, members: int = 1
) -> LanguageModel:
    """Return an untrained model that classifies, whose predictions differ from text to text."""
    vocabulary = Vocabulary.build(dict.fromkeys(f"abcd {END}", 1))
    network = make_network(NetworkConfig("lstm", 6, 2, outputs=len(labels)), len(vocabulary), vocabulary.eos)
    rng = np.random.default_rng(seed)
    params = [network.initial(rng) for _ in range(members)]
    for one in params:
        one.flat[...] *= 4
    return LanguageModel(network, params, vocabulary, TextConfig(task="classify", lines=True), labels=labels)


def random_conditional(
    *, labels: tuple[str, ...] = ("one", "two", "three"), counts: tuple[int, ...] = (6, 3, 1),
    characters: str = "abcd ", seed: int = 0, members: int = 1, scale: float = 4,
) -> LanguageModel:  # fmt: skip
    """Return an untrained language model that reads labels; its texts differ from label to label."""
    vocabulary = Vocabulary.build(dict.fromkeys(characters, 1))
    network = make_network(NetworkConfig("gru", 6, 1, conditions=len(labels)), len(vocabulary), vocabulary.eos)
    rng = np.random.default_rng(seed)
    params = [network.initial(rng) for _ in range(members)]
    for one in params:
        one.flat[...] *= scale
    record = TrainingRecord(sources=("rows.tsv",), label_counts=counts)
    return LanguageModel(network, params, vocabulary, TextConfig(task="conditional", lines=True), record, labels)


def random_tagger(
    *, labels: tuple[str, ...] = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC"), seed: int = 0
) -> LanguageModel:
    """Return an untrained model that labels tokens."""
    vocabulary = Vocabulary.build(dict.fromkeys("abcdABC .", 1))
    config = NetworkConfig("gru", 6, 1, bidirectional=True, outputs=len(labels))
    network = make_network(config, len(vocabulary), vocabulary.eos)
    params = network.initial(np.random.default_rng(seed))
    params.flat[...] *= 4
    return LanguageModel(network, params, vocabulary, TextConfig(task="tag", lines=True), labels=labels)


def random_translator(
    *, labels: tuple[str, ...] = ("", "x", "y", "z"), seed: int = 9, members: int = 1, target_unit: str = "char"
) -> LanguageModel:
    """Return an untrained model of pairs, whose targets differ from source to source."""
    vocabulary = Vocabulary.build(dict.fromkeys("abcd ", 1))
    config = NetworkConfig("lstm", 6, 2, outputs=len(labels), encoder_decoder=True)
    network = make_network(config, len(vocabulary), vocabulary.eos)
    rng = np.random.default_rng(seed)
    params = [network.initial(rng) for _ in range(members)]
    for one in params:
        one.flat[...] *= 8
    text = TextConfig(task="pairs", lines=True, target_unit=target_unit)
    return LanguageModel(network, params, vocabulary, text, labels=labels)
