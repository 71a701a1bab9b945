"""Wrong configurations: each is refused in one short message that names the binding or the file."""

import inspect
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from agents import gin_names
from agents.gin_messages import ConfigError, explained
from sobolev.training import build
from tests.faults.case import Case, refused

FILE = "gin/td3.gin"
TASK = "train.environment = @environments.{0}()\nenvironments.{0}."
OPTIMIZER = "@critic/optimizers.adam()"

TEXTS = {
    "widths that are a number": "widths = 16",
    "widths that are empty": "widths = ()",
    "widths of nothing": "widths = (0, 0)",
    "a metric for a critic": "agent.critic = @metrics.mmd",
    "a critic for a metric": "agent.metric = @critics.quantile",
    "an environment for a world model": "agent.world_model = @environments.point_mass",
    "a part that is called for one that is not": "agent.critic = @critics.quantile()",
    "a misspelt part": "agent.metric = @metrics.msmd()",
    "a misspelt parameter": "agent.gama = 0.9",
    "a misspelt family": "metric.mmd.estimator = 'u'",
    "an unknown choice": "agent.gradient = 'acton'",
    "a string for a number": "agent.gamma = 'a'",
    "a number for a string": "agent.gradient = 3",
    "nothing for a number": "agent.gamma = None",
    "a list for a number": "agent.gamma = [0.9]",
    "a bracket that is not closed": "widths = (64, 64",
    "a string that is not closed": "agent.gradient = 'action",
    "arithmetic": "agent.gamma = 1 - 0.01",
    "a name without quotes": "agent.gradient = action",
    "truth in small letters": "actors.deterministic.skip = true",
    "no value": "agent.gamma =",
    "no name": "= 0.9",
    "an unknown macro": "agent.gamma = %no_such_macro",
    "a macro of itself": "a = %a\nagent.gamma = %a",
    "macros of each other": "a = %b\nb = %a\nagent.gamma = %a",
    "a module that is missing": "import no_such_module",
    "a seed beyond 32 bits": "train.seed = 1099511627776",
    "a batch beyond memory": "agent.batch_size = 1000000000",
    "steps beyond 32 bits": "train.total_steps = 4294967296",
    "more dropped samples than there are": "agent.overestimation = @corrections.truncate()\ntruncate.drop = 99",
    "a horizon of no transitions": "agent.horizon = @horizons.fixed()\nhorizons.fixed.steps = 0",
    "a decay above 1": "agent.horizon = @horizons.geometric()\nhorizons.geometric.decay = 1.5",
    "imagined transitions without a world model": "agent.horizon = @horizons.fixed()",
    "updates that are no whole number": "train.updates_per_step = 0.3",
    "a warm-up longer than the run": "train.warmup_steps = 100000",
    "seeds that do not divide": "train.num_seeds = 4\ntrain.seeds_at_once = 3",
    "evaluations between steps": "train.eval_every = 3",
    "an unknown policy": "train.non_finite = 'stop'",
    "a compiler option that is unknown": "train.cpu_compiler_options = {'xla_no': 1}",
    "gradients through what is recorded": "agent.gradient = 'action'",
    "an unknown Gymnasium task": TASK.format("gymnasium") + "id = 'Nothing-v9'",
    "a task of discrete actions": TASK.format("gymnasium") + "id = 'CartPole-v1'",
    "an unknown Brax task": TASK.format("brax") + "name = 'anti'",
}

NUMBERS = ("-1", "0", "1e999", "-1e999", "-0.5", "True", "'1'", "None", "(1,)", "@metrics.mmd()")
COUNTS = (
    "agent.num_critics",
    "agent.batch_size",
    "agent.n_step",
    "agent.policy_delay",
    "train.total_steps",
    "train.episode_length",
    "train.num_envs",
    "train.eval_every",
    "train.eval_episodes",
    "train.num_seeds",
)


def load(files: list[str], bindings: list[str]) -> object:
    """What the command line does before it trains."""
    config = gin_names.load(files, bindings)
    with explained(files, bindings):
        job = build(config)
    gin_names.check_all_read(files, bindings)
    from sobolev.training import memory, trace

    _, init = next(iter(trace(job)))
    with explained(files, bindings):
        memory.budget(init.out_info, job.seed_axis, None)
    return job


def of_text(text: str, folder: Path) -> str:
    """Of a binding that is wrong."""
    del folder
    return refused(ConfigError, lambda: load([FILE], text.splitlines()))


def of_number(name: str, value: str, folder: Path) -> str:
    """Of a number that is wrong; the message names its parameter."""
    del folder
    return refused(ConfigError, lambda: load([FILE], [f"{name} = {value}"]), name.rsplit(".", 1)[-1])


def of_file(content: bytes, folder: Path) -> str:
    """Of a file that is wrong."""
    path = folder / "wrong.gin"
    path.write_bytes(content.replace(b"{path}", str(path).encode()))
    return refused(ConfigError, lambda: load([FILE, str(path)], []))


FILES = {
    "a binary file": bytes(range(256)),
    "a file of zeros": bytes(64),
    "a file in UTF-16": "agent.gamma = 0.5".encode("utf-16"),
    "a file that includes itself": b"include '{path}'\n",
    "a file that includes one that is missing": b"include 'no/such.gin'\n",
    "a program": b"def f():\n    return 1\n",
    "a picture's beginning": b"\x89PNG\r\n\x1a\n",
}


def cases() -> Iterator[Case]:
    """All of them."""
    for name, text in TEXTS.items():
        yield Case("configuration", name, partial(of_text, text))
    for name, content in FILES.items():
        yield Case("gin file", name, partial(of_file, content))
    yield Case("gin file", "one that is missing", lambda folder: refused(ConfigError, lambda: load(["no.gin"], [])))
    yield Case("gin file", "a folder", lambda folder: refused(ConfigError, lambda: load([str(folder)], [])))
    for name in COUNTS:
        for value in NUMBERS:
            yield Case("number", f"{name} = {value}", partial(of_number, name, value))
    for parameter in inspect.signature(gin_names.FAMILIES["optimizers"].get("adam")).parameters:
        if parameter in ("learning_rate", "b1", "b2", "eps"):
            for value in ("-1.0", "1e999"):
                yield Case("number", f"optimizer's {parameter} = {value}", partial(of_optimizer, parameter, value))


def of_optimizer(parameter: str, value: str, folder: Path) -> str:
    """Of an optimizer's number."""
    del folder
    rate = [] if parameter == "learning_rate" else ["critic/optimizers.adam.learning_rate = 1e-3"]
    bindings = [f"agent.critic_optimizer = {OPTIMIZER}", *rate, f"critic/optimizers.adam.{parameter} = {value}"]
    return refused(ConfigError, lambda: load([FILE], bindings), parameter)
