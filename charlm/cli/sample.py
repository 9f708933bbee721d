"""charlm sample: generate text."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any

import click

import charlm
from charlm.cli import options
from charlm.cli.command import Command, option_group
from charlm.cli.inputs import name_stdin_once, read_document, read_option, refuse_unknown, warn_of_file_names
from charlm.cli.terminal import for_output, warn
from charlm.config import SampleConfig
from charlm.text.reading import read_text

MAX_DRAWS = 100
"""Draws for each text of --novel, at most."""
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
@options.input("--strict", is_flag=True, help="Refuse a prompt with characters outside the vocabulary.")
@options.decoding
@options.model
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
                 help="Set the temperature at the start of words apart from that inside words.")  # fmt: skip
@sampling_option("--no-loop", type=int, default=0, show_default="0, off", metavar="CHARACTERS",
                 help="Make it improbable to repeat more than this of the text so far.")  # fmt: skip
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
@options.output("--length", type=int, default=1000, metavar="CHARACTERS", help="End a text at this length.")
@options.output("--stop", metavar="TEXT", help="End a text after this string.")
@options.records
@novelty_option("--novel", is_flag=True,
                help="Write only whole lines that are not in the training text; of a model of running text, "
                "only texts that do not occur in --corpus.")  # fmt: skip
@novelty_option("--corpus", type=options.PATH, metavar="FILE", show_default="hashes of its lines in the model file",
                help="Read the training text for --novel from this file.")  # fmt: skip
@options.threads
def command(
    prompt: str, prompt_file: Path | None, strict: bool, encoding: str | None, errors: str | None,
    model_path: Path, threads: int | None,
    temperature: float, top_k: int, top_p: float, seed: int | None,
    n: int, length: int, stop: str | None, form: str | None, novel: bool, corpus: Path | None,
    **steering: Any,
) -> None:  # fmt: skip
    r"""Generate text, one character at a time.

    Starts at the start of a document, or after --prompt. A model of lines writes whole lines.

    Examples:
      charlm sample --length 500
      charlm sample -p "Once upon a time" -n 3 --seed 1
      charlm sample -m names.safetensors -n 20 --novel
      charlm sample --temp 0.5 --word-temp 1.2 --no-loop 20
      charlm sample -m names.safetensors -n 5 --match "[A-Z]\w{3,6}us" --without e
    """
    config = SampleConfig(temperature, top_k, top_p, length, stop, **steering)
    model = options.open_model(model_path, threads, encoding=encoding, errors=errors)
    prompt = read_prompt(model, prompt, prompt_file)
    if strict:
        list(refuse_unknown(model, [prompt]))
    warn_of_unknown(model, prompt)
    draw = partial(model.sample_each, prompt, seed=seed, threads=threads, config=config)
    if novel:
        context = prompt.rpartition("\n")[2] if model.text.lines else prompt
        samples = novel_samples(context, draw(), copies_of(model, corpus), n)
    elif n == 1 and form is None:
        for piece in chain([prompt], model.stream(prompt, seed=seed, config=config), ["\n"]):
            write(piece)
        return
    else:
        samples = draw(n=n)
    if form:
        write_records(prompt, samples, form, model.text.unit)
    else:
        write_texts(model, prompt, samples, n, end="\n" if novel or model.text.lines else "\n\n")


def read_prompt(model: charlm.LanguageModel, prompt: str, file: Path | None) -> str:
    """Return the text to continue: the prompt, then the text of a file; "-" is standard input for both."""
    name_stdin_once(prompt, file)
    warn_of_file_names([prompt], "--prompt-file")
    rest = "" if file is None else read_document(file, model.text)  # a newline at its end would end the line
    return model.clean_prompt(read_option(prompt, model.text) + rest)


def write_texts(
    model: charlm.LanguageModel, prompt: str, samples: Iterable[charlm.Sample], n: int, *, end: str
) -> None:
    """Write n texts, each with the prompt before it and with `end` after it."""
    for number, sample in enumerate(samples, 1):
        write_heading(model, number, n)
        write(prompt + sample.text + end)
        sys.stdout.flush()  # the next batch may take long


def write_records(prompt: str, samples: Iterable[charlm.Sample], form: str, unit: str) -> None:
    """Write a record for each text."""
    from charlm.cli.records import sample_record, show_records
    from charlm.sampling.sampler import Sample

    records = (sample_record(sample, prompt, index, unit) for index, sample in enumerate(samples))
    show_records(records, form, sample_record(Sample("", 0.0, False), "", 0, unit))


def warn_of_unknown(model: charlm.LanguageModel, prompt: str) -> None:
    """Warn of characters, or words, of the prompt that are not in the vocabulary."""
    pieces = model.vocabulary.split(prompt)
    unknown = sorted({pieces[position] for position in model.vocabulary.unknown(prompt)})
    if unknown:
        shown = " ".join(map(repr, unknown[:10])) + " ..." * (len(unknown) > 10)
        warn(f"the model has never seen {shown}; read as UNK")


def write_heading(model: charlm.LanguageModel, number: int, n: int) -> None:
    """Write the number of the next of several running texts, which may contain empty lines; on a terminal only."""
    if n > 1 and not model.text.lines and sys.stdout.isatty():
        write(f"--- text {number:,} of {n:,} ---\n")


def write(text: str) -> None:
    """Write text to standard output: unchanged into a pipe; escaped and at once on a terminal."""
    sys.stdout.write(for_output(text))
    if sys.stdout.isatty():
        sys.stdout.flush()


def copies_of(model: charlm.LanguageModel, corpus: Path | None) -> IsCopy:
    """Return a test of whether a text occurs in the training text.

    For running text, any part of the corpus is a copy. For lines, a whole line is a copy; of a text that was cut, the
    start of a line. Without the corpus only whole lines can be tested, by their hashes.

    Raises
    ------
    UsageError : no corpus is given, and the model has no hashes of lines
    """
    from charlm.text.novelty import hash_of, unpack_hashes

    if corpus is None:
        hashes = unpack_hashes(model.training.line_hashes)
        if not hashes:
            raise click.UsageError(
                "the model file holds no hashes of training lines; pass the training text with --corpus FILE"
            )
        return lambda text, is_whole: hash_of(model.clean(text)) in hashes if is_whole else None
    learned = model.clean(read_text(corpus, model.text))
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
