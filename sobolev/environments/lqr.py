"""Masses in a row on springs, some of them driven: dm_control's ``lqr_n_m``, whose optimal policy is known.

State s = (q, v): the displacement of each of the n masses against the one before it, the first against the wall, and
the velocities of these. Motor i pulls mass i and the one before it together or apart, i <= m. With action a, force f,
time step h, spring constants K = diag(k), dampers D = diag(d), and B the first m columns of the identity,

    v' = v + h (M + h D)^-1 (f B a - K q - D v),   q' = q + h v',   M[i, j] = mu (n + 1 - max(i, j))
    r  = 1 - |q'|² / 2 - cost |f a|² / 2

MuJoCo's Euler step, dampers implicit, of masses mu = 4.19 kg that start at |q| = sqrt(2), v = 0. As in dm_control,
stiffnesses are drawn when the task is made: its environment of the same random seed has the same. Different from it,
actions are in [-1, 1] (there, the force itself is the action, and unbounded), and no episode ends (there, where |s| <
1e-6). ``tests/environments/test_lqr.py`` compares steps, rewards and the optimum with dm_control's.

Source: Tassa et al., "DeepMind Control Suite" (arXiv 1801.00690), and dm_control 1.0.50, ``suite/lqr.py``.
"""

import jax
import jax.numpy as jnp
import numpy as np
from brax.envs.base import State

from sobolev.checks import check_at_least, check_finite, check_positive
from sobolev.environments.base import registry
from sobolev.environments.exact.linear_quadratic import LinearQuadratic, simulator
from sobolev.environments.point_mass import Body
from sobolev.environments.simulated import SimulatorEnv
from sobolev.numerics import unit_vector
from sobolev.types import Array, Key

# A sphere of radius 0.1 m with the density of water, in kg.
_MASS = 1000.0 * 4.0 / 3.0 * np.pi * 0.1**3


@registry.register("lqr")
class LQR(SimulatorEnv):
    """dm_control's ``lqr_n_m`` as a Brax environment, S = 2 n and A = m, with the equations above.

    Its attribute ``task`` is a :class:`sobolev.environments.exact.linear_quadratic.LinearQuadratic`: the functions
    beside that give the optimal policy, and the return and its gradients along any linear policy, in closed form. They
    hold as long as no action reaches its bound. From every start the optimal policies of the default, of ``lqr_2_1``
    and of ``lqr_6_2`` stay within the default force at discounts up to 0.99.

    Args:
        num_masses: n.
        num_actuators: m, at most n.
        force: f, in N, at full action.
        control_cost: cost, of the squared force.
        dt: h, in s.
        stiffness: bounds of the uniform distribution of spring constants, in N/m.
        damping: bounds of that of the dampers' constants, in N s/m.
        noise: standard deviation of each component of the state, per step, which enters after r is paid; dm_control has
            none.
        seed: of the springs and dampers.

    Raises:
        ValueError: a number out of its range.

    Example:
        >>> import jax
        >>> from sobolev.environments.exact import linear_quadratic
        >>> env = LQR(num_masses=2, num_actuators=1)
        >>> s = env.reset(jax.random.key(0)).obs
        >>> gain = linear_quadratic.optimal_gain(env.task, 0.99)
        >>> moments = linear_quadratic.fixed_point(env.task, gain, 0.99)
        >>> 50 < float(linear_quadratic.expected_return(moments, s)) < 100
        True
        >>> linear_quadratic.joint_moments(env.task, 0.99, moments, s, gain @ s).mean.shape  # Z, d_a Z, d_s Z
        (6,)
    """

    def __init__(
        self,
        num_masses: int = 16,
        num_actuators: int = 16,
        force: float = 3.0,
        control_cost: float = 0.1,
        dt: float = 0.03,
        stiffness: tuple[float, float] = (15.0, 25.0),
        damping: tuple[float, float] = (0.0, 0.0),
        noise: float = 0.0,
        seed: int = 0,
    ) -> None:
        if not 1 <= num_actuators <= num_masses:
            raise ValueError(f"num_actuators must be from 1 to num_masses, got {num_actuators} and {num_masses}")
        check_finite(num_masses=num_masses)
        check_positive(force=force, control_cost=control_cost, dt=dt)
        for name, (low, high) in (("stiffness", stiffness), ("damping", damping)):
            check_finite(**{name: high})
            if not 0 <= low <= high:
                raise ValueError(f"{name} must be two numbers, 0 <= low <= high, got {low} and {high}")
        check_at_least(0, noise=noise, seed=seed)
        springs, dampers = _draw(num_masses, stiffness, damping, seed)
        step, drive = _dynamics(springs, dampers, num_actuators, dt)
        self.task = _quadratic(step, force * drive, control_cost * force**2, noise)
        super().__init__(simulator(self.task), lambda key: _start(key, num_masses), num_actuators)

    def pipeline_init(self, q: Array, qd: Array) -> Body:
        """The physical state at these displacements and velocities."""
        return Body(q, qd)

    def reset(self, rng: Array) -> State:
        return _with_body(super().reset(rng))

    def step(self, state: State, action: Array) -> State:
        return _with_body(super().step(state.replace(pipeline_state=jnp.concatenate(state.pipeline_state)), action))


def _with_body(state: State) -> State:
    return state.replace(pipeline_state=Body(*jnp.split(state.pipeline_state, 2)))


def _draw(
    num_masses: int, stiffness: tuple[float, float], damping: tuple[float, float], seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Spring constants and dampers' ``[n]``, each."""
    # The generator and the order of dm_control, so that the same seed gives the same springs.
    random = np.random.RandomState(seed)
    pairs = np.array([[random.uniform(*stiffness), random.uniform(*damping)] for _ in range(num_masses)])
    return pairs[:, 0], pairs[:, 1]


def _dynamics(springs: np.ndarray, dampers: np.ndarray, num_actuators: int, dt: float) -> tuple[np.ndarray, np.ndarray]:
    """``F[2n, 2n]`` and, for motors of force 1, ``G[2n, m]`` of the step s' = F s + G a."""
    identity, order = np.eye(len(springs)), np.arange(len(springs))
    # A displacement moves all masses from its own on.
    mass = _MASS * (len(springs) - np.maximum.outer(order, order))
    forces = np.hstack([-np.diag(springs), -np.diag(dampers), identity[:, :num_actuators]])
    velocity = dt * np.linalg.solve(mass + dt * np.diag(dampers), forces)
    velocity[:, len(springs) : 2 * len(springs)] += identity
    position = dt * velocity
    position[:, : len(springs)] += identity
    step, drive = np.split(np.vstack([position, velocity]), [2 * len(springs)], axis=1)
    return step, drive


def _quadratic(step: np.ndarray, drive: np.ndarray, control_cost: float, noise: float) -> LinearQuadratic:
    """The task, with r = 1 - |q'|² / 2 - control_cost |a|² / 2, q' the first half of s' = step s + drive a."""
    size, num_actuators = drive.shape
    position, reached = step[: size // 2], drive[: size // 2]
    scale = noise * np.eye(size) if noise > 0 else np.zeros((size, 0))
    q, n = -0.5 * position.T @ position, -0.5 * position.T @ reached
    r = -0.5 * (reached.T @ reached + control_cost * np.eye(num_actuators))
    return LinearQuadratic(*map(jnp.asarray, (step, drive, scale, q, r, n)))._replace(r0=1.0)


def _start(key: Key, num_masses: int) -> Array:
    """At rest, uniform on the sphere of radius sqrt(2)."""
    position = jnp.sqrt(2.0) * unit_vector(jax.random.normal(key, (num_masses,)))
    return jnp.concatenate([position, jnp.zeros(num_masses)])
