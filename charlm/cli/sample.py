"""charlm sample: generate text."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import charlm
from charlm.cli import mixing, options
from charlm.cli.command import Command, option_group
from charlm.cli.inputs import (
    lines_of,
    name_stdin_once,
    read_document,
    read_option,
    refuse_unknown,
    warn_of_file_names,
)
from charlm.cli.terminal import for_output, warn
from charlm.config import SampleConfig
from charlm.text.reading import read_text

if TYPE_CHECKING:
    from charlm.text_model import TextModel

MAX_DRAWS = 100
"""Draws for each text of --novel, at most."""
Samples = Iterable["charlm.Sample"]
IsCopy = Callable[[str, bool], bool | None]
"""Whether a text is a copy, from the text and whether it is a whole line; None if that is not known."""

sampling_option = option_group("Sampling")
novelty_option = option_group("Novelty")
match_option = option_group("Constraints")


@click.command("sample", cls=Command)
@options.input(
    "-p", "--prompt", default="", show_default=False, metavar="TEXT",
    help='Continue this text; it is printed too. "-" is standard input.',
)  # fmt: skip
@options.input("--prompt-file", type=options.INPUT, metavar="FILE",
              help='Continue the text in a file; "-" is standard input.')  # fmt: skip
@options.input("--prompts", "prompts_file", type=options.INPUT, metavar="FILE",
               help='Continue each line of a file; "-" is standard input.')  # fmt: skip
@options.input("--strict", is_flag=True, help="Refuse a prompt with characters outside the vocabulary.")
@options.decoding
@mixing.models
@sampling_option("-t", "--temp", "temperature", type=float, default=SampleConfig.temperature, show_default=True,
                 metavar="T",
                 help="Divide the logits by T: 1 draws from the model as it is, 0 takes the most "
                 "probable character.")  # fmt: skip
@sampling_option("--top-k", type=int, default=0, show_default="0, all", metavar="K",
                 help="Draw among the K most probable characters.")  # fmt: skip
@sampling_option("--top-p", type=float, default=1.0, show_default="1, all", metavar="P",
                 help="Draw among the most probable characters with a total probability of P.")  # fmt: skip
@sampling_option("--min-p", type=float, default=0.0, show_default="0, all", metavar="P",
                 help="Draw among the characters with at least P times the probability of the most "
                 "probable one.")  # fmt: skip
@sampling_option("--word-temp", "word_temperature", type=float, metavar="T", show_default="that of --temp",
                 help="Use this temperature for the first character of a word.")  # fmt: skip
@sampling_option("--no-loop", type=int, default=0, show_default="0, off", metavar="CHARACTERS",
                 help="Make repetitions of more than this number of characters improbable.")  # fmt: skip
@sampling_option("--seed", type=int, metavar="N", show_default="random", help="Draw the same texts for the same seed.")
@match_option(
    "--match", metavar="REGEX", help="Write only texts that match this regular expression of Python as a whole."
)
@match_option("--starts-with", metavar="TEXT", help="Write only texts that start with this.")
@match_option("--contains", metavar="TEXT", help="Write only texts that contain this.")
@match_option("--ends-with", metavar="TEXT", help="Write only texts that end with this.")
@match_option("--without", default="", show_default=False, metavar="CHARACTERS", help="Write none of these characters.")
@match_option("--exact", is_flag=True,
              help="Draw from the exact conditional distribution, by rejection; it is slow for rare "
              "matches.")  # fmt: skip
@options.output("-n", "n", type=options.COUNT, default=1, metavar="N", help="Write N texts.")
@options.output(
    "--length", type=int, default=1000, metavar="CHARACTERS", help="End a text at this length; 0 for no end."
)
@options.output("--stop", metavar="TEXT", help="End a text after this string.")
@options.records
@options.output("--per-char", is_flag=True,
                help="Add the log-probability of each character to the records.")  # fmt: skip
@novelty_option("--novel", is_flag=True,
                help="Write only lines that are not in the training text; with a model of running text, only "
                "texts that --corpus does not contain.")  # fmt: skip
@novelty_option("--max-copy", type=int, metavar="CHARACTERS", show_default="no limit",
                help="Copy at most this number of characters in a row from the training text.")  # fmt: skip
@novelty_option("--corpus", type=options.PATH, metavar="FILE",
                show_default="for --novel, hashes of the lines, in the model file; for --max-copy, the training files",
                help="Read the training text from this file.")  # fmt: skip
@options.threads
def command(
    prompt: str, prompt_file: Path | None, prompts_file: Path | None, strict: bool,
    encoding: str | None, errors: str | None,
    chosen: mixing.Chosen, threads: int | None,
    temperature: float, top_k: int, top_p: float, seed: int | None,
    n: int, length: int, stop: str | None, form: str | None, per_char: bool, novel: bool, max_copy: int | None,
    corpus: Path | None,
    **steering: Any,
) -> None:  # fmt: skip
    r"""Generate text, one character at a time.

    Begins a document, or continues --prompt. A model of lines writes whole lines. Without --label,
    a model of train --labels draws the label of each text by its frequency; --json prints it.

    Examples:
      charlm sample --length 500
      charlm sample -p "Once upon a time" -n 3 --seed 1
      charlm sample -m names.safetensors -n 20 --novel
      charlm sample -m surnames.safetensors --label italian -n 5
      charlm sample --temp 0.5 --word-temp 1.2 --no-loop 20
      charlm sample -m a.safetensors b.safetensors --weight 0.7 --weight 0.3
      charlm sample -m names.safetensors -n 5 --match "[A-Z]\w{3,6}us" --without e
    """
    if per_char and not form:
        raise click.UsageError("--per-char adds to records; pass --json or --tsv, too")
    config = SampleConfig(temperature, top_k, top_p, length or None, stop, **steering)
    sources = (prompt, prompt_file, prompts_file)
    model = mixing.open_models(chosen, threads, encoding=encoding, errors=errors, texts=sources)
    if not length and not model.sampling(config, {}).can_end and (n > 1 or form or novel or prompts_file):
        raise click.UsageError("--length 0 writes one text, and this model never ends it; leave out what needs its end")
    if max_copy is not None:
        index = charlm.CopyIndex.read(training_texts(model, corpus), max_copy, model.text)
        config = replace(config, max_copy=index)
    prompts = read_prompts(model, prompt, prompt_file, prompts_file)
    for one in refuse_unknown(model, prompts) if strict else prompts:
        warn_of_unknown(model, one)
    draw = partial(model.sample_each, seed=seed, threads=threads, config=config)
    if novel:
        is_copy = copies_of(model, corpus, has_labels=chosen.label is not None or model.reads_labels)
        drawn = ((one, novel_samples(part_of_text(model, one), draw(one), is_copy, n)) for one in prompts)
    elif n == len(prompts) == 1 and form is None:
        for piece in chain(prompts, model.stream(prompts[0], seed=seed, config=config), ["\n"]):
            write(piece)
        return
    else:
        drawn = ((one, draw(one, n=n)) for one in prompts)
    if form:
        write_records(drawn, form, model, per_char=per_char)
    else:
        end = "\n" if novel or model.text.lines else "\n\n"
        write_texts(model, drawn, n * len(prompts), end=end)


def read_prompts(model: TextModel, prompt: str, file: Path | None, prompts_file: Path | None) -> list[str]:
    """Return the texts to continue: the lines of a file, or one prompt; see `read_prompt`."""
    if prompts_file is None:
        return [read_prompt(model, prompt, file)]
    if prompt or file:
        raise click.UsageError("--prompts and --prompt or --prompt-file exclude each other; pass one of them")
    prompts = [model.clean_prompt(line.text) for line in lines_of(prompts_file, model.text)]
    if not prompts:
        raise click.UsageError(f"{prompts_file}: no prompt in it; write one on each line")
    return prompts


def part_of_text(model: TextModel, prompt: str) -> str:
    """Return the part of a prompt that belongs to the text that is drawn: in a model of lines the last line."""
    return prompt.rpartition("\n")[2] if model.text.lines else prompt


def read_prompt(model: TextModel, prompt: str, file: Path | None) -> str:
    """Return the text to continue: the prompt, then the text of a file; "-" is standard input for both."""
    name_stdin_once(prompt, file)
    warn_of_file_names([prompt], "--prompt-file")
    rest = "" if file is None else read_document(file, model.text)  # a newline at its end would end the line
    return model.clean_prompt(read_option(prompt, model.text) + rest)


def write_texts(model: TextModel, drawn: Iterable[tuple[str, Samples]], n: int, *, end: str) -> None:
    """Write n texts, each with its prompt before it and with `end` after it."""
    texts = ((prompt, sample) for prompt, samples in drawn for sample in samples)
    for number, (prompt, sample) in enumerate(texts, 1):
        write_heading(model, number, n)
        write(prompt + sample.text + end)
        sys.stdout.flush()  # the next batch may take long


def write_records(drawn: Iterable[tuple[str, Samples]], form: str, model: TextModel, *, per_char: bool) -> None:
    """Write a record for each text."""
    from charlm.cli.records import sample_record, show_records
    from charlm.sampling.sampler import Sample

    unit, example = model.text.unit, Sample("", 0.0, False, label="" if model.reads_labels else None)
    records = (
        sample_record(sample, prompt, index, unit, per_char=per_char)
        for prompt, samples in drawn
        for index, sample in enumerate(samples)
    )
    show_records(records, form, sample_record(example, "", 0, unit, per_char=per_char))


def warn_of_unknown(model: TextModel, prompt: str) -> None:
    """Warn of characters, or words, of the prompt that are not in the vocabulary."""
    pieces = model.vocabulary.split(prompt)
    unknown = sorted({pieces[position] for position in model.vocabulary.unknown(prompt)})
    if unknown:
        shown = " ".join(map(repr, unknown[:10])) + " ..." * (len(unknown) > 10)
        warn(f"the model has never seen {shown}; read as UNK")


def write_heading(model: TextModel, number: int, n: int) -> None:
    """Write the number of the next of several running texts, which may contain empty lines; on a terminal only."""
    if n > 1 and not model.text.lines and sys.stdout.isatty():
        write(f"--- text {number:,} of {n:,} ---\n")


def write(text: str) -> None:
    """Write text to standard output: unchanged into a pipe; escaped and at once on a terminal."""
    sys.stdout.write(for_output(text))
    if sys.stdout.isatty():
        sys.stdout.flush()


def training_texts(model: TextModel, corpus: Path | None) -> list[Path]:
    """Return the files of the training text: the one that is given, or those that the model remembers."""
    if corpus is not None:
        return [corpus]
    paths = [Path(source) for record in model.training_records for source in record.sources]
    missing = [path for path in paths if not path.is_file()]
    if missing or not paths:
        name = f"{missing[0]} is not here" if missing else "the model does not say what it was trained on"
        raise click.UsageError(f"{name}; name the training text with --corpus FILE")
    return paths


def copies_of(model: TextModel, corpus: Path | None, *, has_labels: bool = False) -> IsCopy:
    """Return a test of whether a text occurs in the training text.

    For running text, any part of the corpus is a copy. For lines, a whole line is a copy; of a text that was cut, the
    start of a line. Without the corpus only whole lines can be tested, by their hashes.

    has_labels: whether the corpus is a file of labelled texts.

    Raises
    ------
    UsageError : no corpus is given, and the model has no hashes of lines
    """
    from charlm.text.novelty import hash_of, unpack_hashes
    from charlm.text.rows import read_rows

    if corpus is None:
        of_models = [unpack_hashes(record.line_hashes) for record in model.training_records]
        hashes = frozenset[int]().union(*of_models)
        if not all(of_models):
            raise click.UsageError(
                "the model file holds no hashes of training lines; pass the training text with --corpus FILE"
            )
        return lambda text, is_whole: hash_of(model.clean(text)) in hashes if is_whole else None
    rows = "\n".join(row.text for row in read_rows(corpus, model.text)) if has_labels else None
    learned = model.clean(read_text(corpus, model.text) if rows is None else rows)
    if not model.text.lines:
        return lambda text, is_whole: model.clean(text) in learned
    lines, framed = frozenset(learned.split("\n")), f"\n{learned}"
    return lambda text, is_whole: model.clean(text) in lines if is_whole else f"\n{model.clean(text)}" in framed


def novel_samples(context: str, samples: Iterable[charlm.Sample], is_copy: IsCopy, n: int) -> Iterator[charlm.Sample]:
    """Yield n texts that are not copies, from at most MAX_DRAWS draws for each; report the fraction of copies.

    Parameters
    ----------
    context : the part of the prompt that belongs to the text that is tested
    samples : the draws
    is_copy : the test
    n : texts to yield
    """
    counts: Counter[bool | None] = Counter()
    for sample in islice(samples, MAX_DRAWS * n):
        is_known = is_copy(context + sample.text, sample.has_ended)
        counts[is_known] += 1
        if is_known is False:
            yield sample
        if counts[False] == n:
            break
    copies, drawn = counts[True], counts.total()
    warn(f"{copies:,} of {drawn:,} texts drawn ({copies / drawn:.1%}) are in the training text")
    if counts[None]:
        warn(f"{counts[None]:,} texts were cut by --length or --stop and are not written; --corpus FILE tests them too")
