"""A run as a whole: training, its files, and what it refuses."""

from __future__ import annotations

import json
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import charlm
from charlm.config import TextConfig
from charlm.errors import BusyError, CheckpointError, ConfigError, CorpusError, ModelExistsError
from charlm.inference.prepared_network import PreparedNetwork
from charlm.model import LanguageModel
from charlm.runs.files import Files, run_lock
from charlm.runs.log import LOG_KEYS
from charlm.runs.resume import SavedRun
from charlm.runs.run import Run
from charlm.runs.saving import Saver
from charlm.runs.setup import RunOptions
from charlm.text.novelty import hash_of, unpack_hashes
from tests.training.held_out import held_out_loss

VERSE = "the quick brown fox\njumps over the lazy dog\nand runs away\n"
TINY: dict[str, Any] = {"hidden": 8, "layers": 2, "batch": 4, "bptt": 10, "threads": 1, "dropout": 0.2}


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text(VERSE * 20)
    return path


class TestRun:
    def test_run_memorises_short_text(self, tmp_path: Path) -> None:
        text = (
            "The lamp stood on the table, and the table stood by the wall; beyond the wall a river ran to the sea, "
            "and over the sea, when the wind was right, ships came home with salt and stories for the children."
        )[:200]
        assert len(text) == 200
        (tmp_path / "t.txt").write_text(text)
        model = charlm.train(
            tmp_path / "t.txt", tmp_path / "m.safetensors", steps=700, hidden=64, layers=1, batch=4, bptt=50,
            dropout=0.0, learning_rate=0.02, valid=0.0, threads=1, restart_rate=0.0, text=TextConfig(min_count=1),
        )  # fmt: skip
        assert model.score(text).nats_per_char < 0.05
        assert model.sample(text[:20], temperature=0, length=100)[0].text == text[20:120]

    def test_run_writes_model_and_log(self, text: Path, tmp_path: Path) -> None:
        model = charlm.train(text, tmp_path / "m.safetensors", steps=30, **TINY)
        rows = [json.loads(line) for line in (tmp_path / "m.log.jsonl").read_text().splitlines()]
        assert all(tuple(row) == LOG_KEYS for row in rows)
        assert rows[-1]["step"] == 30
        measured = [row["valid_loss"] for row in rows if row["valid_loss"] is not None]
        assert model.training.valid_loss == min(measured)
        loaded = charlm.load(tmp_path / "m.safetensors")
        assert loaded.score("the fox").log_prob == model.score("the fox").log_prob
        assert loaded.training.sources == (str(text),)
        assert {path.name for path in tmp_path.iterdir()} == {"text.txt", "m.safetensors", "m.log.jsonl"}

    def test_finished_run_keeps_state_on_request(self, text: Path, tmp_path: Path) -> None:
        charlm.train(text, tmp_path / "m.safetensors", steps=30, keep_state=True, **TINY)
        assert (tmp_path / "m.resume").exists()
        assert [path.name for path in tmp_path.glob("*.safetensors")] == ["m.safetensors"]

    def test_failed_write_of_finished_model_keeps_state(
        self, text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The run resumes from its end when the model can be written again."""

        def fail(*_: object, **__: object) -> None:
            raise CheckpointError("the disk is full")

        with monkeypatch.context() as patch:
            patch.setattr(LanguageModel, "save", fail)
            with pytest.raises(CheckpointError, match="the disk is full"):
                charlm.train(text, tmp_path / "m.safetensors", steps=5, valid=0.0, **TINY)
        assert not (tmp_path / "m.safetensors").exists()
        charlm.train(text, tmp_path / "m.safetensors", steps=6, resume=True)
        assert charlm.load(tmp_path / "m.safetensors").training.steps == 6

    def test_model_is_calibrated_on_held_out_text(self, text: Path, tmp_path: Path) -> None:
        """The model has the reported loss, and a scale of the logits 5 % higher or lower has a higher loss."""
        settings = TINY | {"hidden": 24, "batch": 16, "bptt": 32, "steps": 300, "learning_rate": 0.02, "valid": 0.3}
        text.write_text(" ".join(np.random.default_rng(0).choice(VERSE.split(), 6000)))
        with Run([text], tmp_path / "m.safetensors", settings) as run:
            assert list(run.reports())[-1].is_last
            held_out = run.setup.corpus.valid_ids
        model = charlm.load(tmp_path / "m.safetensors")
        assert 0.01 < abs(model.training.logit_scale - 1) < 0.9
        losses = {}
        for factor in (0.95, 1.0, 1.05):
            params = model.network.parameters(model.params.flat.copy())
            for name in ("head.weight", "head.bias"):
                params[name][...] *= factor
            losses[factor] = held_out_loss(PreparedNetwork(model.network, params), held_out, 16)
        assert losses[1.0] == pytest.approx(model.training.valid_loss, abs=1e-5)
        assert losses[1.0] < min(losses[0.95], losses[1.05])

    def test_run_without_held_out_text_keeps_last_model(self, text: Path, tmp_path: Path) -> None:
        model = charlm.train(text, tmp_path / "m.safetensors", steps=12, valid=0.0, **TINY)
        assert model.training.steps == 12
        assert model.training.valid_loss is None
        assert model.training.logit_scale == 1

    def test_existing_model_is_not_replaced(self, text: Path, tmp_path: Path) -> None:
        path = tmp_path / "m.safetensors"
        path.write_text("precious")
        with pytest.raises(ModelExistsError, match="`overwrite=True` replaces it"):
            charlm.train(text, path, steps=1, **TINY)
        assert path.read_text() == "precious"
        charlm.train(text, path, steps=1, overwrite=True, **TINY)
        charlm.load(path)

    def test_overwriting_run_deletes_old_state(self, text: Path, tmp_path: Path) -> None:
        """It is deleted before the first save of the new run, so that it cannot be resumed."""
        charlm.train(text, tmp_path / "m.safetensors", steps=3, keep_state=True, **TINY)
        state = tmp_path / "m.resume"
        assert state.exists()
        settings = TINY | {"steps": 50}
        with Run([text], tmp_path / "m.safetensors", settings, RunOptions(overwrite=True, save_minutes=60)) as run:
            next(run.reports())
            assert not state.exists()

    def test_a_stop_while_the_processes_agree_counts_in_the_next_step(
        self, text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A signal may come after a process has said to the others that it continues."""
        with Run([text], tmp_path / "m.safetensors", TINY | {"steps": 50}) as run:

            def stop(_: Saver) -> bool:  # asked after the run has read whether it is interrupted
                run.stop()
                return False

            monkeypatch.setattr(Saver, "is_due", property(stop))
            assert [report.step for report in run.reports()] == [1, 2]
        assert (tmp_path / "m.resume").exists()

    def test_model_is_written_only_when_it_is_new(self, text: Path, tmp_path: Path) -> None:
        path = tmp_path / "m.safetensors"
        with Run([text], path, TINY | {"steps": 100}, RunOptions(save_minutes=0)) as run:
            reports = run.reports()
            evaluated = next(report.step for report in reports if report.valid_loss is not None)
            path.unlink()  # it was written at the evaluation
            assert next(reports).step == evaluated + 1
            assert not path.exists()

    def test_improved_model_is_saved_at_once_only_if_saving_is_cheap(
        self, text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        now = 0.0
        monkeypatch.setattr("charlm.runs.saving.monotonic", lambda: now)
        saved: list[float] = []

        def save(saver: Saver) -> None:
            nonlocal now
            saved.append(now)
            now += 0.5

        monkeypatch.setattr(Saver, "_write", save)
        settings = TINY | {"steps": 100, "learning_rate": 0.01}
        with Run([text], tmp_path / "m.safetensors", settings, RunOptions(save_minutes=60)) as run:
            best = 0
            for report in run.reports():
                best += report.is_best
                now += 0.1  # an evaluation each second
        assert best == 10
        assert 0 < len(saved) < 4
        assert all(second - first >= 10.5 for first, second in pairwise(saved))  # 20 times as long as the save

    def test_kill_within_late_save_keeps_best_model(
        self, text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The state of a later step does not hold the weights of the best model, which is therefore written first."""
        monkeypatch.setattr(Saver, "is_cheap", False)
        with Run([text], tmp_path / "m.safetensors", TINY | {"steps": 100}, RunOptions(save_minutes=60)) as run:
            best = next(report for report in run.reports() if report.is_best)

            def kill(_: SavedRun) -> None:
                monkeypatch.setattr(LanguageModel, "save", lambda *_, **__: None)  # nothing is written afterwards
                raise KeyboardInterrupt

            for _ in range(2):
                run.trainer.learner.train_window(0.01)
            monkeypatch.setattr(SavedRun, "write", kill)
            with pytest.raises(KeyboardInterrupt):
                run._saver.save()
        assert charlm.load(tmp_path / "m.safetensors").training.valid_loss == best.valid_loss

    def test_model_stores_hashes_of_training_lines_only(self, tmp_path: Path) -> None:
        lines = [f"fox {n:03} jumps over a dog" for n in range(100)]
        (tmp_path / "lines.txt").write_text("\n".join(lines))
        model = charlm.train(
            tmp_path / "lines.txt", tmp_path / "m.safetensors", steps=2, valid=0.3, text=TextConfig(lines=True), **TINY
        )
        seen = unpack_hashes(model.training.line_hashes)
        with Run([tmp_path / "lines.txt"], tmp_path / "n.safetensors", TINY | {"valid": 0.3},
                     RunOptions(TextConfig(lines=True))) as run:  # fmt: skip
            aside = run.setup.corpus.vocabulary.decode(run.setup.corpus.valid_ids)
        held_out = {line for line in lines if line in aside}
        assert 20 < len(held_out) < 40
        assert seen == {hash_of(line) for line in set(lines) - held_out}

    @pytest.mark.parametrize("name", ["text.safetensors", "text.log.jsonl", "text.resume", "text.lock"])
    def test_text_among_files_of_run_is_refused(self, text: Path, tmp_path: Path, name: str) -> None:
        path = text.rename(tmp_path / name)
        with pytest.raises(ConfigError, match="would write over"):
            charlm.train(path, tmp_path / "text.safetensors", steps=1, overwrite=True, **TINY)
        assert path.read_text() == VERSE * 20
        assert list(tmp_path.iterdir()) == [path]

    def test_folder_as_model_is_refused(self, text: Path, tmp_path: Path) -> None:
        with pytest.raises(CheckpointError, match="is a folder"):
            charlm.train(text, tmp_path, steps=1, overwrite=True, **TINY)

    def test_stop_before_first_evaluation_writes_model(self, text: Path, tmp_path: Path) -> None:
        (tmp_path / "m.safetensors").write_text("old")
        with Run([text], tmp_path / "m.safetensors", {"steps": 1000} | TINY, RunOptions(overwrite=True)) as run:
            for _ in run.reports():
                run.stop()
        assert charlm.load(tmp_path / "m.safetensors").training.steps == 2

    @pytest.mark.parametrize("names", [("m", "m.safetensors"), ("m.safetensors", "m")])
    def test_second_model_with_same_state_file_is_refused(
        self, text: Path, tmp_path: Path, names: tuple[str, str]
    ) -> None:
        first, second = (tmp_path / name for name in names)
        charlm.train(text, first, steps=2, keep_state=True, **TINY)
        before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
        for more in ({}, {"overwrite": True}, {"resume": True}):
            with pytest.raises(ConfigError, match="with the same state and log files"):
                charlm.train(text, second, steps=4, **TINY, **more)
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
        charlm.train(text, first, steps=4, resume=True)

    def test_text_with_name_of_model_is_accepted(self, text: Path, tmp_path: Path) -> None:
        charlm.train(text.rename(tmp_path / "m"), tmp_path / "m.safetensors", steps=1, **TINY)

    def test_lock_file_is_deleted(self, text: Path, tmp_path: Path) -> None:
        for path in (tmp_path / "nowhere.txt", text):
            with suppress(CorpusError):
                charlm.train(path, tmp_path / "m.safetensors", steps=1, **TINY)
            assert not (tmp_path / "m.lock").exists()

    def test_error_inside_run_reaches_its_resources(self, text: Path, tmp_path: Path) -> None:
        """A process group must know whether the others are still there."""
        kinds: list[object] = []
        run = Run([text], tmp_path / "m.safetensors", TINY | {"steps": 1})
        run.__enter__()
        run._resources.push(lambda kind, *_: kinds.append(kind))
        run.__exit__(KeyError, KeyError(), None)
        assert kinds == [KeyError]

    def test_failed_run_releases_lock(self, text: Path, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="one of adam"):
            charlm.train(text, tmp_path / "m.safetensors", steps=1, optimizer="magic", **TINY)
        charlm.train(text, tmp_path / "m.safetensors", steps=1, **TINY)

    def test_second_run_of_same_model_is_refused(self, text: Path, tmp_path: Path) -> None:
        with run_lock(Files(tmp_path / "m.safetensors").lock), pytest.raises(BusyError, match="another run"):
            charlm.train(text, tmp_path / "m.safetensors", steps=1, **TINY)

    def test_rising_loss_stops_run_early(self, text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        losses = iter([3.0, 2.0, 2.5, 2.6, 1.0])
        monkeypatch.setattr("charlm.training.trainer.Trainer.evaluate", lambda self: next(losses))
        model = charlm.train(text, tmp_path / "m.safetensors", steps=100, patience=2, **TINY)
        rows = [json.loads(line) for line in (tmp_path / "m.log.jsonl").read_text().splitlines()]
        assert [row["valid_loss"] for row in rows if row["valid_loss"] is not None] == [3.0, 2.0, 2.5, 2.6]
        assert rows[-1]["step"] == 40
        assert model.training.valid_loss == 2.0

    def test_seed_determines_initial_weights(self, text: Path, tmp_path: Path) -> None:
        starts = []
        for k, seed in enumerate((3, 3, 4)):
            with Run([text], tmp_path / f"{k}.safetensors", TINY | {"steps": 1, "seed": seed}) as run:
                starts.append(run.trainer.learner.params.flat.copy())
        np.testing.assert_array_equal(starts[0], starts[1])
        assert np.mean(starts[0] == starts[2]) < 0.5

    def test_same_seed_gives_same_model(self, text: Path, tmp_path: Path) -> None:
        models = [
            charlm.train(text, tmp_path / f"{k}.safetensors", steps=8, seed=seed, **TINY)
            for k, seed in enumerate((3, 3, 4))
        ]
        np.testing.assert_array_equal(models[0].params.flat, models[1].params.flat)
        assert (models[0].params.flat != models[2].params.flat).any()
