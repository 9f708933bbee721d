"""charlm info: say what a model is."""

from __future__ import annotations

import json
from math import log
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from charlm.cli.command import Command
from charlm.cli.options import model_option, open_model
from charlm.cli.tables import PSEUDO
from charlm.cli.terminal import escape

if TYPE_CHECKING:
    from charlm.model import LanguageModel

SHOWN = 60
"""Tokens of the vocabulary that are shown."""


@click.command(cls=Command)
@click.argument("model", required=False, type=click.Path(path_type=Path), metavar="[MODEL]")
@model_option
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object, with the whole vocabulary.")
def command(model: Path | None, model_path: Path, as_json: bool) -> None:
    """Print what a model is, what it was trained on, its vocabulary and its figures."""
    path = model or model_path
    facts = facts_of(open_model(path), path)
    if as_json:
        click.echo(json.dumps(facts, ensure_ascii=False))
        return
    for name, value in readable(facts):
        click.echo(f"{name:<14}{escape(value)}")


def facts_of(model: LanguageModel, path: Path) -> dict[str, Any]:
    """Return all that is known of a model, JSON-able."""
    from dataclasses import asdict

    return {
        "path": str(path),
        "config": asdict(model.config),
        "parameters": model.network.size,
        "torch": model.network.cell.in_torch(),
        "text": asdict(model.text),
        "vocabulary": model.vocabulary.to_json(),
        "training": {name: value for name, value in model.training.items() if name != "line_hashes"},
    }


def readable(facts: dict[str, Any]) -> list[tuple[str, str]]:
    """Return lines of a name and a value, each figure with its unit."""
    config, text, training = facts["config"], facts["text"], facts["training"]
    unit, tokens, both = text["unit"], facts["vocabulary"]["tokens"], bool(config["bidirectional"])
    lines = [
        ("model", facts["path"]),
        ("network", f"{config['cell']}, {config['hidden']} units x {config['layers']}{' in both directions' * both}, "
                    f"{facts['parameters']:,} parameters"),
        ("PyTorch", f"loads into {'two ' * both}{facts['torch']}" if facts["torch"] else "has no such cell"),
        ("text", f"{'each line is a document' if text['lines'] else 'running text'}, {text['encoding']}, "
                 f"normal form {text['normalize']}"),
        ("vocabulary", f"{len(tokens):,} {unit}s, with EOS and UNK: " + " ".join(map(repr, tokens[2:SHOWN]))
                       + (" ..." if len(tokens) > SHOWN else "")),
    ]  # fmt: skip
    if training:
        lines += trained(training, unit, both)
    return lines


def trained(training: dict[str, Any], unit: str, both: bool) -> list[tuple[str, str]]:
    """Return lines on the training, as far as the file tells.  both: whether the model is bidirectional."""
    lines = [("trained on", ", ".join(map(str, training.get("sources", []))))]
    lines.append(("", f"{training.get('characters') or 0:,} {unit}s, {training.get('epochs') or 0:.4g} epochs, "
                      f"{training.get('steps') or 0:,} steps, {training.get('seconds') or 0:,.0f} s"))  # fmt: skip
    for name, key in (("training loss", "train_loss"), ("held-out loss", "valid_loss")):
        nats = training.get(key)
        if isinstance(nats, (int, float)):
            share = f", on the held-out {training.get('valid') or 0:.0%}" if key == "valid_loss" else ", last window"
            pseudo = f"{PSEUDO} " if both else ""
            lines.append((name, f"{pseudo}{nats:.4f} nats/{unit}, {nats / log(2):.4f} bits/{unit}{share}"))
    if isinstance(training.get("sharpness"), (int, float)):
        lines.append(("sharpness", f"logits times {training['sharpness']:.3f}, as the held-out text wants them"))
    return lines
