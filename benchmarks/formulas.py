"""What an update and a seed cost, as closed formulas of the configuration.

Operations are those of matrix products, two for each multiplication and addition; a product that does not depend on
the critic's noise is counted once for all its samples, as it is computed. Bytes are of float32 numbers. docs/scale.md
has the formulas in words, ``python -m benchmarks.scale`` their comparison with what is traced and compiled.

A network is run forward in one product for each of its weight matrices. Its derivative in an input has the same
products again, and its derivative in the weights once more. A loss of a derivative in the input therefore has six: two
forward, and two to differentiate each of them.
"""

from typing import Literal, NamedTuple

from sobolev.joint import Gradient, block_sizes
from sobolev.linearise import num_derivatives

FLOAT = 4
ModelKind = Literal["recorded", "ensemble", "cvae"]


class Network(NamedTuple):
    """A :class:`sobolev.networks.SkipMLP`, whose numbers below are of multiplications for one row.

    Fields:
        widths: of the hidden layers.
        shared: inputs that all samples of a state have in common.
        own: inputs of each sample.
        outputs: how many.
        quadratic, layer_norm: as there.
    """

    widths: tuple[int, ...]
    shared: int
    own: int
    outputs: int
    quadratic: bool = False
    layer_norm: bool = False

    @property
    def squares(self) -> int:
        """Components of the quadratic term."""
        return self.shared + self.own if self.quadratic else 0

    def into(self, inputs: int) -> int:
        """Of so many inputs, which every hidden layer has."""
        return inputs * (sum(self.widths) + self.squares)

    @property
    def chain(self) -> int:
        """From each hidden layer to the next."""
        return sum(a * b for a, b in zip(self.widths, self.widths[1:], strict=False))

    @property
    def out(self) -> int:
        """Of the last layer."""
        return (self.widths[-1] + self.squares) * self.outputs

    @property
    def hidden(self) -> int:
        """Of all that does not take an input."""
        return self.chain + self.out

    @property
    def whole(self) -> int:
        """Forward, of one row by itself."""
        return self.into(self.shared + self.own) + self.hidden

    @property
    def parameters(self) -> int:
        """Weights, biases, and scales and offsets of normalized layers."""
        biases = sum(self.widths) + self.squares + self.outputs
        return self.whole + biases + (2 * sum(self.widths) if self.layer_norm else 0)


class Setting(NamedTuple):
    """The numbers on which cost depends.

    Fields:
        state, action: S and A.
        batch: B.
        samples: N of each critic.
        targets: M of the corrected target.
        critics: K.
        gradient: which gradients critics are trained on.
        noise: length of the critic's noise, 0 for a point critic.
        widths: hidden layers of critics and actor.
        layer_norm, quadratic: of the critics.
        model: the world model.
        model_widths: its hidden layers.
        members: of an ensemble; 1 is a single regressor.
        learned_prior: of a cVAE, whose latent has S + 1 components.
        imagination: each target sample has a model step of its own; else all share the recorded one.
        target_noise: whether target actions are smoothed, each sample's by itself.
        policy_delay: critic updates for each of the actor.
        metric: "mmd" and "msmmd" have products; others have none.
        starts, climbs, steps: of the search for directions: starting directions, how many of them climb, how far.
    """

    state: int
    action: int
    batch: int
    samples: int
    targets: int
    critics: int
    gradient: Gradient
    noise: int
    widths: tuple[int, ...]
    layer_norm: bool = True
    quadratic: bool = True
    model: ModelKind = "cvae"
    model_widths: tuple[int, ...] = ()
    members: int = 1
    learned_prior: bool = True
    imagination: bool = False
    target_noise: bool = False
    policy_delay: int = 1
    metric: str = "msmmd"
    starts: int = 1
    climbs: int = 1
    steps: int = 5

    @property
    def pair(self) -> int:
        """Components of state and action."""
        return self.state + self.action

    @property
    def differentiated(self) -> int:
        """Components in which the target is differentiated."""
        return sum(block_sizes(self.gradient, self.state, self.action)[1:])

    @property
    def critic(self) -> Network:
        return Network(self.widths, self.pair, self.noise, 1, self.quadratic, self.layer_norm)

    @property
    def actor(self) -> Network:
        return Network(self.widths, self.state, 0, self.action)

    @property
    def shared_step(self) -> bool:
        """Whether one Jacobian of the model's step serves all target samples (:mod:`sobolev.linearise`)."""
        derivatives = num_derivatives(self.state, self.differentiated)
        return not self.imagination and 0 < derivatives < self.critics * self.samples


class ModelCost(NamedTuple):
    """Multiplications of a world model, for one row.

    Fields:
        loss: of its loss and the gradient.
        infer: of the noise that explains a transition.
        shared: of a step, what does not depend on its noise.
        own: of a step, what does.
        pullback: of one derivative of a step by an output.
        pullback_of_output: of these, the last layer's.
        push: of one derivative by an input, without the products that have the same input for all rows.
        parameters: in number, normalizers included.
    """

    loss: int = 0
    infer: int = 0
    shared: int = 0
    own: int = 0
    pullback: int = 0
    pullback_of_output: int = 0
    push: int = 0
    parameters: int = 0


def world_model(setting: Setting) -> ModelCost:
    """The world model's cost."""
    return {"recorded": lambda setting: ModelCost(), "ensemble": _ensemble, "cvae": _cvae}[setting.model](setting)


def _ensemble(setting: Setting) -> ModelCost:
    member = Network(setting.model_widths, setting.pair, 0, setting.state + 1)
    each = ModelCost(
        loss=2 * member.into(setting.pair) + 3 * member.hidden,
        shared=member.whole,
        pullback=member.whole,
        push=member.hidden,
        parameters=member.parameters,
    )
    total = ModelCost(*(setting.members * cost for cost in each))
    return total._replace(parameters=total.parameters + _model_normalizers(setting))


def _cvae(setting: Setting) -> ModelCost:
    x, t = setting.pair, setting.state + 1
    encoder = Network(setting.model_widths, x + t, 0, 2 * t, layer_norm=True)
    decoder = Network(setting.model_widths, x, t, t, layer_norm=True)
    prior = Network(setting.model_widths, x, 0, 2 * t, layer_norm=True)
    cost = ModelCost(
        loss=2 * encoder.into(x + t)
        + 3 * encoder.hidden
        + 2 * decoder.into(x)
        + 3 * (decoder.into(t) + decoder.hidden),
        infer=encoder.whole,
        shared=decoder.into(x),
        own=decoder.into(t) + decoder.hidden,
        pullback=decoder.into(x) + decoder.hidden,
        pullback_of_output=decoder.out,
        push=decoder.hidden,
        parameters=encoder.parameters + decoder.parameters + _model_normalizers(setting),
    )
    if not setting.learned_prior:
        return cost
    return cost._replace(  # the latent depends on state and action, too
        loss=cost.loss + 2 * prior.into(x) + 3 * prior.hidden,
        shared=cost.shared + prior.whole,
        pullback=cost.pullback + decoder.into(t) + prior.whole,
        push=cost.push + decoder.into(t) + prior.hidden,
        parameters=cost.parameters + prior.parameters,
    )


def _model_normalizers(setting: Setting) -> int:
    return 2 * setting.pair + 2 * (setting.state + 1)


class Operations(NamedTuple):
    """Floating-point operations of the products of one update; the actor's is averaged over its delay.

    ``metric`` is contained in no other part.
    """

    world_model: float
    target: float
    critics: float
    metric: float
    actor: float

    @property
    def total(self) -> float:
        return sum(self)


def operations(setting: Setting) -> Operations:
    """The products of one update."""
    of_row = Operations(
        world_model=world_model(setting).loss,
        target=_target(setting),
        critics=_critics(setting),
        metric=setting.critics * _metric(setting),
        actor=_actor(setting) / setting.policy_delay,
    )
    return Operations(*(2 * setting.batch * multiplications for multiplications in of_row))


def _target(setting: Setting) -> int:
    critic, actor, model = setting.critic, setting.actor, world_model(setting)
    samples = setting.critics * setting.samples
    step = model.shared + (samples * model.own if setting.imagination else model.infer + model.own)
    policy = (samples if setting.imagination else 1) * actor.whole
    pairs = samples if setting.imagination or setting.target_noise else setting.critics
    value = pairs * critic.into(critic.shared) + samples * (critic.into(critic.own) + critic.hidden)
    forward = step + policy + value
    if setting.gradient == "none":
        return forward
    backward = samples * (critic.chain + critic.into(critic.shared) + actor.whole)
    along_policy = (1 + samples) * actor.whole if setting.gradient == "closed_loop" else 0
    return forward + backward + along_policy + _of_step(setting, model, samples)


def _of_step(setting: Setting, model: ModelCost, samples: int) -> int:
    """The model's derivatives: for each sample, or one Jacobian and a product with it for each sample."""
    if not setting.shared_step:
        return samples * model.pullback
    inputs, outputs = setting.differentiated, setting.state + 1
    product = outputs * inputs
    if inputs <= outputs:
        return inputs * model.push + (1 + samples) * product
    return outputs * (model.pullback - model.pullback_of_output) + (1 + samples) * product


def _critics(setting: Setting) -> int:
    critic, samples = setting.critic, setting.samples
    values = 2 * critic.into(critic.shared) + samples * (2 * critic.into(critic.own) + 3 * critic.hidden)
    if setting.gradient == "none":
        return setting.critics * values
    gradients = samples * 3 * (critic.chain + critic.into(critic.shared))
    along_policy = 0
    if setting.gradient == "closed_loop":
        along_policy = (1 + 2 * setting.critics * samples) * setting.actor.whole
    return setting.critics * (values + gradients) + along_policy


def _metric(setting: Setting) -> int:
    """Of one critic's metric at one state, with the gradient."""
    n, m, size = setting.samples, setting.targets, 1 + setting.differentiated
    if size == 1:
        return 0
    if setting.metric == "mmd":  # to both points of all pairs, whose distances themselves are no products
        return 2 * (n * m + n * n) * size
    if setting.metric != "msmmd":
        return 0
    projections = (n + m) * size
    scored = setting.starts * projections if setting.starts > setting.climbs else 0
    climbs = min(setting.starts, setting.climbs) * (2 * (1 + setting.steps) * projections + setting.steps * size)
    return scored + climbs + projections + n * size


def _actor(setting: Setting) -> int:
    critic, actor, samples = setting.critic, setting.actor, setting.samples
    forward = critic.into(critic.shared) + samples * (critic.into(critic.own) + critic.hidden)
    backward = critic.into(critic.shared) + samples * critic.hidden
    return 2 * actor.into(actor.shared) + 3 * actor.hidden + setting.critics * (forward + backward)


class Bytes(NamedTuple):
    """Bytes of one seed, besides the environments.

    Fields:
        agent: parameters, the targets' copies, and two moments of each parameter.
        replay: the rows of the replay buffer.
        fault: the batch that is kept where an update is not finite.
    """

    agent: int
    replay: int
    fault: int

    @property
    def total(self) -> int:
        return sum(self)


def row_bytes(setting: Setting) -> int:
    """Of a transition: two states, an action, reward and discount."""
    return FLOAT * (2 * setting.state + setting.action + 2)


def seed_bytes(setting: Setting, replay_capacity: int) -> Bytes:
    """What a seed holds from update to update.

    Args:
        setting: the numbers.
        replay_capacity: rows, the lower of ``train.replay_capacity`` and ``train.total_steps``.
    """
    followed = setting.critics * (setting.critic.parameters + 2 * setting.state)
    followed += setting.actor.parameters + 2 * setting.state
    agent = FLOAT * (4 * followed + 3 * world_model(setting).parameters)
    return Bytes(agent, replay_capacity * (row_bytes(setting) + 1), setting.batch * row_bytes(setting))


def kept_bytes(setting: Setting) -> int:
    """What the critics' loss keeps for its gradient: an update's temporary memory is at least about that.

    The arrays of a hidden layer's or of the squares' size, one for each critic, state and sample, that are kept between
    the passes: of a value 4 for each hidden layer and 5 for a normalized one; where the loss has gradients, too, 9 and
    14, but 1 and 2 less in the first layer, whose inputs are constants. They are counted from the trace, as
    ``tests/benchmarks/test_scale.py`` does.
    """
    each, first = {
        (False, False): (4, 4),
        (False, True): (5, 5),
        (True, False): (9, 8),
        (True, True): (14, 12),
    }[setting.gradient != "none", setting.layer_norm]
    of_sample = first * setting.widths[0] + each * sum(setting.widths[1:])
    of_sample += (2 if setting.gradient == "none" else 4) * setting.critic.squares
    return FLOAT * setting.critics * setting.batch * setting.samples * of_sample
