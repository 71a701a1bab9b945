"""Checkpoints: what is stored comes back, and nothing else does."""

from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sobolev.training import checkpoint
from tests.helpers import host


class Inner(NamedTuple):
    weights: dict[str, Any]
    empty: tuple[()]


class Outer(NamedTuple):
    inner: Inner
    key: jax.Array
    keys: jax.Array
    total: jax.Array
    flag: jax.Array
    pair: tuple[jax.Array, jax.Array]


def tree(seed: int = 0) -> Outer:
    key = jax.random.key(seed)
    weights = {"w": jax.random.normal(key, (3, 2)), "b/c": jnp.array([jnp.nan, jnp.inf, -0.0, 1e-42])}
    return Outer(
        inner=Inner(weights, ()),
        key=jax.random.fold_in(key, 1),
        keys=jax.random.split(key, (2, 3)),
        total=jnp.int32(7 + seed),
        flag=jnp.array([True, False]),
        pair=(jnp.ones((1, 4), jnp.bfloat16), jnp.uint8(200)),
    )


@pytest.mark.parametrize("shapes_alone", [False, True])
def test_tree_comes_back_bit_for_bit(tmp_path: Path, shapes_alone: bool) -> None:
    stored = tree()
    path = checkpoint.save(tmp_path, 10, stored)
    assert path == tmp_path / "10.npz"
    template = jax.eval_shape(lambda: tree(1)) if shapes_alone else tree(1)
    restored = checkpoint.restore(path, template)
    assert str(jax.tree.structure(restored)) == str(jax.tree.structure(stored))
    for x, y in zip(jax.tree.leaves(stored), jax.tree.leaves(restored), strict=True):
        assert (x.shape, x.dtype) == (y.shape, y.dtype)
    for (_, x), (_, y) in zip(host(stored), host(restored), strict=True):
        assert x.tobytes() == y.tobytes()
    assert jax.random.normal(restored.key) == jax.random.normal(stored.key)


def test_restored_arrays_can_be_donated(tmp_path: Path) -> None:
    restored = checkpoint.restore(checkpoint.save(tmp_path, 1, tree()), tree())
    add = jax.jit(lambda x: x._replace(total=x.total + 1), donate_argnums=0)
    assert int(add(restored).total) == 8
    assert int(checkpoint.restore(tmp_path / "1.npz", tree()).total) == 7


def test_newest_two_are_kept_in_the_order_of_numbers(tmp_path: Path) -> None:
    assert checkpoint.newest(tmp_path / "nothing") is None
    for env_steps in (8, 9, 10, 100):
        checkpoint.save(tmp_path, env_steps, {"x": jnp.int32(env_steps)})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["10.npz", "100.npz"]
    newest = checkpoint.newest(tmp_path)
    assert newest == tmp_path / "100.npz"
    assert int(checkpoint.restore(newest, {"x": jnp.int32(0)})["x"]) == 100
    checkpoint.save(tmp_path, 200, {"x": jnp.int32(0)}, keep=1)
    assert [path.name for path in tmp_path.iterdir()] == ["200.npz"]


def test_what_is_saved_stays_though_larger_numbers_are_there(tmp_path: Path) -> None:
    """Those are of a run that went on differently."""
    for env_steps in (300, 1000, 2000, 400):
        checkpoint.save(tmp_path, env_steps, {"x": jnp.int32(env_steps)})
    assert checkpoint.newest(tmp_path) == tmp_path / "400.npz"
    checkpoint.save(tmp_path, 350, {"x": jnp.int32(350)}, keep=1)
    assert [path.name for path in tmp_path.iterdir()] == ["350.npz"]


def test_a_file_that_cannot_be_read_is_no_damage(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        checkpoint.read(tmp_path / "5.npz")
    (tmp_path / "5.npz").mkdir()
    with pytest.raises(IsADirectoryError):
        checkpoint.read(tmp_path / "5.npz")


def test_saving_again_overwrites(tmp_path: Path) -> None:
    for value in (1, 2):
        checkpoint.save(tmp_path, 5, {"x": jnp.int32(value)})
    assert int(checkpoint.restore(tmp_path / "5.npz", {"x": jnp.int32(0)})["x"]) == 2


def test_partial_files_are_passed_over(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, 5, {"x": jnp.int32(1)})
    for name in ("7.partial", "9.npz.partial", "notes.npz"):
        (tmp_path / name).write_bytes(b"")
    assert checkpoint.newest(tmp_path) == tmp_path / "5.npz"


@pytest.mark.parametrize(
    ("template", "named"),
    [
        ({"x": jnp.zeros((3, 2))}, ["float32[2, 3]", "['x']", "float32[3, 2]"]),
        ({"x": jnp.zeros((2, 3), jnp.int32)}, ["float32[2, 3]", "['x']", "int32[2, 3]"]),
        ({"x": jnp.zeros((2, 3)), "y": jnp.zeros(1)}, ["nothing", "['y']", "float32[1]"]),
    ],
)
def test_another_configuration_is_refused(tmp_path: Path, template: Any, named: list[str]) -> None:
    path = checkpoint.save(tmp_path, 5, {"x": jnp.zeros((2, 3))})
    with pytest.raises(ValueError, match=r"5\.npz") as caught:
        checkpoint.restore(path, template)
    assert [word for word in (*named, "configuration") if word not in str(caught.value)] == []


def damaged(data: bytes, kind: str) -> bytes:
    middle = len(data) // 2
    return {
        "truncated": data[:middle],
        "empty": b"",
        "flipped": data[:middle] + bytes([data[middle] ^ 16]) + data[middle + 1 :],
        "other": b"not an archive",
    }[kind]


@pytest.mark.parametrize("kind", ["truncated", "empty", "flipped", "other"])
def test_the_next_whole_one_is_taken_and_said(tmp_path: Path, kind: str) -> None:
    for env_steps in (5, 10):
        checkpoint.save(tmp_path, env_steps, {"x": jnp.arange(1_000)})
    path = tmp_path / "10.npz"
    path.write_bytes(damaged(path.read_bytes(), kind))
    told: list[str] = []
    assert checkpoint.newest(tmp_path, told.append) == tmp_path / "5.npz"
    assert len(told) == 1
    assert str(path) in told[0]
    with pytest.raises(checkpoint.DamagedError, match=r"10\.npz"):
        checkpoint.restore(path, {"x": jnp.arange(1_000)})


def test_odd_names_and_folders_are_passed_over(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, 5, {"x": jnp.int32(1)})
    data = (tmp_path / "5.npz").read_bytes()
    for name in ("-7.npz", "٣.npz", "1e9.npz", "²2.npz"):
        (tmp_path / name).write_bytes(data)
    (tmp_path / "9.npz").mkdir()
    assert checkpoint.newest(tmp_path) == tmp_path / "5.npz"


def test_arrays_of_another_file_are_not_these(tmp_path: Path) -> None:
    """An archive that numpy reads, of other numbers than those that were written."""
    path = checkpoint.save(tmp_path, 5, {"x": jnp.int32(1)})
    stored = checkpoint.read(path)
    np.savez(path, **{**stored, "['x']": np.int32(2)})
    with pytest.raises(checkpoint.DamagedError, match="not those that were written"):
        checkpoint.read(path)


def test_objects_are_not_read(tmp_path: Path) -> None:
    array = np.array([None], dtype=object)
    np.savez(tmp_path / "5.npz", x=array)
    with pytest.raises(checkpoint.DamagedError):
        checkpoint.read(tmp_path / "5.npz")


@settings(max_examples=200, deadline=None)
@given(place=st.integers(0, 10**6), flipped=st.integers(1, 255), cut=st.integers(0, 10**6), data=st.binary(max_size=50))
def test_no_damage_is_taken_for_a_checkpoint(
    tmp_path_factory: pytest.TempPathFactory, place: int, flipped: int, cut: int, data: bytes
) -> None:
    """Whatever bytes are changed, what is read is what was written, or nothing."""
    tmp_path = tmp_path_factory.mktemp("damaged")
    path = checkpoint.save(tmp_path, 5, {"x": jnp.arange(40.0), "y": jnp.int32(3)})
    whole, written = path.read_bytes(), checkpoint.read(path)
    place %= len(whole)
    changed = whole[:place] + bytes([whole[place] ^ flipped]) + whole[place + 1 :]
    for attempt in (changed, whole[: cut % len(whole)], whole + data, data):
        path.write_bytes(attempt)
        try:
            found = checkpoint.read(path)
        except checkpoint.DamagedError:
            continue
        for name, array in written.items():
            np.testing.assert_array_equal(found[name], array)
