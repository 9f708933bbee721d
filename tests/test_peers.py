"""All forms of PyTorch that benchmarks compare with compute the same network."""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np
import pytest

import charlm

torch = pytest.importorskip("torch")

from benchmarks.library.peers import Form, TorchModel, forms  # noqa: E402
from benchmarks.speed.device import main as measure_device  # noqa: E402


@pytest.fixture(autouse=True)
def _restore() -> object:
    """Restore the process-wide options of PyTorch."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
    torch.backends.mkldnn.enabled = True


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_form_with_the_weights_of_a_model_scores_like_the_model(cell: str, tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("to be or not to be\n" * 40)
    model = charlm.train(text, tmp_path / "m", cell=cell, hidden=9, layers=2, steps=3, batch=2, bptt=8, threads=1)
    params = {name: model.params[name] for name in model.network.layout}
    ids = np.concatenate([[model.vocabulary.eos], model.vocabulary.encode("not to be")])
    chosen = [form for form in forms(2) if not form.embedding]
    assert len(chosen) == 8
    for form in chosen:
        form.apply()
        peer = TorchModel(cell, len(model.vocabulary), 9, 2, form, params)
        assert peer.score(ids) == pytest.approx(model.score("not to be").log_prob, abs=1e-4), str(form)


@pytest.mark.parametrize("form", [form for form in forms(1) if form.one_dnn], ids=str)
def test_form_learns_and_samples(form: Form) -> None:
    torch.manual_seed(0)
    peer = TorchModel("lstm", 5, 8, 2, form)
    streams = np.tile(np.arange(5), 40).reshape(2, -1).T.copy()
    ids = np.arange(30) % 5
    before = peer.score(ids)
    step = peer.training_step(streams, 9)
    assert [step() for _ in range(60)] == [18] * 60
    assert peer.score(ids) > before
    assert peer.sampling_step(3)() == 3


def test_benchmark_of_a_device_measures_charlm_and_pytorch(capsys: pytest.CaptureFixture[str]) -> None:
    rows = "lstm 8x2 4 16 float32, gru 8x1 4 16 bfloat16"
    measure_device(["--device", "cpu", "--rows", rows, "--rounds", "1", "--seconds", "0.01"], standalone_mode=False)
    lines = capsys.readouterr().out.splitlines()[-2:]
    assert [line.split(" | ")[0] for line in lines] == ["| lstm 8x2 4 16 float32", "| gru 8x1 4 16 bfloat16"]
    assert all(float(line.split(" | ")[4]) > 0 for line in lines)


def test_benchmark_of_a_device_trains_by_default_after_a_row_that_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "text.txt").write_text("to be or not to be\n" * 40)

    def fail(*_: object) -> str:
        raise RuntimeError("out of memory\nand more")

    monkeypatch.setattr("benchmarks.speed.device.measure", fail)
    options = ["--device", "cpu", "--rows", "lstm 8x2 4 16 float32", "--train", str(tmp_path / "text.txt")]
    with pytest.raises(click.ClickException, match="1 of 1 rows failed"):
        measure_device([*options, "--minutes", "0.01"], standalone_mode=False)
    lines = capsys.readouterr().out.splitlines()
    assert "| lstm 8x2 4 16 float32 | failed: out of memory |" in lines
    minutes, loss, steps, speed, _, settings = lines[-1].strip("| ").split(" | ")
    assert (minutes, float(loss) < 3, int(steps) > 0, float(speed.replace(",", "")) > 0) == ("0.01", True, True, True)
    assert "chosen for 685 characters and at most 747 epochs or 0.01 minutes" in settings
