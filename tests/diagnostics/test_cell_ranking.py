"""Ranking of cells: AUC and correlation by their definitions, chosen on one half and checked on the other."""

from __future__ import annotations

import numpy as np
import pytest

from charlm.diagnostics.cell_ranking import areas_under_curve, correlations, guess_by_id, rank_cells
from charlm.errors import ConfigError
from tests.diagnostics.naive import model, text

N = 400


def naive_auc(values: np.ndarray, mask: np.ndarray) -> float:
    """Count the pairs in which the positive is higher; a tie is half a pair."""
    pairs = values[mask][:, None] - values[~mask]
    return float((pairs > 0).mean() + (pairs == 0).mean() / 2)


@pytest.mark.parametrize("values", [50, 3, 1], ids=["few ties", "many ties", "constant"])
def test_auc_equals_the_count_of_pairs(values: int) -> None:
    rng = np.random.default_rng(0)
    columns, masks = rng.integers(0, values, (60, 4)).astype(np.float32), rng.random((3, 60)) < 0.3
    expected = [[naive_auc(column, mask) for column in columns.T] for mask in masks]
    np.testing.assert_allclose(areas_under_curve(columns, masks), expected, rtol=1e-12)


def test_correlation_equals_numpy_and_is_zero_for_a_constant_cell() -> None:
    rng = np.random.default_rng(0)
    columns, numbers = rng.standard_normal((60, 4)), rng.standard_normal((3, 60))
    np.testing.assert_allclose(correlations(columns, numbers), np.corrcoef(numbers, columns.T)[:3, 3:], rtol=1e-9)
    columns[:, 2] = 0.7
    assert (correlations(columns, numbers)[:, 2] == 0).all()


def cells_with(rng: np.random.Generator, **planted: np.ndarray) -> np.ndarray:
    """Return random cells (2, N, 5), the last of the second layer planted."""
    cells = rng.standard_normal((2, N, 5))
    cells[1, :, 4] = planted["values"]
    return cells


def ids() -> np.ndarray:
    """Return N characters that predict nothing."""
    return np.random.default_rng(1).integers(0, 5, N)


def test_planted_cell_is_found_with_its_sign() -> None:
    rng = np.random.default_rng(0)
    mask = np.arange(N) % 7 < 2
    cells = cells_with(rng, values=~mask + 0.01 * rng.standard_normal(N))
    best, second = rank_cells(cells, ids(), {"planted": mask}, best=2)
    assert (best.name, best.measure, best.layer, best.cell, best.sign) == ("planted", "auc", 1, 4, -1)
    assert (best.chosen, best.held_out) == (1, 1)
    assert best.fraction == mask.mean()
    assert second.chosen < 0.7


def test_cell_that_predicts_the_first_half_alone_fails_the_check() -> None:
    rng = np.random.default_rng(0)
    mask = np.arange(N) % 7 < 2
    lucky = np.where(np.arange(N) < N // 2, mask, rng.random(N))
    (best,) = rank_cells(cells_with(rng, values=lucky), ids(), {"planted": mask}, best=1)
    assert (best.layer, best.cell) == (1, 4)
    assert best.chosen == 1
    assert 0.4 < best.held_out < 0.6


def test_held_out_measure_keeps_the_sign_of_the_first_half() -> None:
    rng = np.random.default_rng(0)
    number = rng.standard_normal(N)
    turned = np.where(np.arange(N) < N // 2, -number, number)
    (best,) = rank_cells(cells_with(rng, values=turned), ids(), {"number": number}, best=1)
    assert (best.measure, best.sign, best.fraction) == ("correlation", -1, None)
    assert best.chosen == pytest.approx(1)
    assert best.held_out == pytest.approx(-1)


def test_property_with_the_cell_furthest_above_the_baseline_comes_first() -> None:
    rng = np.random.default_rng(0)
    number, mask = rng.standard_normal(N), np.arange(N) % 3 == 0
    cells = rng.standard_normal((2, N, 5))
    cells[0, :, 0], cells[1, :, 1] = number + rng.standard_normal(N), mask
    assert [one.name for one in rank_cells(cells, ids(), {"number": number, "mask": mask}, best=2)] == [
        "mask", "mask", "number", "number",
    ]  # fmt: skip


def test_baseline_is_what_the_character_alone_predicts() -> None:
    """The mask is the character 2, and in one in ten cases another one; the number is twice the character."""
    characters, rng = ids(), np.random.default_rng(0)
    mask = (characters == 2) ^ (rng.random(N) < 0.1)
    cells = cells_with(rng, values=mask)
    properties = {"mask": mask, "number": 2.0 * characters}
    found = {one.name: one for one in rank_cells(cells, characters, properties, best=1)}
    means = [mask[: N // 2][characters[: N // 2] == character].mean() for character in range(5)]
    assert found["mask"].baseline == pytest.approx(naive_auc(np.array(means)[characters[N // 2 :]], mask[N // 2 :]))
    assert 0.7 < found["mask"].baseline < 1
    assert found["mask"].gain == pytest.approx(2 - 2 * found["mask"].baseline)
    assert found["number"].baseline == pytest.approx(1)
    assert found["number"].gain == pytest.approx(found["number"].held_out - 1)


def test_new_character_is_guessed_by_the_mean() -> None:
    guess = guess_by_id(np.array([0, 0, 1]), np.array([1, 0, 3]), np.array([1.0, 0.0, 0.2]))
    assert guess == pytest.approx([0.2, 0.5, 0.4])


def test_rare_and_constant_properties_are_left_out() -> None:
    cells = np.random.default_rng(0).standard_normal((1, N, 3))
    rare, late = np.arange(N) % 20 == 0, np.arange(N) > 250
    assert rank_cells(cells, ids(), {"rare": rare, "late": late, "constant": np.ones(N), "all": ~rare | rare}) == []


def test_model_ranks_its_cells() -> None:
    found, sentence = model(members=2), text(600)
    first = found.cells(sentence, best=2)
    assert {one.name for one in first} == {
        "position in the line", "position in the word", "in a word", "indentation of the line",
    }  # fmt: skip
    assert len(first) == 8
    assert first != found.cells(sentence, best=2, member=1)
    one = next(one for one in first if one.name == "in a word")
    cells = found.activations(sentence).cells[one.layer, :, one.cell]
    assert one.measure == "auc"
    mask = np.array([character.isalnum() for character in sentence])
    assert one.held_out == pytest.approx(naive_auc(one.sign * cells[300:], mask[300:]))
    assert one.chosen == pytest.approx(naive_auc(one.sign * cells[:300], mask[:300]))
    assert found.cells("") == []
    with pytest.raises(ConfigError, match="`best` is 0"):
        found.cells(sentence, best=0)
