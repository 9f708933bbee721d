"""Filling gaps: a tiny network that knows one verse, and a comparison with all possibilities."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from charlm.errors import ConfigError
from charlm.infilling.filling import fill_bidirectional, replace_single_tokens
from charlm.infilling.tuning import InfillingTuning
from charlm.model import LanguageModel
from tests.infilling.tiny import VERSE, conditionals, random_model, random_text, replaced, softmax, weight_of_text


class TestFill:
    @pytest.mark.parametrize("text", ["the qu_ck brown fox", "jumps _ver t_e lazy d_g", "and ____ away", "_he quick"])
    def test_missing_characters_are_restored(self, model: LanguageModel, text: str) -> None:
        best = model.fill(text)[0]
        assert best.text in VERSE
        assert all(a in (b, "_") for a, b in zip(text, best.text, strict=True))
        assert "".join(best.filled) == "".join(b for a, b in zip(text, best.text, strict=True) if a == "_")

    def test_long_text_is_filled_in_windows(self, model: LanguageModel) -> None:
        expected = VERSE * 12
        gaps = range(5, len(expected), 9)
        text = "".join("#" if k in gaps else c for k, c in enumerate(expected))
        best = model.fill(text, blank="#", beam=2, best=1)[0].text
        wrong = sum(a != b for a, b in zip(best, expected, strict=True))
        assert wrong <= 0.1 * len(gaps)

    @pytest.mark.parametrize("bidirectional", [False, True])
    def test_probabilities_sum_to_one_and_known_characters_are_unchanged(self, bidirectional: bool) -> None:
        model = random_model(bidirectional=bidirectional)
        found = model.fill("a_\u00e9_b", beam=50, best=50)
        assert sum(reading.probability for reading in found) == pytest.approx(1)
        assert [r.probability for r in found] == sorted((r.probability for r in found), reverse=True)
        assert len({reading.text for reading in found}) == len(found) == 9
        assert all(reading.text[2] == "\u00e9" for reading in found)  # unknown, but no gap

    @pytest.mark.parametrize("seed", range(3))
    @pytest.mark.parametrize("bidirectional", [False, True])
    def test_wide_beam_finds_the_best_reading(self, seed: int, bidirectional: bool) -> None:
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
    def test_probabilities_are_among_all_readings_found(self, bidirectional: bool) -> None:
        """However few are returned."""
        model = random_model(bidirectional=bidirectional, seed=1)
        texts = [f"b{x}a{y}" for x, y in product("abc", repeat=2)]
        probabilities = dict(zip(texts, softmax([weight_of_text(model, text) for text in texts]), strict=True))
        for best in (1, 2, 9):
            found = model.fill("b_a_", beam=9, best=best)
            assert [reading.text for reading in found] == sorted(probabilities, key=probabilities.__getitem__)[::-1][
                :best
            ]
            assert [r.probability for r in found] == pytest.approx([probabilities[r.text] for r in found], abs=1e-5)

    @pytest.mark.parametrize("index", [0, 95, 159, 160, 161, 319, 320, 399])
    def test_context_on_both_sides_counts_at_the_ends_of_windows(self, index: int) -> None:
        """All readings of one gap, by the pseudo-log-likelihood of the whole text read at once."""
        model = random_model(bidirectional=True, scale=2)
        text = random_text(400)
        texts = [replaced(text, index, letter) for letter in "abc"]
        columns = np.stack([model.vocabulary.encode(each).astype(np.intp) for each in texts], axis=1)
        probabilities = softmax(model.bidirectional.scores(columns).sum(axis=0, dtype=np.float64).tolist())
        found = {r.filled[0]: r.probability for r in model.fill(replaced(text, index, "_"), beam=3, best=3)}
        assert [found[letter] for letter in "abc"] == pytest.approx(probabilities.tolist(), abs=1e-3)

    def test_most_certain_gap_is_filled_first(self) -> None:
        """A beam of one, and no changes: the greedy fillings, from the most certain gap and from the left."""
        text, differ = "a__b__c_a", 0
        for seed in range(12):
            model = random_model(bidirectional=True, seed=seed)
            results = []
            for by_certainty in (True, False):
                filled = list(text.replace("_", "?"))  # "?" is read as UNK
                while "?" in filled:
                    here = conditionals(model, "".join(filled))[:, 2:]
                    open_indices = [index for index, character in enumerate(filled) if character == "?"]
                    at = max(open_indices, key=lambda index: here[index].max()) if by_certainty else open_indices[0]
                    filled[at] = "abc"[here[at].argmax()]
                results.append("".join(filled))
            differ += results[0] != results[1]
            gaps = [index for index, character in enumerate(text) if character == "_"]
            tuning = InfillingTuning(max_changes=0)
            found = fill_bidirectional(model.bidirectional, text, gaps, beam=1, best=1, tuning=tuning)
            assert found[0].text == results[0]
        assert differ > 3

    def test_single_tokens_are_replaced_by_better_ones(self) -> None:
        model = random_model(bidirectional=True, seed=5)
        start = model.vocabulary.encode("abcabca").astype(np.intp)
        found = replace_single_tokens(model.bidirectional, [start], [1, 3, 4], 3)
        weights = [weight for weight, _ in found]
        assert weights == sorted(weights, reverse=True)
        assert len(found) > 1
        assert weights[0] > model.pseudo_score("abcabca").log_prob

    @pytest.mark.parametrize("max_changes", [0, 1, 2, 3])
    def test_each_change_replaces_one_token_at_most_max_changes_times(self, max_changes: int) -> None:
        """Each change is the one with the largest ratio of the conditional probabilities."""
        model = random_model(bidirectional=True, seed=8)
        gaps, text = [0, 2, 4, 6], "aaaaaaa"
        start = model.vocabulary.encode(text).astype(np.intp)
        found = replace_single_tokens(model.bidirectional, [start], gaps, max_changes)
        expected = [text]
        for _ in range(max_changes):
            here = np.log(conditionals(model, text)[:, 2:])
            gains = [here[gap].max() - here[gap, "abc".index(text[gap])] for gap in gaps]
            assert max(gains) > 0, "the text is at a maximum, so the test tests nothing"
            gap = gaps[int(np.argmax(gains))]
            text = replaced(text, gap, "abc"[here[gap].argmax()])
            expected.append(text)
        assert {model.vocabulary.decode(ids) for _, ids in found} == set(expected)
        assert len(set(expected)) == max_changes + 1

    def test_gaps_in_windows_far_apart_are_independent(self) -> None:
        """The readings of a narrow beam are the best pairs, with the product of the probabilities of single gaps."""
        model = random_model(bidirectional=True, scale=2)
        text = random_text(400)
        apart = []
        for index in (20, 380):
            found = model.fill(replaced(text, index, "_"), beam=3, best=3)
            apart.append({reading.filled[0]: reading.weight for reading in found})
        totals = {(x, y): p + q for x, p in apart[0].items() for y, q in apart[1].items()}
        best = sorted(totals, key=totals.__getitem__, reverse=True)[:3]
        both = model.fill(replaced(replaced(text, 20, "_"), 380, "_"), beam=3, best=9)
        assert [reading.filled for reading in both] == best
        relative = [reading.weight - both[0].weight for reading in both]
        assert relative == pytest.approx([totals[pair] - totals[best[0]] for pair in best], abs=1e-3)

    @pytest.mark.parametrize("beam", [1, 2, 4])
    def test_narrow_beam_from_left_to_right_keeps_the_best_prefixes(self, beam: int) -> None:
        model = random_model(bidirectional=False, seed=3)
        prefixes = [""]
        for character in "a_b__c_":
            prefixes = [prefix + x for prefix in prefixes for x in ("abc" if character == "_" else character)]
            if character == "_":
                prefixes.sort(key=lambda prefix: weight_of_text(model, prefix), reverse=True)
                prefixes = prefixes[:beam]
        found = model.fill("a_b__c_", beam=beam, best=beam)
        assert [reading.text for reading in found] == prefixes
        for reading in found:
            assert reading.weight == pytest.approx(weight_of_text(model, reading.text), abs=1e-4)

    @pytest.mark.parametrize("bidirectional", [False, True])
    def test_lines_are_filled_as_separate_texts(self, bidirectional: bool) -> None:
        """The ends of lines do not count in the pseudo-log-likelihood."""
        model = random_model(bidirectional=bidirectional, lines=True)
        apart = [{r.filled[0]: r.probability for r in model.fill(text, beam=9, best=9)} for text in ("b_ca", "ac_")]
        found = model.fill("b_ca\nac_", beam=9, best=9)
        if bidirectional:
            probabilities = {(x, y): p * q for x, p in apart[0].items() for y, q in apart[1].items()}
            assert {r.filled: r.probability for r in found} == pytest.approx(probabilities, abs=1e-5)
        for reading in found:
            assert reading.weight == pytest.approx(weight_of_text(model, reading.text), abs=1e-4)
            assert reading.text[4] == "\n"

    def test_text_without_gap_is_refused(self, model: LanguageModel) -> None:
        with pytest.raises(ConfigError, match="nothing to fill in"):
            model.fill("the quick")
        with pytest.raises(ConfigError, match="blank"):
            model.fill("the quick", blank="__")

    @pytest.mark.parametrize("name", ["beam", "best"])
    def test_number_of_readings_below_one_is_refused(self, model: LanguageModel, name: str) -> None:
        for value in (0, -1, 1.5):
            with pytest.raises(ConfigError, match=f"`{name}` is {value}"):
                model.fill("the qu_ck", **{name: value})


class TestPseudoLogLikelihood:
    def test_score_is_the_sum_of_the_conditionals(self) -> None:
        model = random_model(bidirectional=True)
        ids = model.vocabulary.encode("abcba")
        conditionals = model.bidirectional.log_probs(ids[:, None].astype(np.intp))[:, :, 0]
        score = model.pseudo_score("abcba")
        assert score.characters == 5
        assert score.log_prob == pytest.approx(conditionals[np.arange(5), ids].sum(), abs=1e-5)
        np.testing.assert_allclose(np.exp(conditionals).sum(axis=1), 1, atol=1e-5)

    def test_long_text_is_read_in_windows(self, model: LanguageModel) -> None:
        once, often = (model.pseudo_score(VERSE * n) for n in (4, 12))
        assert often.characters == 3 * once.characters
        assert often.nats_per_char == pytest.approx(once.nats_per_char, abs=0.02)

    @pytest.mark.parametrize("length", [1, 192, 193, 500, 13_000])
    def test_scores_of_a_long_text_are_in_its_order(self, length: int) -> None:
        model = random_model(bidirectional=True, scale=2)
        text = random_text(length, characters="abc?")
        ids = model.vocabulary.encode(text).astype(np.intp)
        at_once = model.bidirectional.scores(ids[:, None])[:, 0]
        np.testing.assert_allclose(model.bidirectional.long_scores(ids), at_once, atol=1e-3)
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


def test_each_direction_refuses_what_it_cannot_compute(model: LanguageModel) -> None:
    for refused in (lambda: model.sample(), lambda: model.score("a"), lambda: list(model.score_characters("a"))):
        with pytest.raises(ConfigError, match=r"both sides.*pseudo-log-likelihood"):
            refused()
    with pytest.raises(ConfigError, match="one direction"):
        model.gradients(VERSE)
    one_way = random_model(bidirectional=False)
    for refused in (lambda: one_way.pseudo_score("a"), lambda: one_way.proof("a")):
        with pytest.raises(ConfigError, match="bidirectional=True"):
            refused()
