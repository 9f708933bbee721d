"""Filling in and proof-reading, by a tiny network that knows one verse, and against all possibilities."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

import charlm
from charlm.config import NetworkConfig, TextConfig
from charlm.errors import ConfigError
from charlm.model import LanguageModel
from charlm.nn.networks import make_network
from charlm.restoring import proofing
from charlm.restoring.filling import reconsidered
from charlm.text.vocabulary import Vocabulary

VERSE = "the quick brown fox\njumps over the lazy dog\nand runs away\n"


def random_model(*, bidirectional: bool, characters: str = "abc", seed: int = 0) -> LanguageModel:
    """Return an untrained model with large weights, so that it has opinions."""
    vocabulary = Vocabulary.build(dict.fromkeys(characters, 1))
    network = make_network(NetworkConfig("gru", 6, 1, bidirectional=bidirectional), len(vocabulary), vocabulary.eos)
    params = network.initial(np.random.default_rng(seed))
    params.flat[...] *= 4
    return LanguageModel(network, params, vocabulary, TextConfig())


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LanguageModel:
    """A model of both directions that knows the verse."""
    folder = tmp_path_factory.mktemp("both")
    (folder / "verse.txt").write_text(VERSE * 30)
    settings = {"hidden": 24, "steps": 200, "batch": 8, "bptt": 40, "dropout": 0.0, "learning_rate": 0.02, "threads": 1}
    return charlm.train(folder / "verse.txt", folder / "m.safetensors", bidirectional=True, **settings)


class TestFill:
    @pytest.mark.parametrize("text", ["the qu_ck brown fox", "jumps _ver t_e lazy d_g", "and ____ away", "_he quick"])
    def test_what_is_missing_is_restored(self, model: LanguageModel, text: str) -> None:
        best = model.fill(text)[0]
        assert best.text in VERSE
        assert all(a in (b, "_") for a, b in zip(text, best.text, strict=True))
        assert "".join(best.filled) == "".join(b for a, b in zip(text, best.text, strict=True) if a == "_")

    def test_a_long_text_is_filled_stretch_by_stretch(self, model: LanguageModel) -> None:
        whole = VERSE * 12
        places = range(5, len(whole), 9)
        text = "".join("#" if k in places else c for k, c in enumerate(whole))
        best = model.fill(text, blank="#", beam=2, best=1)[0].text
        wrong = sum(a != b for a, b in zip(best, whole, strict=True))
        assert wrong <= 0.1 * len(places)

    @pytest.mark.parametrize("bidirectional", [False, True])
    def test_shares_sum_to_one_and_fall_and_what_is_known_stays(self, bidirectional: bool) -> None:
        model = random_model(bidirectional=bidirectional)
        found = model.fill("a_\u00e9_b", beam=50, best=50)
        assert sum(reading.share for reading in found) == pytest.approx(1)
        assert [r.share for r in found] == sorted((r.share for r in found), reverse=True)
        assert len({reading.text for reading in found}) == len(found) == 9
        assert all(reading.text[2] == "\u00e9" for reading in found)  # unknown, and not missing

    @pytest.mark.parametrize("seed", range(3))
    @pytest.mark.parametrize("bidirectional", [False, True])
    def test_a_wide_beam_finds_the_best_of_all(self, seed: int, bidirectional: bool) -> None:
        """log p of the whole text from left to right, the pseudo-log-likelihood from both sides."""
        model = random_model(bidirectional=bidirectional, seed=seed)
        texts = [f"a{x}b{y}{z}c" for x, y, z in product("abc", repeat=3)]
        if bidirectional:
            expected = {text: model.pseudo_score(text).log_prob for text in texts}
        else:
            expected = {text: model.score(text, end=False).log_prob for text in texts}
        found = model.fill("a_b__c", beam=81, best=81)
        assert {reading.text for reading in found} == set(expected)
        for reading in found:
            assert reading.weight == pytest.approx(expected[reading.text], abs=1e-4)
        assert found[0].text == max(expected, key=expected.__getitem__)

    def test_what_was_filled_is_reconsidered(self) -> None:
        """From a reading that is far from the best, single changes lead uphill."""
        model = random_model(bidirectional=True, seed=5)
        start = model.vocabulary.encode("abcabca").astype(np.intp)
        found = reconsidered(model.both_sides, [start], [1, 3, 4], [0, 1])
        weights = [weight for weight, _ in found]
        assert weights == sorted(weights, reverse=True)
        assert len(found) > 1
        assert weights[0] > model.pseudo_score("abcabca").log_prob

    def test_nothing_missing_is_an_error(self, model: LanguageModel) -> None:
        with pytest.raises(ConfigError, match="nothing to fill in"):
            model.fill("the quick")
        with pytest.raises(ConfigError, match="blank"):
            model.fill("the quick", blank="__")


class TestProof:
    def test_a_wrong_letter_is_found_and_put_right(self, model: LanguageModel) -> None:
        text = (VERSE * 4).replace("lazy", "lbzy", 1)
        found = max(model.proof(text), key=lambda suspect: suspect.gain)
        assert (found.place, found.character) == (text.index("lbzy") + 1, "b")
        assert found.proposals[0][0] == "a"
        assert 0.9 < found.proposals[0][1] <= 1

    def test_a_text_without_slips_has_no_suspects_worth_naming(self, model: LanguageModel) -> None:
        assert list(model.proof(VERSE * 4, least=1.0)) == []

    def test_places_do_not_depend_on_the_windows(self, model: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
        text = (VERSE * 6).replace("fox", "fux").replace("runs", "rufs")
        at_once = {(s.place, s.proposals[0][0]) for s in model.proof(text, least=3)}
        monkeypatch.setattr(proofing, "OWN", 50)
        assert {(s.place, s.proposals[0][0]) for s in model.proof(text, least=3)} == at_once
        assert {text.index("fux") + 1, text.index("rufs") + 2} <= {place for place, _ in at_once}

    def test_lines_are_texts_of_their_own(self) -> None:
        model = random_model(bidirectional=True)
        model.text = TextConfig(lines=True)
        apart = [(s.place, round(s.gain, 3)) for s in model.proof("abcab")]
        both = [(s.place, round(s.gain, 3)) for s in model.proof("abcab\nabcab")]
        assert both == apart + [(place + 6, gain) for place, gain in apart]


class TestPseudoLogLikelihood:
    def test_it_is_the_sum_of_the_conditionals(self) -> None:
        model = random_model(bidirectional=True)
        ids = model.vocabulary.encode("abcba")
        conditionals = model.both_sides.log_probs(ids[:, None].astype(np.intp))[:, :, 0]
        score = model.pseudo_score("abcba")
        assert score.characters == 5
        assert score.log_prob == pytest.approx(conditionals[np.arange(5), ids].sum(), abs=1e-5)
        np.testing.assert_allclose(np.exp(conditionals).sum(axis=1), 1, atol=1e-5)

    def test_a_long_text_is_read_in_windows(self, model: LanguageModel) -> None:
        once, often = (model.pseudo_score(VERSE * n) for n in (4, 12))
        assert often.characters == 3 * once.characters
        assert often.nats_per_char == pytest.approx(once.nats_per_char, abs=0.02)

    def test_unknown_characters_are_counted(self, model: LanguageModel) -> None:
        assert model.pseudo_score("the \u00e9").unknown == 1
        assert model.pseudo_score("").characters == 0


def test_each_direction_says_what_it_cannot_do(model: LanguageModel) -> None:
    for refused in (lambda: model.sample(), lambda: model.score("a"), lambda: list(model.score_characters("a"))):
        with pytest.raises(ConfigError, match=r"both sides.*pseudo-log-likelihood"):
            refused()
    with pytest.raises(ConfigError, match="one direction"):
        model.gradients(VERSE)
    one_way = random_model(bidirectional=False)
    for refused in (lambda: one_way.pseudo_score("a"), lambda: one_way.proof("a")):
        with pytest.raises(ConfigError, match="--bidirectional"):
            refused()
