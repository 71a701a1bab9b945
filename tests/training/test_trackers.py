"""Experiment trackers: what a stand-in is told of runs that resume, and the two packages without a network."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from sobolev.metrics import MMD, Energy
from sobolev.training import TrainConfig, train
from sobolev.training.trackers import FOLDER, Identity, Told, Tracked, Tracker, Trackio, WeightsAndBiases, described


@dataclass(frozen=True)
class StandIn(Tracker):
    """Remembers what it is told."""

    told: list[tuple[Any, ...]] = field(default_factory=list)
    fails_at: int | None = None
    title, module = "the stand-in", "json"

    def start(self, run: Tracked, seed: int, identity: Identity, is_new: bool) -> Told:
        self.told.append(("start", seed, identity, is_new, run.config["train.total_steps"]))

        def log(row: dict[str, float]) -> None:
            if row["env_steps"] == self.fails_at:
                raise OSError("no connection\nmore of it")
            self.told.append(("row", seed, row["env_steps"]))

        return Told(log, lambda ended: self.told.append(("finish", seed, ended)), "nowhere")

    def of(self, kind: str) -> Iterator[tuple[Any, ...]]:
        return (words[1:] for words in self.told if words[0] == kind)


def test_a_run_that_resumes_goes_on_where_it_was_and_no_row_is_told_twice(
    tiny: Callable[..., TrainConfig], tmp_path: Path
) -> None:
    first, again = StandIn(), StandIn()
    config = tiny(num_seeds=2, seed=3)
    train(config, tmp_path, callbacks=[first])
    identities = {seed: identity for seed, identity, *_ in first.of("start")}
    assert set(identities) == {3, 4}
    assert len({identity.id for identity in identities.values()}) == 2
    assert [tuple(words) for words in first.of("start")] == [(seed, identities[seed], True, 40) for seed in (3, 4)]
    assert sorted(first.of("row")) == [(seed, steps) for seed in (3, 4) for steps in (8, 10, 20, 30, 40)]
    assert sorted(first.of("finish")) == [(3, True), (4, True)]

    (tmp_path / "checkpoints" / "40.npz").unlink()  # so that rows 30 and 40 are made again
    train(tiny(num_seeds=2, seed=3, total_steps=60), tmp_path, resume=True, callbacks=[again])
    assert [tuple(words) for words in again.of("start")] == [(seed, identities[seed], False, 60) for seed in (3, 4)]
    assert sorted(again.of("row")) == [(seed, steps) for seed in (3, 4) for steps in (50, 60)]


def test_a_tracker_that_fails_later_does_not_end_the_run(
    tiny: Callable[..., TrainConfig], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tracker, seen = StandIn(fails_at=20), list[Any]()
    run = train(tiny(), tmp_path, callbacks=[tracker, seen.append])
    assert [steps for _, steps in tracker.of("row")] == [8, 10]
    assert seen == run.rows
    assert len(run.rows) == 5
    told = capsys.readouterr().out
    assert told.count("the stand-in: seed 0 is not told any more: no connection\n") == 1


def test_a_run_that_was_begun_without_a_tracker_is_told_from_its_beginning(tmp_path: Path) -> None:
    rows = [{"env_steps": steps, "seed": seed, "eval/return": 1.0} for steps in (20, 10) for seed in (5, 6)]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for expected in ([10, 20, 30], [40]):
        tracker, steps = StandIn(), expected[-1]
        with tracker.opened(Tracked(tmp_path, [5], True, {"train.total_steps": 9}, print)) as log:
            for row in ({"env_steps": 20, "seed": 5}, {"env_steps": steps, "seed": 5}, {"env_steps": 30, "seed": 7}):
                log(row)
        assert list(tracker.of("row")) == [(5, steps) for steps in expected]


def test_a_tracker_that_does_not_start_leaves_nothing_behind(tmp_path: Path) -> None:
    class Closed(StandIn):
        def start(self, *_: Any, **__: Any) -> Told:
            raise ValueError("the stand-in: closed")

    with pytest.raises(ValueError, match="closed"), Closed().opened(Tracked(tmp_path, [5], False, {}, print)):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_is_cut_short_is_not_told_as_ended(tmp_path: Path) -> None:
    tracker = StandIn()
    run = Tracked(tmp_path, [5], False, {"train.total_steps": 9}, print)
    with pytest.raises(RuntimeError, match="cut"), tracker.opened(run):
        raise RuntimeError("cut")
    assert list(tracker.of("finish")) == [(5, False)]


@pytest.mark.parametrize(("tracker", "package"), [(WeightsAndBiases(), "wandb"), (Trackio(), "trackio")])
def test_a_missing_package_is_told_before_anything_is_compiled(
    tracker: Tracker, package: str, tiny: Callable[..., TrainConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.setattr(sys.modules["sobolev.training.train"], "compile_all", None)
    with pytest.raises(
        ModuleNotFoundError, match=rf"^the package {package} is missing: pip install 'sobolev\[{package}\]'$"
    ):
        train(tiny(), tmp_path, callbacks=[tracker])
    assert list(tmp_path.iterdir()) == []


def test_a_configuration_is_told_by_name() -> None:
    def make(size: int) -> None:
        del size

    found = described(TrainConfig(seed=7), "train")
    assert found["train.seed"] == 7
    assert found["train.environment"] == "PointMass"
    assert found["train.agent.gamma"] == TrainConfig().agent.gamma
    assert found["train.noise"] is None
    of_metric = described(MMD(kernel=Energy(beta=0.5), estimator="v"), "m")
    assert of_metric == {"m": "MMD", "m.kernel": "Energy", "m.kernel.beta": 0.5, "m.estimator": "v"}
    assert described(partial(make, size=3), "f") == {"f": "make", "f.size": 3}
    assert described((1, 2), "x") == {"x": [1, 2]}
    assert described(Spring(), "spring") == {"spring": "Spring", "spring.stiffness": 3.0}
    json.dumps(found)


class Spring:
    """An environment, say."""

    def __init__(self) -> None:
        self.stiffness, self._length, self.state = 3.0, 1.0, [1, 2]


TELL = """
import sys
from pathlib import Path
from sobolev.training import logs, trackers

print("begun")
name, run_dir, resume, *steps = sys.argv[1:]
run = trackers.Tracked(Path(run_dir), [3, 4], resume == "again", {"agent.gamma": 0.9}, print)
with trackers.TRACKERS[name]("walkers").opened(run) as log:
    for env_steps in map(int, steps):
        rows = [{"env_steps": env_steps, "seed": seed, "eval/return": env_steps + seed} for seed in (3, 4)]
        with open(Path(run_dir) / "metrics.jsonl", "a") as file:
            file.write("".join(logs.to_json(row) + "\\n" for row in rows))
        for row in rows:
            log(row)
"""


def tell(name: str, run_dir: Path, resume: str, *steps: int, **environment: str) -> str:
    """What a process prints that tells a tracker of rows."""
    words = [sys.executable, "-W", "ignore", "-c", TELL, name, str(run_dir), resume, *map(str, steps)]
    result = subprocess.run(
        words, env={**os.environ, **environment}, capture_output=True, text=True, timeout=250, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.partition("begun\n")[2]


def test_weights_and_biases_offline(tmp_path: Path) -> None:
    pytest.importorskip("wandb", exc_type=ImportError)
    run_dir = tmp_path / "run"
    run_dir.mkdir()
    told = tell("wandb", run_dir, "afresh", 10, 20, WANDB_MODE="offline")
    tell("wandb", run_dir, "again", 20, 30, WANDB_MODE="offline")
    assert told.startswith(f"Weights & Biases: `wandb sync {run_dir / 'wandb'}/offline-run-")
    assert told.count("\n") == 1
    found: dict[tuple[str, str, str], list[tuple[int, float]]] = {}
    for path in sorted(run_dir.glob("wandb/offline-run-*/*.wandb")):
        identity, rows = stored_by_wandb(path)
        found.setdefault(identity, []).extend(rows)
    ids = {seed: json.loads((run_dir / FOLDER / f"wandb_seed{seed}.json").read_text()) for seed in (3, 4)}
    assert found == {
        (ids[seed]["id"], f"{tmp_path.name}/run, seed {seed}", f"{tmp_path.name}/run"): [
            (steps, float(steps + seed)) for steps in (10, 20, 30)
        ]
        for seed in (3, 4)
    }


def stored_by_wandb(path: Path) -> tuple[tuple[str, str, str], list[tuple[int, float]]]:
    """Id, name and group of an offline run, and step and return of its rows."""
    program = f"""
import json
from pathlib import Path
from wandb.proto import wandb_internal_pb2

data, place, whole, run, rows = Path({str(path)!r}).read_bytes(), 7, b"", None, []
while place < len(data):  # a log as LevelDB has it: blocks of 32 KiB, and of each piece checksum, length and kind
    if 32768 - place % 32768 < 7:
        place += 32768 - place % 32768
        continue
    length, kind = int.from_bytes(data[place + 4 : place + 6], "little"), data[place + 6]
    whole += data[place + 7 : place + 7 + length]
    place += 7 + length
    if kind not in (1, 4):  # the last piece of a record, or all of it
        continue
    record, whole = wandb_internal_pb2.Record.FromString(whole), b""
    if record.WhichOneof("record_type") == "run":
        run = record.run.run_id, record.run.display_name, record.run.run_group
    if record.WhichOneof("record_type") == "history":
        items = {{item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in record.history.item}}
        rows.append((items["env_steps"], items["eval/return"]))
print(json.dumps([run, rows]))
"""
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, timeout=100, check=False
    )
    assert result.returncode == 0, result.stderr
    identity, rows = json.loads(result.stdout)
    return tuple(identity), [(int(steps), float(value)) for steps, value in rows]


def test_trackio_on_this_machine(tmp_path: Path) -> None:
    pytest.importorskip("trackio", exc_type=ImportError)
    run_dir, folder = tmp_path / "run", tmp_path / "there"
    run_dir.mkdir()
    told = tell("trackio", run_dir, "afresh", 10, 20, TRACKIO_DIR=str(folder))
    tell("trackio", run_dir, "again", 20, 30, TRACKIO_DIR=str(folder))
    assert told == "trackio: project walkers, `trackio show` opens it\n"
    program = f"""
import json, os
os.environ["TRACKIO_DIR"] = {str(folder)!r}
import trackio
from trackio.sqlite_storage import SQLiteStorage
rows = {{run.name: SQLiteStorage.get_logs("walkers", run.name, run_id=run.id) for run in trackio.Api().runs("walkers")}}
print(json.dumps({{name: [[row["step"], row["eval/return"]] for row in of_run] for name, of_run in rows.items()}}))
"""
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, timeout=100, check=True
    )
    found = json.loads(result.stdout.splitlines()[-1])
    ids = {seed: json.loads((run_dir / FOLDER / f"trackio_seed{seed}.json").read_text()) for seed in (3, 4)}
    assert found == {
        f"{ids[seed]['name']} {ids[seed]['id']}": [[steps, steps + seed] for steps in (10, 20, 30)] for seed in (3, 4)
    }
