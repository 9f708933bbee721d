"""One model used by several threads at a time gives the numbers that it gives alone, to the bit."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import astuple
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

LETTERS = "abcdefgh \n"
THREADS = 4
Call = Callable[[LanguageModel, str], object]


@pytest.fixture(autouse=True)
def frequent_switches() -> Iterator[None]:
    """Let threads take turns every few microseconds rather than every 5 milliseconds."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


def make(cell: str = "lstm", *, bidirectional: bool = False, hidden: int = 16, lines: bool = True) -> LanguageModel:
    """Return an untrained model of two layers with large weights, the same each time."""
    vocabulary = Vocabulary.build(dict.fromkeys(LETTERS, 1))
    config = NetworkConfig(cell, hidden, 2, bidirectional=bidirectional)
    network = make_network(config, len(vocabulary), vocabulary.eos)
    params = network.initial(np.random.default_rng(0))
    params.flat *= 3
    return LanguageModel(network, params, vocabulary, TextConfig(lines=lines))


def texts_of(count: int, most: int, seed: int = 0) -> list[str]:
    """Return texts of different lengths, up to `most` characters."""
    rng = np.random.default_rng(seed)
    return ["".join(rng.choice(list(LETTERS), length)) for length in rng.integers(1, most, count)]


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


ONE_WAY: Mapping[str, Call] = {
    "config": lambda model, text: model.config,
    "runner": lambda model, text: model.runner.score(*window(text), model.runner.zero_state(3))[0].tobytes(),
    "networks": lambda model, text: [astuple(model.score(text)) for _ in model.networks(2)],
    "sample": lambda model, text: model.sample(text, n=3, seed=seed_of(text), length=20),
    "stream": lambda model, text: list(model.stream(text, seed=seed_of(text), length=20)),
    "sample_each": lambda model, text: list(islice(model.sample_each(text, seed=seed_of(text), length=3), 2)),
    "sampling": lambda model, text: model.sampling(None, {"length": len(text)}),
    "score": lambda model, text: model.score(text, context=text[::-1]),
    "score_many": lambda model, text: list(model.score_many([text, text[1:], text[2:]] * 12, context=text[:5])),
    "score_characters": lambda model, text: list(model.score_characters(text, context=text[:9])),
    "score_adaptively": lambda model, text: list(model.score_adaptively([text, text])),
    "fill": lambda model, text: model.fill(text[:20] + "_" + text[20:30] + "_", beam=3),
    "gradients": lambda model, text: model.gradients(text, back=5, places=9).as_json(),
    "refuse_unknown": lambda model, text: (is_refused(model, text), is_refused(model, text + "?")),
    "counts_end": lambda model, text: model.counts_end(None),
    "clean": lambda model, text: model.clean(text),
}
"""A use of each public name of a model that reads from left to right."""

BOTH_SIDES: Mapping[str, Call] = {
    "bidirectional": lambda model, text: model.bidirectional.log_probs(window(text)[0]).tobytes(),
    "pseudo_score": lambda model, text: model.pseudo_score(text),
    "fill": lambda model, text: model.fill(text[:20] + "_" + text[20:30] + "_", beam=3),
    "proof": lambda model, text: list(model.proof(text)),
}
"""A use of each public name that is for a model of both directions."""


def window(text: str) -> tuple[Any, Any]:
    ids = np.array([2 + LETTERS.index(character) for character in text + "abc"], np.intp)
    return np.stack([ids[:-1]] * 3, axis=1), np.stack([ids[1:]] * 3, axis=1)


def assert_same_on_threads(serial: LanguageModel, shared: LanguageModel, call: Call, texts: list[str]) -> None:
    """Compare the results for all texts, of one thread and of several on a model that has done nothing yet."""
    expected = [call(serial, text) for text in texts]
    with ThreadPoolExecutor(THREADS) as threads:
        found = list(threads.map(lambda text: call(shared, text), texts))
    assert [k for k, (one, other) in enumerate(zip(expected, found, strict=True)) if one != other] == []


@pytest.mark.parametrize("name", ONE_WAY)
def test_a_model_of_one_direction_on_threads(name: str) -> None:
    assert_same_on_threads(make(), make(), ONE_WAY[name], texts_of(40, 200))


@pytest.mark.parametrize("name", BOTH_SIDES)
def test_a_model_of_both_directions_on_threads(name: str) -> None:
    models = make(bidirectional=True, lines=False), make(bidirectional=True, lines=False)
    assert_same_on_threads(*models, BOTH_SIDES[name], texts_of(24, 120))


def test_files_on_threads(tmp_path: Path) -> None:
    texts = texts_of(12, 50)
    paths = {text: tmp_path / f"{number}.safetensors" for number, text in enumerate(texts)}
    assert_same_on_threads(make(), make(), lambda model, text: saved(model, paths[text]), texts)
    same = paths[texts[0]]
    assert_same_on_threads(make(), make(), lambda _, text: LanguageModel.load(same).score(text), texts)


def test_every_public_name_is_used_on_threads() -> None:
    public = {name for name, _ in inspect.getmembers(LanguageModel) if not name.startswith("_")}
    assert public == {*ONE_WAY, *BOTH_SIDES, "load", "save"}


def test_classification_on_threads() -> None:
    others = [make("gru"), make("gru")]

    def posterior(model: LanguageModel, text: str) -> object:
        other = others[model is shared]
        return list(classify([model, other], [text, text[::-1]]))

    serial, shared = make(), make()
    assert_same_on_threads(serial, shared, posterior, texts_of(40, 100))


def test_generators_that_take_turns_do_not_disturb_each_other() -> None:
    model = make()
    texts = texts_of(3, 100)
    alone = [list(model.score_characters(text)) for text in texts]
    assert list(zip(*map(model.score_characters, texts), strict=False)) == list(zip(*alone, strict=False))
    drawn = ["".join(model.stream(text, seed=1, length=30)) for text in texts]
    pieces = [model.stream(text, seed=1, length=30) for text in texts]
    assert list(zip(*pieces, strict=False)) == list(zip(*drawn, strict=False))


@pytest.mark.parametrize("cell", CELLS)
def test_200_texts_of_different_lengths_on_threads(cell: str) -> None:
    serial, shared = make(cell), make(cell)
    assert_same_on_threads(serial, shared, LanguageModel.score, texts_of(200, 120))


@settings(deadline=None, max_examples=15)
@given(st.sampled_from(sorted(CELLS)), st.integers(1, 24), st.lists(st.text(LETTERS + "?", max_size=90), max_size=30))
def test_any_texts_on_threads(cell: str, hidden: int, texts: list[str]) -> None:
    serial, shared = make(cell, hidden=hidden), make(cell, hidden=hidden)
    assert_same_on_threads(serial, shared, LanguageModel.score, texts)


def test_a_model_keeps_one_workspace_per_core_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("charlm.kernels.workspace.usable_cores", lambda: 2)
    works = make().runner._workspaces
    with works.borrow() as first, works.borrow() as second, works.borrow() as third:
        assert len({id(first), id(second), id(third)}) == 3
    kept = {id(first), id(second)}
    with works.borrow() as one, works.borrow() as other, works.borrow() as new:
        assert {id(one), id(other)} == kept
        assert new is not third


class Poisoned(Workspaces):
    """Workspaces whose arrays are overwritten with NaN as soon as they are handed back."""

    @contextmanager
    def borrow(self) -> Iterator[Workspace]:
        with super().borrow() as work:
            yield work
            poison(work)


def poison(work: Workspace) -> None:
    for array in (*work._arrays.values(), *work._scratch.values()):
        array[...] = np.nan
    for room in work._rooms.values():
        poison(room)


@pytest.mark.parametrize(("bidirectional", "name"), [*((False, n) for n in ONE_WAY), *((True, n) for n in BOTH_SIDES)])
def test_nothing_is_read_from_a_workspace_that_was_handed_back(
    monkeypatch: pytest.MonkeyPatch, bidirectional: bool, name: str
) -> None:
    call = (BOTH_SIDES if bidirectional else ONE_WAY)[name]
    (text,) = texts_of(1, 100)
    expected = call(make(bidirectional=bidirectional), text)
    for module in ("prepared_network", "prepared_bidirectional"):
        monkeypatch.setattr(f"charlm.inference.{module}.Workspaces", Poisoned)
    assert call(make(bidirectional=bidirectional), text) == expected
