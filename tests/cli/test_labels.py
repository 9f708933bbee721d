"""charlm classify with a model of labels, and charlm train --task classify."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from charlm.checkpoint import TrainingRecord
from tests.cli.command import charlm
from tests.cli.tiny import Terminal, make_model
from tests.tasks.tiny import random_classifier, random_restorer

MODEL = random_classifier()


@pytest.fixture
def terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Terminal:
    """Run commands in a folder with a model of labels, which is the default model."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CHARLM_MODEL", raising=False)
    MODEL.save("charlm.safetensors")
    return Terminal(capsys)


def test_best_label_of_each_text_is_printed(terminal: Terminal) -> None:
    shown = terminal("classify", "abc", "dd").out.splitlines()
    for line, text in zip(shown, ("abc", "dd"), strict=True):
        found = MODEL.classify(text)
        assert line.split() == [found.label, f"{found.probability:.2%}", text]


def test_top_labels_are_printed_the_best_first(terminal: Terminal) -> None:
    words = terminal("classify", "abc", "--top", 2).out.split()
    assert words[::2][:2] == list(MODEL.classify("abc").probabilities)[:2]


def test_records_have_all_labels_or_the_top_ones(terminal: Terminal) -> None:
    Path("texts.txt").write_text("abc\ndd\n")
    rows = [
        json.loads(line) for line in terminal("classify", "--lines", "--file", "texts.txt", "--json").out.splitlines()
    ]
    assert [(row["text"], row["line"], row["file"]) for row in rows] == [
        ("abc", 1, "texts.txt"),
        ("dd", 2, "texts.txt"),
    ]
    assert rows[0]["probability"] == MODEL.classify("abc").probabilities
    assert rows[0]["best"] == MODEL.classify("abc").label
    (row,) = map(json.loads, terminal("classify", "abc", "--json", "--top", 1).out.splitlines())
    assert list(row["probability"]) == [row["best"]]
    head, line = terminal("classify", "abc", "--tsv").out.splitlines()
    assert head.split("\t") == ["best", *MODEL.labels, "text"]
    assert float(line.split("\t")[1]) == MODEL.classify("abc").probabilities["one"]


def test_evaluation_prints_a_confusion_table(terminal: Terminal) -> None:
    labels = [MODEL.classify(text).label for text in ("abc", "dd", "a")]
    Path("labelled.tsv").write_text(f"{labels[0]}\tabc\n{labels[1]}\tdd\none\ta\n")
    right = 2 + (labels[2] == "one")
    accuracy, head, *rows = terminal("classify", "--evaluate", "labelled.tsv").out.splitlines()
    assert accuracy == f"accuracy: {right / 3:.2%} of 3 texts"
    assert head.split()[-6:] == ["one", "two", "three", "precision", "recall", "F1"]
    assert [row.split()[0] for row in rows] == ["one", "two", "three"]
    records = [
        json.loads(line) for line in terminal("classify", "--evaluate", "labelled.tsv", "--json").out.splitlines()
    ]
    assert sum(record["texts"] for record in records) == 3
    assert sum(record["predicted"][record["label"]] for record in records) == right
    assert len(terminal("classify", "--evaluate", "labelled.tsv", "--tsv").out.splitlines()) == 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--evaluate", "bad.tsv"), "bad.tsv: line 2: the model has no label 'four'; it has one, two, three"),
        (("--evaluate", "bad.tsv", "text"), "--evaluate reads the texts of its FILE"),
        (("a", "--prior", "0.5"), "--prior, --eos and --no-eos are for several language models"),
        (("a", "-m", "charlm.safetensors", "-m", "language"), "cannot be compared with other models"),
        (("a", "-m", "language", "-m", "language", "--top", "2"), "--top and --evaluate are for one model of labels"),
        (("a", "-m", "restorer"), "labels need a model of the task 'classify'; this model restores"),
    ],
)
def test_what_does_not_fit_is_refused(terminal: Terminal, arguments: tuple[str, ...], message: str) -> None:
    Path("bad.tsv").write_text("one\ta\nfour\tb\n")
    make_model(Path("language"))
    random_restorer().save("restorer")
    code = 1 if arguments == ("--evaluate", "bad.tsv") else 2
    assert message in terminal("classify", *arguments, code=code).err


@pytest.mark.parametrize(
    "command", [["proof", "a"], ["score", "--pseudo", "a"], ["cells", "a"], ["gradients", "a b c"]]
)
def test_commands_of_language_models_say_what_the_model_is_for(terminal: Terminal, command: list[str]) -> None:
    assert "this model predicts the label of a text: it is for `charlm classify`" in terminal(*command, code=2).err


def test_info_lists_the_labels_and_counts_characters(terminal: Terminal) -> None:
    model = random_classifier()
    model.training = TrainingRecord(sources=("rows.tsv",), characters=1234, valid_loss=0.25)
    model.save("charlm.safetensors", overwrite=True)
    shown = terminal("info").out
    assert "task          classify, 3 labels: one two three" in shown
    assert "1,234 chars, " in shown
    assert "held-out loss 0.2500 nats/label" in shown


def test_language_models_need_to_be_named(terminal: Terminal) -> None:
    Path("charlm.safetensors").unlink()
    assert "name one of labels, or two or more language models" in terminal("classify", "a", code=2).err
    make_model(Path("charlm.safetensors"))
    assert "name two or more language models, each with -m" in terminal("classify", "a", code=2).err


def test_train_learns_labels_of_rows_and_of_files(tmp_path: Path) -> None:
    (tmp_path / "b.txt").write_text("bab\nbbb\nabb\n" * 20)
    (tmp_path / "rows.tsv").write_text("c\tcac\nc\tccc\nc\tacc\n" * 20)
    flags = ("--hidden", 8, "--batch", 4, "--steps", 120, "--threads", 1, "--lr", 0.05, "--dropout", 0)
    done = charlm("train", "b.txt", "rows.tsv", "--task", "classify", *flags, cwd=tmp_path)
    assert done.code == 0, done.err
    assert "2 labels" in done.err
    assert "next: charlm classify --file FILE -m charlm.safetensors" in done.err
    shown = charlm("classify", "--lines", "--file", "-", cwd=tmp_path, stdin=b"bbab\nccca\n").out.splitlines()
    assert [line.split()[0] for line in shown] == ["b", "c"]
