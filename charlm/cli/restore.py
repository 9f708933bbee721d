"""charlm restore: restore marks, case, spaces and punctuation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

import charlm
from charlm.cli import options
from charlm.cli.command import Command, option_group
from charlm.cli.inputs import Inputs
from charlm.cli.tables import aligned, show
from charlm.cli.terminal import escape, for_output, shows_colors
from charlm.config import TextConfig
from charlm.text.reading import read_as_written

if TYPE_CHECKING:
    from charlm.cli.records import Record
    from charlm.tasks.restore import Change, Restored

restoring_option = option_group("Restoring")


@click.command("restore", cls=Command)
@options.texts
@options.decoding
@options.model
@restoring_option("--min-prob", "min_probability", type=float, default=0.0, metavar="P",
                  help="Make only changes with at least this probability.")  # fmt: skip
@options.output("--diff", "shows_changes", is_flag=True, help="Mark the changes in the text.")
@options.output("--evaluate", "evaluates", is_flag=True,
                help="Strip the text, restore it, and print how much is right.")  # fmt: skip
@options.records
@options.threads
def command(
    inputs: Inputs, encoding: str | None, errors: str | None, model_path: Path, min_probability: float,
    shows_changes: bool, evaluates: bool, form: str | None, threads: int | None,
) -> None:  # fmt: skip
    """Restore what is missing in each TEXT: marks, capitals, spaces or punctuation, as the model was trained.

    Nothing else changes: marks and capitals that are there, numbers, URLs and characters that the model does not know
    stay as they are. Long texts are printed while they are read; with --lines, each line is restored by itself
    and printed at once. --json and --tsv print a record for each change.

    Examples:
      charlm restore -m marks.safetensors --file mail.txt > restored.txt
      charlm restore -m marks.safetensors --file mail.txt --min-prob 0.9
      charlm restore -m marks.safetensors --file mail.txt --diff
      charlm restore -m marks.safetensors --file held-out.txt --evaluate
    """
    if evaluates + shows_changes + bool(form) > 1:
        raise click.UsageError("--diff, --evaluate, --json and --tsv exclude each other; pass one of them")
    model = options.open_model(model_path, threads, encoding=encoding, errors=errors)
    _ = model.restorer  # a model of another task is refused before the text is read
    if evaluates:
        show_evaluation(model, inputs, min_probability)
    elif form:
        show_changes(model, inputs, min_probability, form)
    else:
        for source in inputs.sources:
            for part in restored(model, source, inputs, min_probability):
                click.echo(marked(part) if shows_changes else for_output(part.text), nl=False, color=True)
            if isinstance(source, str):
                click.echo()


def chunks_of(source: str | Path, text: TextConfig) -> Iterable[str]:
    """Return a text, or the characters of a file as they are written, in chunks."""
    return [source] if isinstance(source, str) else read_as_written(source, text)


def restored(
    model: charlm.LanguageModel, source: str | Path, inputs: Inputs, min_probability: float
) -> Iterator[Restored]:
    """Yield the parts of a source; with --lines, each line is a text by itself."""
    chunks = chunks_of(source, model.text)
    if not inputs.by_line:
        yield from model.restore_each(chunks, min_probability=min_probability)
        return
    offset, rest = 0, ""
    for chunk in [*chunks, ""] if isinstance(source, str) else chain_end(chunks):
        *lines, rest = (rest + chunk).split("\n") if chunk else (rest, "")
        for line in (f"{line}\n" if chunk else line for line in lines):
            for part in model.restore_each([line], min_probability=min_probability):
                changes = tuple(change._replace(offset=change.offset + offset) for change in part.changes)
                yield part._replace(start=part.start + offset, changes=changes)
            offset += len(line)


def chain_end(chunks: Iterable[str]) -> Iterator[str]:
    """Yield the chunks that have characters, then an empty one."""
    yield from filter(None, chunks)
    yield ""


def marked(part: Restored) -> str:
    """Return a part of a text with its changes in colour, or as [-old-]{+new+}."""
    return "".join(
        escape(piece, keep="\n\t") + (mark_change(change) if change is not None else "")
        for (piece, _), change in zip(part.pieces(), [*part.changes, None], strict=True)
    )


def mark_change(change: Change) -> str:
    """Return the new unit of a change, in colour or in braces after the old one in brackets."""
    old, new = escape(change.original, keep="\n\t"), escape(change.restored, keep="\n\t")
    if shows_colors():
        return click.style(new, fg="green", bold=True)
    return f"{old}{{+{new.removeprefix(old)}+}}" if new.startswith(old) else f"[-{old}-]{{+{new}+}}"


def show_changes(model: charlm.LanguageModel, inputs: Inputs, min_probability: float, form: str) -> None:
    """Print a record for each change."""
    from charlm.cli.records import show_records
    from charlm.cli.task_records import change_record

    def records() -> Iterator[Record]:
        for source in inputs.sources:
            file = None if isinstance(source, str) else str(source)
            line, line_start = 1, 0
            for part in restored(model, source, inputs, min_probability):
                last = part.start
                for change in part.changes:
                    before = part.original[last - part.start : change.offset - part.start]
                    if newlines := before.count("\n"):
                        line, line_start = line + newlines, last + before.rfind("\n") + 1
                    last = change.offset
                    yield change_record(change, (line, change.offset - line_start + 1), file)
                rest = part.original[last - part.start :]
                if newlines := rest.count("\n"):
                    line, line_start = line + newlines, last + rest.rfind("\n") + 1

    from charlm.tasks.restore import Change

    show_records(records(), form, change_record(Change(0, "", "", 1.0), (1, 1), None))


def show_evaluation(model: charlm.LanguageModel, inputs: Inputs, min_probability: float) -> None:
    """Print how many words and how many changes of each kind are right."""
    from charlm.tasks.restore_evaluation import Evaluation

    found = Evaluation(model.restorer.stripper)
    for source in inputs.sources:
        found.add(model.restorer, chunks_of(source, model.text), min_probability)
    words = max(found.words, 1)
    show([f"words: {found.right / words:.2%} of {found.words:,} right; {found.unchanged / words:.2%} unrestored"])
    rows = (
        [kind, f"{counts.precision:.2%}", f"{counts.recall:.2%}", f"{counts.f1:.2%}", f"{counts.actual:,}"]
        for kind, counts in found.kinds.items()
    )
    show(aligned([["restored", "precision", "recall", "F1", "in the text"], *rows]))
