"""What is fixed when a market is compiled: shapes, names, loop lengths. Read next: `hparams.py`.

Everything that is a number a sweep could vary lives in `HParams`; changing a field here compiles a
new program.
"""

import dataclasses
from typing import Any, TypeAlias

Choice: TypeAlias = Any  # the name of a part, or a part of one's own: see `core/choices.py`


@dataclasses.dataclass(frozen=True)
class DataSpec:
    """Which examples there are and who holds them (host side, numpy)."""

    name: Choice = "digits"  # see data.SOURCES, or a function `() -> Dataset`
    partition: Choice = "dirichlet"  # see data.PARTITIONS
    alpha: float = 0.5  # concentration of the Dirichlet partition; small is heterogeneous
    classes_per_seller: int = 2  # of the shard partition
    gamma: float = 0.5  # share of iid samples of the gamma-similarity partition
    sigma: float = 1.0  # spread of log sizes of the log-normal partition
    num_validation: int = 200  # buyer's examples, some for the defence, the rest for the verdict
    correction_share: float = 0.5  # share of them that the defence sees; 0: it sees none
    min_samples: int = 10  # every seller gets at least so many
    unit_size: int = 0  # examples of a unit, with spec.selling units; 0: all held over num_units
    num_root: int = 0  # trusted root examples (FLTrust)
    max_train: int = 0  # use at most so many training examples; 0 takes all
    job_classes: tuple[tuple[int, ...], ...] = ()  # of each of several jobs; (): one deal for all
    seed: int = 0  # of the split, apart from the seed of the run


@dataclasses.dataclass(frozen=True)
class Spec:
    """Shapes and names of one market."""

    model: Choice = "mlp"  # what is learnt: a name from tasks.MODELS, or a Task
    metric: Choice = "default"  # held against tau: the model's own, or one of tasks.METRICS
    num_jobs: int = 1  # side by side on one ledger, all of the same task; see docs/jobs.md
    num_sellers: int = 20  # N, owners of data
    selling: str = "accounts"  # what is drawn, clipped, remembered and paid: accounts | units
    num_units: int = 64  # slots for bonded units, N with selling units; see docs/incentives.md
    openings: int = 10  # examples of each unit that it has to show; 0: none
    num_sampled: int = 10  # sellers, or units, that train in a round
    num_rounds: int = 100  # of training
    eval_every: int = 10  # rounds between test evaluations; divides num_rounds
    batch_size: int = 32  # examples of a seller in a local step
    local_steps: int = 1  # of a sampled seller in a round
    client_momentum: Choice = "none"  # none | ema | heavy_ball
    scaffold: bool = False  # control variates against drift between sellers, [N, D] more memory
    availability: Choice = "always"  # who can be drawn in a round, see sellers.AVAILABILITIES
    delay: Choice = "none"  # how late updates are, see sellers.DELAYS
    max_delay: int = 10  # rounds that an update may be late; so many models are kept, with a delay
    server_optimizer: Choice = "sgd"  # see SERVER_OPTIMIZERS
    sampler: Choice = "corrected_osmd"  # see SAMPLERS
    aggregator: Choice = "own"  # the sampler's own aggregate, or a name from AGGREGATORS
    pre_aggregators: tuple[Choice, ...] = ()  # before the aggregator, see PRE_AGGREGATORS
    preset: str = "paper"  # definition of the rules where the literature disagrees
    attack: Choice = "none"  # of the Byzantine sellers, see attacks.ATTACKS
    attack_options: tuple[tuple[str, Any], ...] = ()  # static choices, (("search", "exact"),)
    attack_schedule: Choice = "fixed"  # in which rounds
    privacy: str = "none"  # unit of differential privacy at the sellers: none | example | update
    partial: bool = False  # each seller gets hparams.privacy.density of the hidden units only
    secure_group: int = 0  # sellers whose updates can only be read as their sum; 0: single updates
    contribution: Choice = "gain"  # how a round's work is valued, see CONTRIBUTIONS
    payment: Choice = "proportional"  # how scores become shares of the pool, see PAYMENTS
    auction: Choice = "sealed"  # how buyers bid, see market.AUCTIONS
    num_buyers: int = 4  # that bid for the job
    num_blocks: int = 20  # blocks in which buyers act, where the auction is ascending
    num_nodes: int = 64  # compute nodes of CONE
    set_schedule: Choice = "exponential"  # execution set sizes
    stop_rule: Choice = "lead"  # when votes suffice, see cone.STOP_RULES
    sortition: Choice = "uniform"  # how nodes are drawn, see cone.SORTITIONS
    dispute: Choice = "revote"  # what decides about a wrong result, see market.DISPUTES
    rice: bool = True  # per-set salt that stops free-loading nodes

    @property
    def num_listings(self) -> int:
        """N, what the market sees as its sellers: accounts, or units whoever owns them."""
        return self.unit_slots or self.num_sellers

    @property
    def unit_slots(self) -> int:
        """Slots for bonded units; 0 where accounts sell."""
        return self.num_units if self.selling == "units" else 0
