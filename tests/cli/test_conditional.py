"""charlm train --labels, and the commands with a model of texts with labels."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import charlm as library
from tests.cli.command import charlm
from tests.cli.tiny import Terminal, make_model
from tests.tasks.tiny import random_conditional

MODEL = random_conditional()


@pytest.fixture
def terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Terminal:
    """Run commands in a folder with a model of texts with labels, which is the default model."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CHARLM_MODEL", raising=False)
    MODEL.save("charlm.safetensors")
    return Terminal(capsys)


def records(terminal: Terminal, *arguments: object) -> list[dict[str, object]]:
    return [json.loads(line) for line in terminal(*arguments, "--json").out.splitlines()]


def test_texts_of_a_label_are_written(terminal: Terminal) -> None:
    expected = MODEL.sample(n=4, seed=1, length=20, label="two")
    assert terminal("sample", "--label", "two", "-n", 4, "--seed", 1, "--length", 20).out.splitlines() == [
        sample.text for sample in expected
    ]
    assert "label" not in records(terminal, "sample", "--label", "two", "--length", 5)[0]


def test_labels_that_were_drawn_are_in_the_records(terminal: Terminal) -> None:
    expected = MODEL.sample(n=9, seed=2, length=20)
    shown = records(terminal, "sample", "-n", 9, "--seed", 2, "--length", 20)
    assert [(row["label"], row["text"]) for row in shown] == [(one.label, one.text) for one in expected]
    head, line = terminal("sample", "--seed", 2, "--length", 20, "--tsv").out.splitlines()
    assert dict(zip(head.split("\t"), line.split("\t"), strict=True))["label"] == expected[0].label
    assert terminal("sample", "--seed", 2, "--length", 20).out == f"{expected[0].text}\n"


def test_scores_are_those_of_a_label_or_of_all(terminal: Terminal) -> None:
    texts = ["abc", "dd a", "xa"]
    for flags, label in (((), None), (("--label", "three"), "three")):
        rows = records(terminal, "score", *texts, *flags)
        found = [row["log_prob"] for row in rows]
        assert found == pytest.approx([MODEL.score(text, label=label).log_prob for text in texts], abs=1e-5)
    words = records(terminal, "score", "ab d", "--per-word")
    assert [row["word"] for row in words] == ["ab", " d", "<EOS>"]
    assert records(terminal, "score", "ab", "--per-char", "--label", "one")[0]["character"] == "a"


def test_other_commands_take_the_label(terminal: Terminal) -> None:
    expected = MODEL.next("a", label="two").characters
    rows = records(terminal, "next", "a", "--label", "two", "-k", 3)
    assert [row["text"] for row in rows if row["kind"] == "character"] == [one.text for one in expected[:3]]
    assert terminal("score", "abc", "--adapt", "--label", "two").out
    assert charlm("write", "draft.txt", "-p", "ab", "--label", "two", cwd=Path.cwd(), stdin=b"").code == 0
    assert Path("draft.txt").read_text().startswith("ab")
    MODEL.save("other")
    mixed = terminal("sample", "-m", "charlm.safetensors", "other", "--label", "two", "--seed", 1, "--length", 9).out
    same = MODEL.conditioned("two")
    assert mixed == library.Mixture([same, same]).sample(seed=1, length=9)[0].text + "\n"


def test_labels_are_found_by_bayes_rule(terminal: Terminal) -> None:
    rows = records(terminal, "classify", "abc", "dd")
    assert [row["best"] for row in rows] == [one.label for one in MODEL.classify_each(["abc", "dd"])]
    assert rows[0]["probability"] == pytest.approx(MODEL.classify("abc").probabilities)
    Path("rows.tsv").write_text(f"{MODEL.classify('abc').label}\tabc\n")
    assert "accuracy: 100.00% of 1 texts" in terminal("classify", "--evaluate", "rows.tsv").out
    assert len(terminal("classify", "abc", "--top", 2).out.split()) == 5


def test_copies_of_training_texts_are_not_written(terminal: Terminal) -> None:
    drawn = MODEL.sample(n=3, seed=5, length=3, label="one", stop="a")
    Path("rows.tsv").write_text("".join(f"one\t{one.text}x\ntwo\t{one.text}\n" for one in drawn))
    shown = terminal("sample", "--label", "one", "--novel", "--corpus", "rows.tsv", "--seed", 5, "--length", 3,
                     "--stop", "a", "-n", 3)  # fmt: skip
    assert not {one.text for one in drawn} & set(shown.out.splitlines())


def test_info_shows_labels_with_their_priors(terminal: Terminal) -> None:
    assert "labels        3, with their priors: one 60.0% two 30.0% three 10.0%" in terminal("info").out
    (facts,) = records(terminal, "info")
    assert (facts["labels"], facts["priors"]) == (["one", "two", "three"], [0.6, 0.3, 0.1])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sample", "--label", "four"], "the model has no label 'four'; it has one, two, three"),
        (["sample", "--match", "a.*", "--exact"], "--exact draws from the texts of one label; pass --label"),
        (["score", "a", "--per-char"], "this model needs a --label, one of one, two, three"),
        (["next", "a"], "this model needs a --label, one of one, two, three"),
        (["write", "draft.txt", "--plain"], "this model needs a --label, one of one, two, three"),
        (["score", "a", "--adapt"], "--adapt needs the --label of the texts with this model"),
        (["sample", "-m", "language", "--label", "one"], "--label is for models that were trained with labels"),
        (["sample", "-m", "language", "charlm.safetensors"], "this model needs a --label, one of one, two, three"),
        (["fill", "a_"], "this model predicts text with a label: it is for `charlm sample`, `charlm score`"),
        (["proof", "a"], "this model predicts text with a label: it is for `charlm sample`, `charlm score`"),
        (["cells", "a"], "this model predicts text with a label: it is for `charlm sample`, `charlm score`"),
        (["tag", "a"], "tagging needs a model of the task 'tag'; this model predicts text with a label"),
        (["train", "rows.tsv", "--labels", "--task", "classify"], "--labels is short for --task conditional"),
        (["train", "rows.tsv", "--labels", "--tied", "-m", "new"], "--tied is True, which this task does not have"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_in_one_line(terminal: Terminal, arguments: list[str], message: str) -> None:
    make_model(Path("language"), lines=True)
    Path("rows.tsv").write_text("a\tb\nc\td\n" * 50)
    assert message in terminal(*arguments, code=2).err.splitlines()[-1]


def test_train_learns_texts_of_labels_and_says_what_is_next(tmp_path: Path) -> None:
    (tmp_path / "b.txt").write_text("bab\nbbb\nabb\nbba\nab\n" * 20)
    (tmp_path / "rows.tsv").write_text("c\tcac\nc\tccc\nc\tacc\nc\tcca\nc\tac\n" * 20)
    flags = ("--hidden", 8, "--batch", 4, "--steps", 120, "--threads", 1, "--lr", 0.05, "--dropout", 0)
    done = charlm("train", "b.txt", "rows.tsv", "--labels", *flags, cwd=tmp_path)
    assert done.code == 0, done.err
    assert "2 labels" in done.err
    assert "nats/char" in done.err
    assert "next: charlm sample --label b -m charlm.safetensors" in done.err
    shown = charlm("classify", "--lines", "--file", "-", cwd=tmp_path, stdin=b"bbab\nccca\n").out.splitlines()
    assert [line.split()[0] for line in shown] == ["b", "c"]
    drawn = charlm("sample", "--label", "c", "-n", 20, "--seed", 1, cwd=tmp_path).out
    assert drawn.count("c") > 4 * drawn.count("b")
    assert charlm("sample", "--label", "c", "--novel", "--seed", 1, cwd=tmp_path).code == 0
