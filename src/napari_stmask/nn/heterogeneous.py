"""The network of SpaHGC: target spots, reference spots, and attention between them.

Each of the layers takes the mean over neighbours within a side (GraphSAGE: Hamilton, Ying &
Leskovec, NeurIPS 2017) and attends across sides in both directions (CNDA); a last attention
pools references into targets (CNAP). Each target has the same number of references, so that
attention towards targets is a dense softmax over (targets, links, heads); the other way round it
is one over the links of each reference.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .layers import dropped, linear
from .linked import Links
from .sparse import Operator

__all__ = ["HeteroNet", "Linked", "States"]

SLOPE = 0.2
_ATTENTION_DROPOUT = 0.1


@dataclass(frozen=True)
class Linked:
    """The graph of one section and its references, as the network takes it.

    Attributes
    ----------
    near
        (n, n) mean over a target's neighbours in space.
    close
        (m, m) mean over a reference's neighbours in features.
    refers
        From each target to its references.
    """

    near: Operator
    close: Operator
    refers: Links


@dataclass(frozen=True)
class States:
    """Final states of targets, (n, hidden), and references, (m, hidden)."""

    target: Tensor
    reference: Tensor


def _leaky(x: Tensor) -> Tensor:
    return F.leaky_relu(x, SLOPE)


def _narrow(d_in: int, d_out: int, generator: torch.Generator, *, bias: bool = True) -> nn.Linear:
    """A linear layer as the release starts the attention between sides: normal, sd 0.02."""
    layer = linear(d_in, d_out, generator)
    nn.init.trunc_normal_(layer.weight, std=0.02, a=-2, b=2, generator=generator)
    if not bias:
        layer.bias = None  # type: ignore[assignment]
    return layer


def _without_bias(d_in: int, d_out: int, generator: torch.Generator) -> nn.Linear:
    layer = linear(d_in, d_out, generator)
    layer.bias = None  # type: ignore[assignment]
    return layer


class _Mean(nn.Module):
    """GraphSAGE with the mean: ``mean_j h_j A_1 + b_1 + h_i A_2``."""

    def __init__(self, width: int, generator: torch.Generator) -> None:
        super().__init__()
        self.neighbours = linear(width, width, generator, random_bias=True)
        self.root = _without_bias(width, width, generator)

    def forward(self, graph: Operator, h: Tensor) -> Tensor:
        # The narrower product first would be the same: both sides have one width.
        out: Tensor = self.neighbours(graph @ h) + self.root(h)
        return out


def attention_to_targets(q: Tensor, k: Tensor, links: Links, heads: int) -> Tensor:
    """(n, links, heads) weights, softmax over the references of each target."""
    n, width = q.shape
    d = width // heads
    keys = links.gather(k).view(n, links.k, heads, d)
    logits = (keys * q.view(n, 1, heads, d)).sum(-1) / math.sqrt(d)
    return _leaky(logits).softmax(dim=1)


def pooled(weights: Tensor, v: Tensor, links: Links) -> Tensor:
    """(n, width): values of each target's references under the weights, heads side by side."""
    n, k, heads = weights.shape
    values = links.gather(v).view(n, k, heads, -1)
    return (weights[..., None] * values).sum(1).reshape(n, -1)


class _Across(nn.Module):
    """CNDA: attention from references to targets and back, with one input for both."""

    def __init__(self, width: int, heads: int, generator: torch.Generator) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        # Keys and values of references, and their queries for the way back, in one product.
        self.of_reference = _narrow(2 * width, 3 * width, generator)
        self.of_target = _narrow(width, 3 * width, generator)
        self.to_target = _narrow(width, width, generator)
        self.to_reference = _narrow(width, width, generator)

    def forward(
        self,
        target: Tensor,
        reference: Tensor,
        expression: Tensor,
        links: Links,
        generator: torch.Generator | None,
    ) -> tuple[Tensor, Tensor]:
        heads, (n, width) = self.heads, target.shape
        joint = torch.cat([reference, self.norm(expression)], dim=1)
        key, value, back = self.of_reference(joint).split(width, dim=1)
        query, back_key, back_value = self.of_target(target).split(width, dim=1)
        a = attention_to_targets(query, key, links, heads)
        to_target = self.to_target(pooled(self._dropped(a, generator), value, links))
        d = width // heads
        asked = links.gather(back).view(n, links.k, heads, d)
        logits = (asked * back_key.view(n, 1, heads, d)).sum(-1).reshape(-1, heads) / math.sqrt(d)
        b = self._dropped(links.softmax(_leaky(logits)), generator)
        sent = b.view(n, links.k, heads, 1) * back_value.view(n, 1, heads, d)
        to_reference = self.to_reference(links.sum(sent.reshape(-1, width)))
        return to_target, to_reference

    def _dropped(self, a: Tensor, generator: torch.Generator | None) -> Tensor:
        return dropped(a, _ATTENTION_DROPOUT, generator) if self.training else a


class _Layer(nn.Module):
    def __init__(self, width: int, heads: int, generator: torch.Generator) -> None:
        super().__init__()
        self.near = _Mean(width, generator)
        self.close = _Mean(width, generator)
        self.across = _Across(width, heads, generator)

    def forward(
        self,
        target: Tensor,
        reference: Tensor,
        expression: Tensor,
        graph: Linked,
        generator: torch.Generator | None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        to_target, to_reference = self.across(
            target, reference, expression, graph.refers, generator
        )
        target = _leaky((self.near(graph.near, target) + to_target) / 2)
        reference = _leaky((self.close(graph.close, reference) + to_reference) / 2)
        return target, reference, _leaky(expression)


class _Pooling(nn.Module):
    """CNAP: what a target takes from its references at last."""

    def __init__(self, width: int, heads: int, generator: torch.Generator) -> None:
        super().__init__()
        self.heads = heads
        self.own = linear(width, width, generator, random_bias=True)
        self.query = linear(width, width, generator, random_bias=True)
        self.keys_values = linear(width, 2 * width, generator, random_bias=True)

    def forward(self, states: States, links: Links) -> tuple[Tensor, Tensor]:
        g = self.own(states.target)
        key, value = self.keys_values(states.reference).split(g.shape[1], dim=1)
        a = attention_to_targets(self.query(g), key, links, self.heads)
        return g + pooled(a, value, links), a


class HeteroNet(nn.Module):
    """Predicts expression of target spots from their image and from reference spots.

    Parameters
    ----------
    d_image
        Image features of a spot.
    d_expression
        Genes of the references that the network sees.
    n_genes
        Genes that it predicts.
    hidden, layers, heads, dropout
        Width, number of layers, heads of attention (they divide the width), dropout of the input.
    generator
        Of the weights.
    """

    def __init__(
        self,
        d_image: int,
        d_expression: int,
        n_genes: int,
        *,
        hidden: int,
        layers: int,
        heads: int,
        dropout: float,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.dropout = dropout
        self.target_in = _without_bias(d_image, hidden, generator)
        self.reference_in = _without_bias(d_image + d_expression, hidden, generator)
        self.expression_in = _without_bias(d_expression, hidden, generator)
        self.lift = _without_bias(hidden, hidden, generator)
        self.norm = nn.LayerNorm(hidden)
        self.layers = nn.ModuleList(_Layer(hidden, heads, generator) for _ in range(layers))
        self.pooling = _Pooling(hidden, heads, generator)
        self.head = linear(hidden, n_genes, generator, random_bias=True)

    def encode(
        self,
        image: Tensor,
        reference: Tensor,
        expression: Tensor,
        graph: Linked,
        generator: torch.Generator | None = None,
    ) -> States:
        """States of targets and references.

        Parameters
        ----------
        image
            (n, d_image) features of the targets.
        reference, expression
            (m, d_image) and (m, d_expression) features and genes of the references.
        graph
            How they are linked.
        generator
            Of the dropout, while training.
        """
        for states in self.encoding(image, reference, expression, graph, generator):
            last = states
        return last

    def encoding(
        self,
        image: Tensor,
        reference: Tensor,
        expression: Tensor,
        graph: Linked,
        generator: torch.Generator | None = None,
    ) -> Iterator[States]:
        """`encode` layer by layer: the states after the input and after each layer."""
        h_y = self.expression_in(expression)
        h_t = self._lifted(self.target_in(image), generator)
        h_r = self._lifted(self.reference_in(torch.cat([reference, expression], 1)), generator)
        yield States(h_t, h_r)
        for layer in self.layers:
            h_t, h_r, h_y = layer(h_t, h_r, h_y, graph, generator)
            yield States(h_t, h_r)

    def _lifted(self, u: Tensor, generator: torch.Generator | None) -> Tensor:
        u = _leaky(u)
        if self.training and self.dropout:
            u = dropped(u, self.dropout, generator)
        return _leaky(self.norm(self.lift(u)))

    def decode(self, states: States, graph: Linked) -> tuple[Tensor, Tensor, Tensor]:
        """Prediction (n, n_genes), pooled state (n, hidden), weights (n, links, heads)."""
        z, weights = self.pooling(states, graph.refers)
        return self.head(z), z, weights
