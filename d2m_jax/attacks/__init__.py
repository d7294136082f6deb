"""What bad sellers and bad buyers do. Read `base.py` first, then `updates.py`."""

from functools import partial

from d2m_jax.attacks import (
    adaptive,
    backdoors,
    data,
    fang,
    imitation,
    market,
    optimised,
    perturbation,
    rounds,
    schedules,
    trap,
    updates,
    whitebox,
)
from d2m_jax.attacks.backdoors import success_rate
from d2m_jax.attacks.base import NEEDS_OF_DATA, Attack, AttackContext, as_attack, bind
from d2m_jax.attacks.data import attack_success_rate, stamp
from d2m_jax.attacks.schedules import Schedule, as_schedule

SEARCHES = ("defence",)

OTHERS: dict[str, Attack] = {  # all but the one that starts from all
    "none": Attack(),
    # a formula on the update
    "sign_flip": Attack(updates.sign_flip),
    "sign_flip_mean": Attack(updates.sign_flip_mean),
    "ipm": Attack(updates.ipm),
    "alie": Attack(updates.alie),
    "alie_paper": Attack(partial(updates.alie, z=None)),
    "gaussian": Attack(updates.gaussian),
    "gaussian_add": Attack(updates.gaussian_add),
    "norm_inflation": Attack(updates.norm_inflation),
    "norm_inflation_clip": Attack(updates.norm_inflation_clip),
    "nan": Attack(updates.nan, finite=False),
    "inf": Attack(updates.inf, finite=False),
    "huge": Attack(updates.huge, finite=False),
    # copies instead of work
    "free_rider_zero": Attack(imitation.free_rider_zero),
    "free_rider_replay": Attack(imitation.free_rider_replay, needs=("previous",)),
    "free_rider_disguised": Attack(
        imitation.free_rider_disguised, needs=("previous", "round_index")
    ),
    "sybil_copies": Attack(imitation.sybil_copies),
    "mimic": Attack(imitation.mimic),
    "mimic_variance": Attack(
        imitation.mimic_variance,
        needs=("state",),
        init_state=imitation.mimic_init,
        observe=imitation.mimic_observe,
    ),
    # bounded by distances between honest rows
    "min_max": Attack(perturbation.min_max),
    "min_sum": Attack(perturbation.min_sum),
    "sparse_hybrid": Attack(rounds.sparse_hybrid),
    # along the model's way
    "poisoned_fl": Attack(
        rounds.poisoned_fl,
        needs=("previous", "state"),
        init_state=rounds.poisoned_fl_init,
        observe=rounds.poisoned_fl_observe,
    ),
    "relocated": Attack(rounds.relocated, needs=("previous",)),
    "trapsetter": Attack(trap.trapsetter, needs=("damage",)),
    # against a known rule
    "fang_krum": Attack(fang.fang_krum),
    "fang_trimmed": Attack(fang.fang_trimmed),
    "opt_alie": Attack(optimised.opt_alie, needs=SEARCHES),
    "opt_ipm": Attack(optimised.opt_ipm, needs=SEARCHES),
    "agr_tailored": Attack(optimised.agr_tailored, needs=SEARCHES),
    # against a defence that judges by the buyer's gradient and remembers sellers
    "orthogonal": Attack(adaptive.orthogonal),
    "hover": Attack(partial(adaptive.orthogonal, share=0.35)),
    "overfit": Attack(adaptive.overfit),
    "drowning": Attack(adaptive.drowning, needs=("round_index",)),
    "sleeper": Attack(adaptive.sleeper, needs=("reputation",)),
    "opportunist": Attack(adaptive.opportunist, needs=("mass",)),
    "pawns": Attack(adaptive.pawns),
    "framing": Attack(adaptive.framing),
    "duel": Attack(adaptive.duel),
    "knock_out": Attack(adaptive.knock_out, needs=("previous",)),
    "copycat": Attack(
        adaptive.copycat,
        needs=("state",),
        init_state=adaptive.copycat_init,
        observe=adaptive.copycat_observe,
    ),
    # on the data
    "label_flip": Attack(poison=data.label_flip, data=("classes",)),
    "relabel_targeted": Attack(poison=data.relabel_targeted, data=("classes",)),
    "relabel_random": Attack(poison=data.relabel_random, data=("classes",)),
    "backdoor": Attack(
        data.boosted_update, data.backdoor, data=NEEDS_OF_DATA, trigger=backdoors.stamped
    ),
    "backdoor_distributed": Attack(
        data.boosted_update,
        data.backdoor_distributed,
        data=NEEDS_OF_DATA,
        trigger=backdoors.stamped,
    ),
    "neurotoxin": Attack(
        rounds.unheeded,
        data.backdoor,
        needs=("previous",),
        data=NEEDS_OF_DATA,
        trigger=backdoors.stamped,
    ),
    "edge_case": Attack(
        data.boosted_update, backdoors.edge_case, data=NEEDS_OF_DATA, trigger=backdoors.turned
    ),
    "off_topic": Attack(poison=data.off_topic),
}

ATTACKS: dict[str, Attack] = {
    **OTHERS,
    "whitebox": Attack(
        partial(whitebox.whitebox, others=OTHERS),
        needs=SEARCHES,
        init_state=partial(whitebox.whitebox_init, others=OTHERS),
        observe=partial(whitebox.whitebox_observe, others=OTHERS),
    ),
}

SCHEDULES: dict[str, Schedule] = {
    "fixed": Schedule(schedules.fixed),
    "resampled": Schedule(schedules.resampled),
    "dormant": Schedule(schedules.dormant),
    "intermittent": Schedule(schedules.intermittent),
    "sporadic": Schedule(schedules.sporadic),
}

__all__ = [
    "ATTACKS",
    "SCHEDULES",
    "Attack",
    "AttackContext",
    "Schedule",
    "adaptive",
    "as_attack",
    "as_schedule",
    "attack_success_rate",
    "bind",
    "data",
    "imitation",
    "market",
    "optimised",
    "perturbation",
    "schedules",
    "stamp",
    "success_rate",
    "updates",
    "whitebox",
]
