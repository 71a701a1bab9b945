"""The best that can be done on the point mass: its mean reward is smooth in the actions, so they are climbed.

    python experiments/point_mass.py --num_locations=8

The mean over the places of the reward of a whole episode is ascended in the 50 actions, from several first guesses for
each start, by gradient through the exact equations. Rewards do not tell a policy anything that the state does not, and
do not move the point, so no policy has a higher mean return than the best open loop of actions. The climb is local:
what it finds is a lower bound of that.
"""

import argparse
import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parent.parent)

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
import optax  # noqa: E402

from sobolev.environments.point_mass import PointMass  # noqa: E402


def best_returns(
    num_locations: int, starts: int = 64, length: int = 50, guesses: int = 16, steps: int = 400
) -> np.ndarray:
    """The highest mean return found from each start, ``[starts]``; the task's numbers are its defaults."""
    env = PointMass(num_locations=num_locations)
    first = jax.vmap(env.reset)(jax.random.split(jax.random.key(0), starts)).obs

    def mean_return(u: jax.Array, s: jax.Array) -> jax.Array:
        def step(s: jax.Array, a: jax.Array) -> tuple[jax.Array, jax.Array]:
            s_next, r, _ = jax.vmap(env.simulate, in_axes=(None, None, 0))(s, a, jnp.arange(num_locations))
            return s_next[0], jnp.mean(r)

        return jnp.sum(jax.lax.scan(step, s, jnp.tanh(u))[1])

    def climb(s: jax.Array, u: jax.Array) -> jax.Array:
        optimiser = optax.adam(0.1)

        def ascend(carry: tuple, _: None) -> tuple[tuple, None]:
            u, state = carry
            updates, state = optimiser.update(jax.grad(lambda u: -mean_return(u, s))(u), state)
            return (optax.apply_updates(u, updates), state), None

        (u, _), _ = jax.lax.scan(ascend, (u, optimiser.init(u)), None, length=steps)
        return mean_return(u, s)

    aims = jax.random.uniform(jax.random.key(1), (guesses, 1, 2), minval=-1.5, maxval=1.5) * jnp.ones((1, length, 1))
    reached = jax.jit(jax.vmap(lambda s: jnp.max(jax.vmap(lambda u: climb(s, u))(aims))))(first)
    return np.asarray(reached)


def main() -> None:
    """Prints the mean over starts, and its standard error."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num_locations", type=int, default=8)
    best = best_returns(parser.parse_args().num_locations)
    print(f"best mean return {best.mean():.3f} +- {best.std() / np.sqrt(len(best)):.3f} over {len(best)} starts")


if __name__ == "__main__":
    main()
