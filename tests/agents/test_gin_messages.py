"""Mistakes in a configuration: one short message with the place, the value or name at fault, and the remedy."""

from collections.abc import Callable
from pathlib import Path

import pytest

from agents.gin_messages import ConfigError
from sobolev.training import Job

Configure = Callable[[list[str], list[str]], Job]

# The binding with the mistake; what the message must name: what is wrong, and what to write or choose.
MISTAKES = {
    "misspelt parameter": ("agent.num_sample = 3", ["num_sample", "num_samples"]),
    "misspelt parameter of a part": ("metrics.mmd.kernal = 3", ["metrics.mmd", "kernal", "kernel", "estimator"]),
    "unknown reference": ("agent.metric = @metrics.msmd()", ["metrics.msmd", "metrics.msmmd", "--list"]),
    "unknown part": ("criticz.generative.noise_size = 3", ["criticz.generative", "critics.generative", "--list"]),
    "short name of several parts": (
        "deterministic.hidden_sizes = (3,)",
        ["deterministic", "critics.deterministic", "actors.deterministic", "world_models.deterministic"],
    ),
    "string for a part": ("agent.metric = 'msmmd'", ["agent.metric", "'msmmd'", "@metrics.msmmd()"]),
    "string for a factory": ("agent.critic = 'deterministic'", ["agent.critic", "@critics.deterministic"]),
    "string for a part of a protocol": (
        "agent.gradient_scale = 'fixed'",
        ["agent.gradient_scale", "'fixed'", "@gradient_scales.fixed()"],
    ),
    "factory for a part": ("agent.metric = @metrics.mmd", ["agent.metric", "@metrics.mmd()"]),
    "part for a factory": ("agent.critic = @critics.generative()", ["agent.critic", "@critics.generative,"]),
    "part of another family": ("agent.metric = @kernels.energy()", ["Metric", "@kernels.energy()", "@metrics.mmd()"]),
    "factory of another family": ("agent.critic = @actors.deterministic", ["Critic", "@critics.quantile"]),
    "environment for a perturbation": (
        "train.noise = @environments.point_mass",
        ["train.noise", "@environments.point_mass", "@perturbations.additive_dynamics"],
    ),
    "perturbation for an environment": (
        "train.environment = @perturbations.additive_dynamics()",
        ["train.environment", "@perturbations.additive_dynamics()", "@environments.brax()"],
    ),
    "part for a number": ("agent.num_samples = @metrics.mmd()", ["agent.num_samples", "int", "@metrics.mmd()"]),
    "truth for a part": ("train.noise = True", ["train.noise", "True", "@perturbations.additive_dynamics"]),
    "string for a number": ("agent.num_samples = '3'", ["agent.num_samples", "int", "'3' (str)"]),
    "fraction for a count": ("agent.num_samples = 2.5", ["agent.num_samples", "int", "2.5 (float)"]),
    "truth for a number": ("agent.num_samples = True", ["agent.num_samples", "int", "True (bool)"]),
    "nothing for a number": ("agent.num_samples = None", ["agent.num_samples", "int", "None"]),
    "number for options": ("train.cpu_compiler_options = 3", ["train.cpu_compiler_options", "dict", "3 (int)"]),
    "number behind a macro": ("widths = 64", ["hidden_sizes", "%widths", "tuple[int, ...]", "64 (int)"]),
    "string in a tuple": ("widths = (4, '4')", ["%widths", "tuple[int, ...]", "(4, '4')"]),
    "number in a scope": ("critic/optimizers.radam.learning_rate = 'a'", ["critic/optimizers.radam", "float", "'a'"]),
    "unknown choice": ("agent.gradient = 'actions'", ["agent.gradient", "'closed_loop'", "'actions'", "mean action"]),
    "unknown choice of a part": ("metrics.mmd.estimator = 'w'", ["metrics.mmd.estimator", "'u'", "'v'", "'w'"]),
    "unknown name of a part": ("agent.overestimation = 'minimum'", ["'minimum'", "'double_min'", "mean min"]),
    "number for a name": ("agent.overestimation = 3", ["agent.overestimation", "'truncate'", "3 (int)"]),
    "bare word": ("agent.gradient = action", ["agent.gradient = action", "('action')", "@"]),
    "lower-case truth": ("train.noise = true", ["train.noise = true", "True", "False"]),
    "arithmetic": ("train.total_steps = 10 * 4", ["train.total_steps = 10 * 4", "write the number"]),
    "binding of a part not in use": ("metrics.msmmd.cross_fit = True", ["metrics.msmmd.cross_fit", "metrics.mmd"]),
    "macro that nothing uses": ("width = 3", ["width", "%width"]),
    "missing module": ("import my_metrci", ["my_metrci", "folder"]),
    "number of range": ("agent.num_critics = 0", ["agent.num_critics", "0", "1"]),
    "numbers that do not divide": ("train.eval_every = 5", ["train.eval_every", "train.num_envs", "5", "2"]),
    "no seed": ("train.num_seeds = 0", ["train.num_seeds", "0", "1"]),
    "unknown compiler option": ("train.cpu_compiler_options = {'xla_x': 1}", ["train.cpu_compiler_options", "'xla_x'"]),
}


@pytest.mark.parametrize("mistake", MISTAKES)
@pytest.mark.parametrize("in_file", [True, False])
def test_mistake_is_told_with_place_and_remedy(
    mistake: str, in_file: bool, tmp_path: Path, tiny: Path, configure: Configure
) -> None:
    binding, words = MISTAKES[mistake]
    files, bindings = [str(tiny)], [binding]
    if in_file:
        file = tmp_path / "wrong.gin"
        file.write_text(f"# A mistake.\ninclude '{tiny}'\n\n{binding}\n")
        files, bindings = [str(file)], []
    with pytest.raises(ConfigError) as caught:
        configure(files, bindings)
    place, message = f"{file}:4: " if in_file else f"--gin_bindings='{binding}': ", str(caught.value)
    assert message.startswith(place)
    for word in words:
        assert word in message.removeprefix(place)
    assert len(message.splitlines()) <= 2
    assert "In call to" not in message


@pytest.mark.parametrize(
    ("bindings", "at_fault", "words"),
    [
        (
            ["train.environment = @environments.brax()", "environments.brax.name = 'reecher'"],
            1,
            ["environments.brax", "'reecher'", "'reacher'"],
        ),
        (
            ["metrics.mmd.kernel = @kernels.multiquadric()", "kernels.multiquadric.h = -1.0"],
            1,
            ["kernels.multiquadric", "h", "-1.0"],
        ),
        (
            ["corrections.truncate.drop = 100", "agent.overestimation = @corrections.truncate()"],
            0,
            ["drop", "100", "6"],
        ),
        (["agent.gamma = 0.5", "agent:\n  batch_size = 'a'"], 1, ["agent.batch_size", "int", "'a'"]),
    ],
    ids=["a string that a part refuses", "a number that a part refuses", "a number that does not fit others", "block"],
)
def test_what_parts_refuse_is_told_with_the_binding_at_fault(
    bindings: list[str], at_fault: int, words: list[str], tiny: Path, configure: Configure
) -> None:
    with pytest.raises(ConfigError) as caught:
        configure([str(tiny)], bindings)
    message, line = str(caught.value), bindings[at_fault].splitlines()[-1].strip()
    assert message.startswith(f"--gin_bindings='{line}': ")
    for word in words:
        assert word in message
    assert len(message.splitlines()) == 1


def test_parts_that_do_not_go_together_are_told_with_the_binding_that_is_named(
    tiny: Path, configure: Configure
) -> None:
    with pytest.raises(ConfigError) as caught:
        configure([str(tiny)], ["agent.world_model = @world_models.recorded"])
    place, message = str(caught.value).split(": ", 1)
    line = tiny.read_text().splitlines().index("agent.gradient = 'action'") + 1
    assert place == f"{tiny}:{line}"
    assert "'none'" in message


def test_parameter_without_a_default_must_be_bound(tiny: Path, configure: Configure) -> None:
    with pytest.raises(ConfigError, match=r"^optimizers\.sgd\.learning_rate must be bound"):
        configure([str(tiny)], ["agent.actor_optimizer = @optimizers.sgd()"])


@pytest.mark.parametrize("included", [True, False])
def test_missing_file_is_told_with_the_close_ones(included: bool, tmp_path: Path, configure: Configure) -> None:
    missing = "gin/msmd_cvae.gin"
    file = tmp_path / "a.gin"
    file.write_text(f"include '{missing}'\n")
    with pytest.raises(ConfigError) as caught:
        configure([str(file) if included else missing], [])
    close, known = str(caught.value).split("? ")
    assert missing in close
    assert "gin/msmmd_cvae.gin" in close
    assert "gin/scale/paper.gin" in known


def test_module_that_is_misspelt_is_told_with_those_of_the_folder(
    tmp_path: Path, tiny: Path, configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_metric.py").write_text("")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="my_metrci; did you mean my_metric"):
        configure([str(tiny)], ["import my_metrci"])


@pytest.mark.parametrize("in_file", [True, False])
def test_bracket_that_is_not_closed(in_file: bool, tmp_path: Path, tiny: Path, configure: Configure) -> None:
    file = tmp_path / "open.gin"
    file.write_text(f"include '{tiny}'\nwidths = (3,\n")
    with pytest.raises(ConfigError) as caught:
        configure([str(file if in_file else tiny)], [] if in_file else ["widths = (3"])
    assert str(caught.value).startswith(f"{file}: " if in_file else "--gin_bindings: ")


def test_files_for_several_methods_may_bind_parts_that_are_not_in_use(tiny: Path, configure: Configure) -> None:
    configure([str(tiny), "gin/scale/paper.gin"], ["agent.num_samples = 3", "agent.overestimation = 'none'"])


def test_a_file_may_bind_its_own_part_that_a_binding_replaces(tmp_path: Path, tiny: Path, configure: Configure) -> None:
    file = tmp_path / "method.gin"
    file.write_text(f"include '{tiny}'\nagent.metric = @metrics.huber()\nmetrics.huber.delta = 2.0\n")
    configure([str(file)], ["agent.metric = @metrics.l2()"])
    file.write_text(f"include '{tiny}'\nmetrics.huber.delta = 2.0\n")
    with pytest.raises(ConfigError, match=rf"^{file}:2: .*metrics\.huber\.delta"):
        configure([str(file)], ["agent.metric = @metrics.l2()"])
