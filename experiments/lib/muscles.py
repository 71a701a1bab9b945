"""The muscles of myosuite, under their names: this module is imported before they are made.

    environments.gymnasium.id = 'experiments.lib.muscles:myoHandPoseFixed-v0'

Needs ``pip install --no-deps myosuite flatten_dict pink-noise-rl termcolor gitpython gitdb smmap sk-video h5py``:
without --no-deps, myosuite 2.8.5 takes old releases of MuJoCo and Gymnasium, which it does not need.
"""

try:
    import myosuite  # noqa: F401  (it names its tasks to Gymnasium)
except ModuleNotFoundError as error:
    command = "pip install --no-deps myosuite flatten_dict pink-noise-rl termcolor gitpython gitdb smmap sk-video h5py"
    raise ModuleNotFoundError(f"the package {error.name} is missing: {command}", name=error.name) from error
