"""Help texts: complete, and printed without loading NumPy."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

import charlm as package
from charlm.cli import COMMANDS, Commands
from charlm.cli import charlm as group
from charlm.cli.command import Option
from tests.cli.command import charlm


def commands() -> list[click.Command]:
    """Return every command."""
    context = click.Context(group)
    return [c for name in COMMANDS if (c := Commands.get_command(group, context, name)) is not None]  # type: ignore[arg-type]


@pytest.mark.parametrize("command", commands(), ids=lambda c: str(c.name))
def test_every_command_and_option_has_help(command: click.Command) -> None:
    assert command.help
    assert command.short_help
    for option in command.params:
        if isinstance(option, click.Option):
            assert option.help, option.name
            assert isinstance(option, Option), f"{option.name} is in no group"


@pytest.mark.parametrize("command", commands(), ids=lambda c: str(c.name))
def test_examples_of_a_command_are_accepted(command: click.Command) -> None:
    examples = (command.epilog or "").splitlines()
    assert len(examples) >= 2
    for line in examples:
        words = shlex.split(line.partition(" > ")[0])
        assert words[:2] == ["charlm", command.name]
        command.make_context(command.name, words[2:])


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("columns", [50, 80, 100])
def test_help_fits_the_terminal_and_its_examples_can_be_pasted(name: str, columns: int) -> None:
    """A long metavar, such as the names of all cells, may be wider than 50 columns."""
    root = group.make_context("charlm", [], resilient_parsing=True, terminal_width=max(columns - 2, 50))
    command = group.get_command(root, name)
    assert command is not None
    shown = command.get_help(click.Context(command, root, info_name=name))
    assert [
        line for line in shown.splitlines() if len(line) > columns and not re.match(r" *--(cell|task) \[", line)
    ] == []
    examples = shown.partition("\nExamples:\n")[2]
    joined = [shlex.split(line) for line in examples.replace("\\\n", "").splitlines()]
    assert joined == [shlex.split(line) for line in (command.epilog or "").splitlines()]
    assert columns == 50 or "\\\n" not in examples


def test_help_of_train_is_in_groups(tmp_path: Path) -> None:
    titles = re.findall(r"^([A-Z][\w-]+).*:$", charlm("train", "--help", cwd=tmp_path).out, re.MULTILINE)
    assert titles == [
        "Text", "Budget", "Network", "Held-out", "Files", "Advanced", "PyTorch", "Output", "Help", "Examples",
    ]  # fmt: skip


def test_descriptions_are_below_their_flags_on_a_narrow_terminal(tmp_path: Path) -> None:
    narrow, wide = (charlm("train", "--help", cwd=tmp_path, COLUMNS=columns).out for columns in ("50", "80"))
    assert "\n  --epochs N\n      Read the text N times.\n" in narrow
    assert "\n  --epochs N                  Read the text N times.\n" in wide


def test_defaults_have_no_parentheses_and_ranges(tmp_path: Path) -> None:
    shown = "".join(charlm(name, "--help", cwd=tmp_path, COLUMNS="100").out for name in COMMANDS)
    assert "[default: chosen]" in shown
    assert "[default: 10]" in shown
    assert "[default: (" not in shown
    assert "x>=" not in shown


def test_charlm_alone_shows_three_commands_to_try(tmp_path: Path) -> None:
    done = charlm(cwd=tmp_path)
    assert (done.code, done.out) == (2, "")
    commands = [line.split("  ")[1] for line in done.err.splitlines() if line.startswith("  charlm ")]
    assert [shlex.split(command)[1] for command in commands] == ["train", "sample", "score"]
    assert "charlm help COMMAND" in done.err
    assert len(done.err.splitlines()) < 8


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["trian"], "no such command 'trian'; did you mean train?"),
        (["help", "scroe"], "no such command 'scroe'; did you mean score?"),
        (["dance"], "no such command 'dance'; the commands are train, sample, "),
        (["a.txt"], "a.txt is a file, not a command; to train a model on it: charlm train a.txt"),
        (["sample", "--tmep", "1"], "no such option --tmep; did you mean --temp?"),
        (["train", "a.txt", "--minuts", "1"], "no such option --minuts; did you mean --minutes?"),
        (["train", "a.txt", "--learning-rate", "1"], "no such option --learning-rate; did you mean --lr?"),
        (["sample", "--minutes", "1"], "no such option --minutes; it is an option of train"),
        (["info", "--xyzzy"], "no such option --xyzzy; to list them: charlm info --help"),
        (["train", "a.txt", "--cell", "LTSM"], "'rnn-relu'; did you mean lstm?"),
        (["train", "a.txt", "--optimizer", "adma"], "'sgd'; did you mean adam?"),
        (["train", "a.txt", "--cell", "brain"], "'gru-before', 'rnn-relu'\n"),
    ],
    ids=lambda words: " ".join(words) if isinstance(words, list) else "",
)
def test_wrong_word_is_answered_with_the_most_similar_one(words: list[str], hint: str, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a text")
    done = charlm(*words, cwd=tmp_path)
    assert (done.code, done.out) == (2, "")
    assert hint in done.err


def test_help_version_and_nothing(tmp_path: Path) -> None:
    done = charlm("--help", cwd=tmp_path)
    assert done.code == 0
    assert all(name in done.out for name in COMMANDS)
    assert charlm("--version", cwd=tmp_path).out.strip() == f"charlm, version {package.__version__}"
    assert charlm(cwd=tmp_path).code == 2
    assert charlm("dance", cwd=tmp_path).code == 2


@pytest.mark.parametrize("code", [
    "import charlm",
    "import charlm.cli; charlm.cli.run(['--help'])",
    "import charlm.cli; [charlm.cli.run([name, '--help']) for name in charlm.cli.COMMANDS]",
])  # fmt: skip
def test_help_loads_no_numpy(code: str) -> None:
    check = f"{code}\nimport sys\nassert not {{'numpy', 'tqdm', 'wcwidth'}} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", check], check=True, capture_output=True, timeout=60)


def test_help_lists_the_commands_without_importing_them() -> None:
    run = "import charlm.cli, sys; charlm.cli.run(['--help'])"
    check = f"{run}; print([name for name in charlm.cli.COMMANDS if 'charlm.cli.' + name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", check], check=True, capture_output=True, text=True, timeout=60)
    listing, loaded = done.stdout.rsplit("\n", 2)[:2]
    assert loaded == "[]"
    for name, said in COMMANDS.items():
        assert f"  {name} " in listing
        assert said in listing


def test_help_of_a_command_has_two_forms(tmp_path: Path) -> None:
    assert charlm("help", cwd=tmp_path).out == charlm("--help", cwd=tmp_path).out
    for name in COMMANDS:
        done = charlm("help", name, cwd=tmp_path)
        assert (done.code, done.err) == (0, "")
        assert done.out == charlm(name, "--help", cwd=tmp_path).out
        assert done.out.startswith(f"Usage: charlm {name} ")
    done = charlm("help", "dance", cwd=tmp_path)
    assert (done.code, done.out) == (2, "")
    assert "no such command 'dance'; the commands are train, sample, " in done.err


def test_short_options_are_the_long_ones(verse_model: Path) -> None:
    folder = verse_model.parent
    assert charlm("-V", cwd=folder) == charlm("--version", cwd=folder)
    long = ("sample", "--model", verse_model, "--prompt", "the ", "--temp", 0.5, "--seed", 1, "--length", 9)
    short = ("sample", "-m", verse_model, "-p", "the ", "-t", 0.5, "--seed", 1, "--length", 9)
    assert charlm(*short, cwd=folder) == charlm(*long, cwd=folder)
    best = [charlm("score", "--per-char", flag, 2, "dog", cwd=folder) for flag in ("-k", "--best")]
    assert best[0] == best[1]


def test_quiet_prints_errors_alone(verse_model: Path) -> None:
    run = ("score", "verse.txt", "zß", "-m", verse_model)
    loud, quiet = (charlm(*run, *flags, cwd=verse_model.parent) for flags in ((), ("-q",)))
    assert loud.err.count("\n") == 2
    assert (quiet.code, quiet.out, quiet.err) == (0, loud.out, "")
    assert charlm("score", "-q", "--file", "none", cwd=verse_model.parent).err == "charlm: none: no such file\n"
