"""A video: written where MuJoCo can render, and told why not where it cannot."""

import itertools
import subprocess
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from agents import video
from agents.gin_messages import ConfigError
from sobolev.environments import Motion, make_brax, motion_of_states


@pytest.fixture(scope="module")
def motion() -> Motion:
    env: Any = make_brax("inverted_pendulum")
    found = motion_of_states(env, jax.vmap(env.reset)(jax.random.split(jax.random.key(0), 2)))
    assert found is not None
    return Motion(found.model, np.stack([np.array([0.1 * t, 0.3 * t]) for t in range(6)]), dt=0.1)


def test_a_platform_that_is_missing_is_told_and_nothing_is_left(
    motion: Motion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MUJOCO_GL", "none_such")
    with pytest.raises(ConfigError, match=r"MuJoCo renders on no platform here \(none_such: .*\): install libEGL"):
        video.write_video(motion, tmp_path / "video.mp4")
    assert list(tmp_path.iterdir()) == []


def test_without_an_encoder_the_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'sobolev\[video\]'"):
        video.check_encoder()


def test_a_video_has_every_frame_and_the_body_moves(motion: Motion, tmp_path: Path) -> None:
    imageio_ffmpeg = pytest.importorskip("imageio_ffmpeg", reason="a video needs imageio-ffmpeg")
    try:
        video.write_video(motion, tmp_path / "video.mp4")
    except ConfigError as error:
        pytest.skip(str(error))
    words = [
        imageio_ffmpeg.get_ffmpeg_exe(),
        "-i",
        str(tmp_path / "video.mp4"),
        "-f",
        "rawvideo",
        "-pix_fmt",
        "rgb24",
        "-",
    ]
    decoded = subprocess.run(words, capture_output=True, check=True)
    frames = np.frombuffer(decoded.stdout, np.uint8).reshape(-1, video.HEIGHT, video.WIDTH, 3).astype(int)
    assert len(frames) == 6
    assert b" 10 fps" in decoded.stderr
    assert all(np.max(np.abs(after - before)) > 50 for before, after in itertools.pairwise(frames))
    assert [path.name for path in tmp_path.iterdir()] == ["video.mp4"]


def test_the_reason_is_the_last_error() -> None:
    text = "Traceback\n  File x\nAttributeError: 'NoneType'\nGLFWError: (65537) not initialized\n  warnings.warn\n"
    assert video.reason(subprocess.CompletedProcess([], 1, "", text)) == "GLFWError: (65537) not initialized"
    assert video.reason(subprocess.CompletedProcess([], -6, "", "")) == "exit status -6"
