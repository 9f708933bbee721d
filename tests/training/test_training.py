"""Training: schedule and budgets, shards, evaluation, the run as a whole."""

from __future__ import annotations

import json
import math
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import charlm
from charlm.config import NetworkConfig, TextConfig, TrainConfig
from charlm.errors import BusyError, CheckpointError, ConfigError, CorpusError, ModelExistsError
from charlm.inference.prepared_network import PreparedNetwork
from charlm.nn.functional import loss_and_derivatives
from charlm.nn.network import Network
from charlm.runs.files import Files, lock
from charlm.runs.log import LOG_KEYS
from charlm.runs.run import Run
from charlm.text.novelty import hash_of, unpack_hashes
from charlm.training.evaluation import WARM_UP, better_logit_scale, cut_into_streams
from charlm.training.probe import characters_per_second
from charlm.training.recipes import budget_of, choose, step_cost
from charlm.training.schedule import learning_rate, used_share

VERSE = "the quick brown fox\njumps over the lazy dog\nand runs away\n"
TINY: dict[str, Any] = {"hidden": 8, "layers": 2, "batch": 4, "bptt": 10, "threads": 1, "dropout": 0.2}


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text(VERSE * 20)
    return path


class TestSchedule:
    def test_warms_up_then_decays_to_the_end(self) -> None:
        config = TrainConfig(learning_rate=1.0, warmup=0.1, final_rate=0.02)
        assert learning_rate(config, 0.05) == pytest.approx(0.5)
        assert learning_rate(config, 0.1) == pytest.approx(1.0)
        assert learning_rate(config, 0.55) == pytest.approx(0.51)
        assert learning_rate(config, 1.0) == pytest.approx(0.02)
        assert learning_rate(config, 1.5) == pytest.approx(0.02)
        assert 0 < learning_rate(config, 0.0) <= 0.02

    def test_the_budget_that_is_used_most_counts(self) -> None:
        config = TrainConfig(steps=100, epochs=2.0, minutes=1.0)
        assert used_share(config, steps=50, epochs=0.5, seconds=3) == 0.5
        assert used_share(config, steps=50, epochs=1.5, seconds=3) == 0.75
        assert used_share(config, steps=50, epochs=0.5, seconds=90) == 1.5
        assert used_share(TrainConfig(), steps=50, epochs=0.5, seconds=90) == 0


class TestChoice:
    def test_what_is_given_wins(self) -> None:
        choice = choose({"hidden": 33, "learning_rate": 0.5, "minutes": 2, "cell": None}, 10**6)
        assert (choice.network.hidden, choice.train.learning_rate, choice.train.minutes) == (33, 0.5, 2)
        assert "33x1" in choice.reason
        assert "at most 2 minutes" in choice.reason

    def test_who_sets_one_kind_of_dropout_sets_the_other_too_or_has_none(self) -> None:
        assert choose({}, 200_000).network.recurrent_dropout > 0
        assert choose({"dropout": 0.2}, 200_000).network.recurrent_dropout == 0
        both = choose({"dropout": 0.2, "recurrent_dropout": 0.1}, 200_000)
        assert (both.network.dropout, both.network.recurrent_dropout) == (0.2, 0.1)
        assert "dropout 0.2 (recurrent 0.1)" in both.reason

    def test_there_is_always_a_budget(self) -> None:
        assert choose({}, 10**6).train.minutes == 5
        assert choose({}, 1000).train.minutes == 1
        assert choose({"steps": 5}, 1000).train.minutes is None

    def test_training_stops_early_unless_told_otherwise(self) -> None:
        assert choose({"steps": 5}, 1000).train.patience == 4
        assert choose({}, 10**6).train.patience == 4
        assert choose({"patience": 0}, 1000).train.patience == 0

    @pytest.mark.parametrize("characters", [10_000, 10**6])
    def test_windows_of_a_bidirectional_network_are_longer(self, characters: int) -> None:
        """They carry their context with them; one direction carries its state."""
        assert choose({}, characters).train.bptt < 128
        assert choose({"bidirectional": True}, characters).train.bptt == 128
        assert choose({"bidirectional": True, "bptt": 30}, characters).train.bptt == 30

    def test_a_budget_is_written_with_its_unit(self) -> None:
        assert budget_of(TrainConfig(minutes=1.0)) == "1 minute"
        assert budget_of(TrainConfig(steps=1000, epochs=0.5)) == "0.5 epochs or 1,000 steps"

    def test_size_is_of_the_network_alone(self) -> None:
        assert choose({"size": "tiny"}, 10**6).network.hidden == 64
        assert choose({"size": "tiny", "hidden": 7}, 10**6).network.hidden == 7

    def test_a_name_that_is_misspelled_is_refused(self) -> None:
        with pytest.raises(ConfigError, match="hiden: no such setting; hidden is one"):
            choose({"hiden": 8}, 1000)
        with pytest.raises(ConfigError, match="qqq: no such setting; cell, hidden"):
            choose({"qqq": 8}, 1000)

    @pytest.mark.parametrize("bad", [{"minutes": -1}, {"size": "huge"}, {"hidden": 0}, {"learning_rate": 0}])
    def test_what_is_out_of_range_is_refused(self, bad: dict[str, Any]) -> None:
        with pytest.raises(ConfigError, match="expected"):
            choose(bad, 1000)


    def test_a_faster_machine_gets_a_larger_network(self) -> None:
        slow, fast = (choose({"minutes": 2}, 10**6, speed).network.hidden for speed in (20_000, 500_000))
        assert slow < fast

    def test_choose_with_large_vocabulary_and_few_minutes_makes_network_smaller(self) -> None:
        budget = {"minutes": 0.05}
        assert choose(budget, 10**6, 60_000, vocabulary=100).network == choose(budget, 10**6, 60_000).network
        choice = choose(budget, 10**6, 60_000, vocabulary=56_000)
        assert 32 <= choice.network.hidden < choose(budget, 10**6, 60_000).network.hidden
        assert "because the vocabulary is large (56,000 tokens)" in choice.reason
        assert f"lstm {choice.network.hidden}x1" in choice.reason
        assert choose({"minutes": 1e-9}, 10**6, vocabulary=56_000).network.hidden == 32

    @pytest.mark.parametrize("given", [{"hidden": 256}, {"size": "medium"}])
    def test_choose_with_large_vocabulary_keeps_given_size(self, given: dict[str, Any]) -> None:
        choice = choose({"minutes": 0.001} | given, 10**6, vocabulary=56_000)
        assert (choice.network.hidden, "vocabulary" in choice.reason) == (256, False)

    def test_choose_with_large_vocabulary_and_step_budget_keeps_network(self) -> None:
        assert choose({"steps": 5}, 10**6, vocabulary=56_000) == choose({"steps": 5}, 10**6)

    def test_step_cost_of_reference_network_is_one_per_character(self) -> None:
        network, train = NetworkConfig("lstm", 256, 1), TrainConfig(batch=32, bptt=64)
        assert step_cost(network, train, 0) == pytest.approx(32 * 64, rel=0.02)
        assert step_cost(network, train, 56_000) > 10 * step_cost(network, train, 64)

    def test_a_little_text_is_not_read_for_ever(self) -> None:
        assert choose({"minutes": 60}, 10_000).train.epochs == 60
        assert choose({"epochs": 500}, 10_000).train.epochs == 500
        assert choose({"steps": 500}, 10_000).train.epochs is None

    def test_the_probe_measures_a_speed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("charlm.training.probe.SECONDS", 0.05)
        assert characters_per_second(1) > 100


def held_out_loss(runner: PreparedNetwork, ids: np.ndarray, streams: int) -> float:
    inputs, targets, counts = cut_into_streams(ids, streams, runner.network.start)
    return float(runner.measure(inputs, targets, counts)[0]) / int(counts.sum())


class TestEvaluation:
    @pytest.mark.parametrize(("length", "streams"), [(2, 4), (50, 4), (2000, 3), (3001, 7)])
    def test_every_target_counts_once(self, length: int, streams: int) -> None:
        ids = np.arange(length)
        inputs, targets, counts = cut_into_streams(ids, streams, start=-1)
        assert sorted(targets[counts]) == list(range(1, length))
        np.testing.assert_array_equal(inputs[counts] + 1, targets[counts])
        if inputs.shape[1] > 1:
            assert (counts[:WARM_UP, 1:] == False).all()  # noqa: E712

    def test_a_uniform_network_loses_log_v(self) -> None:
        network = Network(NetworkConfig("gru", 4, 1), 7)
        params = network.parameters(np.zeros(network.size, np.float32))
        ids = np.random.default_rng(0).integers(1, 7, 1500)
        assert held_out_loss(PreparedNetwork(network, params), ids, 4) == pytest.approx(np.log(7), abs=1e-6)

    def test_many_streams_measure_what_one_does(self) -> None:
        network = Network(NetworkConfig("lstm", 5, 2), 7)
        runner = PreparedNetwork(network, network.initial(np.random.default_rng(0)))
        ids = np.random.default_rng(1).integers(1, 7, 4000)
        assert held_out_loss(runner, ids, 8) == pytest.approx(held_out_loss(runner, ids, 1), abs=1e-4)

    @pytest.mark.parametrize("stretched", [0.6, 1.0, 1.4])
    def test_the_best_sharpness_is_found(self, stretched: float) -> None:
        """Targets drawn from a softmax: its logits, stretched, are best when that is undone."""
        rng = np.random.default_rng(0)
        logits = rng.normal(0, 1.5, (20_000, 9))
        cumulated = np.exp(logits).cumsum(axis=1)
        targets = (cumulated < cumulated[:, -1:] * rng.random((20_000, 1))).sum(axis=1)
        logit_scale = 1.0
        for _ in range(4):
            sums = loss_and_derivatives(logit_scale * stretched * logits, targets, np.ones(20_000, bool))
            logit_scale = better_logit_scale(logit_scale, sums[1], sums[2])
        assert logit_scale * stretched == pytest.approx(1, abs=0.02)

    def test_a_text_of_few_characters_changes_little(self) -> None:
        assert better_logit_scale(1.0, 4.0, 5.0) == pytest.approx(1 - 4 / 105)
        assert better_logit_scale(1.0, math.nan, 5.0) == 1.0
        assert better_logit_scale(1.9, -1e5, 1e5) == 2.0


class TestRun:
    def test_memorises_a_short_text(self, tmp_path: Path) -> None:
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

    def test_files_of_a_run(self, text: Path, tmp_path: Path) -> None:
        model = charlm.train(text, tmp_path / "m.safetensors", steps=30, **TINY)
        rows = [json.loads(line) for line in (tmp_path / "m.log.jsonl").read_text().splitlines()]
        assert all(tuple(row) == LOG_KEYS for row in rows)
        assert rows[-1]["step"] == 30
        measured = [row["valid_loss"] for row in rows if row["valid_loss"] is not None]
        assert model.training.valid_loss == min(measured)
        loaded = charlm.load(tmp_path / "m.safetensors")
        assert loaded.score("the fox").log_prob == model.score("the fox").log_prob
        assert loaded.training.sources == (str(text),)
        assert (tmp_path / "m.resume.safetensors").exists()

    def test_a_model_is_as_sharp_as_the_held_out_text_wants_it(self, text: Path, tmp_path: Path) -> None:
        """It has the loss that is told of it, and none that is a little sharper or blunter has a lower one."""
        settings = TINY | {"hidden": 24, "batch": 16, "bptt": 32, "steps": 300, "learning_rate": 0.02, "valid": 0.3}
        text.write_text(" ".join(np.random.default_rng(0).choice(VERSE.split(), 6000)))
        with Run([text], tmp_path / "m.safetensors", settings) as session:
            assert list(session.reports())[-1].is_last
            held_out = session.corpus.valid_ids
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

    def test_without_held_out_text_the_last_model_is_kept(self, text: Path, tmp_path: Path) -> None:
        model = charlm.train(text, tmp_path / "m.safetensors", steps=12, valid=0.0, **TINY)
        assert model.training.steps == 12
        assert model.training.valid_loss is None
        assert model.training.logit_scale == 1

    def test_an_existing_model_is_not_replaced(self, text: Path, tmp_path: Path) -> None:
        path = tmp_path / "m.safetensors"
        path.write_text("precious")
        with pytest.raises(ModelExistsError, match="--overwrite"):
            charlm.train(text, path, steps=1, **TINY)
        assert path.read_text() == "precious"
        charlm.train(text, path, steps=1, overwrite=True, **TINY)
        charlm.load(path)

    def test_the_state_of_a_run_that_is_overwritten_is_removed(self, text: Path, tmp_path: Path) -> None:
        """Before the first save of the new run: --resume must not continue the old one."""
        charlm.train(text, tmp_path / "m.safetensors", steps=3, **TINY)
        state = tmp_path / "m.resume.safetensors"
        assert state.exists()
        settings = TINY | {"steps": 50}
        with Run([text], tmp_path / "m.safetensors", settings, overwrite=True, save_minutes=60) as session:
            next(session.reports())
            assert not state.exists()

    def test_a_model_remembers_its_training_lines_and_not_those_held_out(self, tmp_path: Path) -> None:
        lines = [f"fox {n:03} jumps over a dog" for n in range(100)]
        (tmp_path / "lines.txt").write_text("\n".join(lines))
        model = charlm.train(
            tmp_path / "lines.txt", tmp_path / "m.safetensors", steps=2, valid=0.3, text=TextConfig(lines=True), **TINY
        )
        seen = unpack_hashes(model.training.line_hashes)
        with Run([tmp_path / "lines.txt"], tmp_path / "n.safetensors", TINY | {"valid": 0.3},
                     TextConfig(lines=True)) as session:  # fmt: skip
            aside = session.vocabulary.decode(session.corpus.valid_ids)
        held_out = {line for line in lines if line in aside}
        assert 20 < len(held_out) < 40
        assert seen == {hash_of(line) for line in set(lines) - held_out}

    @pytest.mark.parametrize("name", ["text.safetensors", "text.log.jsonl", "text.resume.safetensors", "text.lock"])
    def test_a_text_is_never_written_over(self, text: Path, tmp_path: Path, name: str) -> None:
        path = text.rename(tmp_path / name)
        with pytest.raises(ConfigError, match="would write over"):
            charlm.train(path, tmp_path / "text.safetensors", steps=1, overwrite=True, **TINY)
        assert path.read_text() == VERSE * 20
        assert list(tmp_path.iterdir()) == [path]

    def test_a_folder_is_no_model(self, text: Path, tmp_path: Path) -> None:
        with pytest.raises(CheckpointError, match="is a folder"):
            charlm.train(text, tmp_path, steps=1, overwrite=True, **TINY)

    def test_stopping_before_the_first_evaluation_replaces_what_was_to_be_replaced(
        self, text: Path, tmp_path: Path
    ) -> None:
        (tmp_path / "m.safetensors").write_text("old")
        with Run([text], tmp_path / "m.safetensors", {"steps": 1000} | TINY, overwrite=True) as session:
            for _ in session.reports():
                session.stop()
        assert charlm.load(tmp_path / "m.safetensors").training.steps == 2

    @pytest.mark.parametrize("names", [("m", "m.safetensors"), ("m.safetensors", "m")])
    def test_two_models_do_not_share_a_state_and_a_log(
        self, text: Path, tmp_path: Path, names: tuple[str, str]
    ) -> None:
        first, second = (tmp_path / name for name in names)
        charlm.train(text, first, steps=2, **TINY)
        before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
        for more in ({}, {"overwrite": True}, {"resume": True}):
            with pytest.raises(ConfigError, match="with the same state and log files"):
                charlm.train(text, second, steps=4, **TINY, **more)
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
        charlm.train(text, first, steps=4, resume=True)

    def test_a_text_may_have_the_name_of_the_model(self, text: Path, tmp_path: Path) -> None:
        charlm.train(text.rename(tmp_path / "m"), tmp_path / "m.safetensors", steps=1, **TINY)

    def test_no_lock_is_left(self, text: Path, tmp_path: Path) -> None:
        for path in (tmp_path / "nowhere.txt", text):
            with suppress(CorpusError):
                charlm.train(path, tmp_path / "m.safetensors", steps=1, **TINY)
            assert not (tmp_path / "m.lock").exists()

    def test_a_run_that_fails_lets_go_of_its_name(self, text: Path, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="one of adam"):
            charlm.train(text, tmp_path / "m.safetensors", steps=1, optimizer="magic", **TINY)
        charlm.train(text, tmp_path / "m.safetensors", steps=1, **TINY)

    def test_a_second_run_on_the_same_name_is_refused(self, text: Path, tmp_path: Path) -> None:
        held = lock(Files(tmp_path / "m.safetensors").lock)
        with pytest.raises(BusyError, match="another run"):
            charlm.train(text, tmp_path / "m.safetensors", steps=1, **TINY)
        held.release()

    def test_a_rising_loss_ends_the_run_early(
        self, text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        losses = iter([3.0, 2.0, 2.5, 2.6, 1.0])
        monkeypatch.setattr("charlm.training.trainer.Trainer.evaluate", lambda self: next(losses))
        model = charlm.train(text, tmp_path / "m.safetensors", steps=100, patience=2, **TINY)
        rows = [json.loads(line) for line in (tmp_path / "m.log.jsonl").read_text().splitlines()]
        assert [row["valid_loss"] for row in rows if row["valid_loss"] is not None] == [3.0, 2.0, 2.5, 2.6]
        assert rows[-1]["step"] == 40
        assert model.training.valid_loss == 2.0

    def test_the_seed_draws_the_initial_weights(self, text: Path, tmp_path: Path) -> None:
        starts = []
        for k, seed in enumerate((3, 3, 4)):
            with Run([text], tmp_path / f"{k}.safetensors", TINY | {"steps": 1, "seed": seed}) as session:
                starts.append(session.trainer.params.flat.copy())
        np.testing.assert_array_equal(starts[0], starts[1])
        assert np.mean(starts[0] == starts[2]) < 0.5

    def test_the_same_seed_gives_the_same_model(self, text: Path, tmp_path: Path) -> None:
        models = [
            charlm.train(text, tmp_path / f"{k}.safetensors", steps=8, seed=seed, **TINY)
            for k, seed in enumerate((3, 3, 4))
        ]
        np.testing.assert_array_equal(models[0].params.flat, models[1].params.flat)
        assert (models[0].params.flat != models[2].params.flat).any()
