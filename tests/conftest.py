"""Fixtures shared by the tests."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import jax
import numpy as np
import pytest
from hypothesis import settings

from sobolev.metrics import kernels
from sobolev.registry import Registry

# What costs XLA's CPU compiler most, and makes only longer runs faster.
_COMPILE_FAST = "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false"
# SOBOLEV_EXAMPLES=1000 tries every theorem on that many examples.
_EXAMPLES = int(os.environ.get("SOBOLEV_EXAMPLES", "40"))
settings.register_profile("sobolev", deadline=None, derandomize=True, max_examples=_EXAMPLES)
settings.load_profile("sobolev")


def pytest_configure(config: pytest.Config) -> None:
    """Tests compile more than they run, the slow ones apart. What the environment says already wins.

    Programs that are compiled once are shared by all processes of a session, those that tests start too.
    """
    if config.option.markexpr == "not slow":
        os.environ["XLA_FLAGS"] = f"{_COMPILE_FAST} {os.environ.get('XLA_FLAGS', '')}".strip()
    if not hasattr(config, "workerinput") and "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        folder = tempfile.mkdtemp(prefix="sobolev_tests_")
        os.environ["JAX_COMPILATION_CACHE_DIR"] = folder
        config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.3")
    # jax is loaded by now, and reads the environment as it loads.
    jax.config.update("jax_compilation_cache_dir", os.environ["JAX_COMPILATION_CACHE_DIR"])
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.3)


OfDistance = Callable[[Any], Any]
_BANDWIDTHS = np.array([0.01, 0.05, 0.1, 0.5, 1.0, 10.0, 100.0])

# Entry, arguments, and in float64 the kernel's value and its gap as functions of the distance.
_KERNELS: dict[str, tuple[str, dict[str, float], OfDistance, OfDistance]] = {
    "multiquadric": (
        "multiquadric",
        {},
        lambda d: -np.sqrt(1 + (100 * d) ** 2),
        lambda d: (100 * d) ** 2 / (1 + np.sqrt(1 + (100 * d) ** 2)),
    ),
    "multiquadric-0.3": (
        "multiquadric",
        {"h": 0.3},
        lambda d: -np.sqrt(1 + (0.3 * d) ** 2),
        lambda d: (0.3 * d) ** 2 / (1 + np.sqrt(1 + (0.3 * d) ** 2)),
    ),
    "energy": ("energy", {}, lambda d: -d, lambda d: d),
    "energy-1.5": ("energy", {"beta": 1.5}, lambda d: -(d**1.5), lambda d: d**1.5),
    "rbf": (
        "rbf",
        {},
        lambda d: np.sum(np.exp(-(d**2) / (2 * _BANDWIDTHS**2))),
        lambda d: -np.sum(np.expm1(-(d**2) / (2 * _BANDWIDTHS**2))),
    ),
    "rational_quadratic": (
        "rational_quadratic",
        {},
        lambda d: 1 / (1 + d**2 / 2),
        lambda d: d**2 / (2 + d**2),
    ),
    "rational_quadratic-0.7": (
        "rational_quadratic",
        {"alpha": 0.7},
        lambda d: (1 + d**2 / 1.4) ** -0.7,
        lambda d: -np.expm1(-0.7 * np.log1p(d**2 / 1.4)),
    ),
    "laplace": ("laplace", {}, lambda d: np.exp(-d), lambda d: -np.expm1(-d)),
    "laplace-2.5": ("laplace", {"scale": 2.5}, lambda d: np.exp(-d / 2.5), lambda d: -np.expm1(-d / 2.5)),
}


@pytest.fixture(params=_KERNELS)
def kernel_case(request: pytest.FixtureRequest) -> tuple[kernels.Kernel, OfDistance, OfDistance]:
    """A kernel, and its value and gap as numpy functions of the distance."""
    name, arguments, value, gap = _KERNELS[request.param]
    return kernels.registry.make(name, **arguments), value, gap


@pytest.fixture
def x64() -> Iterator[None]:
    """Double precision for one test."""
    with jax.enable_x64(True):
        yield


@pytest.fixture(scope="session")
def scratch() -> Callable[[Registry], Any]:
    """``with scratch(registry):`` what is registered inside is forgotten, and no watcher hears of it."""

    @contextmanager
    def forget(registry: Registry) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(registry, "_factories", dict(registry._factories))
            patch.setattr(registry, "_watchers", [])
            yield

    return forget


@pytest.fixture(scope="session")
def differences() -> Callable[..., np.ndarray]:
    """``differences(f, x)``: the Jacobian of f at ``x[D]`` by central differences, ``[..., D]``; f in float64."""

    def jacobian(f: Callable[[Any], Any], x: Any, step: float = 1e-6) -> np.ndarray:
        x = np.asarray(x, dtype=np.float64)
        units = step * np.eye(x.size).reshape(x.size, *x.shape)
        columns = [(np.asarray(f(x + unit)) - np.asarray(f(x - unit))) / (2 * step) for unit in units]
        return np.stack(columns, axis=-1)

    return jacobian
