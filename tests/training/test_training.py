"""The schedule of the learning rate, the recipes and the evaluation."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from charlm.config import NetworkConfig, TrainConfig
from charlm.errors import ConfigError
from charlm.inference.prepared_network import PreparedNetwork
from charlm.nn.functional import loss_and_derivatives
from charlm.nn.network import Network
from charlm.training.cost import step_cost
from charlm.training.ensemble_size import Speed, members_for_long_text, members_for_short_text
from charlm.training.evaluation import better_logit_scale, cut_into_streams
from charlm.training.probe import measure_speed
from charlm.training.recipes import budget_of, choose
from charlm.training.schedule import budget_fraction, learning_rate
from charlm.training.tuning import DEFAULT_TUNING
from tests.training.held_out import held_out_loss

VERSE = "the quick brown fox\njumps over the lazy dog\nand runs away\n"
TINY: dict[str, Any] = {"hidden": 8, "layers": 2, "batch": 4, "bptt": 10, "threads": 1, "dropout": 0.2}


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text(VERSE * 20)
    return path


class TestSchedule:
    def test_learning_rate_warms_up_and_decays(self) -> None:
        config = TrainConfig(learning_rate=1.0, warmup=0.1, final_rate=0.02)
        assert learning_rate(config, 0.05) == pytest.approx(0.5)
        assert learning_rate(config, 0.1) == pytest.approx(1.0)
        assert learning_rate(config, 0.55) == pytest.approx(0.51)
        assert learning_rate(config, 1.0) == pytest.approx(0.02)
        assert learning_rate(config, 1.5) == pytest.approx(0.02)
        assert 0 < learning_rate(config, 0.0) <= 0.02

    def test_budget_fraction_is_the_largest_of_all_budgets(self) -> None:
        config = TrainConfig(steps=100, epochs=2.0, minutes=1.0)
        assert budget_fraction(config, 50, 0.5, 3) == 0.5
        assert budget_fraction(config, 50, 1.5, 3) == 0.75
        assert budget_fraction(config, 50, 0.5, 90) == 1.5
        assert budget_fraction(TrainConfig(), 50, 0.5, 90) == 0


def at(rate: float) -> Speed:
    """Return the speed of a machine of two cores."""
    return Speed(rate / 2, rate, 2)


class TestChoice:
    def test_given_settings_override_the_recipe(self) -> None:
        choice = choose({"hidden": 33, "learning_rate": 0.5, "minutes": 2, "cell": None}, 10**6)
        assert (choice.network.hidden, choice.train.learning_rate, choice.train.minutes) == (33, 0.5, 2)
        assert "33x1" in choice.reason
        assert "at most 2 minutes" in choice.reason

    def test_given_dropout_replaces_both_kinds(self) -> None:
        assert choose({}, 200_000).network.recurrent_dropout > 0
        assert choose({"dropout": 0.2}, 200_000).network.recurrent_dropout == 0
        both = choose({"dropout": 0.2, "recurrent_dropout": 0.1}, 200_000)
        assert (both.network.dropout, both.network.recurrent_dropout) == (0.2, 0.1)
        assert "dropout 0.2 (recurrent 0.1)" in both.reason

    def test_missing_budget_gets_default_minutes(self) -> None:
        assert choose({}, 10**6).train.minutes == 5
        assert choose({}, 1000).train.minutes == 1
        assert choose({"steps": 5}, 1000).train.minutes is None

    def test_patience_defaults_to_early_stopping(self) -> None:
        assert choose({"steps": 5}, 1000).train.patience == 4
        assert choose({}, 10**6).train.patience == 4
        assert choose({"patience": 0}, 1000).train.patience == 0

    @pytest.mark.parametrize("characters", [10_000, 10**6])
    def test_bidirectional_network_gets_longer_windows(self, characters: int) -> None:
        """A bidirectional window carries its context with it; one direction carries its state."""
        assert choose({}, characters).train.bptt < 128
        assert choose({"bidirectional": True}, characters).train.bptt == 128
        assert choose({"bidirectional": True, "bptt": 30}, characters).train.bptt == 30

    def test_budget_is_formatted_with_its_unit(self) -> None:
        assert budget_of(TrainConfig(minutes=1.0)) == "1 minute"
        assert budget_of(TrainConfig(steps=1000, epochs=0.5)) == "0.5 epochs or 1,000 steps"

    @pytest.mark.parametrize(
        ("minutes", "characters", "dropout", "recurrent"),
        [(2, 10**6, 0.2, 0.0), (30, 10**6, 0.4, 0.2), (10, 5 * 10**6, 0.1, 0.0), (2, 10**8, 0.0, 0.0)],
    )
    def test_long_text_that_is_read_a_few_times_needs_little_dropout(
        self, minutes: float, characters: int, dropout: float, recurrent: float
    ) -> None:
        """Ten minutes are five passes over five million characters, for an LSTM of two million weights."""
        network = choose({"minutes": minutes, "ensemble": 1}, characters, vocabulary=65).network
        assert (network.dropout, network.recurrent_dropout) == (dropout, recurrent)

    def test_words_that_are_read_a_few_times_need_more_dropout(self) -> None:
        settings = {"epochs": 2, "hidden": 512}
        assert [choose(settings, 10**6, vocabulary=size).network.dropout for size in (999, 1000)] == [0.1, 0.2]

    def test_dropout_follows_from_a_budget_of_epochs_or_steps(self) -> None:
        """Steps of 16 x 64 characters; the earlier of two limits counts."""
        budgets = ({"epochs": 40}, {"epochs": 2}, {"steps": 2000}, {"epochs": 40, "steps": 2000}, {"steps": 10})
        assert [choose(budget, 10**6).network.dropout for budget in budgets] == [0.2, 0.1, 0.1, 0.1, 0.0]
        assert choose({"epochs": 2, "dropout": 0.5}, 10**6).network.dropout == 0.5

    def test_size_sets_hidden_only(self) -> None:
        assert choose({"size": "tiny"}, 10**6).network.hidden == 64
        assert choose({"size": "tiny", "hidden": 7}, 10**6).network.hidden == 7

    def test_misspelled_setting_is_refused_with_suggestion(self) -> None:
        with pytest.raises(ConfigError, match="hiden: no such setting; did you mean hidden"):
            choose({"hiden": 8}, 1000)
        with pytest.raises(ConfigError, match="sise: no such setting; did you mean size"):
            choose({"sise": "tiny"}, 1000)
        with pytest.raises(ConfigError, match="qqq: no such setting; the settings are cell, hidden"):
            choose({"qqq": 8}, 1000)

    @pytest.mark.parametrize("bad", [{"minutes": -1}, {"size": "huge"}, {"hidden": 0}, {"learning_rate": 0}])
    def test_setting_out_of_range_is_refused(self, bad: dict[str, Any]) -> None:
        with pytest.raises(ConfigError, match="expected"):
            choose(bad, 1000)

    def test_faster_machine_gets_larger_network(self) -> None:
        slow, fast = (choose({"minutes": 2}, 10**6, at(rate)).network.hidden for rate in (20_000, 500_000))
        assert slow < fast

    def test_choose_with_large_vocabulary_and_few_minutes_makes_network_smaller(self) -> None:
        budget = {"minutes": 0.05}
        assert choose(budget, 10**6, at(60_000), vocabulary=100).network == choose(budget, 10**6, at(60_000)).network
        choice = choose(budget, 10**6, at(60_000), vocabulary=56_000)
        assert 32 <= choice.network.hidden < choose(budget, 10**6, at(60_000)).network.hidden
        assert "because the vocabulary is large (56,000 tokens)" in choice.reason
        assert f"lstm {choice.network.hidden}x1" in choice.reason
        assert choose({"minutes": 1e-6}, 10**6, vocabulary=60).reason.endswith(
            "smaller network because the time is short"
        )
        assert choose({"minutes": 1e-9}, 10**6, vocabulary=56_000).network.hidden == 32

    @pytest.mark.parametrize("given", [{"hidden": 256}, {"size": "medium"}])
    def test_choose_with_large_vocabulary_keeps_given_size(self, given: dict[str, Any]) -> None:
        choice = choose({"minutes": 0.001} | given, 10**6, vocabulary=56_000)
        assert (choice.network.hidden, "vocabulary" in choice.reason) == (256, False)

    def test_choose_with_large_vocabulary_and_step_budget_keeps_network(self) -> None:
        large, small = (choose({"steps": 5}, 10**6, vocabulary=size) for size in (56_000, 60))
        assert replace(large.network, tied=False) == small.network
        assert large.train == small.train

    def test_choose_with_large_vocabulary_ties_the_network(self) -> None:
        def is_tied(vocabulary: int, **given: Any) -> bool:
            return choose({"steps": 5} | given, 10**6, vocabulary=vocabulary).network.tied

        assert (is_tied(999), is_tied(1000)) == (False, True)
        assert (is_tied(60, tied=True), is_tied(5000, tied=False), is_tied(5000, bidirectional=True)) == (1, 0, 0)
        with pytest.raises(ConfigError, match="`tied` is for networks of one direction"):
            is_tied(60, tied=True, bidirectional=True)

    def test_step_cost_of_reference_network_is_one_per_character(self) -> None:
        network, train = NetworkConfig("lstm", 256, 1), TrainConfig(batch=32, bptt=64)
        assert step_cost(network, train, 0) == pytest.approx(32 * 64, rel=0.02)
        assert step_cost(network, train, 56_000) > 10 * step_cost(network, train, 64)
        assert step_cost(replace(network, tied=True), train, 56_000) < 0.97 * step_cost(network, train, 56_000)

    def test_short_text_limits_epochs(self) -> None:
        sizes = (20_000, 10_000, 2000, 100)
        assert [choose({"minutes": 60}, size).train.epochs for size in sizes] == [128, 150, 256, 1000]
        assert [choose({}, 64_000, vocabulary=size).train.epochs for size in (999, 1000)] == [128, 64]
        assert choose({"epochs": 500}, 10_000).train.epochs == 500
        assert choose({"steps": 500}, 10_000).train.epochs is None

    def test_probe_returns_positive_speed(self) -> None:
        speed = measure_speed(2)
        assert speed.cores == 2
        assert min(speed.one_core, speed.all_cores) > 100


class TestGpu:
    """A GPU whose LSTM 512x2 reads 500,000 characters a second, and a slow one of 50,000."""

    fast, slow = (Speed(8 * rate, 8 * rate, 1, is_gpu=True) for rate in (500_000, 50_000))

    def test_minute_on_a_fast_gpu_trains_two_layers_in_large_batches(self) -> None:
        choice = choose({"minutes": 1.0, "ensemble": 1}, 10**6, self.fast)
        network, train = choice.network, choice.train
        assert (network.hidden, network.layers, network.dropout, network.recurrent_dropout) == (512, 2, 0.4, 0)
        assert (train.batch, train.bptt, train.learning_rate) == (128, 128, 0.006)
        assert train.average == pytest.approx(1 - 25 / (60 * 500_000 / 128**2), abs=1e-4)
        assert choice.reason.endswith("; a large batch because a GPU reads many streams at once")

    def test_slow_gpu_gets_a_smaller_network_and_shorter_windows(self) -> None:
        choice = choose({"minutes": 1.0, "ensemble": 1}, 10**6, self.slow)
        assert (choice.network.hidden, choice.network.layers) == (384, 1)
        assert (choice.train.batch, choice.train.bptt, choice.train.learning_rate) == (128, 64, 0.012)

    @pytest.mark.parametrize(("vocabulary", "batch"), [(60, 128), (15_000, 128), (60_000, 64), (10**7, 16)])
    def test_large_vocabulary_gets_fewer_streams(self, vocabulary: int, batch: int) -> None:
        settings = {"minutes": 1.0, "ensemble": 1, "hidden": 512, "layers": 2}
        choice = choose(settings, 10**7, self.fast, vocabulary=vocabulary)
        assert (choice.train.batch, "large batch" in choice.reason) == (batch, batch > 16)

    def test_budget_of_epochs_or_steps_limits_what_is_averaged(self) -> None:
        """A twenty-fifth of the updates: three passes over eight million characters are 1,465 updates."""
        epochs, steps = (choose(budget, 8 * 10**6, self.fast).train for budget in ({"epochs": 3}, {"steps": 2000}))
        assert epochs.average == pytest.approx(1 - 25 / 1465, abs=1e-4)
        assert steps.average == pytest.approx(1 - 25 / 2000, abs=1e-4)

    def test_large_vocabulary_slows_a_gpu_down(self) -> None:
        """The output layer has about seven times as many multiplications as the two layers of 512 units."""
        words = choose({"minutes": 1.0, "ensemble": 1}, 10**7, self.fast, vocabulary=60_000).train
        assert words.average == pytest.approx(1 - 25 / (60 * 500_000 / 8.3 / (64 * 64)), abs=2e-4)

    @pytest.mark.parametrize(
        ("gpus", "characters", "vocabulary", "batch"),
        [
            (8, 10**6, 60, 128),
            (8, 10**8, 60, 1024),
            (2, 10**8, 60, 256),
            (4, 4 * 10**6, 60, 488),
            (8, 10**8, 60_000, 256),
        ],
    )
    def test_several_gpus_share_a_larger_batch_of_a_long_text(
        self, gpus: int, characters: int, vocabulary: int, batch: int
    ) -> None:
        """A pass over the text has 64 windows, or more; a GPU has 250 million logits, or fewer."""
        speed = Speed(self.fast.one_core, gpus * self.fast.one_core, gpus, is_gpu=True)
        choice = choose({"minutes": 10.0, "ensemble": 1}, characters, speed, vocabulary=vocabulary)
        assert (choice.train.batch, choice.train.learning_rate) == (batch, 0.006)

    @pytest.mark.parametrize(
        ("minutes", "characters", "members"),
        [(1, 10**6, 1), (5, 10**6, 2), (30, 10**6, 4), (30, 60 * 10**6, 2), (30, 10**9, 1), (5, 300_000, 4)],
    )
    def test_members_share_the_time_of_a_gpu(self, minutes: float, characters: int, members: int) -> None:
        """Each has time for 4,000 updates of 16,384 characters and for six passes, or for the passes of its recipe."""
        for given in ({}, {"hidden": 64, "layers": 2}):  # small layers take as long
            choice = choose({"minutes": minutes} | given, characters, self.fast)
            assert choice.train.ensemble == members

    def test_given_settings_and_recipes_for_short_texts_are_kept(self) -> None:
        given = {"batch": 16, "bptt": 32, "learning_rate": 0.001, "dropout": 0.3, "ensemble": 1, "steps": 9}
        choice = choose(given, 10**6, self.fast)
        assert (choice.train.batch, choice.train.bptt, choice.train.learning_rate) == (16, 32, 0.001)
        assert (choice.network.dropout, "GPU" in choice.reason) == (0.3, False)
        for budget in ({"minutes": 1.0}, {"steps": 100}):
            short = choose({"ensemble": 1} | budget, 200_000, self.fast)
            assert short == choose({"ensemble": 1} | budget, 200_000, self.fast._replace(is_gpu=False))


class TestEnsembleSize:
    def test_speed_of_a_member_depends_on_its_cores(self) -> None:
        speed = Speed(100, 400, 16)
        assert speed.of_member(1) == 400
        assert speed.of_member(16) == 100
        assert speed.of_member(32) == 50
        assert speed.of_member(4) == pytest.approx(200)  # four cores: each doubling gives a factor of sqrt(2)
        assert Speed(100, 100, 1).of_member(1) == 100
        assert Speed(100, 100, 1).of_member(4) == 25

    def test_members_for_long_text_grow_with_the_passes(self) -> None:
        assert [members_for_long_text(passes, 99) for passes in (0.1, 15, 16, 75, 81, 1000)] == [1, 1, 2, 2, 3, 4]

    def test_members_for_long_text_make_three_passes_each(self) -> None:
        assert [members_for_long_text(1000, own) for own in (1, 5.9, 6, 11.9, 12, 99)] == [1, 1, 2, 3, 4, 4]
        assert choose({"minutes": 30}, 20 * 10**6, vocabulary=65).train.ensemble == 1

    @pytest.mark.parametrize(("has_labels", "members"), [(False, [1, 1, 2, 4, 4]), (True, [1, 1, 1, 2, 4])])
    def test_members_for_short_text_have_time_for_half_of_the_passes_and_with_labels_for_all(
        self, has_labels: bool, members: list[int]
    ) -> None:
        numbers = [members_for_short_text(passes, 20, has_labels=has_labels) for passes in (1, 19, 20, 40, 999)]
        assert numbers == members

    def test_members_of_a_short_text_have_as_many_layers_as_one_network(self) -> None:
        """Text of 200,000 characters gets two layers from 50 passes of the reference network on."""
        settings = [{"minutes": minutes} for minutes in (0.8, 1, 6)]
        choices = [choose(given, 200_000, vocabulary=28) for given in settings]
        assert [(choice.train.ensemble, choice.network.layers) for choice in choices] == [(1, 1), (1, 2), (4, 2)]
        assert choose({"epochs": 9}, 200_000).network.layers == 2
        assert choose({"minutes": 1}, 390_000, vocabulary=28).network.layers == 1

    def test_one_network_of_384_units_is_the_best_for_six_minutes(self) -> None:
        choices = [choose({"minutes": minutes, "ensemble": 1}, 10**6, vocabulary=65) for minutes in (0.5, 2, 5, 8)]
        assert [choice.network.hidden for choice in choices] == [256, 384, 384, 512]

    def test_small_batches_take_longer(self) -> None:
        """A batch of 8 streams takes as long as one of 24, so that there is time for fewer members."""
        given = {"minutes": 0.1, "batch": 8}
        assert choose(given, 20_000).train.ensemble < choose({**given, "batch": 16}, 20_000).train.ensemble

    @pytest.mark.parametrize(("minutes", "characters", "members"), [(0.5, 10**6, 1), (5, 10**6, 2), (5, 10**8, 1)])
    def test_choose_takes_several_networks_where_there_is_time(
        self, minutes: float, characters: int, members: int
    ) -> None:
        choice = choose({"minutes": minutes}, characters)
        assert choice.train.ensemble == members
        assert ("networks because" in choice.reason) == (members > 1)

    @pytest.mark.parametrize("given", [{"hidden": 1024, "layers": 2}, {}])
    def test_a_costly_network_has_fewer_members(self, given: dict[str, Any]) -> None:
        """A large network, or a large vocabulary, reads the text less often in the same time."""
        settings = {"minutes": 4}
        assert choose(settings, 10**6, vocabulary=65).train.ensemble == 2
        assert choose(settings | given, 10**6, vocabulary=65 if given else 20_000).train.ensemble == 1

    def test_members_get_the_recipe_of_their_own_time(self) -> None:
        alone = choose({"minutes": 5, "ensemble": 1}, 10**6)
        members = choose({"minutes": 5, "ensemble": 8}, 10**6)
        assert alone.network.hidden > members.network.hidden

    @pytest.mark.parametrize("given", [{"steps": 100}, {"epochs": 100}, {"minutes": 100, "ensemble": 1}])
    def test_choose_without_minutes_or_with_a_given_number_takes_it(self, given: dict[str, Any]) -> None:
        choice = choose(given, 10**6)
        assert choice.train.ensemble == 1
        assert "networks" not in choice.reason


class TestEvaluation:
    @pytest.mark.parametrize(("length", "streams"), [(2, 4), (50, 4), (2000, 3), (3001, 7)])
    def test_cut_into_streams_counts_each_target_once(self, length: int, streams: int) -> None:
        ids = np.arange(length)
        inputs, targets, counts = cut_into_streams(ids, streams, start=-1)
        assert sorted(targets[counts]) == list(range(1, length))
        np.testing.assert_array_equal(inputs[counts] + 1, targets[counts])
        if inputs.shape[1] > 1:
            assert (counts[: DEFAULT_TUNING.warm_up_characters, 1:] == False).all()  # noqa: E712

    def test_uniform_network_has_loss_log_v(self) -> None:
        network = Network(NetworkConfig("gru", 4, 1), 7)
        params = network.parameters(np.zeros(network.size, np.float32))
        ids = np.random.default_rng(0).integers(1, 7, 1500)
        assert held_out_loss(PreparedNetwork(network, params), ids, 4) == pytest.approx(np.log(7), abs=1e-6)

    def test_loss_does_not_depend_on_number_of_streams(self) -> None:
        network = Network(NetworkConfig("lstm", 5, 2), 7)
        runner = PreparedNetwork(network, network.initial(np.random.default_rng(0)))
        ids = np.random.default_rng(1).integers(1, 7, 4000)
        assert held_out_loss(runner, ids, 8) == pytest.approx(held_out_loss(runner, ids, 1), abs=1e-4)

    @pytest.mark.parametrize("stretched", [0.6, 1.0, 1.4])
    def test_calibration_finds_logit_scale_of_drawn_targets(self, stretched: float) -> None:
        """Targets are drawn from a softmax of logits; calibration finds the inverse of their stretching."""
        rng = np.random.default_rng(0)
        logits = rng.normal(0, 1.5, (20_000, 9))
        cumulated = np.exp(logits).cumsum(axis=1)
        targets = (cumulated < cumulated[:, -1:] * rng.random((20_000, 1))).sum(axis=1)
        logit_scale = 1.0
        for _ in range(4):
            sums = loss_and_derivatives(logit_scale * stretched * logits, targets).sum(axis=1)
            logit_scale = better_logit_scale(logit_scale, sums[1], sums[2])
        assert logit_scale * stretched == pytest.approx(1, abs=0.02)

    def test_calibration_on_short_text_stays_near_one(self) -> None:
        assert better_logit_scale(1.0, 4.0, 5.0) == pytest.approx(1 - 4 / 105)
        assert better_logit_scale(1.0, math.nan, 5.0) == 1.0
        assert better_logit_scale(1.9, -1e5, 1e5) == 2.0
