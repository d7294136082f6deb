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
from d2m_jax.attacks.base import Attack, AttackContext, bind
from d2m_jax.attacks.data import attack_success_rate, stamp
from d2m_jax.attacks.schedules import Schedule

ALL = {"knowledge": "omniscient"}
CRAFTED = {**ALL, "perturbation": "std", "preset": "paper"}
SEARCH = {**ALL, "objective": "distance", "search": "exact", "evaluations": 20, "grid": 21}
SEARCH_NUMBERS = {"start": 0.0, "delta": 10.0, "ratio": 0.8, "low": -10.0, "high": 10.0}
TAILORED = {
    **ALL,
    "objective": "distance",
    "perturbations": ("unit", "std", "sign"),
    "preset": "paper",
    "grid": 21,
}
ASCENT = {**ALL, "objective": "descent", "constraint": "norm", "steps": 20}
ASCENT_NUMBERS = {"radius": 1.0, "cosine": 0.1, "rate": 0.3, "jitter": 0.01}
TRIGGER = {"target": 0, "fraction": 0.5, "size": 4, "value": 255.0, "offset": 1, "boost": 1.0}

ATTACKS: dict[str, Attack] = {
    "none": Attack(),
    # a formula on the update
    "sign_flip": Attack(updates.sign_flip, hyper={"scale": 1.0}),
    "sign_flip_mean": Attack(
        updates.sign_flip_mean, hyper={"scale": 1.0}, options=ALL, knowledge="omniscient"
    ),
    "ipm": Attack(updates.ipm, hyper={"epsilon": 2.0}, options=ALL, knowledge="omniscient"),
    "alie": Attack(
        updates.alie, hyper={"z": 1.5, "sign": 1.0}, options=ALL, knowledge="omniscient"
    ),
    "alie_paper": Attack(
        partial(updates.alie, z=None), hyper={"sign": 1.0}, options=ALL, knowledge="omniscient"
    ),
    "gaussian": Attack(updates.gaussian, hyper={"mean": 0.0, "std": 1.0}),
    "gaussian_add": Attack(updates.gaussian_add, hyper={"std": 1.0}),
    "norm_inflation": Attack(updates.norm_inflation, hyper={"scale": 10.0}),
    "norm_inflation_clip": Attack(
        updates.norm_inflation_clip,
        hyper={"radius": 1.5, "margin": 0.99},
        options=ALL,
        knowledge="omniscient",
    ),
    "nan": Attack(updates.nan, finite=False),
    "inf": Attack(updates.inf, hyper={"sign": 1.0}, finite=False),
    "huge": Attack(updates.huge, hyper={"value": 1e30}, finite=False),
    # copies instead of work
    "free_rider_zero": Attack(imitation.free_rider_zero),
    "free_rider_replay": Attack(imitation.free_rider_replay, needs=("previous",)),
    "free_rider_disguised": Attack(
        imitation.free_rider_disguised,
        hyper={"sigma": 1.0, "gamma": 1.0},
        needs=("previous", "round_index"),
    ),
    "sybil_copies": Attack(imitation.sybil_copies, hyper={"scale": 1.0, "jitter": 0.0}),
    "mimic": Attack(imitation.mimic, hyper={"target": 0}, options=ALL, knowledge="omniscient"),
    "mimic_variance": Attack(
        imitation.mimic_variance,
        hyper={"warmup": 20},
        options=ALL,
        needs=("state",),
        knowledge="omniscient",
        init_state=imitation.mimic_init,
        observe=imitation.mimic_observe,
    ),
    # bounded by distances between honest rows
    "min_max": Attack(
        perturbation.min_max, hyper={"fraction": 1.0}, options=CRAFTED, knowledge="omniscient"
    ),
    "min_sum": Attack(
        perturbation.min_sum, hyper={"fraction": 1.0}, options=CRAFTED, knowledge="omniscient"
    ),
    # against a known rule
    "fang_krum": Attack(
        fang.fang_krum,
        hyper={"threshold": 1e-5},
        options={**ALL, "halvings": 40},
        knowledge="omniscient",
    ),
    "fang_trimmed": Attack(
        fang.fang_trimmed,
        hyper={"stretch": 2.0},
        options={**ALL, "shared": False},
        knowledge="omniscient",
    ),
    "opt_alie": Attack(
        optimised.opt_alie,
        hyper=SEARCH_NUMBERS,
        options=SEARCH,
        needs=("defence",),
        knowledge="omniscient",
    ),
    "opt_ipm": Attack(
        optimised.opt_ipm,
        hyper=SEARCH_NUMBERS,
        options=SEARCH,
        needs=("defence",),
        knowledge="omniscient",
    ),
    "agr_tailored": Attack(
        optimised.agr_tailored,
        hyper={"reach": 2.0},
        options=TAILORED,
        needs=("defence",),
        knowledge="omniscient",
    ),
    "whitebox": Attack(
        whitebox.whitebox,
        hyper=ASCENT_NUMBERS,
        options=ASCENT,
        needs=("defence",),
        knowledge="omniscient",
    ),
    # on the data
    "label_flip": Attack(poison=data.label_flip),
    "relabel_targeted": Attack(
        poison=data.relabel_targeted, hyper={"source": 1, "target": 7, "fraction": 1.0}
    ),
    "relabel_random": Attack(poison=data.relabel_random, hyper={"fraction": 1.0}),
    "backdoor": Attack(data.boosted_update, poison=data.backdoor, hyper=TRIGGER),
    "backdoor_distributed": Attack(
        data.boosted_update, poison=data.backdoor_distributed, hyper=TRIGGER
    ),
    "off_topic": Attack(poison=data.off_topic, hyper={"fraction": 1.0, "domain": 0}),
}

SCHEDULES: dict[str, Schedule] = {
    "fixed": Schedule(schedules.fixed),
    "resampled": Schedule(schedules.resampled),
    "dormant": Schedule(schedules.dormant, {"start": 10}),
    "intermittent": Schedule(schedules.intermittent, {"period": 5, "duty": 1}),
    "sporadic": Schedule(schedules.sporadic, {"probability": 0.5}),
}

__all__ = [
    "ATTACKS",
    "SCHEDULES",
    "Attack",
    "AttackContext",
    "Schedule",
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
