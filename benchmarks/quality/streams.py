"""Learned initial state: held-out loss of the text cut at line starts into few or many streams, each from EOS."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import click
import numpy as np

import charlm
from benchmarks.library.texts import held_out_corpus


@click.command()
@click.option("-m", "--model", type=click.Path(path_type=Path), default="charlm.safetensors", show_default=True)
@click.option("--text", type=click.Path(exists=True, path_type=Path), required=True, help="Its training text.")
@click.option("--streams", default="1 32 128 512", show_default=True)
def main(model: Path, text: Path, streams: str) -> None:
    """Measure the held-out loss by number of streams, and the distribution of the first character."""
    found = charlm.load(model)
    runner = found.prepared
    corpus = held_out_corpus(found, text)
    ids = np.asarray(corpus.valid_ids).astype(np.intp)
    print("| streams | nats/char, held out |\n|---|---|")
    held_out = found.vocabulary.decode(ids)
    for count in map(int, streams.split()):
        scores = list(found.score_many(cut_at_lines(held_out, count), end=False))
        nats = -sum(score.log_prob for score in scores) / sum(score.characters for score in scores)
        print(f"| {count} | {nats:.4f} |", flush=True)
    starts = np.asarray(corpus.train_ids)[1:][np.asarray(corpus.train_ids)[:-1] == found.vocabulary.encode("\n")[0]]
    seen = np.bincount(starts, minlength=len(found.vocabulary)) / len(starts)
    start = np.array([[found.vocabulary.eos]])
    log_q = runner.predict(start, runner.zero_state(1))[0][0, :, 0]
    divergence = float((seen[seen > 0] * (np.log(seen[seen > 0]) - log_q[seen > 0])).sum())
    print(f"\nKL divergence of p(first character) from the line starts of the text: {divergence:.3f} nats")
    unknown = np.exp(runner.predict(ids[:-1, None], runner.zero_state(1))[0][:, found.vocabulary.unk, 0]).mean()
    rate = float((ids[1:] == found.vocabulary.unk).mean())
    print(f"mean probability of UNK {unknown:.2e}, held-out rate {rate:.2e}")


def cut_at_lines(text: str, count: int) -> list[str]:
    """Cut a text at line starts into about `count` pieces of equal length."""
    starts = [text.find("\n", len(text) * k // count) + 1 for k in range(1, count)]
    bounds = [0, *sorted(set(starts) - {0}), len(text)]
    return [text[a:b] for a, b in pairwise(bounds)]


if __name__ == "__main__":
    main()
