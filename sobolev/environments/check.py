"""What is wrong with an environment, in one message, before anything is trained on it."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from brax.envs.base import Env, State

from sobolev.checks import check_count
from sobolev.environments.base import Environment
from sobolev.environments.host import HostEnv, named_errors
from sobolev.types import Array, Key, Simulator, Transition

_TOLERANCE = 1e-3


def check_environment(env: Environment, steps: int = 100, seed: int = 0) -> None:
    """Checks that an environment is what training takes; the first thing that is not is told.

    Of an environment on the device: its functions are traced; the observation is a vector of floats, reward and end are
    numbers, and a step keeps the types and shapes of the state. Then, on steps with uniform actions: everything is
    finite, ``done`` is 0 or 1 and 0 at a start, and the simulator, if there is one, explains the recorded steps. An
    environment on the host is checked as it is made; here it takes the steps.

    Args:
        env: the environment, as it would be bound to ``train.environment``.
        steps: how many steps are taken; with 0 nothing runs on the device. Training begins with such a check.
        seed: of starts and actions.

    Raises:
        ValueError: what is wrong, with the environment's name, the place and the remedy.

    See Also:
        ``gymnasium.utils.env_checker.check_env``, which checks the interface of an environment of Gymnasium.

    Example:
        >>> from sobolev.environments import PointMass
        >>> check_environment(PointMass(), steps=3)
        >>> class Image(PointMass):
        ...     def reset(self, rng):
        ...         state = super().reset(rng)
        ...         return state.replace(obs=jnp.zeros((8, 8, 3)))
        >>> check_environment(Image(), steps=3)
        Traceback (most recent call last):
            ...
        ValueError: Image, reset: the observation is float32[8,8,3], wanted a vector of floats: flatten it
    """
    check_count(0, steps=steps)
    if isinstance(env, HostEnv):
        _take_steps_on_host(env, steps, seed)
    elif isinstance(env, Env):
        _check_on_device(env, steps, seed)
    else:
        raise ValueError(
            f"{type(env).__name__}: wanted a brax.envs.base.Env, or a HostEnv: for an environment of Gymnasium, "
            "HostEnv(lambda: gymnasium.make(...))"
        )


def _take_steps_on_host(env: HostEnv, steps: int, seed: int) -> None:
    rng, instance = np.random.default_rng(seed), env.instance()
    try:
        over = True
        for number in range(steps):
            if over:
                instance.reset(seed + number)
            _, _, terminated, truncated = instance.step(rng.uniform(-1.0, 1.0, env.action_size))
            over = terminated or truncated
    finally:
        instance.close()


# On the device.


def _check_on_device(env: Env, steps: int, seed: int) -> None:
    name, key = type(env.unwrapped).__name__, jax.random.key(seed)
    a = jax.ShapeDtypeStruct((_action_size(env, name),), jnp.float32)
    start = _traced(env.reset, name, "reset", key)
    _check_state(start, f"{name}, reset")
    after = _traced(env.step, name, "step", start, a)
    _check_state(after, f"{name}, step")
    _check_same_types(start, after, name)
    simulator = getattr(env, "simulator", None)
    if simulator is not None:
        _check_simulator(simulator, name, start.obs, a)
    if steps:
        _check_numbers(env, name, steps, key)


def _traced(function: Callable[..., Any], name: str, place: str, *arguments: Any) -> Any:
    """The shapes of what a function returns."""
    with named_errors(name, place):
        return jax.eval_shape(function, *arguments)


def _action_size(env: Env, name: str) -> int:
    with named_errors(name, "action_size"):
        size = env.action_size
    if not isinstance(size, int | np.integer) or size < 1:
        raise ValueError(f"{name}, action_size: got {size!r}, wanted a whole number from 1 on")
    return int(size)


def _is_float(x: Any, rank: int) -> bool:
    return hasattr(x, "dtype") and len(x.shape) == rank and x.dtype == jnp.result_type(float)


def _shown(x: Any) -> str:
    """The type and shape of an array, or the kind of what is none."""
    return f"{x.dtype}[{','.join(map(str, x.shape))}]" if hasattr(x, "dtype") else type(x).__name__


def _check_state(state: Any, place: str) -> None:
    """The types of an environment's state."""
    if not isinstance(state, State):
        raise ValueError(f"{place}: returns {type(state).__name__}, wanted a brax.envs.base.State")
    obs = state.obs
    if isinstance(obs, dict):
        raise ValueError(f"{place}: the observation is a dictionary of {sorted(obs)}: concatenate its entries")
    if not hasattr(obs, "dtype") or len(obs.shape) != 1 or obs.size == 0:
        raise ValueError(f"{place}: the observation is {_shown(obs)}, wanted a vector of floats: flatten it")
    if not _is_float(obs, 1):
        raise ValueError(f"{place}: the observation is {_shown(obs)}, wanted float32: convert it")
    for what, x in (("reward", state.reward), ("done", state.done)):
        if not _is_float(x, 0):
            raise ValueError(f"{place}: {what} is {_shown(x)}, wanted one number, float32[]")


def _check_same_types(start: State, after: State, name: str) -> None:
    """That a step keeps the structure of the state, so that steps can be scanned."""
    place = f"{name}: a step must keep the types and shapes of what reset returns"
    before, then = (dict(jax.tree_util.tree_leaves_with_path(state)) for state in (start, after))
    for path in [*before, *then]:
        where = jax.tree_util.keystr(path).lstrip(".")
        if path not in before or path not in then:
            side = "reset" if path in before else "step"
            raise ValueError(f"{place}, but {where} is only in what {side} returns")
        if (before[path].shape, before[path].dtype) != (then[path].shape, then[path].dtype):
            raise ValueError(f"{place}, but {where} is {_shown(before[path])} there and {_shown(then[path])} here")


def _check_simulator(simulator: Simulator, name: str, obs: Any, a: Any) -> None:
    """The types of a simulator's step."""
    number: Any = jax.ShapeDtypeStruct((), jnp.float32)
    n = _traced(simulator.noise, name, "simulator.noise", jax.random.key(0))
    transition = Transition(obs, a, number, number, obs)
    inferred = _traced(simulator.infer, name, "simulator.infer", jax.random.key(0), transition)
    if jax.tree.map(_shown, n) != jax.tree.map(_shown, inferred):
        raise ValueError(
            f"{name}, simulator: noise returns {jax.tree.map(_shown, n)}, and infer {jax.tree.map(_shown, inferred)}: "
            "both are the noise of one step"
        )
    found = _traced(simulator.simulate, name, "simulator.simulate", obs, a, n)
    if not isinstance(found, tuple) or len(found) != 3:
        raise ValueError(f"{name}, simulator.simulate: wanted (s', r, c), got {type(found).__name__}")
    for what, x, rank in zip(("s'", "r", "c"), found, (1, 0, 0), strict=True):
        wanted = obs.shape if rank else ()
        if not hasattr(x, "shape") or tuple(x.shape) != tuple(wanted):
            raise ValueError(f"{name}, simulator.simulate: {what} is {_shown(x)}, wanted float32{list(wanted)}")


def _check_numbers(env: Env, name: str, steps: int, key: Key) -> None:
    """The numbers of some steps with uniform actions; an episode that ends starts again."""
    simulator = getattr(env, "simulator", None)

    def step(state: State, key: Key) -> tuple[State, tuple[Transition, Array, Array, Array]]:
        key_act, key_reset, key_infer = jax.random.split(key, 3)
        a = jax.random.uniform(key_act, (env.action_size,), minval=-1.0)
        after = env.step(state, a)
        transition = Transition(state.obs, a, after.reward, 1.0 - after.done, after.obs)
        s_next, r = after.obs, after.reward
        if simulator is not None:
            s_next, r, _ = simulator.simulate(state.obs, a, simulator.infer(key_infer, transition))
        start = env.reset(key_reset)
        going_on = jax.tree.map(lambda new, old: jnp.where(after.done > 0, new, old), start, after)
        return going_on, (transition, start.done, s_next, r)

    with named_errors(name, f"{steps} steps"):
        key, key_start = jax.random.split(key)
        first = jax.jit(env.reset)(key_start)
        _, found = jax.jit(lambda state, keys: jax.lax.scan(step, state, keys))(first, jax.random.split(key, steps))
    transitions, done_at_start, s_next, r = jax.device_get(found)
    _check_finite(name, "observation", np.vstack([transitions.s[:1], transitions.s_next]))
    _check_finite(name, "reward", np.append(0.0, transitions.r)[:, None])
    if not np.all(np.isin(transitions.discount, (0.0, 1.0))):
        value = 1.0 - transitions.discount[~np.isin(transitions.discount, (0.0, 1.0))][0]
        raise ValueError(f"{name}, step: done is {value:g}, wanted 0 or 1")
    if np.any(done_at_start) or float(first.done):
        raise ValueError(f"{name}, reset: done is not 0: an episode cannot end before its first step")
    _check_explained(name, "s'", transitions.s_next, s_next)
    _check_explained(name, "r", transitions.r[:, None], r[:, None])


def _check_finite(name: str, what: str, values: np.ndarray) -> None:
    """That the values ``[1 + steps, ...]`` of a start and the steps after it are finite."""
    if not np.all(np.isfinite(values)):
        step, entry = np.argwhere(~np.isfinite(values))[0]
        place = f"step {step}" if step else "reset"
        raise ValueError(f"{name}, {place}: entry {entry} of the {what} is {values[step, entry]}: mend the environment")


def _check_explained(name: str, what: str, recorded: np.ndarray, simulated: np.ndarray) -> None:
    """That a simulator's step, at the noise that it infers, is the recorded one."""
    explained = np.abs(simulated - recorded) <= _TOLERANCE * (1.0 + np.abs(recorded))  # False of nan
    if not np.all(explained):
        step, entry = np.argwhere(~explained)[0]
        raise ValueError(
            f"{name}, simulator: at the noise that it infers from step {step + 1}, entry {entry} of {what} is "
            f"{simulated[step, entry]:g}, and was {recorded[step, entry]:g}: mend infer or simulate, or hide the "
            "simulator"
        )
