"""charlm info: describe a model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, replace
from math import log
from pathlib import Path
from typing import Any

import click

import charlm
from charlm.cli import options
from charlm.cli.command import Command
from charlm.cli.tables import PSEUDO, show, show_json
from charlm.cli.terminal import escape

MAX_TOKENS = 60
"""Tokens of the vocabulary that are printed at most."""


@click.command("info", cls=Command)
@options.model
@options.output("--json", "as_json", is_flag=True, help="Print a JSON object, with the whole vocabulary.")
def command(model_path: Path, as_json: bool) -> None:
    """Print the network of a model, its training data, its vocabulary and its losses.

    Examples:
      charlm info
      charlm info -m names.safetensors --json
    """
    facts = facts_of(options.open_model(model_path), model_path)
    if as_json:
        show_json([facts])
    else:
        show(f"{name:<14}{escape(value)}" for name, value in readable(facts))


def facts_of(model: charlm.LanguageModel, path: Path) -> dict[str, Any]:
    """Return the fields of the JSON form."""
    config, text = asdict(model.config), asdict(model.text)
    if not model.labels:
        del config["outputs"], text["task"], text["remove"]
    if not model.config.encoder_decoder:
        del config["encoder_decoder"], text["target_unit"]
    if not model.reads_labels:
        del config["conditions"]
    return {
        "path": str(path),
        "config": config,
        "members": len(model.members),
        "parameters": len(model.members) * model.network.size,
        "torch": model.network.cell.in_torch(),
        "text": text,
        "unit": model.text.unit,
        "vocabulary": model.vocabulary.to_json(),
        **({"labels": list(model.labels)} if model.labels else {}),
        **({"priors": list(model.priors)} if model.priors else {}),
        "training": replace(model.training, line_hashes="", forms={}).to_json(),
    }


def readable(facts: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield names and values of the text output, each value with its unit."""
    config, text, training = facts["config"], facts["text"], facts["training"]
    unit, tokens, both = text["unit"], facts["vocabulary"]["tokens"], bool(config["bidirectional"])
    of_pairs = bool(config.get("encoder_decoder"))
    kind = " in both directions" * both + " in encoder and decoder" * of_pairs
    shape = f"{config['hidden']} units x {config['layers']}{kind}"
    shape += ", tied to the softmax head" * bool(config.get("tied"))
    documents = "each line is a document" if text["lines"] else "running text"
    shown = " ".join(map(repr, tokens[2:MAX_TOKENS])) + " ..." * (len(tokens) > MAX_TOKENS)
    yield "model", facts["path"]
    yield "network", f"{config['cell']}, {shape}, {facts['parameters']:,} parameters"
    if facts["members"] > 1:
        each = facts["parameters"] // facts["members"]
        yield "members", f"{facts['members']}, {each:,} parameters each; their probabilities are averaged"
    yield (
        "PyTorch",
        f"loads into {'two ' * (both or of_pairs)}{facts['torch']}" if facts["torch"] else "has no such cell",
    )
    yield "text", f"{documents}, {text['encoding']}, normal form {text['normalize']}"
    yield "vocabulary", f"{len(tokens):,} {unit}s, with EOS and UNK: {shown}"
    labels, priors = facts.get("labels", []), facts.get("priors")
    if priors:
        names = " ".join(f"{label} {prior:.1%}" for label, prior in zip(labels[:MAX_TOKENS], priors, strict=False))
        yield "labels", f"{len(labels):,}, with their priors: {names}" + " ..." * (len(labels) > MAX_TOKENS)
    elif labels:
        task = text["task"] + f" {text['remove']}" * bool(text["remove"])
        shown_labels = labels[of_pairs:MAX_TOKENS]  # the first one of pairs is empty
        names = "" if text["remove"] else f": {' '.join(shown_labels)}" + " ..." * (len(labels) > MAX_TOKENS)
        yield "task", f"{task}, {len(labels):,} labels{' with END' * of_pairs}{names}"
    if training:
        unit_of_loss = "label" if config.get("outputs") else unit
        yield from training_lines(training, unit, f"{PSEUDO} " * (both and not labels), unit_of_loss)


def training_lines(training: dict[str, Any], unit: str, loss_name: str, unit_of_loss: str) -> Iterator[tuple[str, str]]:
    """Yield names and values of the training, as far as the file holds them."""

    def amount(name: str) -> float:
        return training.get(name) or 0

    yield "trained on", ", ".join(map(str, training.get("sources", [])))
    size = f"{amount('characters'):,} {unit}s, {amount('epochs'):.4g} epochs"
    yield "", f"{size}, {amount('steps'):,} steps, {amount('seconds'):,.0f} s"
    losses = {"train_loss": ("training loss", "last window"),
              "valid_loss": ("held-out loss", f"on the held-out {amount('valid'):.0%}")}  # fmt: skip
    for key, (title, data) in losses.items():
        nats = training.get(key)
        if isinstance(nats, (int, float)):
            bits = nats / log(2)
            yield title, f"{loss_name}{nats:.4f} nats/{unit_of_loss}, {bits:.4f} bits/{unit_of_loss}, {data}"
    if isinstance(training.get("sharpness"), (int, float)):
        yield "logit scale", f"{training['sharpness']:.3f}, calibrated on the held-out text"
