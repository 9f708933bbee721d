"""The set-up of a run: plain functions from the given settings to the initial parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

import numpy as np

from charlm.checks import NON_NEGATIVE, PATH, TRUTH, check_fields
from charlm.config import EngineConfig, NetworkConfig, TextConfig, TrainConfig
from charlm.engines.create import free_gpu_memory, uses_gpu
from charlm.engines.process_group import ALONE, ProcessGroup
from charlm.errors import ConfigError
from charlm.machine import has_nvidia_gpu, usable_cores
from charlm.model import LanguageModel
from charlm.nn.base import BaseNetwork
from charlm.nn.cells import find_cell
from charlm.nn.layout import Parameters
from charlm.nn.networks import make_network
from charlm.runs.files import PathLike
from charlm.runs.resume import SavedRun
from charlm.tasks import find_task
from charlm.text.corpus import Corpus
from charlm.text.novelty import MAX_LINES, lines_in, pack_hashes
from charlm.text.symbols import Scheme
from charlm.text.windows import batches_over
from charlm.training.evaluation import HeldOut
from charlm.training.members import member_configs
from charlm.training.memory import free_memory, gpu_memory_needed, run_memory
from charlm.training.probe import measure_speed
from charlm.training.recipes import MAX_SHORT, REFERENCE_SPEED, Choice, choose
from charlm.training.tuning import TrainingTuning
from charlm.training.warm_start import extend_parameters, inherit_shape


@dataclass(frozen=True)
class RunOptions:
    """Options of a run other than the settings of its network and its training.

    Attributes
    ----------
    text : TextConfig
        How text becomes tokens.
    engine : EngineConfig
        What computes the gradients.
    overwrite : bool
        Whether an existing model may be replaced.
    resume : bool
        Whether to continue the run whose state is NAME.resume.
    save_minutes : float
        Minutes between saves; 0 saves after each step.
    init_from : path or None
        A model whose weights and vocabulary to start with; its file is not changed.
    keep_state : bool
        Whether a finished run keeps its state, so that `resume` with a larger budget extends it.
    """

    text: TextConfig = field(default_factory=TextConfig)
    engine: EngineConfig = field(default_factory=EngineConfig)
    overwrite: bool = False
    resume: bool = False
    save_minutes: float = 1.0
    init_from: PathLike | None = None
    keep_state: bool = False

    def __post_init__(self) -> None:
        check_fields(self, NON_NEGATIVE, "save_minutes")
        check_fields(self, TRUTH, "overwrite", "resume", "keep_state")
        check_fields(self, PATH, "init_from")


@dataclass(frozen=True)
class Setup:
    """What a run trains.

    Attributes
    ----------
    text : TextConfig
        How text becomes tokens.
    corpus : Corpus
        The text.
    choice : Choice
        Complete settings, and a line that explains them.
    network : BaseNetwork
        The network.
    line_hashes : str
        Hashes of the training lines, empty for running text.
    forms : mapping of str to int
        Counts of the forms of words, if the task needs them.
    """

    text: TextConfig
    corpus: Corpus
    choice: Choice
    network: BaseNetwork
    line_hashes: str
    forms: Mapping[str, int]

    @property
    def train(self) -> TrainConfig:
        """How the network is trained."""
        return self.choice.train


def resolve_settings(
    settings: Mapping[str, Any], text: TextConfig, saved: SavedRun | None, parent: LanguageModel | None
) -> tuple[dict[str, Any], TextConfig]:
    """Merge the given settings with those of the resumed run, or with the shape of the model to start with.

    Raises
    ------
    ConfigError, ResumeError
        If they contradict each other.
    """
    if saved:
        return saved.settings(settings, text), saved.text
    task = find_task(text.task)
    text, settings = task.text(text), task.settings(settings)
    if parent and (task.is_labelled or parent.text.task != text.task):
        raise ConfigError("`init_from` starts from a language model, for the same task; leave it out")
    if parent:
        if parent.text.unit != text.unit:
            raise ConfigError(f"`unit` is {text.unit!r}, but the model to start with has {parent.text.unit!r}")
        members = settings.get("ensemble") or len(parent.members)
        return {**inherit_shape(settings, parent.config), "ensemble": members}, text
    return dict(settings), text


def scheme_of(text: TextConfig, saved: SavedRun | None) -> Scheme | None:
    """Return how files become labelled text, with the labels of the run to resume; None for text without labels."""
    return find_task(text.task).scheme(text, saved.labels if saved else None)


def choose_settings(settings: Mapping[str, Any], corpus: Corpus, engine: EngineConfig, group: ProcessGroup) -> Choice:
    """Complete the settings by the corpus, the speed of this machine and its free memory; all processes agree."""
    threads = settings.get("threads") or max(1, usable_cores() // group.local_world_size)
    complete = {**settings, "threads": threads}
    characters, vocabulary = len(corpus.train_ids), complete.get("outputs") or len(corpus.vocabulary)
    if engine.name != "numpy" and (group.world_size > 1 or free_gpu_memory(engine, group) is None):
        complete["ensemble"] = settings.get("ensemble") or 1
    speed = REFERENCE_SPEED
    if depends_on_speed(complete, engine, group):
        speed = measure_speed(threads, engine, group, is_short=characters <= MAX_SHORT)
    choice = choose(complete, characters, speed, vocabulary=vocabulary)
    while choice.train.ensemble > 1 and settings.get("ensemble") is None and not fits_memory(choice, corpus, engine):
        choice = choose(complete, characters, speed, vocabulary=vocabulary, max_members=choice.train.ensemble - 1)
    return choice


def depends_on_speed(settings: Mapping[str, Any], engine: EngineConfig, group: ProcessGroup) -> bool:
    """Return whether a setting that is not given depends on the speed of this machine."""
    if settings.get("hidden") is None and settings.get("size") is None:
        return True
    if uses_gpu(engine, group) and any(settings.get(name) is None for name in ("batch", "bptt", "learning_rate")):
        return True
    return settings.get("ensemble") is None and not (settings.get("epochs") or settings.get("steps"))


def gpu_hint(network: NetworkConfig, engine: EngineConfig) -> str:
    """Return a message for a user of NumPy whose GPU PyTorch would use; an empty one for other users."""
    is_trainable = find_cell(network.cell).torch_name is not None and not network.encoder_decoder
    if engine.name != "numpy" or not is_trainable or not has_nvidia_gpu() or find_spec("torch") is None:
        return ""
    return 'this machine has a GPU, and PyTorch is installed; `engine="torch"` trains on it'


def held_out_of(setup: Setup, group: ProcessGroup, tuning: TrainingTuning) -> HeldOut | None:
    """Return the text of the held-out loss; None if there is none, or nothing in it to predict."""
    corpus, train = setup.corpus, setup.train
    held_out = HeldOut(
        corpus.valid_ids, setup.network, group, train.threads, tuning,
        symbols=corpus.symbols, conditions=corpus.conditions,
    )  # fmt: skip
    return held_out if held_out.has_targets else None


def fits_memory(choice: Choice, corpus: Corpus, engine: EngineConfig) -> bool:
    """Return whether the free memory, and that of a GPU, is enough for a run."""
    network = make_network(choice.network, len(corpus.vocabulary), start=corpus.vocabulary.eos)
    batches = batches_over(corpus, choice.train, bidirectional=network.config.bidirectional)
    free, on_gpu = free_memory(), free_gpu_memory(engine, ALONE)
    if on_gpu is not None:
        needed = gpu_memory_needed(network, choice.train, steps=batches.steps, streams=batches.streams)
        if needed > on_gpu:
            return False
    return free is None or run_memory(engine, network, choice.train, batches) <= free


def hash_lines(corpus: Corpus) -> str:
    """Return the hashes of the training lines for the model file; empty for running text or too many lines."""
    ids = corpus.train_ids
    if not corpus.lines or corpus.symbols is not None or np.count_nonzero(ids == corpus.vocabulary.eos) > MAX_LINES:
        return ""
    return pack_hashes(lines_in(ids if corpus.conditions is None else corpus.conditions.tokens[ids], corpus.vocabulary))


def initial_parameters(setup: Setup, parent: LanguageModel | None, member: int = 0) -> Parameters:
    """Return random parameters of a member, or those of the model to start with; its members are taken in turn."""
    params = setup.network.initial(np.random.default_rng([member_configs(setup.train)[member].seed, 0]))
    if parent is None:
        return params
    newline = parent.vocabulary.encode("\n")
    line_end = None
    if setup.text.lines and not parent.text.lines and parent.vocabulary.unk not in newline:
        line_end = int(newline[0]), parent.vocabulary.eos
    return extend_parameters(parent.members[member % len(parent.members)], params, line_end)
