"""charlm train: train a model."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from charlm import config
from charlm.cli import options
from charlm.cli.command import Command, option_group
from charlm.cli.completion import model_files
from charlm.cli.signals import Signals
from charlm.cli.terminal import warn_as_is
from charlm.nn.cells import CELLS
from charlm.optim import OPTIMIZERS
from charlm.tasks import TASKS

if TYPE_CHECKING:
    from charlm.model import LanguageModel

text_option = option_group("Text")
budget_option = option_group("Budget (training ends when the first is used up)")
network_option = option_group("Network", show_default="chosen")
held_out_option = option_group("Held-out")
file_option = option_group("Files")
advanced_option = option_group("Advanced", show_default="chosen")
torch_option = option_group("PyTorch")


@click.command("train", cls=Command)
@options.corpora
@text_option("--lines", is_flag=True, help="Treat each line as a document, such as a name.")
@text_option("--unit", type=click.Choice(config.UNITS), default="char", help="Model characters or words.")
@text_option("--min-count", type=int, metavar="N", show_default="chosen",
             help="Map characters that occur fewer than N times to UNK.")  # fmt: skip
@text_option("--encoding", metavar="NAME", default="utf-8", help="Decode the text with this encoding.")
@text_option("--errors", type=click.Choice(config.DECODING_ERRORS), default="strict",
             help="Refuse, replace or ignore invalid bytes.")  # fmt: skip
@text_option("--normalize", type=click.Choice(config.NORMALIZATIONS), default="none",
             help="Convert the text to this Unicode normal form, and later all prompts and scored texts.")  # fmt: skip
@text_option("--task", type=click.Choice(list(TASKS)), default="language",
             help="Predict text, restore what --remove removes, classify texts, tag tokens, map pairs, or predict "
             "text with a label.")  # fmt: skip
@text_option("--labels", is_flag=True,
             help='Learn texts with labels, from lines "label TAB text" or from a file for each label; the same as '
             "--task conditional.")  # fmt: skip
@text_option("--remove", default="", metavar="KINDS", show_default="none",
             help="Remove marks, case, spaces or punctuation; several with commas.")  # fmt: skip
@text_option("--target-unit", type=click.Choice(config.TARGET_UNITS), default="char",
             help="Split the targets of --task pairs into characters, or symbols between spaces.")  # fmt: skip
@budget_option("--minutes", type=float, metavar="MINUTES", show_default="by the length of the text",
               help="Train for this time.")  # fmt: skip
@budget_option("--epochs", type=float, metavar="N", help="Read the text N times.")
@budget_option("--steps", type=int, metavar="N", help="Update the weights N times.")
@network_option("--size", type=click.Choice(config.SIZES), help="Use a network of this size.")
@network_option("--cell", type=click.Choice(list(CELLS)), show_default="lstm", help="Use this recurrent cell.")
@network_option("--hidden", type=int, metavar="UNITS", help="Set the units of each layer.")
@network_option("--layers", type=int, metavar="N", help="Stack N layers.")
@network_option("--bidirectional", is_flag=True, default=None, show_default=False,
                help="Predict each character from both sides, for fill, proof and score --pseudo.")  # fmt: skip
@network_option("--tied/--untied", default=None, show_default="chosen by the vocabulary",
                help="Use the weights of the output layer as embeddings of the input, too.")  # fmt: skip
@network_option("--ensemble", type=int, metavar="K",
                help="Train K networks with different seeds, and average their probabilities.")  # fmt: skip
@held_out_option("--valid", type=float, metavar="FRACTION", show_default="0.1, less of long texts",
                 help="Hold out this fraction of the text.")  # fmt: skip
@held_out_option("--held-out", type=click.Choice(config.HELD_OUT), show_default="spread",
                 help="Hold out passages spread over running text, or its end.")  # fmt: skip
@held_out_option("--patience", type=int, metavar="N", show_default="chosen",
                 help="Stop after N evaluations without improvement; 0 disables early stopping.")  # fmt: skip
@options.model_in("Files", "Write the model to this file.")
@file_option("--overwrite", is_flag=True, help="Replace an existing model.")
@file_option("--resume", is_flag=True, help="Resume the run that was stopped, with its settings.")
@file_option("--keep-state", is_flag=True,
             help="Keep the state of the finished run, so that --resume with a larger budget extends it.")  # fmt: skip
@file_option("--save-every", "save_minutes", type=float, default=1.0, metavar="MINUTES",
             help="Save the run at this interval; 0 saves after every step.")  # fmt: skip
@file_option("--init-from", type=options.PATH, metavar="MODEL", shell_complete=model_files,
             help="Start from the weights of this model.")  # fmt: skip
@advanced_option("--lr", "learning_rate", type=float, metavar="RATE", help="Set the peak learning rate.")
@advanced_option("--optimizer", type=click.Choice(list(OPTIMIZERS)), show_default="adam", help="Use this optimizer.")
@advanced_option("--batch", type=int, metavar="STREAMS", help="Read this number of streams in parallel.")
@advanced_option("--bptt", type=int, metavar="STEPS", help="Truncate back-propagation through time at this length.")
@advanced_option("--clip", type=float, metavar="NORM", show_default="1",
                 help="Clip the gradient at this L2 norm; 0 disables clipping.")  # fmt: skip
@advanced_option("--dropout", type=float, metavar="P", help="Drop outputs of each layer with probability P.")
@advanced_option("--recurrent-dropout", type=float, metavar="P", help="Drop recurrent weights with probability P.")
@advanced_option("--seed", type=int, metavar="N", show_default="0", help="Seed all random numbers.")
@options.threads_in("Advanced")
@torch_option("--engine", type=click.Choice(config.ENGINES), default="numpy",
              help="Compute with NumPy, or with PyTorch, also under torchrun.")  # fmt: skip
@torch_option("--device", type=click.Choice(config.DEVICES), default="auto", help="Compute on this device.")
@torch_option("--precision", type=click.Choice(config.PRECISIONS), default="float32",
              help="Multiply matrices in this precision of PyTorch; the weights are float32.")  # fmt: skip
@options.output("--progress/--no-progress", "shows_progress", default=True, show_default=False,
                help="Show the progress: a bar on a terminal, lines elsewhere.")  # fmt: skip
@options.output("--samples/--no-samples", "shows_samples", default=True, show_default=False,
                help="Show a sample of the model at each evaluation, on a terminal.")  # fmt: skip
def command(
    files: tuple[str, ...], lines: bool, unit: str, min_count: int | None, encoding: str, errors: str, normalize: str,
    task: str, labels: bool, remove: str, target_unit: str, model_path: Path, init_from: Path | None, resume: bool,
    save_minutes: float, keep_state: bool, overwrite: bool, shows_progress: bool, shows_samples: bool, engine: str,
    device: str, precision: str, **settings: Any,
) -> int:  # fmt: skip
    """Train a model on the text in FILE... and write it to a file.

    charlm holds out a part of the text and keeps the weights with the lowest loss on it. It derives the settings that
    you do not give from the text, the time and the machine. Ctrl-C saves the run and stops. FILE "-" is standard input.

    Examples:
      charlm train corpus.txt --minutes 10 --keep-state
      charlm train names.txt --lines -m names.safetensors
      charlm train surnames.tsv --labels -m surnames.safetensors
      charlm train corpus.txt --task restore --remove marks -m marks
      charlm train words.tsv --task pairs --target-unit symbol -m sounds
      charlm train corpus.txt --resume --minutes 30
    """
    from charlm.cli.progress import print_event, train_with_progress
    from charlm.runs.run import Run
    from charlm.runs.setup import RunOptions

    if labels and task not in ("language", "conditional"):
        raise click.UsageError(f"--labels is short for --task conditional; leave out --task {task}")
    task = "conditional" if labels else task
    text = config.TextConfig(unit, lines, min_count, encoding, errors, normalize, task, remove, target_unit)
    computing = config.EngineConfig(engine, device, precision)
    run_options = RunOptions(text, computing, overwrite, resume, save_minutes, init_from, keep_state)
    with Signals() as signals:
        try:
            with Run(files, model_path, settings, run_options, print_event) as run:
                signals.stop = run.stop
                if run.group.is_main_process:
                    train_with_progress(run, shows_progress=shows_progress, shows_samples=shows_samples)
                else:
                    for _ in run.reports():
                        pass
        except KeyboardInterrupt:
            return signals.exit_code
        if run.group.is_main_process:
            if run.is_interrupted:
                warn_as_is(f"stopped; resume with: {resume_command(files, model_path)}")
            else:
                warn_as_is(f"next: {next_command(model_path, run.model)}")
        return signals.exit_code if run.is_interrupted else 0


def next_command(path: Path, model: LanguageModel) -> str:
    """Return a shell command that uses the model."""
    use = ["fill", "a lette_ is miss_ng"] if model.config.bidirectional else ["sample"]
    if model.reads_labels:
        use = ["sample", "--label", model.labels[0]]
    elif model.labels:
        use = [model.task.commands[0], "--file", "FILE"]
    return shlex.join(["charlm", *use, "-m", str(path)])


def resume_command(files: Sequence[str], model: Path) -> str:
    """Return the shell command that resumes a run; "--" precedes texts whose names look like options."""
    flags = ["-m", str(model), "--resume"]
    looks_like_option = any(file.startswith("-") and file != "-" for file in files)
    return shlex.join(["charlm", "train", *([*flags, "--", *files] if looks_like_option else [*files, *flags])])
