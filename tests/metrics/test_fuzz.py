"""Whatever samples a metric is given: a short message, or a number that hides nothing."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from sobolev import metrics

KEY = jax.random.key(0)
KINDS = (np.float32, np.float64, np.float16, np.int32, np.int8, np.uint8, np.bool_, np.complex64)
LOSSES = {name: metrics.registry.make(name) for name in metrics.registry.names()}


NONE: tuple[Any, ...] = ([], [[]], [[1, 2], [3]], "abc", None, {"x": 1}, object())


@st.composite
def samples(draw: st.DrawFn) -> Any:
    """An array of any kind, rank and size; or what is none."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.sampled_from(NONE))
    kind, shape = draw(st.sampled_from(KINDS)), tuple(draw(st.lists(st.integers(0, 2), max_size=3)))
    # What no float32 holds is infinite, of which numpy warns.
    return draw(arrays.arrays(kind, shape, elements=st.floats(width=32) if kind is np.float64 else None))


def is_finite(x: Any) -> bool:
    with np.errstate(over="ignore"):
        return bool(np.all(np.isfinite(np.asarray(x).astype(np.float32))))


@pytest.mark.parametrize("name", LOSSES)
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(x=samples(), y=samples())
def test_any_samples(name: str, x: Any, y: Any) -> None:
    message = ""
    try:
        value = LOSSES[name](KEY, x, y, jnp.full(len(x) if hasattr(x, "__len__") else 1, 0.5))
    except (ValueError, TypeError) as error:
        message = str(error) or repr(error)
    if message:
        assert len(message) < 400
        assert len(message.splitlines()) <= 3
        return
    assert value.shape == ()
    assert value.dtype == jnp.float32
    if not (is_finite(x) and is_finite(y)):
        assert not np.isfinite(value)
