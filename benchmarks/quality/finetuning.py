"""Fine-tuning against training from scratch: held-out loss over time with equal settings."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import click

import charlm
from benchmarks.library.alternation import describe_machine
from charlm.config import TextConfig
from charlm.runs.run import Run
from charlm.runs.setup import RunOptions


def curve(
    text: Path, lines: bool, minutes: float, seed: int, parent: Path, *, is_tuned: bool
) -> list[tuple[float, float]]:
    """Train; return seconds and held-out loss at each evaluation."""
    shape = charlm.load(parent).config
    settings = {"minutes": minutes, "seed": seed, "cell": shape.cell, "hidden": shape.hidden, "layers": shape.layers}
    with TemporaryDirectory() as folder:
        model = Path(folder) / "model.safetensors"
        init_from = parent if is_tuned else None
        with Run([text], model, settings, RunOptions(TextConfig(lines=lines), init_from=init_from)) as run:
            return [(r.seconds, r.valid_loss) for r in run.reports() if r.valid_loss is not None]


@click.command()
@click.option("--from", "parent", type=click.Path(path_type=Path), required=True, help="Model to fine-tune.")
@click.option("--text", type=click.Path(exists=True, path_type=Path), required=True)
@click.option("--lines", is_flag=True, help="Each line is a document.")
@click.option("--minutes", default=1.0, show_default=True)
@click.option("--seeds", default="0", show_default=True)
def main(parent: Path, text: Path, lines: bool, minutes: float, seeds: str) -> None:
    """Compare fine-tuning a model with training the same network from scratch."""
    print(describe_machine())
    for seed in map(int, seeds.split(",")):
        tuned, scratch = (curve(text, lines, minutes, seed, parent, is_tuned=is_tuned) for is_tuned in (True, False))
        print(f"\nseed {seed}, {text.name}, {minutes:g} minutes, held-out nats per character\n")
        print("| seconds | fine-tuned | seconds | from scratch |\n|---|---|---|---|")
        for (a, fine), (b, fresh) in zip(tuned, scratch, strict=False):
            print(f"| {a:.1f} | {fine:.4f} | {b:.1f} | {fresh:.4f} |")
        print(f"fine-tuned is lower at {sum(f[1] < s[1] for f, s in zip(tuned, scratch, strict=False))} of "
              f"{min(len(tuned), len(scratch))} evaluations", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
