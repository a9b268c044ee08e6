"""The spot transformer: what it may know, and what it may not."""

import numpy as np
import pytest
import torch
from anndata import AnnData

from napari_stmask.core.errors import DataError
from napari_stmask.core.histology import Histology
from napari_stmask.core.progress import drain
from napari_stmask.core.section import Section
from napari_stmask.models import get
from napari_stmask.models.vimst.params import ViMSTParams
from napari_stmask.models.vimst.transformer import (
    FOLDS,
    GROUP_SPOTS,
    predict,
    predict_expression,
    section_patches,
    spatial_folds,
)
from napari_stmask.nn.spot_transformer import PATCH_PIXELS, SpotTransformer
from napari_stmask.pipeline import run

CPU = torch.device("cpu")


def coloured(side: int = 18, seed: int = 0) -> tuple[Section, np.ndarray]:
    """A square lattice over an image whose spots are red or blue at random, in patches of noise."""
    rng = np.random.default_rng(seed)
    pitch = 20
    y, x = np.mgrid[:side, :side].reshape(2, -1)
    red = rng.random(side * side) < 0.5
    image = rng.integers(60, 120, (side * pitch, side * pitch, 3))
    for row, column, warm in zip(y, x, red, strict=True):
        square = (
            slice(row * pitch, (row + 1) * pitch),
            slice(column * pitch, (column + 1) * pitch),
        )
        image[(*square, 0 if warm else 2)] += 90
    counts = rng.poisson(3, (side * side, 30)).astype(np.float32)
    adata = AnnData(counts)
    adata.obsm["spatial"] = np.column_stack([x, y]) * pitch + pitch / 2.0
    section = Section(
        adata, image=Histology([image.astype(np.uint8)]), platform="st", spot_diameter=10.0
    )
    return section, red


def params(**values) -> ViMSTParams:
    return ViMSTParams(**({"transformer_epochs": 25, "threads": 1} | values))


def correlation(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    return (a * b).sum(axis=0) / np.sqrt((a**2).sum(axis=0) * (b**2).sum(axis=0))


def test_network_ignores_the_order_of_spots() -> None:
    net = SpotTransformer(5, width=16, heads=2, seed=0).eval()
    x = torch.randn(12, 3, PATCH_PIXELS, PATCH_PIXELS, generator=torch.Generator().manual_seed(0))
    order = torch.randperm(12, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        torch.testing.assert_close(net(x)[order], net(x[order]), atol=1e-5, rtol=1e-4)


def test_attention_is_its_formula() -> None:
    net = SpotTransformer(3, width=16, depth=1, heads=2, seed=0).eval()
    block = net.blocks[0]
    x = torch.randn(7, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        q, k, v = block.qkv(block.norm1(x)).chunk(3, dim=1)
        heads = []
        for h in (slice(0, 8), slice(8, 16)):
            weight = torch.softmax(q[:, h] @ k[:, h].T / 8**0.5, dim=1)
            heads.append(weight @ v[:, h])
        expected = x + block.out(torch.cat(heads, dim=1))
        expected = expected + block.mlp(block.norm2(expected))
        torch.testing.assert_close(block(x), expected, atol=1e-5, rtol=1e-4)


def test_every_part_is_trained_and_global_state_is_untouched() -> None:
    """The published program trains the head alone."""
    section, red = coloured(8)
    target = np.column_stack([red, ~red]).astype(np.float32)
    state = torch.get_rng_state()
    trained = drain(predict_expression(section, target, params(transformer_epochs=2), CPU))
    assert torch.equal(torch.get_rng_state(), state)
    again = drain(predict_expression(section, target, params(transformer_epochs=2), CPU))
    np.testing.assert_array_equal(trained.values, again.values)
    one = drain(predict_expression(section, target, params(transformer_epochs=1), CPU))
    for (name, a), b in zip(
        trained.nets[0].state_dict().items(), one.nets[0].state_dict().values(), strict=True
    ):
        assert not torch.equal(a, b), name


def test_what_the_image_shows_is_predicted_out_of_fold() -> None:
    section, red = coloured()
    rng = np.random.default_rng(1)
    target = (red[:, None] * np.ones(3) + 0.3 * rng.normal(size=(len(red), 3))).astype(np.float32)
    found = drain(predict_expression(section, target, params(), CPU))
    assert len(found.nets) == FOLDS
    assert correlation(found.values, target).min() > 0.7
    assert found.r2.min() > 0.4


def test_expression_that_the_image_does_not_show_is_not_predicted() -> None:
    """Out of fold nothing is left; fitted and read out on the same spots, noise looks known."""
    section, _ = coloured(30)
    target = np.random.default_rng(1).normal(size=(900, 60)).astype(np.float32)
    honest = drain(predict_expression(section, target, params(transformer_epochs=8), CPU))
    assert abs(np.median(correlation(honest.values, target))) < 0.05
    assert np.median(honest.r2) <= 0.01
    few, _ = coloured(8)
    memorised = drain(
        predict_expression(
            few, target[:64, :3], params(cross_fit=False, transformer_epochs=150), CPU
        )
    )
    assert np.mean(correlation(memorised.values, target[:64, :3])) > 0.1
    assert len(memorised.nets) == 1


def test_folds_are_compact_and_hold_every_spot() -> None:
    section, _ = coloured()
    folds = spatial_folds(section.coords, FOLDS, 0)
    assert set(folds) == set(range(FOLDS))
    spread = [np.ptp(section.coords[folds == f], axis=0).max() for f in range(FOLDS)]
    assert max(spread) < 0.8 * np.ptp(section.coords, axis=0).max()


def test_patches_belong_to_their_spots() -> None:
    section, red = coloured(8)
    pixels, outside = drain(section_patches(section, params(patch_size=1.0)))
    assert not outside.any()
    assert pixels.shape == (64, PATCH_PIXELS, PATCH_PIXELS, 3)
    mean = pixels.mean(axis=(1, 2))
    np.testing.assert_array_equal(mean[:, 0] > mean[:, 2], red)


def test_large_sections_attend_in_groups() -> None:
    """Memory grows with the group, not with the section squared."""
    from napari_stmask.models.vimst.transformer import _groups

    coords = np.random.default_rng(0).random((5000, 2))
    groups = _groups(coords)
    assert max(map(len, groups)) <= GROUP_SPOTS
    np.testing.assert_array_equal(np.sort(np.concatenate(groups)), np.arange(5000))


def test_run_with_the_transformer_saves_and_applies(tmp_path) -> None:
    section, _ = coloured(10)
    values = {"epochs": 3, "replicates": 1, "transformer_epochs": 2, "n_domains": 2}
    result = run("vimst", section, image_encoder="transformer", threads=1, **values)
    r2 = section.adata.var["vimst_image_r2"]
    assert np.isfinite(r2[result.fit.var["image_r2"] == r2]).all()
    assert (r2.dropna() <= 1).all()
    assert "image_r2_median" in result.record["details"]
    get("vimst").save_model(result.fit, tmp_path / "m.safetensors")
    again = run("vimst", section, model=tmp_path / "m.safetensors", key_added="again")
    np.testing.assert_allclose(again.embedding, result.embedding, atol=1e-4)
    # On other tissue no network is barred, so all of them answer.
    other, _ = coloured(10, seed=1)
    other.adata.obsm["spatial"] = other.adata.obsm["spatial"] + 0.5
    elsewhere = run("vimst", other, model=tmp_path / "m.safetensors")
    assert elsewhere.embedding.shape == result.embedding.shape


def test_networks_answer_in_the_units_of_the_target() -> None:
    """A saved network must give what the training gave, of a target of any scale and centre."""
    section, red = coloured()
    target = (50 + 20 * red[:, None] * np.ones(2)).astype(np.float32)
    found = drain(predict_expression(section, target, params(), CPU))
    pixels, _ = drain(section_patches(section, params()))
    for fold, net in enumerate(found.nets):
        own = found.folds == fold
        again = predict(net, pixels, section.coords, CPU)[own]
        np.testing.assert_allclose(again, found.values[own], rtol=1e-4)
    assert found.r2.min() > 0.5  # so they do reach the spread of the target


def test_no_network_saw_the_expression_of_its_own_part() -> None:
    """Whatever the target of a part is, its own prediction stays the same."""
    section, _ = coloured(8)
    target = np.random.default_rng(0).normal(size=(64, 2)).astype(np.float32)
    found = drain(predict_expression(section, target, params(transformer_epochs=2), CPU))
    own = np.flatnonzero(found.folds == 2)
    other = target.copy()
    # The same values in another order: mean and scale, which all parts share, stay.
    other[own] = target[own[::-1]]
    again = drain(predict_expression(section, other, params(transformer_epochs=2), CPU))
    np.testing.assert_allclose(again.values[own], found.values[own], atol=1e-5)
    rest = found.folds != 2
    assert not np.allclose(again.values[rest], found.values[rest], atol=1e-5)


def test_spots_outside_the_image() -> None:
    section, red = coloured(8)
    target = np.column_stack([red, ~red]).astype(np.float32)
    section.adata.obsm["spatial"][:4] += 5000.0
    found = drain(predict_expression(section, target, params(transformer_epochs=2), CPU))
    np.testing.assert_allclose(
        found.values[:4], np.tile(found.values[4:].mean(axis=0), (4, 1)), rtol=1e-5
    )
    section.adata.obsm["spatial"][:] += 5000.0
    with pytest.raises(DataError, match="64 of 64 spots lie outside"):
        drain(predict_expression(section, target, params(), CPU))


def test_no_image_no_transformer() -> None:
    section, _ = coloured(8)
    section.image = None
    with pytest.raises(DataError, match="the section has none"):
        run("vimst", section, image_encoder="transformer", use_image="yes", n_domains=2)


def test_coarse_images_are_left_out_unless_asked_for() -> None:
    section, _ = coloured(10)
    values = {"epochs": 2, "replicates": 1, "threads": 1, "n_domains": 2, "baselines": False}
    result = run("vimst", section, patch_size=1.0, **values)  # 10 pixels
    assert not result.views
    assert any("10 pixels across a patch" in note for note in result.record["notes"])
    assert run("vimst", section, patch_size=1.0, use_image="yes", **values).views
    assert run("vimst", section, patch_size=2.0, **values).views
