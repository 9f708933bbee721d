"""charlm sample --novel: which texts are new, and the fraction of copies."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from charlm.config import SampleConfig
from charlm.model import LanguageModel
from charlm.text.novelty import pack_hashes
from tests.cli.tiny import Terminal, make_model

KNOWN = ("a", "b", "c", "ab", "dab")
N = 12


@pytest.fixture
def charlm(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CHARLM_MODEL", raising=False)
    (tmp_path / "known.txt").write_text("\n".join(KNOWN))
    return Terminal(capsys)


def model_of(lines: bool, hashes: bool = True) -> LanguageModel:
    """Return a model that often ends a line, so that it often draws short lines."""
    training = {"sources": ["known.txt"]} | ({"line_hashes": pack_hashes(KNOWN)} if hashes else {})
    path = Path("charlm.safetensors")
    model = make_model(path, tokens="abcd", lines=lines, training=training)
    model.params["head.bias"][model.vocabulary.eos] += 2
    model.save(path, overwrite=True)
    return model


@pytest.mark.parametrize("flags", [(), ("--corpus", "known.txt")])
def test_whole_lines_and_the_fraction_of_copies(charlm: Terminal, flags: tuple[str, ...]) -> None:
    drawn = [one.text for one in model_of(lines=True).sample(n=200, seed=3)]
    expected = [text for text in drawn if text not in KNOWN][:N]
    last = [k for k, text in enumerate(drawn) if text not in KNOWN][N - 1]
    shown = charlm("sample", "--novel", "-n", N, "--seed", 3, *flags)
    assert shown.out.splitlines() == expected
    report = re.fullmatch(r"charlm: (\d+) of (\d+) texts drawn \((.*)%\) are in the training text\n", shown.err)
    assert report is not None
    copies, total = last + 1 - N, last + 1
    assert (int(report[1]), int(report[2])) == (copies, total)
    assert float(report[3]) == pytest.approx(100 * copies / total, abs=0.05)
    assert 0 < copies != N


@pytest.mark.parametrize("cut", [("--length", 2), ("--stop", "a")])
def test_prefixes_of_training_lines_are_copies(charlm: Terminal, cut: tuple[object, ...]) -> None:
    model = model_of(lines=True)
    config = SampleConfig(length=2) if cut[0] == "--length" else SampleConfig(stop="a")
    drawn = model.sample(n=100, seed=1, config=config)

    def is_copy(text: str, has_ended: bool) -> bool:
        return text in KNOWN if has_ended else any(line.startswith(text) for line in KNOWN)

    new = [one.text for one in drawn if not is_copy(one.text, one.has_ended)]
    shown = charlm("sample", "--novel", "-n", N, "--seed", 1, *cut, "--corpus", "known.txt")
    assert shown.out.splitlines() == new[:N]
    assert any(is_copy(one.text, False) and not is_copy(one.text, True) for one in drawn)
    assert "cut" not in shown.err


def test_without_a_corpus_texts_that_were_cut_are_not_written(charlm: Terminal) -> None:
    drawn = model_of(lines=True).sample(n=100 * N, seed=1, config=SampleConfig(length=2))
    new = [k for k, one in enumerate(drawn) if one.has_ended and one.text not in KNOWN]
    total = new[N - 1] + 1 if len(new) >= N else len(drawn)
    cut = sum(not one.has_ended for one in drawn[:total])
    shown = charlm("sample", "--novel", "-n", N, "--seed", 1, "--length", 2)
    assert shown.out.splitlines() == [drawn[k].text for k in new[:N]]
    assert f"of {total:,} texts drawn" in shown.err
    assert f"charlm: {cut:,} texts were cut by --length or --stop" in shown.err


def test_running_text_that_occurs_in_the_corpus_is_a_copy(charlm: Terminal, tmp_path: Path) -> None:
    model = model_of(lines=False, hashes=False)
    corpus = "abcdabcaacbb\nddcabd"
    (tmp_path / "known.txt").write_text(corpus)
    drawn = [one.text for one in model.sample(n=200, seed=0, config=SampleConfig(length=2))]
    new = [text for text in drawn if text not in corpus]
    shown = charlm("sample", "--novel", "-n", N, "--seed", 0, "--length", 2, "--corpus", "known.txt")
    assert shown.out.splitlines() == new[:N]
    assert len(new) < len(drawn)


def test_the_prompt_is_part_of_the_line(charlm: Terminal) -> None:
    drawn = ["d" + one.text for one in model_of(lines=True).sample("d", n=200, seed=0)]
    shown = charlm("sample", "--novel", "-n", N, "--seed", 0, "--prompt", "d")
    assert shown.out.splitlines() == [text for text in drawn if text not in KNOWN][:N]
    assert "dab" in drawn[: drawn.index(shown.out.splitlines()[-1])] or "dab" not in shown.out.splitlines()


def test_no_line_is_empty(charlm: Terminal) -> None:
    model_of(lines=True)
    assert all(charlm("sample", "-n", 300, "--seed", 0).out.splitlines())


def test_texts_are_written_batch_by_batch(charlm: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second batch fails after the texts of the first were written."""
    from charlm.errors import DivergedError
    from charlm.sampling.sampler import Sampler
    from charlm.sampling.tuning import SamplingTuning

    model_of(lines=True)
    n = SamplingTuning.max_batch_texts + 3
    drawn = charlm("sample", "-n", n, "--seed", 0).out.splitlines()
    draw = Sampler._draw_batch
    batches: list[object] = []

    def fail_at_the_second(self: Sampler, *arguments: Any) -> Any:
        batches.append(arguments)
        if len(batches) == 2:
            raise DivergedError("the second batch")
        return draw(self, *arguments)

    monkeypatch.setattr(Sampler, "_draw_batch", fail_at_the_second)
    shown = charlm("sample", "-n", n, "--seed", 0, "--threads", 1, code=1)
    assert shown.out.splitlines() == drawn[:-3]
