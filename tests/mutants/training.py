"""Faults of the training loop, of evaluation, of runs that are resumed and of fine-tuning."""

from __future__ import annotations

from tests.mutants.fault import Fault

LOOP = "tests/training/test_trainer.py::test_training_equals_a_naive_loop"
HELD_OUT = "tests/training/test_trainer.py::test_the_held_out_loss_is_that_of_one_stream"
TRAINER = "tests/training/test_trainer.py::"
MINUTES = "tests/training/test_minutes.py::"
RUN = "tests/training/test_training.py::TestRun::"
CHOICE = "tests/training/test_training.py::TestChoice::"
RESUME = "tests/runs/test_resume.py::"
INHERIT = "tests/training/test_inheritance.py::"

UPDATE = "            self.optimizer.update(self.params.flat, grads, rate, part)\n"
AVERAGE = """\
            if self.average is not self.params.flat:
                for block in blocks(part, self.params.flat.size):
                    self.average[block] += share * (self.params.flat[block] - self.average[block])
"""
FIXED = ("optimizer", "dropout", "clip", "average", "bptt", "batch")

FAULTS = (
    Fault(
        "--clip has no effect",
        "charlm/training/trainer.py",
        "clip_by_global_norm(grads, self.config.clip)",
        "clip_by_global_norm(grads, 0.0)",
        (LOOP,),
    ),
    Fault(
        "the average is the last weights",
        "charlm/training/trainer.py",
        "share = 1 - min(self.config.average, (1 + self.step) / (10 + self.step))",
        "share = 1.0",
        (LOOP,),
    ),
    Fault(
        "the average does not follow more quickly at first",
        "charlm/training/trainer.py",
        "share = 1 - min(self.config.average, (1 + self.step) / (10 + self.step))",
        "share = 1 - self.config.average",
        (LOOP,),
    ),
    Fault(
        "the average is a step late",
        "charlm/training/trainer.py",
        UPDATE + AVERAGE,
        AVERAGE + UPDATE,
        (LOOP,),
    ),
    Fault(
        "the same dropout mask in every window",
        "charlm/training/trainer.py",
        "batch.inputs, batch.targets, batch.weights, self.step)",
        "batch.inputs, batch.targets, batch.weights, 0)",
        (LOOP,),
    ),
    Fault(
        "the learning rate does not follow the schedule",
        "charlm/training/trainer.py",
        "rate = learning_rate(self.config, share) * self.recovery.rate_factor",
        "rate = self.config.learning_rate * self.recovery.rate_factor",
        (LOOP,),
    ),
    Fault(
        "minutes leave no time for the last evaluation",
        "charlm/training/trainer.py",
        "seconds = self.seconds + self._pace.seconds",
        "seconds = self.seconds",
        (f"{MINUTES}test_costly_evaluations_take_a_tenth_of_the_minutes_and_the_last",),
    ),
    Fault(
        "the loss at the old scale of the logits is returned",
        "charlm/training/evaluation.py",
        "loss, _ = self._measure(params, logit_scale)",
        "self._measure(params, logit_scale)",
        (HELD_OUT,),
    ),
    Fault(
        "several threads measure a part of the held-out text",
        "charlm/training/evaluation.py",
        "self._engine.parallel_map(measure, parts)",
        "self._engine.parallel_map(measure, parts[:1])",
        (HELD_OUT,),
    ),
    Fault(
        "characters of the warm-up count",
        "charlm/training/evaluation.py",
        "counts = owner & (places < total)",
        "counts = places < total",
        (HELD_OUT,),
    ),
    Fault(
        "a return forgets the best loss",
        "charlm/training/divergence.py",
        "        trainer.best_loss, trainer.model_step = best\n",
        "",
        (f"{TRAINER}test_a_return_keeps_the_best_loss_and_its_step",),
    ),
    Fault(
        "five returns in a whole run end it",
        "charlm/training/divergence.py",
        "            self.returns = 0\n",
        "            pass\n",
        (f"{TRAINER}test_returns_count_only_where_training_does_not_get_further",),
    ),
    Fault(
        "a state that is not finite is remembered",
        "charlm/training/divergence.py",
        "        self.check_weights()\n        arrays, facts",
        "        arrays, facts",
        (f"{TRAINER}test_a_state_that_is_not_finite_is_never_returned_to",),
    ),
    Fault(
        "another text of the same length is accepted at --resume",
        "charlm/runs/resume.py",
        '        "its SHA-256": corpus.source.digest,\n',
        "",
        (f"{RESUME}test_another_text_of_the_same_characters_is_refused",),
    ),
    *(
        Fault(
            f"--resume takes another {name}",
            "charlm/runs/resume.py",
            'FREE = (*BUDGETS, "patience", "threads")',
            f'FREE = (*BUDGETS, "patience", "threads", "{name}")',
            (f"{RESUME}test_a_setting_that_makes_it_another_run_is_refused[{name}]",),
        )
        for name in FIXED
    ),
    Fault(
        "a state at another position in the text is accepted",
        "charlm/runs/resume.py",
        'if facts["cursor"]["window"] != facts["step"]:',
        "if False:",
        (f"{RESUME}test_a_state_at_another_position_in_the_text_is_refused",),
    ),
    Fault(
        "no early stopping by default",
        "charlm/training/recipes.py",
        '{"patience": 4}',
        '{"patience": 0}',
        (f"{CHOICE}test_training_stops_early_unless_told_otherwise",),
    ),
    Fault(
        "windows of a bidirectional network are as short as any",
        "charlm/training/recipes.py",
        'chosen["bptt"] = max(chosen.get("bptt", 64), BOTH_SIDES)',
        "pass",
        (f"{CHOICE}test_windows_of_a_bidirectional_network_are_longer",),
    ),
    Fault(
        "a model of another text is taken for that of the run",
        "charlm/runs/saving.py",
        'if found is not None and found.training.digest == self.session.corpus.source.digest:',
        "if found is not None:",
        (f"{RESUME}test_a_model_of_another_text_is_not_taken_for_that_of_the_run",),
    ),
    Fault(
        "the step of the model is not noted",
        "charlm/runs/saving.py",
        "        trainer.model_step = trainer.step\n",
        "",
        (f"{RESUME}test_a_model_without_held_out_text_is_written_again",),
    ),
    Fault(
        "--overwrite leaves the old run's state until the first save",
        "charlm/runs/run.py",
        "self.files.forget_state()  # of the run before",
        "pass",
        (f"{RUN}test_the_state_of_a_run_that_is_overwritten_is_removed",),
    ),
    Fault(
        "the model remembers the lines that were held out",
        "charlm/runs/run.py",
        "        ids = self.corpus.train_ids\n        if not self.text.lines",
        "        ids = self.corpus.valid_ids\n        if not self.text.lines",
        (f"{RUN}test_a_model_remembers_its_training_lines_and_not_those_held_out",),
    ),
    Fault(
        "the initial weights are drawn without the seed",
        "charlm/runs/run.py",
        "np.random.default_rng([self.train.seed, 0])",
        "np.random.default_rng([0, 0])",
        (f"{RUN}test_the_seed_draws_the_initial_weights",),
    ),
    Fault(
        "the worse of two starts is taken",
        "charlm/training/warm_start.py",
        "losses.index(min(losses))",
        "losses.index(max(losses))",
        (f"{INHERIT}test_the_start_that_predicts_the_new_text_better_is_taken",),
    ),
    Fault(
        "rows of new characters are 0",
        "charlm/training/warm_start.py",
        "new[...] = old.mean(axis=0) if old.ndim > 1 else old.min()",
        "new[...] = 0",
        (f"{INHERIT}test_characters_keep_their_weights_and_new_ones_get_the_mean",),
    ),
    Fault(
        "columns of new characters are 0",
        "charlm/training/warm_start.py",
        "new[...] = old.mean(axis=1, keepdims=True)",
        "new[...] = 0",
        (f"{INHERIT}test_characters_keep_their_weights_and_new_ones_get_the_mean",),
    ),
    Fault(
        "EOS does not take the newline's row",
        "charlm/training/warm_start.py",
        "new[[eos, newline]] = old[[newline, eos]]",
        "pass",
        (f"{INHERIT}test_end_of_text_is_as_probable_as_the_newline_was",),
    ),
    Fault(
        "lines that begin with a model of running text keep its newline",
        "charlm/runs/run.py",
        "return int(newline[0]), parent.vocabulary.eos",
        "return None",
        (f"{INHERIT}test_lines_begin_with_a_model_of_running_text",),
    ),
    Fault(
        "nothing of the parent is forgotten",
        "charlm/training/warm_start.py",
        "new += (1 - kept) * (fresh[name] - new)",
        "pass",
        (f"{INHERIT}test_a_fraction_of_all_weights_but_those_of_inputs_is_kept",),
    ),
    Fault(
        "a row of the log without newline stays",
        "charlm/diagnostics/log_rows.py",
        'not line.endswith(b"\\n") or ',
        "",
        ("tests/training/test_log.py::test_a_resumed_log_continues_with_whole_rows",),
    ),
    Fault(
        "rows of later steps stay in the log",
        "charlm/diagnostics/log_rows.py",
        ' and row["step"] <= step',
        "",
        ("tests/training/test_log.py::test_a_resumed_log_continues_with_whole_rows",),
    ),
)
