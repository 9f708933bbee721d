"""Settings with their ranges, as frozen dataclasses."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from charlm.checks import (
    COUNT,
    FRACTION,
    NATURAL,
    NON_NEGATIVE,
    POSITIVE,
    STRING,
    TEXT,
    TRUTH,
    check,
    check_choice,
    check_fields,
    check_value,
    integer_rule,
    number_rule,
)
from charlm.errors import ConfigError

NORMALIZATIONS = ("none", "NFC", "NFKC")
DECODING_ERRORS = ("strict", "replace", "ignore")
UNITS = ("char", "word")
TARGET_UNITS = ("char", "symbol")
HELD_OUT = ("spread", "end")
ENGINES = ("numpy", "torch")
DEVICES = ("auto", "cpu", "cuda", "mps")
PRECISIONS = ("float32", "bfloat16")
SIZES = ("tiny", "small", "medium", "large")
MAX_LABELS = 1 << 20
"""Largest number of labels of a network."""
MAX_MEMBERS = 64
"""Largest number of members of a mixture; it bounds the tensors that a model file may name."""


@dataclass(frozen=True)
class NetworkConfig:
    """Shape of a network; together with the vocabulary size it defines the network.

    Attributes
    ----------
    cell : name in `charlm.nn.cells.CELLS`, default "lstm"
    hidden : units of each layer, 1 to 65536, default 256
    layers : number of layers, 1 to 64, default 1
    dropout : probability of dropping an output of a layer in training, in [0, 1), default 0
    recurrent_dropout : probability of dropping a recurrent weight in a training window, in [0, 1), default 0
    bidirectional : whether a second stack reads from right to left, for predictions from both sides, default False
    tied : whether the rows of the softmax head are also the inputs of the first layer, as embeddings of the tokens,
        default False; saves parameters and learns rare tokens better (Press & Wolf 2017, arXiv:1608.05859)
    outputs : number of labels that are predicted, 0 to 1048576; 0 (default) if tokens of the vocabulary are predicted
    encoder_decoder : whether a decoder predicts a target from the last state of an encoder of its source, default False
    conditions : number of labels, one of which is read with each token, 0 to 1048576, default 0
    """

    cell: str = "lstm"
    hidden: int = 256
    layers: int = 1
    dropout: float = 0.0
    recurrent_dropout: float = 0.0
    bidirectional: bool = False
    tied: bool = False
    outputs: int = 0
    encoder_decoder: bool = False
    conditions: int = 0

    def __post_init__(self) -> None:
        check(isinstance(self.cell, str), "cell", self.cell, "the name of a cell")
        check_fields(self, integer_rule(1, 65536), "hidden")
        check_fields(self, integer_rule(1, 64), "layers")
        check_fields(self, integer_rule(0, MAX_LABELS), "outputs", "conditions")
        check_fields(self, FRACTION, "dropout", "recurrent_dropout")
        check_fields(self, TRUTH, "bidirectional", "tied", "encoder_decoder")
        if self.tied and self.bidirectional:
            raise ConfigError("`tied` is for networks of one direction, and this one is `bidirectional`")
        if (self.encoder_decoder or self.conditions) and (self.bidirectional or self.tied):
            raise ConfigError("this network of pairs, or that reads labels, cannot be `bidirectional` or `tied`")
        if self.tied and self.outputs:
            raise ConfigError("`tied` is for networks that predict what they read, and this one predicts labels")

    def __str__(self) -> str:
        kind = "bidirectional " * self.bidirectional + "tied " * self.tied + "encoder-decoder " * self.encoder_decoder
        return f"{kind}{self.cell} {self.hidden}x{self.layers}"

    @property
    def has_dropout(self) -> bool:
        """Whether training drops outputs or recurrent weights."""
        return self.dropout > 0 or self.recurrent_dropout > 0


@dataclass(frozen=True)
class TextConfig:
    """How text becomes tokens. A model stores it and applies it to prompts and scored texts.

    Attributes
    ----------
    unit : "char" or "word", default "char"
    lines : whether each line is a document, default False
    min_count : tokens with a lower count become UNK, >= 1; None (default) derives it from the corpus
    encoding, errors : as in `bytes.decode`, default "utf-8" and "strict"
    normalize : Unicode normal form "NFC" or "NFKC", or "none" (default)
    task : what the model predicts, a name in `charlm.tasks.TASKS`, default "language"
    remove : what the task "restore" removes and restores: "marks", "case", "spaces", "punctuation", or several with
        commas; empty (default) for other tasks
    target_unit : unit of the targets of the task "pairs": "char" (default), or "symbol" for symbols between spaces
    """

    unit: str = "char"
    lines: bool = False
    min_count: int | None = None
    encoding: str = "utf-8"
    errors: str = "strict"
    normalize: str = "none"
    task: str = "language"
    remove: str = ""
    target_unit: str = "char"

    def __post_init__(self) -> None:
        check_choice("unit", self.unit, UNITS)
        check_fields(self, TRUTH, "lines")
        check_fields(self, COUNT, "min_count")
        check_choice("errors", self.errors, DECODING_ERRORS)
        check_choice("normalize", self.normalize, NORMALIZATIONS)
        check_fields(self, STRING, "encoding", "task", "remove")
        check_choice("target_unit", self.target_unit, TARGET_UNITS)


@runtime_checkable
class TrainingText(Protocol):
    """An index of the substrings of a training text: see `CopyIndex`."""

    limit: int
    """Length of the longest run that a text may share with the training text."""

    def contains(self, hashes: Any) -> Any:
        """Return which hashes are those of longer substrings."""


@dataclass(frozen=True)
class SampleConfig:
    """How characters are drawn from the softmax.

    Attributes
    ----------
    temperature : divisor of the logits, >= 0, default 0.8; 0 takes the most probable character, 1 draws from the model
    top_k : number of characters to draw from, the most probable ones; 0 (default) is all
    top_p : draw from the smallest set of characters with this total probability (nucleus), in (0, 1], default 1
    length : maximum length of a text in characters, >= 0, default 1000; None for no maximum
    stop : a text ends after this string, None (default) for no such string
    can_end : whether the model may end a text by drawing EOS, default True
    min_p : draw from the characters with at least this fraction of the highest probability, in [0, 1], default 0
    word_temperature : temperature at the start of words, >= 0; None (default) is `temperature`
    no_loop : a repetition of the text so far beyond this number of characters becomes improbable, >= 0, default 0 (off)
    match : each text matches this regular expression as a whole, in the syntax of `re`; None (default) for any text
    starts_with, contains, ends_with : each text starts with, contains or ends with this; None (default) for any text
    without : characters that no text has, default ""
    max_copy : a CopyIndex of the training text: no text shares a longer run with it than its limit; None (default)
    exact : whether texts that must match are drawn by rejection, not by masking step by step, default False
    """

    temperature: float = 0.8
    top_k: int = 0
    top_p: float = 1.0
    length: int | None = 1000
    stop: str | None = None
    can_end: bool = True
    min_p: float = 0.0
    word_temperature: float | None = None
    no_loop: int = 0
    match: str | None = None
    starts_with: str | None = None
    contains: str | None = None
    ends_with: str | None = None
    without: str = ""
    exact: bool = False
    max_copy: TrainingText | None = None

    def __post_init__(self) -> None:
        check_fields(self, NON_NEGATIVE, "temperature", "word_temperature")
        check_fields(self, NATURAL, "top_k", "no_loop")
        if self.length is not None:
            check_value("length", self.length, NATURAL)
        check_fields(self, number_rule("in (0, 1]", lambda value: 0 < value <= 1), "top_p")
        check_fields(self, number_rule("in [0, 1]", lambda value: 0 <= value <= 1), "min_p")
        check_fields(self, TEXT, "stop", "match", "starts_with", "contains", "ends_with")
        check(isinstance(self.without, str), "without", self.without, "a text")
        check_fields(self, TRUTH, "can_end", "exact")
        is_index = self.max_copy is None or isinstance(self.max_copy, TrainingText)
        check(is_index, "max_copy", self.max_copy, "a CopyIndex, such as `CopyIndex.read(path, limit)`")
        if self.is_constrained and self.stop is not None:
            raise ConfigError("a text that must match cannot also end at a string; leave out `stop`")
        others = (self.top_k, self.top_p < 1, self.min_p, self.no_loop, self.max_copy is not None, self.is_greedy)
        if self.exact and any(others):
            raise ConfigError("exact sampling is defined for temperatures above 0 without other filters")
        if self.exact and self.word_temperature is not None:
            raise ConfigError("exact sampling has one temperature; leave out `word_temperature`")

    @property
    def max_length(self) -> int:
        """The maximum length; for None more than any text has."""
        return sys.maxsize if self.length is None else self.length

    @property
    def is_constrained(self) -> bool:
        """Whether texts must match."""
        texts = (self.match, self.starts_with, self.contains, self.ends_with)
        return bool(self.without) or any(text is not None for text in texts)

    @property
    def is_greedy(self) -> bool:
        """Whether the most probable character is always taken."""
        return self.temperature == 0 and not self.word_temperature


@dataclass(frozen=True)
class TrainConfig:
    """How a network is trained.

    Training ends when the first of `epochs`, `steps` and `minutes` is used up. The learning rate rises to its peak in a
    warm-up and then decays along half a cosine over the same budget.

    Attributes
    ----------
    batch : parallel streams B, >= 1, default 32
    bptt : time steps T of a window, >= 1, default 64
    epochs : budget in passes over the text, > 0, None for no limit
    steps : budget in updates of the weights, >= 1, None for no limit
    minutes : budget in minutes, > 0, None for no limit
    learning_rate : peak learning rate, > 0, default 0.01
    warmup : fraction of the budget until the peak, in [0, 1), default 0.02
    final_rate : final learning rate as a fraction of the peak, in [0, 1], default 0.02
    optimizer : name in `charlm.optim.OPTIMIZERS`, default "adam"
    clip : maximum L2 norm of the gradient, >= 0, default 1; 0 disables clipping
    average : decay of the running average of the weights that is evaluated and saved, in [0, 1); 0 disables averaging
    restart_rate : fraction of streams whose state is reset at a random start in each window, in [0, 1), default 0.02
    patience : evaluations without a lower held-out loss until training stops, >= 0; 0 (default) disables early stopping
    valid : fraction of the text to hold out, in [0, 1); None (default) for `held_out_fraction`
    held_out : part of running text to hold out: "spread" (default) over the text, or its "end"
    seed : seed of all random numbers, >= 0, default 0
    threads : CPU cores to use, >= 0; 0 (default) for all usable cores
    ensemble : number of networks that are trained and whose probabilities are averaged, 1 (default) to 64
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
    ensemble: int = 1

    def __post_init__(self) -> None:
        check_fields(self, integer_rule(1, MAX_MEMBERS), "ensemble")
        check_fields(self, COUNT, "batch", "bptt", "steps")
        check_fields(self, NATURAL, "patience", "seed", "threads")
        check_fields(self, POSITIVE, "epochs", "minutes", "learning_rate")
        check_fields(self, FRACTION, "warmup", "average", "restart_rate", "valid")
        check_fields(self, NON_NEGATIVE, "clip")
        check_fields(self, number_rule("in [0, 1]", lambda value: 0 <= value <= 1), "final_rate")
        check(isinstance(self.optimizer, str), "optimizer", self.optimizer, "the name of an optimizer")
        check_choice("held_out", self.held_out, HELD_OUT)


@dataclass(frozen=True)
class EngineConfig:
    """What computes the gradients. The files of a run do not depend on it.

    Attributes
    ----------
    name : "numpy" (default), or "torch" for PyTorch
    device : device of PyTorch: "auto" (default), "cpu", "cuda" or "mps"
    precision : precision of PyTorch's matrix products, "float32" (default) or "bfloat16"; the weights stay float32
    """

    name: str = "numpy"
    device: str = "auto"
    precision: str = "float32"

    def __post_init__(self) -> None:
        check_choice("engine", self.name, ENGINES)
        check_choice("device", self.device, DEVICES)
        check_choice("precision", self.precision, PRECISIONS)
        if self.name == "numpy" and (self.device, self.precision) != ("auto", "float32"):
            raise ConfigError('`device` and `precision` are settings of PyTorch; pass `engine="torch"`')
