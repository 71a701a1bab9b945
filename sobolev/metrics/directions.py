"""The search for the direction along which two samples differ most, for max-sliced metrics.

A search is called on two samples and a distance on the line, ``search(key, x[N, D], y[M, D], distance) -> [D]``, and
returns a unit vector. The largest slice is not a concave function of the direction, so no search is exact.
"""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp

from sobolev.checks import check_at_least
from sobolev.metrics.base import float_samples
from sobolev.metrics.sliced import Distance, slice_along, uniform_directions
from sobolev.numerics import unit_vector
from sobolev.registry import Registry
from sobolev.types import Array

registry: Registry[Callable[..., "DirectionSearch"]] = Registry("direction search")

# In radians. From the difference of the means half of it needs a step more, twice of it misses narrow summits.
_FIRST_STEP = 0.2


@registry.register("ascent")
@dataclass(frozen=True)
class DirectionSearch:
    """Finds a unit vector along which a distance of the projections is (nearly) largest.

    It scores the starting directions and walks uphill on great circles of the sphere from the best of them. A step that
    gains nothing is undone, and the next is half as long; after a step that gains, the next is 1.5 times as long. So
    the result is never below the best start, and the scale of the samples does not matter. With the default effort the
    search finds the supremum over a plane to well below 2%, for distances that are smooth on the scale on which the
    samples are apart. Training needs less: the default agent walks 5 steps from the difference of the means, without
    other starts.

    Another search is a subclass that overrides ``__call__``.

    Args:
        num_directions: random starts, besides the difference of the means; at least 0.
        num_climbs: from how many of the starts it walks, at least 1; all where it exceeds their number.
        num_steps: steps from each, at least 0; at 0 the best start is the result.
        axes: whether the D axes are starts, too.

    Raises:
        ValueError: a number below its minimum.

    See Also:
        :func:`sobolev.metrics.max_sliced`, the distance along the direction found.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from sobolev.metrics import mmd2
        >>> x = jnp.array([[0.0, 0.0], [-0.8, 0.6]])
        >>> y = x + jnp.array([3.0, 4.0])  # a shift of length 5; the samples spread at right angles to it
        >>> search = DirectionSearch(num_climbs=1)
        >>> direction = jax.jit(search, static_argnums=3)(jax.random.key(0), x, y, mmd2)
        >>> bool(abs(direction @ jnp.array([0.6, 0.8])) > 0.99)
        True
    """

    num_directions: int = 128
    num_climbs: int = 8
    num_steps: int = 8
    axes: bool = True

    def __post_init__(self) -> None:
        for name, least in (("num_directions", 0), ("num_climbs", 1), ("num_steps", 0)):
            check_at_least(least, **{name: getattr(self, name)})

    def __call__(self, key: Array, x: Array, y: Array, distance: Distance) -> Array:
        """The direction for one state.

        Args:
            key: for the random starts.
            x: ``[N, D]``.
            y: ``[M, D]``; N and M may differ.
            distance: ``(x[N, 1], y[M, 1]) -> []``, differentiable almost everywhere.

        Returns:
            A unit vector ``[D]``. No gradient flows through it: by Danskin's theorem the derivative of the supremum is
            that of the slice at the maximizer.

        Raises:
            ValueError: wrong shapes, or sizes that ``distance`` cannot take.
        """
        x, y = float_samples(x, y)
        x, y = jax.lax.stop_gradient((x, y))
        if x.shape[1] == 1:
            return jnp.ones(1, dtype=x.dtype)

        def height(direction: Array) -> Array:
            return slice_along(direction, x, y, distance)

        starts = self._starts(key, x, y)
        if len(starts) > self.num_climbs:
            starts = starts[jax.lax.top_k(jax.vmap(height)(starts), self.num_climbs)[1]]
        directions, reached = jax.vmap(lambda start: _climb(height, start, self.num_steps))(starts)
        return directions[jnp.argmax(reached)]

    def _starts(self, key: Array, x: Array, y: Array) -> Array:
        """Unit vectors, ``[starts, D]``: the difference of the means, the axes, and uniform ones."""
        axes = jnp.eye(x.shape[1], dtype=x.dtype)
        means = jnp.mean(x, axis=0) - jnp.mean(y, axis=0)
        starts = [unit_vector(jnp.where(jnp.any(means != 0), means, axes[0]))[None]]
        if self.axes:
            starts.append(axes)
        if self.num_directions:
            starts.append(uniform_directions(key, x.shape[1], self.num_directions, x.dtype))
        return jnp.concatenate(starts)


def _climb(height: Callable[[Array], Array], start: Array, num_steps: int) -> tuple[Array, Array]:
    """Walks uphill on great circles from the unit vector ``start[D]``; the direction reached and its height."""
    height_and_slope = jax.value_and_grad(height)

    def step(_: int, state: tuple[Array, ...]) -> tuple[Array, ...]:
        direction, best, slope, arc = state
        uphill = unit_vector(slope - jnp.dot(slope, direction) * direction)
        candidate = unit_vector(jnp.cos(arc) * direction + jnp.sin(arc) * uphill)
        candidate_height, candidate_slope = height_and_slope(candidate)
        gained = candidate_height > best
        return (
            jnp.where(gained, candidate, direction),
            jnp.where(gained, candidate_height, best),
            jnp.where(gained, candidate_slope, slope),
            jnp.where(gained, 1.5 * arc, 0.5 * arc),
        )

    arc = jnp.asarray(_FIRST_STEP, dtype=start.dtype)
    direction, reached, *_ = jax.lax.fori_loop(0, num_steps, step, (start, *height_and_slope(start), arc))
    return direction, reached
