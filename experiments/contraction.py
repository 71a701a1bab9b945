"""Does a backup contract? Every metric, kernel and operator, on pairs of distributions, against the rate promised.

    python -m experiments.contraction

A case is an operator and pairs of distributions, random ones or a witness of a theorem; the ratio is that of the
distance after one backup to the distance before, the largest over the case's pairs. It writes
docs/results/contraction.csv (all), contraction.png and contraction.md. Metrics and kernels are those of the registries;
one that is no distance of joint distributions (of scalars, of quantile levels, of single points) is left out, and the
page says so.
"""

import argparse
import dataclasses
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.lib.arguments import base_parser
from experiments.lib.pages import command, page, table
from experiments.lib.pictures import picture
from experiments.lib.results import RESULTS, write_rows
from sobolev import contraction, metrics
from sobolev.metrics import Metric
from sobolev.training.logs import write_text
from sobolev.types import Array, Noise

GAMMA, PAIRS, N, M = 0.9, 40, 24, 32
SEARCH = 0.02  # what the ascent of a max-sliced metric may miss of the supremum

Pairs = tuple[np.ndarray, np.ndarray]  # samples [pairs, N, D] and [pairs, M, D]


class Case(NamedTuple):
    """Pairs of distributions before and after a backup; ``promised`` where the theorems speak of its operator."""

    name: str
    gamma_kappa: float
    promised: bool
    before: Pairs
    after: Pairs


class Row(NamedTuple):
    """One line of the table; ``promised`` is nan where no theorem holds."""

    case: str
    gamma_kappa: float
    metric: str
    kernel: str
    promised: float
    ratio: float


def linear_parts(f: np.ndarray, g: np.ndarray, gain: np.ndarray) -> tuple[np.ndarray, float]:
    """The matrix gamma A of the complete backup of s' = F s + G a under a = K s, and gamma kappa."""

    def simulate(s: Array, a: Array, n: Noise) -> tuple[Array, Array, Array]:
        del n
        return f @ s + g @ a, jnp.zeros(()), jnp.ones(())

    def policy(s: Array) -> Array:
        return jnp.asarray(gain) @ s

    s, a = jnp.ones((1, f.shape[0])), jnp.ones((1, g.shape[1]))
    matrix = contraction.backup(simulate, policy, s[0], a[0], None).linear
    return GAMMA * np.asarray(matrix), GAMMA * float(contraction.kappa(simulate, policy, s, a, s))


def random_distributions(rng: np.random.Generator, size: int) -> Pairs:
    """``[PAIRS, N, D]`` and ``[PAIRS, M, D]``: other means, spreads and shapes, on scales from 0.1 to 100."""
    scale = 10 ** rng.uniform(-1, 2, size=(PAIRS, 1, 1))
    x = rng.normal(size=(PAIRS, N, size)) @ rng.normal(size=(PAIRS, size, size))
    y = rng.exponential(size=(PAIRS, M, size)) @ rng.normal(size=(PAIRS, size, size))
    shift = rng.uniform(0, 5, size=(PAIRS, 1, 1)) * rng.normal(size=(PAIRS, 1, size))
    return scale * x, scale * (y + shift)


def mapped(name: str, matrix: np.ndarray, gamma_kappa: float, pairs: Pairs) -> Case:
    """The case of one linear operator."""
    x, y = pairs
    return Case(name, gamma_kappa, True, pairs, (x @ matrix.T, y @ matrix.T))


def gentle(rng: np.random.Generator) -> Case:
    """A random task of two states and one action whose |H| is 1, so that gamma kappa = gamma."""
    f, g, gain = rng.normal(size=(2, 2)), rng.normal(size=(2, 1)), rng.normal(size=(1, 2))
    scale = np.linalg.norm(np.vstack([np.eye(2), gain]) @ np.hstack([f, g]), 2)
    return mapped(
        "complete, random distributions", *linear_parts(f / scale, g / scale, gain), random_distributions(rng, 4)
    )


def masked() -> Case:
    """Where s' ignores s and a, the backup is diag(gamma, 0): a shared spread hides a gap of the returns no longer."""
    spread = np.linspace(-2, 2, N)
    x = np.stack([np.zeros(N), 10 * spread, 0 * spread], axis=1)[None]
    y = x + np.array([1.0, 0.0, 0.0])
    matrix, gamma_kappa = linear_parts(np.zeros((1, 1)), np.zeros((1, 1)), np.zeros((1, 1)))
    return mapped("complete, shared spread", matrix, gamma_kappa, (x, y))


def waves(gradient: str, n: int = 4) -> Case:
    """Z1 = 0 and Z2 = sin(n² s) / n on s' = (s + a) / 2, pi = 0: point masses, their distance the largest over s."""
    s = np.concatenate([np.linspace(-1, 1, 400), [0.0]])[:, None]
    s_next = s / 2
    value, slope = np.sin(n**2 * s_next) / n, n * np.cos(n**2 * s_next)
    matrix, gamma_kappa = linear_parts(np.full((1, 1), 0.5), np.full((1, 1), 0.5), np.zeros((1, 1)))
    before = np.concatenate([value, 0 * slope, slope], axis=1)[:, None]
    after = before @ matrix.T
    columns = 2 if gradient == "action" else 3
    before, after = before[..., :columns], after[..., :columns]
    name = {"action": "action, waves", "state_action": "complete, waves"}[gradient]
    return Case(name, gamma_kappa, gradient != "action", (0 * before, before), (0 * after, after))


def double_integrator(rng: np.random.Generator, closed_loop: bool) -> Case:
    """A stable closed loop whose complete backup expands; along the policy it contracts, in the loop's own metric."""
    f, g = np.array([[1.0, 0.05], [0.0, 1.0]]), np.array([[0.0], [0.05]])
    gain = np.array([[-4.0, -3.0]])
    if not closed_loop:
        return mapped("complete, double integrator", *linear_parts(f, g, gain), random_distributions(rng, 4))
    loop = f + g @ gain
    factor = np.linalg.cholesky(contraction.lyapunov_metric(jnp.asarray(loop), 0.95)).T
    own = np.linalg.solve(factor.T, loop.T @ factor.T)  # M^T on gradients in the coordinates of the metric
    matrix = GAMMA * np.block([[np.ones((1, 1)), np.zeros((1, 2))], [np.zeros((2, 1)), own]])
    norm = GAMMA * max(1.0, float(np.linalg.norm(own, 2)))
    return mapped("closed loop, double integrator", matrix, norm, random_distributions(rng, 3))


def candidates() -> Iterator[tuple[str, str, Metric]]:
    """Name, kernel and metric: every entry of the registry with every kernel, where it compares joint samples."""
    for name in metrics.registry.names():
        factory: Any = metrics.registry.get(name)
        fields = {field.name for field in dataclasses.fields(factory)} if dataclasses.is_dataclass(factory) else set()
        choice = {"estimator": "v"} if "estimator" in fields else {}
        if "kernel" not in fields:
            made = {"": factory(**choice)}
        else:
            kernels = metrics.kernels.registry
            made = {kernel: factory(kernel=kernels.make(kernel), **choice) for kernel in kernels.names()}
        yield from ((name, kernel, metric) for kernel, metric in made.items() if compares_joint_samples(metric))


@cache
def compiled(metric: Metric) -> Callable[..., Array]:
    """The metric over pairs, compiled once for all pairs of a shape."""
    return jax.jit(jax.vmap(metric))


def distances(metric: Metric, pairs: Pairs) -> np.ndarray:
    """``[pairs]``, the roots of the losses: squared but for a Wasserstein metric, which is to the power of its p."""
    keys = jax.random.split(jax.random.key(0), len(pairs[0]))
    losses = compiled(metric)(keys, *pairs)
    return np.maximum(np.asarray(losses), 0.0) ** (1.0 / getattr(metric, "p", 2))


def compares_joint_samples(metric: Metric) -> bool:
    """Whether it takes joint samples, and finds no distance from one to itself."""
    x = jnp.array([[0.0, 1.0], [2.0, -1.0], [-3.0, 0.5]])
    try:
        same, other = (float(metric(jax.random.key(0), x, y)) for y in (x, x + 1.0))
    except ValueError:
        return False
    return abs(same) < 1e-6 * other


def measure(case: Case) -> Iterator[Row]:
    """The largest ratio of each metric that takes such samples; of waves, the ratio of the suprema over states."""
    for name, kernel, metric in candidates():
        before, after = distances(metric, case.before), distances(metric, case.after)
        ratio = after.max() / before.max() if "waves" in case.name else (after / before).max()
        rate = metric.contraction_rate(case.gamma_kappa) if case.promised else None
        yield Row(case.name, case.gamma_kappa, name, kernel, float("nan") if rate is None else rate, float(ratio))


def verdict_of(row: Row) -> str:
    """In words, whether the promise holds."""
    if np.isnan(row.promised):
        return "none promised" + (", expands" if row.ratio > 1 else "")
    return "holds" if row.ratio <= row.promised * (1 + SEARCH) else "BROKEN"


def label_of(row: Row) -> str:
    """Metric and kernel, in one line of the picture."""
    return f"{row.metric} {row.kernel}".strip()


def draw(rows: list[Row], path: Path) -> None:
    """One panel per case: a dot for the ratio, a bar for the rate promised, a dotted line at 1."""
    cases = list(dict.fromkeys(row.case for row in rows))
    labels = list(dict.fromkeys(map(label_of, rows)))
    size = (12, 2.2 + 0.42 * len(labels))
    with picture(path, 2, 3, figsize=size, sharex=True, sharey=True) as (figure, panels):
        for axes, case in zip(panels, cases, strict=True):
            draw_case(axes, [row for row in rows if row.case == case], labels)
            largest = max(row.ratio for row in rows)
            ticks = [tick for tick in (0.5, 0.7, 1, 1.5, 2, 3, 5, 10, 20, 50) if tick <= largest]
            axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
            axes.minorticks_off()
        for axes in panels[3:]:
            axes.set_xlabel("distance after / before, largest pair")
        figure.suptitle("dot: measured (red above 1); blue bar: the rate promised", fontsize=10)


def draw_case(axes: Any, rows: list[Row], labels: list[str]) -> None:
    """One panel."""
    places = {label: i for i, label in enumerate(reversed(labels))}
    for row in rows:
        y = places[label_of(row)]
        color = "tab:red" if row.ratio > 1 else "tab:grey" if np.isnan(row.promised) else "tab:blue"
        axes.plot(row.ratio, y, "o", color=color, markersize=5)
        axes.plot([row.promised] * 2, [y - 0.35, y + 0.35], color="tab:blue", linewidth=1.5)
    axes.axvline(1.0, color="black", linewidth=0.8, linestyle=":")
    axes.set_xscale("log")
    axes.set_title(f"{rows[0].case} (γκ = {rows[0].gamma_kappa:.2g})", fontsize=10)
    axes.set_yticks(list(places.values()), list(places), fontsize=8)


def cells_of(row: Row) -> tuple[str, ...]:
    """One row of the table."""
    promised = "none" if np.isnan(row.promised) else f"{row.promised:.3f}"
    numbers = f"{row.gamma_kappa:.3f}", row.metric, row.kernel, promised, f"{row.ratio:.3f}"
    return row.case, *numbers, verdict_of(row)


def report(rows: list[Row]) -> str:
    """The page."""
    shown = {row.metric for row in rows}
    left_out = sorted(set(metrics.registry.names()) - shown)
    held = sum(verdict_of(row) == "holds" for row in rows)
    broken = sum(verdict_of(row) == "BROKEN" for row in rows)
    grown = sum(np.isnan(row.promised) and row.ratio > 1 for row in rows)
    return page(
        "Does a backup contract?",
        command("contraction"),
        f"gamma = {GAMMA}. The ratio is that of the distance after one backup to that before, the largest over the\n"
        f"pairs of the case ({PAIRS} of random distributions, {N} atoms against {M}); the rate is what the metric\n"
        "declares at the case's gamma kappa. Of max-sliced metrics the ratio has the search's error of up to 2%.",
        table(
            ("operator and distributions", "gamma kappa", "metric", "kernel", "promised", "measured", ""),
            map(cells_of, rows),
        ),
        f"Promises kept: {held}; broken: {broken}. Expansions where nothing is promised: {grown}.",
        f"Left out, since they are no distance of joint distributions: {', '.join(left_out)}." if left_out else "",
    )


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    return base_parser("contraction", __doc__)


def main() -> None:
    """Measures every case, then writes data, picture and page."""
    make_parser().parse_args()
    jax.config.update("jax_enable_x64", True)
    rng = np.random.default_rng(0)
    cases = [
        gentle(rng),
        masked(),
        waves("state_action"),
        waves("action"),
        double_integrator(rng, closed_loop=False),
        double_integrator(rng, closed_loop=True),
    ]
    rows = [row for case in cases for row in measure(case)]
    write_rows(RESULTS / "contraction.csv", Row._fields, rows)
    draw(rows, RESULTS / "contraction.png")
    text = report(rows)
    write_text(RESULTS / "contraction.md", text)
    print(text)


if __name__ == "__main__":
    main()
