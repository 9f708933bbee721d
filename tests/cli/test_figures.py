"""Figures that commands print in nats, bits and bans, compared with an independent conversion of the model's."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any, ClassVar

import pytest

import charlm as package
from charlm.cli.progress import RunningMetrics, clock
from charlm.cli.scores import colour_of
from charlm.cli.tables import CONTEXT, excerpt
from charlm.model import LanguageModel
from charlm.training.report import StepReport
from tests.cli.tiny import Terminal, amounts, make_model

NATS = {"nats": 1.0, "bits": 0.6931471805599453, "bans": 2.302585092994046}
"""Nats in each unit."""
BASES = [("e", "nats"), ("2", "bits"), ("10", "bans")]
TEXTS = ("abba c", "d a\n", "ccz")  # z is unknown


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CHARLM_MODEL", raising=False)
    return tmp_path


@pytest.fixture
def charlm(capsys: pytest.CaptureFixture[str]) -> Terminal:
    return Terminal(capsys)


@pytest.fixture
def model(folder: Path) -> LanguageModel:
    return make_model(folder / "charlm.safetensors")


def parsed_table(text: str) -> list[dict[str, str]]:
    """Return the rows of a table by the titles of its columns, which are two spaces apart."""
    head, *rows = (re.split(r"  +", line.strip()) for line in text.splitlines())
    return [dict(zip(head, row, strict=True)) for row in rows]


class TestScore:
    @pytest.mark.parametrize(("base", "name"), BASES)
    @pytest.mark.parametrize("unit", ["char", "word"])
    def test_table(self, charlm: Terminal, folder: Path, base: str, name: str, unit: str) -> None:
        tokens = ["ab", "cd", " ", "a"] if unit == "word" else "abcd \n"
        model = make_model(folder / "m.safetensors", tokens=tokens, unit=unit)
        texts = {text: model.score(text) for text in ("ab cd", "a ab", "cd")}
        rows = parsed_table(charlm("score", "-m", "m.safetensors", "--base", base, *texts).out)
        assert len(rows) == 3
        for row in rows:
            score = texts[row.pop("text")]
            nats = -score.log_prob / score.characters
            assert float(row.pop("perplexity")) == pytest.approx(math.exp(nats), abs=6e-4)
            assert float(row.pop(f"log p ({name})")) == pytest.approx(score.log_prob / NATS[name], abs=6e-4)
            assert {row.pop("unknown"), row.pop("relative")[-1]} == {"0", "%"}
            assert set(row) == {f"{name}/{unit}", f"bits/{unit}"}
            for column, value in row.items():
                assert float(value) == pytest.approx(nats / NATS[column.split("/")[0]], abs=6e-5), column

    @pytest.mark.parametrize(("base", "name"), BASES)
    def test_summary(self, charlm: Terminal, model: LanguageModel, base: str, name: str) -> None:
        scores = [model.score(text) for text in TEXTS]
        total, count = sum(score.log_prob for score in scores), sum(map(len, TEXTS))
        known = total - sum(score.unknown_log_prob for score in scores)
        out = charlm("score", "--summary", "--base", base, *TEXTS).out
        figures = {key: float(value) for key, value in (line.split(":\t") for line in out.splitlines())}
        expected = {
            "Perplexity including unknown": math.exp(-total / count),
            "Perplexity excluding unknown": math.exp(-known / (count - 1)),
            "Unknown": 1,
            "Characters": count,
            "Texts": 3,
            f"Log probability ({name})": total / NATS[name],
            f"{name.capitalize()} per char": -total / count / NATS[name],
            "Bits per char": -total / count / NATS["bits"],
        }
        assert figures == pytest.approx(expected, rel=1e-5)

    @pytest.mark.parametrize("form", ["--json", "--tsv"])
    def test_forms_for_programs(self, charlm: Terminal, model: LanguageModel, form: str) -> None:
        out = charlm("score", form, *TEXTS[::2]).out.splitlines()
        rows: list[dict[str, Any]] = (
            [json.loads(line) for line in out]
            if form == "--json"
            else [dict(zip(out[0].split("\t"), line.split("\t"), strict=True)) for line in out[1:]]
        )
        for text, row in zip(TEXTS[::2], rows, strict=True):
            score = model.score(text)
            for suffix, log_prob, count in (
                ("", score.log_prob, len(text)),
                ("_known", score.log_prob - score.unknown_log_prob, len(text) - score.unknown),
            ):
                assert float(row[f"log_prob{suffix}"]) == pytest.approx(log_prob)
                assert float(row[f"bits_per_char{suffix}"]) == pytest.approx(-log_prob / count / NATS["bits"])
                assert float(row[f"perplexity{suffix}"]) == pytest.approx(math.exp(-log_prob / count))
            assert float(row["nats_per_char"]) == pytest.approx(-score.log_prob / len(text))

    @pytest.mark.parametrize(("base", "name"), BASES)
    def test_ranked_groups(self, charlm: Terminal, folder: Path, model: LanguageModel, base: str, name: str) -> None:
        (folder / "groups.tsv").write_text("g\tab\ng\tdd a\n")
        head, *rows = (line.split("\t") for line in charlm("score", "--rank", "--file", "groups.tsv", "--base", base)
                       .out.splitlines())  # fmt: skip
        assert head == ["group", "place", "relative", f"log_prob_{name}", "text"]
        weights = {text: math.exp(model.score(text).log_prob) for text in ("ab", "dd a")}
        for row in rows:
            assert float(row[3]) == pytest.approx(math.log(weights[row[4]]) / NATS[name])
            assert float(row[2]) == pytest.approx(weights[row[4]] / sum(weights.values()), rel=1e-5)

    def test_characters(self, charlm: Terminal, model: LanguageModel) -> None:
        head, *rows = (line.split("\t") for line in charlm("score", "--per-char", "abba c").out.splitlines())
        for k, row in enumerate(rows, 1):
            log_prob = model.score("abba c"[:k]).log_prob - model.score("abba c"[: k - 1]).log_prob
            figures = dict(zip(head, row, strict=True))
            assert float(figures["surprisal_bits"]) == pytest.approx(-log_prob / NATS["bits"], abs=1e-3)
            assert float(figures["probability"]) == pytest.approx(math.exp(log_prob), rel=1e-3)
        assert len(rows) == 6

    def test_pseudo(self, charlm: Terminal, folder: Path) -> None:
        model = make_model(folder / "charlm.safetensors", bidirectional=True)
        out = charlm("score", "--pseudo", "--json", "abba c").out
        assert json.loads(out)["log_prob"] == pytest.approx(model.pseudo_score("abba c").log_prob)
        (row,) = parsed_table(charlm("score", "--pseudo", "--base", "10", "abba c").out)
        nats = -model.pseudo_score("abba c").log_prob / 6
        assert float(row["bans/char"]) == pytest.approx(nats / NATS["bans"], abs=6e-5)
        assert float(row["bits/char"]) == pytest.approx(nats / NATS["bits"], abs=6e-5)


class TestHeatMap:
    LIMITS = ((1, None), (2, "cyan"), (4, "green"), (6, "yellow"), (9, "magenta"), (math.inf, "red"))
    """Bits of surprisal below which each colour is used."""

    def test_colour_of_each_surprisal(self) -> None:
        for (limit, below), (_, above) in zip(self.LIMITS, self.LIMITS[1:], strict=False):
            assert (colour_of(limit - 1e-9), colour_of(limit)) == (below, above)
        assert (colour_of(0), colour_of(50)) == (None, "red")

    def test_characters_have_the_colour_of_their_bits(self, charlm: Terminal, model: LanguageModel) -> None:
        text = "abba cdd aab cdab"
        shown = charlm("score", "--per-char", "--color", text).out
        codes = {"36": "cyan", "32": "green", "33": "yellow", "35": "magenta", "31": "red", "": None}
        found = [
            (c or plain, codes[code])
            for code, c, plain in re.findall(r"\x1b\[(\d+)m(?:\x1b\[(?:1|22)m)?(.)\x1b\[0m|(.)", shown.splitlines()[0])
        ]
        bits = [score.surprisal / NATS["bits"] for score in model.score_characters(text)]
        expected = [next(colour for limit, colour in self.LIMITS if b < limit) for b in bits]
        assert found == list(zip(text, expected, strict=True))
        assert len(set(expected)) > 2

    def test_legend(self, charlm: Terminal, model: LanguageModel) -> None:
        legend = re.sub(r"\x1b\[\d+m", "", charlm("score", "--per-char", "--color", "a").out.splitlines()[-1])
        assert legend == "surprisal in bits: 0+ 1+ 2+ 4+ 6+ 9+"


class TestOdd:
    LINES = ("abba", "c d c", "dab a", "aa")

    @pytest.mark.parametrize("in_context", [False, True])
    def test_lines(self, charlm: Terminal, folder: Path, model: LanguageModel, in_context: bool) -> None:
        (folder / "t").write_text("\n".join(self.LINES))
        before = ["", *(line + "\n" for line in self.LINES)] if in_context else [""] * 4
        expected = {
            line: -model.score(line, context=context).log_prob / len(line) / NATS["bits"]
            for line, context in zip(self.LINES, before, strict=False)
        }
        rows = parsed_table(charlm("odd", "t", *["--context"] * in_context).out)
        assert [row["text"] for row in rows] == sorted(expected, key=expected.__getitem__, reverse=True)
        for row in rows:
            assert float(row["bits/char"]) == pytest.approx(expected[row["text"]], abs=6e-4)
            assert self.LINES[int(row["line"]) - 1] == row["text"]

    def test_spots(self, charlm: Terminal, folder: Path, model: LanguageModel) -> None:
        (folder / "t").write_text("ab\nc d")
        out = charlm("odd", "t", "--spots").out.splitlines()[1:]
        bits = {(line, column): float(b) for b, line, column in (row.split()[:3] for row in out)}
        for k, position in enumerate([("1", "1"), ("1", "2"), ("1", "3"), ("2", "1"), ("2", "2"), ("2", "3")], 1):
            log_prob = model.score("ab\nc d"[:k]).log_prob - model.score("ab\nc d"[: k - 1]).log_prob
            assert bits[position] == pytest.approx(-log_prob / NATS["bits"], abs=6e-3)

    def test_spots_of_a_model_of_words_show_whole_words(self, charlm: Terminal, folder: Path) -> None:
        make_model(folder / "m.safetensors", tokens=["ab", "cd", " "], unit="word")
        (folder / "t").write_text("ab cd ab")
        rows = parsed_table(charlm("odd", "t", "-m", "m.safetensors", "--spots").out)
        shown = {row["column"]: (row["character"], row["where"]) for row in rows if row["character"] != "' '"}
        assert shown == {"1": ("'ab'", "[ab] cd ab"), "4": ("'cd'", "ab [cd] ab"), "7": ("'ab'", "ab cd [ab]")}


def test_excerpt_near_the_start_shows_the_text_before() -> None:
    text = "0123456789" * 10
    assert excerpt(text, 3, 2) == f"012[34]{text[5 : 5 + CONTEXT]}"
    assert excerpt(text, 97, 1) == f"{text[97 - CONTEXT : 97]}[7]89"


class TestClassify:
    def test_posterior_and_log_prob(self, charlm: Terminal, folder: Path) -> None:
        models = {name: make_model(folder / f"{name}.safetensors", seed=seed) for seed, name in enumerate("xy")}
        flags = ("-m", "x.safetensors", "-m", "y.safetensors", "--prior", 1, "--prior", 3, "abba", "c d")
        rows = [json.loads(line) for line in charlm("classify", "--json", *flags).out.splitlines()]
        table = parsed_table(charlm("classify", *flags).out)
        tsv = [line.split("\t") for line in charlm("classify", "--tsv", *flags).out.splitlines()]
        for k, (text, row) in enumerate(zip(("abba", "c d"), rows, strict=True)):
            log_probs = {name: model.score(text).log_prob for name, model in models.items()}
            weights = {"x": math.exp(log_probs["x"]), "y": 3 * math.exp(log_probs["y"])}
            posterior = {name: weight / sum(weights.values()) for name, weight in weights.items()}
            assert row["log_prob"] == pytest.approx(log_probs)
            assert row["posterior"] == pytest.approx(posterior)
            assert row["best"] == table[k]["best"] == max(posterior, key=posterior.__getitem__)
            assert [float(table[k][name].rstrip("%")) / 100 for name in "xy"] == pytest.approx(
                list(posterior.values()), abs=6e-5
            )
            assert [float(cell) for cell in tsv[k + 1][1:3]] == pytest.approx(list(posterior.values()))


class TestFillAndProof:
    @pytest.mark.parametrize("bidirectional", [False, True])
    def test_fill(self, charlm: Terminal, folder: Path, bidirectional: bool) -> None:
        model = make_model(folder / "charlm.safetensors", bidirectional=bidirectional)
        readings = model.fill("ab_a_", best=3)
        rows = parsed_table(charlm("fill", "ab_a_").out)
        assert [(row["share"], row["nats"]) for row in rows] == [
            (f"{100 * one.probability:.1f}%", f"{one.weight:.3f}") for one in readings
        ]
        if not bidirectional:
            assert readings[0].weight == pytest.approx(model.score(readings[0].text).log_prob, abs=1e-4)

    def test_proof(self, charlm: Terminal, folder: Path) -> None:
        model = make_model(folder / "charlm.safetensors", bidirectional=True)
        (folder / "t").write_text("abba cdd aab")
        suspects = list(model.proof("abba cdd aab", min_gain=-9))
        rows = charlm("proof", "t", "--least", -9).out.splitlines()[1:]
        objects = [json.loads(line) for line in charlm("proof", "t", "--least", -9, "--json").out.splitlines()]
        assert [float(row.split()[2]) for row in rows] == pytest.approx([s.gain for s in suspects], abs=6e-3)
        assert [one["gain"] for one in objects] == pytest.approx([s.gain for s in suspects])
        assert suspects


class TestInfo:
    TRAINING: ClassVar[dict[str, Any]] = {
        "sources": ["t.txt"], "characters": 1000, "epochs": 2.0, "steps": 30, "seconds": 4.0,
        "train_loss": 1.25, "valid_loss": 2.5, "valid": 0.1, "sharpness": 1.5,
    }  # fmt: skip

    @pytest.mark.parametrize("bidirectional", [False, True])
    @pytest.mark.parametrize("unit", ["char", "word"])
    def test_losses(self, charlm: Terminal, folder: Path, unit: str, bidirectional: bool) -> None:
        tokens = ["ab", " "] if unit == "word" else "ab "
        make_model(folder / "charlm.safetensors", unit=unit, tokens=tokens, bidirectional=bidirectional,
                   training=self.TRAINING)  # fmt: skip
        lines = charlm("info").out.splitlines()
        assert json.loads(charlm("info", "--json").out)["training"] == self.TRAINING
        for name, nats in (("training loss", 1.25), ("held-out loss", 2.5)):
            (line,) = (line for line in lines if line.startswith(name))
            assert amounts(line) == [(nats, "nats", unit), (round(nats / NATS["bits"], 4), "bits", unit)]
            assert ("negative pseudo-log-likelihood" in line) == bidirectional
            assert ("on the held-out 10%" in line) == (name == "held-out loss")


def report(step: int, train_loss: float, valid_loss: float | None = None, **more: Any) -> StepReport:
    """Return the report of a step."""
    facts = {"epoch": 0.5, "seconds": 3.0, "learning_rate": 0.1, "grad_norm": 2.0, "chars_per_second": 5000.0,
             "progress": 0.5, "is_best": False, "is_last": False} | more  # fmt: skip
    return StepReport(step=step, train_loss=train_loss, valid_loss=valid_loss, **facts)


class TestProgress:
    @pytest.mark.parametrize("unit", ["char", "word"])
    @pytest.mark.parametrize("is_pseudo", [False, True])
    def test_losses_of_a_line_and_a_bar(self, unit: str, is_pseudo: bool) -> None:
        metrics = RunningMetrics(unit, is_pseudo=is_pseudo)
        metrics.add(report(1, 2.0, 3.0))
        metrics.add(report(2, 4.0))  # without an evaluation the held-out loss stays
        metrics.add(report(3, 1.5))  # (2 * 0.98**2 + 4 * 0.98 + 1.5) / (0.98**2 + 0.98 + 1) = 2.49665
        train, held_out = f"2.497 nats/{unit} (3.602 bits/{unit})", f"3.000 nats/{unit} (4.328 bits/{unit})"
        name = "negative pseudo-log-likelihood: " if is_pseudo else ""
        line = metrics.line(report(3, 9.0))
        assert f"step 3  {name}train {train}  held-out {held_out}  5,000 {unit}s/s" in line
        assert f"{name}train {train}  held-out {held_out}" in metrics.description(report(3, 9.0), 200)
        short = f"{'pseudo ' if is_pseudo else ''}held-out 3.000 nats/{unit}"
        assert metrics.description(report(3, 9.0), 80) == f"-:-- left  5,000 {unit}s/s  {short}"
        assert metrics.description(report(3, 9.0), 96 + len(unit)).endswith(f"held-out {held_out}")
        assert metrics.description(report(3, 9.0), 40) == short

    @pytest.mark.parametrize("columns", range(50, 160))
    def test_bar_has_space_and_a_loss_at_every_width(self, columns: int) -> None:
        metrics = RunningMetrics("char")
        metrics.add(report(1, 2.0, 3.0, chars_per_second=250_000.0, progress=0.001))
        metrics.add(report(2, 2.0, seconds=120.0))
        text = metrics.description(report(2, 2.0, seconds=3600.0, progress=0.1), columns)
        assert "held-out 3.000 nats/char" in text
        assert columns - len(f"100%|| {text}") >= 6
        assert ("chars/s" in text) == (columns >= 68)

    def test_bar_before_an_evaluation_shows_the_training_loss(self) -> None:
        metrics = RunningMetrics("char")
        metrics.add(report(1, 2.0))
        assert metrics.description(report(1, 2.0), 80).endswith("train 2.000 nats/char (2.885 bits/char)")
        assert "held-out" not in metrics.line(report(1, 2.0))

    def test_time_left_excludes_the_time_before_the_first_step(self) -> None:
        """Reading the text takes 100 s, then a tenth of the steps takes 2 s."""
        metrics = RunningMetrics("char")
        first = report(1, 2.0, seconds=100.0, progress=0.1)
        metrics.add(first)
        assert "-:-- left" in metrics.line(first)
        second = report(2, 2.0, seconds=102.0, progress=0.2)
        metrics.add(second)
        assert "0:16 left" in metrics.line(second)
        assert metrics.description(second, 80).startswith("0:16 left")

    def test_time_left_of_minutes_is_the_rest_of_the_budget(self) -> None:
        metrics = RunningMetrics("char")
        for seconds in (7.0, 30.0):  # of a minute, including the reading of the text
            metrics.add(report(1, 2.0, seconds=seconds, progress=seconds / 60))
        assert "0:30 left" in metrics.line(report(1, 2.0, seconds=30.0, progress=0.5))
        assert "0:00 left" in metrics.line(report(1, 2.0, seconds=61.0, progress=61 / 60))

    def test_time_left_of_a_huge_budget_is_over_1000_hours(self) -> None:
        metrics = RunningMetrics("char")
        metrics.add(report(1, 2.0, seconds=1.0, progress=1e-308))
        for progress in (2e-308, 2e-300):
            assert "over 1,000 hours left" in metrics.line(report(2, 2.0, seconds=2.0, progress=progress))

    def test_clock(self) -> None:
        assert [clock(s) for s in (0, 9.6, 61, 3600, 3599999)] == ["0:00", "0:10", "1:01", "1:00:00", "999:59:59"]
        assert clock(3600000) == clock(math.inf) == "over 1,000 hours"


TINY = ("--hidden", 4, "--batch", 2, "--bptt", 8, "--threads", 1, "--steps", 4)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_training_reports_the_losses_of_its_files(charlm: Terminal, folder: Path, bidirectional: bool) -> None:
    (folder / "t.txt").write_text("abba cdd aab\n" * 40)
    err = charlm("train", "t.txt", *TINY, *["--bidirectional"] * bidirectional).err
    *_, progress, last, after = err.splitlines()
    assert after.startswith(f"charlm: next: charlm {'fill' if bidirectional else 'sample'} ")
    nats = package.load("charlm.safetensors").training.valid_loss
    row = json.loads((folder / "charlm.log.jsonl").read_text().splitlines()[-1])
    name = "held-out negative pseudo-log-likelihood" if bidirectional else "held-out"
    assert f"wrote charlm.safetensors: {name} {nats:.4f} nats/char" in last
    assert amounts(last) == [
        (pytest.approx(nats, abs=6e-5), "nats", "char"),
        (pytest.approx(nats / NATS["bits"], abs=6e-5), "bits", "char"),
    ]
    assert ("negative pseudo-log-likelihood: train" in progress) == bidirectional
    held_out = progress[progress.index("held-out") :]
    assert amounts(held_out) == [
        (pytest.approx(row["valid_loss"], abs=6e-4), "nats", "char"),
        (pytest.approx(row["valid_loss"] / NATS["bits"], abs=6e-4), "bits", "char"),
    ]
