"""What a model file records of the training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from charlm.checkpoint.storage import printable
from charlm.checkpoint.strict_json import as_object
from charlm.checks import is_count, is_real

KEYS = {"logit_scale": "sharpness"}
"""Field -> its key in the file, where the two differ."""
KINDS: dict[str, type[Any]] = {"digest": str, "settings": dict, "line_hashes": str, "forms": dict}
"""Fields that are only shown, with the type of their JSON; a value of another type is dropped. The rest are numbers."""
LISTS = ("sources", "label_counts", "other")
"""Fields that are no numbers, and are checked apart."""
MAX_COUNT = 1 << 53
"""Largest count of a form of a word, or of texts: integers up to it are exact as numbers of JSON."""
LOSSES = ("train_loss", "valid_loss")
"""Fields that are written even if they are None, unless the model was never trained."""


@dataclass(frozen=True)
class TrainingRecord:
    """What a model file records of the training. A field that the file lacks is None or empty.

    Attributes
    ----------
    sources : tuple of str
        Names of the training texts.
    characters : int or None
        Length of the texts in tokens.
    digest : str or None
        SHA-256 of the texts.
    steps, epochs, seconds : float or None
        Training until the model was at its best.
    train_loss, valid_loss : float or None
        Loss of the last training window and of the held-out text, in nats per token.
    valid : float or None
        Fraction of the texts that was held out.
    logit_scale : float or None
        Scale of the logits, calibrated on the held-out text and contained in the weights.
    seed : int or None
        Seed of all random numbers.
    settings : mapping
        Fields of the TrainConfig.
    line_hashes : str
        Hashes of the training lines, see `charlm.text.novelty`.
    forms : mapping of str to int
        Counts of the forms of words, see `charlm.text.lexicon`.
    label_counts : tuple of int
        Number of training texts with each label that the network reads.
    other : mapping
        Entries of the file that this version does not know.
    """

    sources: tuple[str, ...] = ()
    characters: int | None = None
    digest: str | None = None
    steps: int | None = None
    epochs: float | None = None
    seconds: float | None = None
    train_loss: float | None = None
    valid_loss: float | None = None
    valid: float | None = None
    logit_scale: float | None = None
    seed: int | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    line_hashes: str = field(default="", repr=False)
    forms: Mapping[str, int] = field(default_factory=dict, repr=False)
    label_counts: tuple[int, ...] = ()
    other: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_json(cls, content: Any) -> TrainingRecord:
        """Read the entry `training` of a model file.

        Raises
        ------
        ValueError
            If the entry is not an object, or a value in it has the wrong type.
        """
        other = dict(as_object(content, "its training record"))
        sources = other.pop("sources", None) or []
        if not isinstance(sources, list) or not all(isinstance(source, str) for source in sources):
            raise ValueError("the sources in its training record are no list of names")
        found: dict[str, Any] = {}
        counts = other.pop("label_counts", [])
        if not isinstance(counts, list) or not all(is_count(count) and count <= MAX_COUNT for count in counts):
            raise ValueError("the label_counts in its training record are no list of counts")
        for name in [one.name for one in fields(cls) if one.name not in LISTS]:
            key = KEYS.get(name, name)
            value = other.pop(key, None)
            if name not in KINDS and not (value is None or is_real(value)):
                raise ValueError(f"its training record says {printable(value, 40)} of {key}, which is not a number")
            if isinstance(value, KINDS.get(name, (int, float))):
                found[name] = value
        if not all(is_count(count) and count <= MAX_COUNT for count in found.get("forms", {}).values()):
            raise ValueError(f"a form of a word in its training record has a count that is not from 1 to {MAX_COUNT:,}")
        return cls(tuple(sources), **found, label_counts=tuple(counts), other=other)

    def to_json(self) -> dict[str, Any]:
        """Return the entry `training` of a model file."""
        entries = asdict(self) | {"sources": list(self.sources), "label_counts": list(self.label_counts)}
        other: dict[str, Any] = entries.pop("other")
        always = () if self.steps is None else LOSSES
        kept = {name: value for name, value in entries.items() if name in always or value not in (None, "", [], {})}
        return {KEYS.get(name, name): value for name, value in kept.items()} | other
