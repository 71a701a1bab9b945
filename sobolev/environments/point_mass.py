"""A point among N reward locations, in m dimensions: a smooth task whose return is random and has up to N peaks.

State s = (p, v), the point's position and velocity, m numbers each. With force u, stiffness k, friction mu, step dt and
|a_i| <= 1,

    v' = (1 - mu) v + dt (u a - k p),   p' = p + dt v'
    r  = exp(-|p' - c_i|² / (2 w²)) - 0.01 |a|²,   i uniform among N, drawn anew each step

with the locations c_i on the unit sphere, evenly on the circle if m = 2 (:func:`locations`). The state is Markov; the
reward is not a function of it: near one location the point is paid with probability 1/N. V26 names a point mass with N
reward locations without details; the spring, which keeps the point within about u / k of the origin without walls, and
the numbers are ours.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from brax.envs.base import Env, State

from sobolev.checks import check_at_least, check_positive
from sobolev.environments.base import registry
from sobolev.types import Array, Key, Simulator, Transition

# Rewards that differ by less count as equal: float32 does not resolve them.
_REWARD_ROUNDING = 1e-6


def locations(num_locations: int, dimensions: int) -> Array:
    """N locations on the unit sphere in m dimensions, a circle for each pair of dimensions and a sign for an odd one.

        c_i = sqrt(2 / m) (cos t, sin t, cos 2t, sin 2t, …, cos lt, sin lt[, (-1)^i / sqrt(2)]),   t = 2 pi i / N

    with l = m / 2, rounded down. In an even number of dimensions, and for even N in an odd one, all locations are
    alike: a rotation or reflection takes each to any other. In three, four of them are the corners of a regular
    tetrahedron. They differ from one another, except where m = 1 and N > 2. For even m they are a harmonic frame
    (Waldron, An Introduction to Finite Tight Frames, 2018).

    Args:
        num_locations: N.
        dimensions: m.

    Returns:
        ``[N, m]``, of length 1.

    Example:
        >>> [[round(abs(x), 2) for x in c.tolist()] for c in locations(num_locations=2, dimensions=3)]
        [[0.82, 0.0, 0.58], [0.82, 0.0, 0.58]]
    """
    circles = dimensions // 2
    indices = jnp.arange(num_locations)
    angles = (2 * jnp.pi * indices / num_locations)[:, None] * jnp.arange(1, circles + 1)
    waves = jnp.stack([jnp.cos(angles), jnp.sin(angles)], axis=2).reshape(num_locations, 2 * circles)
    signs = jnp.where(indices % 2 == 0, 1.0, -1.0)[:, None] / jnp.sqrt(dimensions)
    return jnp.concatenate([jnp.sqrt(2.0 / dimensions) * waves, signs[:, : dimensions % 2]], axis=1)


class Body(NamedTuple):
    """Position ``q[m]`` and velocity ``qd[m]``, under the names that Brax gives them."""

    q: Array
    qd: Array


@registry.register("point_mass")
class PointMass(Env):
    """The point mass as a Brax environment; it never terminates.

    Args:
        num_locations: N.
        width: w, of each location. The more dimensions there are, the farther are random actions from all of them.
        dt: seconds per step.
        force: u, acceleration at full action.
        stiffness: k, of the spring towards the origin.
        friction: mu, the share of the velocity that is lost per step.
        spread: a start is uniform in the square (cube) of this half width, at rest.
        dimensions: m, the length of an action; a state has 2 m numbers.

    Raises:
        ValueError: a number out of its range.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> env = PointMass(num_locations=3)
        >>> env.step(env.reset(jax.random.key(0)), jnp.array([1.0, 0.0])).obs.shape
        (4,)
    """

    def __init__(
        self,
        num_locations: int = 8,
        width: float = 0.4,
        dt: float = 0.2,
        force: float = 4.0,
        stiffness: float = 4.0,
        friction: float = 0.5,
        spread: float = 1.5,
        dimensions: int = 2,
    ) -> None:
        for name, count in (("num_locations", num_locations), ("dimensions", dimensions)):
            check_at_least(1, **{name: count})
        check_positive(width=width, dt=dt, force=force)
        check_at_least(0, stiffness=stiffness, spread=spread)
        if not 0 <= friction <= 1:
            raise ValueError(f"friction must be in [0, 1], got {friction}")
        self._locations, self._dimensions = locations(num_locations, dimensions), dimensions
        self._width, self._spread = width, spread
        self._dt, self._force, self._stiffness, self._friction = dt, force, stiffness, friction

    @property
    def locations(self) -> Array:
        """The locations that pay, ``[N, m]``."""
        return self._locations

    def simulate(self, s: Array, a: Array, n: Array) -> tuple[Array, Array, Array]:
        """The step at a given location, differentiable in ``s`` and ``a``.

        Args:
            s: ``[2 m]``, position and velocity.
            a: ``[m]``; it is not clipped.
            n: the index of the location that pays, a scalar.

        Returns:
            ``(s'[2 m], r[], c[])``, c = 1.
        """
        p, v = jnp.split(s, 2)
        v = (1.0 - self._friction) * v + self._dt * (self._force * a - self._stiffness * p)
        p = p + self._dt * v
        squared = jnp.sum((p - self._locations[n]) ** 2)
        r = jnp.exp(-squared / (2.0 * self._width**2)) - 0.01 * jnp.sum(a**2)
        return jnp.concatenate([p, v]), r, jnp.ones(())

    def _infer(self, key: Key, transition: Transition) -> Array:
        """The index of a location that explains the reward: one of those that do, at random, or else the nearest."""
        indices = jnp.arange(len(self._locations))
        rewards = jax.vmap(lambda n: self.simulate(transition.s, transition.a, n)[1])(indices)
        errors = jnp.abs(rewards - transition.r)
        explains = errors <= jnp.min(errors) + _REWARD_ROUNDING
        return jax.random.categorical(key, jnp.where(explains, 0.0, -jnp.inf))

    @property
    def simulator(self) -> Simulator:
        """The step; its noise is the index of the location that pays. ``infer`` draws among those that pay the same."""
        return Simulator(
            noise=lambda key: jax.random.randint(key, (), 0, len(self._locations)),
            infer=self._infer,
            simulate=self.simulate,
        )

    def pipeline_init(self, q: Array, qd: Array) -> Body:
        """The physical state at this position and velocity."""
        return Body(q, qd)

    def reset(self, rng: Array) -> State:
        key, key_start = jax.random.split(rng)
        start = jax.random.uniform(key_start, (self._dimensions,), minval=-self._spread, maxval=self._spread)
        zero = jnp.zeros(())
        body = Body(start, jnp.zeros(self._dimensions))
        return State(body, jnp.concatenate(body), zero, zero, {}, {"point_mass_key": key})

    def step(self, state: State, action: Array) -> State:
        key, key_location = jax.random.split(state.info["point_mass_key"])
        location = self.simulator.noise(key_location)
        s, reward, _ = self.simulate(jnp.concatenate(state.pipeline_state), jnp.clip(action, -1.0, 1.0), location)
        info: dict[str, Any] = {**state.info, "point_mass_key": key}
        return state.replace(pipeline_state=Body(*jnp.split(s, 2)), obs=s, reward=reward, info=info)

    @property
    def observation_size(self) -> int:
        return 2 * self._dimensions

    @property
    def action_size(self) -> int:
        return self._dimensions

    @property
    def backend(self) -> str:
        return "closed form"
