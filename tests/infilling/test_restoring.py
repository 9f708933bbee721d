"""Filling in and proof-reading, by a tiny network that knows one verse, and against all possibilities."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

import charlm
from charlm.config import NetworkConfig, TextConfig
from charlm.errors import ConfigError
from charlm.infilling import filling, proofing
from charlm.infilling.filling import reconsidered
from charlm.model import LanguageModel
from charlm.nn.networks import make_network
from charlm.text.vocabulary import Vocabulary

VERSE = "the quick brown fox\njumps over the lazy dog\nand runs away\n"


def random_model(
    *, bidirectional: bool, characters: str = "abc", seed: int = 0, scale: float = 4, lines: bool = False
) -> LanguageModel:
    """Return an untrained model with large weights, so that it has opinions; at a scale of 2 it soon forgets."""
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


def whole_weight(model: LanguageModel, text: str) -> float:
    """Return what a reading is weighed by: its log p, or its pseudo-log-likelihood."""
    score = model.pseudo_score(text) if model.config.bidirectional else model.score(text, end=False)
    return score.log_prob


def expected_suspects(model: LanguageModel, text: str) -> list[tuple[int, str, float, dict[str, float]]]:
    """Return the suspects of a short text of known characters by trying every character at every index."""
    letters = model.vocabulary.tokens[2:]
    found = []
    for index, standing in enumerate(text):
        here = conditionals(model, text)[index][2:]
        if here.max() > here[letters.index(standing)]:
            texts = [replaced(text, index, letter) for letter in letters]
            weights = [model.pseudo_score(each).log_prob for each in texts]
            gains = {x: w - weights[letters.index(standing)] for x, w in zip(letters, weights, strict=True)}
            shares = dict(zip(letters, softmax(weights), strict=True))
            del gains[standing], shares[standing]
            if max(gains.values()) > 0:
                found.append((index, standing, max(gains.values()), shares))
    return found


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

    @pytest.mark.parametrize("bidirectional", [False, True])
    def test_shares_are_those_among_all_readings_that_were_found(self, bidirectional: bool) -> None:
        """However few are printed."""
        model = random_model(bidirectional=bidirectional, seed=1)
        texts = [f"b{x}a{y}" for x, y in product("abc", repeat=2)]
        shares = dict(zip(texts, softmax([whole_weight(model, text) for text in texts]), strict=True))
        for best in (1, 2, 9):
            found = model.fill("b_a_", beam=9, best=best)
            assert [reading.text for reading in found] == sorted(shares, key=shares.__getitem__)[::-1][:best]
            assert [r.share for r in found] == pytest.approx([shares[r.text] for r in found], abs=1e-5)

    @pytest.mark.parametrize("index", [0, 95, 159, 160, 161, 319, 320, 399])
    def test_the_whole_surroundings_weigh_wherever_a_stretch_ends(self, index: int) -> None:
        """All readings of one gap, by the pseudo-log-likelihood of the whole text read at once."""
        model = random_model(bidirectional=True, scale=2)
        text = random_text(400)
        texts = [replaced(text, index, letter) for letter in "abc"]
        columns = np.stack([model.vocabulary.encode(each).astype(np.intp) for each in texts], axis=1)
        shares = softmax(model.bidirectional.at_places(columns).sum(axis=0, dtype=np.float64).tolist())
        found = {r.filled[0]: r.share for r in model.fill(replaced(text, index, "_"), beam=3, best=3)}
        assert [found[letter] for letter in "abc"] == pytest.approx(shares.tolist(), abs=1e-3)

    def test_the_surest_place_is_filled_first(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A beam of one, and nothing reconsidered: the greedy fillings, from the surest and from the left."""
        monkeypatch.setattr(filling, "SWEEPS", 0)
        text, differ = "a__b__c_a", 0
        for seed in range(12):
            model = random_model(bidirectional=True, seed=seed)
            results = []
            for is_surest_first in (True, False):
                filled = list(text.replace("_", "?"))  # "?" is read as UNK
                while "?" in filled:
                    here = conditionals(model, "".join(filled))[:, 2:]
                    open_indices = [index for index, character in enumerate(filled) if character == "?"]
                    at = max(open_indices, key=lambda index: here[index].max()) if is_surest_first else open_indices[0]
                    filled[at] = "abc"[here[at].argmax()]
                results.append("".join(filled))
            differ += results[0] != results[1]
            assert model.fill(text, beam=1)[0].text == results[0]
        assert differ > 3

    def test_what_was_filled_is_reconsidered(self) -> None:
        """From a reading that is far from the best, single changes lead uphill."""
        model = random_model(bidirectional=True, seed=5)
        start = model.vocabulary.encode("abcabca").astype(np.intp)
        found = reconsidered(model.bidirectional, [start], [1, 3, 4], [0, 1])
        weights = [weight for weight, _ in found]
        assert weights == sorted(weights, reverse=True)
        assert len(found) > 1
        assert weights[0] > model.pseudo_score("abcabca").log_prob

    @pytest.mark.parametrize("bidirectional", [False, True])
    def test_lines_are_filled_as_texts_of_their_own(self, bidirectional: bool) -> None:
        """From both sides, a reading's weight is its pseudo-log-likelihood, in which ends of lines do not count."""
        model = random_model(bidirectional=bidirectional, lines=True)
        apart = [{r.filled[0]: r.share for r in model.fill(text, beam=9, best=9)} for text in ("b_ca", "ac_")]
        found = model.fill("b_ca\nac_", beam=9, best=9)
        if bidirectional:
            shares = {(x, y): p * q for x, p in apart[0].items() for y, q in apart[1].items()}
            assert {r.filled: r.share for r in found} == pytest.approx(shares, abs=1e-5)
        for reading in found:
            assert reading.weight == pytest.approx(whole_weight(model, reading.text), abs=1e-4)
            assert reading.text[4] == "\n"

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

    @pytest.mark.parametrize("seed", range(4))
    def test_suspects_are_those_of_all_possibilities(self, seed: int) -> None:
        """Each gain is the difference between the pseudo-log-likelihoods of two whole texts.

        What the proposals lack to 1 is the probability of the text as it stands.
        """
        model = random_model(bidirectional=True, seed=seed, scale=3)
        text = random_text(16, seed)
        expected = expected_suspects(model, text)
        found = list(model.proof(text))
        assert [(s.place, s.character) for s in found] == [(index, standing) for index, standing, _, _ in expected]
        assert len(found) > 2
        for suspect, (_, _, gain, shares) in zip(found, expected, strict=True):
            assert suspect.gain == pytest.approx(gain, abs=1e-4)
            assert dict(suspect.proposals) == pytest.approx(shares, abs=1e-4)
            assert [x for x, _ in suspect.proposals] == sorted(shares, key=shares.__getitem__, reverse=True)

    @pytest.mark.parametrize("own", [1, 5, 7])
    def test_each_suspect_is_reported_once_wherever_windows_end(
        self, own: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        model = random_model(bidirectional=True, scale=3)
        text = random_text(16)
        at_once = list(model.proof(text))
        monkeypatch.setattr(proofing, "OWN", own)
        in_windows = list(model.proof(text))
        assert [s.place for s in in_windows] == [s.place for s in at_once]
        assert [s.gain for s in in_windows] == pytest.approx([s.gain for s in at_once], abs=1e-5)

    def test_lines_are_texts_of_their_own(self) -> None:
        model = random_model(bidirectional=True, lines=True)
        apart = [(s.place, round(s.gain, 3)) for s in model.proof("abcab")]
        both = [(s.place, round(s.gain, 3)) for s in model.proof("abcab\nabcab")]
        assert both == apart + [(place + 6, gain) for place, gain in apart]


class TestPseudoLogLikelihood:
    def test_it_is_the_sum_of_the_conditionals(self) -> None:
        model = random_model(bidirectional=True)
        ids = model.vocabulary.encode("abcba")
        conditionals = model.bidirectional.log_probs(ids[:, None].astype(np.intp))[:, :, 0]
        score = model.pseudo_score("abcba")
        assert score.characters == 5
        assert score.log_prob == pytest.approx(conditionals[np.arange(5), ids].sum(), abs=1e-5)
        np.testing.assert_allclose(np.exp(conditionals).sum(axis=1), 1, atol=1e-5)

    def test_a_long_text_is_read_in_windows(self, model: LanguageModel) -> None:
        once, often = (model.pseudo_score(VERSE * n) for n in (4, 12))
        assert often.characters == 3 * once.characters
        assert often.nats_per_char == pytest.approx(once.nats_per_char, abs=0.02)

    @pytest.mark.parametrize("length", [1, 192, 193, 500, 13_000])
    def test_windows_of_a_long_text_come_back_in_its_order(self, length: int) -> None:
        model = random_model(bidirectional=True, scale=2)
        text = random_text(length, characters="abc?")
        ids = model.vocabulary.encode(text).astype(np.intp)
        at_once = model.bidirectional.at_places(ids[:, None])[:, 0]
        np.testing.assert_allclose(model.bidirectional.long_log_probs(ids), at_once, atol=1e-3)
        score = model.pseudo_score(text)
        assert (score.characters, score.unknown) == (length, text.count("?"))
        assert score.known.log_prob == pytest.approx(at_once[ids != model.vocabulary.unk].sum(), rel=1e-4)

    def test_ends_of_lines_do_not_count(self) -> None:
        model = random_model(bidirectional=True, lines=True)
        both, *apart = (model.pseudo_score(text) for text in ("ab?c\nba", "ab?c", "ba"))
        assert (both.characters, both.unknown) == (6, 1)
        assert both.log_prob == pytest.approx(sum(score.log_prob for score in apart), abs=1e-5)
        assert both.unknown_log_prob == pytest.approx(apart[0].unknown_log_prob, abs=1e-5)
        assert model.pseudo_score("\n").characters == 0

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
        with pytest.raises(ConfigError, match="bidirectional=True"):
            refused()
