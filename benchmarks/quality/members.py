"""Test loss of an ensemble against the number of its members.

An ensemble of K members is trained, each for as many minutes as it would have on a core of its own; fewer cores take
them in turn. The first 1, 2, 4, ... members are scored on the test text of `python -m benchmarks quality`, combined by

- the mean of their probabilities, as charlm does,
- the mean of their logits, normalised again (a product of experts),
- the mean of their probabilities with weights that maximise the probability of the held-out text (EM).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import numpy as np

import charlm
from benchmarks.library.alternation import describe_machine
from benchmarks.library.texts import held_out_corpus, split_test
from benchmarks.quality.quality import train
from charlm.arrays import Array, Ids, Mask
from charlm.inference.prepared_network import PreparedNetwork
from charlm.machine import usable_cores
from charlm.model import LanguageModel
from charlm.nn.functional import log_softmax, mix_log_probs
from charlm.nn.network import Network
from charlm.scoring.mixing import fit_weights
from charlm.training.evaluation import cut_into_streams

STREAMS, STEPS = 64, 16
"""Streams that are read in parallel, and steps of a window."""


def streams_of(ids: Ids, eos: int, lines: bool) -> Iterator[tuple[Ids, Ids, Mask]]:
    """Yield inputs, targets and a mask of the targets that count, each (T, B): streams of a text, or its lines."""
    if not lines:
        yield cut_into_streams(ids, STREAMS, eos)
        return
    ends = np.flatnonzero(ids[1:] == eos) + 1
    starts = np.concatenate([[0], ends[:-1]])
    order = np.argsort(ends - starts, kind="stable")
    for part in np.split(order, range(STREAMS, len(order), STREAMS)):
        length = int((ends[part] - starts[part]).max())
        indices = starts[part] + np.arange(length)[:, None]
        counts = indices < ends[part]
        clipped = np.where(counts, indices, ends[part] - 1)
        yield ids[clipped].astype(np.intp), ids[clipped + 1].astype(np.intp), counts


def member_log_probs(model: LanguageModel, ids: Ids) -> tuple[Array, Array]:
    """Return log p of each character, (K, N) in nats: of each member, and of the mean of the first k members' logits.

    ids: an EOS and the text.
    """
    network = model.network
    assert isinstance(network, Network)
    networks = [PreparedNetwork(network, params) for params in model.members]
    alone, products = [], []
    for inputs, targets, counts in streams_of(ids, model.vocabulary.eos, model.text.lines):
        states = [member.zero_state(inputs.shape[1]) for member in networks]
        for start in range(0, len(inputs), STEPS):
            window = slice(start, start + STEPS)
            total: Array | None = None
            rows: list[list[Array]] = [[], []]
            for k, member in enumerate(networks):
                log_probs, states[k] = member.predict(inputs[window], states[k])
                total = log_probs if total is None else total + log_probs
                product = log_softmax(np.moveaxis(total / (k + 1), 1, 2).reshape(-1, model.prepared.vocabulary))
                wanted = targets[window]
                rows[0].append(np.take_along_axis(log_probs, wanted[:, None], 1)[:, 0][counts[window]])
                rows[1].append(product[np.arange(wanted.size), wanted.ravel()][counts[window].ravel()])
            alone.append(np.stack(rows[0]))
            products.append(np.stack(rows[1]))
    return np.hstack(alone).astype(float), np.hstack(products).astype(float)


@click.command()
@click.option("--text", type=click.Path(exists=True, path_type=Path), required=True)
@click.option("--lines", is_flag=True, help="Each line is a document.")
@click.option("--minutes", default="2", show_default=True, help="Minutes of a core for each member, such as 1,2,5.")
@click.option("--members", default=8, show_default=True, help="Members to train.")
@click.option("--seed", default=1, show_default=True)
@click.option("--flags", default=[""], multiple=True, help="More flags of charlm train; repeatable.")
def main(text: Path, lines: bool, minutes: str, members: int, seed: int, flags: tuple[str, ...]) -> None:
    """Measure the test loss of the first 1, 2, 4, ... members of an ensemble."""
    train_text, test_text = split_test(text.read_text(encoding="utf-8"), lines, 0.1, seed)
    print(describe_machine())
    print(f"{text.name}{' --lines' if lines else ''}, seed {seed}: test loss in nats per character\n")
    print("| minutes of a core | flags | network | members | mean of probabilities | mean of logits | fitted weights "
          "| members alone, mean (spread) | held out |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|---|")
    for budget in map(float, minutes.split(",")):
        for extra in flags:
            with TemporaryDirectory() as folder:
                wall_minutes = budget * max(1.0, members / usable_cores())
                ensemble = ["--ensemble", str(members), *extra.split()]
                source, path = train(train_text, lines, wall_minutes, seed, ensemble, Path(folder))
                model = charlm.load(path)
                held_out_ids = held_out_corpus(model, source).valid_ids
            rows(model, test_text, held_out_ids, f"| {budget:g} | {extra or 'none'} ")


def rows(model: LanguageModel, test_text: str, held_out_ids: Ids, start: str) -> None:
    """Print a row for the first 1, 2, 4, ... members of a model."""
    eos = model.vocabulary.eos
    texts = [line for line in test_text.split("\n") if line] if model.text.lines else [test_text]
    ends = [eos] if model.text.lines else []
    ids = np.concatenate([[eos], *(np.append(model.vocabulary.encode(one), ends) for one in texts)]).astype(np.intp)
    log_probs, products = member_log_probs(model, ids)
    held_out, _ = member_log_probs(model, held_out_ids)
    alone = -log_probs.mean(axis=1)
    count, last = 1, len(log_probs)
    while True:
        weights = fit_weights(held_out[:count])
        fitted = np.log(weights @ np.exp(log_probs[:count]))
        config = model.config
        print(
            f"{start}| {config.cell} {config.hidden}x{config.layers} | {count} "
            f"| {-mix_log_probs(log_probs[:count]).mean():.4f} | {-products[count - 1].mean():.4f} "
            f"| {-fitted.mean():.4f} | {alone[:count].mean():.4f} ({np.ptp(alone[:count]):.4f}) "
            f"| {-mix_log_probs(held_out[:count]).mean():.4f} |",
            flush=True,
        )
        if count == last:
            return
        count = min(2 * count, last)


if __name__ == "__main__":
    main()
