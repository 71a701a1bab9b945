"""The scale of the gradient blocks against the return.

A metric of joint samples weighs a unit of gradient as much as a unit of return. Left so, large and, while the world
model is young, wrong gradients drown the return and the critic diverges. So before the metric each block b is
multiplied by lambda_b, the return by 1. That moves no fixed point: predictions and targets are scaled alike.

A scale rule is a frozen dataclass with ``init(num_blocks) -> state`` and
``__call__(state, x, y, sizes) -> (lambda, state)``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import jax.numpy as jnp

from sobolev.numerics import safe_sqrt
from sobolev.registry import Registry
from sobolev.types import Array

registry: Registry[Callable[..., Any]] = Registry("gradient scale")


class GradientScale(Protocol):
    """The contract of every entry of the registry."""

    def init(self, num_blocks: int) -> Any:
        """The state before the first update, a pytree; ``num_blocks`` counts the return's block."""
        ...

    def __call__(self, state: Any, x: Array, y: Array, sizes: tuple[int, ...]) -> tuple[Array, Any]:
        """The scales ``[num_blocks]`` for predictions ``x[B, N, D]`` and targets ``y[B, M, D]``, and the new state."""
        ...


class RunningErrors(NamedTuple):
    """Exponential moving sum of each block's mean squared error, ``[blocks]``; only their ratios are used."""

    errors: Array


def block_errors(x: Array, y: Array, sizes: tuple[int, ...]) -> Array:
    """``E |x_b - y_b|²`` for each block b over all pairs of a prediction and a target of one state, ``[blocks]``.

    Example:
        >>> import jax.numpy as jnp
        >>> x, y = jnp.array([[[1.0, 0.0, 0.0]]]), jnp.array([[[0.0, 3.0, 4.0], [3.0, 0.0, 0.0]]])
        >>> block_errors(x, y, (1, 2)).tolist()  # (1 + 4) / 2 and (25 + 0) / 2
        [2.5, 12.5]
    """
    mean_x, mean_y = jnp.mean(x, axis=1), jnp.mean(y, axis=1)
    spread = jnp.mean((x - mean_x[:, None]) ** 2, axis=1) + jnp.mean((y - mean_y[:, None]) ** 2, axis=1)
    component = jnp.mean(spread + (mean_x - mean_y) ** 2, axis=0)
    starts = [sum(sizes[:i]) for i in range(len(sizes))]
    return jnp.stack([jnp.sum(component[start : start + size]) for start, size in zip(starts, sizes, strict=True)])


@registry.register("balanced")
@dataclass(frozen=True)
class Balanced:
    """Keeps each gradient block's error at a share of the return's error.

        lambda_b = min(largest, share · sqrt(e_0 / e_b)),   e_b a running mean of E |x_b - y_b|²

    Errors, not magnitudes: a gradient that is large and right needs no damping, one that is small and wrong does. The
    upper bound is 1, the gradient in its own units (actions span [-1, 1]), where gradients are small or absent.

    Args:
        share: of a block's error in the return's, at most; below 1 the return leads.
        largest: upper bound of every scale.
        decay: of the running means, per update.
    """

    share: float = 0.3
    largest: float = 1.0
    decay: float = 0.99

    def __post_init__(self) -> None:
        if self.share < 0 or self.largest < 0 or not 0 <= self.decay < 1:
            raise ValueError(
                "share and largest must not be negative and decay must be in [0, 1), got "
                f"{self.share}, {self.largest} and {self.decay}"
            )

    def init(self, num_blocks: int) -> RunningErrors:
        return RunningErrors(jnp.zeros(num_blocks))

    def __call__(self, state: RunningErrors, x: Array, y: Array, sizes: tuple[int, ...]) -> tuple[Array, RunningErrors]:
        errors = self.decay * state.errors + (1.0 - self.decay) * block_errors(x, y, sizes)
        gradients = errors[1:]
        ratio = safe_sqrt(errors[0] / jnp.where(gradients > 0, gradients, 1.0))
        balanced = jnp.where(gradients > 0, jnp.minimum(self.share * ratio, self.largest), self.largest)
        return jnp.concatenate([jnp.ones(1), balanced]), RunningErrors(errors)


@registry.register("fixed")
@dataclass(frozen=True)
class Fixed:
    """One constant scale for each gradient block.

    Args:
        action: of the action gradient.
        state: of the state gradient, where there is one.
    """

    action: float = 1.0
    state: float = 1.0

    def init(self, num_blocks: int) -> tuple[()]:
        del num_blocks
        return ()

    def __call__(self, state: tuple[()], x: Array, y: Array, sizes: tuple[int, ...]) -> tuple[Array, tuple[()]]:
        del x, y
        return jnp.array([1.0, self.action, self.state])[: len(sizes)], state


def apply_scales(scales: Array, samples: Array, sizes: tuple[int, ...]) -> Array:
    """Multiplies each block of ``samples[..., D]`` by its scale."""
    return samples * jnp.repeat(scales, jnp.array(sizes), total_repeat_length=sum(sizes))
