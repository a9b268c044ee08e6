"""The autoencoder of gene pictures against the release's own, longer form."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from napari_stmask.features.gene_tiles import Tiles, cut_tiles
from napari_stmask.nn.gene_autoencoder import (
    Architecture,
    GeneAutoencoder,
    GeneEncoder,
    kept_tokens,
    position_table,
    squared_error,
)
from napari_stmask.nn.self_training import kl, sharpen
from napari_stmask.nn.t_mixture import Prior, initial_mixture

HEADS = ("pictures", "none", "mlp")
HEIGHT, WIDTH, SIDE = 14, 17, 4


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def tiles() -> Tiles:
    """A round piece of tissue with a hole, on a canvas that tiles do not fit."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    there = ((y - 7) / 7) ** 2 + ((x - 8) / 8.5) ** 2 <= 1
    there[5:9, 4:9] = False
    return cut_tiles(HEIGHT, WIDTH, np.flatnonzero(there), SIDE)


@pytest.fixture(scope="module")
def pictures(tiles: Tiles) -> Tensor:
    return torch.randn(9, len(tiles.slot), generator=seeded(1))


def small(**values) -> Architecture:
    return Architecture(**({"token_dim": 8, "embed_dim": 5, "n_linear": 3} | values))


def network(tiles: Tiles, **values) -> GeneAutoencoder:
    """A network whose fixed parts are filled, as training leaves them."""
    net = GeneAutoencoder(tiles, small(**values), seeded(2))
    for name, buffer in net.encoder.named_buffers():
        if name.startswith(("readout", "projection")):
            buffer.copy_(0.1 * torch.randn(buffer.shape, generator=seeded(3)))
    return net


# Masks


@pytest.mark.parametrize(("n_tokens", "hidden"), [(252, 0.3), (10, 0.3), (80, 0.75), (7, 0.5)])
def test_kept_tokens_of_each_picture(n_tokens: int, hidden: float) -> None:
    kept = kept_tokens(40, n_tokens, hidden, seeded())
    # 0.7 of 10 is 7, whatever the rounding of 1 - 0.3.
    assert kept.shape == (40, math.floor((1 - hidden) * n_tokens + 1e-9))
    for row in kept:
        assert len(row.unique()) == len(row)
        assert 0 <= row.min() <= row.max() < n_tokens
    assert len({tuple(sorted(row.tolist())) for row in kept}) > 1
    torch.testing.assert_close(kept, kept_tokens(40, n_tokens, hidden, seeded()))
    assert not torch.equal(kept, kept_tokens(40, n_tokens, hidden, seeded(1)))


def test_seven_tenths_of_ten() -> None:
    assert kept_tokens(1, 10, 0.3, seeded()).shape == (1, 7)


def test_all_tokens_are_hidden_equally_often() -> None:
    kept = kept_tokens(20_000, 10, 0.3, seeded())
    share = np.bincount(kept.ravel(), minlength=10) / 20_000
    np.testing.assert_allclose(share, 0.7, atol=4 * math.sqrt(0.21 / 20_000))


@pytest.mark.parametrize(("hidden", "k"), [(0.95, 1), (0.01, 2)])
def test_one_stays_and_one_is_hidden(hidden: float, k: int) -> None:
    assert kept_tokens(5, 3, hidden, seeded()).shape == (5, k)


# The encoder


def restored(net: GeneAutoencoder, pictures: Tensor, kept: Tensor) -> tuple[Tensor, Tensor]:
    """Drawing and hidden elements as released: tokens are put back in order one by one.

    Attention with explicit matrices, a token for each hidden place, then the mean over all.
    """
    enc = net.encoder
    canvas = torch.zeros(len(pictures), enc.n_tokens * enc.area)
    canvas[:, enc.slot] = pictures
    tokens = enc.patch(canvas.view(len(pictures), enc.n_tokens, enc.area) * enc.loudness)
    tokens = tokens + enc.positions
    drawn, hidden = [], []
    for own, places in zip(tokens, kept, strict=True):
        t = own[places]
        for block in enc.blocks:
            query, key, value = (
                part.view(len(t), 4, 4).transpose(0, 1)
                for part in block.qkv(block.norm(t)).chunk(3, dim=1)
            )
            weights = torch.softmax(query @ key.transpose(1, 2) / 2, dim=2)
            t = t + block.out((weights @ value).transpose(0, 1).reshape(len(t), 16))
            t = t + block.down(F.gelu(block.up(block.norm(t))))
        whole = torch.stack([net.hidden_token] * enc.n_tokens).clone()
        for place, said in zip(places.tolist(), t, strict=True):
            whole[place] = said
        drawn.append(net.paint(enc.trunk(whole.mean(dim=0)[None]))[0])
        visible = set(places.tolist())
        hidden.append(torch.tensor([t not in visible for t in enc.token.tolist()]))
    return torch.stack(drawn), torch.stack(hidden)


@pytest.mark.parametrize("positions", ["sincos", "zero"])
def test_the_mean_says_what_restored_tokens_say(tiles, pictures, positions: str) -> None:
    net = network(tiles, positions=positions)
    kept = kept_tokens(len(pictures), tiles.n_tokens, 0.3, seeded())
    drawn, hidden = net(pictures, kept)
    expected, covered = restored(net, pictures, kept)
    assert torch.equal(hidden, covered)
    torch.testing.assert_close(drawn, expected, atol=1e-5, rtol=1e-5)
    ours, theirs = (squared_error(pictures, one, hidden) for one in (drawn, expected))
    assert float(ours.detach()) == pytest.approx(float(theirs.detach()), abs=1e-6)


def test_whole_pictures_are_those_with_nothing_hidden(tiles, pictures) -> None:
    net = network(tiles)
    everything = torch.arange(tiles.n_tokens).expand(len(pictures), -1)
    drawn, hidden = net(pictures, everything)
    assert not hidden.any()
    torch.testing.assert_close(net.drawn(pictures), drawn, atol=1e-5, rtol=1e-5)


def test_hidden_tiles_are_not_seen(tiles, pictures) -> None:
    """Other values in hidden tiles change nothing that is drawn."""
    net = network(tiles)
    kept = kept_tokens(len(pictures), tiles.n_tokens, 0.5, seeded())
    drawn, hidden = net(pictures, kept)
    again, _ = net(torch.where(hidden, pictures + 5, pictures), kept)
    torch.testing.assert_close(again, drawn)
    assert hidden.float().mean() == pytest.approx(0.5, abs=0.15)


def test_padding_has_no_place_in_the_loss(tiles, pictures) -> None:
    """The decoder draws tissue only, so what is not tissue has no error and no gradient."""
    net = network(tiles)
    assert net.paint.out_features == len(tiles.slot) == int(tiles.filled.sum())
    assert len(tiles.slot) < tiles.n_tokens * SIDE**2
    # An empty slot of a tile holds 0: its weights of the first layer learn nothing.
    corner = cut_tiles(2, 2, np.array([0, 1, 2]), 2)  # one tile, its last place is no tissue
    tiny = GeneAutoencoder(corner, small(n_linear=0), seeded())
    drawn, _ = tiny(torch.randn(4, 3, generator=seeded()), torch.zeros(4, 1, dtype=torch.long))
    drawn.square().mean().backward()
    used = tiny.encoder.patch.weight.grad.abs().sum(dim=0) > 0
    assert used.tolist() == [True, True, True, False]


def test_border_tiles_are_as_loud_as_whole_ones() -> None:
    """A flat picture gives the same mean input to each tile, however many elements are filled."""
    tiles = cut_tiles(4, 6, np.flatnonzero(np.arange(24) % 6 < 5), 4)
    enc = GeneEncoder(tiles, small(positions="zero"), seeded())
    with torch.no_grad():
        enc.patch.weight.fill_(1.0)
        enc.patch.bias.zero_()
    said = enc.tokens(torch.ones(1, 20))
    np.testing.assert_array_equal(tiles.filled, [16, 4])
    torch.testing.assert_close(said, torch.full_like(said, 16.0))


def shuffled_tiles(tiles: Tiles, order: np.ndarray) -> Tiles:
    """The same tiles, each now holding the values of another."""
    place = np.argsort(order)
    slot = place[tiles.token] * tiles.side**2 + tiles.slot % tiles.side**2
    return Tiles(tiles.side, tiles.grid, slot, tiles.row, tiles.column, tiles.filled[order])


@pytest.mark.parametrize(("positions", "same"), [("zero", True), ("sincos", False)])
def test_only_positions_tell_places_apart(tiles, pictures, positions: str, same: bool) -> None:
    order = np.random.default_rng(0).permutation(tiles.n_tokens)
    one = GeneEncoder(tiles, small(positions=positions), seeded(4))
    other = GeneEncoder(shuffled_tiles(tiles, order), small(positions=positions), seeded(4))
    gap = (one.pooled(pictures) - other.pooled(pictures)).abs().max()
    assert (float(gap.detach()) < 1e-5) is same


def test_positions_are_sines_of_row_and_column(tiles) -> None:
    table = position_table(tiles, 8)
    assert table.shape == (tiles.n_tokens, 8)
    for token, (row, column) in enumerate(zip(tiles.row, tiles.column, strict=True)):
        expected = [
            *np.sin([row, row / 100]), *np.cos([row, row / 100]),
            *np.sin([column, column / 100]), *np.cos([column, column / 100]),
        ]  # fmt: skip
        np.testing.assert_allclose(table[token], expected, atol=1e-6)
    assert len(table.unique(dim=0)) == tiles.n_tokens
    assert position_table(tiles, 6).shape == (tiles.n_tokens, 6)


def test_pool_weights_do_not_depend_on_their_size(tiles, pictures) -> None:
    enc = GeneEncoder(tiles, small(), seeded())
    before = enc.pooled(pictures)
    torch.testing.assert_close(before, enc.transform(enc.tokens(pictures)).mean(dim=1))
    with torch.no_grad():
        enc.pool.mul_(7.0)
    torch.testing.assert_close(enc.pooled(pictures), before)


# Vectors


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("n_linear", [0, 3])
def test_width_of_a_vector(tiles, pictures, head: str, n_linear: int) -> None:
    enc = network(tiles, head=head, n_linear=n_linear).encoder
    own = 8 if head == "none" else 5
    assert enc.network_width == own
    assert enc.width == own + n_linear
    assert enc(pictures).shape == (9, own + n_linear)


@pytest.mark.parametrize("head", HEADS)
def test_vectors_do_not_depend_on_the_batch(tiles, pictures, head: str) -> None:
    net = network(tiles, head=head)
    enc = net.encoder.eval()
    with torch.no_grad():
        z = enc(pictures)
        singly = torch.cat([enc(one) for one in pictures.split(1)])
        order = torch.randperm(len(pictures), generator=seeded())
        torch.testing.assert_close(singly, z, atol=1e-5, rtol=0)
        torch.testing.assert_close(enc(pictures[order]), z[order], atol=1e-5, rtol=0)
        # No mask that was drawn in between has a part in them.
        net(pictures, kept_tokens(9, tiles.n_tokens, 0.3, seeded(8)))
        assert torch.equal(enc(pictures), z)


def test_the_readout_is_a_projection_of_the_drawn_picture(tiles, pictures) -> None:
    net = network(tiles, n_linear=0)
    components = torch.randn(5, len(tiles.slot), generator=seeded(5))
    offset = torch.randn(5, generator=seeded(6))
    net.read_out(components, offset)
    expected = net.drawn(pictures) @ components.T + offset
    torch.testing.assert_close(net.encoder(pictures), expected, atol=1e-4, rtol=1e-4)


def test_the_linear_part_is_a_projection_of_the_picture(tiles, pictures) -> None:
    enc = network(tiles).encoder
    expected = pictures @ enc.projection.T + enc.projection_offset
    torch.testing.assert_close(enc(pictures)[:, -3:], expected)
    with torch.no_grad():
        whole = enc(pictures)[:, :5]
        enc.network_scale.fill_(0.25)
        torch.testing.assert_close(enc(pictures)[:, :5], whole / 4)


def test_same_seed_same_network(tiles) -> None:
    one, same = (GeneAutoencoder(tiles, small(), seeded(1)).state_dict() for _ in range(2))
    other = GeneAutoencoder(tiles, small(), seeded(2)).state_dict()
    assert all(torch.equal(one[name], same[name]) for name in one)
    drawn = [name for name in one if name.endswith("weight") and "norm" not in name]
    assert sum(not torch.equal(one[name], other[name]) for name in drawn) > 10


# Gradients


def needed(enc: GeneEncoder) -> set[str]:
    """Weights of the encoder that its vector depends on."""
    names = {name for name, _ in enc.named_parameters()}
    if enc.architecture.head != "pictures":
        names = {name for name in names if not name.startswith("trunk.")}
    return names


@pytest.mark.parametrize("head", HEADS)
def test_sharpening_reaches_every_weight_of_the_vector(tiles, head: str) -> None:
    """The release's does not: there the memberships are constants."""
    net = network(tiles, head=head)
    enc = net.encoder
    pictures = torch.randn(40, len(tiles.slot), generator=seeded(1))
    z = enc(pictures).detach()
    labels = torch.arange(40) % 3
    mixture = initial_mixture(z, labels, 3, Prior.of(z, 3))
    q = mixture.log_posterior(enc(pictures)).exp()
    kl(sharpen(q), q).backward()
    reached = {
        name
        for name, value in enc.named_parameters()
        if value.grad is not None and float(value.grad.abs().max()) > 0
    }
    assert reached == needed(enc)
    # Keys are the one exception: a shift of all of them changes no share of attention.
    for block in enc.blocks:
        query, key, value = block.qkv.bias.grad.chunk(3)
        assert key.abs().max() < 1e-3 * max(query.abs().max(), value.abs().max())
    assert net.hidden_token.grad is None
    assert net.paint.weight.grad is None


@pytest.mark.parametrize("head", HEADS)
def test_no_gradient_of_constant_memberships(tiles, pictures, head: str) -> None:
    enc = network(tiles, head=head).encoder
    z = enc(pictures)
    mixture = initial_mixture(z.detach(), torch.arange(9) % 3, 3, Prior.of(z.detach(), 3))
    q = mixture.log_posterior(z.detach()).exp()
    assert not kl(sharpen(q), q).requires_grad


def test_reconstruction_trains_everything_but_the_head(tiles, pictures) -> None:
    net = network(tiles, head="mlp")
    drawn, hidden = net(pictures, kept_tokens(9, tiles.n_tokens, 0.3, seeded()))
    squared_error(pictures, drawn, hidden).backward()
    without = {name for name, value in net.named_parameters() if value.grad is None}
    assert {name.split(".")[1] for name in without} == {"pool", "head"}


def test_error_counts_what_is_asked_for() -> None:
    pictures, drawn = torch.zeros(2, 3), torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    counted = torch.tensor([[True, False, True], [False, False, True]])
    assert float(squared_error(pictures, drawn, counted)) == pytest.approx((1 + 9 + 36) / 3)
    everything = torch.ones(2, 3, dtype=torch.bool)
    expected = F.mse_loss(drawn, pictures)
    torch.testing.assert_close(squared_error(pictures, drawn, everything), expected)
