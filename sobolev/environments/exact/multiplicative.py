"""Multiplicative noise: a gradient that is a perpetuity, with moments up to an order and none beyond.

    s' = m s + a,   r = h s,   m uniform on [low, high];   a = K s (S = A = 1)

The gradient along the policy solves y = h + gamma (m + K) y'. With m_K = m + K and h != 0 it has a stationary
distribution if and only if E log |gamma m_K| < 0, and E |y|^k is finite if and only if gamma^k E |m_K|^k < 1. Where
|gamma m_K| > 1 has a positive probability the tail is that of a power, P(|y| > x) ~ x^-alpha with E |gamma m_K|^alpha
= 1 (Kesten, Acta Mathematica 1973). So a backup may expand for some noises and still contract W_2.

    E y^k = sum_{j<k} binomial(k, j) h^(k-j) gamma^j E m_K^j E y^j / (1 - gamma^k E m_K^k)
    d_a Z = gamma y',   d_s Z = h + gamma m y',   Z = s d_s Z + a d_a Z
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from brax.envs.base import Env

from sobolev.checks import check_finite
from sobolev.environments.base import registry
from sobolev.environments.exact.common import uniform_start
from sobolev.environments.exact.linear import JointMoments
from sobolev.environments.simulated import SimulatorEnv
from sobolev.types import Array, Key, Simulator, Transition


class Multiplicative(NamedTuple):
    """The task's numbers: bounds ``low < high`` of the factor m, and the reward's slope ``h``."""

    low: float
    high: float
    h: float


def simulator(task: Multiplicative) -> Simulator:
    """The task's step; its noise is m, ``[]``. At s = 0 a transition holds no information on m: ``infer`` draws it."""

    def noise(key: Key) -> Array:
        return jax.random.uniform(key, (), minval=task.low, maxval=task.high)

    def infer(key: Key, transition: Transition) -> Array:
        s, a, s_next = transition.s[0], transition.a[0], transition.s_next[0]
        return jnp.where(s == 0.0, noise(key), (s_next - a) / jnp.where(s == 0.0, 1.0, s))

    def simulate(s: Array, a: Array, n: Array) -> tuple[Array, Array, Array]:
        return n * s + a, task.h * s[0], jnp.ones(())

    return Simulator(noise, infer, simulate)


def factor_moment(task: Multiplicative, gain: float, order: float, absolute: bool = False) -> float:
    """The moment ``E m_K^order`` of the closed loop's factor, or ``E |m_K|^order``.

    Args:
        task: the task.
        gain: K.
        order: an integer; any real number above -1 for the absolute moment.
        absolute: whether it is the absolute moment.

    Returns:
        The moment.

    Example:
        >>> round(factor_moment(Multiplicative(0.0, 2.0, 1.0), gain=0.0, order=2), 4)
        1.3333
    """
    low, high = task.low + gain, task.high + gain

    def integral(x: float) -> float:
        return math.copysign(abs(x) ** (order + 1), x) if absolute else x ** (order + 1)

    return (integral(high) - integral(low)) / ((order + 1) * (high - low))


def growth(task: Multiplicative, gain: float, gamma: float) -> float:
    """``E log |gamma m_K|``, the Lyapunov exponent of the discounted closed loop.

    Args:
        task: the task.
        gain: K.
        gamma: discount.

    Returns:
        Nats per step; the gradient has a stationary distribution where it is negative.

    Example:
        >>> round(growth(Multiplicative(0.0, 1.0, 1.0), gain=0.0, gamma=1.0), 4)  # the integral of log m
        -1.0
    """
    low, high = task.low + gain, task.high + gain

    def integral(x: float) -> float:
        return x * math.log(abs(x)) - x if x else 0.0

    return math.log(gamma) + (integral(high) - integral(low)) / (high - low)


def tail_index(task: Multiplicative, gain: float, gamma: float) -> float:
    """The index alpha of the tail: E |y|^k is finite for k < alpha alone.

    Args:
        task: the task.
        gain: K.
        gamma: discount.

    Returns:
        alpha; inf where no factor exceeds 1, and 0 where there is no stationary distribution.

    Example:
        >>> round(tail_index(Multiplicative(0.0, 2.0, 1.0), gain=0.0, gamma=0.75**0.5), 4)  # sqrt(3)^2 / 3 = 1
        2.0
    """
    if gamma * max(abs(task.low + gain), abs(task.high + gain)) <= 1:
        return math.inf
    if growth(task, gain, gamma) >= 0:
        return 0.0

    # The discount enters before the power: where factors are just above 1 the index is in the thousands.
    discounted = Multiplicative(gamma * (task.low + gain), gamma * (task.high + gain), task.h)

    def excess(order: float) -> float:
        return math.log(factor_moment(discounted, 0.0, order, absolute=True))

    # log E |gamma m|^order is convex in the order, and 0 with a negative slope at 0: it has one more zero.
    high = 1.0
    while excess(high) < 0:
        high *= 2.0
    low = high / 2.0
    while excess(low) > 0:
        low /= 2.0
    for _ in range(200):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if excess(middle) < 0 else (low, middle)
    return high


def gradient_moment(task: Multiplicative, gain: float, gamma: float, order: int) -> float:
    """The moment ``E y^order`` of the stationary gradient along the policy.

    Args:
        task: the task.
        gain: K.
        gamma: discount.
        order: of the moment, at least 0.

    Returns:
        The moment, or inf where ``E |y|^order`` is infinite.

    Example:
        >>> task = Multiplicative(0.0, 2.0, 1.0)
        >>> [round(gradient_moment(task, 0.0, 0.9, order), 2) for order in (1, 2)]  # 1 / (1 - 0.9); 0.81 · 4/3 > 1
        [10.0, inf]
    """
    if order == 0:
        return 1.0
    if gamma**order * factor_moment(task, gain, order, absolute=True) >= 1:
        return math.inf
    terms = [
        math.comb(order, j)
        * task.h ** (order - j)
        * gamma**j
        * factor_moment(task, gain, j)
        * gradient_moment(task, gain, gamma, j)
        for j in range(order)
    ]
    return sum(terms) / (1.0 - gamma**order * factor_moment(task, gain, order))


def joint_moments(task: Multiplicative, gain: float, gamma: float, s: Array, a: Array) -> JointMoments:
    """The moments of ``[Z, d_a Z, d_s Z]``.

    Args:
        task: the task.
        gain: K.
        gamma: discount.
        s: ``[1]``.
        a: ``[1]``.

    Returns:
        The moments, D = 3; inf or nan where they do not exist.
    """
    first, second = (gradient_moment(task, gain, gamma, order) for order in (1, 2))
    m, m2 = (factor_moment(task, 0.0, order) for order in (1, 2))
    variance = second - first**2
    slopes = jnp.array([gamma * first, task.h + gamma * m * first])
    spread = gamma**2 * jnp.array([[variance, m * variance], [m * variance, m2 * second - (m * first) ** 2]])
    rows = jnp.concatenate([jnp.concatenate([a, s])[None], jnp.eye(2)])
    return JointMoments(rows @ slopes, rows @ spread @ rows.T)


@registry.register("multiplicative")
def make_multiplicative(low: float = 0.5, high: float = 1.1, h: float = 1.0, spread: float = 1.0) -> Env:
    """A state that is multiplied by noise in [low, high].

    Args:
        low: lower bound of the factor.
        high: upper bound of the factor.
        h: reward per unit of state.
        spread: a start is uniform in [-spread, spread].

    Returns:
        The environment, S = A = 1.

    Raises:
        ValueError: the bounds are not in order, or ``spread`` is not positive.

    Example:
        >>> make_multiplicative(low=0.9).action_size
        1
    """
    check_finite(low=low, high=high, h=h)
    if not low < high:
        raise ValueError(f"low must be less than high, got {low} and {high}")
    return SimulatorEnv(simulator(Multiplicative(low, high, h)), uniform_start(1, spread), action_size=1)
