"""What the exactly solvable environments share: first states, and the check of their numbers."""

from collections.abc import Callable

import jax

from sobolev.checks import check_positive
from sobolev.types import Array, Key


def uniform_start(size: int, spread: float) -> Callable[[Key], Array]:
    """The distribution of a first state that is uniform in [-spread, spread]^size.

    Args:
        size: length S of the state.
        spread: half width, positive.

    Returns:
        ``(key) -> s[S]``.

    Raises:
        ValueError: ``spread`` is not positive.

    Example:
        >>> import jax
        >>> uniform_start(size=2, spread=0.5)(jax.random.key(0)).shape
        (2,)
    """
    check_positive(spread=spread)
    return lambda key: jax.random.uniform(key, (size,), minval=-spread, maxval=spread)
