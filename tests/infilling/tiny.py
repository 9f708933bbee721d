"""Small bidirectional models, random texts, and what a comparison with all possibilities needs."""

from __future__ import annotations

import numpy as np

from charlm.config import NetworkConfig, TextConfig
from charlm.model import LanguageModel
from charlm.nn.networks import make_network
from charlm.text.vocabulary import Vocabulary

VERSE = "the quick brown fox\njumps over the lazy dog\nand runs away\n"


def random_model(
    *, bidirectional: bool, characters: str = "abc", seed: int = 0, scale: float = 4, lines: bool = False
) -> LanguageModel:
    """Return an untrained model; large weights make it certain, a scale of 2 gives it a short memory."""
    vocabulary = Vocabulary.build(dict.fromkeys(characters, 1))
    network = make_network(NetworkConfig("gru", 6, 1, bidirectional=bidirectional), len(vocabulary), vocabulary.eos)
    params = network.initial(np.random.default_rng(seed))
    params.flat[...] *= scale
    return LanguageModel(network, params, vocabulary, TextConfig(lines=lines))


def random_text(length: int, seed: int = 0, characters: str = "abc") -> str:
    return "".join(np.random.default_rng(seed).choice(list(characters), length))


def replaced(text: str, index: int, character: str) -> str:
    return text[:index] + character + text[index + 1 :]


def conditionals(model: LanguageModel, text: str) -> np.ndarray:
    """Return p(character | all other characters of the text), (n, V)."""
    ids = model.vocabulary.encode(text).astype(np.intp)
    return np.exp(model.bidirectional.log_probs(ids[:, None])[:, :, 0].astype(np.float64))


def softmax(weights: list[float]) -> np.ndarray:
    shifted = np.exp(np.array(weights) - max(weights))
    return shifted / shifted.sum()


def weight_of_text(model: LanguageModel, text: str) -> float:
    """Return the weight of a reading: its log p, or its pseudo-log-likelihood."""
    score = model.pseudo_score(text) if model.config.bidirectional else model.score(text, end=False)
    return score.log_prob
