"""`python -m benchmarks NAME [OPTIONS]`: run a benchmark, or the five of docs/explanation/performance.md (`speed`)."""

from __future__ import annotations

import pkgutil
import subprocess
import sys
from importlib import import_module

import click

import benchmarks.quality
import benchmarks.speed

MODULES = {
    module.name: f"{package.__name__}.{module.name}"
    for package in (benchmarks.speed, benchmarks.quality)
    for module in pkgutil.iter_modules(package.__path__)
}
"""Name of a benchmark -> its module, which has a command `main`."""
SPEED = ("training", "sampling", "scoring", "startup", "memory")
"""Benchmarks of docs/explanation/performance.md."""
MAX_SENTENCE = 500
"""Characters of a description, at most."""


class Benchmarks(click.Group):
    """A group whose commands are the modules of `benchmarks.speed` and `benchmarks.quality`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the benchmarks."""
        return [*MODULES, *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a benchmark and return its command, or None if there is none of that name."""
        if cmd_name not in MODULES:
            return super().get_command(ctx, cmd_name)
        command: click.Command = import_module(MODULES[cmd_name]).main
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the name of each benchmark and the whole sentence that describes it."""
        commands = {name: self.get_command(ctx, name) for name in self.list_commands(ctx)}
        for package in (benchmarks.speed, benchmarks.quality):
            with formatter.section((package.__doc__ or "").partition(".")[0]):
                formatter.write_dl(
                    [
                        (name, command.get_short_help_str(MAX_SENTENCE))
                        for name, command in commands.items()
                        if command and package.__name__ in MODULES.get(name, "benchmarks.speed")
                    ]
                )


@click.group(cls=Benchmarks)
def main() -> None:
    """Measure speed, memory and quality; see docs/explanation/performance.md and docs/explanation/quality.md."""


@main.command()
def speed() -> None:
    """Run training, sampling, scoring, startup and memory, one after another (about 20 minutes)."""
    for name in SPEED:
        print(f"\n## python -m benchmarks {name}\n", flush=True)
        subprocess.run([sys.executable, "-m", "benchmarks", name], check=True)


if __name__ == "__main__":
    main(prog_name="python -m benchmarks")
