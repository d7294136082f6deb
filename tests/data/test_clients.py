"""Natural clients, lists and one's own functions as partitions."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from d2m_jax.data import as_partition, checked_parts, fixed_partition, iid, natural_clients


@given(
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=20),
    num_sellers=st.integers(1, 20),
    seed=st.integers(0, 9),
    min_samples=st.integers(1, 20),
)
def test_clients_stay_whole_and_none_is_dropped(sizes, num_sellers, seed, min_samples):
    clients = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)) * 3, sizes))
    labels = np.zeros(len(clients), int)
    try:
        parts = natural_clients(seed, labels, num_sellers, clients=clients, min_samples=min_samples)
    except ValueError as error:
        words = str(error)
        assert len(sizes) < num_sellers or "grouped" in words or "samples" in words
        return
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(clients)))
    owners = [set(clients[part]) for part in parts]
    assert sum(map(len, owners)) == len(sizes) and min(map(len, parts)) >= min_samples


def test_as_many_sellers_as_clients_are_one_each_in_order():
    clients = np.array([7, 3, 7, 5, 3, 7])
    parts = natural_clients(4, np.zeros(6), 3, clients=clients)
    assert [part.tolist() for part in parts] == [[1, 4], [3], [0, 2, 5]]


def test_groups_are_of_similar_size_and_differ_by_seed():
    clients = np.repeat(np.arange(60), np.arange(60) + 5)
    one, two = (natural_clients(seed, clients, 6, clients=clients) for seed in (0, 1))
    sizes = np.array([len(part) for part in one])
    assert sizes.max() < 1.1 * sizes.min()
    assert any(not np.array_equal(a, b) for a, b in zip(one, two))


def test_small_clients_are_merged_by_exactly_falling_size_when_need_be():
    """Sizes 5, 3, 3, 2, 2: three groups of five exist, and every seed finds them."""
    clients = np.repeat(np.arange(5), [5, 3, 3, 2, 2])
    for seed in range(20):
        parts = natural_clients(seed, clients, 3, clients=clients, min_samples=5)
        assert [len(part) for part in parts] == [5, 5, 5]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"clients": None}, "needs data that says whose each row is"),
        ({"clients": np.zeros(12, int)}, "3 sellers cannot be 1 whole clients: at most 1"),
        ({"clients": np.arange(12) % 3, "min_samples": 5}, "3 sellers with at least 5 samples"),
        (
            {"clients": np.repeat([0, 1, 2], [8, 2, 2]), "min_samples": 3},
            r"3 whole clients cannot be grouped into 3 sellers .* \(the smallest would have 2\)",
        ),
        ({"clients": np.arange(9) % 3}, "12 labels but 9 clients"),
    ],
)
def test_clients_that_cannot_be_dealt(options, message):
    with pytest.raises(ValueError, match=message):
        natural_clients(0, np.zeros(12, int), 3, **options)


# -------------------------------------------------------------------------------- lists, checks


def test_a_list_is_a_partition():
    deal = as_partition([np.array([3, 1]), [5, 0, 1]])
    assert [part.tolist() for part in deal(0, np.zeros(6), 2)] == [[1, 3], [0, 1, 5]]


def test_a_list_means_rows_of_the_training_set_whatever_the_buyer_took():
    deal = fixed_partition([[0, 1, 2], [3, 4, 5]])
    parts = deal(0, np.zeros(4), 2, rows=np.array([0, 2, 4, 5]))  # the buyer took 1 and 3
    assert [part.tolist() for part in parts] == [[0, 1], [2, 3]]


@pytest.mark.parametrize(
    ("parts", "arguments", "message"),
    [
        ([[0], [1]], {"num_sellers": 3}, "the list deals to 2 sellers, not to 3"),
        ([[0], [9]], {}, "gave seller 1 rows outside 0 to 5"),
        ([[0], [1, 2]], {"rows": np.arange(1, 7)}, "leaves seller 0 0 samples of the 1"),
        ([[0], [1, 2]], {"min_samples": 2}, "leaves seller 0 1 samples of the 2"),
    ],
)
def test_a_list_that_does_not_fit(parts, arguments, message):
    arguments = {"num_sellers": 2} | arguments
    with pytest.raises(ValueError, match=message):
        fixed_partition(parts)(0, np.zeros(6), **arguments)


def test_what_is_chosen():
    assert as_partition("iid") is iid and as_partition(iid) is iid
    with pytest.raises(ValueError, match=r"unknown partition 'client' \(did you mean 'clients'"):
        as_partition("client")
    with pytest.raises(ValueError, match="partition must be a name or a function"):
        as_partition(7)


@pytest.mark.parametrize(
    ("dealt", "message"),
    [
        (None, "must give a list of arrays of row numbers, not NoneType"),
        ([[0, 1]], "served 1 sellers instead of 2"),
        ([[0], []], "left seller 1 without samples"),
        ([[0], [0.5]], r"gave seller 1 float64 of shape \(1,\) instead of"),
        ([[0], [[1, 2]]], r"gave seller 1 int64 of shape \(1, 2\)"),
        ([[0], 4], "gave seller 1 int instead of"),
        ([[0], "12"], "gave seller 1 str instead of"),
        ([[0], [-1]], "gave seller 1 rows outside 0 to 5"),
        ([[0], [6]], "gave seller 1 rows outside 0 to 5"),
        ([[0], [2, 2]], "gave seller 1 a row twice"),
        ([[0], np.array([True, False])], "gave seller 1 bool"),
    ],
)
def test_a_partition_of_ones_own_is_held_to_its_promise(dealt, message):
    with pytest.raises(ValueError, match=message):
        checked_parts(dealt, 2, 6)
    assert checked_parts([range(2), (4,)], 2, 6)[0].dtype == np.int64
