"""A trained policy as one file: written by ``jax.export``, it acts with jax alone, without the library or an agent.

The file holds one function, parameters and normalizer included:

    (observations float32[B, S], seed uint32[]) -> actions float32[B, A], in [-1, 1]

for any B, on CPU, GPU and TPU. A run writes one for every seed, ``policies/seed<seed>.jaxexport``, with each checkpoint
and at its end. Without the library:

    jax.export.deserialize(bytearray(open(file, "rb").read())).call(observations, numpy.uint32(0))
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import export

from sobolev.types import Array, Key, Params

_PLATFORMS = ("cpu", "cuda", "rocm", "tpu")


@dataclass(frozen=True)
class LoadedPolicy:
    """A policy from a file; may be called within ``jit`` and ``scan``. Give it batches where ``vmap`` would be used.

    Args:
        exported: the function of the module's text.
        path: where it came from.
    """

    exported: export.Exported
    path: Path

    @property
    def observation_size(self) -> int:
        """The length S of an observation."""
        return int(self.exported.in_avals[0].shape[-1])

    def __call__(self, observation: Any, seed: int = 0) -> Array:
        """The actions for observations.

        Args:
            observation: ``[S]`` or ``[B, S]``, as the environment gives them.
            seed: of a policy that is evaluated at random; most are not.

        Returns:
            ``[A]`` or ``[B, A]``, each component in [-1, 1].

        Raises:
            ValueError: observations of another shape.
        """
        observation = jnp.asarray(observation, jnp.float32)
        if observation.ndim not in (1, 2) or observation.shape[-1] != self.observation_size:
            raise ValueError(
                f"{self.path} acts on observations of length {self.observation_size}, [{self.observation_size}] or "
                f"[B, {self.observation_size}], got shape {list(observation.shape)}"
            )
        actions = self.exported.call(jnp.atleast_2d(observation), jnp.asarray(seed, jnp.uint32))
        return actions if observation.ndim == 2 else actions[0]


def save_policy(path: Path, act: Callable[[Params, Key, Array], Array], params: Params, state_size: int) -> None:
    """Writes a policy to a file, whole or not at all.

    Args:
        path: of the file; its folder is made.
        act: ``(params, key, s[S]) -> a[A]``.
        params: of the policy; they become constants of the file.
        state_size: S.

    See Also:
        :func:`load_policy`, which reads it.
    """

    def policy(observations: Array, seed: Array) -> Array:
        keys = jax.random.split(jax.random.key(seed), observations.shape[0])
        return jax.vmap(act, in_axes=(None, 0, 0))(params, keys, observations)

    (batch,) = export.symbolic_shape("B")
    shapes = jax.ShapeDtypeStruct((batch, state_size), jnp.float32), jax.ShapeDtypeStruct((), jnp.uint32)
    data = export.export(jax.jit(policy), platforms=_PLATFORMS)(*shapes).serialize()
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_suffix(".partial")
    aside.write_bytes(data)
    os.replace(aside, path)


def policy_path(run_dir: Path, seed: int) -> Path:
    """The file of one seed's policy in a run directory."""
    return run_dir / "policies" / f"seed{seed}.jaxexport"


def load_policy(run_dir: str | Path, seed: int | None = None) -> LoadedPolicy:
    """The policy that a run has learned, as of its last checkpoint or its end.

    Args:
        run_dir: a run directory, or a policy's file itself.
        seed: which of several seeds; not needed where there is one.

    Returns:
        ``policy(observation[S]) -> action[A]``, or of batches ``[B, S] -> [B, A]``.

    Raises:
        ValueError: no policy there, several without a ``seed``, or a file that this version cannot read.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> import jax.numpy as jnp
        >>> run_dir = Path(tempfile.mkdtemp())
        >>> save_policy(policy_path(run_dir, 0), lambda params, key, s: jnp.tanh(params * s[:2]), jnp.array(0.0), 3)
        >>> policy = load_policy(run_dir)
        >>> policy([1.0, 2.0, 3.0]).tolist(), policy(jnp.ones((5, 3))).shape
        ([0.0, 0.0], (5, 2))
    """
    path = _find(Path(run_dir), seed)
    try:
        exported = export.deserialize(bytearray(path.read_bytes()))
        (observations, _), (actions,) = exported.in_avals, exported.out_avals
        readable = observations.ndim == actions.ndim == 2 and observations.dtype == np.float32
    except ImportError as error:
        raise ImportError(f"reading {path} needs the package flatbuffers: pip install flatbuffers") from error
    except Exception as error:  # what a damaged or foreign file raises is not documented
        first_line = str(error).partition("\n")[0]
        raise ValueError(_unreadable(path, f"{type(error).__name__}: {first_line}")) from error
    if not readable:
        raise ValueError(_unreadable(path, f"it holds a function of {exported.in_avals}"))
    return LoadedPolicy(exported, path)


def _unreadable(path: Path, reason: str) -> str:
    return (
        f"{path} is no policy that this version reads (jax {jax.__version__}): {reason}. Write it anew by resuming its "
        "run, or load it with the version that wrote it"
    )


def _find(run_dir: Path, seed: int | None) -> Path:
    """The file of the policy that was asked for."""
    if run_dir.is_file():
        return run_dir
    found = sorted(run_dir.glob("policies/seed*.jaxexport"), key=lambda path: int(path.stem.removeprefix("seed")))
    if not found:
        kind = "no such directory" if not run_dir.exists() else "no policy is there"
        raise ValueError(f"{run_dir}: {kind}; a run writes its policies with its checkpoints and at its end")
    seeds = [int(path.stem.removeprefix("seed")) for path in found]
    if seed is None and len(seeds) == 1:
        return found[0]
    if seed not in seeds:
        asked = "say which seed" if seed is None else f"there is no seed {seed}"
        raise ValueError(f"{run_dir}: {asked}, load_policy(run_dir, seed=...); the run has seeds {seeds}")
    return found[seeds.index(seed)]
