"""The best return on the point mass: its mean reward is smooth in the actions, so gradient ascent finds good ones.

    python -m experiments.point_mass --num_locations=8
    python -m experiments.point_mass --num_locations=4 --dimensions=8

The mean over the places of the reward of a whole episode is ascended in the 50 actions, from several first guesses for
each start, by gradient through the exact equations. Rewards do not tell a policy anything that the state does not, and
do not move the point, so no policy has a higher mean return than the best open loop of actions. The ascent is local:
what it finds is a lower bound of that. It prints its result.
"""

import argparse

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.lib.arguments import base_parser
from sobolev.environments import PointMass
from sobolev.types import Array


def best_returns(
    num_locations: int, dimensions: int = 2, starts: int = 64, length: int = 50, guesses: int = 16, steps: int = 400
) -> np.ndarray:
    """The highest mean return found from each start; the task's numbers are its defaults.

    Args:
        num_locations: places that pay.
        dimensions: of the space.
        starts: how many.
        length: of an episode.
        guesses: from how many sequences of actions the ascent starts.
        steps: of each ascent.

    Returns:
        ``[starts]``.
    """
    env = PointMass(num_locations=num_locations, dimensions=dimensions)
    first = jax.vmap(env.reset)(jax.random.split(jax.random.key(0), starts)).obs

    def mean_return(u: Array, s: Array) -> Array:
        def step(s: Array, a: Array) -> tuple[Array, Array]:
            s_next, r, _ = jax.vmap(env.simulate, in_axes=(None, None, 0))(s, a, jnp.arange(num_locations))
            return s_next[0], jnp.mean(r)

        return jnp.sum(jax.lax.scan(step, s, jnp.tanh(u))[1])

    def climb(s: Array, u: Array) -> Array:
        optimizer = optax.adam(0.1)

        def ascend(carry: tuple, _: None) -> tuple[tuple, None]:
            u, state = carry
            updates, state = optimizer.update(jax.grad(lambda u: -mean_return(u, s))(u), state)
            return (optax.apply_updates(u, updates), state), None

        (u, _), _ = jax.lax.scan(ascend, (u, optimizer.init(u)), None, length=steps)
        return mean_return(u, s)

    aims = jax.random.uniform(jax.random.key(1), (guesses, 1, dimensions), minval=-1.5, maxval=1.5)
    aims *= jnp.ones((1, length, 1))
    reached = jax.jit(jax.vmap(lambda s: jnp.max(jax.vmap(lambda u: climb(s, u))(aims))))(first)
    return np.asarray(reached)


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = base_parser("point_mass", __doc__)
    parser.add_argument("--num_locations", type=int, default=8, help="places that pay; default: %(default)s")
    parser.add_argument("--dimensions", type=int, default=2, help="of the space; default: %(default)s")
    return parser


def main() -> None:
    """Prints the mean over starts, and its standard error."""
    options = make_parser().parse_args()
    best = best_returns(options.num_locations, options.dimensions)
    print(f"best mean return {best.mean():.3f} +- {best.std() / np.sqrt(len(best)):.3f} over {len(best)} starts")


if __name__ == "__main__":
    main()
