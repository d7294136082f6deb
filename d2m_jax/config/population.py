"""How many parties of each kind there are; who they are is drawn in `market/roles.py`."""

from flax import struct

from d2m_jax.core.types import Count


class Population(struct.PyTreeNode):
    """How many parties of each kind; the rest are honest. All may be traced."""

    num_byzantine: Count = 0  # sellers that carry out `spec.attack`
    num_tag_liars: Count = 0  # sellers of other data that claim the requested tags
    num_strangers: Count = 0  # sellers of other data that say so: honest, not matched
    breadth: Count = 1  # jobs that each seller's data serves, with spec.num_jobs above 1
    num_colluding: Count = 0  # nodes that vote together for a wrong result
    num_lone_liars: Count = 0  # nodes that each vote for a wrong result of their own
    num_silent: Count = 0  # nodes that commit and never reveal
    num_copying: Count = 0  # nodes that copy revealed results instead of working
    num_adaptive: Count = 0  # nodes that collude only when that wins at once
