"""Checks of numbers that a user gives: one short message that names the number."""

import functools
import inspect
import math
from collections.abc import Callable
from typing import Any, TypeVar

Made = TypeVar("Made")


def check_finite(**values: float) -> None:
    """Checks that numbers are finite.

    Args:
        **values: by name.

    Raises:
        ValueError: one is not.

    Example:
        >>> check_finite(h=1.0, delta=float("inf"))
        Traceback (most recent call last):
            ...
        ValueError: delta must be finite, got inf
    """
    for name, value in values.items():
        if not math.isfinite(value):
            raise ValueError(f"{name} must be finite, got {value!r}")


def check_positive(**values: float) -> None:
    """Checks that numbers are finite and above 0.

    Args:
        **values: by name.

    Raises:
        ValueError: one is not.

    Example:
        >>> check_positive(h=0.0)
        Traceback (most recent call last):
            ...
        ValueError: h must be positive, got 0.0
    """
    for name, value in values.items():
        if not value > 0:
            raise ValueError(f"{name} must be positive, got {value!r}")
    check_finite(**values)


def check_at_least(bound: float, **values: float) -> None:
    """Checks that numbers are finite and at least a bound.

    Args:
        bound: the least number that is allowed.
        **values: by name.

    Raises:
        ValueError: one is not.

    Example:
        >>> check_at_least(1, members=0)
        Traceback (most recent call last):
            ...
        ValueError: members must be at least 1, got 0
    """
    for name, value in values.items():
        if not value >= bound:
            raise ValueError(f"{name} must be at least {bound}, got {value!r}")
    check_finite(**values)


_LARGEST = 2**31 - 1
"""Counts are 32-bit integers on devices."""


def check_count(least: int, **values: int) -> None:
    """Checks that whole numbers are at least a bound, and below 2^31.

    Args:
        least: the least number that is allowed.
        **values: by name.

    Raises:
        ValueError: one is not.

    Example:
        >>> check_count(1, steps=2**31)
        Traceback (most recent call last):
            ...
        ValueError: steps must be below 2^31, got 2147483648
    """
    check_at_least(least, **values)
    for name, value in values.items():
        if value > _LARGEST:
            raise ValueError(f"{name} must be below 2^31, got {value!r}")


def with_checked_numbers(factory: Callable[..., Made]) -> Callable[..., Made]:
    """A factory from elsewhere, which refuses numbers that are negative or not finite.

    Args:
        factory: of anything.

    Returns:
        The factory, with its own name and signature.

    Example:
        >>> import optax
        >>> with_checked_numbers(optax.sgd)(learning_rate=-1.0)
        Traceback (most recent call last):
            ...
        ValueError: learning_rate must be at least 0, got -1.0
    """
    signature = inspect.signature(factory)

    @functools.wraps(factory)
    def checked(*args: Any, **kwargs: Any) -> Made:
        for name, value in signature.bind_partial(*args, **kwargs).arguments.items():
            if isinstance(value, int | float):
                check_at_least(0, **{name: value})
        return factory(*args, **kwargs)

    return checked
