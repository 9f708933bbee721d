"""The number of networks of an ensemble, from the length of the text, the time and the machine.

A network that has read its text often learns little from further passes; another network of another seed makes other
errors, and the mean of their probabilities is better than each. `docs/explanation/quality.md` has the measurements.
"""

from __future__ import annotations

import math
from typing import NamedTuple

MAX_CHOSEN_MEMBERS = 4
"""Most members that are chosen: three quarters of the gain of many. Sampling takes the time of each."""
PASSES_OF_TWO = 16
"""Passes of the reference network over a long text, on all cores, from which two members pay."""
PASSES_PER_MEMBER = 32
"""Passes over a long text from which a further member pays more than further passes."""
MEMBER_PASSES = 3
"""Passes of its own network over a long text for which a member must have time."""
MEMBER_EPOCHS = 0.5
"""Fraction of the passes of a recipe for short texts for which a member must have time."""


class Speed(NamedTuple):
    """The speed of a machine: characters per second of the reference network, on one core and on all cores.

    A GPU or another rank counts as one core. is_gpu: whether the speed is that of a GPU.
    """

    one_core: float
    all_cores: float
    cores: int
    is_gpu: bool = False

    @property
    def gpus(self) -> int:
        """Number of GPUs, 0 for a CPU."""
        return self.cores if self.is_gpu else 0

    def of_member(self, members: int) -> float:
        """Return the characters per second of each of several networks in training side by side.

        A network on several cores is slower than its cores by themselves; between the two measurements, its speed is
        taken to be a power of the number of cores.
        """
        cores = self.cores / members
        if cores <= 1 or self.cores == 1:
            return self.one_core * cores
        return self.one_core * math.pow(cores, math.log(self.all_cores / self.one_core) / math.log(self.cores))


def members_for_long_text(passes: float, own_passes: float) -> int:
    """Return the number of members for a text on which no recipe limits the passes.

    Parameters
    ----------
    passes : float
        Those of the reference network, on all cores by themselves, within the time.
    own_passes : float
        The same of the network that is trained.
    """
    if passes < PASSES_OF_TWO:
        return 1
    wanted = min(MAX_CHOSEN_MEMBERS, max(2, round(passes / PASSES_PER_MEMBER)))
    return max(1, min(wanted, int(own_passes / MEMBER_PASSES)))


def members_for_short_text(passes: float, passes_of_recipe: float, *, has_labels: bool) -> int:
    """Return the number of members for a text on which a recipe limits the passes.

    Parameters
    ----------
    passes : float
        Those of the reference network, on all cores by themselves, within the time.
    passes_of_recipe : float
        Those of the recipe, times its cost per character relative to the reference network.
    has_labels : bool
        Whether the network predicts labels; its members then have time for all passes.
    """
    needed = passes_of_recipe * (1 if has_labels else MEMBER_EPOCHS)
    return min(MAX_CHOSEN_MEMBERS, max(1, int(passes / needed)))
