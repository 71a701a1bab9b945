"""A policy as a file: what it computes, who can read it, and what is refused."""

import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sobolev import actors, load_policy
from sobolev.policy import policy_path, save_policy
from sobolev.types import Spec, Transition

SPEC = Spec(state_size=3, action_size=2)


def write(run_dir: Path, seed: int = 0, kind: str = "deterministic") -> Path:
    """The file of a fresh actor whose normalizer is not the identity."""
    actor = actors.registry.make(kind, SPEC, hidden_sizes=(8,))
    s = 5.0 + 2.0 * jax.random.normal(jax.random.key(1), (20, 3))
    rows = jnp.zeros(20)
    params = actor.fit_normalizer(actor.init(jax.random.key(seed)), Transition(s, s[:, :2], rows, rows, s))
    path = policy_path(run_dir, seed)
    save_policy(path, actor.mode or actor.act, params, SPEC.state_size)
    return path


@pytest.mark.parametrize("kind", ["deterministic", "squashed_gaussian"])
def test_policy_acts_as_the_actor_batched_or_not(tmp_path: Path, kind: str) -> None:
    write(tmp_path, kind=kind)
    actor = actors.registry.make(kind, SPEC, hidden_sizes=(8,))
    s = 5.0 + 2.0 * jax.random.normal(jax.random.key(1), (20, 3))
    rows = jnp.zeros(20)
    params = actor.fit_normalizer(actor.init(jax.random.key(0)), Transition(s, s[:, :2], rows, rows, s))
    act = actor.mode or actor.act
    expected = np.asarray(jax.vmap(lambda s: act(params, jax.random.key(0), s))(s))
    policy = load_policy(tmp_path)
    assert policy.observation_size == 3
    np.testing.assert_allclose(policy(s), expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(policy(np.asarray(s[7], np.float64)), expected[7], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(jax.jit(policy)(s[:4]), expected[:4], rtol=1e-4, atol=1e-6)
    assert np.ptp(expected) > 1e-3


def test_policy_that_is_evaluated_at_random_takes_a_seed(tmp_path: Path) -> None:
    save_policy(policy_path(tmp_path, 0), lambda params, key, s: jax.random.uniform(key, (2,)), (), 3)
    policy = load_policy(tmp_path)
    same, other = policy(np.zeros((5, 3)), seed=1), policy(np.zeros((5, 3)), seed=2)
    np.testing.assert_array_equal(policy(np.zeros((5, 3)), seed=1), same)
    assert len(np.unique(same)) == 10
    assert np.all(same != other)


def test_file_runs_with_jax_alone(tmp_path: Path) -> None:
    path = write(tmp_path)
    program = f"""
import sys, jax, numpy
policy = jax.export.deserialize(bytearray(open({str(path)!r}, "rb").read()))
actions = policy.call(numpy.zeros((5, 3), numpy.float32), numpy.uint32(0))
assert not [name for name in sys.modules if name.split(".")[0] in ("sobolev", "haiku", "brax", "optax")]
print(numpy.asarray(actions).tolist())
"""
    done = subprocess.run(
        [sys.executable, "-c", program.replace("import sys, jax,", "import sys, jax, jax.export,")],
        capture_output=True,
        text=True,
        check=True,
    )
    np.testing.assert_allclose(eval(done.stdout), load_policy(tmp_path)(np.zeros((5, 3))), rtol=1e-6)


@pytest.mark.parametrize("shape", [(4,), (5, 2), (2, 5, 3), ()])
def test_observations_of_another_shape_are_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    path = write(tmp_path)
    with pytest.raises(ValueError, match="length 3") as caught:
        load_policy(tmp_path)(np.zeros(shape))
    assert str(path) in str(caught.value)
    assert str(list(shape)) in str(caught.value)


def test_one_of_several_seeds_is_asked_for(tmp_path: Path) -> None:
    for seed in (3, 11):
        write(tmp_path, seed)
    s = np.ones((4, 3))
    assert np.any(load_policy(tmp_path, seed=3)(s) != load_policy(tmp_path, seed=11)(s))
    np.testing.assert_array_equal(load_policy(policy_path(tmp_path, 11))(s), load_policy(tmp_path, seed=11)(s))
    for asked in (None, 4):
        with pytest.raises(ValueError, match=r"seed=") as caught:
            load_policy(tmp_path, seed=asked)
        assert "[3, 11]" in str(caught.value)


def test_directory_without_a_policy_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(ValueError, match="checkpoint") as caught:
            load_policy(path)
        assert str(path) in str(caught.value)


@pytest.mark.parametrize("damage", ["foreign", "cut", "empty", "function", "ranks"])
def test_file_of_another_version_is_refused(tmp_path: Path, damage: str) -> None:
    path = write(tmp_path)
    if damage in ("function", "ranks"):
        shapes = [jax.ShapeDtypeStruct((3,), jnp.float32)] * (1 if damage == "function" else 2)
        exported = jax.export.export(jax.jit(lambda x, *_: x))(*shapes)
        path.write_bytes(exported.serialize())
    else:
        whole = path.read_bytes()
        path.write_bytes({"foreign": b"no such thing " * 99, "cut": whole[: len(whole) // 2], "empty": b""}[damage])
    with pytest.raises(ValueError, match="resuming") as caught:
        load_policy(tmp_path)
    assert str(path) in str(caught.value)
    assert jax.__version__ in str(caught.value)
    assert "\n" not in str(caught.value)
