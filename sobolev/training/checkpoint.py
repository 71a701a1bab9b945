"""Checkpoints: a whole pytree in one file, named by its environment steps.

A file is written aside and renamed, so one with a plain number for a name was whole when it was written; a digest of
all its arrays tells whether it still is. Random keys are stored as their data; everything else about the tree (its
structure, its static parts) comes from the template that the reader has. One numpy archive holds some hundred small
arrays in milliseconds.
"""

import hashlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

Tree = TypeVar("Tree")

_DIGEST = "digest"


class DamagedError(ValueError):
    """A file that is no checkpoint, or not as it was written."""


def _is_key(leaf: Any) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _data(leaf: Any) -> jax.Array:
    return jax.random.key_data(leaf) if _is_key(leaf) else jnp.asarray(leaf)


def _implementation(leaf: Any) -> Any:
    """The kind of a random key, array or shape; ``key_impl`` itself refuses shapes, so it is asked within a trace."""
    found: list[Any] = []
    jax.eval_shape(lambda key: found.append(jax.random.key_impl(key)), leaf)
    return found[0]


def _digest(arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    """Of names, shapes, types and bytes."""
    found = hashlib.blake2b(digest_size=16)
    for name, array in sorted(arrays.items()):
        if name != _DIGEST:
            # numpy's archive keeps of bfloat16 and its like the size alone.
            found.update(f"{name} {array.shape} {array.dtype.itemsize}".encode())
            found.update(np.ascontiguousarray(array).view(np.uint8).data if array.size else b"")
    return np.frombuffer(found.digest(), np.uint8)


def save(directory: Path, env_steps: int, tree: Any, keep: int = 2) -> Path:
    """Writes ``tree`` to ``directory/<env_steps>.npz``, and keeps of the others ``keep - 1``: the last before it.

    One with a larger number is of a run that went on differently, or damaged.
    """
    directory.mkdir(parents=True, exist_ok=True)
    flat, _ = jax.tree_util.tree_flatten_with_path(tree)
    arrays = {jax.tree_util.keystr(path): np.asarray(_data(leaf)) for path, leaf in flat}
    path = directory / f"{env_steps}.npz"
    aside = directory / f"{env_steps}.partial"
    with open(aside, "wb") as file:
        np.savez(file, **arrays, **{_DIGEST: _digest(arrays)})  # type: ignore[arg-type]
        file.flush()
        os.fsync(file.fileno())
    os.replace(aside, path)
    before = [other for other in _named(directory) if int(other.stem) < env_steps]
    kept = {path, *before[len(before) - (keep - 1) :]}
    for other in _named(directory):
        if other not in kept:
            other.unlink()
    return path


def newest(directory: Path, tell: Callable[[str], None] = lambda line: None) -> Path | None:
    """The newest whole checkpoint, or None.

    Args:
        directory: of checkpoints.
        tell: is told of each damaged one that is newer.
    """
    for path in reversed(_named(directory)):
        try:
            read(path)
        except DamagedError as error:
            tell(str(error))
        else:
            return path
    return None


def whole(directory: Path) -> list[Path]:
    """The whole checkpoints, oldest first."""

    def is_whole(path: Path) -> bool:
        try:
            read(path)
        except DamagedError:
            return False
        return True

    return [path for path in _named(directory) if is_whole(path)]


def is_empty(directory: Path) -> bool:
    """Whether there is no file with a checkpoint's name, whole or not."""
    return not _named(directory)


def steps(directory: Path) -> list[int]:
    """The environment steps after which there are files with a checkpoint's name, whole or not, in ascending order."""
    return [int(path.stem) for path in _named(directory)]


def _named(directory: Path) -> list[Path]:
    """The files with a checkpoint's name, oldest first."""
    named = (path for path in directory.glob("*.npz") if path.stem.isascii() and path.stem.isdigit() and path.is_file())
    return sorted(named, key=lambda path: int(path.stem))


def read(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a checkpoint by name.

    Raises:
        DamagedError: a file that is none, or not as it was written.
        OSError: it cannot be read.
    """
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
    except MemoryError:
        raise
    except Exception as error:  # what a damaged archive raises is not documented
        if isinstance(error, OSError) and error.errno is not None:  # the system's, not the archive's
            raise
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise DamagedError(f"{path} is no whole checkpoint: {reason}") from error
    if _DIGEST not in arrays:
        raise DamagedError(f"{path} is no whole checkpoint: it has no digest, as those of an earlier version")
    if not np.array_equal(arrays[_DIGEST], _digest(arrays)):
        raise DamagedError(f"{path} is no whole checkpoint: its arrays are not those that were written")
    return arrays


def restore(path: Path, template: Tree) -> Tree:
    """The tree stored at ``path``, in the structure of ``template`` (arrays, or shapes from ``jax.eval_shape``).

    Raises:
        DamagedError: a file that is no checkpoint, or not as it was written.
        ValueError: the stored arrays are not those of the template, as after a change of the configuration.
    """
    flat, structure = jax.tree_util.tree_flatten_with_path(template)
    stored = read(path)
    leaves = [_rebuild(stored, jax.tree_util.keystr(key_path), leaf, path) for key_path, leaf in flat]
    return jax.tree_util.tree_unflatten(structure, leaves)


def _rebuild(stored: Mapping[str, np.ndarray], name: str, leaf: Any, path: Path) -> jax.Array:
    expected = jax.eval_shape(_data, leaf)
    found = stored.get(name)
    if found is not None and found.dtype.kind == "V":  # numpy's archive forgets the names of bfloat16 and its like
        found = found.view(expected.dtype) if found.dtype.itemsize == expected.dtype.itemsize else found
    if found is None or (found.shape, found.dtype) != (expected.shape, expected.dtype):
        text = "nothing" if found is None else f"{found.dtype}{list(found.shape)}"
        raise ValueError(
            f"{path} holds {text} for {name}, the configuration wants {expected.dtype}{list(expected.shape)}: "
            "resume with the configuration that the run began with"
        )
    array = jnp.array(found)
    return jax.random.wrap_key_data(array, impl=_implementation(leaf)) if _is_key(leaf) else array
