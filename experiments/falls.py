"""What does a run of HalfCheetah-v5 lose when it loses late? Episodes that end on the back, of trained policies.

    python -m experiments.base --task=halfcheetah_v5 --name=halfcheetah_v5 --seeds=200-209 --arm=TD3 --arm=Sobolev
    python -m experiments.falls --name=halfcheetah_v5

Each policy that the runs of the first command have left in runs/<name> plays episodes of 1 000 steps. An episode ends
on the back where the body is turned over at its end, cos(pitch) < 0; nothing terminates an episode of this task. It
writes docs/results/falls_<name>.csv and .md; policies that the .csv holds do not play again.
"""

import argparse
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

import sobolev
from experiments.lib.arguments import base_parser
from experiments.lib.pages import command, page, table
from experiments.lib.results import RESULTS, RUNS, Results
from sobolev import environments
from sobolev.environments.host import Instance, play
from sobolev.training.logs import write_text

EPISODES, LENGTH = 20, 1_000
PITCH = 1  # among the observations
HEADER = ("", "seeds", "episodes that end on the back", "mean return of the others", "mean return of those")


class Policy(NamedTuple):
    """A trained policy."""

    arm: str
    seed: int


class Falls(NamedTuple):
    """Of a policy's episodes: how many end on the back, and the mean return of the others and of those."""

    on_the_back: int
    upright_return: float
    fallen_return: float


def policies(name: str) -> Iterator[tuple[Policy, Path]]:
    """All that the runs have left, and their files."""
    for path in sorted((RUNS / name).glob("*/*/policies/seed*.jaxexport")):
        yield Policy(path.parents[2].name, int(path.stem.removeprefix("seed"))), path


def falls_of(path: Path) -> Falls:
    """Plays a policy."""
    policy, last = sobolev.load_policy(path), np.zeros(EPISODES)

    def act(step: int, observations: np.ndarray) -> np.ndarray:
        del step
        last[:] = observations[:, PITCH]
        return np.asarray(policy(observations))

    env = environments.registry.make("gymnasium", id="HalfCheetah-v5")
    instances: list[Instance] = [env.instance() for _ in range(EPISODES)]
    returns, _ = play(instances, act, range(EPISODES), LENGTH)
    for instance in instances:
        instance.close()
    fallen = np.cos(last) < 0  # a body that went all the way round stands again
    upright_return, fallen_return = (
        float(returns[which].mean()) if which.any() else 0.0 for which in (~fallen, fallen)
    )
    return Falls(int(fallen.sum()), upright_return, fallen_return)


def row_of(arm: str, found: list[Falls]) -> tuple[str, ...]:
    """The cells of one arm; returns are averaged over its episodes."""
    fallen = np.array([falls.on_the_back for falls in found])
    means = [
        f"{np.average(returns, weights=counts):.0f}" if counts.any() else ""
        for returns, counts in (
            ([falls.upright_return for falls in found], EPISODES - fallen),
            ([falls.fallen_return for falls in found], fallen),
        )
    ]
    return arm, f"{len(found)}", ", ".join(map(str, fallen)), *means


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = base_parser("falls", __doc__)
    parser.add_argument("--name", default="halfcheetah_v5", help="of the folder in runs; default: %(default)s")
    return parser


def main() -> None:
    """Plays the policies that are new, then writes data and page."""
    parser = make_parser()
    name = parser.parse_args().name
    results = Results(RESULTS / f"falls_{name}.csv", Policy, Falls)
    found = dict(policies(name))
    if not found and not results.rows:
        parser.error(f"--name={name}: {RUNS / name} holds no policies; train some by python -m experiments.base")
    for policy, path in found.items():
        results.find(policy, partial(falls_of, path))
    arms = {
        policy.arm: [falls for other, falls in results.rows.items() if other.arm == policy.arm]
        for policy in results.rows
    }
    text = page(
        "HalfCheetah-v5: episodes that end on the back",
        command("falls"),
        f"Of {EPISODES} episodes of each trained policy, seed by seed.",
        table(HEADER, [row_of(arm, of_arm) for arm, of_arm in arms.items()]),
    )
    write_text(RESULTS / f"falls_{name}.md", text)
    print(text)


if __name__ == "__main__":
    main()
