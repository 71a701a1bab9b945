"""The registry of optimizers, by the names of optax; an entry is a factory of an ``optax.GradientTransformation``.

The arguments of an entry are those of optax; numbers that are negative or not finite are refused. A learning
rate is a number or a schedule, see :mod:`sobolev.schedules`.

Example:
    >>> from sobolev import optimizers
    >>> adam = optimizers.registry.make("adam", learning_rate=1e-3)
    >>> optimizers.registry.names()
    ('adam', 'radam', 'adamw', 'sgd')
"""

from collections.abc import Callable

import optax

from sobolev.checks import with_checked_numbers
from sobolev.registry import Registry

registry: Registry[Callable[..., optax.GradientTransformation]] = Registry("optimizer")

registry.register("adam")(with_checked_numbers(optax.adam))
registry.register("radam")(with_checked_numbers(optax.radam))
registry.register("adamw")(with_checked_numbers(optax.adamw))
registry.register("sgd")(with_checked_numbers(optax.sgd))
