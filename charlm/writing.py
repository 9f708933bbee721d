"""Writing together: a text that a user and a model continue in turns, with undo."""

from __future__ import annotations

import math
import os
import re
from dataclasses import dataclass, field

import numpy as np

from charlm.config import SampleConfig
from charlm.inference.prompt import Prompt, read_prompt
from charlm.sampling.sampler import Sample, Sampler
from charlm.text_model import TextModel

LENGTHS = (1, 2, 3, 5, 8, 13, 21)
"""Words of a continuation, from short to long."""
CHARACTERS_PER_WORD = 12
"""Characters that are drawn for each word of a continuation."""
STEP = 0.1
"""What the temperature changes by."""
MIN_TEMPERATURE, MAX_TEMPERATURE = 0.1, 2.0
MAX_BATCHES = 4
"""Batches that are drawn for continuations that differ."""
OPEN_WORD = re.compile(r"\s+\S*$")
"""The last word of a text, with the whitespace before it."""


@dataclass(frozen=True)
class Phrase:
    """A continuation that the model proposes.

    Attributes
    ----------
    text : what it adds; it ends with a newline where a line of a model of lines ends.
    log_prob : log-probability in nats, given the text so far.
    """

    text: str
    log_prob: float

    @property
    def probability(self) -> float:
        """The probability, given the text so far."""
        return math.exp(self.log_prob)


@dataclass
class Step:
    """A text, the state of the network after it, and the continuations that were proposed."""

    text: str
    read: Prompt
    phrases: tuple[Phrase, ...] = field(default=())


class WritingSession:
    """A text that grows in steps. Each step keeps the state of the network, so that undo reads nothing again.

    Parameters
    ----------
    model : TextModel
        Continues the text.
    text : str
        The text at the start.
    count : int, default 8
        Number of continuations.
    words : int, default 5
        Words of a continuation at the start.
    temperature : float, default 0.8
        Temperature at the start.
    seed : int, optional
        The same seed and the same steps give the same continuations.

    Attributes
    ----------
    words, temperature
        As they are now.
    """

    def __init__(
        self, model: TextModel, text: str = "", *, count: int = 8, words: int = 5, temperature: float = 0.8,
        seed: int | None = None,
    ) -> None:  # fmt: skip
        self.words, self.temperature = words, temperature
        self._model, self._count = model, count
        self._seed = int.from_bytes(os.urandom(8), "little") if seed is None else seed
        self._draws = 0
        text = model.clean(text)
        self._steps = [Step(text, read_prompt(model.prepared, model.vocabulary, model.clean_prompt(text)))]
        self._current = 0

    @property
    def text(self) -> str:
        """The text so far."""
        return self._steps[self._current].text

    @property
    def phrases(self) -> tuple[Phrase, ...]:
        """The continuations of the text so far, the most probable first."""
        step = self._steps[self._current]
        if not step.phrases:
            step.phrases = self._draw(step)
        return step.phrases

    def pick(self, number: int) -> None:
        """Add a continuation, counted from 1; IndexError if there is none of that number."""
        if not 1 <= number <= len(self.phrases):
            raise IndexError(number)
        self.add(self.phrases[number - 1].text)

    def add(self, text: str) -> None:
        """Add any text. What was undone can then no longer be redone."""
        text = self._model.clean(text)
        if not text:
            return
        step = self._steps[self._current]
        del self._steps[self._current + 1 :]
        self._steps.append(Step(step.text + text, self._read(step, text)))
        self._current += 1

    def undo(self) -> bool:
        """Return to the text before the last step; return whether there was one."""
        can_undo = self._current > 0
        self._current -= can_undo
        return can_undo

    def redo(self) -> bool:
        """Repeat the step that was undone last; return whether there was one."""
        can_redo = self._current + 1 < len(self._steps)
        self._current += can_redo
        return can_redo

    def more(self) -> None:
        """Propose other continuations."""
        self._steps[self._current].phrases = ()

    def longer(self) -> None:
        """Propose continuations of more words."""
        self.words = next((length for length in LENGTHS if length > self.words), self.words)
        self.more()

    def shorter(self) -> None:
        """Propose continuations of fewer words."""
        self.words = next((length for length in reversed(LENGTHS) if length < self.words), self.words)
        self.more()

    def warmer(self) -> None:
        """Propose more surprising continuations."""
        self.temperature = min(MAX_TEMPERATURE, round(self.temperature + STEP, 2))
        self.more()

    def cooler(self) -> None:
        """Propose more probable continuations."""
        self.temperature = max(MIN_TEMPERATURE, round(self.temperature - STEP, 2))
        self.more()

    def _read(self, step: Step, text: str) -> Prompt:
        """Return the state after a step and a text that was added."""
        network, vocabulary = self._model.prepared, self._model.vocabulary
        if vocabulary.unit == "word":  # the text may continue the last word
            return read_prompt(network, vocabulary, self._model.clean_prompt(step.text + text))
        ids = np.concatenate(([step.read.last_id], vocabulary.encode(text))).astype(np.intp)
        return Prompt(int(ids[-1]), network.advance(ids[:-1, None], step.read.state))

    def _draw(self, step: Step) -> tuple[Phrase, ...]:
        """Draw continuations that differ."""
        model = self._model
        limit = self.words * CHARACTERS_PER_WORD
        config = model.sampling(SampleConfig(self.temperature, length=limit, can_end=model.text.lines), {})
        sampler = Sampler(model.prepared, model.vocabulary, config)
        found: dict[str, Phrase] = {}
        for _ in range(MAX_BATCHES):
            for sample in sampler.continue_from(step.read, n=2 * self._count, seed=self._seed + self._draws):
                phrase = self._phrase(sample)
                found.setdefault(phrase.text, phrase)
            self._draws += 1
            found.pop("", None)
            if len(found) >= self._count:
                break
        return tuple(sorted(list(found.values())[: self._count], key=lambda phrase: -phrase.log_prob))

    def _phrase(self, sample: Sample) -> Phrase:
        """Return the first words of a text that was drawn, and its end if that follows."""
        match = re.match(rf"(?:\s*\S+){{1,{self.words}}}", sample.text)
        text = match[0] if match else sample.text
        if sample.has_ended and not sample.text[len(text) :].strip():
            return Phrase(sample.text + "\n", sample.log_prob)
        if len(text) == len(sample.text) and not sample.has_ended:  # the last word may be cut
            text = OPEN_WORD.sub("", text) or text
        tokens = len(self._model.vocabulary.split(text))
        return Phrase(text, math.fsum(sample.log_probs[:tokens]))
