"""Perturbations of environments, as wrappers: the papers' two noise settings (V26, section 5), and a lottery (ours).

The entries of the registry wrap environments on the device, by the classes of this module, and those on the host.

Example:
    >>> from sobolev import environments
    >>> env = environments.perturbations.registry.make("additive_dynamics", environments.PointMass(), scale=0.2)
    >>> env.observation_size, env.simulator  # the perturbed step is another one
    (4, None)
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from brax.envs.base import Env, State, Wrapper

from sobolev.checks import check_at_least, check_finite
from sobolev.environments.base import Environment
from sobolev.environments.host import HostEnv
from sobolev.registry import Registry
from sobolev.types import Array, Simulator

registry: Registry[Callable[..., Environment]] = Registry("perturbation")
"""Factories of wrappers, ``(env, ...) -> env``."""


class Perturbation(Wrapper):
    """What perturbations share: they hide the simulator of the wrapped environment, whose step is another one.

    Args:
        env: an environment on the device.

    Raises:
        ValueError: an environment on the host.
    """

    simulator: Simulator | None = None

    def __init__(self, env: Env) -> None:
        if isinstance(env, HostEnv):
            raise ValueError(
                f"{type(self).__name__} wraps environments on the device, got {env.name} on the host: take a function "
                "of sobolev.environments.perturbations, or env.wrapped(wrapper) with a gymnasium.Wrapper"
            )
        super().__init__(env)


class MultiplicativeObservation(Perturbation):
    """``o = s ⊙ n``, n uniform in [low, high], drawn for each component and step; the state itself is hidden.

    Args:
        env: the environment that is observed.
        low: lower bound of the factor (V26: 0.8).
        high: upper bound of the factor (V26: 1.2).

    Raises:
        ValueError: ``low`` exceeds ``high``.

    Example:
        >>> import jax
        >>> from sobolev.environments import PointMass
        >>> state = MultiplicativeObservation(PointMass(), low=2.0, high=2.0).reset(jax.random.key(0))
        >>> bool((state.obs[:2] == 2 * state.pipeline_state.q).all())
        True
    """

    def __init__(self, env: Env, low: float = 0.8, high: float = 1.2) -> None:
        super().__init__(env)
        _check_factors(low, high)
        self._low, self._high = low, high

    def reset(self, rng: Array) -> State:
        key, key_env = jax.random.split(rng)
        return self._observe(self.env.reset(key_env), key)

    def step(self, state: State, action: Array) -> State:
        return self._observe(self.env.step(state, action), state.info["observation_noise_key"])

    def _observe(self, state: State, key: Array) -> State:
        key, key_factor = jax.random.split(key)
        factor = jax.random.uniform(key_factor, state.obs.shape, minval=self._low, maxval=self._high)
        return state.replace(obs=state.obs * factor, info={**state.info, "observation_noise_key": key})


def driven(env: Env) -> np.ndarray:
    """Which generalized velocities belong to a mechanism with an actuator; a mechanism is a tree of links and joints.

    Args:
        env: an environment of Brax; one without a description of its bodies, ``sys``, has one mechanism.

    Returns:
        ``[QD]``, 1 for velocities of a mechanism with an actuator and 0 for the others; ``[1]`` without ``sys``.

    Example:
        >>> from sobolev.environments import make_brax
        >>> driven(make_brax("reacher")).tolist()  # two joints of the arm, two coordinates of the target
        [1.0, 1.0, 0.0, 0.0]
    """
    sys = getattr(env, "sys", None)
    if sys is None:
        return np.ones(1)
    roots: list[int] = []  # Brax lists a parent before its children.
    for link, parent in enumerate(sys.link_parents):
        roots.append(link if parent < 0 else roots[parent])
    roots_of_velocities = np.array(roots)[np.asarray(sys.dof_link())]
    return np.isin(roots_of_velocities, roots_of_velocities[np.asarray(sys.actuator.qd_id)]).astype(float)


class AdditiveDynamics(Perturbation):
    """Gaussian noise on the generalized velocities before each step: ``qd <- qd + scale · N(0, I)``.

    The noise passes through the dynamics, and its result is observed: the state stays Markov. Bodies that no actuator
    drives, directly or through joints (the target of reacher, the puck of pusher), get no noise: reacher's target would
    drift away at a velocity that is not observed.

    Args:
        env: an environment with a ``pipeline_init(q, qd)``: all of Brax's, and the point mass.
        scale: standard deviation, in units of velocity.

    Raises:
        ValueError: a negative scale, or an environment without ``pipeline_init``.

    See Also:
        :func:`driven`, which velocities get noise.

    Example:
        >>> from sobolev.environments import PointMass
        >>> AdditiveDynamics(PointMass(), scale=0.2).observation_size
        4
    """

    def __init__(self, env: Env, scale: float = 0.1) -> None:
        super().__init__(env)
        _check_scale(scale)
        if not hasattr(env.unwrapped, "pipeline_init"):
            raise ValueError(
                f"{type(env.unwrapped).__name__} has no pipeline_init(q, qd), through which the noise enters its "
                "velocities: take an environment that has one"
            )
        self._scale = jnp.asarray(scale * driven(env.unwrapped))

    def reset(self, rng: Array) -> State:
        key, key_env = jax.random.split(rng)
        state = self.env.reset(key_env)
        return state.replace(info={**state.info, "dynamics_noise_key": key})

    def step(self, state: State, action: Array) -> State:
        key, key_noise = jax.random.split(state.info["dynamics_noise_key"])
        body = state.pipeline_state
        qd = body.qd + self._scale * jax.random.normal(key_noise, body.qd.shape, dtype=jnp.result_type(body.qd))
        state = state.replace(pipeline_state=self.env.unwrapped.pipeline_init(body.q, qd))
        state = self.env.step(state, action)
        return state.replace(info={**state.info, "dynamics_noise_key": key})


class RewardLottery(Perturbation):
    """``r' = r / chance`` with probability ``chance``, else 0, drawn anew each step; the state is free of it.

    The mean of the reward stays, and with it the mean return of every policy and the best policy. The return's
    distribution does not. The reward of each step, and its gradient, have two modes. So has a discounted return with
    few prizes within its horizon: with the default, three in ten have next to none under gamma = 0.95. Reward and
    gradient are those of the wrapped environment times one number, which a world model can infer from a transition.

    Args:
        env: the environment whose rewards are drawn.
        chance: of a prize, at each step, in (0, 1].

    Raises:
        ValueError: ``chance`` outside of (0, 1].

    Example:
        >>> from sobolev.environments import PointMass
        >>> RewardLottery(PointMass(), chance=0.25).observation_size
        4
    """

    def __init__(self, env: Env, chance: float = 0.02) -> None:
        super().__init__(env)
        _check_chance(chance)
        self._chance = chance

    def reset(self, rng: Array) -> State:
        key, key_env = jax.random.split(rng)
        state = self.env.reset(key_env)
        return state.replace(info={**state.info, "lottery_key": key})

    def step(self, state: State, action: Array) -> State:
        key, key_draw = jax.random.split(state.info["lottery_key"])
        state = self.env.step(state, action)
        prize = jnp.where(jax.random.bernoulli(key_draw, self._chance), state.reward / self._chance, 0.0)
        return state.replace(reward=prize, info={**state.info, "lottery_key": key})


@registry.register("multiplicative_observation")
def multiplicative_observation(env: Environment, low: float = 0.8, high: float = 1.2) -> Environment:
    """``o = s ⊙ n``, n uniform in [low, high], drawn for each component and step: :class:`MultiplicativeObservation`.

    Args:
        env: the environment that is observed.
        low: lower bound of the factor (V26: 0.8).
        high: upper bound of the factor (V26: 1.2).

    Returns:
        The environment, wrapped.

    Raises:
        ValueError: ``low`` exceeds ``high``.

    Example:
        >>> from sobolev.environments import make_gymnasium
        >>> multiplicative_observation(make_gymnasium("Pendulum-v1")).observation_size
        3
    """
    if not isinstance(env, HostEnv):
        return MultiplicativeObservation(env, low, high)
    from sobolev.environments.host_perturbations import ObservationFactors

    _check_factors(low, high)
    return env.wrapped(partial(ObservationFactors, low=low, high=high))


@registry.register("additive_dynamics")
def additive_dynamics(env: Environment, scale: float = 0.1) -> Environment:
    """Gaussian noise on the velocities of Brax's or MuJoCo's bodies before each step; see :class:`AdditiveDynamics`.

    Args:
        env: an environment of Brax, the point mass, or one of MuJoCo on the host.
        scale: standard deviation, in units of velocity.

    Returns:
        The environment, wrapped.

    Raises:
        ValueError: a negative scale, or an environment without such velocities.

    Example:
        >>> from sobolev.environments import PointMass
        >>> additive_dynamics(PointMass(), scale=0.2).observation_size
        4
    """
    if not isinstance(env, HostEnv):
        return AdditiveDynamics(env, scale)
    from sobolev.environments.host_perturbations import VelocityNoise

    _check_scale(scale)
    return env.wrapped(partial(VelocityNoise, scale=scale))


@registry.register("reward_lottery")
def reward_lottery(env: Environment, chance: float = 0.02) -> Environment:
    """``r' = r / chance`` with probability ``chance``, else 0: :class:`RewardLottery`.

    Args:
        env: an environment on the device.
        chance: of a prize, at each step, in (0, 1].

    Returns:
        The environment, wrapped.

    Raises:
        ValueError: ``chance`` outside of (0, 1], or an environment on the host.

    Example:
        >>> from sobolev.environments import LQR
        >>> reward_lottery(LQR(num_masses=3, num_actuators=1)).observation_size
        6
    """
    return RewardLottery(env, chance)


def _check_factors(low: float, high: float) -> None:
    check_finite(low=low, high=high)
    if not low <= high:
        raise ValueError(f"low must not exceed high, got {low} and {high}")


def _check_scale(scale: float) -> None:
    check_at_least(0, scale=scale)


def _check_chance(chance: float) -> None:
    if not 0 < chance <= 1:
        raise ValueError(f"chance must be in (0, 1], got {chance}")
