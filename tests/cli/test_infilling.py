"""charlm fill, charlm proof and charlm score --pseudo, through the installed command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from charlm.cli.proof import shown
from tests.cli.command import charlm
from tests.cli.conftest import TINY, VERSE


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a bidirectional model."""
    folder = tmp_path_factory.mktemp("both")
    (folder / "verse.txt").write_text(VERSE * 30)
    done = charlm("train", "verse.txt", "--bidirectional", "--steps", 200, *TINY, "--bptt", 40, cwd=folder)
    assert done.code == 0, done.err
    assert "bidirectional lstm" in done.err
    return folder


def test_fill_prints_readings_with_their_probabilities(both: Path) -> None:
    done = charlm("fill", "the qu_ck br_wn fox", "-k", 2, cwd=both)
    head, first, *_ = done.out.splitlines()
    assert head.split() == ["share", "nats", "text"]
    assert first.endswith("the quick brown fox")
    assert first.split()[0].endswith("%")


def test_fill_reads_lines_and_prints_json(both: Path) -> None:
    run = ("fill", "--file", "-", "--lines", "--blank", "?", "--json")
    done = charlm(*run, cwd=both, stdin=b"the l?zy dog\nand r?ns away\n")
    rows = [json.loads(line) for line in done.out.splitlines()]
    assert [row["readings"][0]["text"] for row in rows] == ["the lazy dog", "and runs away"]
    assert rows[0]["readings"][0]["filled"] == ["a"]


def test_fill_with_a_unidirectional_model_works(verse_model: Path) -> None:
    done = charlm("fill", "the quick br_wn", "-m", verse_model, cwd=verse_model.parent)
    assert done.out.splitlines()[1].endswith("the quick brown")


def test_proof_prints_a_row_for_each_wrong_word(both: Path) -> None:
    """The excerpt is the line of the word."""
    done = charlm("proof", "-", cwd=both, stdin=(VERSE + VERSE.replace("lazy", "lbzy") + VERSE).encode())
    head, row = done.out.splitlines()
    assert head.split() == ["line", "column", "gain/nats", "correction", "probability", "others", "where"]
    assert row.split()[:2] == ["5", "17"]
    assert "  lbzy -> lazy  " in row
    assert row.endswith("  jumps over the [lbzy] dog")


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a pseudo-terminal")
@pytest.mark.parametrize("no_color", ["", "1"])
def test_proof_colours_the_word_on_a_terminal(both: Path, no_color: str) -> None:
    ours, theirs = os.openpty()
    env = os.environ | {"NO_COLOR": no_color}
    command = [sys.executable, "-m", "charlm", "proof", VERSE.replace("lazy", "lb\x1bzy")]
    subprocess.run(command, stdout=theirs, env=env, cwd=both, check=True, timeout=60)
    os.close(theirs)
    shown = os.read(ours, 10_000)
    os.close(ours)
    assert b"\\x1b" in shown, "a control character of the text is not escaped"
    assert (b"\x1b[31m" in shown) == (no_color == "")
    assert shown.replace(b"\x1b[31m\x1b[1m", b"").replace(b"\x1b[0m", b"").count(b"\x1b") == 0


@pytest.mark.parametrize(
    ("word", "expected"), [("teh", "teh"), ("th e", "th e"), ("", "''"), (" ", "' '"), ("dog\n", "'dog\\n'")]
)
def test_proof_shows_a_word_with_spaces_at_its_ends_in_quotes(word: str, expected: str) -> None:
    assert shown(word) == expected


def test_proof_prints_json_of_the_clearest(both: Path) -> None:
    text = VERSE + VERSE.replace("lazy", "lbzy").replace("quick", "qxick") + VERSE
    done = charlm("proof", "-", "-n", 1, "--json", cwd=both, stdin=text.encode())
    (row,) = (json.loads(line) for line in done.out.splitlines())
    assert row["character"] in "bx"
    wanted = {"b": ("lbzy", "lazy", "a"), "x": ("qxick", "quick", "u")}[row["character"]]
    first = row["proposals"][0]
    assert (row["word"], row["replacement"], first["character"]) == wanted
    assert (row["kind"], row["gain"] > 3) == ("substitution", True)
    assert all(first[key] == row[key] for key in ("kind", "replacement"))


def test_proof_of_an_unknown_character_shows_it_alone(both: Path) -> None:
    text = VERSE + VERSE.replace("lazy", "l#zy") + VERSE
    rows = charlm("proof", cwd=both, stdin=text.encode()).out.splitlines()
    assert any(row.endswith(" over the [l#zy] dog") for row in rows)
    records = charlm("proof", "--json", cwd=both, stdin=text.encode()).out.splitlines()
    assert "#" in {json.loads(record)["character"] for record in records}


def test_pseudo_score_ranks(both: Path) -> None:
    done = charlm("score", "--pseudo", "the quikc brown fox", "the quick brown fox", cwd=both)
    assert done.out.splitlines()[1].endswith("the quick brown fox")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("sample",), "pseudo-log-likelihood"),
        (("score", "a text"), "--pseudo"),
        (("fill", "nothing missing"), "--blank"),
        (("fill",), "no text is given"),
        (("score", "--pseudo", "--adapt", "a"), "--pseudo"),
    ],
)
def test_impossible_request_is_refused_with_the_reason(both: Path, arguments: tuple[str, ...], message: str) -> None:
    done = charlm(*arguments, cwd=both)
    assert done.code == 2
    assert message in done.err
    assert "Traceback" not in done.err


def test_info_of_a_bidirectional_model_names_two_stacks(both: Path) -> None:
    out = charlm("info", cwd=both).out
    assert "16 units x 1 in both directions" in out
    assert "loads into two torch.nn.LSTM" in out


def test_proof_with_a_unidirectional_model_is_refused(verse_model: Path) -> None:
    done = charlm("proof", "-", "-m", verse_model, cwd=verse_model.parent, stdin=b"a text")
    assert done.code == 2
    assert "--bidirectional" in done.err
