"""Faults of the training loop, of evaluation, of runs that are resumed and of fine-tuning."""

from __future__ import annotations

from tests.mutants.fault import Fault

LOOP = "tests/training/test_trainer.py::test_training_equals_naive_loop"
HELD_OUT = "tests/training/test_trainer.py::test_held_out_loss_equals_that_of_one_stream"
TRAINER = "tests/training/test_trainer.py::"
MINUTES = "tests/training/test_minutes.py::"
MEMBERS = "tests/training/test_members.py::"
RUN = "tests/runs/test_run.py::TestRun::"
CHOICE = "tests/training/test_training.py::TestChoice::"
SIZE = "tests/training/test_training.py::TestEnsembleSize::"
RESUME = "tests/runs/test_resume.py::"
WARM_START = "tests/training/test_warm_start.py::"

UPDATE = "        self._optimizer.update(self.params.flat, grads, rate)\n"
AVERAGE = """\
        if self.average is not self.params:
            fraction = new_fraction(self._train.average, window + 1)
            for block in blocks(slice(None), self.params.flat.size):
                self.average.flat[block] += fraction * (self.params.flat[block] - self.average.flat[block])
"""
FIXED = ("optimizer", "dropout", "clip", "average", "bptt", "batch")

FAULTS = (
    Fault(
        "--clip has no effect",
        "charlm/engines/host_engine.py",
        "clip_by_global_norm(grads, self._train.clip)",
        "clip_by_global_norm(grads, 0.0)",
        (LOOP,),
    ),
    Fault(
        "the average is the last weights",
        "charlm/optim/averaging.py",
        "return 1 - min(decay, (1 + steps) / (10 + steps))",
        "return 1.0",
        (LOOP,),
    ),
    Fault(
        "the average is as long at first as later",
        "charlm/optim/averaging.py",
        "return 1 - min(decay, (1 + steps) / (10 + steps))",
        "return 1 - decay",
        (LOOP,),
    ),
    Fault(
        "the average is a step late",
        "charlm/engines/host_engine.py",
        UPDATE + AVERAGE,
        AVERAGE + UPDATE,
        (LOOP,),
    ),
    Fault(
        "the same dropout mask in every window",
        "charlm/training/learner.py",
        "batch.inputs, batch.targets, batch.weights, self.step, rate)",
        "batch.inputs, batch.targets, batch.weights, 0, rate)",
        (LOOP,),
    ),
    Fault(
        "the learning rate does not follow the schedule",
        "charlm/training/learner.py",
        "[learning_rate(self.config, fraction) * self.guard.rate_factor for",
        "[self.config.learning_rate * self.guard.rate_factor for",
        (LOOP,),
    ),
    Fault(
        "as much is dropped in one pass as in many",
        "charlm/training/recipes.py",
        "adapted |= {name: min(adapted[name], limit)",
        "adapted |= {name: adapted[name]",
        (f"{CHOICE}test_long_text_that_is_read_a_few_times_needs_little_dropout",),
    ),
    Fault(
        "members for a long text have no time for passes of their own",
        "charlm/training/ensemble_size.py",
        "min(wanted, int(own_passes / MEMBER_PASSES))",
        "wanted",
        ("tests/training/test_training.py::TestEnsembleSize::test_members_for_long_text_make_three_passes_each",),
    ),
    Fault(
        "a text of two thousand words gets as many passes as one of ten thousand",
        "charlm/training/recipes.py",
        'max(recipe["epochs"], float(epochs))',
        'recipe["epochs"]',
        (f"{CHOICE}test_short_text_limits_epochs",),
    ),
    Fault(
        "members on a GPU wait for each other",
        "charlm/training/members.py",
        "            self._at_once = self.networks\n",
        "            pass\n",
        (f"{MEMBERS}test_members_on_a_gpu_do_not_wait_for_each_other",),
    ),
    Fault(
        "more members are chosen than fit into the memory of a GPU",
        "charlm/runs/setup.py",
        "if needed > on_gpu:",
        "if False:",
        (f"{MEMBERS}test_pytorch_trains_several_networks_on_one_gpu_with_enough_memory",),
    ),
    Fault(
        "each member on a GPU has the time of all",
        "charlm/training/gpu_recipes.py",
        "needed = max(MEMBER_UPDATES * BATCH * LONG_WINDOW, MEMBER_PASSES * characters)",
        "needed = characters",
        ("tests/training/test_training.py::TestGpu::test_members_share_the_time_of_a_gpu",),
    ),
    Fault(
        "a GPU reads short texts in large batches",
        "charlm/training/recipes.py",
        "    if characters > MAX_SHORT:\n        per_minute",
        "    if characters > MAX_SHORT or speed.is_gpu:\n        per_minute",
        ("tests/training/test_training.py::TestGpu::test_given_settings_and_recipes_for_short_texts_are_kept",),
    ),
    Fault(
        "a resumed run prints the hint about the GPU again",
        "charlm/runs/run.py",
        "if not saved and (hint :=",
        "if (hint :=",
        ("tests/runs/test_gpu_hint.py::test_new_run_tells_once_of_the_gpu",),
    ),
    Fault(
        "minutes leave no time for the last evaluation",
        "charlm/training/trainer.py",
        "seconds = self.seconds + self._pace.seconds",
        "seconds = self.seconds",
        (f"{MINUTES}test_costly_evaluations_take_a_tenth_of_the_minutes",),
    ),
    Fault(
        "the cost of an evaluation is not measured before the first",
        "charlm/training/trainer.py",
        "int(size / max(slowdown, 1.0))",
        "size",
        (f"{MINUTES}test_first_evaluation_measures_how_much_text_the_minutes_allow",),
    ),
    Fault(
        "the estimated cost of an evaluation has no limit",
        "charlm/training/pace.py",
        "self.seconds = min(characters, limit) * passes",
        "self.seconds = characters * passes",
        (f"{MINUTES}test_pace_uses_estimate_until_first_measurement",),
    ),
    Fault(
        "the clock includes the first snapshot",
        "charlm/training/trainer.py",
        "        self.learner.snapshot()\n        self._started = monotonic()\n",
        "        self._started = monotonic()\n        self.learner.snapshot()\n",
        (f"{MINUTES}test_clock_excludes_setup",),
    ),
    Fault(
        "the loss at the old scale of the logits is returned",
        "charlm/training/evaluation.py",
        "        sums = measure(held_out, logit_scale)\n    return",
        "    return",
        (HELD_OUT,),
    ),
    Fault(
        "several threads evaluate only a part of the held-out text",
        "charlm/training/evaluation.py",
        "parallel_map(measure, parts, self.threads)",
        "parallel_map(measure, parts[:1], self.threads)",
        (HELD_OUT,),
    ),
    Fault(
        "characters of the warm-up count",
        "charlm/training/evaluation.py",
        "counts = is_own & (positions < total)",
        "counts = positions < total",
        (HELD_OUT,),
    ),
    Fault(
        "five rollbacks in total end a run",
        "charlm/training/divergence.py",
        "            self.rollbacks = 0\n",
        "            pass\n",
        (f"{TRAINER}test_rollbacks_count_only_at_the_same_step",),
    ),
    Fault(
        "a snapshot holds weights that are not finite",
        "charlm/training/learner.py",
        "            self.check_finite()\n            self.guard",
        "            self.guard",
        (f"{TRAINER}test_snapshot_of_non_finite_weights_is_refused",),
    ),
    Fault(
        "another text of the same length is accepted at --resume",
        "charlm/runs/resume.py",
        '        "its SHA-256": corpus.source.digest,\n',
        "",
        (f"{RESUME}test_resume_with_other_text_of_same_length_is_refused",),
    ),
    *(
        Fault(
            f"--resume takes another {name}",
            "charlm/runs/resume.py",
            'CHANGEABLE = (*BUDGETS, "patience", "threads")',
            f'CHANGEABLE = (*BUDGETS, "patience", "threads", "{name}")',
            (f"{RESUME}test_fixed_setting_with_other_value_is_refused[{name}]",),
        )
        for name in FIXED
    ),
    Fault(
        "a state at another position in the text is accepted",
        "charlm/runs/resume.py",
        'if learner["cursor"]["window"] != learner["step"]:',
        "if False:",
        (f"{RESUME}test_state_at_wrong_text_position_is_refused",),
    ),
    Fault(
        "no early stopping by default",
        "charlm/training/recipes.py",
        '"patience": 4',
        '"patience": 0',
        (f"{CHOICE}test_patience_defaults_to_early_stopping",),
    ),
    Fault(
        "a bidirectional network gets short windows",
        "charlm/training/recipes.py",
        'adapted["bptt"] = max(adapted.get("bptt", 64), MIN_BIDIRECTIONAL_STEPS)',
        "pass",
        (f"{CHOICE}test_bidirectional_network_gets_longer_windows",),
    ),
    Fault(
        "a resumed run accepts the model of another text",
        "charlm/runs/saving.py",
        "is_own = found.training.digest == self.setup.corpus.source.digest",
        "is_own = True",
        (f"{RESUME}test_resume_ignores_model_of_other_text",),
    ),
    Fault(
        "the step of the model is not recorded",
        "charlm/runs/saving.py",
        "        trainer.model_step = trainer.step\n",
        "",
        (f"{RESUME}test_resume_without_held_out_text_writes_missing_model",),
    ),
    Fault(
        "a signal that comes while the ranks agree is forgotten",
        "charlm/runs/run.py",
        "if must_stop:  # never reset",
        "if True:  # never reset",
        (f"{RUN}test_a_stop_while_the_processes_agree_counts_in_the_next_step",),
        (
            (
                "charlm/runs/run.py",
                "self.is_interrupted = True\n            is_last",
                "self.is_interrupted = bool(must_stop)\n            is_last",
            ),
        ),
    ),
    Fault(
        "--overwrite leaves the old run's state until the first save",
        "charlm/runs/run.py",
        "self.files.delete_state()  # of the previous run",
        "pass",
        (f"{RUN}test_overwriting_run_deletes_old_state",),
    ),
    Fault(
        "the model stores hashes of held-out lines",
        "charlm/runs/setup.py",
        "ids = corpus.train_ids",
        "ids = corpus.valid_ids",
        (f"{RUN}test_model_stores_hashes_of_training_lines_only",),
    ),
    Fault(
        "a run that fails leaves its process group as if it had succeeded",
        "charlm/runs/run.py",
        "self._resources.__exit__(*error)",
        "self._resources.close()",
        (f"{RUN}test_error_inside_run_reaches_its_resources",),
    ),
    Fault(
        "the initial weights are drawn without the seed",
        "charlm/runs/setup.py",
        "np.random.default_rng([member_configs(setup.train)[member].seed, 0])",
        "np.random.default_rng([0, 0])",
        (f"{RUN}test_seed_determines_initial_weights",),
    ),
    Fault(
        "rows of new characters are 0",
        "charlm/training/warm_start.py",
        "new[...] = old.mean(axis=0) if old.ndim > 1 else old.min()",
        "new[...] = 0",
        (f"{WARM_START}test_old_tokens_keep_weights_and_new_tokens_get_the_mean",),
    ),
    Fault(
        "columns of new characters are 0",
        "charlm/training/warm_start.py",
        "new[...] = old.mean(axis=1, keepdims=True)",
        "new[...] = 0",
        (f"{WARM_START}test_old_tokens_keep_weights_and_new_tokens_get_the_mean",),
    ),
    Fault(
        "EOS does not take the newline's row",
        "charlm/training/warm_start.py",
        "new[[eos, newline]] = old[[newline, eos]]",
        "pass",
        (f"{WARM_START}test_eos_takes_row_of_newline",),
    ),
    Fault(
        "a model of lines keeps the newline of its parent of running text",
        "charlm/runs/setup.py",
        "line_end = int(newline[0]), parent.vocabulary.eos",
        "pass",
        (f"{WARM_START}test_model_of_lines_starts_from_model_of_running_text",),
    ),
    Fault(
        "a row of the log without newline stays",
        "charlm/diagnostics/clipping_log.py",
        'line.endswith(b"\\n") and isinstance(row, dict)',
        "isinstance(row, dict)",
        ("tests/runs/test_log.py::test_resumed_log_drops_later_and_incomplete_rows",),
    ),
    Fault(
        "rows of later steps stay in the log",
        "charlm/diagnostics/clipping_log.py",
        ' or row["step"] > step',
        "",
        ("tests/runs/test_log.py::test_resumed_log_drops_later_and_incomplete_rows",),
    ),
    Fault(
        "a state is written before the best model of an earlier step",
        "charlm/runs/saving.py",
        "if holds_model else",
        "if True else",
        (f"{RUN}test_kill_within_late_save_keeps_best_model",),
    ),
    Fault(
        "a finished run leaves its state",
        "charlm/runs/saving.py",
        "            self.files.delete_state()\n",
        "            pass\n",
        (f"{RUN}test_run_writes_model_and_log",),
    ),
    Fault(
        "the state of an earlier version is not read",
        "charlm/runs/files.py",
        "if is_state(self.old_state) else states",
        "if False else states",
        (f"{RESUME}test_state_of_earlier_version_is_resumed_exactly_and_replaced",),
    ),
    Fault(
        "a model is deleted as the state of an earlier version",
        "charlm/runs/files.py",
        "if is_state(self.old_state) else states",
        "if self.old_state.exists() else states",
        (f"{RESUME}test_model_with_name_of_earlier_state_is_kept",),
    ),
    Fault(
        "the state is lost with the model of a finished run",
        "charlm/runs/saving.py",
        "            with suppress(CheckpointError):\n                self._write()\n            raise",
        "            raise",
        (f"{RUN}test_failed_write_of_finished_model_keeps_state",),
    ),
    Fault(
        "the values of a state are not checked",
        "charlm/runs/resume.py",
        "if not np.abs(arrays[name]).max(initial=0) < MAX_VALUE:",
        "if not arrays[name].size:",
        ("tests/runs/test_resume.py::test_state_with_invalid_values_is_refused",),
    ),
    Fault(
        "the memory of all logits is counted",
        "charlm/training/memory.py",
        "head = min(",
        "head = max(",
        ("tests/reliability/test_memory.py::test_memory_of_logits_is_bounded_with_large_vocabulary",),
    ),
    Fault(
        "a misspelled size has no suggestion",
        "charlm/training/recipes.py",
        '*TRAIN_SETTINGS, "size"]',
        "*TRAIN_SETTINGS]",
        (f"{CHOICE}test_misspelled_setting_is_refused_with_suggestion",),
    ),
    Fault(
        "each save writes the model again",
        "charlm/runs/saving.py",
        "            self._is_unsaved = False\n",
        "",
        (f"{RUN}test_model_is_written_only_when_it_is_new",),
    ),
    Fault(
        "all members have the seed of the run",
        "charlm/training/members.py",
        "seed=train.seed + SEED_STRIDE * k",
        "seed=train.seed",
        (f"{MEMBERS}test_each_member_equals_a_network_trained_alone",),
    ),
    Fault(
        "the scale of the logits is that of members alone",
        "charlm/training/evaluation.py",
        "(slopes**2 + curvatures)).sum(axis=0) - slope**2",
        "curvatures).sum(axis=0)",
        (f"{MEMBERS}test_sums_of_a_mixture_equal_numeric_derivatives",),
    ),
    Fault(
        "a member resumes with the weights of another",
        "charlm/training/members.py",
        "states[int(member)][rest] = value",
        "states[int(member) - 1][rest] = value",
        (f"{MEMBERS}test_resumed_ensemble_continues_to_the_bit",),
    ),
    Fault(
        "members train past an evaluation",
        "charlm/training/member.py",
        "while not learner.step or self._fraction(self._without_clock, 0.0) < until:",
        "while not learner.step or self._fraction(self._without_clock, 0.0) < 1:",
        (f"{MEMBERS}test_member_that_has_reached_a_fraction_of_the_budget_waits",),
    ),
    Fault(
        "the events of members are lost",
        "charlm/training/members.py",
        "for event in answer.events:",
        "for event in []:",
        (f"{MEMBERS}test_divergence_of_members_is_reported_and_ends_the_run",),
    ),
    Fault(
        "the losses of members change their columns",
        "charlm/training/members.py",
        "one.result.loss if one.result else None for one in self.progress",
        "result.loss for result in results",
        (f"{MEMBERS}test_losses_of_members_keep_their_columns",),
    ),
    Fault(
        "all members start from the first of a mixture",
        "charlm/runs/setup.py",
        "parent.members[member % len(parent.members)]",
        "parent.members[0]",
        (f"{MEMBERS}test_members_start_from_those_of_a_mixture_in_turn",),
    ),
    Fault(
        "every rank trains all members",
        "charlm/runs/run.py",
        "if train.ensemble > 1 and group.world_size > 1:",
        "if False:",
        (f"{MEMBERS}test_ensemble_under_several_ranks_is_refused",),
    ),
    Fault(
        "members get the recipe of a single network",
        "charlm/training/recipes.py",
        "reference_minutes * speed.of_member(members) / REFERENCE_SPEED.all_cores",
        "reference_minutes * speed.of_member(1) / REFERENCE_SPEED.all_cores",
        (f"{SIZE}test_members_get_the_recipe_of_their_own_time",),
    ),
    Fault(
        "several networks are chosen for a budget of steps",
        "charlm/training/recipes.py",
        'if is_by_time and "ensemble" not in given:',
        'if "ensemble" not in given:',
        (f"{SIZE}test_choose_without_minutes_or_with_a_given_number_takes_it",),
    ),
    Fault(
        "more members are chosen than fit the memory",
        "charlm/runs/setup.py",
        "return free is None or run_memory(engine, network, choice.train, batches) <= free",
        "return True",
        (f"{MEMBERS}test_number_of_members_that_is_chosen_fits_the_memory",),
    ),
    Fault(
        "fine-tuning a mixture keeps its first member alone",
        "charlm/runs/setup.py",
        'members = settings.get("ensemble") or len(parent.members)',
        'members = settings.get("ensemble") or 1',
        (f"{MEMBERS}test_members_are_as_many_as_those_of_the_model_to_start_with",),
    ),
    Fault(
        "a large network gets as many members as a small one",
        "charlm/training/recipes.py",
        "members_for_long_text(passes * character_cost(recipe, BOOK_VOCABULARY) / cost, passes / cost)",
        "members_for_long_text(passes, passes)",
        (f"{SIZE}test_a_costly_network_has_fewer_members",),
    ),
)
