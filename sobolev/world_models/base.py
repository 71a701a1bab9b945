"""What the learned world models share: normalized inputs, residual targets, exact inference, a separable part of the
reward, and the continuation.

A learned world model is a conditional density of the target t = [s' - s, r] given the input x = [s, a], both
normalized. The members of the family differ in that density alone (:class:`ConditionalModel`).
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from sobolev import normalizer
from sobolev.registry import Registry
from sobolev.types import Array, Key, Noise, Params, Spec, Transition, WorldModel
from sobolev.world_models.continuation import make_continuation
from sobolev.world_models.separable import no_term, separable_term

registry: Registry[Callable[..., WorldModel]] = Registry("world model")


class ConditionalModel(NamedTuple):
    """A reparameterized density of ``t[T]`` given ``x[X]``, T = S + 1 and X = S + A, for one pair.

    Fields:
        init: ``(key) -> params``.
        loss: ``(params, key, x, t) -> []``.
        noise: ``(key) -> n``.
        infer: ``(params, key, x, t) -> n``.
        sample: ``(params, x, n) -> t``, smooth in x.
    """

    init: Callable[[Key], Params]
    loss: Callable[[Params, Key, Array, Array], Array]
    noise: Callable[[Key], Noise]
    infer: Callable[[Params, Key, Array, Array], Noise]
    sample: Callable[[Params, Array, Noise], Array]


class ResidualNoise(NamedTuple):
    """The noise of a residual world model.

    Fields:
        model: the density's own noise.
        remainder: what it leaves unexplained of a recorded target, ``[T]``, normalized; 0 in imagination.
    """

    model: Noise
    remainder: Array


def softly_bounded(x: Array, bound: float) -> Array:
    """``bound · tanh(x / bound)``: x where it is small, within ±bound everywhere.

    Example:
        >>> import jax.numpy as jnp
        >>> softly_bounded(jnp.array([0.0, 100.0]), 2.0).tolist()
        [0.0, 2.0]
    """
    return bound * jnp.tanh(x / bound)


def residual_world_model(
    model: ConditionalModel,
    spec: Spec,
    exact_inference: bool = True,
    continuation_sizes: tuple[int, ...] = (64, 64),
    separable_reward: bool = False,
) -> WorldModel:
    """The world model ``s' = s + delta, r`` with (delta, r) from a density of the normalized target.

    The decoder of a variational model gives the mean of a Gaussian, so a latent that is inferred from a transition
    reconstructs it only roughly. With ``exact_inference`` the remainder is kept as the noise of that Gaussian:
    inference then returns the recorded transition up to rounding, and the model contributes its derivatives alone.
    Without it the reconstruction replaces the transition (V24). Imagined transitions have no remainder: as in the
    papers, they are the decoder's mean. A density whose own inference is exact needs no remainder.

    With ``separable_reward`` the density is that of the target less a separable quadratic function of the input in the
    reward (:mod:`sobolev.world_models.separable`), learned with it by the same loss.

    Where ``spec.continuation`` is set, c(s, a, s') is learned beside the density
    (:mod:`sobolev.world_models.continuation`) from ``discount > 0`` of recorded transitions; else c = 1.

    Args:
        model: density of the target ``[S + 1]`` given the input ``[S + A]``.
        spec: sizes of state and action, and whether episodes may end.
        exact_inference: see above.
        continuation_sizes: widths of the hidden layers of c.
        separable_reward: see above.

    Returns:
        The world model; its parameters are a dict with the entries "model", "reward", "continuation", "input" and
        "target", the latter two being normalizers.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> density = ConditionalModel(  # t = x_1 w + n
        ...     init=lambda key: jnp.ones(2),
        ...     loss=lambda w, key, x, t: jnp.sum((t - x[0] * w) ** 2),
        ...     noise=lambda key: jax.random.normal(key, (2,)),
        ...     infer=lambda w, key, x, t: t - x[0] * w,
        ...     sample=lambda w, x, n: x[0] * w + n,
        ... )
        >>> model = residual_world_model(density, Spec(state_size=1, action_size=1), exact_inference=False)
        >>> n = model.noise(jax.random.key(0))._replace(model=jnp.zeros(2))
        >>> s_next, r, c = model.simulate(model.init(jax.random.key(1)), jnp.array([3.0]), jnp.zeros(1), n)
        >>> float(s_next[0]), float(r)  # s + s · 1, s · 1
        (6.0, 3.0)
    """
    target_size = spec.state_size + 1
    continuation = make_continuation(spec, continuation_sizes)
    reward = separable_term(spec.state_size + spec.action_size) if separable_reward else no_term()

    def pair(params: Params, transition: Transition) -> tuple[Array, Array]:
        return _input(params, transition.s, transition.a), normalizer.normalize(params["target"], _target(transition))

    def init(key: Key) -> Params:
        key_model, key_continuation = jax.random.split(key)
        return {
            "model": model.init(key_model),
            "reward": reward.init(),
            "continuation": continuation.init(key_continuation),
            "input": normalizer.identity(spec.state_size + spec.action_size),
            "target": normalizer.identity(target_size),
        }

    def fit_normalizer(params: Params, transitions: Transition) -> Params:
        inputs = jnp.concatenate([transitions.s, transitions.a], axis=-1)
        return {**params, "input": normalizer.fit(inputs), "target": normalizer.fit(_target(transitions))}

    def loss(params: Params, key: Key, transitions: Transition) -> Array:
        def one(key: Key, transition: Transition) -> Array:
            x, t = pair(params, transition)
            ended = continuation.loss(params["continuation"], x, t[:-1], transition.discount > 0)
            return model.loss(params["model"], key, x, reward.subtract(params["reward"], x, t)) + ended

        keys = jax.random.split(key, transitions.r.shape[0])
        return jnp.mean(jax.vmap(one)(keys, transitions))

    def noise(key: Key) -> ResidualNoise:
        return ResidualNoise(model.noise(key), jnp.zeros(target_size))

    def infer(params: Params, key: Key, transition: Transition) -> ResidualNoise:
        x, t = pair(params, transition)
        t = reward.subtract(params["reward"], x, t)
        n = model.infer(params["model"], key, x, t)
        remainder = t - model.sample(params["model"], x, n) if exact_inference else jnp.zeros_like(t)
        return ResidualNoise(n, remainder)

    def simulate(params: Params, s: Array, a: Array, n: ResidualNoise) -> tuple[Array, Array, Array]:
        x = _input(params, s, a)
        t = reward.add(params["reward"], x, model.sample(params["model"], x, n.model) + n.remainder)
        target = normalizer.denormalize(params["target"], t)
        return s + target[:-1], target[-1], continuation.probability(params["continuation"], x, t[:-1])

    return WorldModel(init, fit_normalizer, loss, noise, infer, simulate)


def _input(params: Params, s: Array, a: Array) -> Array:
    return normalizer.normalize(params["input"], jnp.concatenate([s, a]))


def _target(transition: Transition) -> Array:
    return jnp.concatenate([transition.s_next - transition.s, transition.r[..., None]], axis=-1)
