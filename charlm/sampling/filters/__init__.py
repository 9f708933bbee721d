"""Filters: change the logits before a character is drawn, each in its own file.

A filter of the logits alone is a function. It takes logits of shape (V,) or (B, V), one row per stream, and its
setting, and returns new logits. A filter that depends on the text so far is a `TextFilter`, one object per stream.
An id that must not be drawn has the logit -inf. The next character is drawn from the softmax of the result. Logits of
-inf stay -inf, and each row needs at least one finite logit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from charlm.arrays import Array
from charlm.config import SampleConfig
from charlm.sampling.filters.min_p import min_p
from charlm.sampling.filters.no_copy import NoCopy
from charlm.sampling.filters.no_loop import NoLoop
from charlm.sampling.filters.temperature import temperature
from charlm.sampling.filters.text_filter import TextFilter
from charlm.sampling.filters.top_k import top_k
from charlm.sampling.filters.top_p import top_p
from charlm.sampling.filters.word_temperature import WordTemperature
from charlm.text.vocabulary import Vocabulary


class Filter(NamedTuple):
    """A filter, and the setting with which it changes nothing.

    Exactly one is set: `apply`, a function of logits and the setting, or `make`, which returns the filter of a stream.
    """

    neutral: float | None
    apply: Callable[[Array, Any], Array] | None = None
    make: Callable[[SampleConfig, Vocabulary], TextFilter] | None = None


FILTERS: dict[str, Filter] = {
    "max_copy": Filter(None, make=NoCopy),
    "no_loop": Filter(0, make=NoLoop),
    "temperature": Filter(1.0, temperature),
    "word_temperature": Filter(None, make=WordTemperature),
    "top_k": Filter(0, top_k),
    "top_p": Filter(1.0, top_p),
    "min_p": Filter(0.0, min_p),
}
"""Filters by the name of their field in `SampleConfig`, in the order in which they are applied."""


def active_filters(config: SampleConfig) -> dict[str, Filter]:
    """Return the filters that have an effect, in order.

    The most probable id (temperature 0) does not depend on the filters after the first two.
    """
    active = {name: filter_ for name, filter_ in FILTERS.items() if getattr(config, name) != filter_.neutral}
    if config.is_greedy:
        return {name: filter_ for name, filter_ in active.items() if name in ("max_copy", "no_loop")}
    return active
