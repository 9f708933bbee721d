"""The bar that a network has to clear: interpolated Kneser-Ney over characters, on the split that charlm makes.

    p(c | context) = max(n(context c) - D, 0) / n(context) + D types(context) / n(context) * p(c | shorter context)

n counts occurrences at the highest order, and below it the different characters that stand before. D is estimated for
each order from the grams seen once and twice, n1 / (n1 + 2 n2). Below order 1 every token is as probable as any other.
Sources: Kneser & Ney 1995; Ney, Essen & Kneser 1994, equation 32; Chen & Goodman 1999, sections 2.7 and 3.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import click
import numpy as np

from charlm.arrays import Ids
from charlm.config import HELD_OUT, TextConfig
from charlm.text.corpus import Corpus


class Order(NamedTuple):
    """Counts of one order: codes of grams and contexts, sorted, each with its count.

    types: different characters seen behind each context.  discount: D.
    """

    grams: Ids
    gram_counts: Ids
    contexts: Ids
    context_counts: Ids
    types: Ids
    discount: float


class KneserNey:
    """A model of `order` characters, context and predicted one together.

    ids: training text (N,), EOS first.  vocabulary: V.  eos: the id behind which a context is forgotten.
    """

    def __init__(self, ids: Ids, vocabulary: int, order: int, eos: int = 0) -> None:
        if vocabulary**order > np.iinfo(np.int64).max:
            raise ValueError(f"{vocabulary} tokens to the power of {order} do not fit into 64 bits; take a lower order")
        self.vocabulary, self.order, self.eos = vocabulary, order, eos
        highest = self.codes(ids)
        grams, counts = np.unique(highest, return_counts=True)
        self.orders = [self.count(grams, counts, order)]
        for k in range(order - 1, 0, -1):
            # of each longer gram one occurrence counts; those at a start have nothing different before them
            shorter = grams % vocabulary**k
            is_start = (shorter // vocabulary ** (k - 1) == eos) & (k > 1)
            kept, places = np.unique(shorter, return_inverse=True)
            weights = np.where(is_start, counts, 1)
            grams, counts = kept, np.bincount(places.ravel(), weights).astype(np.int64)
            self.orders.append(self.count(grams, counts, k))

    def codes(self, ids: Ids) -> Ids:
        """Return a number for each gram of the highest order, its last character at 1..N-1; EOS pads a start."""
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
        contexts, places = np.unique(grams // self.vocabulary, return_inverse=True)
        totals = np.bincount(places.ravel(), counts).astype(np.int64)
        once, twice = int((counts == 1).sum()), int((counts == 2).sum())
        discount = once / (once + 2 * twice) if once and twice else 0.5
        return Order(grams, counts, contexts, totals, np.bincount(places.ravel()), discount)

    def log_probs(self, ids: Ids) -> np.ndarray:
        """Return ln p of each id but the first, given those before it, (N - 1,), in nats."""
        highest = self.codes(ids)
        p = np.full(len(highest), 1 / self.vocabulary)
        for k, order in zip(range(1, self.order + 1), reversed(self.orders), strict=True):
            code = highest % self.vocabulary**k
            n_gram = look_up(order.grams, order.gram_counts, code)
            n_context = look_up(order.contexts, order.context_counts, code // self.vocabulary)
            types = look_up(order.contexts, order.types, code // self.vocabulary)
            total = np.maximum(n_context, 1)
            mixed = np.maximum(n_gram - order.discount, 0) / total + order.discount * types / total * p
            p = np.where(n_context > 0, mixed, p)
        return np.log(p)


def look_up(keys: Ids, values: Ids, wanted: Ids) -> Ids:
    """Return the value of each key that is wanted, 0 for those that are not there."""
    places = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[places] == wanted, values[places], 0)


def best_order(train: Ids, held_out: Ids, vocabulary: int, orders: Iterable[int] = range(3, 9)) -> tuple[int, float]:
    """Return the order with the lowest held-out loss, and that loss in nats per character."""
    possible = [order for order in orders if vocabulary**order < 2**63]
    losses = {k: -float(KneserNey(train, vocabulary, k).log_probs(held_out).mean()) for k in possible}
    best = min(losses, key=losses.__getitem__)
    return best, losses[best]


@click.command()
@click.option("--text", type=click.Path(exists=True, path_type=Path), required=True)
@click.option("--lines", is_flag=True, help="Each line is a document of its own, and its end counts.")
@click.option("--orders", default="3,4,5,6,7,8", show_default=True, help="Characters, the predicted one among them.")
@click.option("--valid", type=float, help="Share that is held out.  [default: as for charlm train]")
@click.option("--held-out", type=click.Choice(HELD_OUT), default="spread", show_default=True)
@click.option("--seed", default=0, show_default=True, help="Which lines are held out, as for charlm train.")
def main(text: Path, lines: bool, orders: str, valid: float | None, held_out: str, seed: int) -> None:
    """Print the held-out loss of Kneser-Ney on the part that `charlm train` holds out."""
    with Corpus.read([text], TextConfig(lines=lines), valid=valid, held_out=held_out, seed=seed) as corpus:
        vocabulary = len(corpus.vocabulary)
        print(f"{text.name}: {len(corpus.train_ids):,} tokens to learn from, {len(corpus.valid_ids):,} held out, "
              f"{vocabulary:,} in the vocabulary\n")  # fmt: skip
        print("| order | held-out nats/char | seconds |\n|---|---|---|")
        for order in map(int, orders.split(",")):
            if vocabulary**order >= 2**63:
                continue
            begun = time.perf_counter()
            model = KneserNey(corpus.train_ids, vocabulary, order, corpus.vocabulary.eos)
            loss = -model.log_probs(corpus.valid_ids).mean()
            print(f"| {order} | {loss:.4f} | {time.perf_counter() - begun:.1f} |", flush=True)


if __name__ == "__main__":
    main()
