"""Documents, lines, UNK, Unicode, words and fine-tuning, through the installed command."""

from __future__ import annotations

import gzip
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from charlm.cli.terminal import escape
from charlm.config import TextConfig
from charlm.text.corpus import Corpus
from charlm.text.novelty import lines_in
from tests.cli.command import charlm
from tests.cli.conftest import TINY, VERSE


def train(folder: Path, *arguments: object, stdin: bytes = b"") -> str:
    """Train a tiny model; return the output of the command."""
    done = charlm("train", *arguments, "--steps", 20, "--overwrite", *TINY, cwd=folder, stdin=stdin)
    assert done.code == 0, done.err
    return done.err


def info(folder: Path, *arguments: object) -> dict[str, object]:
    """Return the output of `charlm info --json`."""
    done = charlm("info", *arguments, "--json", cwd=folder)
    assert done.code == 0, done.err
    return dict(json.loads(done.out))


class TestManyFiles:
    def test_documents_from_files_archives_and_standard_input(self, tmp_path: Path) -> None:
        (tmp_path / "a.txt").write_text(VERSE)
        (tmp_path / "b.txt.gz").write_bytes(gzip.compress(VERSE.encode()))
        train(tmp_path, "a.txt", "b.txt.gz", "-", stdin=VERSE.encode())
        facts = info(tmp_path)["training"]
        assert facts["sources"] == ["a.txt", "b.txt.gz", "standard input"]  # type: ignore[index]
        assert facts["characters"] == 3 * len(VERSE)  # type: ignore[index]

    def test_a_folder_is_refused_with_a_hint(self, tmp_path: Path) -> None:
        done = charlm("train", ".", cwd=tmp_path)
        assert done.code == 1
        assert "*.txt" in done.err

    def test_a_hundred_bytes_train(self, tmp_path: Path) -> None:
        (tmp_path / "t.txt").write_text("ab cd ef gh " * 8 + "ijkl")
        done = charlm("train", "t.txt", "--hidden", 8, "--steps", 3, "--threads", 1, cwd=tmp_path)
        assert done.code == 0, done.err
        assert "windows shrunk" in done.err


class TestUnicode:
    def test_bom_newlines_and_every_script_make_the_round_trip(self, tmp_path: Path) -> None:
        text = "e\u0301a\u05d0\u05d1\U0001f600\x00狐 "
        (tmp_path / "t.txt").write_bytes(b"\xef\xbb\xbf" + (text + "\r\n").encode() * 30)
        train(tmp_path, "t.txt", "--min-count", 1)
        tokens = info(tmp_path)["vocabulary"]["tokens"]  # type: ignore[index]
        assert set(tokens[2:]) == set(text + "\n")
        run = ("score", "--json", "--lines", "--file", "-")
        done = charlm(*run, cwd=tmp_path, stdin=text.encode(), PYTHONIOENCODING="ascii", LC_ALL="C")
        assert json.loads(done.out)["text"] == text
        assert json.loads(done.out)["unknown"] == 0

    def test_normal_form_is_kept_and_applied_again(self, tmp_path: Path) -> None:
        (tmp_path / "t.txt").write_text("cafe\u0301 " * 40)
        train(tmp_path, "t.txt", "--normalize", "NFC")
        assert info(tmp_path)["text"]["normalize"] == "NFC"  # type: ignore[index]
        rows = [charlm("score", "--json", form, cwd=tmp_path).out for form in ("cafe\u0301", "caf\u00e9")]
        assert rows[0] == rows[1]
        assert json.loads(rows[0])["unknown"] == 0

    @pytest.mark.parametrize("text", ["e\u0301", "\u05e9\u05dc\u05d5\u05dd", "\U0001f468\u200d\U0001f467", "狐"])
    def test_safe_text_is_shown_unchanged(self, text: str) -> None:
        assert escape(text) == text

    @pytest.mark.parametrize("character", ["\x1b", "\x9b", "\x7f", "\r", "\u202e", "\u2066", "\u2028", "\ud800"])
    def test_characters_that_control_a_terminal_are_escaped(self, character: str) -> None:
        assert character not in escape(f"a{character}b")
        assert escape(f"a{character}b").startswith("a\\")

    @pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a pseudo-terminal")
    def test_samples_are_escaped_on_a_terminal_and_raw_in_a_pipe(self, tmp_path: Path) -> None:
        (tmp_path / "t.txt").write_text("\x1b[31m\x1b[0m" * 60)
        train(tmp_path, "t.txt", "--min-count", 1)
        run = ["sample", "--length", "40", "--seed", "1"]
        piped = charlm(*run, cwd=tmp_path).out
        assert "\x1b" in piped
        ours, theirs = os.openpty()
        subprocess.run([sys.executable, "-m", "charlm", *run], cwd=tmp_path, stdout=theirs, check=True, timeout=60)
        os.close(theirs)
        shown = os.read(ours, 10_000)
        os.close(ours)
        assert b"\x1b" not in shown
        assert b"\\x1b" in shown


class TestUnknown:
    def test_strict_reports_the_position(self, verse_model: Path) -> None:
        for command in (("score", "the fox\nand 狐"), ("sample", "--prompt", "the fox\nand 狐")):
            done = charlm(*command, "--strict", cwd=verse_model.parent)
            assert (done.code, done.out) == (1, "")
            assert "line 2, column 5: '狐'" in done.err
        assert charlm("score", "--strict", "the fox", cwd=verse_model.parent).code == 0

    def test_unknown_is_never_sampled(self, tmp_path: Path) -> None:
        (tmp_path / "t.txt").write_text("aaaa?bbbb!cccc;" * 20 + "xyz")
        train(tmp_path, "t.txt", "--min-count", 30)
        out = charlm("sample", "--length", 2000, "--temp", 3, "--seed", 0, cwd=tmp_path).out
        assert set(out) <= set("abc\n")


class TestLines:
    def test_lines_end_by_themselves(self, names_model: Path) -> None:
        out = charlm("sample", "-n", 50, "--seed", 2, "--length", 200, cwd=names_model.parent).out
        assert len(out.splitlines()) == 50
        assert max(map(len, out.splitlines())) < 200

    def test_novel_lines_are_not_in_the_training_text(self, names_model: Path) -> None:
        names = names_model.parent / "names.txt"
        known = set(names.read_text().split("\n"))
        corpus = Corpus.read([names], TextConfig(lines=True))
        learned = set(lines_in(corpus.train_ids, corpus.vocabulary))
        assert learned < known
        done = charlm("sample", "-n", 15, "--novel", "--seed", 1, cwd=names_model.parent)
        lines = done.out.splitlines()
        drawn = charlm("sample", "-n", 200, "--seed", 1, cwd=names_model.parent).out.splitlines()
        assert len(lines) == 15
        assert not set(lines) & learned
        assert set(drawn) & learned, "the model copies nothing, so the test tests nothing"
        remembered = charlm("sample", "-n", 15, "--novel", "--corpus", "names.txt", "--seed", 1, cwd=names_model.parent)
        assert len(remembered.out.splitlines()) == 15
        assert not set(remembered.out.splitlines()) & known
        assert "are in the training text" in done.err

    def test_novel_without_hashes_and_corpus_is_refused(self, verse_model: Path) -> None:
        done = charlm("sample", "--novel", cwd=verse_model.parent)
        assert done.code == 2
        assert "--corpus" in done.err


class TestFineTuning:
    def test_warm_start_keeps_old_ids_adds_characters_and_leaves_the_old_file_unchanged(
        self, verse_model: Path, tmp_path: Path
    ) -> None:
        before = verse_model.read_bytes()
        (tmp_path / "t.txt").write_text("the QUICK fox\n" * 60)
        said = train(tmp_path, "t.txt", "--init-from", verse_model, "--min-count", 1)
        assert "started with a model of 150 steps" in said
        old, new = (info(tmp_path, model)["vocabulary"]["tokens"] for model in (verse_model, "charlm.safetensors"))  # type: ignore[index]
        assert new[: len(old)] == old
        assert set(new[len(old) :]) == set("QUICK")
        assert verse_model.read_bytes() == before

    def test_warm_start_has_a_lower_loss_than_training_from_scratch(self, verse_model: Path, tmp_path: Path) -> None:
        (tmp_path / "t.txt").write_text(VERSE.replace("fox", "cat") * 30)
        losses = {}
        for name, extra in (("scratch", ()), ("tuned", ("--init-from", verse_model))):
            train(tmp_path, "t.txt", "-m", f"{name}.safetensors", *extra)
            rows = [json.loads(row) for row in (tmp_path / f"{name}.log.jsonl").read_text().splitlines()]
            losses[name] = [row["valid_loss"] for row in rows if row["valid_loss"] is not None]
        assert all(tuned < scratch for tuned, scratch in zip(losses["tuned"], losses["scratch"], strict=False))

    def test_another_shape_or_unit_is_refused(self, verse_model: Path, tmp_path: Path) -> None:
        (tmp_path / "t.txt").write_text(VERSE)
        run = ("train", "t.txt", "--steps", 1, "--init-from", verse_model)
        refused = ((("--hidden", 5), "hidden is 5"), (("--size", "tiny"), "size"), (("--unit", "word"), "unit"))
        for extra, message in refused:
            done = charlm(*run, *extra, cwd=tmp_path)
            assert done.code == 2
            assert message in done.err


class TestWords:
    def test_words_go_through_all_three_commands(self, tmp_path: Path) -> None:
        (tmp_path / "t.txt").write_text("The cat, 12 cats. Don't ask the cat!\n" * 30)
        said = train(tmp_path, "t.txt", "--unit", "word")
        assert "nats/word" in said
        assert "words/s" in said
        tokens = info(tmp_path)["vocabulary"]["tokens"]  # type: ignore[index]
        assert {"The", " cat", ",", " 12", " Don't", "\n"} <= set(tokens)
        assert " " not in tokens
        assert re.search(r"perplexity [\d.]+ per word; about [\d.]+ nats/char", said)
        out = charlm("sample", "--length", 30, "--seed", 0, cwd=tmp_path).out
        assert set(out.replace("\n", " ").replace(",", " ").split()) & {"cat", "cats", "ask", "the", "The"}
        assert "nats/word" in charlm("score", "the cat", cwd=tmp_path).out
        assert json.loads(charlm("score", "the zebra", "--json", cwd=tmp_path).out)["unknown"] == 1


class TestInfo:
    def test_info_says_that_a_network_is_tied(self, tmp_path: Path) -> None:
        (tmp_path / "t.txt").write_text("a cat and a dog\n" * 30)
        train(tmp_path, "t.txt", "--tied")
        assert "units x 1, tied to the softmax head, " in charlm("info", cwd=tmp_path).out

    def test_info_describes_the_model(self, names_model: Path, tmp_path: Path) -> None:
        out = charlm("info", names_model, cwd=tmp_path).out
        assert re.search(r"^logit scale +[01]\.\d{3}, calibrated on the held-out text$", out, re.MULTILINE)
        for part in ("lstm, 16 units x 1", "parameters", "names.txt", "each line is a document", "nats/char, "):
            assert part in out
        facts = info(tmp_path, names_model)
        assert facts["torch"] == "torch.nn.LSTM"
        assert "line_hashes" not in facts["training"]  # type: ignore[operator]

    def test_info_without_a_name_describes_the_default_model(self, verse_model: Path, tmp_path: Path) -> None:
        assert charlm("info", cwd=verse_model.parent).code == 0
        assert charlm("info", cwd=tmp_path).code == 1


class TestEncodings:
    """Files, prompts and stop strings are decoded and normalized as the training text."""

    @pytest.fixture
    def latin_model(self, tmp_path: Path) -> Path:
        (tmp_path / "t.txt").write_bytes("un été, un cœur\n".replace("œ", "oe").encode("latin-1") * 40)
        train(tmp_path, "t.txt", "--encoding", "latin-1")
        return tmp_path

    def test_prompt_file_is_decoded_as_the_text_was(self, latin_model: Path) -> None:
        (latin_model / "prompt").write_bytes("un été\r\n".encode("latin-1"))
        run = ("sample", "--length", 20, "--seed", 1)
        expected = charlm(*run, "--prompt", "un été\n", "--strict", cwd=latin_model)
        assert (expected.code, expected.err) == (0, "")
        assert charlm(*run, "--prompt-file", "prompt", "--strict", cwd=latin_model) == expected
        assert charlm(*run, "--prompt", "un été\r\n", "--strict", cwd=latin_model) == expected
        (latin_model / "utf").write_text("un été\n", encoding="utf-8")
        assert charlm(*run, "--prompt-file", "utf", "--encoding", "utf-8", cwd=latin_model) == expected

    @pytest.mark.parametrize(
        "command",
        [
            ("sample", "--length", 3, "--prompt-file", "FILE"),
            ("score", "--file", "FILE"),
            ("classify", "-m", "charlm.safetensors", "--file", "FILE"),
            ("odd", "FILE"),
            ("odd", "--spots", "FILE"),
            ("fill", "--file", "FILE"),
            ("gradients", "charlm.safetensors", "FILE"),
        ],
    )
    def test_commands_have_the_options_that_their_errors_name(
        self, verse_model: Path, tmp_path: Path, command: tuple[object, ...]
    ) -> None:
        (tmp_path / "charlm.safetensors").write_bytes(verse_model.read_bytes())
        (tmp_path / "FILE").write_bytes(b"the caf\xe9 _s\nand away\n")
        done = charlm(*command, cwd=tmp_path)
        assert (done.code, done.out) == (1, "" if command[0] != "sample" else done.out)
        assert "FILE: byte 7 (0xe9) is not valid utf-8" in done.err
        assert done.err.endswith("; --encoding names another encoding, --errors replace reads on\n")
        for more in (("--encoding", "latin-1"), ("--errors", "ignore")):
            done = charlm(*command, *more, cwd=tmp_path)
            assert done.code == 0, done.err
            assert done.out


class TestPromptsOfLines:
    def test_last_newline_of_a_prompt_file_is_dropped(self, names_model: Path, tmp_path: Path) -> None:
        run = ("sample", "-m", names_model, "-n", 3, "--seed", 1)
        expected = charlm(*run, "--prompt", "be", "--strict", cwd=tmp_path)
        assert expected.err == ""
        for content in (b"be\n", b"be\r\n", b"be"):
            (tmp_path / "prompt").write_bytes(content)
            assert charlm(*run, "--prompt-file", "prompt", "--strict", cwd=tmp_path) == expected

    def test_newline_in_a_prompt_ends_a_line(self, names_model: Path, tmp_path: Path) -> None:
        run = ("sample", "-m", names_model, "--seed", 1)
        plain = charlm(*run, "--prompt", "be", "--strict", cwd=tmp_path)
        after = charlm(*run, "--prompt", "anna\nbe", "--strict", cwd=tmp_path)
        assert (after.code, after.out, after.err) == (0, "anna\n" + plain.out, "")


def test_text_of_unknown_characters_only_is_refused_before_training(tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text("abc" * 50)
    done = charlm("train", "t.txt", "--min-count", 60, "--steps", 3, cwd=tmp_path)
    assert (done.code, done.out) == (1, "")
    assert "t.txt: 100% of the training text would become UNK" in done.err
    assert "pass a lower --min-count (1 keeps all)" in done.err
    assert not list(tmp_path.glob("*.safetensors"))
    (tmp_path / "t.txt").write_text("ab" * 80 + "c" * 40)
    said = train(tmp_path, "t.txt", "--min-count", 50, "--valid", 0)
    assert "20.0% of the training text is rare and becomes UNK; a lower --min-count keeps more" in said
