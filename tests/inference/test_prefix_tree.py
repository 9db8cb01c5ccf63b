"""The tree of known tokens: what is shared is found, what is old goes first, what is open stays."""

import random

import pytest

from mtchat.errors import ModelError
from mtchat.inference.prefix_tree import PrefixTree, TreeNode


def grown(tree: PrefixTree, ids: list[int], live: list[TreeNode] | None = None) -> list[TreeNode]:
    """The nodes of a sequence, those that are missing added one at a time."""
    nodes = tree.match_prefix(ids)
    last = nodes[-1] if nodes else tree.root
    for id in ids[len(nodes) :]:
        (slot,) = tree.allocate(1, [last, *(live or [])])
        nodes.append(last := tree.insert(last, id, slot))
    return nodes


def test_the_longest_known_beginning_is_found() -> None:
    tree = PrefixTree(20)
    first = grown(tree, [1, 2, 3, 4])
    assert tree.match_prefix([1, 2, 3, 4, 5]) == first
    assert tree.match_prefix([1, 2, 9]) == first[:2]
    assert tree.match_prefix([2]) == []


def test_sequences_share_the_slots_of_their_common_beginning() -> None:
    tree = PrefixTree(20)
    first, second = grown(tree, [1, 2, 3, 4]), grown(tree, [1, 2, 7, 8])
    assert first[:2] == second[:2]
    assert len(tree) == 6
    assert len({node.slot for node in tree.walk()}) == 6
    assert len(tree.free) == 14


def test_a_token_that_is_there_already_takes_no_slot() -> None:
    tree = PrefixTree(4)
    (node,) = grown(tree, [1])
    slots = tree.allocate(2, [])
    assert tree.insert(tree.root, 1, slots[0]) is node
    assert tree.allocate(2, []) == slots


def test_slots_that_were_not_taken_are_free_again() -> None:
    tree = PrefixTree(4)
    assert tree.allocate(3, []) == tree.allocate(3, [])
    assert len(tree) == 0


def test_what_was_used_longest_ago_is_forgotten_first() -> None:
    tree = PrefixTree(8)
    grown(tree, [1, 2, 3, 4])
    grown(tree, [5, 6, 7, 8])
    tree.match_prefix([1, 2, 3, 4])
    grown(tree, [9])
    assert [node.id for node in tree.match_prefix([1, 2, 3, 4])] == [1, 2, 3, 4]
    assert [node.id for node in tree.match_prefix([5, 6, 7, 8])] == [5]  # a quarter more than is needed goes


def test_an_open_sequence_is_never_forgotten() -> None:
    tree = PrefixTree(8)
    held = grown(tree, [1, 2, 3, 4])
    for start in range(10, 50, 4):
        grown(tree, [*range(start, start + 4)], live=[held[-1]])
    assert tree.match_prefix([1, 2, 3, 4]) == held


def test_more_open_tokens_than_slots_are_a_clear_error() -> None:
    tree = PrefixTree(4)
    held = grown(tree, [1, 2, 3, 4])
    with pytest.raises(ModelError, match="holds 4 tokens"):
        tree.allocate(1, [held[-1]])


def test_a_token_is_never_newer_than_the_one_before_it_whoever_else_was_served() -> None:
    """A sequence goes on while another has been opened since: what was used last must stay whole."""
    tree = PrefixTree(8)
    first = grown(tree, [1, 2])
    grown(tree, [7])
    for id in (3, 4):
        (slot,) = tree.allocate(1, [])
        first.append(tree.insert(first[-1], id, slot))
    assert tree.insert(tree.root, 1, tree.allocate(1, [])[0]) is first[0]
    used = [node.last_used for node in first]
    assert used == sorted(used, reverse=True)
    grown(tree, [*range(20, 26)])
    taken = [node.slot for node in tree.walk()]
    assert sorted([*taken, *tree.free]) == list(range(8))


def test_random_sequences_keep_the_tree_true() -> None:
    """Every node has a slot of its own; with the free ones they are all slots; parents are never newer."""
    tree, choose = PrefixTree(60), random.Random(3)
    for _ in range(400):
        grown(tree, [choose.randrange(3) for _ in range(choose.randrange(1, 12))])
        taken = [node.slot for node in tree.walk()]
        assert sorted([*taken, *tree.free]) == list(range(60))
        assert all(
            node.parent is None or node.parent.last_used >= node.last_used or node.parent is tree.root
            for node in tree.walk()
        )
