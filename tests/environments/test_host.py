"""Gymnasium's environments on the host: episodes, how they are stored, misfits, and perturbations."""

import copy
import re
import sys
from collections.abc import Callable
from typing import Any

import gymnasium
import jax
import mujoco
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, Space
from gymnasium.wrappers import TimeLimit
from scipy import stats

from sobolev.environments import (
    HostEnv,
    MultiplicativeObservation,
    PointMass,
    additive_dynamics,
    make_gymnasium,
    multiplicative_observation,
    perturbations,
)
from sobolev.environments.host import HostEpisodes, play
from sobolev.environments.host_perturbations import ObservationFactors, VelocityNoise, driven
from sobolev.training import evaluate
from sobolev.types import Transition

LOW, HIGH = np.array([-3.0, 0.0], np.float32), np.array([1.0, 5.0], np.float32)
KEY = np.array([3, 14], np.uint32)

MUJOCO = sorted(
    name for name, spec in gymnasium.registry.items() if "envs.mujoco" in str(spec.entry_point) and spec.version == 5
)
TASKS = [*MUJOCO, "dm_control/cheetah-run-v0", "dm_control/fish-swim-v0"]


class Stranger(gymnasium.Env):
    """Observes its random start, its steps so far and the first action; pays the step times the second action."""

    def __init__(self, steps: int = 4, terminates: bool = False) -> None:
        self.steps, self.terminates = steps, terminates
        self.action_space: Space = Box(LOW, HIGH)
        self.observation_space: Space = Box(-np.inf, np.inf, (3,), np.float64)
        self.received: list[np.ndarray] = []
        self.count, self.start = 0, 0.0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.count, self.start = 0, self.np_random.uniform()
        return self.observe(0.0), {}

    def step(self, action: np.ndarray) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        self.received.append(action)
        self.count += 1
        over = self.count == self.steps
        reward = self.count * float(action[1])
        return self.observe(action[0]), reward, over and self.terminates, over and not self.terminates, {}

    def observe(self, a: Any) -> Any:
        return np.array([self.start, self.count, a])


def walk(episodes: HostEpisodes, actions: np.ndarray) -> tuple[Transition, np.ndarray]:
    """Steps by ``actions[T, E, A]``: transitions and ends, ``[T, E]``."""
    rows = [episodes.step(a) for a in actions]
    transitions, last = zip(*rows, strict=True)
    return Transition(*(np.stack(field) for field in zip(*transitions, strict=True))), np.stack(last)


def walked(make: Callable[[], gymnasium.Env], steps: int, length: int = 100) -> tuple[Transition, np.ndarray]:
    """Two places side by side, by actions of zero."""
    return walk(HostEpisodes(HostEnv(make), 2, length, KEY), np.zeros((steps, 2, 2)))


def uniform(env: HostEnv, steps: int, count: int) -> np.ndarray:
    """Actions ``[steps, count, A]``, float64 on purpose."""
    return np.random.default_rng(0).uniform(-1.0, 1.0, (steps, count, env.action_size))


def task(name: str) -> HostEnv:
    if not name.startswith("dm_control/"):
        return make_gymnasium(name)
    pytest.importorskip("shimmy")
    return make_gymnasium(name, flatten=True)


def assert_same(one: tuple[Transition, np.ndarray], other: tuple[Transition, np.ndarray]) -> None:
    """Bit for bit."""
    for name, x, y in zip((*Transition._fields, "last"), (*one[0], one[1]), (*other[0], other[1]), strict=True):
        np.testing.assert_array_equal(x, y, err_msg=name)


def test_actions_are_mapped_to_the_bounds() -> None:
    made: list[Stranger] = []

    def make() -> Stranger:
        made.append(Stranger(steps=9))
        return made[-1]

    walk(HostEpisodes(HostEnv(make), 1, 9, KEY), np.array([[[-1, -1]], [[0, 0]], [[1, 1]], [[1.7, 1.7]], [[-9, 0.5]]]))
    received = made[-1].received
    np.testing.assert_array_equal(received, [[-3, 0], [-1, 2.5], [1, 5], [1, 5], [-3, 3.75]])
    assert {a.dtype for a in received} == {np.dtype(np.float32)}


def test_extreme_actions_are_the_bounds_to_the_last_bit() -> None:
    bounds = np.sort(np.random.default_rng(0).normal(size=(2, 500)).astype(np.float32), axis=0)

    class Awkward(Stranger):
        def __init__(self) -> None:
            super().__init__()
            self.action_space = Box(bounds[0], bounds[1])

    env = HostEnv(Awkward)
    for sign, bound in zip((-1.0, 1.0), bounds, strict=True):
        np.testing.assert_array_equal(env.to_bounds(np.full(500, sign)), bound)


def test_environment_receives_the_actions_that_are_stored() -> None:
    made: list[Stranger] = []

    def make() -> Stranger:
        made.append(Stranger(steps=99))
        return made[-1]

    env = HostEnv(make)
    episodes = HostEpisodes(env, 1, 99, KEY)
    actions = uniform(env, 20, 1)
    seen, _ = walk(episodes, actions)
    np.testing.assert_array_equal(seen.a, actions.astype(np.float32))
    np.testing.assert_array_equal(made[-1].received, [env.to_bounds(a) for a in seen.a[:, 0]])
    np.testing.assert_array_equal(episodes.record().actions[0, :20], seen.a[:, 0])


@pytest.mark.parametrize(
    ("make", "length"),
    [
        (Stranger, 100),
        (lambda: TimeLimit(Stranger(steps=99), 4), 100),
        (lambda: Stranger(steps=99), 4),
    ],
    ids=["its own", "of gymnasium", "of the loop"],
)
def test_truncation_keeps_the_final_observation_and_the_bootstrap(
    make: Callable[[], gymnasium.Env], length: int
) -> None:
    seen, last = walked(make, 10, length)
    np.testing.assert_array_equal(seen.s[:, :, 1], np.tile([[0], [1], [2], [3], [0], [1], [2], [3], [0], [1]], 2))
    np.testing.assert_array_equal(seen.s_next[:, :, 1], seen.s[:, :, 1] + 1)
    np.testing.assert_array_equal(seen.s_next[:, :, 0], seen.s[:, :, 0])
    np.testing.assert_array_equal(seen.s_next[:, :, 2], -1.0)  # the middle of [-3, 1]
    np.testing.assert_array_equal(seen.r, 2.5 * (seen.s[:, :, 1] + 1))
    np.testing.assert_array_equal(seen.discount, 1.0)
    np.testing.assert_array_equal(last, seen.s_next[:, :, 1] == 4)


@pytest.mark.parametrize("length", [100, 4], ids=["early", "at the time limit"])
def test_termination_keeps_the_final_observation_and_cuts_the_bootstrap(length: int) -> None:
    seen, last = walked(lambda: Stranger(terminates=True), 10, length)
    np.testing.assert_array_equal(seen.s_next[:, :, 1], np.tile([[1], [2], [3], [4], [1], [2], [3], [4], [1], [2]], 2))
    np.testing.assert_array_equal(last, seen.s_next[:, :, 1] == 4)
    np.testing.assert_array_equal(seen.discount, ~last)


def test_a_restart_is_no_termination() -> None:
    episodes = HostEpisodes(HostEnv(Stranger), 2, 100, KEY)
    before = episodes.observations.copy()
    seen, last = episodes.step(np.zeros((2, 2)), np.array([False, True]))
    np.testing.assert_array_equal(last, [False, True])
    np.testing.assert_array_equal(seen.discount, 1.0)
    np.testing.assert_array_equal(seen.s_next[:, :2], before[:, :2] + [0, 1])
    np.testing.assert_array_equal(episodes.observations[:, 1], [1, 0])
    assert episodes.observations[0, 0] == before[0, 0]
    assert episodes.observations[1, 0] != before[1, 0]
    seen, _ = episodes.step(np.zeros((2, 2)))
    np.testing.assert_array_equal(seen.s_next[:, 1], [2, 1])


def test_rows_are_float32() -> None:
    seen, last = walked(Stranger, 3)
    assert {x.dtype for x in seen} == {np.dtype(np.float32)}
    assert last.dtype == bool


def test_every_episode_of_every_place_has_a_start_of_its_own() -> None:
    seen, _ = walked(Stranger, 12)
    starts = seen.s[::4, :, 0]
    assert len(np.unique(starts)) == starts.size == 6
    np.testing.assert_array_equal(np.repeat(starts, 4, axis=0), seen.s[:, :, 0])


def test_episodes_end_one_by_one_and_leave_the_others_alone() -> None:
    class Some(Stranger):
        """Lasts 2 to 5 steps, by its start."""

        def observe(self, a: Any) -> Any:
            self.steps = 2 + int(4 * self.start)
            return super().observe(a)

    seen, last = walk(HostEpisodes(HostEnv(Some), 3, 100, KEY), np.zeros((40, 3, 2)))
    np.testing.assert_array_equal(last, seen.s_next[:, :, 1] == 2 + np.floor(4 * seen.s[:, :, 0]))
    assert np.any(last.sum(axis=1) == 1)
    for t in range(39):
        for place in range(3):
            assert np.array_equal(seen.s_next[t, place], seen.s[t + 1, place]) == (not last[t, place])


def test_same_key_same_episodes() -> None:
    env = HostEnv(Stranger)
    first, again, other = (HostEpisodes(env, 2, 9, np.array(key)) for key in ([3, 14], [3, 14], [3, 15]))
    actions = uniform(env, 9, 2)
    assert_same(walk(first, actions), walk(again, actions))
    walk(other, actions)
    assert not np.any(first.observations[:, 0] == other.observations[:, 0])


# Misfits.


class Seen(Stranger):
    """Has another observation from some step of its life on."""

    def __init__(self, observation: Any, space: Space | None = None, from_step: int = 0) -> None:
        super().__init__()
        self.observation, self.from_step = observation, from_step
        self.observation_space = space or self.observation_space

    def observe(self, a: Any) -> Any:
        return self.observation if self.count >= self.from_step else super().observe(a)


class Acted(Stranger):
    def __init__(self, space: Space) -> None:
        super().__init__()
        self.action_space = space


class Paid(Stranger):
    def step(self, action: np.ndarray) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        observation, _, *ends = super().step(action)
        return observation, np.nan if self.count == 2 else 1.0, *ends


PARTS = Dict({"arm": Box(-1.0, 1.0, (2,)), "leg": Box(-1.0, 1.0, (3,))})
IMAGE = Box(0, 255, (4, 5, 3), np.uint8)
NAN = np.array([0.0, np.nan, 0.0])


def one_message(act: Callable[[], Any]) -> str:
    """What the ValueError says, in one line."""
    with pytest.raises(ValueError, match=r"[a-z]") as caught:
        act()
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Seen({}, PARTS), r"Seen: observations are Dict\(.*wanted a Box of one dimension.*flatten=True"),
        (lambda: Seen(0, IMAGE), r"Seen: observations are Box\(.*\(4, 5, 3\).*wanted a Box of one .*flatten=True"),
        (lambda: Acted(Discrete(3)), r"Acted: actions are Discrete\(3\), wanted a Box .*finite bounds: wrap"),
        (
            lambda: Acted(Box(-1, 1, (2,), np.int64)),
            r"Acted: actions are Box\(-1, 1, .*int64\).*wrap",
        ),
        (lambda: Acted(Box(-1.0, np.inf, (2,))), r"Acted: actions are Box\(-1\.0, inf.*finite bounds: wrap"),
        (lambda: Acted(Box(-1.0, 1.0, (2, 2))), r"Acted: actions are Box\(.*\(2, 2\).*one dimension.*wrap"),
        (lambda: Seen(np.zeros(5)), r"Seen, first observation: got float64\[5\], wanted \[3\] numbers.*mend"),
        (lambda: Seen("abc"), r"Seen, first observation: got .*\[\], wanted \[3\] numbers.*mend"),
        (lambda: Seen(NAN), r"Seen, first observation: entry 1 is nan: mend"),
    ],
    ids=[
        "dictionary",
        "image",
        "discrete",
        "integers",
        "unbounded",
        "matrix of actions",
        "wrong length",
        "text",
        "nan",
    ],
)
def test_misfits_are_refused(make: Callable[[], gymnasium.Env], message: str) -> None:
    assert re.match(message, one_message(lambda: HostEnv(make)))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Seen(np.zeros(5), from_step=2), r"Seen, step 2 of an episode: got float64\[5\], wanted \[3\] .*mend"),
        (lambda: Seen(NAN, from_step=2), r"Seen, step 2 of an episode: entry 1 is nan: mend"),
        (Paid, r"Paid, step 2 of an episode: the reward is nan: mend"),
    ],
    ids=["length", "nan", "reward"],
)
def test_misfits_are_found_during_an_episode(make: Callable[[], gymnasium.Env], message: str) -> None:
    episodes = HostEpisodes(HostEnv(make), 2, 9, KEY)
    episodes.step(np.zeros((2, 2)))
    assert re.match(message, one_message(lambda: episodes.step(np.zeros((2, 2)))))


def test_a_start_that_is_not_finite_is_found_with_its_seed() -> None:
    class Late(Stranger):
        def observe(self, a: Any) -> Any:
            return NAN if self.start > 0.9 else super().observe(a)

    message = one_message(lambda: walked(Late, 400))
    seed = re.fullmatch(r"Late, first observation of the episode with seed (\d+): entry 1 is nan: mend.*", message)
    assert seed
    with pytest.raises(ValueError, match="entry 1 is nan"):
        HostEnv(Late).instance().reset(int(seed[1]))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"id": "HalfCheeta-v5"}, r"unknown Gymnasium environment 'HalfCheeta-v5'; did you mean 'HalfCheetah-v5'.*"),
        ({"id": "HalfCheetah-v99"}, r"unknown Gymnasium environment 'HalfCheetah-v99'; .*'HalfCheetah-v5'.*"),
        ({"id": "half cheetah"}, r"half cheetah: Malformed environment ID.*"),
        ({"id": "no_such_module:Task-v0"}, r"no_such_module:Task-v0: No module named 'no_such_module'.*"),
        ({"kwargs": {"gait": 1}}, r"HalfCheetah-v5: .*unexpected keyword argument 'gait'.*"),
        ({"id": "CartPole-v1"}, r"CartPole-v1: actions are Discrete\(2\), wanted a Box.*"),
    ],
    ids=["misspelt", "version", "malformed", "module", "keyword", "discrete"],
)
def test_wrong_names_and_arguments_are_refused(arguments: dict[str, Any], message: str) -> None:
    found = one_message(lambda: make_gymnasium(**arguments))
    assert re.fullmatch(message, found)
    assert len(found) < 400  # not all of the registry


@pytest.mark.parametrize("package", ["shimmy", "dm_control"])
def test_dm_control_without_its_packages_is_refused(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("shimmy")
    monkeypatch.setitem(sys.modules, package, None)
    message = one_message(lambda: make_gymnasium("dm_control/cheetah-run-v0", flatten=True))
    assert re.match(rf"dm_control/cheetah-run-v0: .*{package}.*: pip install .sobolev\[dm_control\].", message)


def test_a_dictionary_is_flattened(monkeypatch: pytest.MonkeyPatch) -> None:
    def make() -> gymnasium.Env:
        return Seen({"arm": np.array([1, 2], np.float32), "leg": np.array([3, 4, 5], np.float32)}, PARTS)

    monkeypatch.setitem(gymnasium.registry, "Parts-v0", gymnasium.envs.registration.EnvSpec("Parts-v0", make))
    env = make_gymnasium("Parts-v0", flatten=True)
    assert (env.name, env.observation_size) == ("Parts-v0", 5)
    np.testing.assert_array_equal(env.instance().reset(0), [1, 2, 3, 4, 5])


def test_arguments_reach_the_constructor() -> None:
    whole = make_gymnasium("HalfCheetah-v5", kwargs={"exclude_current_positions_from_observation": False})
    assert (make_gymnasium().observation_size, whole.observation_size) == (17, 18)


# Episodes that are stored.


def test_the_tasks_are_all_there() -> None:
    names = ["Ant", "HalfCheetah", "Hopper", "Humanoid", "HumanoidStandup", "InvertedDoublePendulum"]
    names += ["InvertedPendulum", "Pusher", "Reacher", "Swimmer", "Walker2d"]
    assert [f"{name}-v5" for name in names] == MUJOCO


def both(env: HostEnv) -> HostEnv:
    return multiplicative_observation(additive_dynamics(env, scale=0.05), low=0.9, high=1.1)


@pytest.mark.parametrize("noise", [lambda env: env, both], ids=["bare", "perturbed"])
@pytest.mark.parametrize("name", TASKS)
def test_restored_episodes_go_on_bit_for_bit(name: str, noise: Callable[[HostEnv], HostEnv]) -> None:
    env = noise(task(name))
    actions = uniform(env, 19, 2)
    episodes, others = HostEpisodes(env, 2, 7, KEY), HostEpisodes(env, 2, 7, KEY + 1)
    walk(episodes, actions[:11])  # in the middle of the second episode, or of a later one
    recording = episodes.record()
    assert np.all(recording.counts >= 1)
    assert np.any(recording.steps > 0)
    walk(others, actions[:3])
    assert np.any(others.observations != episodes.observations)
    assert others.restore(recording) == []
    np.testing.assert_array_equal(others.observations, episodes.observations)
    assert_same(walk(others, actions[11:]), walk(episodes, actions[11:]))
    for one, other in zip(others.record(), episodes.record(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_recording_is_what_the_episodes_were() -> None:
    env = HostEnv(Stranger)
    episodes, actions = HostEpisodes(env, 2, 9, KEY), uniform(env, 6, 2)
    walk(episodes, actions)
    recording = episodes.record()
    np.testing.assert_array_equal(recording.key, KEY)
    np.testing.assert_array_equal(recording.counts, [1, 1])
    np.testing.assert_array_equal(recording.steps, [2, 2])
    expected = np.zeros((2, 9, 2), np.float32)
    expected[:, :2] = np.swapaxes(actions[4:], 0, 1)
    np.testing.assert_array_equal(recording.actions, expected)
    np.testing.assert_array_equal(recording.observations[:, 1], 2)
    walk(episodes, actions)  # and stays it
    np.testing.assert_array_equal(recording.steps, [2, 2])
    np.testing.assert_array_equal(recording.observations[:, 1], 2)
    np.testing.assert_array_equal(recording.actions, expected)


class Drifting(Stranger):
    """Not a function of its seed where its start is above one half."""

    def observe(self, a: Any) -> Any:
        return super().observe(a) + (self.start > 0.5) * np.array([0.0, 0.0, np.random.default_rng().uniform(1, 2)])


def test_episodes_that_do_not_repeat_are_found_and_followed_by_others() -> None:
    env = HostEnv(Drifting)
    episodes = HostEpisodes(env, 5, 9, KEY)
    walk(episodes, uniform(env, 6, 5))
    before = episodes.record()
    drifting = np.flatnonzero(before.observations[:, 0] > 0.5)
    assert 0 < len(drifting) < 5
    others = HostEpisodes(env, 5, 9, KEY + 1)
    assert others.restore(before) == drifting.tolist()
    after = others.record()
    lost = np.isin(np.arange(5), drifting)
    np.testing.assert_array_equal(after.counts, before.counts + lost)
    np.testing.assert_array_equal(after.steps, np.where(lost, 0, 2))
    np.testing.assert_array_equal(after.observations[:, 1], np.where(lost, 0, 2))
    np.testing.assert_array_equal(after.observations[~lost], before.observations[~lost])
    assert not np.any(after.observations[lost, 0] == before.observations[lost, 0])
    np.testing.assert_array_equal(after.actions[lost], 0.0)


@pytest.mark.parametrize("steps", [1, 2], ids=["earlier", "at the last step"])
def test_episodes_that_end_otherwise_are_not_gone_on_with(steps: int) -> None:
    limit = [9]
    env = HostEnv(lambda: Stranger(steps=limit[0]))
    episodes = HostEpisodes(env, 2, 9, KEY)
    walk(episodes, np.zeros((2, 2, 2)))
    limit[0] = steps
    others = HostEpisodes(env, 2, 9, KEY)
    assert others.restore(episodes.record()) == [0, 1]
    np.testing.assert_array_equal(others.observations[:, 1], 0)


# Perturbations.


def test_factors_are_uniform_between_the_bounds_and_the_hidden_state_is_not_changed() -> None:
    bare = make_gymnasium("HalfCheetah-v5")
    env = perturbations.registry.make("multiplicative_observation", bare, low=0.8, high=1.3)
    actions = uniform(bare, 150, 2)
    (plain, ends), (noisy, noisy_ends) = (walk(HostEpisodes(e, 2, 60, KEY), actions) for e in (bare, env))
    np.testing.assert_array_equal(noisy.r, plain.r)
    np.testing.assert_array_equal(noisy_ends, ends)
    np.testing.assert_array_equal(noisy.s[1:60], noisy.s_next[:59])  # drawn once for each step
    factors = noisy.s_next.astype(float) / plain.s_next
    assert np.all((factors >= 0.8 - 1e-6) & (factors <= 1.3 + 1e-6))
    assert len(np.unique(factors.round(6))) > 0.97 * factors.size  # by components, steps and places
    # One draw in a thousand of a right generator is below; bounds that are wrong by 0.02 give 1e-7.
    assert stats.kstest(factors.ravel(), stats.uniform(0.8, 0.5).cdf).pvalue > 1e-3
    first = np.concatenate([noisy.s[t].astype(float) / plain.s[t] for t in (0, 60, 120)])
    assert np.all((first >= 0.8 - 1e-6) & (first <= 1.3 + 1e-6))
    assert len(np.unique(first.round(6))) == first.size


def test_equal_bounds_scale_the_observation() -> None:
    env, actions = HostEnv(Stranger), np.zeros((6, 2, 2))
    twice = multiplicative_observation(env, low=2.0, high=2.0)
    (plain, _), (noisy, _) = (walk(HostEpisodes(e, 2, 60, KEY), actions) for e in (env, twice))
    np.testing.assert_array_equal(noisy.s, 2 * plain.s)
    np.testing.assert_array_equal(noisy.s_next, 2 * plain.s_next)


def test_nested_perturbations_draw_independently() -> None:
    noise = VelocityNoise(gymnasium.make("InvertedPendulum-v5"), scale=0.1)
    env = ObservationFactors(ObservationFactors(noise, 0.8, 1.2), 0.8, 1.2)
    env.reset(seed=5)
    generators = [env.random, env.env.random, noise.random, env.unwrapped.np_random]  # type: ignore[attr-defined]
    draws = np.stack([copy.deepcopy(generator).random(400) for generator in generators])
    assert len(np.unique(draws)) == draws.size
    assert np.all(np.abs(np.corrcoef(draws) - np.eye(4)) < 0.2)


@pytest.mark.parametrize("name", TASKS)
def test_dynamics_noise_of_scale_zero_is_none(name: str) -> None:
    env = task(name)
    actions = uniform(env, 16, 2)
    bare, noisy = (HostEpisodes(e, 2, 9, KEY) for e in (env, additive_dynamics(env, scale=0.0)))
    assert_same(walk(noisy, actions), walk(bare, actions))


class Velocities(gymnasium.Wrapper):
    """Keeps the velocities before each step, which the noise around it has changed, and those that the step left."""

    def __init__(self, env: gymnasium.Env) -> None:
        super().__init__(env)
        self.kicks: list[np.ndarray] = []

    def qvel(self) -> np.ndarray:
        return self.unwrapped.data.qvel.copy()  # type: ignore[attr-defined]

    def reset(self, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        first = self.env.reset(**kwargs)
        self.before = self.qvel()
        return first

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        self.kicks.append(self.qvel() - self.before)
        found = self.env.step(action)
        self.before = self.qvel()
        return found


def kicks(name: str, scale: float, steps: int) -> np.ndarray:
    """What the noise has added to the velocities, ``[steps, QD]``."""
    recorder = Velocities(gymnasium.make(name))
    instance = HostEnv(lambda: VelocityNoise(recorder, scale)).instance()
    instance.reset(seed=1)
    for a in np.random.default_rng(0).uniform(-1.0, 1.0, (steps, recorder.action_space.shape[0])):  # type: ignore[index]
        instance.step(a)
    return np.stack(recorder.kicks)


def test_velocities_get_gaussian_noise_of_the_scale() -> None:
    scale = 0.3
    found = kicks("HalfCheetah-v5", scale, 900)
    assert found.shape == (900, 9)
    assert stats.kstest(found.ravel() / scale, stats.norm.cdf).pvalue > 0.05
    np.testing.assert_allclose(found.std(axis=0), scale, rtol=0.1)
    assert np.all(np.abs(np.corrcoef(found.T) - np.eye(9)) < 0.12)
    assert np.all(np.abs([np.corrcoef(x[1:], x[:-1])[0, 1] for x in found.T]) < 0.12)  # fresh at each step


@pytest.mark.parametrize(
    ("name", "still"),
    [
        ("Reacher-v5", [2, 3]),  # the target's two slides
        ("Pusher-v5", [7, 8, 9, 10]),  # the puck's and the goal's
        ("HalfCheetah-v5", []),  # its root has no motor, but joints with motors hang on it
    ],
)
def test_dynamics_noise_leaves_what_no_actuator_drives(name: str, still: list[int]) -> None:
    found = kicks(name, 0.1, 5)
    np.testing.assert_array_equal(found[:, still], 0.0)
    assert np.all(np.delete(found, still, axis=1) != 0)
    assert np.flatnonzero(driven(gymnasium.make(name).unwrapped.model) == 0).tolist() == still  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["HalfCheetah-v5", "dm_control/cheetah-run-v0"])
def test_a_perturbed_step_is_mujocos_step_from_the_perturbed_velocities(name: str) -> None:
    scale = 0.5
    env = VelocityNoise(task(name).make(), scale)
    env.reset(seed=4)
    bare, act = env.unwrapped, np.random.default_rng(0)
    for _ in range(3):
        env.step(act.uniform(-1.0, 1.0, 6).astype(np.float32))
    if name.startswith("dm_control/"):
        model, data, steps = bare.physics.model.ptr, bare.physics.data.ptr, bare._n_sub_steps  # type: ignore[attr-defined]
    else:
        model, data, steps = bare.model, bare.data, bare.frame_skip  # type: ignore[attr-defined]
    a = act.uniform(-1.0, 1.0, 6).astype(np.float32)
    expected = copy.copy(data)
    expected.qvel[:] += scale * copy.deepcopy(env.random).standard_normal(9)
    expected.ctrl[:] = a
    mujoco.mj_step(model, expected, nstep=steps)
    env.step(a)
    np.testing.assert_allclose(data.qvel, expected.qvel, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(data.qpos, expected.qpos, rtol=1e-9, atol=1e-9)


CARTS = """
<mujoco><option gravity="0 0 0"/><worldbody>
  <body><joint name="free" type="slide"/><geom size="0.1"/></body>
  <body pos="0 5 0"><joint name="driven" type="slide"/><geom size="{size}"/></body>
</worldbody><actuator><motor joint="driven" ctrlrange="-1 1"/></actuator></mujoco>
"""


class Carts(Stranger):
    """Two carts, one of them driven, whose model is compiled for each episode, as in some tasks of dm_control."""

    def __init__(self) -> None:
        super().__init__(steps=3)
        self.observation_space = Box(-np.inf, np.inf, (2,))
        self._compile()

    def _compile(self) -> None:
        self.model = mujoco.MjModel.from_xml_string(CARTS.format(size=0.1 + 0.1 * self.start))
        self.data = mujoco.MjData(self.model)

    def observe(self, a: Any) -> Any:
        if self.count == 0:
            self._compile()
        return self.data.qvel.copy()


def test_noise_enters_the_model_of_the_present_episode() -> None:
    seen, _ = walk(HostEpisodes(additive_dynamics(HostEnv(Carts), scale=0.2), 2, 9, KEY), np.zeros((7, 2, 2)))
    np.testing.assert_array_equal(seen.s[::3], 0.0)
    added = seen.s_next - seen.s
    np.testing.assert_array_equal(added[:, :, 0], 0.0)
    assert len(np.unique(added[:, :, 1])) == 14
    assert np.all(added[:, :, 1] != 0)


def test_environments_without_velocities_are_refused() -> None:
    message = one_message(lambda: additive_dynamics(make_gymnasium("Pendulum-v1"), scale=0.1))
    assert re.match(r"Pendulum-v1: .*no MuJoCo model.*: take an environment of MuJoCo", message)
    message = one_message(lambda: additive_dynamics(HostEnv(Stranger)))
    assert re.match(r"Stranger: .*no MuJoCo model", message)


def test_wrong_numbers_are_refused() -> None:
    for env in (HostEnv(Stranger), PointMass()):
        with pytest.raises(ValueError, match=r"low.*high.*2\.0.*1\.0"):
            multiplicative_observation(env, low=2.0, high=1.0)
        with pytest.raises(ValueError, match=r"scale.*-0\.1"):
            additive_dynamics(env, scale=-0.1)


# Whole episodes.


class Varied(Stranger):
    """Lasts 2 to 6 steps, by its start."""

    def observe(self, a: Any) -> Any:
        self.steps = 2 + int(5 * self.start)
        return super().observe(a)


SEEDS = [3, 5, 8, 13, 21]


def alone(seed: int, length: int) -> tuple[float, int]:
    """The return and the length of one episode, by the actions of ``policy``."""
    env, total = Varied(), 0.0
    observation, _ = env.reset(seed=seed)
    for step in range(length):
        second = np.clip(observation[0] - 0.1 * step, -1, 1)
        observation, reward, terminated, truncated, _ = env.step(np.array([-1.0, 2.5 * (second + 1)]))
        total += reward
        if terminated or truncated:
            return total, step + 1
    return total, length


def policy(step: int, observations: np.ndarray) -> np.ndarray:
    return np.stack([np.zeros(len(observations)), observations[:, 0] - 0.1 * step], axis=1)


@pytest.mark.parametrize("length", [100, 4])
def test_play_sums_rewards_to_the_end_of_each_episode(length: int) -> None:
    env = HostEnv(Varied)
    instances = [env.instance() for _ in SEEDS]
    returns, lengths = play(instances, policy, SEEDS, length)
    expected = [alone(seed, length) for seed in SEEDS]
    np.testing.assert_allclose(returns, [total for total, _ in expected], rtol=1e-5)
    np.testing.assert_array_equal(lengths, [steps for _, steps in expected])
    assert len(set(lengths)) > 2
    again, _ = play(instances, policy, SEEDS, length)
    np.testing.assert_array_equal(again, returns)
    other, _ = play(instances, policy, [seed + 1 for seed in SEEDS], length)
    assert not np.any(other == returns)


def test_action_that_is_not_finite_is_the_agents_fault() -> None:
    env = HostEnv(lambda: gymnasium.make("Pendulum-v1"))
    with pytest.raises(ValueError, match=r"Pendulum-v1: the policy's action is \[nan\].*learning rates"):
        env.to_bounds(np.array([np.nan]))


def test_wrappers_of_the_device_refuse_the_host() -> None:
    env = HostEnv(lambda: gymnasium.make("Pendulum-v1"))
    with pytest.raises(ValueError, match=r"MultiplicativeObservation.*Pendulum-v1.*wrapped"):
        MultiplicativeObservation(env)


def test_closed_episodes_close_their_environments() -> None:
    closed: list[int] = []

    class Closing(gymnasium.Wrapper):
        def close(self) -> None:
            closed.append(1)
            super().close()

    episodes = HostEpisodes(HostEnv(lambda: Closing(gymnasium.make("Pendulum-v1"))), 3, 5, np.zeros(2))
    before = len(closed)
    episodes.close()
    assert len(closed) - before == 3


def test_evaluation_on_the_device_refuses_the_host() -> None:
    env = make_gymnasium("Pendulum-v1")
    with pytest.raises(ValueError, match=r"evaluate.*Pendulum-v1.*host\.play"):
        evaluate(env, lambda key, s: s, jax.random.key(0), 2, 3)
