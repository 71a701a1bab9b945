"""Bindings of parts that several experiments take in."""

FOUR = ("agent.horizon = @horizons.fixed()", "horizons.fixed.steps = 4")
MIXED = ("agent.horizon = @horizons.geometric()", "horizons.geometric.steps = 4", "horizons.geometric.decay = 0.8")
SEPARABLE = ("world_models.cvae.separable_reward = True",)
