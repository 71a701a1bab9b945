"""A metric as a training loss, without agent or environment; jax and numpy are all that it needs.

A generator learns the distribution of y given x from samples of y and of dy/dx: y = a sin(x) with a drawn from 0, 1, 2,
3 and 4, as in the toy problem of Distributional Sobolev RL. It sees five values of x and is asked between them, trained
once on the values alone and once on both.

python examples/metrics_alone.py
"""

import argparse

import jax
import jax.numpy as jnp

from sobolev import metrics
from sobolev.types import Array, Key

Params = list[tuple[Array, Array]]
N, M = 16, 32  # samples of the generator and of the data, for each x


def init(key: Key, widths: tuple[int, ...] = (5, 64, 64, 1)) -> Params:
    """Weights of a perceptron from [x, four components of noise] to y."""
    params = []
    keys = jax.random.split(key, len(widths) - 1)
    for layer, fan_in, fan_out in zip(keys, widths[:-1], widths[1:], strict=True):
        params.append((jax.random.normal(layer, (fan_in, fan_out)) / fan_in**0.5, jnp.zeros(fan_out)))
    return params


def generate(params: Params, x: Array, xi: Array) -> Array:
    """One sample of y given x: a smooth function of x at fixed noise xi."""
    h = jnp.append(xi, x)
    for weights, bias in params[:-1]:
        h = jax.nn.swish(h @ weights + bias)
    return (h @ params[-1][0] + params[-1][1])[0]


def joint_samples(params: Params, x: Array, noises: Array) -> Array:
    """Rows [y, dy/dx], one for each noise: [N, 2]."""
    return jnp.stack(jax.vmap(jax.value_and_grad(generate, argnums=1), (None, None, 0))(params, x, noises), axis=-1)


def data(key: Key, x: Array) -> Array:
    """Rows [y, dy/dx] of a sin(x): [M, 2]."""
    a = jax.random.randint(key, (M, 1), 0, 5)
    return a * jnp.stack([jnp.sin(x), jnp.cos(x)])


def loss(params: Params, key: Key, xs: Array, columns: int, metric: metrics.Metric) -> Array:
    """The metric between generator and data in the first columns, the mean over all x."""
    keys = jax.random.split(key, 3)
    noises = jax.random.normal(keys[0], (len(xs), N, 4))
    x = jax.vmap(joint_samples, (None, 0, 0))(params, xs, noises)
    y = jax.vmap(data)(jax.random.split(keys[1], len(xs)), xs)
    return metric.over_states(jax.random.split(keys[2], len(xs)), x[..., :columns], y[..., :columns])


def fit(xs: Array, columns: int, steps: int, metric: metrics.Metric, rate: float = 3e-3) -> Params:
    """Trains by Adam, all steps in one compiled loop."""

    def step(carry: tuple[Params, Params, Params], i: Array) -> tuple[tuple[Params, Params, Params], None]:
        params, mean, square = carry
        slope = jax.grad(loss)(params, jax.random.fold_in(jax.random.key(1), i), xs, columns, metric)
        mean = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, mean, slope)
        square = jax.tree.map(lambda s, g: 0.99 * s + 0.01 * g**2, square, slope)
        size = rate * (1 - i / steps) / (1 - 0.9 ** (i + 1))
        params = jax.tree.map(lambda p, m, s: p - size * m / (jnp.sqrt(s) + 1e-6), params, mean, square)
        return (params, mean, square), None

    params = init(jax.random.key(0))
    zeros = jax.tree.map(jnp.zeros_like, params)
    return jax.jit(lambda: jax.lax.scan(step, (params, zeros, zeros), jnp.arange(steps))[0][0])()


def errors(params: Params, xs: Array) -> tuple[Array, Array]:
    """How far mean and standard deviation of y and of dy/dx are off, the mean over xs: those of a are 2 and sqrt(2)."""
    noises = jax.random.normal(jax.random.key(2), (2_000, 4))
    samples = jax.vmap(joint_samples, (None, 0, None))(params, xs, noises)  # [X, 2000, 2]
    wave = jnp.stack([jnp.sin(xs), jnp.cos(xs)], axis=-1)
    mean, spread = samples.mean(axis=1) - 2 * wave, samples.std(axis=1) - 2**0.5 * abs(wave)
    return jnp.sqrt((mean**2).mean(axis=0)), jnp.sqrt((spread**2).mean(axis=0))


def main() -> None:
    """Trains and prints both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=4_000, help="updates; default: %(default)s")
    options = parser.parse_args()
    seen, between = jnp.linspace(0.0, 6.0, 5), jnp.linspace(0.0, 6.0, 61)
    metric = metrics.MMD(kernel=metrics.Energy())  # unbiased: fresh samples do not make the generator too narrow
    for columns, name in ((1, "values alone"), (2, "values and gradients")):
        mean, spread = errors(fit(seen, columns, options.steps, metric), between)
        print(
            f"{name}: error of the mean {mean[0]:.2f}, of the standard deviation {spread[0]:.2f}; "
            f"of the slope's mean {mean[1]:.2f}, of its standard deviation {spread[1]:.2f}"
        )


if __name__ == "__main__":
    main()
