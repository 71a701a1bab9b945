"""Every gin file: it configures a run that traces, and the default method is that of the library's defaults."""

import dataclasses
import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gin
from agents import gin_names, gin_private
from agents.gin_sources import ROOT
from sobolev.agent import AgentConfig
from sobolev.environments import HostEnv
from sobolev.gradient_scales import Balanced
from sobolev.training import Job, TrainConfig
from sobolev.types import Transition

Configure = Callable[[list[str], list[str]], Job]
Small = Callable[..., str]


def names_of(pattern: str) -> list[str]:
    return sorted(str(path.relative_to(ROOT)) for path in ROOT.glob(pattern) if path.name != "base.gin")


@pytest.mark.parametrize("method", names_of("gin/*.gin"))
def test_every_method_traces(method: str, configure: Configure, small: Small) -> None:
    """Its update (as parts are put together), diagnostics and policy; the loop around them is one for all."""
    config, env, agent = configure([small(method, "gin/envs/point_mass.gin")], [])
    state = jax.eval_shape(agent.init, jax.random.key(0))
    s, a, rows = jnp.zeros((5, 4)), jnp.zeros((5, 2)), jnp.zeros(5)
    diagnosed = jax.eval_shape(agent.diagnose, state, jax.random.key(0), Transition(s, a, rows, rows, s))
    assert bool(diagnosed) == agent.parts.world_model.differentiable
    assert jax.eval_shape(agent.act, state.params.actor, jax.random.key(0), s[0]).shape == (env.action_size,)
    assert f"agent.gradient = '{config.agent.gradient}'" in gin_names.operative_config()


@pytest.mark.parametrize(
    "setting", [name for folder in ("noise", "scale", "schedules", "envs") for name in names_of(f"gin/{folder}/*.gin")]
)
def test_every_setting_goes_with_a_method(setting: str, configure: Configure, small: Small) -> None:
    method = "gin/td3.gin" if "/envs/" in setting else "gin/msmmd_cvae.gin"
    config, env, agent = configure([small(method, setting)], [])
    assert config.loop.updates >= 1
    params = jax.eval_shape(lambda key: agent.init(key).params.actor, jax.random.key(0))
    s = jnp.zeros(agent.parts.spec.state_size)
    assert jax.eval_shape(agent.act, params, jax.random.key(0), s).shape == (env.action_size,)
    if isinstance(env, HostEnv):
        return
    shapes = jax.eval_shape(env.reset, jax.random.key(0))
    assert shapes.obs.shape == s.shape
    if "/noise/" in setting:
        after = jax.eval_shape(env.step, shapes, jnp.zeros(env.action_size))
        assert [path for path, _ in jax.tree.leaves_with_path(after)] == [
            path for path, _ in jax.tree.leaves_with_path(shapes)
        ]


def test_base_alone_lacks_a_method(configure: Configure) -> None:
    with pytest.raises(gin_names.ConfigError, match=r"agent\.metric and agent\.gradient .*gin/\*\.gin"):
        configure(["gin/base.gin"], [])


def test_later_files_and_bindings_win(tiny: Any, tmp_path: Any, configure: Configure) -> None:
    later = tmp_path / "later.gin"
    later.write_text("agent.num_samples = 4\nagent.gamma = 0.5\n")
    config = configure([str(tiny), str(later)], ["agent.gamma = 0.25"]).config
    assert (config.agent.num_samples, config.agent.gamma, config.agent.batch_size) == (4, 0.25, 8)


@pytest.mark.parametrize(
    ("binding", "part"),
    [
        ("agent.metric = @metrics.mmd()", "metrics.mmd"),
        ("metrics.msmmd.kernel = @kernels.energy()", "kernels.energy"),
        ("train.environment = @environments.point_mass()", "environments.point_mass"),
        ("agent.critic = @critics.quantile", "critics.quantile"),
        ("agent.gradient = 'none'", "agent.gradient = 'none'"),
        ("agent.overestimation = @corrections.truncate_each()", "corrections.truncate_each"),
        ("agent.horizon = @horizons.geometric()", "horizons.geometric"),
        ("agent.critic_optimizer = @critic/optimizers.adamw()", "optimizers.adamw"),
        ("train.noise = @perturbations.additive_dynamics", "perturbations.additive_dynamics"),
    ],
)
def test_a_part_is_swapped_by_one_binding(binding: str, part: str, configure: Configure, small: Small) -> None:
    bindings = [binding, "critic/optimizers.adamw.learning_rate = 1e-3"] if "adamw" in part else [binding]
    configure([small("gin/msmmd_cvae.gin", "gin/noise/none.gin")], bindings)
    assert part in gin_names.operative_config()


@pytest.mark.parametrize(
    ("method", "num_samples"), [("tqc", 25), ("iqn", 10), ("td3", 1), ("sac", 1), ("huber_cvae", 1), ("dsdpg_2024", 50)]
)
def test_the_papers_sizes_leave_a_method_its_own_number_of_samples(method: str, num_samples: int) -> None:
    config = gin_names.load([f"gin/{method}.gin", "gin/scale/paper.gin"], [])
    assert (config.agent.num_samples, config.agent.batch_size) == (num_samples, 256)


@pytest.mark.parametrize(("method", "modern"), [("dsdpg_2024", False), ("dsdpg_2026", False), ("msmmd_cvae", True)])
def test_files_of_the_papers_have_plain_critics(method: str, modern: bool) -> None:
    _, options = factory_of(gin_names.load([f"gin/{method}.gin"], []).agent.critic)
    assert (options["layer_norm"], options["quadratic"]) == (modern, modern)


def test_large_gradients_have_no_quadratic_term_to_run_away_with() -> None:
    agent = gin_names.load(["gin/point_sobolev.gin"], []).agent
    _, options = factory_of(agent.critic)
    assert agent.gradient_scale == Balanced(share=3.0)
    assert (options["layer_norm"], options["quadratic"]) == (True, False)


@pytest.mark.parametrize("method", ["td3", "msmmd_cvae", "iqn", "tqc"])
def test_one_name_leaves_the_quadratic_term_out_of_every_critic(method: str) -> None:
    _, options = factory_of(gin_names.load([f"gin/{method}.gin"], ["quadratic = False"]).agent.critic)
    assert options["quadratic"] is False


@pytest.mark.parametrize(
    ("method", "delay", "smoothing"),
    [("td3", 2, 0.2), ("huber_cvae", 2, 0.2), ("sac", 1, 0.0), ("tqc", 1, 0.0), ("msmmd_cvae", 1, 0.0)],
)
def test_point_critics_alone_are_delayed_and_smoothed(method: str, delay: int, smoothing: float) -> None:
    agent = gin_names.load([f"gin/{method}.gin", "gin/envs/halfcheetah_v5.gin"], []).agent
    assert (agent.policy_delay, agent.target_noise) == (delay, smoothing)


def factory_of(value: Any) -> tuple[Any, dict[str, Any]]:
    """The function or class behind a factory and its arguments: those that gin or a partial binds, and the defaults."""
    function, bound = (value.func, value.keywords) if isinstance(value, partial) else (value, {})
    for selector in gin_private.selectors():
        if gin.get_configurable(selector) is value:
            function, bound = gin_private.registered(selector), gin.get_bindings(selector)
    defaults = {name: parameter.default for name, parameter in inspect.signature(function).parameters.items()}
    return function, defaults | bound


def steps_of(optimizer: optax.GradientTransformation, count: int = 4) -> np.ndarray:
    """The changes that an optimizer makes of some gradients, near the start and far beyond."""
    params = jnp.array([1.0, -2.0])

    @jax.jit
    def changes(skipped: jax.Array) -> jax.Array:
        state = optimizer.init(params)
        state = jax.tree.map(lambda x: x + skipped if jnp.issubdtype(x.dtype, jnp.integer) else x, state)
        steps = []
        for i in range(count):
            step, state = optimizer.update(jnp.array([0.5, i - 1.0]), state, params)
            steps.append(step)
        return jnp.stack(steps)

    return np.concatenate([changes(jnp.int32(skipped)) for skipped in (0, 34_000, 70_000)])


def test_default_method_is_that_of_the_library() -> None:
    config, default = gin_names.load(["gin/msmmd_cvae.gin"], []), TrainConfig()
    pairs: list[tuple[Any, Any]] = [(config, default), (config.agent, default.agent)]
    for of_gin, of_library in pairs:
        for field in dataclasses.fields(of_library):
            value, expected = getattr(of_gin, field.name), getattr(of_library, field.name)
            if isinstance(value, AgentConfig):
                continue
            if field.name in ("world_model", "critic", "actor"):
                assert factory_of(value) == factory_of(expected), field.name
            elif field.name.endswith("_optimizer"):
                np.testing.assert_array_equal(steps_of(value), steps_of(expected), err_msg=field.name)
            elif field.name == "environment":
                assert type(value) is type(expected)
                jax.tree.map(np.testing.assert_array_equal, vars(value), vars(expected))
            elif field.name == "overestimation":
                assert of_gin.correction == of_library.correction
            else:
                assert value == expected, field.name
