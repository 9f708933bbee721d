"""Settings, each with its range. Frozen: a setting never changes under a running model."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from charlm.errors import ConfigError

NORMALIZATIONS = ("none", "NFC", "NFKC")
DECODING_ERRORS = ("strict", "replace", "ignore")
UNITS = ("char", "word")
HELD_OUT = ("spread", "end")
ENGINES = ("numpy", "torch")
DEVICES = ("auto", "cpu", "cuda", "mps")
PRECISIONS = ("float32", "bfloat16")
SIZES = ("tiny", "small", "medium", "large")


def check(is_valid: bool, field: str, value: Any, expected: str) -> None:
    """Raise ConfigError unless `is_valid`.

    Parameters
    ----------
    is_valid : whether `value` is allowed
    field : name of the setting as a Python caller writes it, such as "learning_rate"
    value : the value that was given
    expected : the allowed values in words, such as "more than 0"

    Raises
    ------
    ConfigError : "`field` is value; expected ..."
    """
    if not is_valid:
        is_infinite = isinstance(value, float) and not math.isfinite(value)
        raise ConfigError(
            f"`{field}` is {value!r}; expected {'a finite number, ' * is_infinite}{expected}", field, value
        )


def is_count(value: Any, least: int = 1) -> bool:
    """Whether `value` is a whole number of at least `least` (a bool is not a number)."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def is_real(value: Any) -> bool:
    """Whether `value` is a finite real number."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def is_fraction(value: Any) -> bool:
    """Whether `value` is a number in [0, 1)."""
    return is_real(value) and 0 <= value < 1


@dataclass(frozen=True)
class NetworkConfig:
    """The shape of a network; with a vocabulary size, all that is needed to build one.

    cell: a name in `charlm.nn.cells.CELLS`.  hidden: units a layer.  layers: depth of the stack.
    dropout: share of each layer's outputs that is dropped in training, in [0, 1).
    recurrent_dropout: share of the recurrent weights that is dropped in each window of training, in [0, 1).
    bidirectional: whether a second stack reads from right to left, and each character is predicted from both sides.
    """

    cell: str = "lstm"
    hidden: int = 256
    layers: int = 1
    dropout: float = 0.0
    recurrent_dropout: float = 0.0
    bidirectional: bool = False

    def __post_init__(self) -> None:
        check(isinstance(self.cell, str), "cell", self.cell, "the name of a cell")
        check(is_count(self.hidden) and self.hidden <= 65536, "hidden", self.hidden, "1 to 65536")
        check(is_count(self.layers) and self.layers <= 64, "layers", self.layers, "1 to 64")
        check(is_fraction(self.dropout), "dropout", self.dropout, "in [0, 1)")
        check(is_fraction(self.recurrent_dropout), "recurrent_dropout", self.recurrent_dropout, "in [0, 1)")
        check(isinstance(self.bidirectional, bool), "bidirectional", self.bidirectional, "true or false")

    @property
    def has_dropout(self) -> bool:
        """Whether anything is dropped in training."""
        return self.dropout > 0 or self.recurrent_dropout > 0


@dataclass(frozen=True)
class TextConfig:
    """How text becomes tokens. Recorded in the model, and applied again to prompts and scored text.

    unit: "char" or "word".  lines: whether each line is a document of its own.
    min_count: tokens seen less often than this become UNK; None chooses by the corpus.
    encoding, errors: as in `bytes.decode`.  normalize: Unicode normal form, or "none".
    """

    unit: str = "char"
    lines: bool = False
    min_count: int | None = None
    encoding: str = "utf-8"
    errors: str = "strict"
    normalize: str = "none"

    def __post_init__(self) -> None:
        check(self.unit in UNITS, "unit", self.unit, "one of " + ", ".join(UNITS))
        check(isinstance(self.lines, bool), "lines", self.lines, "true or false")
        check(self.min_count is None or is_count(self.min_count), "min_count", self.min_count, "1 or more")
        check(self.errors in DECODING_ERRORS, "errors", self.errors, "one of " + ", ".join(DECODING_ERRORS))
        check(self.normalize in NORMALIZATIONS, "normalize", self.normalize, "one of " + ", ".join(NORMALIZATIONS))


@dataclass(frozen=True)
class SampleConfig:
    """How characters are drawn from the softmax.

    temperature: logits are divided by it; 0 takes the most probable character always.
    top_k: keep the k most probable, 0 for all.  top_p: keep the smallest set whose probability
    reaches p (nucleus).  length: most characters a text may have.  stop: text ends behind this string.
    can_end: whether the model may end a text, by drawing EOS.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    length: int = 1000
    stop: str | None = None
    can_end: bool = True

    def __post_init__(self) -> None:
        check(is_real(self.temperature) and self.temperature >= 0, "temperature", self.temperature, "0 or more")
        check(is_count(self.top_k, least=0), "top_k", self.top_k, "0 (all) or more")
        check(is_real(self.top_p) and 0 < self.top_p <= 1, "top_p", self.top_p, "in (0, 1]")
        check(is_count(self.length, least=0), "length", self.length, "0 or more")
        check(self.stop is None or (isinstance(self.stop, str) and self.stop != ""), "stop", self.stop, "not empty")


@dataclass(frozen=True)
class TrainConfig:
    """How a network is trained.

    batch: parallel streams B.  bptt: steps T of a window.
    epochs, steps, minutes: the budget; training ends at the first that is used up, and the learning rate
    decays over just that.  learning_rate: its peak, reached after the share `warmup` of the budget; from there
    half a cosine leads down to the share `final_rate` of it.
    optimizer: a name in `charlm.optim.OPTIMIZERS`.  clip: largest L2 norm of the gradient, 0 for no clipping.
    average: decay of the running average of the weights that is evaluated and saved, 0 for none.
    restart_rate: share of streams that start anew in each window, so that starts are learned.
    patience: evaluations without a lower held_out loss after which training stops, 0 for never.
    valid: share of the text that is held out, None for `held_out_fraction`.  held_out: where in running text, "spread"
    over it or at its "end".
    seed: of everything random.
    threads: cores to use, 0 for all.
    """

    batch: int = 32
    bptt: int = 64
    epochs: float | None = None
    steps: int | None = None
    minutes: float | None = None
    learning_rate: float = 0.01
    warmup: float = 0.02
    final_rate: float = 0.02
    optimizer: str = "adam"
    clip: float = 1.0
    average: float = 0.99
    restart_rate: float = 0.02
    patience: int = 0
    valid: float | None = None
    held_out: str = "spread"
    seed: int = 0
    threads: int = 0

    def __post_init__(self) -> None:
        check(is_count(self.batch), "batch", self.batch, "1 or more")
        check(is_count(self.bptt), "bptt", self.bptt, "1 or more")
        for name in ("epochs", "minutes"):
            value = getattr(self, name)
            check(value is None or (is_real(value) and value > 0), name, value, "more than 0")
        check(self.steps is None or is_count(self.steps), "steps", self.steps, "1 or more")
        check(
            is_real(self.learning_rate) and self.learning_rate > 0, "learning_rate", self.learning_rate, "more than 0"
        )
        for name in ("warmup", "average", "restart_rate", "valid"):
            value = getattr(self, name)
            is_open = name == "valid" and value is None
            check(is_open or is_fraction(value), name, value, "in [0, 1)")
        check(is_real(self.final_rate) and 0 <= self.final_rate <= 1, "final_rate", self.final_rate, "in [0, 1]")
        check(is_real(self.clip) and self.clip >= 0, "clip", self.clip, "0 (none) or more")
        check(self.held_out in HELD_OUT, "held_out", self.held_out, "one of " + ", ".join(HELD_OUT))
        check(is_count(self.patience, least=0), "patience", self.patience, "0 (never) or more")
        check(is_count(self.seed, least=0), "seed", self.seed, "0 or more")
        check(is_count(self.threads, least=0), "threads", self.threads, "0 (all cores) or more")


@dataclass(frozen=True)
class EngineConfig:
    """What computes a run; the files of a run do not depend on it.

    name: "numpy", or "torch" for PyTorch.  device, precision: of PyTorch; with bfloat16 the weights stay float32.
    """

    name: str = "numpy"
    device: str = "auto"
    precision: str = "float32"

    def __post_init__(self) -> None:
        check(self.name in ENGINES, "engine", self.name, "one of " + ", ".join(ENGINES))
        check(self.device in DEVICES, "device", self.device, "one of " + ", ".join(DEVICES))
        check(self.precision in PRECISIONS, "precision", self.precision, "one of " + ", ".join(PRECISIONS))
        is_default = (self.device, self.precision) == ("auto", "float32")
        if self.name == "numpy" and not is_default:
            raise ConfigError('`device` and `precision` are settings of PyTorch; pass `engine="torch"`')
