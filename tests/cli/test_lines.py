"""Commands on models of lines, on files of lines and on empty files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from charlm.model import load
from tests.cli.command import charlm

NAMES = "anna\nbert\nxcarol\n"


@pytest.fixture
def names(tmp_path: Path) -> Path:
    path = tmp_path / "names.txt"
    path.write_text(NAMES)
    return path


def summary(*arguments: object, cwd: Path) -> dict[str, str]:
    done = charlm("score", "--summary", *arguments, cwd=cwd)
    assert done.code == 0, done.err
    return dict(line.split(":\t") for line in done.out.splitlines())


def test_summary_of_a_file_is_that_of_its_lines(names_model: Path, names: Path) -> None:
    whole = summary("-m", names_model, "--file", names, cwd=names.parent)
    each = summary("-m", names_model, "--file", names, "--lines", cwd=names.parent)
    assert (whole.pop("Texts"), each.pop("Texts")) == ("1", "3")
    assert whole["Characters"] == str(len(NAMES))
    assert whole["Unknown"] == "1"
    assert {name: float(value) for name, value in whole.items()} == pytest.approx(
        {name: float(value) for name, value in each.items()}, rel=1e-5
    )


def test_spots_of_a_model_of_lines_are_its_least_probable_characters(names_model: Path, tmp_path: Path) -> None:
    text = "anna\n\nbeqt\nca\n"
    (tmp_path / "names.txt").write_text(text)
    done = charlm("odd", "names.txt", "-m", names_model, "--spots", "-n", 99, cwd=tmp_path)
    model, bits = load(names_model), {}
    for number, line in enumerate(text.split("\n"), 1):
        for score in model.score_characters(line) if line else ():
            bits[number, score.offset + 1] = score.surprisal_bits
    rows = [row.split(maxsplit=4) for row in done.out.splitlines()[1:]]
    found = {(int(line), int(column)): float(value) for value, line, column, *_ in rows}
    assert found == pytest.approx(bits, abs=0.006)
    assert [float(row[0]) for row in rows] == sorted((float(row[0]) for row in rows), reverse=True)
    assert rows[0][1:4] == ["3", "3", "'q'"]


def test_spots_of_a_model_of_lines_score_the_end_of_the_last_line(names_model: Path, tmp_path: Path) -> None:
    run = ("odd", "-m", names_model, "--spots", "-n", 99)
    whole, cut = (charlm(*run, "--file", "-", cwd=tmp_path, stdin=text) for text in (b"anna\nbe\n", b"anna\nbe"))
    assert whole.out == cut.out == charlm(*run, "anna\nbe", cwd=tmp_path).out
    assert [row.split()[1:4] for row in cut.out.splitlines()].count(["2", "3", repr("\n")]) == 1


def test_spots_of_a_model_of_lines_show_the_line_and_its_end_as_a_newline(names_model: Path, tmp_path: Path) -> None:
    run = ("odd", "-m", names_model, "--spots", "-n", 99, "anna\nbeqt")
    done = charlm(*run, cwd=tmp_path)
    places = [row.split(maxsplit=5)[5].replace("[", "").replace("]", "") for row in done.out.splitlines()[1:]]
    assert sorted(places) == sorted([repr("anna\n")[1:-1]] * 5 + [repr("beqt\n")[1:-1]] * 5)
    first = charlm(*run, "-k", 99, cwd=tmp_path).out.splitlines()[1]
    assert repr("\n") in first
    assert "<EOS>" not in first


def test_train_advises_lines_for_a_list_alone(tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("anna\nbert\ncarol\n" * 10)
    (tmp_path / "verse.txt").write_text("so much depends\nupon\n\na red wheel\nbarrow,\n" * 10)
    small = ("--hidden", 4, "--batch", 2, "--bptt", 8, "--steps", 1, "--threads", 1, "--overwrite")
    advice = "charlm: nearly all lines are short; if each is a name or word, pass --lines\n"
    assert charlm("train", "names.txt", *small, cwd=tmp_path).err.count(advice) == 1
    for other in (("names.txt", "--lines"), ("names.txt", "-q"), ("verse.txt",)):
        done = charlm("train", *other, *small, cwd=tmp_path)
        assert (done.code, advice in done.err) == (0, False)


def test_fill_prints_lines_without_a_gap_unchanged(names_model: Path) -> None:
    run = ("fill", "--file", "-", "--lines", "-m", names_model)
    stdin = b"an_a\nanna\n\nb_rt\n"
    done = charlm(*run, "--json", cwd=names_model.parent, stdin=stdin)
    rows = [json.loads(line) for line in done.out.splitlines()]
    assert (done.code, [row["text"] for row in rows]) == (0, stdin.decode().splitlines())
    model = load(names_model)
    for row in rows[1:3]:
        [reading] = row["readings"]
        assert (reading["text"], reading["filled"], reading["share"]) == (row["text"], [], 1)
        assert reading["weight"] == pytest.approx(model.score(row["text"], end=False).log_prob, abs=1e-5)
    table = charlm(*run, "-k", 1, cwd=names_model.parent, stdin=stdin).out.splitlines()
    assert [line.split()[-1] for line in table[1::2]][1] == "anna"
    assert charlm(*run, "--blank", "ab", cwd=names_model.parent, stdin=b"anna\n").code == 2


def test_rank_counts_an_empty_candidate(names_model: Path) -> None:
    run = ("score", "--rank", "--file", "-", "-m", names_model)
    done = charlm(*run, cwd=names_model.parent, stdin=b"first\tanna\nfirst\t\n")
    rows = [row.split("\t") for row in done.out.splitlines()[1:]]
    assert sorted((group, text) for group, *_, text in rows) == [("first", ""), ("first", "anna")]


def test_rank_refuses_texts_outside_of_groups(names_model: Path, names: Path) -> None:
    for files in ((), ("--file", names)):
        done = charlm("score", "--rank", "anna", "bert", *files, "-m", names_model, cwd=names.parent)
        assert (done.code, done.out) == (2, "")
        assert "--file" in done.err


def test_rank_with_strict_refuses_unknown_characters(names_model: Path) -> None:
    run = ("score", "--rank", "--file", "-", "-m", names_model)
    for flags, code in (((), 0), (("--strict",), 1)):
        done = charlm(*run, *flags, cwd=names_model.parent, stdin=b"1\tanna\n1\tann?\n")
        assert done.code == code
        assert ("'?' is not in the model's vocabulary" in done.err) == bool(code)


@pytest.mark.parametrize(
    ("arguments", "out"),
    [
        (("score", "--lines"), ["log p (nats)  nats/char  bits/char  perplexity  unknown  relative  text"]),
        (("score", "--lines", "--json"), []),
        (("score", "--lines", "--per-char"), []),
        (("score", "--rank"), ["group\tplace\trelative\tlog_prob_nats\ttext"]),
        (("fill", "--lines"), []),
    ],
)
def test_an_empty_file_has_no_lines(names_model: Path, arguments: tuple[str, ...], out: list[str]) -> None:
    done = charlm(*arguments, "--file", "-", "-m", names_model, cwd=names_model.parent, stdin=b"")
    assert (done.code, done.out.splitlines(), done.err) == (0, out, "")


def test_an_empty_text_has_no_figures_per_character(verse_model: Path) -> None:
    done = charlm("score", "", cwd=verse_model.parent)
    assert done.out.splitlines()[1].split() == ["0.000", "-", "-", "-", "0", "100.00%"]
    figures = summary("", cwd=verse_model.parent)
    assert {value for name, value in figures.items() if "er" in name and "char" not in name.lower()} == {"-"}
