"""Updates a second of the baselines beside those of sbx (Stable-Baselines3 in JAX) and of Stable-Baselines3.

    pip install sbx-rl sb3-contrib
    python -m benchmarks.baselines
    python -m benchmarks.baselines --method=td3 --side="ours, equal" --side=sbx

States have 17 numbers and actions 6; batches have 256 rows and networks two layers of 256. "ours, equal" has the
peers' networks, ReLU without skips and residuals, and their optimizer; "ours" has its own. Ten updates are one call,
in one program except for Stable-Baselines3, on batches that are sampled before. Each side has a process of its own,
since the threads of one library slow another's; they are timed in turns. Given are medians, and ratios to sbx. It
writes docs/results/baselines_speed.csv; rows of the present device are replaced.
"""

import argparse
import statistics
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from functools import cache, partial
from multiprocessing import get_context
from typing import Any, NamedTuple

import jax
import numpy as np

from agents import gin_names
from benchmarks.methods import device_name
from benchmarks.update import FUSED, SPEC, random_batch, seconds
from experiments.lib.results import RESULTS, Results
from sobolev.agent import make_agent
from sobolev.training.job import full_precision

BATCH, WIDTHS = 256, (256, 256)
METHODS = {"td3": "deterministic", "ddpg": "deterministic", "sac": "squashed_gaussian", "tqc": "squashed_gaussian"}
SIDES = ("ours, equal", "ours", "sbx", "Stable-Baselines3")
PEER_CLASSES = {"td3": "TD3", "ddpg": "DDPG", "sac": "SAC", "tqc": "TQC"}


class Program(NamedTuple):
    """What is timed, and where."""

    device: str
    method: str
    side: str


class Speed(NamedTuple):
    """Of one update."""

    milliseconds: float
    updates_a_second: float


def bindings_of(method: str, *, equal: bool) -> list[str]:
    """The sizes, and the peers' networks and optimizers where they are to be equal."""
    sizes = [f"widths = {WIDTHS}", f"agent.batch_size = {BATCH}", "agent.actor_start = 0"]
    if not equal:
        return sizes
    critic = "fixed_quantile" if method == "tqc" else "deterministic"
    parts = (f"critics.{critic}", f"actors.{METHODS[method]}")
    options = {"skip": False, "residual": False, "activation": "'relu'"}
    return [
        *sizes,
        f"critics.{critic}.layer_norm = False",
        f"critics.{critic}.quadratic = False",
        *(f"{part}.{name} = {value}" for part in parts for name, value in options.items()),
        *(
            line
            for part in ("critic", "actor")
            for line in (
                f"agent.{part}_optimizer = @{part}/optimizers.adam()",
                f"{part}/optimizers.adam.learning_rate = 3e-4",
            )
        ),
    ]


def ours(method: str, *, equal: bool) -> Callable[[], Any]:
    """Ten fused updates of our agent."""
    config = gin_names.load((f"gin/{method}.gin",), bindings_of(method, equal=equal))
    options = config.cpu_compiler_options if jax.default_backend() == "cpu" else {}
    with full_precision():
        agent = make_agent(config.agent, SPEC)
        batches = jax.vmap(partial(random_batch, size=BATCH))(jax.random.split(jax.random.key(0), FUSED))
        state = jax.jit(agent.init)(jax.random.key(1))
        lowered = jax.jit(partial(jax.lax.scan, agent.update)).lower(state, batches)
    return partial(lowered.compile(compiler_options=options), state, batches)


def make_env() -> Any:
    """A task of ``SPEC``'s sizes, which is never stepped."""
    import gymnasium  # type: ignore[import-not-found, unused-ignore]

    class Nowhere(gymnasium.Env):  # type: ignore[misc, unused-ignore]
        observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (SPEC.state_size,), np.float32)
        action_space = gymnasium.spaces.Box(-1.0, 1.0, (SPEC.action_size,), np.float32)

    return Nowhere()


def peer(method: str, side: str) -> Callable[[], Any]:
    """Ten updates of a peer's agent on batches that are sampled before."""
    if side == "sbx":
        import sbx as library  # type: ignore[import-not-found, unused-ignore]
    elif method == "tqc":
        import sb3_contrib as library  # type: ignore[import-not-found, unused-ignore]
    else:
        import stable_baselines3 as library  # type: ignore[import-not-found, unused-ignore]
    from stable_baselines3.common.logger import configure  # type: ignore[import-not-found, unused-ignore]

    model = getattr(library, PEER_CLASSES[method])(
        "MlpPolicy",
        make_env(),
        batch_size=BATCH,
        buffer_size=BATCH * FUSED,
        policy_kwargs={"net_arch": list(WIDTHS)},
        seed=0,
        device="cpu",
    )
    model.set_logger(configure(None, []))
    fill(model.replay_buffer)
    sampled = {size: model.replay_buffer.sample(size) for size in (BATCH, BATCH * FUSED)}
    model.replay_buffer.sample = lambda batch_size, env=None: sampled[batch_size]
    return partial(model.train, FUSED, BATCH)


def fill(replay: Any) -> None:
    """Fills the replay buffer of a peer with random transitions."""
    rows = random_batch(jax.random.key(0), BATCH * FUSED)
    for s, a, r, s_next in zip(*(np.asarray(x) for x in (rows.s, rows.a, rows.r, rows.s_next)), strict=True):
        replay.add(s, s_next, a, r[None], np.zeros(1), [{}])


@cache
def build(method: str, side: str) -> Callable[[], Any]:
    """Ten updates of one side."""
    return ours(method, equal=side == "ours, equal") if side.startswith("ours") else peer(method, side)


def time_once(method: str, side: str) -> float:
    """Seconds of ten updates, in the process of that side."""
    return seconds(build(method, side))


def measure(method: str, sides: list[str], rounds: int) -> dict[str, float]:
    """Seconds of an update: each side's median over rounds in which all take their turn, after one that compiles."""
    with ExitStack() as stack:
        pools = {
            side: stack.enter_context(ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn")))
            for side in sides
        }
        times = [
            {side: pool.submit(time_once, method, side).result() for side, pool in pools.items()}
            for _ in range(rounds + 1)
        ]
    return {side: statistics.median(row[side] for row in times[1:]) / FUSED for side in sides}


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.baselines", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--method", action="append", choices=METHODS, help="default: all")
    parser.add_argument("--side", action="append", choices=SIDES, help="default: all")
    parser.add_argument("--rounds", type=int, default=5, help="default: %(default)s")
    return parser


def main() -> None:
    """Measures, writes the rows and prints them."""
    options = make_parser().parse_args()
    results = Results(RESULTS / "baselines_speed.csv", Program, Speed)
    for method in options.method or METHODS:
        took = measure(method, options.side or list(SIDES), options.rounds)
        results.add(
            {
                Program(device_name(), method, side): Speed(round(1e3 * each, 4), round(1 / each, 1))
                for side, each in took.items()
            }
        )
        for side, each in took.items():
            beside = f"{took['sbx'] / each:6.2f} times sbx's updates/s" if "sbx" in took else ""
            print(f"{method:5} {side:18} {1e3 * each:9.3f} ms {1 / each:9.1f} updates/s {beside}", flush=True)


if __name__ == "__main__":
    main()
