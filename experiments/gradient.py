"""Do the gradients earn their place? One method under several values of agent.gradient, seed by seed.

    python experiments/gradient.py --name=reacher --best=-5.9
    python experiments/gradient.py --name=point_mass --gin_file=gin/envs/point_mass.gin --best=8.0

Every run is a call of agents/run.py. Between the return of uniform actions and that of the best policy known, the
experiment reads off how many environment steps each run takes to cover half of the way and 80% of it, and how far it
gets in the end. It writes docs/results/<name>.csv (all curves), <name>.png and <name>.md (the verdict). Runs that the
.csv holds are not run again: delete it, or its rows, to begin anew.
"""

import argparse
import csv
import io
import math
import statistics
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[0] = str(ROOT)

import jax  # noqa: E402
import matplotlib  # noqa: E402
import numpy as np  # noqa: E402

from agents import gin_names, train  # noqa: E402
from sobolev.training.evaluate import evaluate  # noqa: E402
from sobolev.training.logs import read_columns, write_text  # noqa: E402

GRADIENTS = ("action", "state_action", "none")
Curve = dict[str, list[float]]
Curves = dict[str, list[Curve]]


def run_one(gin_files: list[str], arguments: list[str], seed: int, run_dir: Path) -> Curve:
    """One training run, or what it wrote if it is finished already."""
    if not (run_dir / "learning_curve.png").exists():
        command = [sys.executable, "agents/run.py", *(f"--gin_file={file}" for file in gin_files)]
        command += [*arguments, f"--seed={seed}", f"--run_dir={run_dir}", "--resume"]
        subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return read_columns(run_dir / "metrics.csv")


def uniform_return(gin_files: list[str]) -> float:
    """The mean return of uniform actions over 256 episodes."""
    config = gin_names.load(gin_files, [])
    env, _ = train.build(config)

    def act(params: None, key: jax.Array, s: jax.Array) -> jax.Array:
        del params, s
        return jax.random.uniform(key, (env.action_size,), minval=-1.0, maxval=1.0)

    score = jax.jit(lambda key: evaluate(env, act, None, key, 256, config.episode_length))
    return float(np.mean(score(jax.random.key(0)).returns))


def first_crossing(curve: Curve, level: float) -> float:
    """The environment steps of the first evaluation at ``level`` or above; inf if there is none."""
    reached = [s for s, r in zip(curve["env_steps"], curve["eval/return"], strict=True) if r >= level]
    return reached[0] if reached else math.inf


def interval(returns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """95% bootstrap interval of the mean over seeds ``[seeds, evaluations]``, 2000 resamples."""
    draws = np.random.default_rng(0).integers(0, len(returns), (2000, len(returns)))
    low, high = np.percentile(returns[draws].mean(axis=1), [2.5, 97.5], axis=0)
    return low, high


def draw(curves: Curves, levels: dict[str, float], path: Path, title: str) -> None:
    """Mean and interval (single runs, below three seeds) of the return over seeds, with the levels as lines."""
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4.2), layout="constrained")
    for arm, runs in curves.items():
        steps = runs[0]["env_steps"]
        returns = np.array([run["eval/return"] for run in runs])
        (line,) = axes.plot(steps, returns.mean(axis=0), label=arm)
        if len(runs) < 3:  # an interval of two seeds would promise what they cannot hold
            axes.plot(steps, returns.T, color=line.get_color(), linewidth=0.6, alpha=0.6)
        else:
            axes.fill_between(steps, *interval(returns), alpha=0.2, linewidth=0, color=line.get_color())
    low, high = axes.get_ylim()
    low, high = min(low, levels["best known"]), max(high, levels["best known"])
    below = []
    for name, level in levels.items():
        if level < low - (high - low):  # it would leave the curves no room
            below.append(f"{name} {level:.1f}")
            continue
        axes.axhline(level, color="grey", linewidth=0.8, linestyle=":")
        axes.annotate(name, (steps[-1], level), ha="right", va="bottom", fontsize=8, color="grey")
    if below:
        axes.annotate(
            "below: " + ", ".join(below), (0.99, 0.01), xycoords="axes fraction", ha="right", fontsize=8, color="grey"
        )
    axes.set(xlabel="environment steps", ylabel="evaluation return", title=title)
    axes.legend(frameon=False, loc="best")
    figure.savefig(path, dpi=120)


def verdict(curves: Curves, uniform: float, best: float, name: str, command: str) -> str:
    """The numbers, as Markdown."""
    lines = [
        f"# {name}: the gradients, on and off",
        "",
        f"`{command}`",
        "",
        f"Uniform actions return {uniform:.2f}, the best policy known {best:.2f}. Steps are those of the first",
        "evaluation at or above the level, warm-up included; the final return is the mean of the last three.",
        "",
        "| gradient | start | half of the way: steps (median, all) | 80% of the way | final return (mean, all) "
        "| share of the way |",
        "|---|---|---|---|---|---|",
    ]
    for gradient, runs in curves.items():
        half = [first_crossing(run, uniform + 0.5 * (best - uniform)) for run in runs]
        most = [first_crossing(run, uniform + 0.8 * (best - uniform)) for run in runs]
        final = [statistics.fmean(run["eval/return"][-3:]) for run in runs]
        share = (statistics.fmean(final) - uniform) / (best - uniform)
        start = statistics.fmean(run["eval/return"][0] for run in runs)
        every = ", ".join(f"{value:.0f}" for value in half)
        finals = ", ".join(f"{value:.2f}" for value in final)
        lines.append(
            f"| {gradient} | {start:.2f} | {statistics.median(half):.0f} ({every}) | {statistics.median(most):.0f} "
            f"| {statistics.fmean(final):.2f} ({finals}) | {share:.0%} |"
        )
    # What an untrained policy earns already says nothing of learning, so the same is read from there on.
    every_run = [run for runs in curves.values() for run in runs]
    start = statistics.fmean(run["eval/return"][0] for run in every_run)
    crossings = {
        gradient: statistics.median(first_crossing(run, start + 0.5 * (best - start)) for run in runs)
        for gradient, runs in curves.items()
    }
    lines += [
        "",
        f"Half of the way from the untrained policy ({start:.2f}) to the best, steps (median): "
        + ", ".join(f"{gradient} {steps:.0f}" for gradient, steps in crossings.items())
        + ".",
        "",
        *(
            f"Final return, {gradient} less none, seed by seed: {difference_of_finals(runs, curves['none'])}."
            for gradient, runs in curves.items()
            if gradient != "none"
        ),
    ]
    return "\n".join(lines) + "\n"


def final_returns(runs: list[Curve]) -> np.ndarray:
    """Each run's mean over its last three evaluations."""
    return np.array([np.mean(run["eval/return"][-3:]) for run in runs])


def difference_of_finals(runs: list[Curve], others: list[Curve]) -> str:
    """The mean over seeds, which share their networks' start and the warm-up, with its 95% bootstrap interval."""
    differences = final_returns(runs) - final_returns(others)
    low, high = interval(differences[:, None])
    above = f"{np.sum(differences > 0)} of {len(differences)} above 0"
    return f"{differences.mean():+.2f} ({low[0]:+.2f} to {high[0]:+.2f}), {above}"


def seeds_of(text: str) -> list[int]:
    """The numbers that a list of numbers and ranges means, as in "0-4,7"."""
    ranges = [part.split("-") for part in text.split(",")]
    return [seed for ends in ranges for seed in range(int(ends[0]), int(ends[-1]) + 1)]


def read_curves(path: Path, column: str) -> dict[tuple[str, int], Curve]:
    """The curves that were written before, by arm, as ``column`` names it, and seed."""
    curves: dict[tuple[str, int], Curve] = {}
    if path.exists():
        with open(path, newline="") as file:
            for row in csv.DictReader(file):
                curve = curves.setdefault((row[column], int(row["seed"])), {"env_steps": [], "eval/return": []})
                for name, values in curve.items():
                    values.append(float(row[name]))
    return curves


def write_curves(curves: dict[tuple[str, int], Curve], path: Path, column: str) -> None:
    """All evaluations of all runs, one a line."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow((column, "seed", "env_steps", "eval/return"))
    for (arm, seed), run in curves.items():
        for steps, value in zip(run["env_steps"], run["eval/return"], strict=True):
            writer.writerow((arm, seed, int(steps), value))
    write_text(path, text.getvalue())


def run_missing(
    gin_files: list[str], arms: dict[str, list[str]], seeds: list[int], name: str, workers: int, column: str
) -> Curves:
    """The curves of each arm, in the order of the seeds; all that is known is written down.

    Args:
        gin_files: those of every run.
        arms: by name, what its command adds.
        seeds: of every arm.
        name: of the experiment, its .csv and its run directories.
        workers: how many runs at a time.
        column: what an arm is called in the .csv.
    """
    path = ROOT / "docs" / "results" / f"{name}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    known = read_curves(path, column)
    missing = [(arm, seed) for arm in arms for seed in seeds if (arm, seed) not in known]

    def learn(job: tuple[str, int]) -> Curve:
        arm, seed = job
        return run_one(gin_files, arms[arm], seed, Path("runs") / name / f"{arm}-{seed}")

    with ThreadPoolExecutor(workers) as pool:
        known.update(zip(missing, pool.map(learn, missing), strict=True))
    write_curves(known, path, column)
    return {arm: [known[arm, seed] for seed in seeds] for arm in arms}


def main() -> None:
    """Runs what is missing, then writes data, plot and verdict."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--name", required=True)
    parser.add_argument("--method", default="gin/msmmd_cvae.gin")
    parser.add_argument("--gin_file", action="append", default=[], help="added to the method")
    parser.add_argument("--best", type=float, required=True, help="the best return known")
    parser.add_argument("--seeds", type=seeds_of, default="0-4", help="as in 0-4,7")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    gin_files = [options.method, *options.gin_file]
    arms = {gradient: [f"--gin_bindings=agent.gradient='{gradient}'"] for gradient in GRADIENTS}
    curves = run_missing(gin_files, arms, options.seeds, options.name, options.workers, "gradient")
    uniform = uniform_return(gin_files)
    levels = {"uniform": uniform, "80%": uniform + 0.8 * (options.best - uniform), "best known": options.best}
    shown = "95% bootstrap interval" if len(options.seeds) > 2 else "and each run"
    title = f"{options.name}: mean over {len(options.seeds)} seeds, {shown}"
    results = ROOT / "docs" / "results"
    draw(
        {f"gradient = '{name}'": runs for name, runs in curves.items()}, levels, results / f"{options.name}.png", title
    )
    command = "python experiments/gradient.py " + " ".join(sys.argv[1:])
    text = verdict(curves, uniform, options.best, options.name, command)
    write_text(results / f"{options.name}.md", text)
    print(text)


if __name__ == "__main__":
    main()
