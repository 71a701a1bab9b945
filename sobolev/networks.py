"""The papers' multilayer perceptron: the input is fed to every hidden layer, and hidden layers may be residual.

    h_1 = f(W_1 x + b_1),   h_k = [h_{k-1} +] f(W_k [x; h_{k-1}] + b_k),   output = W h [+ V (U x + c)²] + b

Without skips and residuals, ``h_k = f(W_k h_{k-1} + b_k)``, it is the usual one.

(V24 A.8: actor and critic have residuals and Swish; the world model's encoder and decoder have layer normalization
after the nonlinearity and no residuals. The squares are ours.)
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp

from sobolev import normalizer
from sobolev.registry import unknown_name
from sobolev.types import Array, Key, Params, Transition

ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "swish": jax.nn.swish,
    "relu": jax.nn.relu,
    "tanh": jnp.tanh,
    "gelu": jax.nn.gelu,
}


class SplitLinear(hk.Module):
    """``W [x_1; …; x_k] + b``, computed as ``sum_i W_i x_i + b``.

    Under a ``vmap`` over one input, the terms of the others are computed once: that of a critic's state and action
    serves all its noise samples. The bias is added to the first term, so the input that varies least comes first.
    Initial weights are truncated normal, with standard deviation scale / sqrt(inputs) before truncation.

    Args:
        output_size: length of the output.
        scale: of the initial weights.
        name: of the Haiku module.

    Example:
        >>> import haiku as hk, jax, jax.numpy as jnp
        >>> layer = hk.without_apply_rng(hk.transform(lambda x, y: SplitLinear(4)(x, y)))
        >>> layer.init(jax.random.key(0), jnp.zeros(3), jnp.zeros(2))["split_linear"]["w"].shape
        (5, 4)
    """

    def __init__(self, output_size: int, scale: float = 1.0, name: str | None = None) -> None:
        super().__init__(name=name)
        self.output_size = output_size
        self.scale = scale

    def __call__(self, *inputs: Array) -> Array:
        sizes = [x.shape[-1] for x in inputs]
        initial = hk.initializers.TruncatedNormal(stddev=self.scale * sum(sizes) ** -0.5)
        weights = hk.get_parameter("w", (sum(sizes), self.output_size), init=initial)
        bias = hk.get_parameter("b", (self.output_size,), init=jnp.zeros)
        output, start = bias, 0
        for x, size in zip(inputs, sizes, strict=True):
            output = output + x @ weights[start : start + size]
            start += size
        return output


@jax.custom_jvp
def standardize(x: Array) -> tuple[Array, Array]:
    """A vector with mean 0 and variance 1, and what it was multiplied by.

        y = r (x - mean(x)),   r = (var(x) + 1e-5)^(-1/2)

    Its derivatives are given in y and r, in half the operations of those of the formula:

        dy = r (dx - mean(dx) - y mean(y dx)),   dr = -r² mean(y dx)

    Args:
        x: ``[D]``.

    Returns:
        y ``[D]``, and r, a scalar.

    Example:
        >>> import jax.numpy as jnp
        >>> [value.round(3).tolist() for value in standardize(jnp.array([1.0, 5.0]))]
        [[-1.0, 1.0], 0.5]
    """
    centred = x - jnp.mean(x)
    r = jax.lax.rsqrt(jnp.mean(centred * centred) + 1e-5)
    return r * centred, r


@standardize.defjvp
def _standardize_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    (x,), (dx,) = primals, tangents
    y, r = standardize(x)
    along_y = jnp.mean(y * dx)
    return (y, r), (r * (dx - jnp.mean(dx) - y * along_y), -r * r * along_y)


class LayerNorm(hk.Module):
    """``scale * y + offset`` with y the standardized input; Ba, Kiros and Hinton, "Layer normalization" (2016).

    Parameters and values are those of ``haiku.LayerNorm``; second derivatives, which training takes, are cheaper.

    Args:
        name: of the Haiku module.

    Example:
        >>> import haiku as hk, jax, jax.numpy as jnp
        >>> layer = hk.without_apply_rng(hk.transform(lambda x: LayerNorm()(x)))
        >>> params = layer.init(jax.random.key(0), jnp.zeros(2))
        >>> layer.apply(params, jnp.array([1.0, 5.0])).round(3).tolist()
        [-1.0, 1.0]
    """

    def __init__(self, name: str | None = None) -> None:
        super().__init__(name=name)

    def __call__(self, x: Array) -> Array:
        scale = hk.get_parameter("scale", x.shape, init=jnp.ones)
        offset = hk.get_parameter("offset", x.shape, init=jnp.zeros)
        return scale * standardize(x)[0] + offset


def check_hidden_sizes(hidden_sizes: Sequence[int]) -> None:
    """Checks the widths of hidden layers.

    Args:
        hidden_sizes: should be positive whole numbers, at least one.

    Raises:
        ValueError: unless they are.

    Example:
        >>> check_hidden_sizes(())
        Traceback (most recent call last):
            ...
        ValueError: hidden_sizes must be widths of layers such as (64, 64), got ()
    """
    is_sequence = isinstance(hidden_sizes, Sequence) and not isinstance(hidden_sizes, str)
    if not is_sequence or not hidden_sizes or any(not isinstance(size, int) or size < 1 for size in hidden_sizes):
        raise ValueError(f"hidden_sizes must be widths of layers such as (64, 64), got {hidden_sizes!r}")


class SkipMLP(hk.Module):
    """The perceptron of this module's equations, for one input or several, taken as their concatenation.

    Args:
        hidden_sizes: widths of the hidden layers.
        output_size: length of the output.
        skip: feed the input to every hidden layer, not to the first alone.
        residual: add each hidden layer to the next; its widths must then be equal.
        layer_norm: normalize each hidden layer after the nonlinearity.
        quadratic: add a quadratic function of the input to the output, which is then ``W h + V (U x + c)² + b`` with as
            many squares as x has components, and V = 0 at first. Normalized layers are bounded, and a quadratic value
            is not. Nor is its slope: where gradients weigh much and inputs are many, critics may run away with it.
        output_scale: of the initial weights of the last layer, relative to the usual 1 / sqrt(inputs).
        activation: the nonlinearity, a name in ``ACTIVATIONS``. A critic that learns gradients is trained by its second
            derivative, which relu does not have.
        name: of the Haiku module.

    Raises:
        ValueError: no hidden layer, residual layers of different widths, or an unknown activation.

    Example:
        >>> import haiku as hk, jax, jax.numpy as jnp
        >>> network = hk.without_apply_rng(hk.transform(lambda x: SkipMLP((8, 8), 2, residual=True)(x)))
        >>> network.apply(network.init(jax.random.key(0), jnp.zeros(3)), jnp.zeros(3)).shape
        (2,)
    """

    def __init__(
        self,
        hidden_sizes: Sequence[int],
        output_size: int,
        *,
        skip: bool = True,
        residual: bool = False,
        layer_norm: bool = False,
        quadratic: bool = False,
        output_scale: float = 1.0,
        activation: str = "swish",
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        check_hidden_sizes(hidden_sizes)
        if residual and len(set(hidden_sizes)) > 1:
            raise ValueError(f"hidden_sizes must be equal for residual layers, got {tuple(hidden_sizes)}")
        if activation not in ACTIVATIONS:
            raise unknown_name("activation", activation, ACTIVATIONS)
        self.hidden_sizes = tuple(hidden_sizes)
        self.output_size = output_size
        self.skip = skip
        self.residual = residual
        self.layer_norm = layer_norm
        self.quadratic = quadratic
        self.output_scale = output_scale
        self.activation = ACTIVATIONS[activation]

    def __call__(self, *inputs: Array) -> Array:
        def layer(size: int, *layer_inputs: Array) -> Array:
            output = self.activation(SplitLinear(size)(*layer_inputs))
            if self.layer_norm:
                output = LayerNorm()(output)
            return output

        hidden = layer(self.hidden_sizes[0], *inputs)
        for size in self.hidden_sizes[1:]:
            output = layer(size, *(inputs if self.skip else ()), hidden)
            hidden = hidden + output if self.residual else output
        output = SplitLinear(self.output_size, self.output_scale)(hidden)
        if self.quadratic:
            squares = SplitLinear(sum(x.shape[-1] for x in inputs), name="squares")(*inputs) ** 2
            output += hk.Linear(self.output_size, with_bias=False, w_init=jnp.zeros, name="of_squares")(squares)
        return output


class StateNetwork(NamedTuple):
    """A network whose first input is a raw state, which it normalizes; critics and actors are built on it.

    Fields:
        init: ``(key) -> params``, a dict with the entries "network" and "state", the weights and the normalizer.
        fit_normalizer: ``(params, transitions[B]) -> params``.
        apply: ``(params, s[S], *others) -> output``.
    """

    init: Callable[[Key], dict[str, Params]]
    fit_normalizer: Callable[[dict[str, Params], Transition], dict[str, Params]]
    apply: Callable[..., Any]


def make_state_network(forward: Callable[..., Any], state_size: int, *other_shapes: tuple[int, ...]) -> StateNetwork:
    """The network of a Haiku function ``forward(s, *others) -> output`` of a normalized state and other inputs.

    Args:
        forward: builds and calls Haiku modules.
        state_size: S.
        *other_shapes: shapes of the other inputs, which are not normalized.

    Returns:
        The network as pure functions.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> network = make_state_network(lambda s, a: SkipMLP((8,), 1)(s, a)[0], 3, (2,))
        >>> params = network.init(jax.random.key(0))
        >>> network.apply(params, jnp.zeros(3), jnp.zeros(2)).shape
        ()
    """
    network = hk.without_apply_rng(hk.transform(forward))

    def init(key: Key) -> dict[str, Params]:
        weights = network.init(key, jnp.zeros(state_size), *(jnp.zeros(shape) for shape in other_shapes))
        return {"network": weights, "state": normalizer.identity(state_size)}

    def fit_normalizer(params: dict[str, Params], transitions: Transition) -> dict[str, Params]:
        return {**params, "state": normalizer.fit(transitions.s)}

    def apply(params: dict[str, Params], s: Array, *others: Array) -> Any:
        return network.apply(params["network"], normalizer.normalize(params["state"], s), *others)

    return StateNetwork(init, fit_normalizer, apply)
