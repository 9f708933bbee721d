"""LanguageModel of several members: sampling, scoring, infilling, files and commands."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

import charlm
from charlm.checkpoint import TrainingRecord
from charlm.config import NetworkConfig, TextConfig
from charlm.errors import ConfigError
from charlm.infilling.tuning import DEFAULT_TUNING
from charlm.model import LanguageModel
from charlm.nn.cells import CELLS
from charlm.nn.networks import make_network
from charlm.scoring.ranking import classify
from charlm.text.vocabulary import Vocabulary
from tests.cli.command import charlm as command
from tests.test_threads import LEFT_TO_RIGHT, assert_same_on_threads, texts_of

LETTERS = "abcdefgh "
TEXTS = ["badge", "bad", "a bad cafe", "", "hedge", "badges"] * 9
COUNTS = pytest.mark.parametrize("count", [2, 3])


def make(
    count: int, cell: str = "lstm", *, hidden: int = 6, lines: bool = True, bidirectional: bool = False
) -> LanguageModel:
    """Return a two-layer model of `count` members with random weights."""
    vocabulary = Vocabulary.build(dict.fromkeys(LETTERS, 1))
    network = make_network(NetworkConfig(cell, hidden, 2, bidirectional=bidirectional), len(vocabulary))
    members = [network.initial(np.random.default_rng(seed)) for seed in range(count)]
    for seed, params in enumerate(members):
        params.flat += np.random.default_rng(seed).normal(0, 0.6, params.flat.size).astype(np.float32)
    return LanguageModel(network, members, vocabulary, TextConfig(lines=lines), TrainingRecord(steps=7, sources=("a",)))


def singles(model: LanguageModel) -> list[LanguageModel]:
    """Return a model of each member."""
    return [LanguageModel(model.network, params, model.vocabulary, model.text) for params in model.members]


def mean(log_probs: list[float]) -> float:
    return math.log(sum(map(math.exp, log_probs)) / len(log_probs))


@COUNTS
@pytest.mark.parametrize("cell", CELLS)
def test_character_scores_are_the_mean_of_the_members(cell: str, count: int) -> None:
    model = make(count, cell)
    scored = list(model.score_characters("a bad cafe?", alternatives=99))
    each = [list(single.score_characters("a bad cafe?", alternatives=99)) for single in singles(model)]
    for found, *members in zip(scored, *each, strict=True):
        assert found.log_prob == pytest.approx(mean([member.log_prob for member in members]), abs=1e-5)
        everything = [found.log_prob, *(log_prob for _, log_prob in found.alternatives)]
        assert sum(map(math.exp, everything)) == pytest.approx(1, abs=1e-6)
    total = math.fsum(found.log_prob for found in scored)
    assert model.score("a bad cafe?").log_prob == pytest.approx(total, abs=1e-5)


@COUNTS
def test_score_obeys_the_chain_rule(count: int) -> None:
    model = make(count)
    parts = model.score("badge", end=False).log_prob + model.score("cafe", context="badge").log_prob
    assert model.score("badgecafe").log_prob == pytest.approx(parts, abs=1e-5)


def test_a_newline_resets_all_members() -> None:
    model = make(2)
    parts = model.score("badge", end=True).log_prob + model.score("cafe", end=True).log_prob
    assert model.score("badge\ncafe", end=True).log_prob == pytest.approx(parts, abs=1e-5)


@COUNTS
@pytest.mark.parametrize("threads", [1, 2])
def test_scores_in_a_batch_equal_single_scores(count: int, threads: int) -> None:
    model = make(count)
    texts = [first + text for first in LETTERS for text in TEXTS]  # enough to share prefixes
    alone = {text: model.score(text).log_prob for text in set(texts)}
    batched = [score.log_prob for score in model.score_many(texts, threads=threads)]
    assert batched == pytest.approx([alone[text] for text in texts], abs=2e-5)


@pytest.mark.parametrize("threads", [1, 2])
def test_long_text_equals_its_parts(threads: int) -> None:
    model = make(2, lines=False)
    text = "".join(np.random.default_rng(0).choice(list(LETTERS), 9000))
    [whole] = model.score_many([text], threads=threads)
    parts = [model.score(text[k : k + 3000], context=text[:k]).log_prob for k in (0, 3000, 6000)]
    assert whole.log_prob == pytest.approx(math.fsum(parts), abs=1e-3)


@COUNTS
@pytest.mark.parametrize("n", [1, 5])
def test_a_rescored_sample_has_its_log_probability(count: int, n: int) -> None:
    model = make(count)
    for drawn in model.sample("bad", n=n, seed=3, length=40):
        rescored = model.score(drawn.text, end=drawn.has_ended, context="bad")
        assert drawn.log_prob == pytest.approx(rescored.log_prob, abs=1e-4)


@COUNTS
def test_stream_equals_the_first_sample(count: int) -> None:
    model = make(count)
    drawn = model.sample("bad", n=3, seed=3, length=40)
    assert "".join(model.stream("bad", seed=3, length=40)) == drawn[0].text


def test_samples_follow_the_distribution_of_the_mixture() -> None:
    model = make(2, lines=False)
    drawn = [sample.text for sample in model.sample("bad", n=4000, seed=1, length=1, temperature=1)]
    p = {letter: math.exp(model.score(letter, context="bad").log_prob) for letter in LETTERS}
    for letter in LETTERS:
        assert drawn.count(letter) / 4000 == pytest.approx(p[letter] / sum(p.values()), abs=0.03)


@pytest.mark.parametrize("name", ["stream", "sample", "score", "score_many", "score_characters", "fill"])
def test_mixture_on_threads_equals_serial_results(name: str) -> None:
    assert_same_on_threads(make(2), make(2), LEFT_TO_RIGHT[name], texts_of(24, 100))


def test_members_adapt_by_their_own_gradients() -> None:
    model, texts = make(3), ["badge" * 20, "c"]
    weights = [params.flat.copy() for params in model.members]
    _, adapted = model.score_adaptively(texts, end=False, learning_rate=0.01)
    each = [list(single.score_adaptively(texts, end=False, learning_rate=0.01))[1] for single in singles(model)]
    assert adapted.log_prob == pytest.approx(mean([score.log_prob for score in each]), abs=1e-5)
    assert adapted.log_prob != pytest.approx(model.score("c", end=False).log_prob, abs=1e-2)
    for params, before in zip(model.members, weights, strict=True):
        np.testing.assert_array_equal(params.flat, before)


def test_classify_compares_mixtures() -> None:
    models = [make(2), make(3, "gru")]
    [found] = classify(models, ["badge"])
    assert found.log_probs == pytest.approx([model.score("badge").log_prob for model in models])


def test_fill_from_left_to_right_maximises_the_mixture() -> None:
    model = make(2)
    best = model.fill("b_d", beam=99)[0]
    assert best.text == max((f"b{c}d" for c in LETTERS), key=lambda text: model.score(text, end=False).log_prob)
    assert best.weight == pytest.approx(model.score(best.text, end=False).log_prob, abs=1e-5)


@COUNTS
def test_bidirectional_mixture_fills_proofs_and_scores(count: int) -> None:
    model = make(count, bidirectional=True, lines=False)
    text = "a bad cafe"
    log_probs = model.bidirectional.log_probs(model.vocabulary.encode(text).astype(np.intp)[:, None])
    each = [m.bidirectional.log_probs(m.vocabulary.encode(text).astype(np.intp)[:, None]) for m in singles(model)]
    np.testing.assert_allclose(np.exp(log_probs), np.mean(np.exp(each), axis=0), atol=1e-6)
    best = model.fill("a b_d cafe", beam=99)[0]
    assert best.text == max((f"a b{c}d cafe" for c in LETTERS), key=lambda one: model.pseudo_score(one).log_prob)
    assert best.weight == pytest.approx(model.pseudo_score(best.text).log_prob, abs=1e-4)
    found = list(model.proof(text, min_gain=-99))
    assert found
    for suspect in found:
        changed = text[: suspect.start] + suspect.replacement + text[suspect.start + len(suspect.word) :]
        gain = model.pseudo_score(changed).log_prob - model.pseudo_score(text).log_prob
        assert suspect.gain == pytest.approx(gain + getattr(DEFAULT_TUNING, suspect.kind).log_prior, abs=1e-3)


def test_gradients_are_those_of_one_member() -> None:
    model = make(3)
    text = "a bad cafe hedge " * 20
    for member, single in enumerate(singles(model)):
        assert model.gradients(text, member=member).as_json() == single.gradients(text).as_json()
    with pytest.raises(ConfigError, match="`member` is 3; expected 0 to 2"):
        model.gradients(text, member=3)


def test_one_member_in_a_sequence_is_a_plain_model(tmp_path: Path) -> None:
    model = make(1)
    plain = LanguageModel(model.network, model.members[0], model.vocabulary, model.text, model.training)
    for number, one in enumerate((model, plain)):
        one.save(tmp_path / str(number))
    assert (tmp_path / "0").read_bytes() == (tmp_path / "1").read_bytes()
    assert model.sample(n=3, seed=1) == plain.sample(n=3, seed=1)
    with pytest.raises(ConfigError, match="one member or more"):
        LanguageModel(model.network, [], model.vocabulary, model.text)


@COUNTS
@pytest.mark.parametrize("bidirectional", [False, True])
def test_load_returns_the_saved_members(count: int, bidirectional: bool, tmp_path: Path) -> None:
    model = make(count, bidirectional=bidirectional)
    model.save(tmp_path / "m")
    loaded = charlm.load(tmp_path / "m")
    assert len(loaded.members) == count
    for found, expected in zip(loaded.members, model.members, strict=True):
        np.testing.assert_array_equal(found.flat, expected.flat)
    assert loaded.params is loaded.members[0]
    assert loaded.training == model.training


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_pytorch_loads_each_member_strictly(cell: str, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    model = make(2, cell)
    model.save(tmp_path / "m")
    tensors = load_file(tmp_path / "m")
    ids = torch.tensor([0, *model.vocabulary.encode("a bad cafe").tolist()])
    for k, single in enumerate(singles(model)):
        twin: Any = torch.nn.Module()
        twin.rnn = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU, "rnn": torch.nn.RNN}[cell](11, 6, num_layers=2)
        twin.head = torch.nn.Linear(6, 11)
        own = {name.removeprefix(f"{k}."): torch.from_numpy(t) for name, t in tensors.items() if name[:2] == f"{k}."}
        twin.load_state_dict(own, strict=True)
        outputs, _ = twin.rnn(torch.nn.functional.one_hot(ids[:-1], 11).float())
        log_probs = torch.log_softmax(twin.head(outputs), dim=-1)
        total = log_probs.gather(1, ids[1:, None]).sum().item()
        assert single.score("a bad cafe", end=False).log_prob == pytest.approx(total, abs=1e-4)


def test_commands_read_a_mixture(tmp_path: Path) -> None:
    model = make(3)
    model.save(tmp_path / "charlm.safetensors")
    (tmp_path / "text.txt").write_text("a bad cafe badge " * 8)

    def out(*arguments: object, stdin: bytes = b"") -> str:
        outcome = command(*arguments, cwd=tmp_path, stdin=stdin)
        assert (outcome.code, outcome.err) == (0, "")
        return outcome.out

    facts = json.loads(out("info", "--json"))
    assert (facts["members"], facts["parameters"]) == (3, 3 * model.network.size)
    assert f"members       3, {model.network.size:,} parameters each" in out("info")
    assert json.loads(out("score", "badge", "--json"))["log_prob"] == pytest.approx(model.score("badge").log_prob)
    assert out("sample", "--seed", 3, "--length", 30).rstrip("\n") == model.sample(seed=3, length=30)[0].text
    assert "cafe" in out("score", "--rank", "--file", "-", stdin=b"0\tcafe\n0\tbadge\n")
    assert "bad" in out("odd", "--file", "text.txt")
    assert out("classify", "-m", "charlm.safetensors", "badge")
    assert out("fill", "b_d")
    assert out("score", "--adapt", "badge")
    shown = json.loads(out("gradients", "--file", "text.txt", "--member", 2, "--json"))
    assert shown["norms"] == model.gradients((tmp_path / "text.txt").read_text(), member=2).as_json()["norms"]
    refused = command("gradients", "--file", "text.txt", "--member", 3, cwd=tmp_path)
    assert refused.code != 0
    assert "--member is 3; expected 0 to 2" in refused.err


def test_fine_tuning_of_one_network_begins_with_the_first_member(tmp_path: Path) -> None:
    model = make(2)
    model.save(tmp_path / "parent.safetensors")
    (tmp_path / "text.txt").write_text("a bad cafe\nbadge\n" * 30)
    options = ("--lines", "--ensemble", 1, "--steps", 1, "--lr", 1e-9, "--threads", 1, "-m", "child.safetensors")
    outcome = command("train", "text.txt", *options, "--init-from", "parent.safetensors", cwd=tmp_path)
    assert outcome.code == 0, outcome.err
    child = charlm.load(tmp_path / "child.safetensors")
    assert len(child.members) == 1
    np.testing.assert_allclose(child.params["rnn.weight_hh_l0"], model.params["rnn.weight_hh_l0"], atol=1e-6)
