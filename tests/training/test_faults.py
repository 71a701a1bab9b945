"""What is not finite: where an update says so, what the loop does about it, and how a run ends."""

import dataclasses
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from brax.envs.base import Env, State, Wrapper

from sobolev import metrics
from sobolev.agent import Agent, example_batch, first_of, make_agent
from sobolev.agent.faults import PLACES
from sobolev.environments import PointMass
from sobolev.training import TrainConfig, checkpoint, loop, train
from sobolev.training.faults import DivergedError
from sobolev.training.loop import LoopConfig, TrainingState
from sobolev.types import Array, Spec, Transition
from tests.helpers import assert_same, tiny_agent

Make = Callable[..., TrainConfig]
SPEC = Spec(4, 2)


@dataclasses.dataclass(frozen=True)
class NanMetric(metrics.Metric):
    """A loss, or a gradient alone, that is nan."""

    of_gradient: bool

    def __call__(self, key: Array, x: Array, y: Array, levels: Array | None = None) -> Array:
        loss = metrics.MMD()(key, x, y)
        return loss + jnp.sum(jnp.sqrt(x[0, 0] - x[0, 0])) if self.of_gradient else loss * jnp.nan


def place_of(batch: Transition | None = None, **changes: Any) -> str:
    """What an update finds that is not finite."""
    agent = make_agent(tiny_agent(batch_size=3, actor_start=0, policy_delay=1, **changes), SPEC)
    batch = first_of(example_batch(SPEC, 3)) if batch is None else batch
    fault = int(jax.jit(agent.update)(agent.init(jax.random.key(0)), batch)[1]["fault"])
    return PLACES[fault - 1] if fault else "nothing"


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({}, "nothing"),
        ({"metric": NanMetric(of_gradient=False)}, "critics' loss"),
        ({"metric": NanMetric(of_gradient=True)}, "critics' gradient"),
        ({"critic_optimizer": optax.sgd(jnp.inf)}, "critics' gradient"),
        ({"critic_optimizer": optax.chain(optax.scale(1e25), optax.adam(1e-3))}, "critics' gradient"),  # its squares
        ({"actor_optimizer": optax.sgd(jnp.nan)}, "actor's gradient"),
        ({"world_model_optimizer": optax.sgd(jnp.nan)}, "world model's gradient"),
    ],
)
def test_an_update_names_the_first_place_that_is_not_finite(changes: dict[str, Any], place: str) -> None:
    assert place_of(**changes) == place


@pytest.mark.parametrize(
    ("field", "place"), [("s", "observation"), ("s_next", "observation"), ("a", "action"), ("r", "reward")]
)
@pytest.mark.parametrize("value", [jnp.nan, -jnp.inf])
def test_a_batch_is_looked_at_first(field: str, place: str, value: float) -> None:
    batch = example_batch(SPEC, 3)
    wrong = getattr(batch, field).at[(1,) * getattr(batch, field).ndim].set(value)
    assert place_of(batch._replace(**{field: wrong})) == place


def test_an_actor_that_waits_is_no_fault() -> None:
    agent = make_agent(tiny_agent(batch_size=3, actor_start=5), SPEC)
    _, scalars = jax.jit(agent.update)(agent.init(jax.random.key(0)), example_batch(SPEC, 3))
    assert np.isnan(scalars["actor_loss"])
    assert int(scalars["fault"]) == 0


LOOP = LoopConfig(
    num_envs=2,
    updates=3,
    batch_size=4,
    episode_length=5,
    restart_probability=0.0,
    warmup_steps=8,
    warmup_updates=3,
    replay_capacity=40,
)


def failing(at: tuple[int, ...]) -> Agent:
    """An agent that counts in its actor's parameters, and whose updates of these numbers are not finite."""
    agent = make_agent(tiny_agent(batch_size=4), SPEC)

    def update(state: Any, batch: Transition) -> tuple[Any, dict[str, Array]]:
        fails = jnp.any(state.step == jnp.array(at))
        counted = jax.tree.map(lambda x: jnp.where(fails, jnp.nan, x + 1), state.params.critics)
        state = state._replace(params=state.params._replace(critics=counted), key=jax.random.fold_in(state.key, 1))
        return state._replace(step=state.step + 1), {"step": state.step * 1.0, "fault": jnp.where(fails, 8, 0)}

    return agent._replace(update=update)


def learned(at: tuple[int, ...], non_finite: Any, iterations: int = 3) -> tuple[TrainingState, TrainingState]:
    """The states after the warm-up and after so many iterations."""
    env, agent, config = PointMass(num_locations=1), failing(at), LOOP._replace(non_finite=non_finite)
    advance = jax.jit(partial(loop.advance, env, agent, config))
    fit_normalizers = jax.jit(partial(loop.fit_normalizers, agent, config))
    start = jax.jit(partial(loop.init, env, agent, config))(jax.random.key(0))
    warm = loop.warm_up(config, start, fit_normalizers, advance)
    return warm, advance(warm, jnp.int32(iterations), loop.LEARN)


def count(state: TrainingState, start: TrainingState) -> float:
    """The updates that have taken place."""
    pairs = zip(*(jax.tree.leaves(x.agent.params.critics) for x in (state, start)), strict=True)
    (difference,) = {float(jnp.mean(x - y)) for x, y in pairs}
    return difference


def test_halt_keeps_the_agent_as_it_was_before_the_first() -> None:
    warm, state = learned((7, 9), "halt")
    assert int(state.agent.step) == 7
    assert count(state, warm) == pytest.approx(7 - 3)
    assert int(state.env_steps) == 8 + 3 * 2
    fault = state.fault
    assert (int(fault.total), int(fault.place), int(fault.updates), int(fault.env_steps)) == (1, 8, 7, 12)
    assert bool(fault.in_update)
    recorded = np.asarray(state.replay.data.s[:14])
    assert all(np.any(np.all(row == recorded, axis=1)) for row in np.asarray(first_of(fault.batch).s))
    assert_same(state.agent, learned((7,), "halt", iterations=2)[1].agent)


def test_skip_leaves_out_those_alone_and_counts_them() -> None:
    warm, state = learned((7, 9), "skip")
    assert int(state.agent.step) == 12
    assert count(state, warm) == pytest.approx(12 - 3 - 2)
    assert (int(state.fault.total), int(state.fault.updates)) == (2, 7)
    told = [step for step in range(12) if step not in (7, 9)]
    assert float(state.totals.means()["step"]) == pytest.approx(np.mean(told))


def test_without_a_fault_both_are_the_same() -> None:
    assert_same(learned((), "halt")[1], learned((), "skip")[1])
    assert int(learned((), "halt")[1].fault.total) == 0


class Broken(Wrapper):
    """An environment whose reward is not finite at one step of each episode."""

    def __init__(self, env: Env, at: int) -> None:
        super().__init__(env)
        self.at = at

    def reset(self, rng: Array) -> State:
        state = self.env.reset(rng)
        return state.replace(info={**state.info, "steps_so_far": jnp.int32(0)})

    def step(self, state: State, action: Array) -> State:
        steps = state.info["steps_so_far"] + 1
        state = self.env.step(state, action)
        reward = jnp.where(steps == self.at, jnp.nan, state.reward)
        return state.replace(reward=reward, info={**state.info, "steps_so_far": steps})


class Fragile(Wrapper):
    """An environment whose observation is not finite after a large action, as none is of a new policy."""

    def step(self, state: State, action: Array) -> State:
        state = self.env.step(state, action)
        return state.replace(obs=state.obs * jnp.where(jnp.max(jnp.abs(action)) > 0.8, jnp.inf, 1.0))


def test_an_environment_that_breaks_ends_the_run_at_the_step(tiny: Make, tmp_path: Path) -> None:
    said = r"seed 4, environment step \d+: the environment's observation is not finite"
    with pytest.raises(DivergedError, match=said) as caught:
        train(tiny(environment=Fragile(PointMass(num_locations=2)), num_seeds=2, seed=4), tmp_path)
    assert "train.non_finite = 'skip'" in str(caught.value)
    assert "no checkpoint yet" in str(caught.value)


def test_an_evaluation_that_is_not_finite_ends_the_run(tiny: Make, tmp_path: Path) -> None:
    env = Broken(PointMass(num_locations=2), at=12)
    with pytest.raises(DivergedError, match=r"seed 0, environment step 8: the return of an evaluation"):
        train(tiny(environment=env, episode_length=15), tmp_path)


def test_rare_rewards_that_are_not_finite_can_be_skipped(tiny: Make, tmp_path: Path) -> None:
    env = Broken(PointMass(num_locations=2), at=6)
    config = tiny(environment=env, episode_length=7, non_finite="skip", eval_every=20)
    run = train(config, tmp_path)
    fault = checkpoint.read(tmp_path / "checkpoints" / "40.npz")[".fault.total"]
    assert fault == run.rows[-1]["train/non_finite"]
    assert 0 < run.rows[-1]["train/non_finite"] < 40
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line, parse_constant=pytest.fail) for line in lines] == run.rows
    assert "eval/return" not in run.rows[-1]  # its episodes have such a reward too
    halting = dataclasses.replace(config, non_finite="halt", total_steps=60)
    with pytest.raises(DivergedError, match="environment step 4"):  # the next one, and not what was skipped
        train(halting, tmp_path, resume=True)


def test_a_warm_up_to_which_normalizers_cannot_be_fitted_ends_the_run(tiny: Make, tmp_path: Path) -> None:
    env = Broken(PointMass(num_locations=2), at=2)
    with pytest.raises(DivergedError, match="seed 0: normalizers cannot be fitted to the warm-up"):
        train(tiny(environment=env, non_finite="skip"), tmp_path)


def test_an_update_that_diverges_keeps_the_last_finite_checkpoint_and_what_repeats_it(
    tiny: Make, tmp_path: Path
) -> None:
    steps = optax.piecewise_constant_schedule(1e-3, {20: 1e30})
    agent = dataclasses.replace(tiny().agent, critic_optimizer=optax.sgd(steps), batch_size=5)
    with pytest.raises(DivergedError, match=r"seed 5, .*update 2\d: the .* is not finite") as caught:
        train(tiny(agent=agent, seed=5), tmp_path)
    assert caught.value.update == tmp_path / "faults" / "seed5"
    kept = checkpoint.newest(tmp_path / "checkpoints")
    assert kept is not None
    assert str(kept) in str(caught.value)
    assert all(np.all(np.isfinite(x)) for x in checkpoint.read(kept).values() if x.dtype.kind == "f")
    path = checkpoint.newest(tmp_path / "faults" / "seed5")
    assert path is not None
    built = make_agent(agent, Spec(4, 2))
    template = {"agent": jax.eval_shape(built.init, jax.random.key(0)), "batch": example_batch(Spec(4, 2), 5)}
    stored = checkpoint.restore(path, template)
    assert int(stored["agent"].step) == int(path.stem)
    assert int(jax.jit(built.update)(stored["agent"], stored["batch"])[1]["fault"]) > 0


def test_what_follows_is_one_of_two(tiny: Make) -> None:
    with pytest.raises(ValueError, match=r"train\.non_finite 'stop'.*halt, skip"):
        tiny(non_finite="stop")
