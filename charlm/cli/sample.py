"""charlm sample: write more of the text that was learned."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import click

from charlm.cli.command import Command
from charlm.cli.options import decoding_options, model_option, open_model, threads_option
from charlm.cli.terminal import escape, warn
from charlm.config import SampleConfig

if TYPE_CHECKING:
    from charlm.config import TextConfig
    from charlm.model import LanguageModel
    from charlm.sampling.sampler import Sample

IsCopy = Callable[[str, bool], bool | None]
"""Whether a text is a copy, given the text and whether it is a whole line; None for not known."""

TRIES = 100
"""Draws that `--novel` spends on a line at most."""


@click.command(cls=Command)
@model_option
@click.option("--temp", "temperature", type=float, default=1.0, show_default=True, metavar="T",
              help="Divide the logits by this; 0 takes the most probable character.")  # fmt: skip
@click.option("--top-k", type=int, default=0, metavar="K",
              help="Draw among the K most probable characters.  [default: 0, all]")  # fmt: skip
@click.option("--top-p", type=float, default=1.0, metavar="P",
              help="Draw among the most probable that make up the share P.  [default: 1, all]")  # fmt: skip
@click.option("--length", type=int, metavar="N", help="Most characters a text may have.  [default: 1000]")
@click.option("--prompt", default="", metavar="TEXT", help="Begin with this; it is printed as well.")
@click.option("--prompt-file", type=click.Path(path_type=Path, allow_dash=True), metavar="FILE",
              help='Begin with the text in FILE ("-" is standard input).')  # fmt: skip
@click.option("-n", "n", type=click.IntRange(1), default=1, show_default=True, metavar="N", help="Texts to write.")
@click.option("--seed", type=int, metavar="N", help="The same seed writes the same texts.  [default: random]")
@click.option("--novel", is_flag=True, help="Write only whole lines that are not in the training text; of running "
              "text, only texts that do not occur in --corpus.")  # fmt: skip
@click.option("--corpus", type=click.Path(path_type=Path), metavar="FILE",
              help="The training text for --novel.  [default: what the model remembers of it]")  # fmt: skip
@click.option("--strict", is_flag=True, help="Refuse a prompt with unknown characters.")
@click.option("--stop", metavar="TEXT", help="End a text behind this.")
@threads_option
@decoding_options
def command(
    model_path: Path,
    temperature: float,
    top_k: int,
    top_p: float,
    length: int | None,
    prompt: str,
    prompt_file: Path | None,
    n: int,
    seed: int | None,
    novel: bool,
    corpus: Path | None,
    strict: bool,
    stop: str | None,
    threads: int | None,
    encoding: str | None,
    errors: str | None,
) -> None:
    """Write text, one character at a time, as the model would go on.

    Starts as a document starts, or behind --prompt. A model of lines writes whole lines.
    """
    config = SampleConfig(temperature, top_k, top_p, 1000 if length is None else length, stop)
    model = open_model(model_path, threads, encoding=encoding, errors=errors)
    if prompt_file is not None:
        prompt += read_prompt(prompt_file, model.text)
    prompt = model.clean(prompt)
    if strict:
        model.refuse_unknown(prompt)
    warn_of_unknown(model, prompt)
    out = sys.stdout
    if novel:
        is_copy = copies_of(model, corpus)
        last_line = prompt.rpartition("\n")[2]
        samples = model.sample_each(prompt, seed=seed, threads=threads, config=config)
        write_novel(out, prompt, last_line if model.text.lines else prompt, samples, is_copy, n)
        return
    if n == 1:
        write(out, [prompt])
        write(out, model.stream(prompt, seed=seed, config=config))
        write(out, ["\n"])
        return
    for text in model.sample_each(prompt, n=n, seed=seed, threads=threads, config=config):
        write(out, [prompt, text.text, "\n" if model.text.lines else "\n\n"])
        out.flush()  # a batch of texts may take long


def copies_of(model: LanguageModel, corpus: Path | None) -> IsCopy:
    """Return a test of whether a text is in the training text: with `corpus` in that, else by the lines' hashes.

    It takes the text, and whether it is a whole line. Of running text any part of the corpus is a copy; of lines, a
    whole line or, for a text that was cut, the beginning of one. Without a corpus that is not known (None).
    Raises UsageError if the model remembers no lines and no corpus is named.
    """
    from charlm.cli.inputs import whole
    from charlm.text.novelty import hash_of, unpack_hashes

    if corpus is None:
        seen = unpack_hashes(model.training.get("line_hashes"))
        if not seen:
            raise click.UsageError("this model remembers no lines; name its text with --corpus FILE")
        return lambda text, is_whole: hash_of(model.clean(text)) in seen if is_whole else None
    learned = model.clean(whole(corpus, model.text))
    if not model.text.lines:
        return lambda text, is_whole: model.clean(text) in learned
    lines, framed = frozenset(learned.split("\n")), f"\n{learned}"
    return lambda text, is_whole: model.clean(text) in lines if is_whole else f"\n{model.clean(text)}" in framed


def write_novel(out: TextIO, prompt: str, context: str, samples: Iterable[Sample], is_copy: IsCopy, n: int) -> None:
    """Write n texts that are new, if there are any in a hundred draws for each, and say how many were copies.

    prompt: what is written before each.  context: the part of it that belongs to the text that is looked up.
    """
    drawn = written = copies = cut = 0
    for sample in islice(samples, TRIES * n):
        drawn += 1
        known = is_copy(context + sample.text, sample.has_ended)
        copies += known is True
        cut += known is None
        if known is False:
            written += 1
            write(out, [prompt, sample.text, "\n"])
            out.flush()
        if written == n:
            break
    warn(f"{copies:,} of {drawn:,} texts drawn ({copies / drawn:.1%}) are in the training text")
    if cut:
        warn(f"{cut:,} were cut by --length or --stop, and are not written: --corpus FILE tells whether they are new")


def read_prompt(path: Path, config: TextConfig) -> str:
    """Read a prompt from a file or, for "-", from standard input.

    Editors end a file with a newline. For a model of lines it would end the line that is to be continued: dropped.
    """
    from charlm.text.reading import read_text

    text = read_text(path, config)
    return text.removesuffix("\n") if config.lines else text


def warn_of_unknown(model: LanguageModel, prompt: str) -> None:
    """Say which characters, or words, of the prompt the model has never seen."""
    pieces = model.vocabulary.split(prompt)
    unknown = sorted({pieces[place] for place in model.vocabulary.unknown(prompt)})
    if unknown:
        shown = " ".join(repr(character) for character in unknown[:10])
        warn(f"the model has never seen {shown}{' ...' if len(unknown) > 10 else ''}; read as UNK")


def write(out: TextIO, pieces: Iterable[str]) -> None:
    """Write pieces as they come: raw into a pipe, control characters escaped on a terminal."""
    on_terminal = out.isatty()
    for piece in pieces:
        out.write(escape(piece, keep="\n\t") if on_terminal else piece)
        if on_terminal:
            out.flush()
