"""Commands whose standard output is frozen in `expected.json`, on three small models of an earlier version.

    python -m tests.golden.commands

rewrites `expected.json`. Run it only for an intended change of an output.
"""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner

from charlm.cli import charlm

FOLDER = Path(__file__).parent
EXPECTED = FOLDER / "expected.json"
TEXT, LINES, BIDIRECTIONAL = "text.safetensors", "lines.safetensors", "bidirectional.safetensors"
RESTORE, LABELS, TAGS = "restore.safetensors", "labels.safetensors", "tags.safetensors"
CONDITIONAL = "conditional.safetensors"
PAIRS = "pairs.safetensors"

COMMANDS: tuple[tuple[str, ...], ...] = (
    ("sample", "-m", TEXT, "--seed", "1", "--length", "60"),
    ("sample", "-m", TEXT, "--seed", "1", "--length", "60", "--temp", "1"),
    ("sample", "-m", TEXT, "--seed", "2", "--length", "60", "--temp", "0.5", "--prompt", "the qu"),
    ("sample", "-m", TEXT, "--seed", "3", "--length", "40", "-n", "3", "--top-k", "3"),
    ("sample", "-m", TEXT, "--seed", "4", "--length", "40", "--top-p", "0.8", "--stop", "dog"),
    ("sample", "-m", TEXT, "--temp", "0", "--length", "40"),
    ("sample", "-m", LINES, "--seed", "5", "-n", "8"),
    ("sample", "-m", LINES, "--seed", "5", "-n", "8", "--temp", "1"),
    ("sample", "-m", LINES, "--seed", "6", "-n", "4", "--novel"),
    ("sample", "-m", LINES, "--seed", "7", "-n", "4", "--match", "[a-d]\\w{3,5}", "--without", "r"),
    ("sample", "-m", TEXT, "--seed", "8", "--length", "80", "--temp", "0", "--no-loop", "8"),
    ("next", "-m", TEXT, "the qu", "-k", "2", "--json"),
    ("score", "-m", TEXT, "the lazy dog", "Fox?", "--json"),
    ("score", "-m", TEXT, "the lazy dog", "--json", "--eos"),
    ("score", "-m", TEXT, "over", "--context", "the fox jumps ", "--json"),
    ("score", "-m", TEXT, "the lazy dog", "jumps over", "--tsv"),
    ("score", "-m", TEXT, "the lazy dog runs", "--summary", "--base", "2"),
    ("score", "-m", TEXT, "a fox", "--per-char", "--json"),
    ("score", "-m", TEXT, "the quick brown fox", "the brown fox", "--adapt", "--json"),
    ("score", "-m", LINES, "anna", "bebert", "xyz", "--json"),
    ("score", "-m", BIDIRECTIONAL, "the lazy dog", "--pseudo", "--json"),
    ("score", "-m", LINES, "--rank", "--file", "groups.tsv"),
    ("classify", "-m", TEXT, "-m", LINES, "the fox", "anna", "--json"),
    ("odd", "-m", TEXT, "verse.txt"),
    ("odd", "-m", TEXT, "verse.txt", "--spots"),
    ("fill", "-m", BIDIRECTIONAL, "the qu_ck brown f_x", "--json"),
    ("fill", "-m", TEXT, "the qu_ck brown", "--json"),
    ("proof", "-m", BIDIRECTIONAL, "verse.txt", "--json"),
    ("gradients", TEXT, "verse.txt", "--json"),
    ("sample", "-m", LINES, "--temp", "1", "--seed", "5", "-n", "3", "--json"),
    ("score", "-m", LINES, "--rank", "--file", "groups.tsv", "--tsv"),
    ("odd", "-m", TEXT, "--file", "verse.txt", "--json"),
    ("gradients", "-m", TEXT, "--file", "verse.txt", "--back", "4", "--tsv"),
    ("cells", "-m", TEXT, "--file", "verse.txt", "-k", "1", "--json"),
    ("cells", "-m", TEXT, "--cell", "0.3", "the fox", "--json"),
    ("info", TEXT, "--json"),
    ("info", LINES, "--json"),
    ("info", BIDIRECTIONAL, "--json"),
    ("restore", "-m", RESTORE, "--file", "verse.txt", "--json"),
    ("restore", "-m", RESTORE, "thequick", "--min-prob", "0.5"),
    ("restore", "-m", RESTORE, "--file", "verse.txt", "--evaluate"),
    ("info", RESTORE, "--json"),
    ("classify", "-m", LABELS, "anna", "bebert", "--json"),
    ("classify", "-m", LABELS, "anna", "bebert", "--top", "2"),
    ("classify", "-m", LABELS, "--evaluate", "labels.tsv"),
    ("info", CONDITIONAL, "--json"),
    ("sample", "-m", CONDITIONAL, "--seed", "5", "-n", "4", "--json"),
    ("sample", "-m", CONDITIONAL, "--label", "saurus", "--seed", "5", "-n", "4"),
    ("score", "-m", CONDITIONAL, "Rockodon", "Rockosaurus", "--json"),
    ("score", "-m", CONDITIONAL, "Rockodon", "--label", "other", "--tsv"),
    ("classify", "-m", CONDITIONAL, "Rockodon", "Rockosaurus", "--json"),
    ("tag", "-m", TAGS, "Ann met Bob Lee in Rome.", "--json"),
    ("tag", "-m", TAGS, "--conll", "--file", "tags.conll"),
    ("tag", "-m", TAGS, "--evaluate", "tags.conll"),
    ("translate", "-m", PAIRS, "5 May 2001", "3.12.1977", "--json"),
    ("translate", "-m", PAIRS, "5 May 2001", "3.12.1977", "-k", "2", "--beam", "4"),
    ("info", PAIRS, "--json"),
)


def output_of(command: tuple[str, ...]) -> list[str]:
    """Run a command on the files of this folder; return the lines of its standard output."""
    done = CliRunner().invoke(charlm, [_located(argument) for argument in command])
    assert done.exit_code == 0, (command, done.output, done.exception)
    return done.stdout.replace(f"{FOLDER}/", "").splitlines()


def _located(argument: str) -> str:
    is_file = argument.endswith((".safetensors", ".txt", ".tsv", ".conll"))
    return str(FOLDER / argument) if is_file else argument


def main() -> None:
    """Write `expected.json`."""
    expected = {" ".join(command): output_of(command) for command in COMMANDS}
    EXPECTED.write_text(json.dumps(expected, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
