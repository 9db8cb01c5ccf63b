"""The prefix tree (radix cache): which token sequences are in the KV cache, and in which slots."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

import numpy

from mtchat.errors import ModelError

EXTRA_SHARE = 4  # evict 1/4 of the capacity beyond what is needed: finding the oldest nodes takes a while


def common_prefix_length(left: Sequence[int], right: Sequence[int]) -> int:
    length = min(len(left), len(right))
    if left[:length] == right[:length]:
        return length
    return next(at for at, (one, other) in enumerate(zip(left, right, strict=False)) if one != other)


class TreeNode:
    """One token after its ancestors; `slot` holds its keys and values, `last_used` is a tick of the clock."""

    __slots__ = ("children", "depth", "id", "last_used", "parent", "slot")

    def __init__(self, id: int, slot: int, parent: "TreeNode | None", last_used: int) -> None:
        self.id = id
        self.slot = slot
        self.parent = parent
        self.last_used = last_used
        self.depth: int = parent.depth + 1 if parent else 0
        self.children: dict[int, TreeNode] = {}


class PrefixTree:
    """All cached tokens, at most `capacity`; the least recently used are evicted first.

    The nodes are the truth: a slot that no node owns is free, wherever an interrupt came.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.root = TreeNode(-1, -1, None, 0)
        self.free = dict.fromkeys(range(capacity - 1, -1, -1))  # an ordered set: the last are taken first
        self.clock = 0

    def match_prefix(self, ids: Sequence[int]) -> list[TreeNode]:
        """The nodes of the longest cached prefix of `ids`, which become the most recently used."""
        self.clock += 1
        found: list[TreeNode] = []
        node = self.root
        for id in ids:
            child = node.children.get(id)
            if child is None:
                break
            child.last_used = self.clock
            found.append(node := child)
        return found

    def allocate(self, count: int, live: Iterable[TreeNode]) -> list[int]:
        """Free slots, which stay free until `insert` takes them; paths down to `live` nodes are not evicted.

        ModelError if the open sequences leave too few.
        """
        if len(self.free) < count:
            self.evict(count + self.capacity // EXTRA_SHARE, live)
        if len(self.free) < count:
            raise ModelError(
                f"the KV cache holds {self.capacity} tokens and the open completions need more; "
                "ask for fewer candidates, or start a new session"
            )
        return list(islice(reversed(self.free), count))

    def insert(self, parent: TreeNode, id: int, slot: int) -> TreeNode:
        """The node of a token whose keys are in a free slot; if the token is cached already, its old node."""
        # as old as its parent, even if other sequences were served since: leaves are evicted before parents
        last_used = self.clock if parent is self.root else parent.last_used
        if (known := parent.children.get(id)) is not None:
            known.last_used = max(known.last_used, last_used)
            return known
        del self.free[slot]
        parent.children[id] = node = TreeNode(id, slot, parent, last_used)
        return node

    def evict(self, count: int, live: Iterable[TreeNode]) -> None:
        """Remove the least recently used tokens, from the ends of sequences, until `count` slots are free."""
        kept = {id(node) for leaf in live for node in ancestors(leaf)}
        nodes = list(self.walk())
        unused = numpy.ones(self.capacity, bool)
        unused[[node.slot for node in nodes]] = False
        # a node is never used later than its parent, so children come before their parents
        order = numpy.lexsort(([-node.depth for node in nodes], [node.last_used for node in nodes]))
        left = max(count - int(unused.sum()), 0)
        oldest = (node for at in order.tolist() if id(node := nodes[at]) not in kept)
        for node in islice(oldest, left):
            assert node.parent is not None
            del node.parent.children[node.id]
            unused[node.slot] = True
        self.free = dict.fromkeys(numpy.flatnonzero(unused)[::-1].tolist())

    def walk(self) -> Iterator[TreeNode]:
        """All nodes but the root, in no particular order."""
        waiting = list(self.root.children.values())
        while waiting:
            node = waiting.pop()
            waiting += node.children.values()
            yield node

    def __len__(self) -> int:
        return sum(1 for _ in self.walk())


def ancestors(node: TreeNode) -> Iterator[TreeNode]:
    """A node, its parent, and so on up to the root."""
    above: TreeNode | None = node
    while above is not None:
        yield above
        above = above.parent
