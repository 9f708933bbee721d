"""Faults of the optimizers and of clipping."""

from __future__ import annotations

from tests.mutants.fault import Fault

TESTS = "tests/optim/test_optimizers.py::"

FAULTS = (
    Fault(
        "epsilon is added to the uncorrected root, as in TensorFlow",
        "charlm/optim/adam.py",
        "root += self.epsilon * corrected",
        "root += self.epsilon",
        (f"{TESTS}test_adam_equals_two_steps_by_hand",),
    ),
    Fault(
        "the second moment is not corrected",
        "charlm/optim/adam.py",
        "corrected = math.sqrt(1 - self.beta2**self.steps)",
        "corrected = 1.0",
        (f"{TESTS}test_adam_equals_two_steps_by_hand",),
    ),
    Fault(
        "the first moment is not corrected",
        "charlm/optim/adam.py",
        "/ (1 - self.beta1**self.steps)",
        "/ (1 - self.beta1)",
        (f"{TESTS}test_adam_equals_two_steps_by_hand",),
    ),
    Fault(
        "epsilon is inside the root",
        "charlm/optim/rmsprop.py",
        "root = np.sqrt(square)\n        root += self.epsilon",
        "root = np.sqrt(square + self.epsilon)",
        (f"{TESTS}test_rmsprop_equals_two_steps_by_hand",),
    ),
    Fault(
        "the mean of squares does not decay",
        "charlm/optim/rmsprop.py",
        "square *= self.decay\n",
        "",
        (f"{TESTS}test_rmsprop_equals_two_steps_by_hand",),
    ),
    Fault(
        "the learning rate is inside the velocity",
        "charlm/optim/sgd.py",
        "velocity += grads\n        params -= learning_rate * velocity",
        "velocity += learning_rate * grads\n        params -= velocity",
        (f"{TESTS}test_sgd_equals_three_steps_by_hand",),
    ),
    Fault(
        "Nesterov's correction is added",
        "charlm/optim/sgd.py",
        "params -= learning_rate * velocity",
        "params -= learning_rate * (grads + self.momentum * velocity)",
        (f"{TESTS}test_sgd_equals_three_steps_by_hand",),
    ),
    Fault(
        "norms up to 1.5 times the limit pass",
        "charlm/optim/clipping.py",
        "norm > max_norm:",
        "norm > 1.5 * max_norm:",
        (f"{TESTS}test_clipping_near_the_limit_keeps_or_scales",),
    ),
    Fault(
        "gradients below the limit are scaled up to it",
        "charlm/optim/clipping.py",
        "if max_norm and norm > max_norm:",
        "if max_norm:",
        (f"{TESTS}test_clipping_near_the_limit_keeps_or_scales",),
    ),
    Fault(
        "a gradient that is not finite is applied",
        "charlm/optim/clipping.py",
        "if not math.isfinite(norm):",
        "if math.isnan(norm) and max_norm < 0:",
        (f"{TESTS}test_clipping_of_non_finite_gradient_raises",),
    ),
    Fault(
        "only the first block of a part is updated",
        "charlm/optim/optimizer.py",
        "for first in range(start, stop, BLOCK):",
        "for first in range(start, min(stop, start + BLOCK), BLOCK):",
        (f"{TESTS}test_update_in_parts_equals_one_update",),
    ),
)
