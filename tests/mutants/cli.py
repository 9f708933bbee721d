"""Faults of the command line: figures in the wrong unit, losses and fractions mixed up."""

from __future__ import annotations

from tests.mutants.fault import Fault

FIGURES = "tests/cli/test_figures.py"

FAULTS: tuple[Fault, ...] = (
    Fault(
        "progress line: bits are nats times ln 2",
        "charlm/cli/progress.py",
        "{nats / log(2):.3f} bits",
        "{nats * log(2):.3f} bits",
        (f"{FIGURES}::TestProgress",),
    ),
    Fault(
        "last line of train: bits/char is the figure in nats",
        "charlm/cli/train.py",
        "{nats / log(2):.4f} bits",
        "{nats:.4f} bits",
        (f"{FIGURES}::test_training_reports_the_losses_of_its_files",),
    ),
    Fault(
        "progress prints the training loss as held-out",
        "charlm/cli/progress.py",
        "self.valid_loss = report.valid_loss",
        "self.valid_loss = report.train_loss",
        (f"{FIGURES}::TestProgress",),
    ),
    Fault(
        "--base 10: the bans/char column is in nats",
        "charlm/cli/tables.py",
        'figure(in_base(score.nats_per_char, base), ".4f")',
        'figure(score.nats_per_char, ".4f")',
        (f"{FIGURES}::TestScore::test_table",),
    ),
    Fault(
        "the bits/char column is in nats",
        "charlm/cli/tables.py",
        'figure(score.bits_per_char, ".4f")',
        'figure(score.nats_per_char, ".4f")',
        (f"{FIGURES}::TestScore::test_table",),
    ),
    Fault(
        "log p of the table is in nats whatever the base",
        "charlm/cli/tables.py",
        "{in_base(score.log_prob, base):.3f}",
        "{score.log_prob:.3f}",
        (f"{FIGURES}::TestScore::test_table",),
    ),
    Fault(
        "summary: the figure per character is not in its base",
        "charlm/cli/tables.py",
        "figure(in_base(summary.nats_per_char, base), '.6f')",
        "figure(summary.nats_per_char, '.6f')",
        (f"{FIGURES}::TestScore::test_summary",),
    ),
    Fault(
        "summary: bits per character are nats",
        "charlm/cli/tables.py",
        "{figure(summary.bits_per_char, '.6f')}",
        "{figure(summary.nats_per_char, '.6f')}",
        (f"{FIGURES}::TestScore::test_summary",),
    ),
    Fault(
        "--rank: log p is in nats whatever the base",
        "charlm/cli/score.py",
        "log_prob = in_base(score.log_prob, base)",
        "log_prob = in_base(score.log_prob, 'e')",
        (f"{FIGURES}::TestScore::test_ranked_groups",),
    ),
    Fault(
        "info: bits are nats times ln 2",
        "charlm/cli/info.py",
        "{nats / log(2):.4f} bits",
        "{nats * log(2):.4f} bits",
        (f"{FIGURES}::TestInfo",),
    ),
    Fault(
        "info: training and held-out loss swapped",
        "charlm/cli/info.py",
        '("training loss", "train_loss"), ("held-out loss", "valid_loss")',
        '("training loss", "valid_loss"), ("held-out loss", "train_loss")',
        (f"{FIGURES}::TestInfo",),
    ),
    Fault(
        "info: the loss of a bidirectional model is shown as a likelihood",
        "charlm/cli/info.py",
        'if both else ""\n            lines',
        'if not both else ""\n            lines',
        (f"{FIGURES}::TestInfo",),
    ),
    Fault(
        "--novel reports the fraction of new lines as that of copies",
        "charlm/cli/sample.py",
        "copies += known is True",
        "copies += known is False",
        ("tests/cli/test_novel.py",),
    ),
    Fault(
        "odd --context does not read the line before",
        "charlm/cli/odd.py",
        "context=before",
        'context=""',
        (f"{FIGURES}::TestOdd",),
    ),
    Fault(
        "odd: bits/char are nats",
        "charlm/cli/odd.py",
        "yield score.bits_per_char, -numbers",
        "yield score.nats_per_char, -numbers",
        (f"{FIGURES}::TestOdd",),
    ),
    Fault(
        "heat map limits reversed",
        "charlm/cli/heat.py",
        "bits >= limit",
        "bits <= limit",
        (f"{FIGURES}::TestHeatMap",),
    ),
    Fault(
        "heat map: the legend names the limits in the wrong order",
        "charlm/cli/heat.py",
        "LIMITS = (1.0, 2.0, 4.0, 6.0, 9.0)",
        "LIMITS = (9.0, 6.0, 4.0, 2.0, 1.0)",
        (f"{FIGURES}::TestHeatMap",),
    ),
    Fault(
        "classify --json: log_prob is the posterior",
        "charlm/cli/classify.py",
        "dict(zip(names, one.log_probs, strict=True))",
        "dict(zip(names, one.posterior, strict=True))",
        (f"{FIGURES}::TestClassify",),
    ),
    Fault(
        "time left counts the reading of the text",
        "charlm/cli/progress.py",
        "seconds = report.seconds - self._first.seconds",
        "seconds = report.seconds",
        (f"{FIGURES}::TestProgress",),
    ),
    Fault(
        "a terminal of 0 columns shows no progress",
        "charlm/cli/progress.py",
        "columns > 0",
        "columns >= 0",
        ("tests/cli/test_terminal.py::test_a_terminal_without_a_width_shows_a_bar",),
    ),
    Fault(
        "lines are drawn empty",
        "charlm/sampling/sampler.py",
        "return going_on if last == vocabulary.eos else may_end, may_end",
        "return may_end, may_end",
        ("tests/sampling/test_sampler.py::test_no_text_is_empty_even_if_the_model_expects_its_end",),
    ),
    Fault(
        "sample prints nothing until all texts are drawn",
        "charlm/cli/sample.py",
        "for text in model.sample_each(prompt, n=n, seed=seed, config=config)",
        "for text in model.sample(prompt, n=n, seed=seed, config=config)",
        ("tests/cli/test_novel.py::test_texts_are_written_batch_by_batch",),
    ),
)
