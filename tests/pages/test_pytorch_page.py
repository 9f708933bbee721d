"""The Python of the guide to PyTorch computes what charlm computes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.pages.page import TOP, prepare, python, run, run_python, steps

pytest.importorskip("torch")


def test_pytorch_computes_the_score_of_charlm(tmp_path: Path) -> None:
    text = (TOP / "docs/how-to/pytorch.md").read_text(encoding="utf-8")
    environment = prepare(tmp_path)
    run(steps(text), tmp_path, environment)
    compare = 'import charlm\nprint(log_prob, charlm.load("dinosaurs.safetensors").score("Velocisaurus").log_prob)'
    done = run_python(f"{python(text)}\n{compare}", tmp_path, environment)
    of_torch, of_charlm = map(float, done.stdout.split())
    assert of_torch == pytest.approx(of_charlm, abs=1e-4)
