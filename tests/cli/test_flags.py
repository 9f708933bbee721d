"""Messages name parameters to Python callers, and flags to users of the command line."""

from __future__ import annotations

import click
import pytest

from charlm.cli.command import Command
from charlm.cli.flags import with_flags
from charlm.config import SampleConfig
from charlm.errors import ConfigError
from tests.cli.tiny import Terminal


@click.command(cls=Command)
@click.option("-m", "--model", "model_path")
@click.option("--temp", "temperature")
@click.option("--min-count")
@click.option("--errors")
@click.option("-n", "n")
@click.option("--lines", is_flag=True)
@click.option("--eos/--no-eos", "end")
def command(**_: object) -> None:
    """Raise ConfigError."""
    SampleConfig(temperature=-1)


@pytest.mark.parametrize(
    ("message", "translated"),
    [
        ("`temperature` is -1; expected more than 0", "--temp is -1; expected more than 0"),
        ("no text is left; pass `min_count=1`", "no text is left; pass --min-count 1"),
        ('not UTF-8; pass `errors="replace"`', "not UTF-8; pass --errors replace"),
        ("`n` is 0", "-n is 0"),
        ("a line; `lines=True` or `end=False`", "a line; --lines or --no-eos"),
        ("written already; name another `path`", "written already; name another --model"),
        ("`hidden` is 0; expected 1 or more", "hidden is 0; expected 1 or more"),
        ("no memory; a smaller `hidden` or `layers=1` needs less", "no memory"),
        ("no memory; a smaller `hidden` or `n` needs less", "no memory; a smaller hidden or -n needs less"),
        ("no memory; a smaller `hidden` needs less; or set `n`", "no memory; or set -n"),
        ("`a file` is left alone", "`a file` is left alone"),
    ],
)
def test_parameter_in_message_becomes_flag_of_command(message: str, translated: str) -> None:
    with click.Context(command):
        assert with_flags(message) == translated


def test_message_outside_a_command_loses_its_backticks() -> None:
    assert with_flags("`temperature` is -1") == "temperature is -1"


def test_error_of_a_command_names_its_flag() -> None:
    with pytest.raises(ConfigError, match=r"^--temp is -1; expected 0 or more$") as caught:
        command.main([], standalone_mode=False)
    assert (caught.value.field, caught.value.value) == ("temperature", -1)


def test_python_caller_reads_the_name_of_the_parameter() -> None:
    with pytest.raises(ConfigError, match=r"^`temperature` is nan; expected a finite number, 0 or more$"):
        SampleConfig(temperature=float("nan"))


def test_error_on_the_command_line_names_its_flag(capsys: pytest.CaptureFixture[str]) -> None:
    shown = Terminal(capsys)("sample", "--top-p", 2, code=2)
    assert shown.err == "charlm: --top-p is 2.0; expected in (0, 1]\n"
