"""Saved states of models that cannot go back: a tree of texts, each with what the layers remembered after it.

The state of a recurrent layer is a summary of all that was read: nothing can be cut off it. So a copy is kept
at the positions that later prompts are likely to share. Keys and values are kept once for each branch.
"""

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache

from mtchat.inference.decoder import Logits
from mtchat.inference.hf.kv_layer import KVLayer
from mtchat.inference.hf.resumption import new_layers, state_tensors
from mtchat.inference.prefix_tree import common_prefix_length


class RecurrentCache:
    """What the layers of a model remember of `ids`, and the logits (V,) after the last of them."""

    def __init__(self, config: Any, layers: list[Any] | None = None) -> None:
        self.config = config
        self.ids: list[int] = []
        self.logits: Logits | None = None
        self.passing = False  # it holds a text that was only scored
        self.whole = True  # no layer is ahead of another, as an interrupt leaves them
        self.layers = new_layers(config) if layers is None else layers
        self.past = Cache(layers=[*self.layers])

    def copy(self) -> "RecurrentCache":
        """A separate cache of the same text."""
        twin = RecurrentCache(self.config, copy_layers(self.layers))
        twin.ids, twin.logits, twin.whole = list(self.ids), self.logits, self.whole
        return twin


@torch.inference_mode()
def copy_layers(layers: Sequence[Any]) -> list[Any]:
    return [copy.deepcopy(layer) for layer in layers]


class StateNode:
    """A node of the tree: the ids that follow its parent's, their keys and values, and the state after them.

    `sections` holds the keys and values of each layer that has some; `states` the other layers, or None once
    they were evicted and only the keys and values are needed, by longer texts.
    """

    def __init__(self, parent: "StateNode | None", ids: list[int]) -> None:
        self.parent = parent
        self.ids = ids
        self.length: int = len(ids) + (parent.length if parent else 0)
        self.children: list[StateNode] = []
        self.sections: list[tuple[Tensor, Tensor] | None] = []
        self.states: list[Any] | None = None
        self.logits: Logits | None = None
        self.bytes = 0
        self.last_used = 0

    def measure(self) -> None:
        kept = 0 if self.logits is None else self.logits.nbytes
        self.bytes = kept + sum(each.nbytes for each in state_tensors([self.sections, self.states or []]))

    def path(self) -> list["StateNode"]:
        """The nodes from below the root to this one."""
        return [*self.parent.path(), self] if self.parent else []


class StateTree:
    """Saved states of at most `budget` bytes; the states that were not used for longest are evicted first.

    A node is complete before the tree has it, wherever an interrupt comes.
    """

    def __init__(self, config: Any, budget: int) -> None:
        self.config = config
        self.budget = budget
        self.root = StateNode(None, [])
        self.clock = 0

    def matches(self, ids: list[int]) -> list[StateNode]:
        """The nodes, the root among them, whose texts `ids` begins with; the longest is the last."""
        found, waiting = [self.root], [self.root]
        while waiting:
            node = waiting.pop()
            below = [each for each in node.children if ids[node.length : each.length] == each.ids]
            found += below
            waiting += below
        return sorted(found, key=lambda each: each.length)

    def restore(self, ids: list[int], wants_logits: bool) -> RecurrentCache:
        """A cache of the longest saved text that `ids` begins with.

        All of `ids` counts only if the logits after it are saved or not wanted.
        """
        for node in reversed(self.matches(ids)):
            lacks_logits = wants_logits and node.length == len(ids) and node.logits is None
            if node.states is not None and not lacks_logits:
                self.clock += 1
                node.last_used = self.clock
                return self.load(node, node.states)
        return RecurrentCache(self.config)

    @torch.inference_mode()
    def load(self, node: StateNode, saved: list[Any]) -> RecurrentCache:
        """A cache of the text of a node, with the states saved there."""
        states, path = iter(copy_layers(saved)), node.path()
        layers = [layer if isinstance(layer, KVLayer) else next(states) for layer in new_layers(self.config)]
        cache = RecurrentCache(self.config, layers)
        cache.ids = [id for each in path for id in each.ids]
        cache.logits = node.logits
        growing = [layer for layer in layers if isinstance(layer, KVLayer)]
        for layer, *sections in zip(growing, *(each.sections for each in path), strict=True):
            if parts := [part for part in sections if part]:
                layer.update(*(torch.cat(each, 2) for each in zip(*parts, strict=True)))
        return cache

    def shared_length(self, ids: list[int]) -> int:
        """How many of `ids` some text in the tree begins with."""
        return max(
            node.length + common_prefix_length(each.ids, ids[node.length :])
            for node in self.matches(ids)
            for each in [*node.children, self.root]
        )

    def save(self, cache: RecurrentCache, give_up: bool = False) -> StateNode | None:
        """Keep the state of a cache: its node, or None if it has one already or an interrupt spoilt it.

        With `give_up` the layers of the cache are taken over, and it must not be used again.
        """
        if not cache.whole or not cache.ids:
            return None
        self.clock += 1
        node = self.matches(cache.ids)[-1]
        node.last_used = self.clock
        if node.length == len(cache.ids) and node.states is not None:
            return None
        layers = [layer for layer in cache.layers if not isinstance(layer, KVLayer)]
        states = layers if give_up else copy_layers(layers)
        if node.length < len(cache.ids):
            node = self.new_node(node, cache)
        node.last_used, node.logits, node.states = self.clock, cache.logits, states
        node.measure()
        if node.parent and node not in node.parent.children:
            node.parent.children.append(node)
        self.evict()
        return node

    @torch.inference_mode()
    def new_node(self, parent: StateNode, cache: RecurrentCache) -> StateNode:
        """A node, not yet in the tree, of the text of a cache, which begins with that of `parent`."""
        node = StateNode(parent, cache.ids[parent.length :])
        parts = [
            layer.section(parent.length, node.length) for layer in cache.layers if isinstance(layer, KVLayer)
        ]
        node.sections = [part and (part[0].clone(), part[1].clone()) for part in parts]
        return node

    def forget(self, node: StateNode) -> None:
        """Drop the state of a node, and the keys and values that no other node needs."""
        node.states = node.logits = None
        node.measure()
        while node.parent and not node.children and node.states is None:
            if node in node.parent.children:
                node.parent.children.remove(node)
            node = node.parent

    def evict(self) -> None:
        """Drop states until the budget is kept."""
        for node in sorted(self.nodes(), key=lambda each: each.last_used):
            if sum(each.bytes for each in self.nodes()) <= self.budget:
                return
            if node.states is not None or not node.children:
                self.forget(node)

    def nodes(self) -> list[StateNode]:
        """All nodes but the root."""
        found = list(self.root.children)
        for node in found:
            found += node.children
        return found
