"""Rank the cells of a network by how well each alone predicts a property of a text.

The text is split in halves. Cells are chosen on the first half and measured again on the second, so that the best of
a thousand cells is not mistaken for a good one.

    AUC          probability that a cell is higher at a random character with the property than at one without it,
                 ties counted as 1/2 (Hanley & McNeil 1982); 0.5 is chance, 1 is perfect
    correlation  Pearson's r with a property that is a number
    baseline     the measure for what the current character alone predicts: the mean of the property over the same
                 character in the first half; a cell above it has memory

Source of the question: Karpathy, Johnson & Li 2015, arXiv:1506.02078.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from charlm.arrays import Array, Ids
from charlm.diagnostics.properties import Values
from charlm.diagnostics.tuning import DEFAULT_TUNING, DiagnosticsTuning

AUC, CORRELATION = "auc", "correlation"


@dataclass(frozen=True)
class CellScore:
    """How well one cell predicts a property of a text.

    Attributes
    ----------
    name : str
        The property, a key of `charlm.diagnostics.properties.PROPERTIES`.
    measure : {"auc", "correlation"}
        "auc" for a property that is true or false, "correlation" for a number.
    layer, cell : int
        The cell, both counted from 0.
    sign : {1, -1}
        -1 if the cell is low where the property is true or high.
    chosen : float
        The measure of sign * activation on the first half of the text: an AUC of 0.5 to 1, a correlation of 0 to 1.
    held_out : float
        The measure on the second half, with the sign of the first.
    baseline : float
        The measure on the second half for what the current character alone predicts.
    fraction : float or None
        Fraction of the characters that have the property; None for a number.
    """

    name: str
    measure: str
    layer: int
    cell: int
    sign: int
    chosen: float
    held_out: float
    baseline: float
    fraction: float | None

    @property
    def gain(self) -> float:
        """The held-out measure above the baseline; an AUC counts twice, as it is from 0.5 to 1."""
        return (self.held_out - self.baseline) * (2 if self.measure == AUC else 1)


def rank_cells(
    cells: Array, ids: Ids, properties: Mapping[str, Values], *, best: int = 3,
    tuning: DiagnosticsTuning = DEFAULT_TUNING,
) -> list[CellScore]:  # fmt: skip
    """Return the `best` cells of each property, the property whose cell is furthest above the baseline first.

    Parameters
    ----------
    cells : ndarray, (L, N, H)
        The value of each cell after each character.
    ids : ndarray of int, (N,)
        The characters, for the baseline.
    properties : mapping of str to ndarray, (N,)
        From `measure_properties`. A property that is too rare in a half of the text, or constant, is left out.
    best : int, default 3
        Cells for each property.
    tuning : DiagnosticsTuning
        How rare a property may be.
    """
    layers, characters, hidden = cells.shape
    columns = cells.swapaxes(0, 1).reshape(characters, layers * hidden)
    masks, numbers = {}, {}
    for name, values in properties.items():
        parts = halves_of(values)
        if values.dtype == np.bool_:
            if all(tuning.min_examples <= part.sum() <= part.size - tuning.min_examples for part in parts):
                masks[name] = values
        elif all(part.size and part.min() < part.max() for part in parts):
            numbers[name] = values
    scores = [
        *best_columns(columns, ids, masks, AUC, best=best, hidden=hidden),
        *best_columns(columns, ids, numbers, CORRELATION, best=best, hidden=hidden),
    ]
    largest: dict[str, float] = {}
    for score in scores:
        largest[score.name] = max(score.gain, largest.get(score.name, -math.inf))
    return sorted(scores, key=lambda score: -largest[score.name])  # stable: cells keep their order


def best_columns(
    columns: Array, ids: Ids, properties: Mapping[str, Values], measure: str, *, best: int, hidden: int
) -> Iterator[CellScore]:
    """Yield the best of C columns (N, C) of each property on the first half, the best first."""
    if not properties:
        return
    compute = areas_under_curve if measure == AUC else correlations
    centre = 0.5 if measure == AUC else 0.0
    (first, second), (values, checked) = halves_of(columns), halves_of(np.stack(list(properties.values())), axis=1)
    chosen = compute(first, values) - centre  # (P, C)
    order = np.argsort(-abs(chosen), axis=1, kind="stable")[:, :best]
    candidates = np.unique(order)
    held_out = compute(second[:, candidates], checked) - centre
    for row, (name, found) in enumerate(properties.items()):
        guess = guess_by_id(*halves_of(ids), values[row])
        baseline = float(compute(guess[:, None], checked[row : row + 1])[0, 0])
        fraction = float(found.mean()) if measure == AUC else None
        for column in order[row].tolist():
            sign = -1 if chosen[row, column] < 0 else 1
            both = chosen[row, column], held_out[row, np.searchsorted(candidates, column)]
            on_first, on_second = (float(centre + sign * one) for one in both)
            layer, cell = divmod(column, hidden)
            yield CellScore(name, measure, layer, cell, sign, on_first, on_second, baseline, fraction)


def halves_of(values: Values, axis: int = 0) -> tuple[Values, Values]:
    """Return the first and the second half of an array along an axis."""
    first, second = np.split(values, [values.shape[axis] // 2], axis=axis)
    return first, second


def guess_by_id(ids: Ids, other_ids: Ids, values: Values) -> Array:
    """Return the mean of values (N,) over the same id in ids (N,), for other ids (M,); the mean of all for new ids."""
    size = int(max(ids.max(), other_ids.max())) + 1
    counts, sums = np.bincount(ids, minlength=size), np.bincount(ids, weights=values, minlength=size)
    means = np.where(counts > 0, sums / np.maximum(counts, 1), values.mean())
    guess: Array = means[other_ids]
    return guess


def areas_under_curve(columns: Array, masks: Values) -> Array:
    """Return the AUC of each of C columns (N, C) for each of P masks (P, N), (P, C).

    It is the Mann-Whitney U of the ranks: (sum of the ranks of the positives - n1 (n1 + 1) / 2) / (n1 n0).
    """
    positives = masks.sum(axis=1)[:, None].astype(np.float64)
    sums = masks.astype(np.float64) @ average_ranks(columns)
    areas: Array = (sums - positives * (positives + 1) / 2) / (positives * (masks.shape[1] - positives))
    return areas


def average_ranks(columns: Array) -> Array:
    """Return the rank of each value in its column, (N, C), from 1; equal values have the mean of their ranks."""
    order = np.argsort(columns, axis=0, kind="stable")
    ordered = np.take_along_axis(columns, order, axis=0)
    index = np.arange(len(columns))[:, None]
    is_first = np.ones(columns.shape, np.bool_)
    is_first[1:] = ordered[1:] != ordered[:-1]
    is_last = np.ones(columns.shape, np.bool_)
    is_last[:-1] = is_first[1:]
    first = np.maximum.accumulate(np.where(is_first, index, 0), axis=0)
    last = np.minimum.accumulate(np.where(is_last, index, len(columns))[::-1], axis=0)[::-1]
    ranks = np.empty(columns.shape)
    np.put_along_axis(ranks, order, (first + last) / 2 + 1, axis=0)
    return ranks


def correlations(columns: Array, numbers: Values) -> Array:
    """Return Pearson's r of each of C columns (N, C) with each of P rows (P, N), (P, C); 0 for a constant column."""
    x = columns.astype(np.float64) - columns.mean(axis=0, dtype=np.float64)
    x[:, columns.max(axis=0) == columns.min(axis=0)] = 0  # their rounding errors would correlate
    y = numbers - numbers.mean(axis=1, keepdims=True)
    norms = np.linalg.norm(y, axis=1)[:, None] * np.linalg.norm(x, axis=0)
    products = y @ x
    result: Array = np.divide(products, norms, out=np.zeros_like(products), where=norms > 0)
    return result
