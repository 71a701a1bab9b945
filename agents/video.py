"""A video of an episode: MuJoCo's renderer in a process of its own, on whichever of its platforms works here.

The platform is chosen by the environment variable MUJOCO_GL when MuJoCo is loaded, and a platform that is missing can
end the process.
"""

import importlib.util
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import mujoco
import numpy as np

from agents.gin_messages import ConfigError
from sobolev.environments import Motion

PLATFORMS = ("egl", "osmesa", "glfw")
"""Of OpenGL: on a GPU or Mesa without a screen, by software, on a screen."""
HEIGHT, WIDTH = 480, 640
SHADOW_SIZE = 1024
"""Pixels of a shadow's map."""
MOST_FRAMES_A_SECOND = 50


def check_encoder() -> None:
    """A ConfigError where nothing can write a video."""
    if importlib.util.find_spec("imageio_ffmpeg") is None:
        raise ConfigError(
            "--video needs the package imageio-ffmpeg: pip install 'sobolev[video]', or imageio-ffmpeg alone"
        )


def write_video(motion: Motion, path: Path) -> None:
    """Writes a video in real time, whole or not at all.

    Args:
        motion: of the body.
        path: of a file that ends in .mp4.

    Raises:
        ConfigError: no renderer works here.
    """
    asked = os.environ.get("MUJOCO_GL")
    problems = []
    with tempfile.TemporaryDirectory() as folder:
        model, motion_file, aside = (
            Path(folder) / "model.mjb",
            Path(folder) / "motion.npz",
            path.with_suffix(".partial.mp4"),
        )
        mujoco.mj_saveModel(motion.model, str(model))
        np.savez(motion_file, positions=motion.positions, dt=motion.dt)
        for platform in [asked] if asked else PLATFORMS:
            words = [
                sys.executable,
                "-W",
                "ignore",
                "-m",
                "agents.video",
                str(model),
                str(motion_file),
                str(aside.resolve()),
            ]
            result = subprocess.run(
                words,
                cwd=Path(__file__).resolve().parent.parent,
                env=os.environ | {"MUJOCO_GL": platform},
                capture_output=True,
                text=True,
                check=False,
            )
            if result.returncode == 0:
                os.replace(aside, path)
                return
            aside.unlink(missing_ok=True)
            problems.append(f"{platform}: {reason(result)}")
    raise ConfigError(
        f"no video: MuJoCo renders on no platform here ({'; '.join(problems)}): install libEGL or libOSMesa, or set "
        "MUJOCO_GL; the page shows the body without a renderer"
    )


def reason(result: "subprocess.CompletedProcess[str]") -> str:
    """Why a process has ended, in one line."""
    errors = [line for line in result.stderr.splitlines() if line[:1].strip() and "Error" in line.partition(":")[0]]
    return errors[-1][:160] if errors else f"exit status {result.returncode}"


def render(motion: Motion, path: Path) -> None:
    """Renders and encodes every frame, on the platform that is set."""
    import imageio_ffmpeg

    quality = motion.model.vis.quality  # as in the file of a task, a frame takes 5 times as long on a CPU
    quality.offsamples, quality.shadowsize = 0, SHADOW_SIZE
    data, renderer = mujoco.MjData(motion.model), mujoco.Renderer(motion.model, HEIGHT, WIDTH)
    every = max(1, round(1.0 / (MOST_FRAMES_A_SECOND * motion.dt)))
    writer = imageio_ffmpeg.write_frames(str(path), (WIDTH, HEIGHT), fps=1.0 / (every * motion.dt))
    writer.send(None)
    try:
        for t in range(0, len(motion.positions), every):
            motion.place(data, t)
            renderer.update_scene(data, camera=camera_at(motion.model, data))
            writer.send(renderer.render())
    finally:
        writer.close()


def camera_at(model: mujoco.MjModel, data: mujoco.MjData) -> mujoco.MjvCamera | int:
    """The model's own first camera, or one that goes along with the body's centre of mass."""
    if model.ncam > 0:
        return 0
    camera = mujoco.MjvCamera()
    mujoco.mjv_defaultFreeCamera(model, camera)
    camera.lookat[:2] = data.subtree_com[0][:2]
    return camera


def main() -> None:
    """Renders what another process has written: model, motion, and the path of the video."""
    model, motion_file, path = sys.argv[1:]
    with np.load(motion_file) as found:
        motion = Motion(mujoco.MjModel.from_binary_path(model), found["positions"], float(found["dt"]))
    render(motion, Path(path))


if __name__ == "__main__":
    main()
    sys.stdout.flush()
    os._exit(0)  # MuJoCo's contexts complain when the interpreter takes them down
