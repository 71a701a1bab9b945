"""Environments that Python steps on the host: those of Gymnasium whose observations and actions are vectors.

Episodes on the host are to :class:`HostEnv` what :mod:`sobolev.environments.episodes` is to an environment on the
device: they run side by side and restart as they end, the true last observation is kept, and ``discount`` is 0 at a
termination alone. An episode is a function of its seed and its actions; so it is stored as these, and restored by
taking the actions again.

Example:
    >>> import gymnasium, numpy as np
    >>> env = HostEnv(lambda: gymnasium.make("Pendulum-v1"))
    >>> env.observation_size, env.action_size
    (3, 1)
    >>> episodes = HostEpisodes(env, count=2, length=1, key=np.array([0, 7]))
    >>> transitions, last = episodes.step(np.zeros((2, 1)))
    >>> last.tolist(), transitions.discount.tolist()  # a time limit is no termination
    ([True, True], [1.0, 1.0])
"""

import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np

from sobolev.types import Transition

if TYPE_CHECKING:
    import gymnasium

_JAX = Path(jax.__file__).parent


class HostEnv:
    """An environment of Gymnasium, made anew for each episode that runs side by side with others.

    Args:
        make: ``() -> gymnasium.Env``; time limits and wrappers of its own are kept.

    Raises:
        ValueError: observations that are no vector of numbers, actions without finite bounds, or a first observation
            that is not the space's or not finite.

    Attributes:
        name: of the environment, for messages.
        observation_size: length S of an observation.
        action_size: length A of an action.

    See Also:
        :func:`sobolev.environments.make_gymnasium`, by name.

    Example:
        >>> import gymnasium
        >>> HostEnv(lambda: gymnasium.make("CartPole-v1"))
        Traceback (most recent call last):
            ...
        ValueError: CartPole-v1: actions are Discrete(2), wanted a Box of one dimension with finite bounds: wrap the \
environment in one that has it
    """

    def __init__(self, make: "Callable[[], gymnasium.Env]") -> None:
        self.make = make
        env = make()
        self.name = env.spec.id if env.spec else type(env.unwrapped).__name__
        self._low, self._high = _action_bounds(env, self.name)
        self.observation_size, self.action_size = _observation_size(env, self.name), self._low.size
        with named_errors(self.name, "reset(seed=0)"):
            first = env.reset(seed=0)[0]
        self.check(first, "first observation")
        env.close()

    def wrapped(self, wrapper: "Callable[[gymnasium.Env], gymnasium.Env]") -> "HostEnv":
        """The environment with ``wrapper(env)`` around each that is made."""
        return HostEnv(lambda: wrapper(self.make()))

    def instance(self) -> "Instance":
        """An environment of its own, to be reset."""
        return Instance(self)

    def to_bounds(self, a: np.ndarray) -> np.ndarray:
        """An action in [-1, 1] as the environment takes it: clipped, then mapped to its bounds linearly.

        Raises:
            ValueError: an action that is not finite.
        """
        if not np.all(np.isfinite(a)):
            raise ValueError(
                f"{self.name}: the policy's action is {np.asarray(a).tolist()}: the agent has diverged, lower its "
                "learning rates or train.updates_per_step"
            )
        a = np.clip(np.asarray(a, np.float64), -1.0, 1.0)
        low, high = (bound.astype(np.float64) for bound in (self._low, self._high))  # rounded, a could exceed them
        return (low + 0.5 * (a + 1.0) * (high - low)).astype(self._low.dtype)

    def check(self, observation: Any, place: str) -> np.ndarray:
        """An observation as float32; a ValueError if it is not finite or of another shape."""
        found = np.asarray(observation)
        if found.shape != (self.observation_size,) or found.dtype.kind not in "fiub":
            raise ValueError(
                f"{self.name}, {place}: got {found.dtype}{list(found.shape)}, wanted [{self.observation_size}] numbers "
                "as the observation space says: mend the environment, or its space"
            )
        found = found.astype(np.float32)
        if not np.all(np.isfinite(found)):
            entry = int(np.argmin(np.isfinite(found)))
            raise ValueError(f"{self.name}, {place}: entry {entry} is {found[entry]}: mend the environment")
        return found


@contextmanager
def named_errors(name: str, place: str) -> Iterator[None]:
    """Errors of an environment's own code, as a ValueError that says in which environment, where and in which line.

    Args:
        name: of the environment.
        place: what it was doing.
    """
    try:
        yield
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        # JAX raises most errors of traced code itself: the line that matters is the last one outside of it.
        own = [frame for frame in frames if _JAX not in Path(frame.filename).parents] or frames
        where = f" ({Path(own[-1].filename).name}:{own[-1].lineno})"
        reason = next((line for line in str(error).splitlines() if line), "")
        raise ValueError(f"{name}, {place}: {type(error).__name__}: {reason}{where}") from error


def _action_bounds(env: "gymnasium.Env", name: str) -> tuple[np.ndarray, np.ndarray]:
    from gymnasium.spaces import Box

    space = env.action_space
    if not (
        isinstance(space, Box)
        and len(space.shape) == 1
        and np.issubdtype(space.dtype, np.floating)
        and np.all(np.isfinite([space.low, space.high]))
    ):
        raise ValueError(
            f"{name}: actions are {space}, wanted a Box of one dimension with finite bounds: wrap the environment in "
            "one that has it"
        )
    return space.low, space.high


def _observation_size(env: "gymnasium.Env", name: str) -> int:
    from gymnasium.spaces import Box

    space = env.observation_space
    if not (isinstance(space, Box) and len(space.shape) == 1):
        raise ValueError(
            f"{name}: observations are {space}, wanted a Box of one dimension: flatten them (flatten=True of "
            "environments.gymnasium, or gymnasium.wrappers.FlattenObservation)"
        )
    return space.shape[0]


def seed_of(*numbers: int) -> int:
    """The seed of an episode, from numbers that tell it from others.

    Example:
        >>> len({seed_of(0, 1), seed_of(1, 0), seed_of(0, 1, 0)})
        3
    """
    # Their count comes first, since numpy takes missing numbers for zeros.
    return int(np.random.SeedSequence([len(numbers), *numbers]).generate_state(1)[0] >> 1)


class Instance:
    """One environment that was made, and the episode that runs in it.

    Args:
        env: what to make.

    Attributes:
        steps: of the episode so far.
    """

    def __init__(self, env: HostEnv) -> None:
        self._env, self.gym, self.steps = env, env.make(), 0

    def reset(self, seed: int) -> np.ndarray:
        """Starts the episode of a seed; its first observation ``[S]``."""
        self.steps = 0
        with named_errors(self._env.name, f"reset(seed={seed})"):
            observation, _ = self.gym.reset(seed=seed)
        return self._env.check(observation, f"first observation of the episode with seed {seed}")

    def step(self, a: np.ndarray) -> tuple[np.ndarray, float, bool, bool]:
        """One step by an action in [-1, 1].

        Returns:
            The observation ``[S]``, the reward, whether the episode terminated, and whether it was truncated.

        Raises:
            ValueError: an observation or a reward that is not finite, or an observation of another shape.
        """
        self.steps += 1
        place, a = f"step {self.steps} of an episode", self._env.to_bounds(a)
        with named_errors(self._env.name, place):
            observation, reward, terminated, truncated, _ = self.gym.step(a)
        if not np.isfinite(float(reward)):
            raise ValueError(f"{self._env.name}, {place}: the reward is {reward}: mend the environment")
        return self._env.check(observation, place), float(reward), bool(terminated), bool(truncated)

    def close(self) -> None:
        """Frees what the environment holds."""
        self.gym.close()


class Recording(NamedTuple):
    """``[E]`` episodes as they are stored: what they are functions of.

    Fields:
        key: of their seeds, uint32 ``[2]``.
        counts: the number of the episode that runs at each place, ``[E]``.
        steps: its steps so far, ``[E]``.
        actions: its actions, ``[E, length, A]``; zero from ``steps`` on.
        observations: the present ones, ``[E, S]``, by which a restored episode is checked.
    """

    key: Any
    counts: Any
    steps: Any
    actions: Any
    observations: Any


class HostEpisodes:
    """Episodes side by side; each that ends is followed by another, from a seed of its own.

    Args:
        env: the environment.
        count: places side by side, E.
        length: time limit in steps; an environment's own is kept.
        key: of the seeds of all episodes to come, uint32 ``[2]``.

    Attributes:
        observations: the present ones, ``[E, S]``.
    """

    def __init__(self, env: HostEnv, count: int, length: int, key: np.ndarray) -> None:
        self._length, self._key = length, np.asarray(key, np.uint32)
        self._instances = [env.instance() for _ in range(count)]
        self._counts = np.full(count, -1, np.int32)
        self._actions = np.zeros((count, length, env.action_size), np.float32)
        self.observations = np.zeros((count, env.observation_size), np.float32)
        for place in range(count):
            self._start_next(place)

    def _start_next(self, place: int) -> None:
        self._counts[place] += 1
        self._start(place)

    def _start(self, place: int) -> None:
        """Starts the episode whose number is in ``counts``."""
        self._actions[place] = 0.0
        seed = seed_of(*self._key.tolist(), place, int(self._counts[place]))
        self.observations[place] = self._instances[place].reset(seed)

    def step(self, a: np.ndarray, restart: np.ndarray | bool = False) -> tuple[Transition, np.ndarray]:
        """One step at each place; episodes that terminate, are truncated, reach the time limit or are told to restart.

        Args:
            a: actions in [-1, 1], ``[E, A]``.
            restart: whether an episode restarts in any case, ``[E]``; as at a time limit, it does not terminate.

        Returns:
            The transitions ``[E]``, arrays of numpy, and which of them were their episode's last, ``[E]``.
        """
        count, a = len(self._instances), np.asarray(a, np.float32)  # as it is stored, and taken again
        r, discount = np.zeros(count, np.float32), np.ones(count, np.float32)
        over = np.array(np.broadcast_to(restart, count))
        before, after = self.observations.copy(), np.zeros_like(self.observations)
        for place in range(count):
            r[place], terminated, ended = self._step(place, a[place])
            over[place] |= ended
            discount[place] = 1.0 - terminated
            after[place] = self.observations[place]
            if over[place]:
                self._start_next(place)
        rows: tuple[Any, ...] = (before, a, r, discount, after)
        return Transition(*rows), over

    def _step(self, place: int, a: np.ndarray) -> tuple[float, bool, bool]:
        """The reward, whether the episode terminated, and whether it is over."""
        instance = self._instances[place]
        self._actions[place, instance.steps] = a
        self.observations[place], reward, terminated, truncated = instance.step(a)
        return reward, terminated, terminated or truncated or instance.steps >= self._length

    def close(self) -> None:
        """Frees what the environments hold."""
        for instance in self._instances:
            instance.close()

    def record(self) -> Recording:
        """The episodes as they can be stored."""
        steps = np.array([instance.steps for instance in self._instances], np.int32)
        arrays = (self._key, self._counts, steps, self._actions, self.observations)
        return Recording(*(array.copy() for array in arrays))

    def restore(self, recording: Recording) -> list[int]:
        """Brings the episodes to where they were recorded, by their seeds and actions.

        Args:
            recording: of as many episodes of the same length.

        Returns:
            The places where the environment did not come to the same observation again: there the next episode starts.
        """
        recording = Recording(*(np.array(array) for array in recording))
        self._key, self._counts = recording.key, recording.counts
        return [place for place in range(len(self._instances)) if not self._repeat(place, recording)]

    def _repeat(self, place: int, recording: Recording) -> bool:
        self._start(place)
        over = False
        for a in recording.actions[place, : recording.steps[place]]:
            _, _, over = self._step(place, a)
            if over:  # it was not when it was recorded
                break
        if not over and np.array_equal(self.observations[place], recording.observations[place]):
            return True
        self._start_next(place)
        return False


def play(
    instances: Sequence[Instance], policy: Callable[[int, np.ndarray], np.ndarray], seeds: Sequence[int], length: int
) -> tuple[np.ndarray, np.ndarray]:
    """One whole episode in each instance.

    Args:
        instances: E of them.
        policy: ``(step, observations[E, S]) -> actions[E, A]``, of all episodes at once.
        seeds: of the episodes, ``[E]``.
        length: time limit in steps.

    Returns:
        Their undiscounted returns and their lengths, ``[E]``.
    """
    observations = np.stack([instance.reset(seed) for instance, seed in zip(instances, seeds, strict=True)])
    returns, lengths = np.zeros(len(instances), np.float32), np.zeros(len(instances), np.float32)
    going_on = list(range(len(instances)))
    for step in range(length):
        if not going_on:
            break
        a = policy(step, observations)
        for place in list(going_on):
            observations[place], reward, terminated, truncated = instances[place].step(a[place])
            returns[place] += reward
            lengths[place] += 1
            if terminated or truncated:
                going_on.remove(place)
    return returns, lengths
