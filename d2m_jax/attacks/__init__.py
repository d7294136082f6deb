"""What bad sellers and bad buyers do. Read `base.py` first, then `updates.py`."""

from functools import partial

from d2m_jax.attacks import (
    data,
    fang,
    imitation,
    market,
    optimised,
    perturbation,
    schedules,
    updates,
    whitebox,
)
from d2m_jax.attacks.base import NEEDS_OF_DATA, Attack, AttackContext, as_attack, bind
from d2m_jax.attacks.data import attack_success_rate, stamp
from d2m_jax.attacks.schedules import Schedule, as_schedule

SEARCHES = ("defence",)

ATTACKS: dict[str, Attack] = {
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
    # against a known rule
    "fang_krum": Attack(fang.fang_krum),
    "fang_trimmed": Attack(fang.fang_trimmed),
    "opt_alie": Attack(optimised.opt_alie, needs=SEARCHES),
    "opt_ipm": Attack(optimised.opt_ipm, needs=SEARCHES),
    "agr_tailored": Attack(optimised.agr_tailored, needs=SEARCHES),
    "whitebox": Attack(whitebox.whitebox, needs=SEARCHES),
    # on the data
    "label_flip": Attack(poison=data.label_flip, data=("classes",)),
    "relabel_targeted": Attack(poison=data.relabel_targeted, data=("classes",)),
    "relabel_random": Attack(poison=data.relabel_random, data=("classes",)),
    "backdoor": Attack(data.boosted_update, data.backdoor, data=NEEDS_OF_DATA),
    "backdoor_distributed": Attack(
        data.boosted_update, data.backdoor_distributed, data=NEEDS_OF_DATA
    ),
    "off_topic": Attack(poison=data.off_topic),
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
    "updates",
    "whitebox",
]
