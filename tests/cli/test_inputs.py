"""The texts that commands read: arguments, --file, "-" and standard input, through the installed command."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from charlm.cli.arguments import is_model, spread_files
from tests.cli.command import charlm
from tests.cli.tiny import make_model

TEXTS = {"a.txt": "ab_a cd\n", "b c.txt": "dd_a\nba\n"}
TEXT_COMMANDS = {
    "score": ("score", "-m", "m"),
    "classify": ("classify", "-m", "m", "-m", "m2"),
    "fill": ("fill", "-m", "m"),
    "odd": ("odd", "-m", "m"),
    "odd --spots": ("odd", "-m", "m", "--spots"),
    "proof": ("proof", "-m", "both", "--least", "-99"),
    "gradients": ("gradients", "-m", "m", "--back", "3"),
}
"""Every command that reads texts, by name."""
ONLY_TEXTS = ("score", "classify", "fill")
"""Commands whose arguments were never names of files."""

every_command = pytest.mark.parametrize("name", TEXT_COMMANDS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    for name, text in TEXTS.items():
        (folder / name).write_text(text)
    (folder / "empty.txt").touch()
    (folder / "folder").mkdir()
    make_model(folder / "m", tokens="abcd_ \n")
    make_model(folder / "m2", tokens="abcd_ \n", seed=2)
    make_model(folder / "both", tokens="abcd_ \n", bidirectional=True)
    return folder


def printed(name: str, *arguments: str, cwd: Path, stdin: bytes = b"") -> str:
    """Return what a command prints; it must print no message."""
    done = charlm(*TEXT_COMMANDS[name], *arguments, cwd=cwd, stdin=stdin)
    assert (done.code, done.err) == (0, "")
    return done.out


class TestSources:
    @every_command
    def test_text_from_any_source_is_the_same(self, name: str, folder: Path) -> None:
        text = TEXTS["a.txt"]
        expected = printed(name, "--file", "a.txt", cwd=folder)
        assert expected.count("\n") > 1
        assert printed(name, "-", cwd=folder, stdin=text.encode()) == expected
        assert printed(name, "--file", "-", cwd=folder, stdin=text.encode()) == expected
        assert printed(name, cwd=folder, stdin=text.encode()) == expected
        assert printed(name, text, cwd=folder) == expected

    @every_command
    def test_several_files_after_one_flag_are_files(self, name: str, folder: Path) -> None:
        repeated = printed(name, "--file", "a.txt", "--file", "b c.txt", "--json", cwd=folder)
        assert printed(name, "--file", "a.txt", "b c.txt", "--json", cwd=folder) == repeated
        assert printed(name, "--file=a.txt", "b c.txt", "--json", cwd=folder) == repeated
        if name != "gradients":
            assert {json.loads(line)["file"] for line in repeated.splitlines()} == {"a.txt", "b c.txt"}

    @every_command
    def test_missing_file_is_reported_before_any_result(self, name: str, folder: Path) -> None:
        for missing in ("missing.txt", "folder"):
            done = charlm(*TEXT_COMMANDS[name], "--file", "a.txt", missing, cwd=folder)
            assert (done.code, done.out) == (1, "")
            reason = "no such file" if missing == "missing.txt" else "is a folder"
            assert done.err.startswith(f"charlm: {missing}: {reason}")

    @every_command
    def test_no_text_and_empty_standard_input_are_refused(self, name: str, folder: Path) -> None:
        done = charlm(*TEXT_COMMANDS[name], cwd=folder)
        assert (done.code, done.out) == (2, "")
        assert "no text is given, and standard input is empty" in done.err

    @every_command
    def test_empty_file_ends_without_a_traceback(self, name: str, folder: Path) -> None:
        done = charlm(*TEXT_COMMANDS[name], "--file", "empty.txt", cwd=folder)
        assert done.code == {"fill": 2, "gradients": 1}.get(name, 0)
        assert "Traceback" not in done.err

    @every_command
    def test_standard_input_can_be_named_once(self, name: str, folder: Path) -> None:
        done = charlm(*TEXT_COMMANDS[name], "-", "--file", "-", cwd=folder, stdin=b"ab_a")
        assert (done.code, done.out) == (2, "")
        assert "standard input is named twice" in done.err

    def test_arguments_come_before_files_in_their_order(self, folder: Path) -> None:
        out = printed("score", "x", "-", "--json", "--file", "a.txt", cwd=folder, stdin=b"dd")
        rows = [json.loads(line) for line in out.splitlines()]
        assert [(row["text"], row["file"], row["line"]) for row in rows] == [
            ("x", None, None), ("dd", "-", None), (TEXTS["a.txt"], "a.txt", None),
        ]  # fmt: skip

    def test_table_shows_the_start_of_a_long_text_and_names_the_files(self, folder: Path) -> None:
        (folder / "long.txt").write_text("ab " * 100)
        (folder / "short.txt").write_text("cd\n")
        start = ("ab " * 100)[:200] + "..."
        rows = charlm("score", "-m", "m", "--file", "long.txt", "short.txt", cwd=folder).out
        assert f"  long.txt: {start}\n" in rows
        assert "  short.txt: cd" in rows
        assert charlm("score", "-m", "m", "--file", "long.txt", cwd=folder).out.endswith(f"  {start}\n")
        assert charlm("score", "-m", "m", "x" * 200, cwd=folder).out.endswith("  " + "x" * 200 + "\n")

    def test_lines_have_their_number(self, folder: Path) -> None:
        out = printed("score", "--lines", "--json", "--file", "b c.txt", "a.txt", cwd=folder)
        rows = [json.loads(line) for line in out.splitlines()]
        assert [(row["text"], row["file"], row["line"]) for row in rows] == [
            ("dd_a", "b c.txt", 1), ("ba", "b c.txt", 2), ("ab_a cd", "a.txt", 1),
        ]  # fmt: skip

    def test_text_after_a_file_stays_a_text(self, folder: Path) -> None:
        out = printed("score", "--json", "--file", "a.txt", "a text", cwd=folder)
        assert [json.loads(line)["file"] for line in out.splitlines()] == [None, "a.txt"]

    @pytest.mark.parametrize("option", ["--context", "--prompt"])
    def test_hyphen_as_the_value_of_an_option_is_standard_input(self, folder: Path, option: str) -> None:
        command = ("score", "-m", "m", "d") if option == "--context" else ("sample", "-m", "m", "-t", "0")
        expected = charlm(*command, option, "ab", cwd=folder)
        assert charlm(*command, option, "-", cwd=folder, stdin=b"ab") == expected
        assert charlm(*command, option, "", cwd=folder).out != expected.out

    def test_lines_of_several_files_are_named_in_the_table(self, folder: Path) -> None:
        rows = [line.split() for line in printed("odd", "--file", "a.txt", "b c.txt", cwd=folder).splitlines()]
        assert rows[0] == ["bits/char", "file", "line", "text"]
        assert sorted(" ".join(row[1:]) for row in rows[1:]) == ["a.txt 1 ab_a cd", "b c.txt 1 dd_a", "b c.txt 2 ba"]

    def test_context_does_not_cross_files(self, folder: Path) -> None:
        def scores(*files: str) -> dict[tuple[str, int], float]:
            out = printed("odd", "--context", "--json", "--file", *files, cwd=folder)
            rows = [json.loads(line) for line in out.splitlines()]
            return {(row["file"], row["line"]): row["log_prob"] for row in rows}

        assert scores("a.txt", "b c.txt") == pytest.approx(scores("a.txt") | scores("b c.txt"))

    def test_files_of_gradients_are_one_text(self, folder: Path) -> None:
        (folder / "both.txt").write_text("".join(TEXTS.values()))
        both = printed("gradients", "--json", "--file", "both.txt", cwd=folder)
        assert printed("gradients", "--json", "--file", *TEXTS, cwd=folder) == both


class TestNamesOfFiles:
    @pytest.mark.parametrize("name", ONLY_TEXTS)
    def test_argument_that_names_a_file_is_a_text_with_a_warning(self, name: str, folder: Path) -> None:
        (folder / "a_").touch()
        done = charlm(*TEXT_COMMANDS[name], "a_", "--json", cwd=folder)
        assert done.code == 0
        assert json.loads(done.out)["text"] == "a_"
        assert done.err == ("charlm: 'a_': read as text, not as a file name; to read the contents, pass --file a_\n")

    @pytest.mark.parametrize("name", [name for name in TEXT_COMMANDS if name not in ONLY_TEXTS])
    def test_old_form_reads_the_file_with_a_note(self, name: str, folder: Path) -> None:
        done = charlm(*TEXT_COMMANDS[name], "b c.txt", cwd=folder)
        assert (done.code, done.out) == (0, printed(name, "--file", "b c.txt", cwd=folder))
        assert done.err == ("charlm: 'b c.txt': read as a file; from the next version on, write --file 'b c.txt'\n")
        missing = charlm(*TEXT_COMMANDS[name], "missing.log", cwd=folder)
        assert (missing.code, missing.out) == (1, "")
        assert missing.err.startswith("charlm: missing.log: no such file; if it is a text, pipe it")

    def test_prompt_that_names_a_file_has_a_warning(self, folder: Path) -> None:
        done = charlm("sample", "-m", "m", "-p", "a.txt", "--length", 3, cwd=folder)
        assert done.out.startswith("a.txt")
        assert "to read the contents, pass --prompt-file a.txt" in done.err

    @pytest.mark.parametrize(
        ("words", "spread"),
        [
            ("x --file a.txt b.txt -n 3 c.txt", "x --file a.txt --file b.txt -n 3 c.txt"),
            ("--file a.txt - --lines", "--file a.txt --file - --lines"),
            ("--file a.txt word b.txt", "--file a.txt word b.txt"),
            ("--file a.txt -- b.txt", "--file a.txt -- b.txt"),
            ("--file", "--file"),
            ("--context a.txt b.txt", "--context a.txt b.txt"),
        ],
    )
    def test_files_after_the_flag(self, words: str, spread: str) -> None:
        assert spread_files(words.split()) == spread.split()


class TestModels:
    @pytest.mark.parametrize("name", ["score", "fill", "odd"])
    def test_model_without_its_flag_is_used_with_a_note(self, name: str, folder: Path) -> None:
        command, *more = (word for word in TEXT_COMMANDS[name] if word not in ("-m", "m"))
        done = charlm(command, *more, "m", "ab_a cd", cwd=folder)
        assert (done.code, done.out) == (0, printed(name, "ab_a cd", cwd=folder))
        assert done.err == "charlm: m is a model; from the next version on, write -m m\n"

    @pytest.mark.parametrize("name", ["fill", "odd"])
    def test_second_model_of_a_command_for_one_is_refused(self, name: str, folder: Path) -> None:
        refused = charlm(*TEXT_COMMANDS[name], "m2", "ab_a", cwd=folder)
        assert (refused.code, refused.out) == (2, "")
        assert "m2 is a model; this command takes one model, with -m" in refused.err

    def test_models_without_their_flag_are_compared(self, folder: Path) -> None:
        for name in ("classify", "gradients"):
            command, *more = (word for word in TEXT_COMMANDS[name] if word not in ("-m", "m", "m2"))
            done = charlm(command, *more, "m", "m2", "ab_a cd", cwd=folder)
            assert done.code == 0
            assert done.err == "charlm: m is a model; from the next version on, write -m m -m m2\n"
            assert done.out == charlm(command, *more, "-m", "m", "-m", "m2", "ab_a cd", cwd=folder).out

    def test_commands_without_texts_take_a_model_or_name_the_option(self, folder: Path) -> None:
        for command in (("info",), ("sample", "--seed", "1", "--length", "9"), ("next", "ab")):
            expected = charlm(*command, "-m", "m", cwd=folder)
            assert expected.code == 0
            assert charlm(*command, "m", cwd=folder)[:2] == expected[:2]
        done = charlm("sample", "-m", "m", "Once upon", cwd=folder)
        assert done.code == 2
        assert "unexpected argument 'Once upon'; to continue a text, pass -p 'Once upon'" in done.err
        assert "name a model with -m" in charlm("info", "nothing", cwd=folder).err
        assert "unexpected argument 'upon'; put PROMPT in quotes" in charlm("next", "Once", "upon", cwd=folder).err

    def test_model_as_a_text_or_a_command_is_explained(self, folder: Path) -> None:
        done = charlm("score", "--file", "a.txt", "m", cwd=folder)
        assert (done.code, done.out) == (2, "")
        assert "m is a model, not a text; pass it as -m m" in done.err
        assert "pass it as --init-from m" in charlm("train", "m", cwd=folder).err
        assert "charlm info -m m" in charlm("m", cwd=folder).err

    def test_models_are_recognised(self, folder: Path, tmp_path: Path) -> None:
        (tmp_path / "brace").write_text("12345678{")
        found = {word: is_model(str(folder / word)) for word in ("m", "a.txt", "empty.txt", "folder", "x.safetensors")}
        assert found == {"m": True, "a.txt": False, "empty.txt": False, "folder": False, "x.safetensors": True}
        assert not is_model(str(tmp_path / "brace"))
        assert not is_model("\0")


class TestTrain:
    def test_files_and_standard_input(self, tmp_path: Path) -> None:
        for name in ("a.txt", "b.txt"):
            (tmp_path / name).write_text("ab cd " * 50)
        tiny = ("--hidden", 4, "--batch", 2, "--bptt", 8, "--threads", 1, "--steps", 1, "--overwrite", "-q")

        def sources(*arguments: str, stdin: bytes = b"") -> list[str]:
            done = charlm("train", *arguments, *tiny, cwd=tmp_path, stdin=stdin)
            assert (done.code, done.out, done.err) == (0, "", "")
            return list(json.loads(charlm("info", "--json", cwd=tmp_path).out)["training"]["sources"])

        assert sources("a.txt", "b.txt") == ["a.txt", "b.txt"]
        assert sources("a.txt", "--file", "b.txt") == ["a.txt", "b.txt"]
        assert sources("--file", "a.txt", "b.txt") == ["a.txt", "b.txt"]
        assert sources(stdin=b"ab cd " * 50) == ["standard input"]
        done = charlm("train", *tiny, cwd=tmp_path)
        assert done.code == 2
        assert "no text is given" in done.err
