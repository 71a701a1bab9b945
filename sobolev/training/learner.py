"""Learning between two evaluations, in pieces after which a signal is heard."""

import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from sobolev.training import loop
from sobolev.training.config import TrainConfig
from sobolev.training.interrupts import Interrupts
from sobolev.training.loop import TrainingState
from sobolev.training.programs import Programs
from sobolev.training.rows import Learning

PIECE_SECONDS = 2.0


def scalars_of(state: TrainingState) -> dict[str, np.ndarray]:
    """The means of the updates since the last evaluation, and how many things were not finite, all in all."""
    return {**state.totals.means(), "non_finite": np.asarray(state.fault.total)}


class Learner:
    """Advances states by so many environment steps.

    An interval is cut into pieces of about two seconds. What is learned and reported is the same wherever the cuts are,
    since the state holds the totals too.

    Args:
        config: of the run.
        programs: of it.
        interrupts: a signal that waits there ends an interval early, as a number that is not finite does.
        tell: is called after each piece with its environment steps.
    """

    def __init__(
        self, config: TrainConfig, programs: Programs, interrupts: Interrupts, tell: Callable[[int], None]
    ) -> None:
        self._config, self._programs, self._interrupts, self._tell = config, programs, interrupts, tell
        self._iterations_a_second = 1.0 / PIECE_SECONDS  # one iteration first

    def restarted(self, state: TrainingState) -> TrainingState:
        """The state after its totals have been reported: they begin anew."""
        zeros = jax.tree.map(lambda x: jax.device_put(np.zeros(x.shape, x.dtype), x.sharding), state.totals)
        return state._replace(totals=zeros)

    def learn(self, state: TrainingState, env_steps: int) -> tuple[TrainingState, Learning]:
        """Learns for so many environment steps of each seed, or fewer where a signal or a fault ends it.

        Returns:
            The state, and what happened here.
        """
        began, iterations = time.perf_counter(), env_steps // self._config.num_envs
        left = iterations
        while left and self._interrupts.number is None:
            count = min(left, max(1, int(PIECE_SECONDS * self._iterations_a_second)))
            state = self._piece(state, count)
            left -= count
            self._tell(count * self._config.num_envs)
            if self._config.non_finite == "halt" and np.any(np.asarray(state.fault.total)):
                break
        made = iterations - left
        seconds = time.perf_counter() - began
        scalars = scalars_of(state)
        return state, Learning(scalars, made * self._config.num_envs, made * self._config.loop.updates, seconds)

    def _piece(self, state: TrainingState, iterations: int) -> TrainingState:
        began = time.perf_counter()
        state = jax.block_until_ready(self._programs.advance(state, jnp.int32(iterations), loop.LEARN))
        # At most twice as many the next time: a first piece may be slow for other reasons.
        found = iterations / (time.perf_counter() - began)
        self._iterations_a_second = min(found, 2.0 * max(self._iterations_a_second, iterations / PIECE_SECONDS))
        return state
