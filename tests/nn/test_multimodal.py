"""MMSRL's network against plain dense restatements, and what may not reach its output."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from tests.helpers import hexagons
from torch import Tensor

from napari_stmask.features.graph import gaussian_graph, random_walk
from napari_stmask.nn.attention import landmarks_of
from napari_stmask.nn.multimodal import Encoded, GraphEncoder, MultimodalNet
from napari_stmask.nn.sparse import Operator

CPU = torch.device("cpu")
WALK = random_walk(gaussian_graph(hexagons(8, 9), 1.0))
N = WALK.shape[0]
A = torch.from_numpy(WALK.toarray())
OPERATOR = Operator.of(WALK, CPU)
HIDDEN = torch.arange(0, N, 3)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def encoder(d: int = 7, hidden: int = 12, latent: int = 5, *, prelu: bool = False) -> GraphEncoder:
    gen = torch.Generator().manual_seed(3)
    out = GraphEncoder(d, hidden, latent, prelu=prelu, generator=gen)
    with torch.no_grad():
        for i, value in enumerate((out.b1, out.b2, out.token)):
            value += random(*value.shape, seed=10 + i)
    return out


def dense(net: GraphEncoder, x: Tensor, hidden_rows: Tensor | None) -> Tensor:
    """E = A f(A X W1 + b1) W2 + b2 as it is written."""
    if hidden_rows is not None:
        keep = torch.ones(len(x), 1)
        keep[hidden_rows] = 0
        x = x * keep + (1 - keep) * net.token
    inner = A @ x @ net.w1 + net.b1
    if net.slope is not None:
        inner = torch.where(inner > 0, inner, net.slope * inner)
    return A @ inner @ net.w2 + net.b2


@pytest.mark.parametrize("prelu", [False, True])
@pytest.mark.parametrize("hidden_rows", [None, HIDDEN])
def test_encoder_equals_its_formula_with_its_gradient(
    prelu: bool, hidden_rows: Tensor | None
) -> None:
    net, x, away = encoder(prelu=prelu), random(N, 7), random(N, 5, seed=1)
    ours, plain = net(OPERATOR, x, hidden_rows), dense(net, x, hidden_rows)
    torch.testing.assert_close(ours, plain, atol=1e-5, rtol=1e-5)
    used = [p for p in net.parameters() if hidden_rows is not None or p is not net.token]
    found = (torch.autograd.grad((out * away).sum(), used) for out in (ours, plain))
    for mine, theirs in zip(*found, strict=True):
        assert theirs.abs().max() > 1e-3
        torch.testing.assert_close(mine, theirs, atol=1e-4, rtol=1e-4)


def test_linear_encoder_is_one_affine_map() -> None:
    net, x = encoder(), random(N, 7)
    collapsed = A @ A @ x @ (net.w1 @ net.w2) + (net.b1 @ net.w2 + net.b2)
    torch.testing.assert_close(net(OPERATOR, x, None), collapsed, atol=1e-5, rtol=1e-5)
    bent = encoder(prelu=True)(OPERATOR, x, None)
    assert (bent - collapsed).abs().max() > 0.1


@pytest.mark.parametrize(
    ("d", "hidden", "latent"), [(10, 32, 16), (10, 10, 10), (16, 256, 64), (10, 12, 64)]
)
def test_encoder_starts_as_an_isometry(d: int, hidden: int, latent: int) -> None:
    """Distances of the smoothed data are kept where the layers are wide enough."""
    gen = torch.Generator().manual_seed(0)
    net = GraphEncoder(d, hidden, latent, prelu=False, generator=gen)
    x = random(N, d)
    e = net(OPERATOR, x, None)
    torch.testing.assert_close(torch.pdist(e), torch.pdist(A @ A @ x), atol=1e-5, rtol=1e-4)


def test_narrow_encoder_starts_as_a_projection() -> None:
    net = GraphEncoder(40, 256, 8, prelu=False, generator=torch.Generator().manual_seed(0))
    turn = (net.w1 @ net.w2).detach()
    torch.testing.assert_close(turn.T @ turn, torch.eye(8), atol=1e-5, rtol=0)


def network(widths: tuple[int, ...] = (7, 4), **options) -> MultimodalNet:
    gen = torch.Generator().manual_seed(5)
    net = MultimodalNet(widths, 16, 8, interaction=6, generator=gen, **options)
    with torch.no_grad():
        net.gate_direction += random(8, seed=6)
        for one in net.encoders:
            one.token += random(*one.token.shape, seed=7)
    return net


def test_values_of_hidden_spots_reach_nothing() -> None:
    inputs = [random(N, 7), random(N, 4, seed=1)]
    marks = landmarks_of(inputs[0].numpy(), 9, seed=0, device=CPU)
    other = [x.clone() for x in inputs]
    for x in other:
        x[HIDDEN] = 1e6 * random(len(HIDDEN), x.shape[1], seed=2)
    for prelu in (False, True):
        net = network(prelu=prelu).eval()
        one, two = (net(OPERATOR, v, marks, hidden_rows=HIDDEN) for v in (inputs, other))
        for name in ("embedding", "weights"):
            assert torch.equal(getattr(one, name), getattr(two, name))
        assert all(map(torch.equal, one.encoded, two.encoded))
        seen = net(OPERATOR, other, marks)
        assert not torch.allclose(seen.embedding, one.embedding)


def plain(net: MultimodalNet, inputs: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Z and the weights as they are written, exact attention, no dropout."""
    encoded = [dense(e, x, None) for e, x in zip(net.encoders, inputs, strict=True)]
    branches, shared = [], []
    for i, e in enumerate(encoded):
        shared.append(torch.relu(e @ net.share.weight.T + net.share.bias))
        if net.log_scale is not None:
            u = e / e.norm(dim=1, keepdim=True)
            branches.append(e + torch.softmax(net.log_scale[i].exp() * u @ u.T, dim=1) @ e)
        else:
            branches.append(e)
    branches.append(torch.cat(shared, dim=1) @ net.join.weight.T + net.join.bias)
    level = [b - b.mean(dim=0) for b in branches]
    level = [b / b.square().sum(dim=1).mean().sqrt() for b in level]
    scores = [
        torch.tanh(b @ net.gate.weight.T + net.gate.bias) @ net.gate_direction + beta
        for b, beta in zip(level, net.gate_bias, strict=True)
    ]
    weights = torch.softmax(torch.stack(scores, dim=1), dim=1)
    return torch.stack(level, dim=1).mul(weights[:, :, None]).sum(dim=1), weights


@pytest.mark.parametrize("widths", [(7,), (7, 4)])
@pytest.mark.parametrize("attention", [True, False])
def test_network_equals_its_formula_with_its_gradient(
    widths: tuple[int, ...], attention: bool
) -> None:
    net = network(widths, attention=attention).eval()
    inputs = [random(N, d, seed=d) for d in widths]
    out, (z, weights) = net(OPERATOR, inputs, None), plain(net, inputs)
    torch.testing.assert_close(out.embedding, z, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(out.weights, weights, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(out.weights.sum(dim=1), torch.ones(N))
    assert out.weights.shape == (N, len(widths) + 1)
    assert out.weights.std(dim=0).min() > 0.01
    used = [
        p for name, p in net.named_parameters() if "recover" not in name and "token" not in name
    ]
    away = random(N, 8, seed=4)
    found = (torch.autograd.grad((one * away).sum(), used) for one in (out.embedding, z))
    for mine, theirs in zip(*found, strict=True):
        torch.testing.assert_close(mine, theirs, atol=2e-4, rtol=1e-3)


def test_image_has_to_earn_its_share() -> None:
    """Before training the gate gives the image less than expression and the interaction."""
    gen = torch.Generator().manual_seed(0)
    net = MultimodalNet((7, 4), 16, 8, generator=gen).eval()
    weights = net(OPERATOR, [random(N, 7), random(N, 4)], None).weights
    expected = torch.softmax(torch.tensor([0.3, -0.7, 0.3]), dim=0)
    torch.testing.assert_close(weights, expected.expand(N, 3))


def test_dropout_only_in_training_and_from_the_given_generator() -> None:
    net, inputs = network(), [random(N, 7), random(N, 4)]

    def encoded(seed: int | None) -> Encoded:
        gen = None if seed is None else torch.Generator().manual_seed(seed)
        return net(OPERATOR, inputs, None, generator=gen)

    clean = net.eval()(OPERATOR, inputs, None)
    net.train()
    state = torch.get_rng_state()
    one, again, other = encoded(1), encoded(1), encoded(2)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(one.embedding, again.embedding)
    assert not torch.equal(one.embedding, other.embedding)
    dropped, base = one.shared[0], clean.shared[0]
    kept = dropped != 0
    torch.testing.assert_close(dropped[kept], base[kept] / 0.9)
    assert 0.03 < 1 - kept.sum().item() / (base != 0).sum().item() < 0.2


def test_order_of_spots_does_not_matter() -> None:
    order = np.random.default_rng(0).permutation(N)
    net, inputs = network().eval(), [random(N, 7), random(N, 4)]
    moved = Operator.of(sp.csr_matrix(WALK[order][:, order]), CPU)
    there = net(OPERATOR, inputs, None).embedding[torch.from_numpy(order)]
    here = net(moved, [x[torch.from_numpy(order)] for x in inputs], None).embedding
    torch.testing.assert_close(here, there, atol=1e-5, rtol=1e-4)


def test_a_constant_branch_is_finite() -> None:
    """All spots alike, as in a section of one kind: no division by a variance of 0."""
    net = network()
    inputs = [torch.ones(N, 7), torch.zeros(N, 4)]
    out = net(OPERATOR, inputs, None)
    out.embedding.sum().backward()
    assert torch.isfinite(out.embedding).all()
    assert all(torch.isfinite(p.grad).all() for p in net.parameters() if p.grad is not None)
