"""The texts that a command reads. One rule holds for all commands.

An argument is a text, --file names files, "-" is standard input, and a command that is given nothing reads standard
input, unless that is a terminal.
"""

from __future__ import annotations

import io
import os
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby, tee
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import click

from charlm.cli.arguments import is_file_name, is_model
from charlm.cli.terminal import warn
from charlm.config import TextConfig
from charlm.errors import CorpusError, UnknownCharacterError
from charlm.text.reading import read_chunks, read_text, require_file

if TYPE_CHECKING:
    from charlm.text_model import TextModel

Item = TypeVar("Item")
Result = TypeVar("Result")
STDIN = Path("-")
"""The path that means standard input."""
MAX_NAMES = 3
"""Files that a warning names, at most."""


class NamedText(NamedTuple):
    """A text, and where it is from.

    Attributes
    ----------
    text : the text
    file : path of its file, "-" for standard input; None for an argument
    line : number of its line in the file, from 1; None for a whole file or an argument
    """

    text: str
    file: str | None = None
    line: int | None = None


@dataclass(frozen=True)
class Inputs:
    """The texts and files of a command line, in order: first the arguments, then the values of --file.

    Attributes
    ----------
    sources : a str is a text, a path is a file
    by_line : whether each line of a file is a text
    """

    sources: tuple[str | Path, ...]
    by_line: bool = False

    @property
    def has_texts(self) -> bool:
        """Whether an argument is a text."""
        return any(isinstance(source, str) for source in self.sources)

    def texts(self, config: TextConfig) -> Iterator[NamedText]:
        """Yield the texts in order, decoding files as `config` says.

        Lines are yielded while the file is read, so that a slow source gets early answers. An empty line is a text.
        For a model of lines, the newline at the end of a file is not part of its text.
        """
        for source in self.sources:
            if isinstance(source, str):
                yield NamedText(source)
            elif self.by_line:
                yield from lines_of(source, config)
            else:
                yield NamedText(read_document(source, config), str(source))

    def documents(self, config: TextConfig) -> Iterator[NamedText]:
        """Yield each argument and each file as one text, with the newline at its end."""
        for source in self.sources:
            if isinstance(source, str):
                yield NamedText(source)
            else:
                yield NamedText(read_text(source, config), str(source))

    def chunks(self, config: TextConfig) -> Iterator[str]:
        """Yield all texts as one text, in chunks; a newline separates two of them."""
        last = "\n"
        for source in self.sources:
            if last != "\n":
                yield "\n"
            for chunk in [source] if isinstance(source, str) else read_chunks(source, config):
                yield chunk
                last = chunk[-1:] or last


def each_with(
    texts: Iterable[NamedText], function: Callable[[Iterator[str]], Iterable[Result]]
) -> Iterator[tuple[NamedText, Result]]:
    """Yield each text with its result from a function that takes all texts and yields one result for each."""
    return each_of(texts, lambda named: function(one.text for one in named))


def each_of(
    items: Iterable[Item], function: Callable[[Iterator[Item]], Iterable[Result]]
) -> Iterator[tuple[Item, Result]]:
    """Yield each item with its result from a function that takes all items and yields one result for each."""
    one, two = tee(items)
    return zip(one, function(two), strict=True)


def gather(arguments: Sequence[str], files: Sequence[Path], *, by_line: bool = False, named: bool = False) -> Inputs:
    """Return the texts of a command line.

    Parameters
    ----------
    arguments : texts; "-" is standard input
    files : values of --file
    by_line : whether each line of a file is a text
    named : whether an argument that is the name of a file is read as that file, as `odd FILE` was written before

    Raises
    ------
    UsageError : there is no text, standard input is named twice, or a file is a model
    CorpusError : a file does not exist
    """
    sources = [source_of(argument, named) for argument in arguments]
    if named:
        note_of_file_names([str(source) for source in sources if isinstance(source, Path) and source != STDIN])
    else:
        warn_of_file_names([source for source in sources if isinstance(source, str)], "--file")
    sources += require_files(files)
    name_stdin_once(*sources)
    return Inputs(tuple(sources or [piped_input()]), by_line)


def read_prefix(chunks: Iterable[str], count: int) -> str:
    """Return a text; of a long text its beginning, `count` characters or a few more."""
    text = ""
    for chunk in chunks:
        text += chunk
        if len(text) >= count:
            break
    return text


def name_stdin_once(*sources: str | Path | None) -> None:
    """Raise UsageError if "-" is among the texts and files more than once."""
    if sum(str(source) == "-" for source in sources) > 1:
        raise click.UsageError('standard input is named twice, and can be read once; pass one "-"')


def corpus_files(files: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the files to train on; without any, that of standard input."""
    require_files([Path(file) for file in files])
    return tuple(files) or (str(piped_input("name a file, or pipe a text into the command")),)


def source_of(argument: str, named: bool) -> str | Path:
    """Return a text, or the path of a file that an argument means; see `gather`."""
    if argument == "-":
        return STDIN
    if not named or not is_file_name(argument):
        return argument
    if not os.path.lexists(argument):
        raise CorpusError(f"{argument}: no such file; if it is a text, pipe it into the command")
    return require_files([Path(argument)])[0]


def require_files(files: Sequence[Path]) -> Sequence[Path]:
    """Return the paths; raise an error if one of them cannot be a file of text."""
    for path in files:
        require_file(path)
        if is_model(str(path)):
            is_training = any(option.name == "init_from" for option in click.get_current_context().command.params)
            flag = "--init-from" if is_training else "-m"
            raise click.UsageError(f"{path} is a model, not a text; pass it as {flag} {shlex.quote(str(path))}")
    return files


def piped_input(hint: str = "pass one as an argument, name a file with --file, or pipe one into the command") -> Path:
    """Return the path of standard input for a command that is given no text; UsageError if nothing is piped in."""
    if sys.stdin.isatty():
        raise click.UsageError(f"no text is given; {hint}")
    with suppress(OSError):  # reading reports it
        if isinstance(sys.stdin.buffer, io.BufferedReader) and not sys.stdin.buffer.peek(1):
            raise click.UsageError(f"no text is given, and standard input is empty; {hint}")
    return STDIN


def warn_of_file_names(texts: Iterable[str], flag: str) -> None:
    """Warn if a text is the name of a file, and print how `flag` reads the file."""
    names = [text for text in texts if os.path.isfile(text)]
    if names:
        files = listed(names)
        warn(f"{several(names)}: read as text, not as a file name; to read the contents, pass {flag} {files}")


def note_of_file_names(names: Sequence[str]) -> None:
    """Print how --file names the files that were named without it."""
    if names:
        warn(f"{several(names)}: read as a file; from the next version on, write --file {listed(names)}")


def several(names: Sequence[str]) -> str:
    """Return the first name in quotes, and the number of others."""
    return f"{names[0]!r}" + f" and {len(names) - 1:,} more" * (len(names) > 1)


def listed(names: Sequence[str]) -> str:
    """Return the first names as words of a shell."""
    return shlex.join(names[:MAX_NAMES]) + " ..." * (len(names) > MAX_NAMES)


def read_document(path: Path, config: TextConfig) -> str:
    """Return the text of a file; for a model of lines without the newline at its end."""
    text = read_text(path, config)
    return text.removesuffix("\n") if config.lines else text


def read_option(value: str, config: TextConfig) -> str:
    """Return the text that is the value of an option; "-" is standard input."""
    return read_document(STDIN, config) if value == "-" else value


def lines_of(source: str | Path, config: TextConfig) -> Iterator[NamedText]:
    """Yield the lines of a text or a file without their newlines."""
    file = None if isinstance(source, str) else str(source)
    chunks = [source] if isinstance(source, str) else read_chunks(source, config)
    rest, number = "", 0
    for chunk in chunks:
        rest += chunk
        if "\n" in chunk:
            *lines, rest = rest.split("\n")
            for number, line in enumerate(lines, number + 1):  # noqa: B020
                yield NamedText(line, file, number)
    if rest:
        yield NamedText(rest, file, number + 1)


def read_groups(source: str | Path, config: TextConfig) -> Iterator[tuple[str, list[NamedText]]]:
    """Yield (group, candidates) from a file of lines "group TAB candidate"; a group is a run of lines of one name.

    A line without a tab is a group with one candidate, its own text; a warning reports it.
    """

    def pairs() -> Iterator[tuple[str, NamedText]]:
        for line in lines_of(source, config):
            name, tab, candidate = line.text.partition("\t")
            if not tab:
                warn(f"{line.file}: line {line.line} has no tab; ranked alone")
            yield name, NamedText(candidate if tab else line.text, line.file, line.line)

    for name, run in groupby(pairs(), lambda pair: pair[0]):
        yield name, [candidate for _, candidate in run]


def refuse_unknown(model: TextModel, texts: Iterable[str]) -> Iterator[str]:
    """Yield the texts; raise UnknownCharacterError at the first one with a character outside the vocabulary."""
    for text in texts:
        try:
            model.refuse_unknown(text)
        except UnknownCharacterError as error:
            raise UnknownCharacterError(f"{error}; leave out --strict to read it as UNK") from None
        yield text
