"""charlm tag: label the tokens of sentences."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

import charlm
from charlm.cli import options
from charlm.cli.command import Command
from charlm.cli.inputs import Inputs, each_of, gather, require_files
from charlm.cli.sentences import Sentence, sentences
from charlm.cli.tables import aligned, show, show_json
from charlm.cli.terminal import escape, for_output, shows_colors
from charlm.text.conll import read_sentences
from charlm.text.reading import name_of

if TYPE_CHECKING:
    from charlm.tasks.tag import Tagged

COLOURS = ("cyan", "green", "magenta", "yellow", "blue", "red")
"""Colours of the types of spans, in the order of the model's labels."""


@click.command("tag", cls=Command)
@options.words_and_file_names
@options.input("--conll", "has_columns", is_flag=True,
               help="Read files with a token in each line and an empty line between sentences.")  # fmt: skip
@options.decoding
@options.model
@options.output("--mark", "marks_spans", is_flag=True, show_default="on a terminal",
                help="Print the text with its spans marked.")  # fmt: skip
@options.output("--evaluate", "labelled_file", type=options.INPUT, metavar="FILE",
                help="Compare the labels with those of a file of tokens and labels.")  # fmt: skip
@options.output("--json", "as_json", is_flag=True, help="Print JSON Lines, an object for each sentence.")
def command(
    words: tuple[str, ...], files: tuple[Path, ...], has_columns: bool, encoding: str | None, errors: str | None,
    model_path: Path, marks_spans: bool, labelled_file: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Label the tokens of each TEXT, and of each line of the files.

    Prints a line for each token, with its columns and its label after tabs; an empty line ends a sentence. On a
    terminal, prints the text with its spans in colour. Train the model with --task tag.

    Examples:
      charlm tag -m names.safetensors "Harry met Hermione in London."
      charlm tag -m names.safetensors --file letters.txt --json
      charlm tag -m names.safetensors --conll --file tokens.conll > labelled.conll
      charlm tag -m names.safetensors --evaluate held-out.conll
    """
    if labelled_file is not None and (words or files or as_json or marks_spans):
        raise click.UsageError("--evaluate reads its FILE and prints a table; leave the other options and TEXT out")
    inputs = Inputs(tuple(require_files([labelled_file]))) if labelled_file else gather(words, files)
    model = options.open_model(model_path, encoding=encoding, errors=errors)
    _ = model.tagger  # a model of another task is refused before the text is read
    if labelled_file is not None:
        show_evaluation(model, labelled_file)
        return
    found = each_of(
        sentences(inputs, model.text, has_columns=has_columns),
        lambda some: model.tag_each([token for _, token in one.tokens] for one in some),
    )
    if as_json:
        from charlm.cli.task_records import tagged_record

        show_json(tagged_record(one, sentence) for sentence, one in found)
    elif marks_spans or sys.stdout.isatty():
        kinds = list(dict.fromkeys(label.removeprefix("B-").removeprefix("I-") for label in model.labels))
        for sentence, one in found:
            click.echo(marked(sentence, one, kinds), color=True)
    else:
        for sentence, one in found:
            lines = ("\t".join([*columns, label]) for columns, label in zip(sentence.columns, one.labels, strict=True))
            show([*lines, ""])


def marked(sentence: Sentence, found: Tagged, kinds: list[str]) -> str:
    """Return a text with its spans in colour, or in brackets with their types."""
    pieces, last = [], 0
    for span in found.spans:
        start = sentence.tokens[span.start][0]
        stop = sentence.tokens[span.stop - 1][0] + len(sentence.tokens[span.stop - 1][1])
        words = escape(sentence.text[start:stop])
        pieces.append(escape(sentence.text[last:start]))
        if shows_colors():
            colour = COLOURS[kinds.index(span.kind) % len(COLOURS)]
            pieces.append(click.style(words, fg=colour, bold=True) + click.style(f" {escape(span.kind)}", dim=True))
        else:
            pieces.append(f"[{words} {escape(span.kind)}]")
        last = stop
    return "".join([*pieces, escape(sentence.text[last:])])


def show_evaluation(model: charlm.LanguageModel, path: Path) -> None:
    """Print the accuracy of the tokens, and precision, recall and F1 of the entities, of a labelled file."""
    from charlm.tasks.spans import Comparison

    comparison = Comparison(model.tagger.bio)
    expected: list[list[str]] = []

    def tokens() -> Iterator[list[str]]:
        for sentence in read_sentences(path, model.text):
            expected.append([token.label for token in sentence])
            yield [token.text for token in sentence]

    for index, one in enumerate(model.tag_each(tokens())):
        comparison.add(expected[index], one.labels)
    show([f"{name_of(path)}: {comparison.accuracy:.2%} of {comparison.tokens:,} tokens right"])
    names = [*comparison.kinds, *(["all"] if len(comparison.kinds) > 1 else [])]
    rows = []
    for name in names:
        kinds = comparison.kinds if name == "all" else [name]
        actual = sum(comparison.actual[kind] for kind in kinds)
        rows.append([name, *(f"{value:.2%}" for value in comparison.metrics(kinds)), f"{actual:,}"])
    show(map(for_output, aligned([["entities", "precision", "recall", "F1", "in the file"], *rows])))
