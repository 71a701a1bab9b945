"""The registry of schedules of a learning rate, from optax; an entry is a factory of an ``optax.Schedule``.

A schedule maps the number of updates made to a learning rate; the arguments of an entry are those of optax.

Example:
    >>> from sobolev import schedules
    >>> rate = schedules.registry.make("linear", init_value=1.0, end_value=0.0, transition_steps=4)
    >>> float(rate(1))
    0.75
"""

from collections.abc import Callable

import optax

from sobolev.checks import with_checked_numbers
from sobolev.registry import Registry

registry: Registry[Callable[..., optax.Schedule]] = Registry("schedule")

registry.register("cosine_decay")(with_checked_numbers(optax.cosine_decay_schedule))
registry.register("linear")(with_checked_numbers(optax.linear_schedule))
