"""The slope audit of a run: what its actors ascend, against the action gradient of the environment's own return.

For each seed, as of the newest checkpoint: cosine and size (1 where it is right) of the critics' mean action gradient,
and of that of the world model unrolled for some transitions with the critics behind. The numbers are over states of the
policy's own episodes, with 95% intervals; RUN_DIR/slopes.csv has all of them. The row "half step" has the true slopes
themselves by differences of half the step. Where its cosine or its size is far from 1, the return is too rough for
slopes, and the other rows say nothing: contacts and unstable motions do that. Take a larger --step or a shorter
--horizon.
"""

import argparse
import csv
import io
import math
import os
import sys
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
# This file's folder would hide modules of the same names; a gin file may import one from where the program is started.
sys.path[:] = [str(ROOT), *(path for path in sys.path if path != str(ROOT / "agents")), os.getcwd()]

import jax  # noqa: E402

from agents import start  # noqa: E402

with start.quiet():
    from agents.arguments import Parser, add_run_dir, check_seed
    from agents.gin_messages import ConfigError
    from agents.runs import load_job, restore_agents
    from sobolev.agent import AgentState
    from sobolev.environments import HostEnv
    from sobolev.training import Job, Progress, slopes
    from sobolev.training.job import assess_options
    from sobolev.training.logs import write_text


EXAMPLES = {
    "a run": "agents/slopes.py runs/msmmd_cvae/seed0",
    "one seed of several, at more states": "agents/slopes.py runs/td3/seeds0-9 --seed=3 --num_states=64",
    "rough returns": "agents/slopes.py runs/td3/seed0 --step=0.2 --horizon=10",
}


class Row(NamedTuple):
    """A line of slopes.csv.

    Fields:
        env_steps: of the checkpoint.
        seed: of the run.
        estimate: "half step" for the true slopes by smaller differences, "critics", or "model H" with H transitions of
            the world model.
        summary: of its agreement with the truth.
        truth_error: the standard error of the true slopes in units of their size; nan where it is not known.
    """

    env_steps: int
    seed: int
    estimate: str
    summary: slopes.Summary
    truth_error: float


Measure = Callable[[AgentState], tuple[slopes.TrueSlopes, dict[str, slopes.Agreement]]]


def make_parser() -> Parser:
    """The command line."""
    parser = Parser("agents/slopes.py", __doc__, EXAMPLES)
    add_run_dir(parser)
    parser.add_argument("--seed", type=int, help="which of the run; by default all of them")
    where = parser.add_argument_group("at which states")
    where.add_argument("--num_states", type=int, default=16, help="of episodes of the policy")
    where.add_argument("--states_seed", type=int, default=0, help="of those episodes and of the noise")
    truth = parser.add_argument_group("the true slopes")
    truth.add_argument("--horizon", type=int, help="rewards in a return; by default until gamma^t is below 1e-3")
    truth.add_argument("--step", type=float, default=0.05, help="of the differences in the action")
    truth.add_argument("--num_draws", type=int, help="of the noise behind each state; by default 16, on the host 1")
    compared = parser.add_argument_group("what is compared with them, besides the critics")
    compared.add_argument(
        "--unrolled", type=int, nargs="*", default=[1, 5], metavar="H", help="numbers of transitions of the world model"
    )
    return parser


def make_measure(job: Job, options: argparse.Namespace) -> Measure:
    """What is done for each seed, compiled once."""
    agent, key, compilation = (
        job.agent,
        jax.random.key(options.states_seed),
        assess_options() if jax.default_backend() == "cpu" else None,
    )
    act = jax.jit(jax.vmap(agent.act, in_axes=(None, None, 0)))

    def truth_of(state: AgentState, step: float) -> slopes.TrueSlopes:
        return slopes.true_slopes(
            job.env,
            partial(act, state.params.actor, key),
            job.config.agent.gamma,
            length=job.config.episode_length,
            num_states=options.num_states,
            horizon=options.horizon,
            step=step,
            num_draws=options.num_draws,
            seed=options.states_seed,
        )

    if not isinstance(job.env, HostEnv):
        truth_of = jax.jit(truth_of, static_argnums=1, compiler_options=compilation)
    audit = jax.jit(partial(slopes.audit_agent, agent, unrolled=options.unrolled), compiler_options=compilation)

    def measure(state: AgentState) -> tuple[slopes.TrueSlopes, dict[str, slopes.Agreement]]:
        truth, finer = (truth_of(state, step) for step in (options.step, options.step / 2))
        return truth, {"half step": slopes.compare(truth.slope, finer.slope)} | audit(state, truth)

    return measure


def lines_of(rows: list[Row]) -> Iterator[tuple[Any, ...]]:
    """The cells of slopes.csv; what is not known is empty."""
    yield *Row._fields[:3], *slopes.Summary._fields, Row._fields[4]
    for row in rows:
        cells = (*row[:3], *row.summary, row.truth_error)
        yield tuple("" if isinstance(cell, float) and math.isnan(cell) else cell for cell in cells)


def told(row: Row) -> str:
    """What the console says of a row."""
    of = row.summary
    return (
        f"seed {row.seed}, {row.estimate:>9}: cosine {of.cosine:5.2f} ({of.cosine_low:.2f} to {of.cosine_high:.2f}), "
        f"size {of.size:.3f} ({of.size_low:.3f} to {of.size_high:.3f}), {of.states} states"
    )


def run(options: argparse.Namespace) -> None:
    """Everything between the arguments and the exit status."""
    progress, rows = Progress(), []
    job = load_job(options.run_dir)
    check_seed(options.seed, chain(*job.config.seed_groups))
    measure = make_measure(job, options)
    try:
        for seed, env_steps, state in restore_agents(job, options.run_dir):
            if options.seed not in (None, seed):
                continue
            truth, agreements = measure(state)
            error = truth.relative_error
            known = "is not known, by one draw of the noise" if math.isnan(error) else f"is {error:.0%} of their size"
            progress.print(f"seed {seed}, {env_steps} env steps: true slopes, whose standard error {known}")
            for estimate, agreement in agreements.items():
                rows.append(Row(env_steps, seed, estimate, slopes.summarize(agreement), error))
                progress.print(told(rows[-1]))
    except ConfigError:
        raise
    except ValueError as error:  # a wrong number, another configuration's checkpoint, episodes that do not repeat
        raise ConfigError(str(error)) from error
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines_of(rows))
    write_text(options.run_dir / "slopes.csv", text.getvalue())
    progress.print(f"written: {options.run_dir / 'slopes.csv'}")


def main() -> None:
    """Entry point."""
    start.main(make_parser(), run)


if __name__ == "__main__":
    main()
