"""The contracts between the parts, and the names of the types that they share.

A part that has parameters is a NamedTuple of pure functions, made by a factory from a :class:`Spec`; one that has none
(a kernel, a metric, a correction) is a frozen dataclass with ``__call__``. Shapes are those of **one** state, S its
size and A that of an action; only what is marked ``[B]`` takes a batch, and only the agent vmaps.

Each part with parameters has ``init(key)`` and ``fit_normalizer(params, transitions[B])``. The latter sets, once, what
the part keeps of the statistics of the data (the mean and standard deviation of its inputs, say). Parts take and give
raw states, so that they can be combined, and used alone, in any way.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax

Array = jax.Array
Key = jax.Array
"""A typed random key, ``jax.random.key(seed)``."""
Params = Any
"""A pytree of arrays."""
Noise = Any
"""A pytree of arrays, for one sample."""
Scalars = dict[str, Array]
"""Named numbers ``[]`` that an update or a diagnosis reports."""
Simulate = Callable[[Array, Array, Noise], tuple[Array, Array, Array]]
"""One step ``(s[S], a[A], n) -> (s'[S], r[], c[])``; c in [0, 1] is the probability of going on."""
Value = Callable[[Array, Array, Noise], Array]
"""One sample of the return, ``(s[S], a[A], xi) -> []``."""
Policy = Callable[[Array], Array]
"""An action for a state, ``(s[S]) -> a[A]``."""


class Transition(NamedTuple):
    """What was recorded of one step, or of ``[B]`` of them.

    Fields:
        s: state ``[S]``.
        a: action ``[A]``.
        r: reward ``[]``.
        discount: 0 if the episode terminated, else 1 (a time limit is no termination); for n steps folded into one,
            times gamma^(n-1).
        s_next: the state ``[S]`` that followed, the true one also where the episode ended.
    """

    s: Array
    a: Array
    r: Array
    discount: Array
    s_next: Array


class Trajectory(NamedTuple):
    """Up to H recorded transitions that followed one another, for targets that look ahead over them.

    Fields:
        steps: the transitions ``[H]``.
        valid: whether each still belongs to the episode of the first, ``[H]``: True, then False.
    """

    steps: Transition
    valid: Array

    @property
    def first(self) -> Transition:
        """The first transition; those of trajectories ``[B]`` too."""
        axis = self.valid.ndim - 1
        return jax.tree.map(lambda x: x[(slice(None),) * axis + (0,)], self.steps)


Batch = Transition | Trajectory
"""Transitions ``[B]``, or trajectories ``[B, H]`` for an agent whose targets look ahead over what was recorded."""


class Simulator(NamedTuple):
    """One step of an environment whose equations are known: what a :class:`WorldModel` is, without parameters.

    Fields:
        noise: ``(key) -> n``, exogenous noise from its distribution.
        infer: ``(key, transition) -> n``, the noise that explains a recorded transition.
        simulate: ``(s[S], a[A], n) -> (s'[S], r[], c[])``, as a world model's.
    """

    noise: Callable[[Key], Noise]
    infer: Callable[[Key, Transition], Noise]
    simulate: Simulate


class Spec(NamedTuple):
    """What a part must know of the task.

    Fields:
        state_size: length S of a state.
        action_size: length A of an action, whose components lie within [-1, 1].
        continuation: whether a world model must learn the probability of going on; where not, its c is 1.
        simulator: the step of the training environment, where it is known and differentiable.
    """

    state_size: int
    action_size: int
    continuation: bool = False
    simulator: Simulator | None = None


class WorldModel(NamedTuple):
    """A reparameterized model of one step: at fixed noise, a smooth function of state and action.

    Fields:
        init: ``(key) -> params``.
        fit_normalizer: ``(params, transitions[B]) -> params``.
        loss: ``(params, key, transitions[B]) -> []``.
        noise: ``(key) -> n``, exogenous noise from its prior ("imagination").
        infer: ``(params, key, transition) -> n``, the noise that explains a recorded transition ("inference").
        simulate: ``(params, s[S], a[A], n) -> (s'[S], r[], c[])``, c in [0, 1] the probability of going on.
        differentiable: False where ``simulate`` ignores s and a (recorded transitions as they are).
    """

    init: Callable[[Key], Params]
    fit_normalizer: Callable[[Params, Transition], Params]
    loss: Callable[[Params, Key, Transition], Array]
    noise: Callable[[Key], Noise]
    infer: Callable[[Params, Key, Transition], Noise]
    simulate: Callable[[Params, Array, Array, Noise], tuple[Array, Array, Array]]
    differentiable: bool = True


class Critic(NamedTuple):
    """A distribution of the return: a deterministic function of state, action and noise.

    Fields:
        init: ``(key) -> params``.
        fit_normalizer: ``(params, transitions[B]) -> params``.
        noise: ``(key) -> xi`` for one sample; a critic that takes none returns an empty array, ``jnp.zeros(0)``.
        value: ``(params, s[S], a[A], xi) -> []``, one sample of the return.
        noises: ``(key, num) -> xi[num]``, the noises of a set of samples that represents the distribution, a critic's
            fixed quantiles say; None where independent draws of ``noise`` do. See ``sobolev.critics.draw_noises``.
        level: ``(xi) -> []``, the quantile level in (0, 1) of the sample with that noise; None where it has none.
    """

    init: Callable[[Key], Params]
    fit_normalizer: Callable[[Params, Transition], Params]
    noise: Callable[[Key], Noise]
    value: Callable[[Params, Array, Array, Noise], Array]
    noises: Callable[[Key, int], Noise] | None = None
    level: Callable[[Noise], Array] | None = None


class Decision(NamedTuple):
    """An action for one state, and what else of it enters the actor's objective.

    Fields:
        a: the action ``[A]``.
        entropy_bonus: what a maximum-entropy objective adds to the return for this action: -alpha log pi(a | s), alpha
            a constant; 0 for a policy without entropy.
        auxiliary_loss: a further loss of the actor: alpha's, or a penalty; or 0.
    """

    a: Array
    entropy_bonus: Array | float = 0.0
    auxiliary_loss: Array | float = 0.0


class Actor(NamedTuple):
    """A policy, and apart from it the way it explores.

    Fields:
        init: ``(key) -> params``.
        fit_normalizer: ``(params, transitions[B]) -> params``.
        act: ``(params, key, s[S]) -> a[A]`` in [-1, 1], differentiable in ``s`` and ``params``; the key makes a
            stochastic policy reparameterized, a deterministic one ignores it.
        explore: ``(params, key, s[S]) -> a[A]``, what is done while learning.
        mode: ``(params, key, s[S]) -> a[A]``, what a stochastic policy is evaluated by; None where that is ``act``.
        decide: ``(params, key, s[S]) -> Decision``: the action of ``act`` with the same key, and what else enters the
            objective, in one pass through the network; None where nothing else does. See ``sobolev.actors.decide``.
    """

    init: Callable[[Key], Params]
    fit_normalizer: Callable[[Params, Transition], Params]
    act: Callable[[Params, Key, Array], Array]
    explore: Callable[[Params, Key, Array], Array]
    mode: Callable[[Params, Key, Array], Array] | None = None
    decide: Callable[[Params, Key, Array], Decision] | None = None
