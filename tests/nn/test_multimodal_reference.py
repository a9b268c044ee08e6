"""Attention with dropped weights in blocks, and the pieces of the released network."""

import pytest
import torch
from torch import Tensor

from napari_stmask.nn import multimodal_reference
from napari_stmask.nn.multimodal_reference import (
    Draws,
    ReferenceDecoder,
    ReferenceNet,
    attend_dropped,
)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def with_gradient(form, e: Tensor) -> tuple[Tensor, Tensor]:
    free, away = e.clone().requires_grad_(), random(*e.shape, seed=9)
    out = form(free)
    return out.detach(), torch.autograd.grad((out * away).sum(), free)[0]


@pytest.mark.parametrize("block", [16, 50, 512])
def test_without_dropout_it_is_attention(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multimodal_reference, "_BLOCK", block)
    ours = with_gradient(lambda e: attend_dropped(e, 0.4, 0.0, 3), random(50, 6))
    plain = with_gradient(lambda e: torch.softmax(0.4 * e @ e.T, dim=1) @ e, random(50, 6))
    for mine, theirs in zip(ours, plain, strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=1e-5)


def test_gradient_is_of_the_weights_that_were_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second pass over a block drops what the first one dropped."""
    monkeypatch.setattr(multimodal_reference, "_BLOCK", 20)
    keep = torch.cat(
        [
            torch.rand(n, 50, generator=torch.Generator().manual_seed(7 + start)) >= 0.3
            for start, n in ((0, 20), (20, 20), (40, 10))
        ]
    )

    def plain(e: Tensor) -> Tensor:
        return (torch.softmax(0.4 * e @ e.T, dim=1) * keep / 0.7) @ e

    state = torch.get_rng_state()
    ours = with_gradient(lambda e: attend_dropped(e, 0.4, 0.3, 7), random(50, 6))
    assert torch.equal(torch.get_rng_state(), state)
    for mine, theirs in zip(ours, with_gradient(plain, random(50, 6)), strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=1e-5)


def test_dropout_keeps_the_mean() -> None:
    e = random(30, 4)
    mean = sum(attend_dropped(e, 0.4, 0.1, seed) for seed in range(0, 40_000, 100)) / 400
    torch.testing.assert_close(mean, torch.softmax(0.4 * e @ e.T, dim=1) @ e, atol=0.03, rtol=0)


@pytest.mark.parametrize("widths", [(12,), (12, 5)])
def test_fusion_is_a_sum_of_constants(widths: tuple[int, ...]) -> None:
    """Z = 20 Z_G + 1 Z_H + 10 Z_F, or 20 Z_G + 10 Z_F without an image."""
    net = ReferenceNet(widths, 9, generator=torch.Generator().manual_seed(0))
    smooth = [random(40, d, seed=d) for d in widths]
    out = net(smooth)
    z = torch.zeros(40, 12)
    shared = []
    for x, encoder, share in zip(smooth, net.encoders, (20, 1), strict=False):
        e = x @ encoder.w1 @ encoder.w2 + encoder.b1 @ encoder.w2 + encoder.b2
        z = z + share * torch.softmax(e @ e.T / 12**0.5, dim=1) @ e
        shared.append(torch.relu(net.share(e)))
    z = z + 10 * net.join(torch.cat(shared, dim=1))
    torch.testing.assert_close(out.embedding, z, atol=1e-4, rtol=1e-4)
    assert out.weights is None
    again = ReferenceNet(widths, 9, generator=torch.Generator().manual_seed(0))
    assert torch.equal(again(smooth).embedding, out.embedding)


def test_starts_where_the_release_starts() -> None:
    net = ReferenceNet((30, 8), 20, generator=torch.Generator().manual_seed(0))
    assert not net.token.any()
    for encoder in net.encoders:
        for weight in (encoder.w1, encoder.b1, encoder.w2, encoder.b2):
            bound = weight.shape[-1] ** -0.5
            assert 0.7 * bound < weight.abs().max() <= bound
    for layer in (net.share, net.join):
        assert 0.9 < layer.weight.abs().max() * layer.in_features**0.5 <= 1 + 1e-6
        assert layer.bias.abs().max() > 0


def test_draws_decide_what_is_dropped() -> None:
    net = ReferenceNet((12, 5), 9, generator=torch.Generator().manual_seed(0))
    smooth = [random(40, d, seed=d) for d in (12, 5)]

    def embedding(seed: int) -> Tensor:
        draws = Draws(torch.Generator().manual_seed(seed), [seed, seed + 1000])
        return net(smooth, None, draws).embedding

    assert torch.equal(embedding(1), embedding(1))
    assert not torch.equal(embedding(1), embedding(2))


def test_decoder_stays_within_its_clips() -> None:
    decoder = ReferenceDecoder(6, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        decoder.heads.weight.mul_(1e3)
    z = random(30, 6).requires_grad_()
    hidden, mean, dispersion, dropout = decoder(z)
    assert hidden.min() == 0
    assert mean.min().item() == pytest.approx(1e-5)
    assert mean.max().item() == pytest.approx(1e6)
    assert dispersion.min().item() == pytest.approx(1e-4)
    assert ((dropout >= 0) & (dropout <= 1)).all()
    (mean.log().sum() + dispersion.sum() + dropout.sum()).backward()
    assert torch.isfinite(z.grad).all()
