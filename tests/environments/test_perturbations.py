"""The perturbations against the environments that they wrap."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from brax.envs.base import Env, State

from sobolev.environments import LQR, make_brax, make_gymnasium, perturbations, registry
from sobolev.environments.perturbations import AdditiveDynamics, MultiplicativeObservation, RewardLottery, driven
from sobolev.environments.point_mass import PointMass

ACTIONS = jnp.array([[0.5, -0.5], [1.0, 0.2], [-0.3, 0.9], [0.0, 0.0]])


def roll(env: Env, state: State) -> list[State]:
    step = jax.jit(env.step)
    states = [state]
    for a in ACTIONS:
        states.append(step(states[-1], a))
    return states


def bare_and_noisy(perturbation: str, **numbers: float) -> tuple[list[State], list[State]]:
    """The same steps, from the same key of the environment, without and with the perturbation."""
    bare, key = PointMass(), jax.random.key(5)
    noisy = perturbations.registry.make(perturbation, bare, **numbers)
    _, key_env = jax.random.split(key)
    return roll(bare, bare.reset(key_env)), roll(noisy, noisy.reset(key))


def test_hidden_state_is_that_without_the_observation_noise() -> None:
    for bare, noisy in zip(*bare_and_noisy("multiplicative_observation"), strict=True):
        np.testing.assert_array_equal(np.concatenate(noisy.pipeline_state), np.concatenate(bare.pipeline_state))
        assert float(noisy.reward) == float(bare.reward)
        assert float(noisy.done) == float(bare.done)


def test_observed_factors_are_within_the_bounds_and_all_different() -> None:
    env = MultiplicativeObservation(PointMass(), low=0.5, high=3.0)
    states = roll(env, env.reset(jax.random.key(0)))
    true = np.stack([np.concatenate(state.pipeline_state) for state in states])
    observed = np.stack([state.obs for state in states])
    np.testing.assert_array_equal(observed[0, 2:], 0.0)  # the start is at rest
    factors = np.concatenate([observed[0, :2] / true[0, :2], (observed[1:] / true[1:]).ravel()])
    assert np.all((factors >= 0.5 - 1e-5) & (factors <= 3.0 + 1e-5))
    assert len(np.unique(factors.round(5))) == factors.size


def test_factors_are_uniform() -> None:
    env = MultiplicativeObservation(PointMass(), low=0.8, high=1.2)
    states = jax.jit(jax.vmap(env.reset))(jax.random.split(jax.random.key(0), 5_000))
    factors = np.asarray(states.obs[:, :2] / states.pipeline_state.q)
    np.testing.assert_allclose(factors.mean(axis=0), 1.0, atol=0.01)
    np.testing.assert_allclose(factors.std(axis=0), 0.4 / np.sqrt(12), rtol=0.05)
    assert abs(np.corrcoef(factors.T)[0, 1]) < 0.06


def test_equal_bounds_scale_the_observation() -> None:
    for bare, noisy in zip(*bare_and_noisy("multiplicative_observation", low=2.0, high=2.0), strict=True):
        np.testing.assert_array_equal(noisy.obs, 2 * bare.obs)


def test_dynamics_noise_of_scale_zero_is_none() -> None:
    for bare, noisy in zip(*bare_and_noisy("additive_dynamics", scale=0.0), strict=True):
        np.testing.assert_allclose(noisy.obs, bare.obs, rtol=1e-5, atol=1e-6)
        assert float(noisy.reward) == pytest.approx(float(bare.reward), abs=1e-6)


def test_velocities_spread_by_the_scale_and_go_through_the_dynamics() -> None:
    scale, friction, dt = 0.4, 0.5, 0.2
    bare = PointMass(friction=friction, dt=dt)
    env = AdditiveDynamics(bare, scale=scale)
    state, a = env.reset(jax.random.key(0)), jnp.array([0.2, -0.4])

    def step(key: jax.Array) -> State:
        return env.step(state.replace(info={**state.info, "dynamics_noise_key": key}), a)

    body = jax.jit(jax.vmap(step))(jax.random.split(jax.random.key(1), 10_000)).pipeline_state
    without = bare.step(state, a).pipeline_state
    kicks = (np.asarray(body.qd) - np.asarray(without.qd)) / (1 - friction)
    np.testing.assert_allclose(kicks.std(axis=0), scale, rtol=0.04)
    np.testing.assert_allclose(kicks.mean(axis=0), 0.0, atol=5 * scale / 100)
    assert abs(np.corrcoef(kicks.T)[0, 1]) < 0.05
    np.testing.assert_allclose(np.asarray(body.q) - np.asarray(without.q), dt * (1 - friction) * kicks, atol=1e-5)


def test_dynamics_noise_is_fresh_each_step() -> None:
    bare, noisy = bare_and_noisy("additive_dynamics", scale=0.3)
    assert float(noisy[0].obs @ noisy[0].obs) == float(bare[0].obs @ bare[0].obs)
    env, without = AdditiveDynamics(PointMass(), scale=0.3), PointMass()
    kicks = []
    for before, a, after in zip(noisy, ACTIONS, noisy[1:], strict=False):
        kicks.append(np.asarray(after.pipeline_state.qd - without.step(before, a).pipeline_state.qd))
    assert len(np.unique(np.concatenate(kicks).round(5))) == 2 * len(ACTIONS)
    assert env.observation_size == 4


def test_dynamics_without_velocities_are_refused() -> None:
    class Still(Env):
        def reset(self, rng: jax.Array) -> State:
            raise NotImplementedError

        def step(self, state: State, action: jax.Array) -> State:
            raise NotImplementedError

        @property
        def observation_size(self) -> int:
            return 1

        @property
        def action_size(self) -> int:
            return 1

        @property
        def backend(self) -> str:
            return "none"

    with pytest.raises(ValueError, match=r"Still.*pipeline_init"):
        AdditiveDynamics(Still())


def test_velocity_noise_of_masses_goes_through_their_dynamics() -> None:
    """The step is linear: a kick of the velocities moves the state by the velocities' columns of F."""
    scale, bare = 0.4, LQR(num_masses=3, num_actuators=2)
    env, a = AdditiveDynamics(bare, scale=scale), jnp.array([0.2, -0.4])
    state = env.reset(jax.random.key(0))

    def step(key: jax.Array) -> State:
        return env.step(state.replace(info={**state.info, "dynamics_noise_key": key}), a)

    after = jax.jit(jax.vmap(step))(jax.random.split(jax.random.key(1), 10_000))
    columns = np.asarray(bare.task.F)[:, 3:]
    kicks = (np.asarray(after.obs) - np.asarray(bare.step(state, a).obs)) @ np.linalg.pinv(columns).T
    np.testing.assert_allclose(kicks.std(axis=0), scale, rtol=0.04)
    np.testing.assert_allclose(kicks.mean(axis=0), 0.0, atol=5 * scale / 100)
    np.testing.assert_allclose(np.concatenate(after.pipeline_state, axis=1), after.obs)


def test_a_lottery_pays_the_mean_and_leaves_the_state_alone() -> None:
    chance, draws = 0.2, 20_000
    bare, env = LQR(num_masses=3, num_actuators=2), RewardLottery(LQR(num_masses=3, num_actuators=2), chance)
    state, a = env.reset(jax.random.key(0)), jnp.array([0.2, -0.4])

    def step(key: jax.Array) -> State:
        return env.step(state.replace(info={**state.info, "lottery_key": key}), a)

    after, without = jax.jit(jax.vmap(step))(jax.random.split(jax.random.key(1), draws)), bare.step(state, a)
    prizes, reward = np.asarray(after.reward), float(without.reward)
    np.testing.assert_allclose(np.unique(prizes), sorted({0.0, reward / chance}), rtol=1e-5)
    # A share of Bernoulli draws has deviation sqrt(chance (1 - chance) / draws).
    assert np.mean(prizes != 0) == pytest.approx(chance, abs=5 * np.sqrt(chance * (1 - chance) / draws))
    np.testing.assert_array_equal(after.obs, np.broadcast_to(without.obs, after.obs.shape))
    assert env.simulator is None


def test_a_lottery_is_drawn_anew_at_each_step_and_episode() -> None:
    env = RewardLottery(LQR(num_masses=2, num_actuators=1), chance=0.5)

    def won(key: jax.Array) -> jax.Array:
        def step(state: State, _: None) -> tuple[State, jax.Array]:
            state = env.step(state, jnp.zeros(1))
            return state, state.reward != 0

        return jax.lax.scan(step, env.reset(key), None, length=400)[1]

    of_episodes = np.asarray(jax.jit(jax.vmap(won))(jax.random.split(jax.random.key(0), 3)), float)
    correlations = np.corrcoef(np.concatenate([of_episodes, of_episodes[:, np.arange(-1, 399)]]))
    np.testing.assert_allclose(correlations, np.eye(6), atol=5 / np.sqrt(400))


def test_a_sure_prize_is_the_reward() -> None:
    for bare, noisy in zip(*bare_and_noisy("reward_lottery", chance=1.0), strict=True):
        assert float(noisy.reward) == float(bare.reward)
        np.testing.assert_array_equal(noisy.obs, bare.obs)


def test_a_lottery_of_an_environment_on_the_host_is_refused() -> None:
    with pytest.raises(ValueError, match=r"RewardLottery.*on the host"):
        perturbations.reward_lottery(make_gymnasium("Pendulum-v1"))


def test_wrong_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match=r"low.*high.*2\.0.*1\.0"):
        MultiplicativeObservation(PointMass(), low=2.0, high=1.0)
    with pytest.raises(ValueError, match=r"scale.*-0\.1"):
        AdditiveDynamics(PointMass(), scale=-0.1)
    for chance in (0.0, 1.5, float("nan")):
        with pytest.raises(ValueError, match=rf"chance.*{chance}"):
            RewardLottery(PointMass(), chance=chance)


def test_brax_reacher_takes_both_perturbations() -> None:
    bare = registry.get("brax")(name="reacher", backend="generalized")
    env = MultiplicativeObservation(AdditiveDynamics(bare, scale=0.1), low=0.8, high=1.2)

    def both(key: jax.Array) -> tuple[State, State]:
        state = env.reset(key)
        return state, env.step(state, jnp.full(env.action_size, 0.5))

    before, after = jax.jit(both)(jax.random.key(0))
    assert env.unwrapped is bare
    assert before.obs.shape == after.obs.shape == (11,)
    assert np.all(np.isfinite(after.obs))
    assert np.isfinite(float(after.reward))
    arm, target = np.split(np.asarray(after.pipeline_state.qd - before.pipeline_state.qd), 2)
    assert np.all(arm != 0)
    np.testing.assert_array_equal(target, 0.0)  # no actuator drives it: it stays at its place


@pytest.mark.parametrize(
    ("name", "still"),
    [
        ("reacher", [2, 3]),  # the target's two slides
        ("pusher", [7, 8, 9, 10]),  # the puck's and the goal's
        ("halfcheetah", []),  # its root has no motor, but joints with motors hang on it
    ],
)
def test_dynamics_noise_leaves_what_no_actuator_drives(name: str, still: list[int]) -> None:
    env = make_brax(name=name, backend="generalized")
    assert isinstance(env, Env)
    assert np.flatnonzero(driven(env) == 0).tolist() == still
    assert driven(env).shape == (env.sys.qd_size(),)
    assert driven(PointMass()).tolist() == [1.0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "reecher"}, r"'reecher'.*'reacher'"),
        ({"backend": "generalised"}, r"backend.*'generalised'.*'generalized'"),
    ],
)
def test_unknown_brax_names_are_refused(arguments: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        registry.make("brax", **arguments)
