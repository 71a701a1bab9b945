"""Joint samples of a value and its gradients: the only place that differentiates in state and action.

For a scalar function f of state and action, a sample is z = [f, blocks of its gradient], ``[D]``:

    gradient         blocks                                        D          operator
    "none"                                                         1          the usual one
    "action"         d_a f                                         1 + A      "incomplete" (V26)
    "state_action"   d_a f, d_s f                                  1 + A + S  "complete" (V24)
    "closed_loop"    d_a f, d_s f + (d_s pi)^T d_a f               1 + A + S  the derivative along the policy

The last block of "closed_loop" is d_s [f(s, pi(s))] where a = pi(s); elsewhere a - pi(s) is held fixed, so that
exploration is an offset that does not depend on the state.
"""

from collections.abc import Callable
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp

from sobolev.registry import unknown_name
from sobolev.types import Array, Noise, Params, Policy

Gradient = Literal["none", "action", "state_action", "closed_loop"]
GRADIENTS: tuple[Gradient, ...] = get_args(Gradient)


def check_gradient(gradient: str) -> None:
    """Raises a ValueError, with the close names, unless ``gradient`` is one of ``GRADIENTS``."""
    if gradient not in GRADIENTS:
        raise unknown_name("gradient", gradient, GRADIENTS)


def block_sizes(gradient: Gradient, state_size: int, action_size: int) -> tuple[int, ...]:
    """The lengths of the blocks of z.

    Args:
        gradient: one of ``GRADIENTS``.
        state_size: S.
        action_size: A.

    Returns:
        The lengths, the return's 1 first; their sum is D.

    Raises:
        ValueError: an unknown gradient.

    Example:
        >>> block_sizes("state_action", state_size=17, action_size=6)
        (1, 6, 17)
    """
    check_gradient(gradient)
    blocks = {"none": (), "action": (action_size,)}.get(gradient, (action_size, state_size))
    return (1, *blocks)


def sobolev_sample(
    f: Callable[[Array, Array], Array], s: Array, a: Array, gradient: Gradient, policy: Policy | None = None
) -> Array:
    """One joint sample z of a function and its gradients.

    Args:
        f: scalar function of (s, a), differentiable; its noise is fixed inside.
        s: state ``[S]``.
        a: action ``[A]``.
        gradient: one of ``GRADIENTS``.
        policy: ``(s[S]) -> a[A]``, differentiable; needed by "closed_loop" alone.

    Returns:
        ``[D]``, the value of f first; the gradients in units of f per unit of action (state).

    Raises:
        ValueError: an unknown gradient, "closed_loop" without a policy, or s and a of other shapes.

    Example:
        >>> import jax.numpy as jnp
        >>> f = lambda s, a: s[0] ** 2 * a[0]
        >>> sobolev_sample(f, jnp.array([3.0]), jnp.array([2.0]), "state_action").tolist()
        [18.0, 9.0, 12.0]
    """
    check_gradient(gradient)
    if jnp.ndim(s) != 1 or jnp.ndim(a) != 1:
        raise ValueError(f"s and a must be [S] and [A], got shapes {jnp.shape(s)} and {jnp.shape(a)}: vmap over states")
    if gradient == "none":
        return f(s, a)[None]
    if gradient == "action":
        value, d_a = jax.value_and_grad(f, argnums=1)(s, a)
        return jnp.concatenate([value[None], d_a])
    value, (d_s, d_a) = jax.value_and_grad(f, argnums=(0, 1))(s, a)
    if gradient == "closed_loop":
        if policy is None:
            raise ValueError("gradient 'closed_loop' differentiates along the policy: give policy=")
        d_s = d_s + jax.vjp(policy, s)[1](d_a)[0]
    return jnp.concatenate([value[None], d_a, d_s])


def joint_samples(
    value: Callable[[Params, Array, Array, Noise], Array],
    params: Params,
    s: Array,
    a: Array,
    noise: Any,
    gradient: Gradient = "action",
    policy: Policy | None = None,
) -> Array:
    """Joint samples of a critic's return and gradients at one state and action.

    Args:
        value: ``critic.value``.
        params: its parameters.
        s: ``[S]``.
        a: ``[A]``.
        noise: ``[N]`` noises, a pytree with a leading axis; sample i of the value and of the gradient share noise i.
        gradient: one of ``GRADIENTS``.
        policy: as in :func:`sobolev_sample`.

    Returns:
        ``[N, D]``, column 0 the return; the gradients in units of return per unit of action (state).

    Raises:
        ValueError: as :func:`sobolev_sample`.

    See Also:
        :func:`sobolev.bellman.sobolev_target`, a joint sample of the target;
        :func:`sobolev.critics.draw_noises`, the noises of a critic.

    Example:
        >>> import jax.numpy as jnp
        >>> value = lambda params, s, a, xi: params * xi * jnp.sum(a**2)
        >>> joint_samples(value, 2.0, jnp.zeros(1), jnp.array([1.0, 3.0]), jnp.array([1.0, 2.0])).tolist()
        [[20.0, 4.0, 12.0], [40.0, 8.0, 24.0]]
    """
    return jax.vmap(lambda xi: sobolev_sample(lambda s, a: value(params, s, a, xi), s, a, gradient, policy))(noise)
