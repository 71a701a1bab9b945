"""Training: an environment, an agent and a replay buffer; on the device in one program, many seeds in one program.

from sobolev.training import TrainConfig, train
run = train(TrainConfig(total_steps=2_000), "runs/first")
"""

from sobolev import extras

try:
    from sobolev.training import processes
    from sobolev.training.config import TrainConfig
    from sobolev.training.evaluate import Evaluation, evaluate
    from sobolev.training.job import Job, build
    from sobolev.training.logs import Curve
    from sobolev.training.programs import trace
    from sobolev.training.progress import Progress
    from sobolev.training.slopes import Agreement, TrueSlopes, audit, true_slopes
    from sobolev.training.trackers import Trackio, WeightsAndBiases
    from sobolev.training.train import Run, check_free, read_run, train
except ModuleNotFoundError as error:
    raise extras.missing(error) from error

__all__ = [
    "Agreement",
    "Curve",
    "Evaluation",
    "Job",
    "Progress",
    "Run",
    "Trackio",
    "TrainConfig",
    "TrueSlopes",
    "WeightsAndBiases",
    "audit",
    "build",
    "check_free",
    "evaluate",
    "processes",
    "read_run",
    "trace",
    "train",
    "true_slopes",
]
