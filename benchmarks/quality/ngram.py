"""The baseline: interpolated Kneser-Ney over characters, on the split of `charlm train`.

    p(c | context) = max(n(context c) - D, 0) / n(context) + D types(context) / n(context) * p(c | shorter context)

n counts occurrences at the highest order, and the distinct preceding characters at lower orders. Each order has the
discount D = n1 / (n1 + 2 n2), from the numbers of n-grams seen once and twice. The distribution below order 1 is
uniform. Sources: Kneser & Ney 1995; Ney, Essen & Kneser 1994, equation 32; Chen & Goodman 1999, sections 2.7 and 3.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import click
import numpy as np
import numpy.typing as npt

from charlm.arrays import Ids
from charlm.config import HELD_OUT, TextConfig
from charlm.text.corpus import Corpus
from charlm.text.holdout import HoldOut


class Order(NamedTuple):
    """Counts of one order: sorted codes of n-grams and contexts, each with its count.

    types: distinct characters seen after each context.  discount: D.
    """

    grams: Ids
    gram_counts: Ids
    contexts: Ids
    context_counts: Ids
    types: Ids
    discount: float


class KneserNey:
    """A model of n-grams of `order` characters, the predicted one included.

    ids: training text (N,), EOS first.  vocabulary: V.  eos: the id at which a context ends.
    """

    def __init__(self, ids: Ids, vocabulary: int, order: int, eos: int = 0) -> None:
        if vocabulary**order > np.iinfo(np.int64).max:
            raise ValueError(f"{vocabulary} tokens to the power of {order} do not fit into 64 bits; take a lower order")
        self.vocabulary, self.order, self.eos = vocabulary, order, eos
        highest = self.codes(ids)
        grams, counts = np.unique(highest, return_counts=True)
        self.orders = [self.count(grams, counts, order)]
        for k in range(order - 1, 0, -1):
            # each distinct longer n-gram counts once; one at a start has no other predecessor and keeps its count
            shorter = grams % vocabulary**k
            is_start = (shorter // vocabulary ** (k - 1) == eos) & (k > 1)
            distinct, inverse = np.unique(shorter, return_inverse=True)
            weights = np.where(is_start, counts, 1)
            grams, counts = distinct, np.bincount(inverse.ravel(), weights).astype(np.int64)
            self.orders.append(self.count(grams, counts, k))

    def codes(self, ids: Ids) -> Ids:
        """Return the code of the highest-order n-gram that ends at each index 1..N-1. EOS pads a start."""
        ids = np.asarray(ids).astype(np.int64)
        n = len(ids) - 1
        code = ids[1:].copy()
        is_past_start = np.zeros(n, bool)
        for back in range(1, self.order):
            before = np.full(n, self.eos, np.int64)
            before[back - 1 :] = ids[: n - back + 1]
            before[is_past_start] = self.eos
            is_past_start |= before == self.eos
            code += before * self.vocabulary**back
        return code

    def count(self, grams: Ids, counts: Ids, k: int) -> Order:
        """Complete the counts of order k."""
        contexts, inverse = np.unique(grams // self.vocabulary, return_inverse=True)
        totals = np.bincount(inverse.ravel(), counts).astype(np.int64)
        once, twice = int((counts == 1).sum()), int((counts == 2).sum())
        discount = once / (once + 2 * twice) if once and twice else 0.5
        return Order(grams, counts, contexts, totals, np.bincount(inverse.ravel()), discount)

    def log_probs(self, ids: Ids) -> npt.NDArray[np.float64]:
        """Return ln p of each id but the first given its predecessors, (N - 1,), in nats."""
        highest = self.codes(ids)
        p: npt.NDArray[np.float64] = np.full(len(highest), 1 / self.vocabulary)
        for k, order in zip(range(1, self.order + 1), reversed(self.orders), strict=True):
            code = highest % self.vocabulary**k
            n_gram = look_up(order.grams, order.gram_counts, code)
            n_context = look_up(order.contexts, order.context_counts, code // self.vocabulary)
            types = look_up(order.contexts, order.types, code // self.vocabulary)
            total = np.maximum(n_context, 1)
            mixed = np.maximum(n_gram - order.discount, 0) / total + order.discount * types / total * p
            p = np.where(n_context > 0, mixed, p)
        logs: npt.NDArray[np.float64] = np.log(p)
        return logs


def look_up(keys: Ids, values: Ids, queries: Ids) -> Ids:
    """Return the value of each queried key, 0 if it is missing."""
    indices = np.minimum(np.searchsorted(keys, queries), len(keys) - 1)
    return np.where(keys[indices] == queries, values[indices], 0)


def best_order(train: Ids, held_out: Ids, vocabulary: int, orders: Iterable[int] = range(3, 9)) -> tuple[int, float]:
    """Return the order with the lowest held-out loss, and that loss in nats per character."""
    possible = [order for order in orders if vocabulary**order < 2**63]
    losses = {k: -float(KneserNey(train, vocabulary, k).log_probs(held_out).mean()) for k in possible}
    best = min(losses, key=losses.__getitem__)
    return best, losses[best]


@click.command()
@click.option("--text", type=click.Path(exists=True, path_type=Path), required=True)
@click.option("--lines", is_flag=True, help="Each line is a document, and its end counts.")
@click.option("--orders", default="3,4,5,6,7,8", show_default=True, help="Orders, the predicted character included.")
@click.option("--valid", type=float, help="Held-out fraction.  [default: as charlm train]")
@click.option("--held-out", type=click.Choice(HELD_OUT), default="spread", show_default=True)
@click.option("--seed", default=0, show_default=True, help="Seed of the split into lines, as charlm train.")
def main(text: Path, lines: bool, orders: str, valid: float | None, held_out: str, seed: int) -> None:
    """Measure the held-out loss of Kneser-Ney on the split of `charlm train`."""
    corpus = Corpus.read([text], TextConfig(lines=lines), hold_out=HoldOut(valid, held_out, seed))
    vocabulary = len(corpus.vocabulary)
    print(f"{text.name}: {len(corpus.train_ids):,} training tokens, {len(corpus.valid_ids):,} held out, "
          f"{vocabulary:,} in the vocabulary\n")  # fmt: skip
    print("| order | held-out nats/char | seconds |\n|---|---|---|")
    for order in map(int, orders.split(",")):
        if vocabulary**order >= 2**63:
            continue
        started = time.perf_counter()
        model = KneserNey(corpus.train_ids, vocabulary, order, corpus.vocabulary.eos)
        loss = -model.log_probs(corpus.valid_ids).mean()
        print(f"| {order} | {loss:.4f} | {time.perf_counter() - started:.1f} |", flush=True)


if __name__ == "__main__":
    main()
