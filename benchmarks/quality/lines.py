"""A model of lines: how many samples end, their mean length, how many are copies, and the rate of UNK."""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np

import charlm
from benchmarks.library.texts import held_out_corpus
from charlm.text.novelty import hash_of, lines_in


@click.command()
@click.option("-m", "--model", type=click.Path(path_type=Path), default="charlm.safetensors", show_default=True)
@click.option("--text", type=click.Path(exists=True, path_type=Path), required=True, help="Its training text.")
@click.option("--n", default=1000, show_default=True, help="Number of lines to sample.")
def main(model: Path, text: Path, n: int) -> None:
    """Compare sampled lines with the training lines, and p(UNK) with the rate of unknown characters."""
    found = charlm.load(model)
    vocabulary = found.vocabulary
    corpus = held_out_corpus(found, text)
    known = list(lines_in(corpus.train_ids, vocabulary))
    drawn = found.sample(n=n, seed=0, length=1000, temperature=1.0)
    seen = {hash_of(line) for line in known}
    lengths, expected = np.mean([len(s.text) for s in drawn]), np.mean([len(line) for line in known])
    print(f"{sum(s.has_ended for s in drawn)} of {n} sampled lines end with EOS")
    print(f"mean length {lengths:.2f} characters, of the training lines {expected:.2f} ({lengths / expected - 1:+.1%})")
    print(f"{sum(hash_of(s.text) in seen for s in drawn) / n:.1%} are copies of training lines")
    inputs = np.asarray(corpus.valid_ids).astype(np.intp)[:, None]
    state, unknown = found.prepared.zero_state(1), []
    for start in range(0, len(inputs) - 1, 500):
        log_probs, state = found.prepared.predict(inputs[start : min(start + 500, len(inputs) - 1)], state)
        unknown.append(np.exp(log_probs[:, vocabulary.unk, 0]))
    rate = float((inputs[1:] == vocabulary.unk).mean())
    print(f"held out: mean p(UNK) {np.concatenate(unknown).mean():.2e}, rate of unknown characters {rate:.2e}")


if __name__ == "__main__":
    main()
