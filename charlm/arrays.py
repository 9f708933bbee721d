"""Names for the kinds of array that travel through charlm."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[np.floating[Any]]
"""Real numbers: parameters, activations, gradients. float32 trains, float64 checks."""

Ids: TypeAlias = npt.NDArray[np.integer[Any]]
"""Token ids."""

Mask: TypeAlias = npt.NDArray[np.bool_]
"""Whether something holds, for each place."""
