"""The slope audit: the action gradient of a critic against that of the environment's own return.

    slope_i = [R(s, a + h e_i) - R(s, a - h e_i)] / (2 h),   R(s, a) = r_0 + gamma r_1 + ... + gamma^(T-1) r_(T-1)

at states of the policy's own episodes. The first action is the one given, the policy takes all others, and both sides
see the same noise. An actor ascends its critics' slope; where that has another direction, it does not improve.
"""

from sobolev.training.slopes.agreement import (
    ActionValue,
    Agreement,
    Summary,
    agent_slopes,
    audit,
    audit_agent,
    compare,
    critics_value,
    mean_slopes,
    model_value,
    summarize,
)
from sobolev.training.slopes.base import BatchPolicy, TrueSlopes
from sobolev.training.slopes.on_host import Visit
from sobolev.training.slopes.truth import horizon_of, slopes_at, true_slopes

__all__ = [
    "ActionValue",
    "Agreement",
    "BatchPolicy",
    "Summary",
    "TrueSlopes",
    "Visit",
    "agent_slopes",
    "audit",
    "audit_agent",
    "compare",
    "critics_value",
    "horizon_of",
    "mean_slopes",
    "model_value",
    "slopes_at",
    "summarize",
    "true_slopes",
]
