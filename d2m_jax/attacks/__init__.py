"""What bad sellers and bad buyers do. Read `base.py` first, then `updates.py`."""

from d2m_jax.attacks import data, imitation, updates
from d2m_jax.attacks.base import Attack, AttackContext, bind

KNOWS_HONEST = {"knowledge": "omniscient"}

ATTACKS: dict[str, Attack] = {
    "none": Attack(),
    # updates
    "sign_flip": Attack(updates.sign_flip, hyper={"scale": 1.0}),
    "sign_flip_mean": Attack(
        updates.sign_flip_mean,
        hyper={"scale": 1.0},
        options=KNOWS_HONEST,
        knowledge="omniscient",
    ),
    "ipm": Attack(
        updates.ipm, hyper={"epsilon": 2.0}, options=KNOWS_HONEST, knowledge="omniscient"
    ),
    "alie": Attack(
        updates.alie,
        hyper={"z": 1.5, "sign": 1.0},
        options=KNOWS_HONEST,
        knowledge="omniscient",
    ),
    "alie_paper": Attack(
        updates.alie, hyper={"sign": 1.0}, options=KNOWS_HONEST, knowledge="omniscient"
    ),
    "gaussian": Attack(updates.gaussian, hyper={"mean": 0.0, "std": 1.0}),
    "gaussian_add": Attack(updates.gaussian_add, hyper={"std": 1.0}),
    "norm_inflation": Attack(updates.norm_inflation, hyper={"scale": 10.0}),
    "norm_inflation_clip": Attack(
        updates.norm_inflation_clip,
        hyper={"radius": 1.5, "margin": 0.99},
        options=KNOWS_HONEST,
        knowledge="omniscient",
    ),
    "nan": Attack(updates.nan, finite=False),
    "inf": Attack(updates.inf, hyper={"sign": 1.0}, finite=False),
    "huge": Attack(updates.huge, hyper={"value": 1e30}, finite=False),
    # imitation
    "free_rider_zero": Attack(imitation.free_rider_zero),
    "free_rider_replay": Attack(imitation.free_rider_replay, needs=("previous",)),
    "free_rider_disguised": Attack(
        imitation.free_rider_disguised,
        hyper={"sigma": 1.0, "gamma": 1.0},
        needs=("previous", "round_index"),
    ),
    "sybil_copies": Attack(imitation.sybil_copies, hyper={"scale": 1.0, "jitter": 0.0}),
    # data
    "label_flip": Attack(poison=data.label_flip),
}

__all__ = ["ATTACKS", "Attack", "AttackContext", "bind", "data", "imitation", "updates"]
