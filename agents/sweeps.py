"""The tasks of a sweep: their settings and seeds, their names, and where each stands.

A task is one setting with one group of seeds, and one run directory, ``<setting>/seeds0-9``. What has become of it is
read from there: from the locks, the checkpoints, the rows and log.txt. Nothing else is kept.
"""

import ast
import dataclasses
import hashlib
import io
import itertools
import re
import shlex
import time
import tokenize
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from agents import changes, exits
from agents.gin_messages import ConfigError
from agents.runs import consecutive, name_of_seeds
from sobolev.training import TrainConfig, checkpoint
from sobolev.training.lock import holder_of
from sobolev.training.logs import rows_of_run
from sobolev.training.train import seed_group

CLAIM = "sweep.lock"
"""The lock by which a sweep has a run directory; that of the run itself is another."""
LOG = "log.txt"
MOST_SEEDS = 10_000
LONGEST = 120
"""Letters of a setting's name."""
OF_SEEDS = ("train.seed", "train.num_seeds", "train.seeds_at_once")

# What is asked for.


class Axis(NamedTuple):
    """A name that is swept, and the texts of its values."""

    name: str
    values: tuple[str, ...]


def parse_grid(text: str) -> Axis:
    """The name and the values of ``name=[a, b, …]``.

    Raises:
        ConfigError: it is not of this form, or a value comes twice.

    Example:
        >>> parse_grid("agent.num_samples=[4, 8]")
        Axis(name='agent.num_samples', values=('4', '8'))
    """
    found = re.fullmatch(r"\s*([A-Za-z_][\w./]*)\s*=\s*\[(.*)\]\s*", text, re.DOTALL)
    if not found:
        raise ConfigError(f"--grid={text}: write it as --grid='agent.num_samples=[4,8,16]'")
    name, values = found[1], _elements(found[2], text)
    if not values:
        raise ConfigError(f"--grid={text}: there is no value in the brackets")
    if name in OF_SEEDS:
        raise ConfigError(f"--grid={text}: seeds are given by --seeds=0-9, and how many at once by --seeds_at_once")
    told = [name_of_value(value) for value in values]
    twice = next((value for i, value in enumerate(values) if told[i] in told[:i]), None)
    if twice is not None:
        raise ConfigError(f"--grid={text}: {twice} is there twice")
    return Axis(name, values)


def _elements(text: str, whole: str) -> tuple[str, ...]:
    """The texts between the outermost commas."""
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO(f"({text}\n)").readline))[1:]
    except (tokenize.TokenError, SyntaxError):
        tokens = []
    if not tokens or any(token.type == tokenize.ERRORTOKEN and token.string in "'\"" for token in tokens):
        raise ConfigError(f"--grid={whole}: a bracket or a string is not closed")
    depth, elements, words = 1, [], ""
    for token in tokens:
        if token.type in (tokenize.NL, tokenize.NEWLINE, tokenize.ENDMARKER, tokenize.COMMENT):
            continue
        depth += (token.string in "([{" and token.type == tokenize.OP) - (token.string in ")]}")
        if depth < 1 or (depth == 1 and token.string == ","):
            elements.append(words)
            words = ""
        else:
            joined = words and re.match(r"\w", token.string) and re.search(r"\w$", words)
            words += f" {token.string}" if joined else token.string
        if depth < 1:
            break
    if depth < 1 and token != next(x for x in reversed(tokens) if x.string == ")"):
        raise ConfigError(f"--grid={whole}: a bracket is closed that was not opened")
    if elements and not elements[-1]:  # a comma behind the last one
        elements.pop()
    if not all(elements):
        raise ConfigError(f"--grid={whole}: there is no value between two commas")
    return tuple(elements)


def parse_seeds(text: str) -> list[int]:
    """The seeds of ``0-9`` or ``0,3,5-7``, in ascending order.

    Raises:
        ConfigError: it is not of this form, a seed comes twice, or there are too many.

    Example:
        >>> parse_seeds("5-7,0,3")
        [0, 3, 5, 6, 7]
    """
    seeds: list[int] = []
    for part in text.split(","):
        found = re.fullmatch(r"\s*([0-9]+)(?:-([0-9]+))?\s*", part)
        if not found:
            raise ConfigError(f"--seeds={text}: write it as --seeds=0-9, or --seeds=0,3,5-7")
        first, last = int(found[1]), int(found[2] or found[1])
        if last < first:
            raise ConfigError(f"--seeds={text}: {last} is below {first}")
        if len(seeds) + last - first >= MOST_SEEDS:
            raise ConfigError(f"--seeds={text}: more than {MOST_SEEDS} seeds")
        seeds += range(first, last + 1)
    if len(set(seeds)) < len(seeds):
        twice = next(seed for seed in seeds if seeds.count(seed) > 1)
        raise ConfigError(f"--seeds={text}: {twice} is there twice")
    return sorted(seeds)


def text_of_seeds(seeds: Sequence[int]) -> str:
    """Ascending seeds as :func:`parse_seeds` reads them.

    Example:
        >>> text_of_seeds([0, 3, 5, 6, 7])
        '0,3,5-7'
    """
    return ",".join(str(group[0]) if len(group) == 1 else f"{group[0]}-{group[-1]}" for group in consecutive(seeds))


# Names.


def name_of_value(text: str) -> str:
    """A value as part of a file name: numbers, plain words and ``@part()`` as they are, of others a digest behind.

    Two values have the same name where they are equal, on file systems that take no notice of capitals too.

    Example:
        >>> [name_of_value(text) for text in ("1e-3", "'action'", "@metrics.mmd()", "(8, 8)")]
        ['0.001', 'action', 'metrics.mmd', '8_8-66724c99']
    """
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        value = None
        canonical = "".join(text.split())
        if found := re.fullmatch(r"@([a-z_][a-z0-9_]*(\.[a-z_][a-z0-9_]*)+)\(\)", canonical):
            return found[1]
    else:
        canonical = repr(value)
        if isinstance(value, int | float | None):  # bool too
            return canonical.replace("+", "")
        if isinstance(value, str) and re.fullmatch(r"[a-z_][a-z0-9_]*", value) and value not in _OTHERS:
            return value
    readable = re.sub(r"[^A-Za-z0-9._]+", "_", canonical).strip("_.")[:40]
    return f"{readable}-{_digest(canonical)}"


_OTHERS = ("true", "false", "none", "inf", "nan")


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=4).hexdigest()


def name_of_setting(values: dict[str, str], default: str) -> str:
    """The folder of a setting, from the values by name; the default where nothing is swept.

    Example:
        >>> name_of_setting({"agent.num_samples": "4", "agent.gradient": "'action'"}, "td3")
        'agent.gradient=action,agent.num_samples=4'
    """
    parts = [f"{name.replace('/', '-')}={name_of_value(value)}" for name, value in sorted(values.items())]
    name = ",".join(parts) or default
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 9]}-{_digest(name)}"


class Setting(NamedTuple):
    """Values of all swept names.

    Fields:
        name: of its folder.
        bindings: of these values.
    """

    name: str
    bindings: tuple[str, ...]


def settings_of(axes: Sequence[Axis], default: str) -> list[Setting]:
    """The settings of a grid, the last name changing fastest.

    Raises:
        ConfigError: a name is swept twice.
    """
    names = [axis.name for axis in axes]
    twice = next((name for i, name in enumerate(names) if name in names[:i]), None)
    if twice is not None:
        raise ConfigError(f"--grid: {twice} is swept twice")
    return [
        Setting(
            name_of_setting(dict(zip(names, values, strict=True)), default),
            tuple(f"{name} = {value}" for name, value in zip(names, values, strict=True)),
        )
        for values in itertools.product(*(axis.values for axis in axes))
    ]


# Tasks.


class Loaded(NamedTuple):
    """A setting whose configuration has been read.

    Fields:
        setting: which.
        config: its configuration, of whatever seeds.
        fingerprint: of all that is bound, whatever the seeds.
    """

    setting: Setting
    config: TrainConfig
    fingerprint: str


def fingerprint_of(text: str) -> str:
    """A digest of a configuration as gin prints it, without its seeds."""
    return _digest(repr([(name, value) for name, value in changes.values(text).items() if name not in OF_SEEDS]))


class Task(NamedTuple):
    """A setting with a group of seeds.

    Fields:
        loaded: the setting.
        seeds: consecutive ones.
        run_dir: where they are trained.
    """

    loaded: Loaded
    seeds: range
    run_dir: Path

    def __str__(self) -> str:
        return f"{self.loaded.setting.name}/{self.run_dir.name}"

    def config(self, seeds_at_once: int | None) -> TrainConfig:
        """What is trained, so many seeds in a program."""
        return dataclasses.replace(
            self.loaded.config, seed=self.seeds[0], num_seeds=len(self.seeds), seeds_at_once=seeds_at_once
        )


def tasks_of(loaded: Loaded, seeds: Sequence[int], at_once: int | None, sweep_dir: Path) -> list[Task]:
    """The tasks of a setting; seeds that are in a directory already stay there, in its group.

    Args:
        loaded: the setting.
        seeds: in ascending order.
        at_once: how many consecutive seeds make a group at the most; None for all.
        sweep_dir: of the sweep.
    """
    folder, asked = sweep_dir / loaded.setting.name, set(seeds)
    groups = [group for group in groups_in(folder).values() if not asked.isdisjoint(group)]
    left = sorted(asked.difference(*groups))
    for group in consecutive(left):
        size = at_once or len(group)
        groups += [group[i : i + size] for i in range(0, len(group), size)]
    return [Task(loaded, group, folder / name_of_seeds(group)) for group in sorted(groups, key=lambda group: group[0])]


def groups_in(folder: Path) -> dict[Path, range]:
    """The seeds of each run directory of a setting; of one that is empty they do not count."""
    found = {}
    for path in sorted(folder.glob("seed*")):
        name = re.fullmatch(r"seeds?(\d+)(?:-(\d+))?", path.name)
        if name and path.is_dir() and any(path.iterdir()):
            found[path] = range(int(name[1]), int(name[2] or name[1]) + 1)
    return found


# Where they stand.


class Attempt(NamedTuple):
    """What log.txt tells of the last start.

    Fields:
        status: the exit status, negative for a signal; None where nobody has seen the end.
        fingerprint: of the configuration.
        error: the message, or "".
    """

    status: int | None
    fingerprint: str
    error: str


def begin_attempt(run_dir: Path, fingerprint: str, words: Sequence[str]) -> None:
    """Writes a start to the log."""
    with open(run_dir / LOG, "a") as file:
        file.write(f"==> {time.strftime('%Y-%m-%d %H:%M:%S')} configuration {fingerprint}: {shlex.join(words)}\n")


def end_attempt(run_dir: Path, status: int, error: str = "") -> None:
    """Writes an end to the log, with a message where the program has not left one."""
    with open(run_dir / LOG, "a") as file:
        file.write(f"\nerror: {error}\n" if error else "")
        file.write(f"\n<== {time.strftime('%Y-%m-%d %H:%M:%S')} status {status}\n")


def last_attempt(run_dir: Path) -> Attempt | None:
    """The last start in a run directory's log; None where there is none."""
    path = run_dir / LOG
    if not path.is_file():
        return None
    text = path.read_text(errors="replace")
    begins = list(re.finditer(r"^==> .*? configuration (\w+): .*$", text, re.MULTILINE))
    if not begins:
        return None
    text = text[begins[-1].end() :]
    end = re.search(r"^<== .*? status (-?\d+)$", text, re.MULTILINE)
    errors = list(re.finditer(r"^error: (.*(?:\n(?!<==|\s*$).*)*)", text, re.MULTILINE))
    return Attempt(int(end[1]) if end else None, begins[-1][1], errors[-1][1] if errors else "")


def last_line(run_dir: Path) -> str:
    """The last line of the log that is not empty."""
    return (run_dir / LOG).read_text(errors="replace").strip().rsplit("\n", 1)[-1][:300]


def stored_at_once(run_dir: Path) -> int | None:
    """How many seeds share a program in a run that has begun; None for all."""
    path = run_dir / "config.gin"
    text = changes.values(path.read_text(errors="replace")) if path.is_file() else {}
    value = text.get("train.seeds_at_once", "")
    return int(value) if value.isdigit() else None


def is_whole(task: Task) -> bool:
    """Whether a run directory has the rows, and the checkpoints where some are written, of the last step."""
    if not task.run_dir.is_dir():
        return False
    total = task.loaded.config.total_steps
    ended = {row["seed"] for row in rows_of_run(task.run_dir) if row["env_steps"] == total}
    return ended >= set(task.seeds) and (
        task.loaded.config.checkpoint_every == 0 or all(reached == total for reached in saved_steps(task))
    )


def saved_steps(task: Task) -> Iterator[int]:
    """Of each group of seeds that share a program, the steps of the newest checkpoint; 0 where there is none."""
    config = task.config(stored_at_once(task.run_dir))
    for seeds in config.seed_groups:
        group = seed_group(config, seeds, task.run_dir, resume=False)
        yield max(checkpoint.steps(group.checkpoints), default=0)


class State(NamedTuple):
    """Where a task stands.

    Fields:
        kind: "done", "running", "cut", "not begun" or "failed".
        told: by whom, at which step, or with which message.
    """

    kind: str
    told: str = ""


def holder(task: Task) -> str | None:
    """Who has a task in hand, in words."""
    return holder_of(task.run_dir) or holder_of(task.run_dir, CLAIM)


def is_done(task: Task) -> bool:
    """Whether a task has come to its end with the configuration that is asked for."""
    attempt = last_attempt(task.run_dir)
    return attempt is not None and attempt[:2] == (0, task.loaded.fingerprint) and is_whole(task)


def state_of(task: Task) -> State:
    """Where a task stands, by what is in its run directory."""
    if who := holder(task):
        return State("running", f"by {who}")
    if is_done(task):
        return State("done")
    attempt, total = last_attempt(task.run_dir), task.loaded.config.total_steps
    if attempt and attempt.error and attempt.status != exits.IN_USE:
        return State("failed", attempt.error.partition("\n")[0])
    if is_whole(task):
        return State("cut", f"at its end, step {total}: whether the configuration is the same is not known")
    if attempt is None and not (task.run_dir / "config.gin").exists():
        return State("not begun")
    return State("cut", f"at step {min(saved_steps(task))} of {total}")


def smaller_group(current: int) -> int | None:
    """How many seeds to try in one program where ``current`` of them do not fit the memory; None for one.

    Example:
        >>> smaller_group(10), smaller_group(9), smaller_group(1)
        (5, 3, None)
    """
    return max((size for size in range(1, current // 2 + 1) if current % size == 0), default=None)
