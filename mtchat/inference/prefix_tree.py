"""Which token sequences a model has seen: a tree of tokens, each with the slot of its keys and values."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

import numpy

from mtchat.errors import ModelError

SHARE = 4  # one in so many slots more than are needed is made free at once: finding the oldest takes a while


class Node:
    """A token after the tokens above it; `used` tells when a sequence last went through it."""

    __slots__ = ("children", "depth", "id", "parent", "slot", "used")

    def __init__(self, id: int, slot: int, parent: "Node | None", used: int) -> None:
        self.id = id
        self.slot = slot
        self.parent = parent
        self.used = used
        self.depth: int = parent.depth + 1 if parent else 0
        self.children: dict[int, Node] = {}


class Tree:
    """All that is still known, in `capacity` slots; what was used longest ago goes first.

    The nodes are the truth: a slot that no node has is free, wherever an interrupt came.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.root = Node(-1, -1, None, 0)
        self.free = dict.fromkeys(range(capacity - 1, -1, -1))  # a set in order: the last are taken first
        self.clock = 0

    def match(self, ids: Sequence[int]) -> list[Node]:
        """The nodes of the longest known beginning of `ids`."""
        self.clock += 1
        found: list[Node] = []
        node = self.root
        for id in ids:
            below = node.children.get(id)
            if below is None:
                break
            below.used = self.clock
            found.append(node := below)
        return found

    def slots(self, count: int, live: Iterable[Node]) -> list[int]:
        """Free slots, still free until `add` takes them; the paths down to the `live` nodes are kept."""
        if len(self.free) < count:
            self.evict(count + self.capacity // SHARE, live)
        if len(self.free) < count:
            raise ModelError(
                f"the key/value cache holds {self.capacity} tokens and the open replies need more; "
                "ask for fewer candidates, or start a new session"
            )
        return list(islice(reversed(self.free), count))

    def add(self, parent: Node, id: int, slot: int) -> Node:
        """The node of a token whose keys are in a free slot: the one that is there, or a new one."""
        # as old as what it goes on from, though others were served since: ends go before what they end
        used = self.clock if parent is self.root else parent.used
        if (known := parent.children.get(id)) is not None:
            known.used = max(known.used, used)
            return known
        del self.free[slot]
        parent.children[id] = node = Node(id, slot, parent, used)
        return node

    def evict(self, count: int, live: Iterable[Node]) -> None:
        """Forget whole ends of sequences until so many slots are free."""
        kept = {id(node) for leaf in live for node in upwards(leaf)}
        nodes = list(self.walk())
        unused = numpy.ones(self.capacity, bool)
        unused[[node.slot for node in nodes]] = False
        # a node is never used later than the one above it, so ends come before what they end
        order = numpy.lexsort(([-node.depth for node in nodes], [node.used for node in nodes]))
        left = max(count - int(unused.sum()), 0)
        oldest = (node for at in order.tolist() if id(node := nodes[at]) not in kept)
        for node in islice(oldest, left):
            assert node.parent is not None
            del node.parent.children[node.id]
            unused[node.slot] = True
        self.free = dict.fromkeys(numpy.flatnonzero(unused)[::-1].tolist())

    def walk(self) -> Iterator[Node]:
        waiting = list(self.root.children.values())
        while waiting:
            node = waiting.pop()
            waiting += node.children.values()
            yield node

    def __len__(self) -> int:
        return sum(1 for _ in self.walk())


def upwards(node: Node) -> Iterator[Node]:
    """A node and all above it."""
    above: Node | None = node
    while above is not None:
        yield above
        above = above.parent
