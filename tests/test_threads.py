"""A model used by several threads at once returns bit for bit its serial results."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charlm.config import NetworkConfig, TextConfig
from charlm.errors import UnknownCharacterError
from charlm.kernels.workspace import Workspace, Workspaces
from charlm.model import LanguageModel
from charlm.nn.cells import CELLS
from charlm.nn.networks import make_network
from charlm.scoring.ranking import classify
from charlm.text.vocabulary import Vocabulary
from tests.tasks.tiny import random_conditional

LETTERS = "abcdefgh \n"
THREADS = 4
Call = Callable[[LanguageModel, str], object]


@pytest.fixture(autouse=True)
def frequent_switches() -> Iterator[None]:
    """Switch threads every few microseconds instead of every 5 milliseconds."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


def make(cell: str = "lstm", *, bidirectional: bool = False, hidden: int = 16, lines: bool = True) -> LanguageModel:
    """Return an untrained two-layer model with large weights, equal for each call."""
    vocabulary = Vocabulary.build(dict.fromkeys(LETTERS, 1))
    config = NetworkConfig(cell, hidden, 2, bidirectional=bidirectional)
    network = make_network(config, len(vocabulary), vocabulary.eos)
    params = network.initial(np.random.default_rng(0))
    params.flat *= 3
    return LanguageModel(network, params, vocabulary, TextConfig(lines=lines))


def texts_of(count: int, max_length: int, seed: int = 0) -> list[str]:
    """Return `count` texts of up to `max_length` characters."""
    rng = np.random.default_rng(seed)
    return ["".join(rng.choice(list(LETTERS), length)) for length in rng.integers(1, max_length, count)]


def seed_of(text: str) -> int:
    return len(text)


def saved(model: LanguageModel, path: Path) -> bytes:
    model.save(path, overwrite=True)
    return path.read_bytes()


def is_refused(model: LanguageModel, text: str) -> bool:
    try:
        model.refuse_unknown(text)
    except UnknownCharacterError:
        return True
    return False


LEFT_TO_RIGHT: Mapping[str, Call] = {
    "params": lambda model, text: model.params.flat.tobytes(),
    "config": lambda model, text: model.config,
    "causal_network": lambda model, text: model.causal_network.config,
    "training_records": lambda model, text: model.training_records,
    "prepared": lambda model, text: model.prepared.score(*window(text), model.prepared.zero_state(3))[0].tobytes(),
    "sample": lambda model, text: model.sample(text, n=3, seed=seed_of(text), length=20),
    "stream": lambda model, text: list(model.stream(text, seed=seed_of(text), length=20)),
    "sample_each": lambda model, text: list(islice(model.sample_each(text, seed=seed_of(text), length=3), 2)),
    "sampling": lambda model, text: model.sampling(None, {"length": len(text)}),
    "score": lambda model, text: model.score(text, context=text[::-1]),
    "score_many": lambda model, text: list(model.score_many([text, text[1:], text[2:]] * 12, context=text[:5])),
    "score_characters": lambda model, text: list(model.score_characters(text, context=text[:9])),
    "score_adaptively": lambda model, text: list(model.score_adaptively([text, text])),
    "fill": lambda model, text: model.fill(text[:20] + "_" + text[20:30] + "_", beam=3),
    "next": lambda model, text: model.next(text, words=3),
    "gradients": lambda model, text: model.gradients(text, back=5, places=9).as_json(),
    "refuse_unknown": lambda model, text: (is_refused(model, text), is_refused(model, text + "?")),
    "counts_end": lambda model, text: model.counts_end(None),
    "clean": lambda model, text: model.clean(text),
    "clean_prompt": lambda model, text: model.clean_prompt(text),
    "ids_of": lambda model, text: model.ids_of(text).tobytes(),
    "inspected": lambda model, text: model.inspected(0)[1].flat.tobytes(),
    "activations": lambda model, text: model.activations(text).states["c"].tobytes(),
    "saliency": lambda model, text: model.saliency(text + "ab", len(text)).strongest(3),
    "cells": lambda model, text: model.cells((text + "\n") * 9)[:3],
    "require_language": lambda model, text: model.require_language(),
}
"""A call of each public name of a left-to-right model."""

BIDIRECTIONAL: Mapping[str, Call] = {
    "bidirectional": lambda model, text: model.bidirectional.log_probs(window(text)[0]).tobytes(),
    "pseudo_score": lambda model, text: model.pseudo_score(text),
    "fill": lambda model, text: model.fill(text[:20] + "_" + text[20:30] + "_", beam=3),
    "proof": lambda model, text: list(model.proof(text)),
}
"""A call of each public name that needs a bidirectional model."""


CONDITIONAL: Mapping[str, Call] = {
    "reads_labels": lambda model, text: model.reads_labels,
    "priors": lambda model, text: model.priors,
    "any_label": lambda model, text: model.any_label.score(text),
    "given": lambda model, text: model.given("two").score(text),
    "conditioned": lambda model, text: model.conditioned("three").score(text),
}
"""A call of each public name that needs a network that reads labels."""

OF_LABELS = {f"{task}{form}" for task in ("restore", "classify", "tag", "translate") for form in ("", "_each")} | {
    "restorer", "classifier", "tagger", "translator",
}  # fmt: skip
"""Public names that need a model of labels or pairs; they read its weights alone."""


def window(text: str) -> tuple[Any, Any]:
    ids = np.array([2 + LETTERS.index(character) for character in text + "abc"], np.intp)
    return np.stack([ids[:-1]] * 3, axis=1), np.stack([ids[1:]] * 3, axis=1)


def assert_same_on_threads(serial: LanguageModel, shared: LanguageModel, call: Call, texts: list[str]) -> None:
    """Compare the results of one thread with those of several threads on a new model."""
    expected = [call(serial, text) for text in texts]
    with ThreadPoolExecutor(THREADS) as threads:
        found = list(threads.map(lambda text: call(shared, text), texts))
    assert [k for k, (one, other) in enumerate(zip(expected, found, strict=True)) if one != other] == []


@pytest.mark.parametrize("name", LEFT_TO_RIGHT)
def test_left_to_right_model_on_threads_equals_serial_results(name: str) -> None:
    assert_same_on_threads(make(), make(), LEFT_TO_RIGHT[name], texts_of(40, 200))


@pytest.mark.parametrize("name", BIDIRECTIONAL)
def test_bidirectional_model_on_threads_equals_serial_results(name: str) -> None:
    models = make(bidirectional=True, lines=False), make(bidirectional=True, lines=False)
    assert_same_on_threads(*models, BIDIRECTIONAL[name], texts_of(24, 120))


@pytest.mark.parametrize("name", CONDITIONAL)
def test_conditional_model_on_threads_equals_serial_results(name: str) -> None:
    assert_same_on_threads(random_conditional(), random_conditional(), CONDITIONAL[name], texts_of(24, 60))


def test_save_and_load_on_threads_equal_serial_results(tmp_path: Path) -> None:
    texts = texts_of(12, 50)
    paths = {text: tmp_path / f"{number}.safetensors" for number, text in enumerate(texts)}
    assert_same_on_threads(make(), make(), lambda model, text: saved(model, paths[text]), texts)
    same = paths[texts[0]]
    assert_same_on_threads(make(), make(), lambda _, text: LanguageModel.load(same).score(text), texts)


def test_every_public_name_is_tested_on_threads() -> None:
    public = {name for name, _ in inspect.getmembers(LanguageModel) if not name.startswith("_")}
    assert public == {*LEFT_TO_RIGHT, *BIDIRECTIONAL, *CONDITIONAL, *OF_LABELS, "load", "save"}


def test_classify_on_threads_equals_serial_results() -> None:
    others = [make("gru"), make("gru")]

    def posterior(model: LanguageModel, text: str) -> object:
        other = others[model is shared]
        return list(classify([model, other], [text, text[::-1]]))

    serial, shared = make(), make()
    assert_same_on_threads(serial, shared, posterior, texts_of(40, 100))


def test_interleaved_generators_equal_separate_ones() -> None:
    model = make()
    texts = texts_of(3, 100)
    alone = [list(model.score_characters(text)) for text in texts]
    assert list(zip(*map(model.score_characters, texts), strict=False)) == list(zip(*alone, strict=False))
    drawn = ["".join(model.stream(text, seed=1, length=30)) for text in texts]
    pieces = [model.stream(text, seed=1, length=30) for text in texts]
    assert list(zip(*pieces, strict=False)) == list(zip(*drawn, strict=False))


@pytest.mark.parametrize("cell", CELLS)
def test_score_of_200_texts_on_threads_equals_serial_results(cell: str) -> None:
    serial, shared = make(cell), make(cell)
    assert_same_on_threads(serial, shared, LanguageModel.score, texts_of(200, 120))


@settings(max_examples=15)
@given(st.sampled_from(sorted(CELLS)), st.integers(1, 24), st.lists(st.text(LETTERS + "?", max_size=90), max_size=30))
def test_score_of_any_texts_on_threads_equals_serial_results(cell: str, hidden: int, texts: list[str]) -> None:
    serial, shared = make(cell, hidden=hidden), make(cell, hidden=hidden)
    assert_same_on_threads(serial, shared, LanguageModel.score, texts)


def test_model_keeps_at_most_one_workspace_per_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("charlm.kernels.workspace.usable_cores", lambda: 2)
    works = make().prepared._workspaces
    with works.borrow() as first, works.borrow() as second, works.borrow() as third:
        assert len({id(first), id(second), id(third)}) == 3
    kept = {id(first), id(second)}
    with works.borrow() as one, works.borrow() as other, works.borrow() as new:
        assert {id(one), id(other)} == kept
        assert new is not third


class Poisoned(Workspaces):
    """Workspaces whose arrays are overwritten with NaN on release."""

    @contextmanager
    def borrow(self) -> Iterator[Workspace]:
        with super().borrow() as work:
            yield work
            poison(work)


def poison(work: Workspace) -> None:
    for array in (*work._arrays.values(), *work._scratch.values()):
        array[...] = np.nan
    for scope in work._scopes.values():
        poison(scope)


@pytest.mark.parametrize(
    ("bidirectional", "name"), [*((False, n) for n in LEFT_TO_RIGHT), *((True, n) for n in BIDIRECTIONAL)]
)
def test_released_workspace_is_not_read(monkeypatch: pytest.MonkeyPatch, bidirectional: bool, name: str) -> None:
    call = (BIDIRECTIONAL if bidirectional else LEFT_TO_RIGHT)[name]
    (text,) = texts_of(1, 100)
    expected = call(make(bidirectional=bidirectional), text)
    for module in ("prepared_network", "prepared_bidirectional"):
        monkeypatch.setattr(f"charlm.inference.{module}.Workspaces", Poisoned)
    assert call(make(bidirectional=bidirectional), text) == expected
