"""Tagging: names of people and places in sentences, by a model and by a dictionary of the names in the training set."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import click

import charlm
from benchmarks.library.alternation import describe_machine
from benchmarks.library.names import make_sentences, to_conll
from charlm.tasks.spans import Comparison, spans_of


class Dictionary:
    """Labels the longest names that occur in a training set, the most recent type of each."""

    def __init__(self, sentences: Sequence[Sequence[tuple[str, str]]]) -> None:
        self.names: dict[tuple[str, ...], str] = {}
        for sentence in sentences:
            tokens, labels = zip(*sentence, strict=True)
            for span in spans_of(labels, bio=True):
                for part in {tokens[span.start : span.stop], *((token,) for token in tokens[span.start : span.stop])}:
                    self.names[part] = span.kind
        self.longest = max(map(len, self.names))

    def tag(self, tokens: Sequence[str]) -> list[str]:
        """Return the labels of a sentence."""
        labels = ["O"] * len(tokens)
        start = 0
        while start < len(tokens):
            for length in range(min(self.longest, len(tokens) - start), 0, -1):
                kind = self.names.get(tuple(tokens[start : start + length]))
                if kind:
                    labels[start : start + length] = [f"B-{kind}", *[f"I-{kind}"] * (length - 1)]
                    start += length - 1
                    break
            start += 1
        return labels


@click.command()
@click.option("--sentences", default=2000, show_default=True, help="Sentences to train on.")
@click.option("--minutes", default=1.0, show_default=True, help="Training time.")
@click.option("--seeds", default="0", show_default=True, help="Seeds, such as 0,1,2.")
def main(sentences: int, minutes: float, seeds: str) -> None:
    """Train a model on sentences with names, and print the F1 of names that no training sentence has."""
    print(describe_machine())
    learned, test = make_sentences(sentences, test=False), make_sentences(500, test=True)
    print("\n| | tokens right | precision | recall | F1 | sentences/s |\n|---|---|---|---|---|---|")
    dictionary = Dictionary(learned)
    started = time.perf_counter()
    show("dictionary", [dictionary.tag([token for token, _ in sentence]) for sentence in test], test, started)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "names.conll"
        path.write_text(to_conll(learned), encoding="utf-8")
        for seed in map(int, seeds.split(",")):
            target = Path(folder) / f"{seed}.safetensors"
            model = charlm.train(path, target, task="tag", minutes=minutes, seed=seed)
            started = time.perf_counter()
            found = [one.labels for one in model.tag_each([token for token, _ in sentence] for sentence in test)]
            show(f"seed {seed}", found, test, started)


def show(name: str, found: Sequence[Sequence[str]], test: Sequence[Sequence[tuple[str, str]]], started: float) -> None:
    """Print a row of the table."""
    seconds = time.perf_counter() - started
    comparison = Comparison(bio=True)
    for labels, sentence in zip(found, test, strict=True):
        comparison.add([label for _, label in sentence], labels)
    figures = " | ".join(f"{value:.1%}" for value in (comparison.accuracy, *comparison.metrics(comparison.kinds)))
    print(f"| {name} | {figures} | {len(test) / seconds:,.0f} |", flush=True)


if __name__ == "__main__":
    main()
