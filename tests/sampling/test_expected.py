"""Texts from many positions of a text equal the samples that have the text up to there as their prompt."""

from __future__ import annotations

import pytest

from charlm.config import SampleConfig
from charlm.model import LanguageModel
from charlm.sampling.expected import continue_from
from tests.diagnostics.naive import model, text


def continued(found: LanguageModel, sentence: str, positions: list[int], config: SampleConfig) -> list[str]:
    ids = found.ids_of(sentence)
    return continue_from(found.prepared, found.vocabulary, ids, positions, found.sampling(config, {}), seed=3)


@pytest.mark.parametrize("members", [1, 2])
@pytest.mark.parametrize("lines", [False, True])
@pytest.mark.parametrize("temperature", [0.0, 0.8])
def test_text_of_a_position_equals_the_sample_of_its_prompt(members: int, lines: bool, temperature: float) -> None:
    found, sentence = model(members=members, lines=lines), text(30)
    positions, config = [0, 1, 5, 6, 17, 29], SampleConfig(temperature=temperature, length=9)
    texts = continued(found, sentence, positions, config)
    for k, (position, drawn) in enumerate(zip(positions, texts, strict=True)):
        samples = found.sample(sentence[:position], n=k + 1, seed=3, config=config)
        assert drawn == samples[k].text
    assert len(set(texts)) > (3 if temperature else 1)


def test_no_positions_give_no_texts() -> None:
    assert continued(model(), "abc", [], SampleConfig()) == []
