"""charlm translate: predict the targets of sources, such as pronunciations."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

import charlm
from charlm.cli import options
from charlm.cli.command import Command, option_group
from charlm.cli.inputs import Inputs, NamedText, each_with, gather, require_files
from charlm.cli.tables import aligned, percent, show, show_json
from charlm.cli.terminal import escape
from charlm.text.reading import name_of

if TYPE_CHECKING:
    from charlm.tasks.pairs import Translation

search_option = option_group("Search")


@click.command("translate", cls=Command)
@options.words_and_file_names
@options.decoding
@options.model
@search_option("--beam", type=options.COUNT, default=1, metavar="N",
               help="Follow the N best beginnings; 1 takes the best unit at each step.")  # fmt: skip
@search_option("--length-exponent", type=float, default=0.0, metavar="P",
               help="Rank targets by log-probability / length^P; 0 ranks by probability.")  # fmt: skip
@options.output("-k", "--best", type=options.COUNT, default=1, metavar="K",
                help="Print the K best targets with their probabilities.")  # fmt: skip
@options.output("--evaluate", "pairs_file", type=options.INPUT, metavar="FILE",
                help='Compare the targets with those in FILE, of lines "source TAB target".')  # fmt: skip
@options.records
@options.threads
def command(
    words: tuple[str, ...], files: tuple[Path, ...], encoding: str | None, errors: str | None, model_path: Path,
    beam: int, length_exponent: float, best: int, pairs_file: Path | None, form: str | None, threads: int | None,
) -> None:  # fmt: skip
    """Print the target of each TEXT, and of each line of the files.

    A target is what the model has learned for a source, such as the pronunciation of a word. Results come in the order
    of the input, one for each source. Train the model with --task pairs.

    Examples:
      charlm translate -m sounds.safetensors nation --best 3
      charlm translate -m sounds.safetensors --file words.txt --beam 4
      charlm translate -m dates.safetensors "27 November 2026"
      charlm translate -m dates.safetensors --evaluate held-out.tsv
    """
    if pairs_file is None:
        inputs = gather(words, files, by_line=True)
    elif words or files or form or best > 1:
        raise click.UsageError("--evaluate reads its FILE and prints a summary; leave the other options and TEXT out")
    else:
        inputs = Inputs(tuple(require_files([pairs_file])))
    model = options.open_model(model_path, threads, encoding=encoding, errors=errors)
    _ = model.translator  # a model of another task is refused before the text is read

    def translate(sources: Iterable[str]) -> Iterator[Translation]:
        return model.translate_each(sources, beam=beam, best=best, length_exponent=length_exponent, threads=threads)

    if pairs_file is not None:
        show_evaluation(model, pairs_file, translate)
        return
    found = each_with(inputs.texts(model.text), translate)
    if form == "json":
        from charlm.cli.task_records import translated_record

        show_json(translated_record(one, source) for source, one in found)
    elif form == "tsv":
        show_table(found)
    else:
        show(line for _, one in found for line in (lines(one) if best > 1 else [escape(one.target)]))


def lines(found: Translation) -> Iterator[str]:
    """Yield the source, and a line for each of its targets with the probability."""
    yield escape(found.source)
    rows = ([f"  {percent(one.probability)}", one.target] for one in found.candidates)
    yield from aligned(rows)


def show_table(found: Iterable[tuple[NamedText, Translation]]) -> None:
    """Print a line of tab-separated values for each target."""
    from charlm.cli.records import show_records
    from charlm.cli.task_records import candidate_record
    from charlm.tasks.pairs import Candidate

    records = (
        candidate_record(one, rank, named)
        for named, translation in found
        for rank, one in enumerate(translation.candidates, 1)
    )
    show_records(records, "tsv", candidate_record(Candidate("", (), 0.0), 1, NamedText("")))


def show_evaluation(
    model: charlm.LanguageModel, path: Path, translate: Callable[[Iterable[str]], Iterator[Translation]]
) -> None:
    """Print how many sources of a file of pairs have one of their targets, and the error rate of the units."""
    from charlm.tasks.pairs import Comparison, read_targets

    targets = read_targets(path, model.text)
    comparison = Comparison(model.text.target_unit)
    for found in translate(targets):
        comparison.add(targets[found.source], found.candidates[0])
    unit = "symbols" if model.text.target_unit == "symbol" else "characters"
    rates = f"{comparison.accuracy:.2%} of {comparison.sources:,} sources right"
    show([f"{name_of(path)}: {rates}; error rate of the {unit} {comparison.unit_error_rate:.2%}"])
