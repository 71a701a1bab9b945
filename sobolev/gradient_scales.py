"""The scale of the gradient blocks against the return.

A metric of joint samples gives a unit of gradient the same weight as a unit of return. Unscaled, the large gradients of
a world model that has seen little data dominate the loss, and the critic diverges. So before the metric each gradient
block b is multiplied by lambda_b, and the return by 1. The fixed point stays the same: predictions and targets are
multiplied by the same number.

A gradient scale is a frozen dataclass with ``init(num_blocks) -> state`` and
``__call__(state, x, y, sizes) -> (lambda, state)``. Blocks are the return (size 1) and its gradients, in the order of
the columns of a joint sample: ``sizes = (1, A)`` or ``(1, A, S)``.

Example:
    >>> import jax.numpy as jnp
    >>> scale = registry.make("balanced", share=0.5)
    >>> x, y, sizes = jnp.zeros((1, 1, 3)), jnp.array([[[1.0, 6.0, 8.0]]]), (1, 2)  # errors of 1 and 10
    >>> scales, state = scale(scale.init(2), x, y, sizes)
    >>> [round(float(value), 3) for value in scales]
    [1.0, 0.05]
    >>> [round(float(value), 3) for value in apply_scales(scales, y, sizes)[0, 0]]
    [1.0, 0.3, 0.4]
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import jax.numpy as jnp

from sobolev.checks import check_at_least
from sobolev.numerics import safe_sqrt
from sobolev.registry import Registry
from sobolev.types import Array


class GradientScale(Protocol):
    """The contract of every entry of the registry."""

    def init(self, num_blocks: int) -> Any:
        """The state before the first update.

        Args:
            num_blocks: how many blocks a joint sample has, that of the return included.

        Returns:
            A pytree of arrays.
        """
        ...

    def __call__(self, state: Any, x: Array, y: Array, sizes: tuple[int, ...]) -> tuple[Array, Any]:
        """The scales of one update.

        Args:
            state: from ``init`` or the update before.
            x: predictions ``[B, N, D]``, unscaled.
            y: targets ``[B, M, D]``, unscaled.
            sizes: of the blocks; their sum is D.

        Returns:
            The scales ``[len(sizes)]``, the first of which is 1, and the next state.
        """
        ...


registry: Registry[Callable[..., GradientScale]] = Registry("gradient scale")


class RunningErrors(NamedTuple):
    """What :class:`Balanced` remembers.

    Fields:
        errors: exponential moving sum of each block's mean squared error, ``[blocks]``; only ratios are used.
    """

    errors: Array


def block_errors(x: Array, y: Array, sizes: tuple[int, ...]) -> Array:
    """``E |x_b - y_b|²`` for each block b, over all pairs of a prediction and a target of one state.

    Args:
        x: predictions ``[B, N, D]``.
        y: targets ``[B, M, D]``.
        sizes: of the blocks; their sum is D.

    Returns:
        ``[len(sizes)]``, each in squared units of its block.

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
    """Keeps each gradient block's error at a fixed share of the return's error.

        lambda_b = min(largest, share · sqrt(e_0 / e_b)),   e_b a running mean of E |x_b - y_b|²

    Errors are compared, not magnitudes: a gradient that is large and right needs no damping, one that is small and
    wrong does. The upper bound applies where gradients are small or absent; at 1 it leaves them in their own units
    (actions span [-1, 1]).

    Args:
        share: the largest ratio of a block's scaled error to the return's, at least 0; below 1 the return has the
            largest weight.
        largest: upper bound of every scale, at least 0.
        decay: of the running means, per update, in [0, 1).

    Raises:
        ValueError: a number out of its range.

    Example:
        >>> import jax.numpy as jnp
        >>> x, y = jnp.zeros((1, 1, 2)), jnp.array([[[2.0, 4.0]]])
        >>> scale = Balanced(share=0.25)
        >>> scale(scale.init(2), x, y, (1, 1))[0].tolist()  # 0.25 · 2 / 4
        [1.0, 0.125]
    """

    share: float = 0.3
    largest: float = 1.0
    decay: float = 0.99

    def __post_init__(self) -> None:
        for name in ("share", "largest"):
            check_at_least(0, **{name: getattr(self, name)})
        if not 0 <= self.decay < 1:
            raise ValueError(f"decay must be in [0, 1), got {self.decay!r}: at 1 the running means would never move")

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
    """One constant scale per gradient block.

    Args:
        action: of the action gradient, the second block.
        state: of the state gradient, the third block where there is one.

    Raises:
        ValueError: one is negative or not finite.

    Example:
        >>> import jax.numpy as jnp
        >>> x = jnp.zeros((1, 1, 2))
        >>> Fixed(action=0.5)((), x, x, (1, 1))[0].tolist()
        [1.0, 0.5]
    """

    action: float = 1.0
    state: float = 1.0

    def __post_init__(self) -> None:
        check_at_least(0, action=self.action, state=self.state)

    def init(self, num_blocks: int) -> tuple[()]:
        del num_blocks
        return ()

    def __call__(self, state: tuple[()], x: Array, y: Array, sizes: tuple[int, ...]) -> tuple[Array, tuple[()]]:
        del x, y
        return jnp.array([1.0, self.action, self.state])[: len(sizes)], state


def apply_scales(scales: Array, samples: Array, sizes: tuple[int, ...]) -> Array:
    """Multiplies each block of joint samples by its scale.

    Args:
        scales: ``[len(sizes)]``.
        samples: ``[..., D]``.
        sizes: of the blocks; their sum is D.

    Returns:
        The scaled samples, ``[..., D]``.

    Example:
        >>> import jax.numpy as jnp
        >>> apply_scales(jnp.array([1.0, 10.0]), jnp.array([[1.0, 2.0, 3.0]]), (1, 2)).tolist()
        [[1.0, 20.0, 30.0]]
    """
    columns = jnp.repeat(scales, jnp.array(sizes), total_repeat_length=sum(sizes))
    return samples * jnp.broadcast_to(columns, samples.shape)
