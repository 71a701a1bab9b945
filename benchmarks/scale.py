"""Operations and bytes of an update and a seed: the formulas beside what is traced, allocated and compiled.

    python -m benchmarks.scale
    python -m benchmarks.scale --method=td3 --size=laptop
    python -m benchmarks.scale --trace_only

Traced are the distinct products of an update and of its parts: of each method and size, and of the default method at
other sizes of state, action, batch and samples, too. The compiler's own count, of whole updates of the former, has
element-wise operations besides. Every update has one of the actor. It writes docs/results/scale.csv; rows of the
present device are replaced.
"""

import argparse
import math
from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from agents import gin_names
from benchmarks.counting import distinct_operations
from benchmarks.formulas import ModelKind, Setting, kept_bytes, operations, seed_bytes
from benchmarks.methods import SIZES, device_name, temporary_bytes
from benchmarks.shares import parts_of
from benchmarks.update import random_batch
from experiments.lib.results import RESULTS, Results
from sobolev.agent import Agent, AgentConfig, make_agent, updates
from sobolev.metrics import MMD, MSMMD
from sobolev.training import loop
from sobolev.training.config import TrainConfig
from sobolev.training.job import full_precision
from sobolev.types import Spec

PARTS = ("whole", "world model", "target", "critics", "actor")


class Form(NamedTuple):
    """What of a method is in the factories of its parts, and so in no number of the agent.

    Fields:
        model: its world model.
        distributional: whether its critics have noise.
        normalized: whether they have normalized layers and a quadratic term.
        bindings: that make it so.
    """

    model: ModelKind
    distributional: bool
    normalized: bool = True
    bindings: tuple[str, ...] = ()


FORMS = {
    "td3": Form("recorded", False),
    "mmd": Form("recorded", True),
    "huber_cvae": Form("cvae", False),
    "huber_mage": Form("ensemble", False),
    "mmd_cvae": Form("cvae", True),
    "msmmd_action": Form("cvae", True),
    "msmmd_cvae": Form("cvae", True),
    "msmmd_closed_loop": Form("cvae", True),
    "dsdpg_2026": Form("cvae", True, normalized=False),
}


class Widths(NamedTuple):
    """Of critics and actor, of the world model and its ensemble, and of the critics' noise."""

    hidden: tuple[int, ...]
    model: tuple[int, ...]
    members: int
    noise: int


WIDTHS = {"laptop": Widths((64, 64), (64, 64), 4, 16), "paper": Widths((256, 256), (512, 512, 512), 8, 50)}


class Case(NamedTuple):
    """What is counted, and where; a point critic has one sample."""

    device: str
    method: str
    size: str
    state: int
    action: int
    batch: int
    samples: int
    part: str


class Cost(NamedTuple):
    """MFLOP by the formula, traced and compiled; MiB of a seed by the formula and allocated; MiB of an update's
    temporaries, by the formula for what the critics' loss keeps and compiled.

    What a row does not have is nan: parts are not compiled, and hold nothing of their own.
    """

    formula_mflop: float
    traced_mflop: float
    compiled_mflop: float
    formula_mib: float
    held_mib: float
    kept_mib: float
    temporary_mib: float


CHANGES: tuple[dict[str, Any], ...] = (
    {"state": 4},
    {"state": 100},
    {"action": 1},
    {"action": 30},
    {"batch": 256},
    {"samples": 32},
)


def cases(device: str, methods: list[str], sizes: list[str]) -> Iterator[tuple[Case, bool]]:
    """Each method at each size, for a state of 17 and an action of 6, and whether one number of it was changed."""
    for size in sizes:
        batch, samples = (64, 8) if size == "laptop" else (256, 10)
        for method in methods:
            case = Case(device, method, size, 17, 6, batch, samples if FORMS[method].distributional else 1, "whole")
            yield case, False
            if (method, size) == ("msmmd_cvae", "laptop"):
                yield from ((case._replace(**change), True) for change in CHANGES)


def load(case: Case) -> TrainConfig:
    """The configuration of a case."""
    samples = [f"samples = {case.samples}"] if FORMS[case.method].distributional else []
    common = ["agent.policy_delay = 1", "agent.actor_start = 0", f"agent.batch_size = {case.batch}"]
    return gin_names.load((f"gin/{case.method}.gin", *SIZES[case.size]), [*common, *samples])


def setting_of(case: Case, config: AgentConfig) -> Setting:
    """The numbers of a configuration; those within factories are the form's and the size's."""
    form, widths = FORMS[case.method], WIDTHS[case.size]
    samples = jax.ShapeDtypeStruct((config.num_critics, config.num_samples, 1), jnp.float32)
    setting = Setting(
        state=case.state,
        action=case.action,
        batch=config.batch_size,
        samples=config.num_samples,
        targets=jax.eval_shape(config.correction, samples).shape[0],
        critics=config.num_critics,
        gradient=config.gradient,
        noise=widths.noise if form.distributional else 0,
        widths=widths.hidden,
        layer_norm=form.normalized,
        quadratic=form.normalized,
        model=form.model,
        model_widths=widths.model,
        members=widths.members,
        imagination=config.noise_source == "imagination",
        target_noise=config.target_noise > 0,
        policy_delay=config.policy_delay,
        metric={MMD: "mmd", MSMMD: "msmmd"}.get(type(config.metric), "other"),
    )
    if not isinstance(config.metric, MSMMD):
        return setting
    search = config.metric.search
    starts = 1 + search.num_directions + (1 + setting.differentiated if search.axes else 0)
    return setting._replace(starts=starts, climbs=search.num_climbs, steps=search.num_steps)


def by_formula(setting: Setting) -> dict[str, float]:
    """The operations of the whole and of its parts, the metric within the critics'."""
    found = operations(setting)
    return {
        "whole": found.total,
        "world model": found.world_model,
        "target": found.target,
        "critics": found.critics + found.metric,
        "actor": found.actor,
    }


def traced(agent: Agent, spec: Spec) -> dict[str, float]:
    """The same, counted."""
    state, batch, y = shapes(agent, spec)
    return {name: distinct_operations(part, state, batch, y) for name, part in parts_of(agent).items() if name in PARTS}


def shapes(agent: Agent, spec: Spec) -> tuple[Any, Any, Any]:
    """Of the agent's state, a batch and the target's samples."""
    key, size = jax.random.key(0), agent.parts.config.batch_size
    state = jax.eval_shape(agent.init, key)
    batch = jax.eval_shape(lambda: random_batch(key, size, spec))
    return state, batch, jax.eval_shape(partial(updates.target_samples, agent.parts), state, key, batch)


def held_bytes(agent: Agent, config: TrainConfig) -> int:
    """What a seed holds from update to update, without its environments."""
    key = jax.random.key(0)
    state = jax.eval_shape(lambda: loop.init_learner(agent, config.loop, key, key))
    return sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(state))


def measure(case: Case, is_compiled: bool) -> dict[Case, Cost]:
    """A case and its parts."""
    config, spec = load(case), Spec(case.state, case.action)
    setting = setting_of(case, config.agent)
    with full_precision():
        agent = make_agent(config.agent, spec)
        counted = traced(agent, spec)
        held = held_bytes(agent, config)
        compiled_mflop, temporary_mib = compiled(agent, config, spec) if is_compiled else (math.nan, math.nan)
    of_whole = Cost(
        math.nan,
        math.nan,
        compiled_mflop=compiled_mflop,
        formula_mib=seed_bytes(setting, config.loop.replay_capacity).total / 2**20,
        held_mib=held / 2**20,
        kept_mib=kept_bytes(setting) / 2**20,
        temporary_mib=temporary_mib,
    )
    found = {}
    for part, formula in by_formula(setting).items():
        row = of_whole if part == "whole" else Cost(*(math.nan for _ in of_whole))
        row = row._replace(formula_mflop=formula / 1e6, traced_mflop=counted[part] / 1e6)
        found[case._replace(part=part)] = Cost(*(round(number, 4) for number in row))
    return found


def compiled(agent: Agent, config: TrainConfig, spec: Spec) -> tuple[float, float]:
    """MFLOP and MiB of temporaries of an update, as the compiler counts them."""
    options = config.cpu_compiler_options if jax.default_backend() == "cpu" else {}
    program = jax.jit(agent.update).lower(*shapes(agent, spec)[:2]).compile(compiler_options=options)
    analysis = program.cost_analysis()
    mflop = float(analysis["flops"]) / 1e6 if analysis else math.nan
    return mflop, temporary_bytes(program) / 2**20


def main() -> None:
    """Counts, writes the rows and prints them."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.scale", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--method", action="append", choices=FORMS, help="default: all")
    parser.add_argument("--size", action="append", choices=SIZES, help="default: both")
    parser.add_argument("--trace_only", action="store_true", help="compile nothing")
    options = parser.parse_args()
    results = Results(RESULTS / "scale.csv", Case, Cost)
    for case, is_changed in cases(device_name(), options.method or list(FORMS), options.size or list(SIZES)):
        found = measure(case, is_compiled=not options.trace_only and not is_changed)
        results.add(found)
        for key, cost in found.items():
            print(
                f"{key.method:17} {key.size} S {key.state:3} A {key.action:2} B {key.batch:3} N {key.samples:2} "
                f"{key.part:11} {cost.formula_mflop:10.3f} MFLOP, traced {cost.traced_mflop:10.3f}, "
                f"formula/traced {cost.formula_mflop / cost.traced_mflop if cost.traced_mflop else 1:.4f}, "
                f"compiled {cost.compiled_mflop:10.3f}, seed {cost.formula_mib:.3f} of {cost.held_mib:.3f} MiB, "
                f"temporary {cost.temporary_mib:.2f} MiB, of which kept {cost.kept_mib:.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
