"""Damaged models of labels are refused in one line, or they work."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

import charlm
from charlm.cli.info import facts_of, readable
from charlm.errors import CheckpointError
from charlm.model import LanguageModel
from tests.reliability.mutations import damaged
from tests.tasks.tiny import (
    random_classifier,
    random_conditional,
    random_restorer,
    random_tagger,
    random_translator,
)

TEXT = "abc cde. É ł 11\nels"


def restore(model: LanguageModel) -> None:
    strip = model.restorer.stripper.strip
    assert strip(model.restore(TEXT)) == strip(TEXT)


def classify(model: LanguageModel) -> None:
    assert sum(model.classify(TEXT).probabilities.values()) == pytest.approx(1, abs=1e-4)


def tag(model: LanguageModel) -> None:
    assert len(model.tag(TEXT).labels) == 7


def translate(model: LanguageModel) -> None:
    assert 0 <= model.translate("abc").probability <= 1


def write(model: LanguageModel) -> None:
    assert model.sample(seed=1, length=5)[0].label in model.labels
    assert sum(model.priors) == pytest.approx(1)
    classify(model)


@pytest.mark.parametrize(
    ("make", "use"),
    [
        (random_restorer, restore),
        (random_classifier, classify),
        (random_tagger, tag),
        (random_translator, translate),
        (random_conditional, write),
    ],
)
def test_damaged_model_is_refused_or_works(
    make: Callable[[], LanguageModel], use: Callable[[LanguageModel], None], tmp_path: Path
) -> None:
    path = tmp_path / "m.safetensors"
    make().save(path)
    good, used = path.read_bytes(), 0
    refusals: list[str] = []
    for content in damaged(good, random.Random(3), 250):
        path.write_bytes(content)
        try:
            model = charlm.load(path)
        except CheckpointError as error:
            refusals.append(str(error))
            continue
        list(readable(facts_of(model, path)))
        if model.text.task == make().text.task:
            use(model)
            used += 1
    assert not any("\n" in refusal for refusal in refusals)
    assert len(refusals) > 50
    assert used > 20
