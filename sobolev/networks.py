"""The papers' multilayer perceptron: the input is fed to every hidden layer, and hidden layers may be residual.

    h_1 = f(W_1 x + b_1),   h_k = [h_{k-1} +] f(W_k [x; h_{k-1}] + b_k),   output = W h + b

(V24 A.8: actor and critic have residuals and Swish; the world model's encoder and decoder have a layer normalisation
after the nonlinearity and no residuals.)
"""

from collections.abc import Callable, Sequence

import haiku as hk
import jax
import jax.numpy as jnp

Array = jax.Array


class SplitLinear(hk.Module):
    """``W [x_1; …; x_k] + b``, computed as ``sum_i W_i x_i + b``.

    The sum keeps what a ``vmap`` over one input need not repeat for the others: a critic's state-action part is
    computed once for all its noise samples, and the bias, which joins the first input, with it: give the input that
    varies least first. Initial weights are truncated normal, scale / sqrt(inputs) before truncation.
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


class SkipMLP(hk.Module):
    """The perceptron above, for one input or several that count as concatenated.

    Args:
        hidden_sizes: widths of the hidden layers.
        output_size: length of the output.
        residual: add each hidden layer to the next; its widths must then be equal.
        layer_norm: normalise each hidden layer after the nonlinearity.
        output_scale: of the initial weights of the last layer, against the usual 1 / sqrt(inputs).
        activation: the nonlinearity; smooth, since its second derivative is used.
    """

    def __init__(
        self,
        hidden_sizes: Sequence[int],
        output_size: int,
        *,
        residual: bool = False,
        layer_norm: bool = False,
        output_scale: float = 1.0,
        activation: Callable[[Array], Array] = jax.nn.swish,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        if not hidden_sizes or (residual and len(set(hidden_sizes)) > 1):
            raise ValueError(f"hidden_sizes must be given, and equal for residual layers, got {tuple(hidden_sizes)}")
        self.hidden_sizes = tuple(hidden_sizes)
        self.output_size = output_size
        self.residual = residual
        self.layer_norm = layer_norm
        self.output_scale = output_scale
        self.activation = activation

    def __call__(self, *inputs: Array) -> Array:
        def layer(size: int, *layer_inputs: Array) -> Array:
            output = self.activation(SplitLinear(size)(*layer_inputs))
            if self.layer_norm:
                output = hk.LayerNorm(axis=-1, create_scale=True, create_offset=True)(output)
            return output

        hidden = layer(self.hidden_sizes[0], *inputs)
        for size in self.hidden_sizes[1:]:
            output = layer(size, *inputs, hidden)
            hidden = hidden + output if self.residual else output
        return SplitLinear(self.output_size, self.output_scale)(hidden)
