"""The network of SpaHGC against an edge-list form of torch-geometric, and its closed forms."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import scipy.sparse as sp
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.nn import SAGEConv
from torch_geometric.utils import scatter, softmax

from napari_stmask.nn.heterogeneous import HeteroNet, Linked, States
from napari_stmask.nn.linked import Links
from napari_stmask.nn.sparse import Operator

N, M, D, G, WIDTH, HEADS = 30, 17, 9, 6, 32, 4


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=generator(seed))


@dataclass
class Case:
    """Inputs, links as tables, and as the network takes them; edges are (source, listener)."""

    x: Tensor
    z: Tensor
    y: Tensor
    rows: np.ndarray
    near: np.ndarray
    close: np.ndarray

    @property
    def graph(self) -> Linked:
        n, m = len(self.x), len(self.z)
        return Linked(
            Operator.of(mean_of(self.near, n)),
            Operator.of(mean_of(self.close, m)),
            Links.of(self.rows, m),
        )

    @property
    def refers(self) -> Tensor:
        targets = np.repeat(np.arange(len(self.rows)), self.rows.shape[1])
        return torch.from_numpy(np.stack([self.rows.ravel(), targets]))

    @property
    def inputs(self) -> tuple[Tensor, Tensor, Tensor]:
        return self.x, self.z, self.y


def mean_of(edges: np.ndarray, n: int) -> sp.csr_matrix:
    source, target = edges
    degree = np.bincount(target, minlength=n)
    weight = (1 / degree[target]).astype(np.float32)
    return sp.csr_matrix((weight, (target, source)), shape=(n, n))


def random_edges(n: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """Distinct links without loops; the last node listens to nobody."""
    pairs = [(i, j) for i in range(n) for j in range(n - 1) if i != j]
    return np.array([pairs[i] for i in rng.permutation(len(pairs))[:count]]).T


def case(k: int = 5, seed: int = 0) -> Case:
    """The last reference is nobody's."""
    rng = np.random.default_rng(seed)
    rows = np.stack([rng.permutation(M - 1)[:k] for _ in range(N)])
    x, z, y = (normal(n, d, seed=seed + i) for i, (n, d) in enumerate(((N, D), (M, D), (M, G))))
    return Case(x, z, y, rows, random_edges(N, 90, rng), random_edges(M, 50, rng))


def network(seed: int = 0, layers: int = 3, dropout: float = 0.0) -> HeteroNet:
    """With biases that are not 0 anywhere, and weights large enough for attention to matter."""
    net = HeteroNet(
        D, G, 4, hidden=WIDTH, layers=layers, heads=HEADS, dropout=dropout,
        generator=generator(seed),
    )  # fmt: skip
    with torch.no_grad():
        for name, p in net.named_parameters():
            if "across" in name and p.ndim == 2:
                p.mul_(8)
            if p.ndim == 1:
                p.add_(0.3 * normal(*p.shape, seed=len(name)))
    return net.eval()


# The edge-list form, as the release writes it


def attend(query: Tensor, key: Tensor, value: Tensor, edges: Tensor, n: int) -> Tensor:
    """Listeners' queries on sources' keys: gather for each link, softmax, scatter."""
    source, target = edges
    q, k, v = (t.view(-1, HEADS, WIDTH // HEADS) for t in (query, key, value))
    logits = (q[target] * k[source]).sum(-1) / (WIDTH // HEADS) ** 0.5
    weights = softmax(F.leaky_relu(logits, 0.2), target, num_nodes=n)
    sent = (weights[..., None] * v[source]).reshape(-1, WIDTH)
    return scatter(sent, target, dim=0, dim_size=n, reduce="sum")


def sage(part: nn.Module) -> SAGEConv:
    conv = SAGEConv(WIDTH, WIDTH, aggr="mean")
    conv.lin_l, conv.lin_r = part.neighbours, part.root
    return conv


def plain(net: HeteroNet, c: Case) -> tuple[Tensor, Tensor, Tensor]:
    """Prediction and final states by torch-geometric's own pieces under the same weights."""

    def leaky(u: Tensor) -> Tensor:
        return F.leaky_relu(u, 0.2)

    def lifted(u: Tensor) -> Tensor:
        return leaky(F.layer_norm(leaky(u) @ net.lift.weight.T, (WIDTH,), *net.norm.parameters()))

    near, close = torch.from_numpy(c.near), torch.from_numpy(c.close)
    back = c.refers.flip(0)
    h_y = c.y @ net.expression_in.weight.T
    h_t = lifted(c.x @ net.target_in.weight.T)
    h_r = lifted(torch.cat([c.z, c.y], 1) @ net.reference_in.weight.T)
    for layer in net.layers:
        across = layer.across
        u = torch.cat([h_r, across.norm(h_y)], 1)
        k, v, q_back = across.of_reference(u).chunk(3, 1)
        q, k_back, v_back = across.of_target(h_t).chunk(3, 1)
        c_t = across.to_target(attend(q, k, v, c.refers, len(h_t)))
        c_r = across.to_reference(attend(q_back, k_back, v_back, back, len(h_r)))
        s_t, s_r = sage(layer.near)(h_t, near), sage(layer.close)(h_r, close)
        h_t, h_r, h_y = leaky((s_t + c_t) / 2), leaky((s_r + c_r) / 2), leaky(h_y)
    g = net.pooling.own(h_t)
    k, v = net.pooling.keys_values(h_r).chunk(2, 1)
    z = g + attend(net.pooling.query(g), k, v, c.refers, len(h_t))
    return net.head(z), h_t, h_r


def ours(net: HeteroNet, c: Case) -> tuple[Tensor, Tensor, Tensor]:
    states = net.encode(*c.inputs, c.graph)
    return net.decode(states, c.graph)[0], states.target, states.reference


@pytest.mark.parametrize("k", [1, 5])
def test_dense_form_is_the_edge_list_form(k: int) -> None:
    net, c = network(), case(k)
    for mine, theirs in zip(ours(net, c), plain(net, c), strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=1e-5)


def gradients(form: Callable, net: HeteroNet, c: Case) -> dict[str, Tensor]:
    net.zero_grad()
    free = [v.clone().requires_grad_() for v in c.inputs]
    out = form(net, Case(*free, c.rows, c.near, c.close))
    sum((v * normal(*v.shape, seed=i)).mean() for i, v in enumerate(out)).backward()
    found = {name: p.grad.clone() for name, p in net.named_parameters()}
    return found | {f"input {i}": v.grad for i, v in enumerate(free)}


def test_gradients_are_those_of_the_edge_list_form() -> None:
    net, c = network(), case()
    mine, theirs = (gradients(form, net, c) for form in (ours, plain))
    for name, value in mine.items():
        assert value.abs().max() > 0, name
        torch.testing.assert_close(value, theirs[name], atol=1e-5, rtol=1e-4, msg=name)


def test_attention_changes_the_answer() -> None:
    """Else the comparison above would say nothing about it."""
    net, c = network(), case()
    with torch.no_grad():
        before = ours(net, c)[0]
        for layer in net.layers:
            layer.across.of_target.weight[:WIDTH] = 0  # queries
        after = ours(net, c)[0]
    assert (before - after).abs().max() > 1e-3


# Closed forms


def test_one_reference_gets_all_attention() -> None:
    """K = 1: weight 1, and what is pooled is v Wo + b."""
    net, c = network(), case(k=1)
    across = net.layers[0].across
    h_t, h_r, h_y = normal(N, WIDTH), normal(M, WIDTH, seed=1), normal(M, WIDTH, seed=2)
    to_target, _ = across(h_t, h_r, h_y, c.graph.refers, None)
    value = across.of_reference(torch.cat([h_r, across.norm(h_y)], 1))[:, WIDTH : 2 * WIDTH]
    torch.testing.assert_close(
        to_target, across.to_target(value[c.rows[:, 0]]), atol=1e-5, rtol=1e-5
    )
    weights = net.decode(States(h_t, h_r), c.graph)[2]
    assert torch.equal(weights, torch.ones(N, 1, HEADS))


def test_order_of_references_does_not_matter() -> None:
    net, c = network(), case()
    order = np.random.default_rng(1).permutation(M)
    place = np.argsort(order)
    moved = Case(c.x, c.z[order], c.y[order], place[c.rows], c.near, place[c.close])
    first, second = ours(net, c), ours(net, moved)
    torch.testing.assert_close(first[0], second[0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(first[2][order], second[2], atol=1e-5, rtol=1e-5)


def test_order_of_links_does_not_matter() -> None:
    net, c = network(), case()
    turned = Case(*c.inputs, c.rows[:, ::-1].copy(), c.near[:, ::-1], c.close[:, ::-1])
    torch.testing.assert_close(ours(net, c)[0], ours(net, turned)[0], atol=1e-5, rtol=1e-5)


def test_links_twice_change_nothing() -> None:
    """A softmax mean over each link twice is the one over each once, on both sides."""
    net, c = network(), case()
    twice = Case(*c.inputs, np.hstack([c.rows, c.rows]), c.near, c.close)
    for once, again in zip(ours(net, c), ours(net, twice), strict=True):
        torch.testing.assert_close(once, again, atol=1e-5, rtol=1e-5)


def test_weights_of_a_spot_add_up_to_one() -> None:
    net, c = network(), case()
    weights = net.decode(net.encode(*c.inputs, c.graph), c.graph)[2]
    assert weights.shape == (N, 5, HEADS)
    assert (weights > 0).all()
    torch.testing.assert_close(weights.sum(1), torch.ones(N, HEADS), atol=1e-6, rtol=0)


def test_pooling_without_values_is_the_own_state() -> None:
    net, c = network(), case()
    with torch.no_grad():
        net.pooling.keys_values.weight[WIDTH:] = 0
        net.pooling.keys_values.bias[WIDTH:] = 0
    states = net.encode(*c.inputs, c.graph)
    _, pooled, _ = net.decode(states, c.graph)
    torch.testing.assert_close(pooled, net.pooling.own(states.target), atol=1e-6, rtol=0)


def test_reference_without_targets_is_sent_the_bias() -> None:
    net, c = network(), case()
    across = net.layers[0].across
    h_t, h_r, h_y = normal(N, WIDTH), normal(M, WIDTH, seed=1), normal(M, WIDTH, seed=2)
    free = [h.requires_grad_() for h in (h_t, h_r, h_y)]
    _, to_reference = across(*free, c.graph.refers, None)
    torch.testing.assert_close(to_reference[-1], across.to_reference.bias, atol=1e-7, rtol=0)
    assert torch.isfinite(to_reference).all()
    to_reference.sum().backward()
    assert all(torch.isfinite(h.grad).all() for h in (h_t, h_r))


def test_spot_without_neighbours_has_its_root_alone() -> None:
    net, c = network(), case()
    near = c.near[:, c.near[1] != 3]
    part, h = net.layers[0].near, normal(N, WIDTH)
    out = part(Operator.of(mean_of(near, N)), h)
    expected = part.neighbours.bias + h[3] @ part.root.weight.T
    torch.testing.assert_close(out[3], expected, atol=1e-5, rtol=1e-5)


# Chance, weights and shapes


def test_same_generator_same_network() -> None:
    one, same, other = (network(seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(v, same[name]) for name, v in one.items())
    assert not torch.equal(one["head.weight"], other["head.weight"])


def test_weights_start_as_in_the_release() -> None:
    net = HeteroNet(
        50, 40, 30, hidden=128, layers=2, heads=4, dropout=0.2, generator=generator()
    )  # fmt: skip
    for layer in net.layers:
        for part in (layer.across.of_reference, layer.across.of_target, layer.across.to_target):
            assert part.weight.std().item() == pytest.approx(0.02, rel=0.03)
            assert not part.bias.any()
    assert net.target_in.weight.abs().max().item() <= 50**-0.5
    assert net.target_in.bias is None
    assert torch.equal(net.norm.weight, torch.ones(128))


def test_number_of_weights_of_the_release() -> None:
    """5.40 million, 4.94 of them in the encoder, at 1024 features and 785 genes."""
    net = HeteroNet(
        1024, 785, 785, hidden=256, layers=4, heads=4, dropout=0.2, generator=generator()
    )  # fmt: skip
    total = sum(p.numel() for p in net.parameters())
    ends = [*net.pooling.parameters(), *net.head.parameters()]
    assert total / 1e6 == pytest.approx(5.40, abs=0.006)
    assert (total - sum(p.numel() for p in ends)) / 1e6 == pytest.approx(4.94, abs=0.006)


def test_dropout_only_while_training_and_from_the_generator() -> None:
    net, c = network(dropout=0.2), case()
    state = torch.get_rng_state()

    def states(seed: int) -> Tensor:
        return net.encode(*c.inputs, c.graph, generator(seed)).target

    assert torch.equal(states(0), states(1))
    net.train()
    assert torch.equal(states(0), states(0))
    assert not torch.equal(states(0), states(1))
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("d", [48, 118, 512, 1024, 2560])
def test_any_width_of_features(d: int) -> None:
    c = case()
    net = HeteroNet(
        d, G, 4, hidden=WIDTH, layers=1, heads=2, dropout=0.1, generator=generator()
    ).eval()
    states = net.encode(normal(N, d), normal(M, d, seed=1), c.y, c.graph)
    predicted, pooled, weights = net.decode(states, c.graph)
    assert predicted.shape == (N, 4)
    assert pooled.shape == (N, WIDTH)
    assert weights.shape == (N, 5, 2)
