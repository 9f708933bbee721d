"""Proof-reading: a tiny network that knows one verse, and a comparison with all edits of a text."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from charlm.config import NetworkConfig, TextConfig
from charlm.infilling.edits import Edit, gains_of, promising_edits
from charlm.infilling.proofing import ScoredEdit, Suspect, best_of_words, edits_of_window, suspects, windows_of
from charlm.infilling.tuning import EditTuning, InfillingTuning
from charlm.model import LanguageModel
from charlm.nn.networks import make_network
from charlm.text.vocabulary import Vocabulary
from tests.infilling.tiny import VERSE, random_model, random_text, softmax

KINDS = ("substitution", "insertion", "deletion", "transposition")
ALL_EDITS = InfillingTuning(
    context=32,
    max_proposals=9999,
    substitution=EditTuning(999, 0.0),
    insertion=EditTuning(999, -0.5),
    deletion=EditTuning(999, 0.25),
    transposition=EditTuning(999, 1.5),
)
"""All edits are compared, by the pseudo-log-likelihood of the whole of a short text."""
SLIPS = {
    "substitution": ("lbzy", "lazy", "b"),
    "insertion": ("lzy", "lazy", "z"),
    "deletion": ("brohwn", "brown", "h"),
    "transposition": ("qiuck", "quick", "i"),
}
"""Kind of an edit -> a wrong word of the verse, the right one, and the character at the edit."""


def all_edits(text: str, letters: str) -> dict[str, str]:
    """Return the results of all edits of a text, and the kind of each."""
    edited = {}
    for k in range(len(text) + 1):
        for letter in letters:
            edited[text[:k] + letter + text[k:]] = "insertion"
            edited[text[:k] + letter + text[k + 1 :]] = "substitution" if k < len(text) else "insertion"
        edited[text[:k] + text[k + 1 :]] = "deletion"
        edited[text[:k] + text[k : k + 2][::-1] + text[k + 2 :]] = "transposition"
    del edited[text]
    return edited


def gains_of_all(model: LanguageModel, text: str, letters: str) -> dict[str, float]:
    """Return the gain of each edit of a text by the pseudo-log-likelihoods of whole texts."""
    before = model.pseudo_score(text).log_prob
    return {
        edited: model.pseudo_score(edited).log_prob - before + getattr(ALL_EDITS, kind).log_prior
        for edited, kind in all_edits(text, letters).items()
    }


def suspects_of(model: LanguageModel, text: str, **settings: object) -> list[Suspect]:
    return list(suspects(model.bidirectional, text, **settings))  # type: ignore[arg-type]


def corrected(text: str, suspect: Suspect, rank: int = 0) -> str:
    """Return a text with a proposal for a suspect."""
    stop = suspect.start + len(suspect.word)
    return text[: suspect.start] + suspect.proposals[rank].replacement + text[stop:]


@pytest.mark.parametrize("kind", KINDS)
def test_wrong_word_is_marked_once_with_the_right_one(model: LanguageModel, kind: str) -> None:
    wrong, right, character = SLIPS[kind]
    text = VERSE + VERSE.replace(right, wrong) + VERSE
    (found,) = model.proof(text)
    assert (found.word, found.replacement, found.kind) == (wrong, right, kind)
    assert (found.start, found.character) == (text.index(wrong), character)
    assert text[found.index] == character
    assert found.proposals[0].probability > 0.5
    assert corrected(text, found) == VERSE * 3


def test_spaces_that_join_or_part_words_are_found(model: LanguageModel) -> None:
    text = (VERSE * 3).replace("quick brown", "quickbrown", 1)
    assert ("quickbrown", "quick brown") in {(s.word, s.replacement) for s in model.proof(text)}
    text = (VERSE * 3).replace("jumps", "jum ps", 1)
    assert ("jum ps", "jumps") in {(s.word, s.replacement) for s in model.proof(text)}


def test_text_without_errors_has_no_suspect(model: LanguageModel) -> None:
    assert list(model.proof(VERSE * 4)) == []
    assert list(model.proof("")) == []


def test_suspects_do_not_depend_on_the_windows(model: LanguageModel) -> None:
    text = (VERSE * 6).replace("fox", "fux").replace("runs", "rusn")
    at_once = [(s.start, s.word, s.replacement) for s in model.proof(text)]
    in_windows = suspects_of(model, text, tuning=InfillingTuning(proof_window=20))
    assert [(s.start, s.word, s.replacement) for s in in_windows] == at_once
    assert [word for _, word, _ in at_once] == ["fux", "rusn"] * 6


@pytest.mark.parametrize("seed", range(4))
def test_best_edit_and_all_others_have_the_gains_of_whole_texts(seed: int) -> None:
    """The text is one word. What the proposals lack to 1 is the probability of the text as it is."""
    model = random_model(bidirectional=True, seed=seed, scale=3)
    text = random_text(12, seed)
    expected = gains_of_all(model, text, "abc")
    (suspect,) = suspects_of(model, text, tuning=ALL_EDITS)
    found = {corrected(text, suspect, rank): one.probability for rank, one in enumerate(suspect.proposals)}
    probabilities = dict(zip(["", *expected], softmax([0.0, *expected.values()]), strict=True))
    assert found == pytest.approx({one: probabilities[one] for one in expected}, abs=1e-4)
    assert len(found) == len(suspect.proposals), "two proposals are the same text"
    assert list(found.values()) == sorted(found.values(), reverse=True)
    assert suspect.gain == pytest.approx(max(expected.values()), abs=1e-3)
    assert corrected(text, suspect) == max(expected, key=expected.__getitem__)
    kinds = all_edits(text, "abc")
    assert [kinds[corrected(text, suspect, k)] for k in range(len(found))] == [one.kind for one in suspect.proposals]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("size", [1, 5, 7, 192])
def test_each_word_has_one_mark_for_any_window(size: int, seed: int) -> None:
    model = random_model(bidirectional=True, seed=seed, scale=3, characters="abc ")
    text = random_text(60, seed, "abc ")
    found = suspects_of(model, text, tuning=replace(ALL_EDITS, proof_window=size))
    bounds = [(s.start, s.start + len(s.word)) for s in found]
    assert all(stop <= start for (_, stop), (start, _) in pairwise(bounds))
    assert all(s.word == text[a:b] for s, (a, b) in zip(found, bounds, strict=True))
    assert [s.index for s in found] == sorted(s.index for s in found)
    assert len(found) > 5


def test_best_of_edits_that_share_a_word_is_chosen() -> None:
    """A change may join two words, so words may overlap in part."""
    edit = Edit("deletion", 0, 1, ())
    scored = [ScoredEdit(*row[:1], edit, *row[1:]) for row in ((2.0, 0, 5), (5.0, 3, 7), (1.0, 8, 9), (3.0, 6, 9))]
    assert [(one.gain, one.start) for one in best_of_words(scored, 0.0)] == [(5.0, 3), (1.0, 8)]


@pytest.mark.parametrize("size", [1, 5, 7])
def test_edits_of_all_windows_are_those_of_the_text(size: int) -> None:
    """No position is examined twice or not at all."""
    model = random_model(bidirectional=True, scale=2, characters="abc ")
    text = random_text(40, 2, "abc ")
    ids = model.vocabulary.encode(text).astype(np.intp)
    tuning = replace(ALL_EDITS, proof_window=size)
    edits = [
        edit
        for start, stop in windows_of(text, tuning)
        for edit in edits_of_window(model.bidirectional, ids, start, stop, tuning)
    ]
    results = [model.vocabulary.decode(edit.apply(ids)) for edit in edits]
    assert len(set(results)) == len(results)
    assert dict(zip(results, [edit.kind for edit in edits], strict=True)) == all_edits(text, "abc ")


def test_only_gains_above_min_gain_are_suspects() -> None:
    model = random_model(bidirectional=True, scale=3, characters="abc ")
    text = random_text(60, 1, "abc ")
    gains = {suspect.gain for suspect in suspects_of(model, text, tuning=ALL_EDITS)}
    assert len(gains) > 5
    for min_gain in gains:
        found = {suspect.gain for suspect in suspects_of(model, text, tuning=ALL_EDITS, min_gain=min_gain)}
        assert found == {gain for gain in gains if gain > min_gain}
        assert min_gain in {s.gain for s in suspects_of(model, text, tuning=ALL_EDITS, min_gain=min_gain - 1e-9)}
    assert [s.gain for s in model.proof(text, min_gain=2)] == [s.gain for s in suspects_of(model, text, min_gain=2)]


def test_unknown_character_is_a_suspect_and_no_proposal() -> None:
    for seed in range(4):
        model = random_model(bidirectional=True, seed=seed, scale=3)
        model.params["head.bias"][:2] = 20  # EOS and UNK are the most probable tokens
        (found,) = suspects_of(model, "ab\u00e9ba", tuning=ALL_EDITS, min_gain=-1e9)
        assert found.word == "ab\u00e9ba"
        assert {one.kind for one in found.proposals} == set(KINDS)
        assert any("\u00e9" not in one.replacement for one in found.proposals)
        for one in found.proposals:
            assert set(one.replacement) <= set("abc\u00e9")
            assert one.replacement.count("\u00e9") == 1 or len(one.replacement) <= 5


def test_model_of_words_replaces_single_words() -> None:
    vocabulary = Vocabulary.build(dict.fromkeys(["ab", "cd", "e", " "], 1), unit="word")
    network = make_network(NetworkConfig("gru", 6, 1, bidirectional=True), len(vocabulary), vocabulary.eos)
    params = network.initial(np.random.default_rng(0))
    params.flat[...] *= 4
    model = LanguageModel(network, params, vocabulary, TextConfig(unit="word"))
    tokens = ["ab", " ", "cd", " ", "xyz", " ", "e"]
    found = list(model.proof("".join(tokens), min_gain=-99))
    assert [(s.index, s.start, s.word, s.character) for s in found] == [(k, k, t, t) for k, t in enumerate(tokens)]
    for suspect in found:
        assert {one.kind for one in suspect.proposals} == {"substitution"}
        assert {one.replacement for one in suspect.proposals} == {"ab", "cd", "e", " "} - {suspect.word}


def test_lines_are_separate_texts() -> None:
    model = random_model(bidirectional=True, lines=True)
    (apart,) = suspects_of(model, "abcab")
    both = suspects_of(model, "abcab\nabcab")
    assert [(s.start, s.replacement) for s in both] == [(0, apart.replacement), (6, apart.replacement)]
    assert [s.gain for s in both] == pytest.approx([apart.gain] * 2, abs=1e-3)


def test_estimates_find_the_edits_of_large_gain(model: LanguageModel) -> None:
    """Few edits of each kind contain the right one."""
    few = EditTuning(3, 0.0)
    tuning = InfillingTuning(substitution=few, insertion=few, deletion=few, transposition=few)
    for kind, (wrong, right, _) in SLIPS.items():
        ids = model.vocabulary.encode(VERSE.replace(right, wrong)).astype(np.intp)
        edits = list(promising_edits(model.bidirectional, ids, np.ones(len(ids) + 1, bool), tuning))
        assert len(edits) == 12
        gains = gains_of(model.bidirectional, ids, edits, tuning)
        best = edits[int(np.argmax(gains))]
        assert best.kind == kind
        assert model.vocabulary.decode(best.apply(ids)) == VERSE


def test_distributions_near_a_position_are_those_of_changed_texts() -> None:
    model = random_model(bidirectional=True, scale=3)
    reader = model.bidirectional
    ids = model.vocabulary.encode(random_text(9)).astype(np.intp)
    in_place, before, for_two = reader.log_probs_around(ids)
    for t in range(9):
        for log_probs, stop in ((in_place, t + 1), (before, t), (for_two, min(t + 2, 9))):
            changed = Edit("", t, stop, (2,)).apply(ids)
            np.testing.assert_allclose(log_probs[t], reader.log_probs(changed[:, None])[t, :, 0], atol=1e-5)
