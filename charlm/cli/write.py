"""charlm write: write a text together with a model."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import click

from charlm.cli import mixing, options
from charlm.cli.arguments import is_model
from charlm.cli.command import Command, option_group
from charlm.cli.draft import Draft
from charlm.cli.signals import Signals
from charlm.cli.terminal import warn
from charlm.cli.write_lines import write_with_lines

sampling_option = option_group("Sampling")


@click.command("write", cls=Command)
@click.argument("file", default="draft.txt", type=options.PATH, metavar="[FILE]")
@options.input("-p", "--prompt", default="", show_default=False, metavar="TEXT", help="Start a new text with this.")
@mixing.models
@sampling_option("-t", "--temp", "temperature", type=click.FloatRange(0.1, 2.0), default=0.8, metavar="T",
                 help="Propose continuations at this temperature.")  # fmt: skip
@sampling_option("--words", "length", type=click.IntRange(1, 21), default=5, metavar="N", help="Propose N words.")
@sampling_option("--seed", type=int, metavar="N", show_default="random", help="Propose the same for the same seed.")
@options.output("-k", "--best", "count", type=click.IntRange(1, 9), default=8, metavar="K",
                help="Propose K continuations.")  # fmt: skip
@options.output("--plain", is_flag=True, help="Read commands as lines and print lines, as in a pipe.")
@options.output("--json", "as_json", is_flag=True, help="Read commands as lines and print a JSON object for each step.")
@options.threads
def command(
    file: Path, prompt: str, chosen: mixing.Chosen, threads: int | None, temperature: float, length: int,
    seed: int | None, count: int, plain: bool, as_json: bool,
) -> int | None:  # fmt: skip
    """Write a text together with a model: it proposes continuations, you pick one or type.

    FILE, draft.txt by default, has the text after every step; if it exists, the text is continued. On a terminal, keys
    work at once (this needs the package prompt_toolkit). In a pipe, or with --plain, each line is a command: a number
    picks, :more :longer :shorter :warmer :cooler :undo :redo :text :quit, and any other line is added to the text.

    Examples:
      charlm write story.txt -p "The lighthouse"
      charlm write -m a.safetensors b.safetensors --weight 0.8 --weight 0.2
      charlm write poem.txt --words 3 --temp 1 --plain
    """
    from charlm.checkpoint.storage import check_writable
    from charlm.text.reading import read_text
    from charlm.writing import WritingSession

    if is_model(str(file)):
        raise click.UsageError(f"{file} is a model, not a text; pass it as -m {file}")
    is_terminal = sys.stdin.isatty() and sys.stdout.isatty() and not plain and not as_json
    has_screen = is_terminal and os.environ.get("TERM") != "dumb" and find_spec("prompt_toolkit") is not None
    model = mixing.open_models(chosen, threads, texts=["-"])  # the keys or commands
    check_writable(file)
    if file.exists():
        if prompt:
            raise click.UsageError(f"{file} exists, so its text is continued; leave out --prompt or name another file")
        start = read_text(file, replace(model.text, encoding="utf-8", errors="strict"))
        warn(f"continuing {file}: {len(start):,} characters")
    else:
        start = model.clean(prompt)
    session = WritingSession(model, start, count=count, words=length, temperature=temperature, seed=seed)
    draft = Draft(file)
    with Signals() as signals:
        try:
            if has_screen:
                from charlm.cli.write_screen import write_on_screen

                write_on_screen(session, draft)
            else:
                if is_terminal:
                    warn("keys need prompt_toolkit, so each line is a command: pip install 'charlm-numpy[write]'")
                write_with_lines(session, draft, as_json=as_json)
        except KeyboardInterrupt:
            draft.finish(session.text)
            return signals.exit_code
    draft.finish(session.text)
    return None
