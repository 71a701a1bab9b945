"""Tasks of a Ray cluster, or of Ray on this machine; Ray itself starts those again that are lost.

All machines of a cluster need the clone, the Python of this program and the sweep's directory, under the same paths.
"""

import logging
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from agents.gin_messages import ConfigError
from agents.sweeps import attempt, record
from agents.sweeps.attempt import Order, Outcome, complete
from agents.sweeps.backends import TRIES, Backend, Handle, Options
from sobolev.training import lock

# Ray reads these as it is imported: it reports nothing, and a task without GPUs of its own sees all, as elsewhere.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
SHARE = 0.9
"""Of the part of a GPU that a task is given, so much is for JAX's arrays."""


class RayHandle:
    """A task of Ray.

    Args:
        ray: the package.
        reference: of the task's result.
    """

    def __init__(self, ray: ModuleType, reference: Any) -> None:
        self._ray, self._reference = ray, reference

    def poll(self) -> Outcome | None:
        """How it has ended, after Ray's last try."""
        if not self._ray.wait([self._reference], timeout=0)[0]:
            return None
        try:
            return Outcome(*self._ray.get(self._reference))
        except self._ray.exceptions.TaskCancelledError:
            return Outcome(-signal.SIGTERM)
        except self._ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, ChildProcessError):
                return Outcome(int(error.cause.args[0]))
            return Outcome(1, f"Ray: {str(error).splitlines()[-1]}")
        except self._ray.exceptions.RayError:  # a worker or a machine is lost
            return Outcome(-signal.SIGKILL)

    def stop(self, number: int) -> None:
        """Interrupts it, or kills its worker."""
        self._ray.cancel(self._reference, force=number == signal.SIGKILL)


class Ray:
    """Hands tasks to Ray.

    Args:
        ray: the package, connected.
        options: what is set aside for a task.
    """

    tries = 1

    def __init__(self, ray: ModuleType, options: Options) -> None:
        self._ray = ray
        for module in (attempt, record, lock):
            ray.cloudpickle.register_pickle_by_value(module)

        def run(order: Order) -> tuple[int, str]:
            outcome = complete(order)
            if record.signal_of(outcome.status) is not None:
                raise ChildProcessError(outcome.status)  # Ray tries again
            return outcome.status, outcome.error

        self._run = ray.remote(
            num_cpus=options.cpus_per_task,
            num_gpus=options.gpus_per_task,
            max_retries=TRIES - 1,
            retry_exceptions=[ChildProcessError],
        )(run)
        self._variables = variables(options.gpus_per_task)

    def start(self, orders: Sequence[Order]) -> list[Handle]:
        """Hands them to Ray, which queues what has no room."""
        return [
            RayHandle(self._ray, self._run.remote(order._replace(variables={**order.variables, **self._variables})))
            for order in orders
        ]


def variables(gpus: float) -> dict[str, str]:
    """What tasks find in their environment: this program's settings of JAX, and their share of a GPU's memory.

    Example:
        >>> variables(0.5)["XLA_PYTHON_CLIENT_MEM_FRACTION"]
        '0.450'
    """
    found = {name: value for name, value in os.environ.items() if name.startswith(("JAX_", "XLA_"))}
    if 0 < gpus < 1:
        found.setdefault("XLA_PYTHON_CLIENT_MEM_FRACTION", f"{SHARE * gpus:.3f}")
    return found


def make(options: Options, sweep_dir: Path) -> Backend:
    """Connects to a cluster, or starts one of this machine alone, which ends with this program."""
    del sweep_dir
    import ray
    import ray.cloudpickle
    import ray.exceptions

    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        ray.init(options.ray_address, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    except Exception as error:  # of many kinds; a machine that is too busy raises one without a kind
        reason = str(error).strip().splitlines()[0]
        raise ConfigError(
            f"no Ray at {options.ray_address or 'this machine or RAY_ADDRESS'}: {reason} (--ray_address)"
        ) from error
    finally:
        for number, handler in handlers.items():  # Ray takes SIGTERM
            signal.signal(number, handler)
    check_resources(options)
    return Ray(ray, options)


def check_resources(options: Options) -> None:
    """Raises a ConfigError where the cluster could never run a task."""
    import ray

    resources = ray.cluster_resources()
    for name, asked in (("CPU", options.cpus_per_task), ("GPU", options.gpus_per_task)):
        if asked > resources.get(name, 0):
            raise ConfigError(
                f"--{name.lower()}s_per_task={asked:g}: the Ray cluster has {resources.get(name, 0):g} {name}s"
            )
