"""A part of one's own: a metric of a few lines, checked and then trained with in the place of a library's one.

The metric compares each column of the joint samples by itself, the return and every component of its gradient, by the
energy distance on the line, which sorting gives in n log n. It does not see how the columns go together.

python examples/plug_in_a_part.py
"""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp

from sobolev import actors, critics, metrics, world_models
from sobolev.agent import AgentConfig
from sobolev.environments import PointMass
from sobolev.training import TrainConfig, train
from sobolev.types import Array, Key


@metrics.registry.register("marginal_energy")  # for gin: agent.metric = @metrics.marginal_energy()
@dataclass(frozen=True)
class MarginalEnergy(metrics.Metric):
    """``mean over columns d of MMD²(x_d, y_d)`` under the energy kernel, unbiased; x ``[N, D]``, y ``[M, D]``."""

    def __call__(self, key: Key, x: Array, y: Array, levels: Array | None = None) -> Array:
        return jnp.mean(jax.vmap(metrics.energy_mmd2_sorted, in_axes=2)(x[:, None, :], y[:, None, :]))


# What a metric must do, on samples: a shift of one column by 3 is seen, one of both samples is not, and the gradient
# is finite where all points are equal.
key, (x, y) = jax.random.key(0), jax.random.normal(jax.random.key(1), (2, 200, 4))
metric = MarginalEnergy()
far, near, moved = metric(key, x, y.at[:, 2].add(3.0)), metric(key, x, y), metric(key, x + 5.0, y + 5.0)
print(f"equal distributions {near:.3f}, both shifted {moved:.3f}, a shift of one column of four by 3: {far:.3f}")
assert bool(jnp.all(jnp.isfinite(jax.grad(metric, argnums=1)(key, jnp.ones((5, 4)), jnp.ones((5, 4))))))

agent = AgentConfig(
    metric=metric,
    gradient="action",
    critic=partial(critics.make_generative, hidden_sizes=(32, 32), noise_size=4),
    world_model=world_models.make_known,  # the point mass has a simulator: gradients through the true step
    actor=partial(actors.make_deterministic, hidden_sizes=(32, 32)),
)
config = TrainConfig(environment=PointMass(), agent=agent, total_steps=1_500, eval_every=500, eval_episodes=64)
steps, returns = train(config, "runs/plug_in_a_part").curve()
print(f"return {returns[0, 0]:.2f} before learning, {returns[0, -1]:.2f} after {steps[-1]} environment steps")
