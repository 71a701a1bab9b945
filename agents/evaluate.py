"""What a run has learned: the returns of its policies over fixed episodes, and one page to look at.

For each seed, as of its newest checkpoint: the mean undiscounted return over episodes that training has not seen, the
same for all seeds and methods, with a 95% bootstrap interval over episodes; from three seeds on the interquartile mean
over seeds, with a 95% interval over seeds. A run keeps its newest two checkpoints. Where the older is that of the
seed's best evaluation during training, it is evaluated, too. Where the task has noise (train.noise), the environment
with it ("noisy") and without ("clean") are apart. RUN_DIR/evaluation.csv has all of it. Of a folder of runs, a sweep,
each run is evaluated; those that differ in their seeds alone are one setting, and the folder has an evaluation.csv of
all of them.

RUN_DIR/page.html shows one episode of one seed, in a browser and without a network: the body, the returns that the
agent's critics expect against those that follow, and the slopes that its actor climbs against the task's own.
RUN_DIR/video.mp4 is the same episode, where --video asks for it and MuJoCo can render.
"""

import argparse
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# This file's folder would hide modules of the same names; a gin file may import one from where the program is started.
sys.path[:] = [str(ROOT), *(path for path in sys.path if path != str(ROOT / "agents")), os.getcwd()]

import jax  # noqa: E402

from agents import start  # noqa: E402

with start.quiet():
    from agents import video
    from agents.arguments import Parser
    from agents.gin_messages import ConfigError
    from agents.methods import Method, methods_of, name_of_run
    from agents.page.data import Numbers, Shown, choose_seed, page_data, record
    from agents.page.render import render
    from agents.runs import load_job, restore_kept_agents
    from agents.scores import Row, evaluated, rows_over_seeds, table, to_csv
    from sobolev.checks import check_count
    from sobolev.training import Job, Progress
    from sobolev.training.faults import DivergedError
    from sobolev.training.logs import write_text


EXAMPLES = {
    "a run": "agents/evaluate.py runs/msmmd_cvae/seed0",
    "all runs of a sweep, without pages": "agents/evaluate.py runs/my_sweep --frames=0",
    "more episodes and no page, which takes longest": (
        "agents/evaluate.py runs/msmmd_cvae/seed0 --episodes=1000 --frames=0"
    ),
}


def make_parser() -> Parser:
    """The command line."""
    parser = Parser("agents/evaluate.py", __doc__, EXAMPLES)
    parser.add_argument("directory", type=Path, metavar="RUN_DIR", help="of a run, or of several runs")
    parser.add_argument("--episodes", type=int, default=100, help="of each seed")
    page = parser.add_argument_group("the page and the video")
    usual = Numbers()
    page.add_argument("--seed", type=int, help="whose episode; by default the first of the run")
    page.add_argument("--frames", type=int, default=usual.frames, help="steps to look at, 0 for no page")
    page.add_argument("--rollouts", type=int, default=usual.rollouts, help="of the task from each of them")
    page.add_argument("--horizon", type=int, help="rewards in a return; by default until gamma^t is below 1e-3")
    page.add_argument("--video", action="store_true", help="also the episode as video.mp4; needs imageio-ffmpeg")
    return parser


def numbers_of(options: argparse.Namespace) -> Numbers:
    """How much is computed for a page; a ValueError for a number out of its range."""
    check_count(1, **{"--episodes": options.episodes})
    check_count(0, **{"--frames": options.frames})
    check_count(1, **{"--rollouts": options.rollouts, "--horizon": 1 if options.horizon is None else options.horizon})
    return Numbers(frames=options.frames, rollouts=options.rollouts, horizon=options.horizon)


def evaluate_run(run_dir: Path, options: argparse.Namespace, numbers: Numbers, tell: Progress) -> list[Row]:
    """Evaluates a run and writes its files.

    Returns:
        The rows of its seeds.
    """
    job = load_job(run_dir)
    kept_of_seeds = list(restore_kept_agents(job, run_dir))
    chosen = choose_seed([kept[-1] for kept in kept_of_seeds], options.seed)
    rows = list(evaluated(job, run_dir, kept_of_seeds, options.episodes, tell))
    every = [*rows, *rows_over_seeds(rows)]
    tell.print(f"undiscounted returns of {options.episodes} episodes\n{table(every)}")
    write_text(run_dir / "evaluation.csv", to_csv(every))
    tell.print(f"written: {run_dir / 'evaluation.csv'}")
    if options.frames or options.video:
        shown = record(job, chosen, numbers.horizon_for(job.config.agent.gamma))
        if options.frames:
            write_page(job, run_dir, shown, numbers, tell)
        if options.video:
            write_video(run_dir, shown, tell)
    return rows


def write_page(job: Job, run_dir: Path, shown: Shown, numbers: Numbers, tell: Progress) -> None:
    """Writes page.html."""
    path = run_dir / "page.html"
    write_text(path, render(page_data(job, shown, name_of_run(run_dir), numbers)))
    tell.print(f"written: {path}, for a browser: seed {shown.agent.seed} at {shown.agent.env_steps} env steps")


def write_video(run_dir: Path, shown: Shown, tell: Progress) -> None:
    """Writes video.mp4."""
    motion = shown.episode.motion
    if motion is None:
        raise ConfigError(f"{run_dir}: no video: MuJoCo describes no body of this task")
    path = run_dir / "video.mp4"
    video.write_video(motion, path)
    tell.print(f"written: {path}, {len(motion.positions) * motion.dt:.1f} s")


def evaluate_sweep(folder: Path, options: argparse.Namespace, numbers: Numbers, tell: Progress) -> None:
    """Evaluates every run below a folder, and writes what came of all of them there."""
    found: list[tuple[str, Row]] = []
    problems: list[str] = []
    methods = methods_of([folder])
    for method in methods:
        rows: list[Row] = []
        for run_dir in method.directories:
            tell.print(f"{method.name}: {run_dir}")
            try:
                rows += evaluate_run(run_dir, options, numbers, tell)
            except (ConfigError, ValueError, DivergedError) as error:
                problems.append(str(error))
                tell.print(f"not evaluated: {error}")
            jax.clear_caches()  # a program of another run is not needed again
        found += [(method.name, row) for row in (*rows, *rows_over_seeds(rows))]
    write_sweep(folder, found, methods, tell)
    if problems:
        runs = sum(len(method.directories) for method in methods)
        raise ConfigError(f"{len(problems)} of {runs} runs have not come to their end, the first: {problems[0]}")


def write_sweep(folder: Path, found: list[tuple[str, Row]], methods: list[Method], tell: Progress) -> None:
    """Writes and tells the rows of all settings."""
    names, rows = [name for name, _ in found], [row for _, row in found]
    if not found:
        return
    tell.print(f"all settings, {len(methods)} in number\n{table(rows, names)}")
    write_text(folder / "evaluation.csv", to_csv(rows, names))
    tell.print(f"written: {folder / 'evaluation.csv'}")


def run(options: argparse.Namespace) -> None:
    """Everything between the arguments and the exit status."""
    progress = Progress()
    try:
        numbers = numbers_of(options)
        if options.video:
            video.check_encoder()
        if options.directory.is_dir() and not (options.directory / "config.gin").is_file():
            evaluate_sweep(options.directory, options, numbers, progress)
        else:
            evaluate_run(options.directory, options, numbers, progress)
    except ConfigError:
        raise
    except ValueError as error:  # a wrong number, another configuration's checkpoint, episodes that do not repeat
        raise ConfigError(str(error)) from error


def main() -> None:
    """Entry point."""
    start.main(make_parser(), run)


if __name__ == "__main__":
    main()
