"""SpaCEX: speed against the published form, memory, and modules on spots that were held out.

    python benchmarks/genes.py --speed
    python benchmarks/genes.py --memory [--genes 15000]
    python benchmarks/genes.py --coherence 151673 "her2st A1" [--seeds 0 1 2]

``--speed``: CPU seconds of an epoch of pre-training on one thread, in turn with a network of the
same width written as the release writes it: a second pass over all tokens, tokens put back in
order around a mask token, attention with explicit matrices, and a decoder of every element of the
canvas. At equal tiles of 4 elements, and with the defaults.

``--memory``: generated counts of 10,000 spots, 5 % of them filled, on a canvas of 100 x 100; a
fresh process draws all genes, trains one epoch and encodes them.

``--coherence``: pictures and modules from a random half of the spots; how alike the genes of a
module are on the other half (mean Pearson correlation of their smoothed standardised maps), for
the modules of SpaCEX and of k-means with as many groups on principal components of the same
pictures.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import time
from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch
import torch.nn.functional as F
from anndata import AnnData
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from torch import Tensor, nn

import napari_stmask as stm
from napari_stmask.core.memory import peak_rss_bytes
from napari_stmask.core.progress import drain
from napari_stmask.features.expression import min_cells_for, select_genes
from napari_stmask.features.gene_canvas import gene_canvas
from napari_stmask.features.gene_images import ImageMaker, picture_values
from napari_stmask.features.gene_tiles import Tiles, cut_tiles
from napari_stmask.models import get
from napari_stmask.models.spacex.params import SpaCEXParams, automatic_modules
from napari_stmask.nn.device import cpu_threads
from napari_stmask.nn.gene_autoencoder import (
    Architecture,
    GeneAutoencoder,
    kept_tokens,
    squared_error,
)
from sections import labelled_sections

BATCH, HIDDEN, RATE = 64, 0.3, 1e-3
DECODER = 1024
CPU = torch.device("cpu")

# Speed


class ReleasedBlock(nn.Module):
    """Attention with its matrices, and a perceptron."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.qk, self.v = nn.Linear(width, 32), nn.Linear(width, 16, bias=False)
        self.out = nn.Linear(16, width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 5 * width), nn.GELU(), nn.Linear(5 * width, width)
        )

    def forward(self, t: Tensor) -> Tensor:
        """Tokens in, tokens out."""
        n, length, _ = t.shape
        u = self.norm(t)
        parts = (*self.qk(u).chunk(2, dim=2), self.v(u))
        q, k, v = (x.view(n, length, 4, 4).transpose(1, 2) for x in parts)
        mixed = torch.softmax(q @ k.transpose(2, 3) / 2, dim=3) @ v
        t = t + self.out(mixed.transpose(1, 2).reshape(n, length, 16))
        return t + self.mlp(self.norm(t))


class Released(nn.Module):
    """The autoencoder in the long form of the release; pictures are (n, 1, height, width)."""

    def __init__(self, height: int, width: int, d: int) -> None:
        super().__init__()
        self.size = (height // 4 * 4, width // 4 * 4)
        self.n_tokens = height // 4 * (width // 4)
        self.patch = nn.Conv2d(1, d, 4, 4)
        self.blocks = nn.ModuleList(ReleasedBlock(d) for _ in range(5))
        self.positions, self.decoder_positions = (
            nn.Parameter(torch.zeros(1, self.n_tokens, d)) for _ in range(2)
        )
        self.pool = nn.Parameter(torch.full((self.n_tokens,), 1 / self.n_tokens))
        self.token = nn.Parameter(0.02 * torch.randn(d))
        self.deep = nn.Sequential(
            nn.Linear(d, 128), nn.LayerNorm(128), nn.LeakyReLU(),
            nn.Linear(128, 256), nn.LayerNorm(256), nn.LeakyReLU(), nn.Linear(256, 512),
        )  # fmt: skip
        self.shortcut = nn.Linear(d, 512)
        self.last = nn.Sequential(nn.Linear(512, DECODER), nn.LayerNorm(DECODER), nn.LeakyReLU())
        self.paint = nn.Linear(DECODER, height * width)
        self.shape = (height, width)

    def tiles(self, pictures: Tensor) -> Tensor:
        """(n, n_tokens, 16) elements of each tile."""
        return F.unfold(pictures[:, :, : self.size[0], : self.size[1]], 4, stride=4).mT

    def loss(self, pictures: Tensor, generator: torch.Generator) -> Tensor:
        """Error of the hidden tiles."""
        t = self.patch(pictures).flatten(2).mT + self.positions
        n, length, d = t.shape
        k = math.floor((1 - HIDDEN) * length)
        order = torch.rand((n, length), generator=generator).argsort(dim=1)
        visible = t.gather(1, order[:, :k, None].expand(-1, -1, d))
        whole = t
        for block in self.blocks:
            visible = block(visible)
        # What the release computes in training too, and takes a gene's vector from.
        for block in self.blocks:
            whole = block(whole)
        _ = (self.pool[:, None] * whole).sum(dim=1) / self.pool.sum()
        hidden = self.token.expand(n, length - k, d)
        restored = torch.cat([visible, hidden], dim=1)
        back = order.argsort(dim=1)
        restored = restored.gather(1, back[:, :, None].expand(-1, -1, d)) + self.decoder_positions
        g = restored.mean(dim=1)
        drawn = self.paint(self.last(self.deep(g) + self.shortcut(g)))
        error = (self.tiles(drawn.view(n, 1, *self.shape)) - self.tiles(pictures)).square()
        covered = (back >= k).float()
        return (error.mean(dim=2) * covered).sum() / covered.sum()


def lattice(rows: int, columns: int, spots: float, genes: int, seed: int = 0) -> stm.Section:
    """A Visium-like section: an ellipse on a hexagonal array, sparse counts."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:rows, :columns].reshape(2, -1)
    away = ((y / rows - 0.5) ** 2 + (x / columns - 0.5) ** 2) ** 0.5
    inside = away <= np.quantile(away, spots)
    coords = 100.0 * np.column_stack([x + 0.5 * (y % 2), y * np.sqrt(3) / 2])[inside]
    # Not sp.random, which takes more memory than what is measured.
    n = len(coords) * genes // 20
    places = (rng.integers(0, len(coords), n), rng.integers(0, genes, n))
    counts = sp.csr_matrix((np.ones(n, np.float32), places), shape=(len(coords), genes))
    adata = AnnData(counts)
    adata.obsm["spatial"] = coords
    adata.var_names = [f"gene{i}" for i in range(genes)]
    return stm.Section(adata, name="generated", platform="visium")


def pictures_of(section: stm.Section, tile: int | None) -> tuple[np.ndarray, ImageMaker, Tiles]:
    canvas = gene_canvas(section)
    maker = ImageMaker.of(canvas, sigma=1.0, standardise=True)
    tiles = cut_tiles(canvas.height, canvas.width, canvas.occupied, tile)
    values = picture_values(section, np.arange(section.n_genes))
    return maker.draw(values), maker, tiles


def epoch(opt: torch.optim.Optimizer, x: Tensor, loss) -> float:
    """CPU seconds."""
    start = time.process_time()
    for batch in torch.split(torch.randperm(len(x)), BATCH):
        opt.zero_grad(set_to_none=True)
        loss(x[batch]).backward()
        opt.step()
    return time.process_time() - start


def ours(tiles: Tiles, d: int, *, everything: bool):
    """The optimiser of our network, and its loss."""
    draws = torch.Generator().manual_seed(0)
    net = GeneAutoencoder(tiles, Architecture(token_dim=d), draws)

    def loss(batch: Tensor) -> Tensor:
        drawn, hidden = net(batch, kept_tokens(len(batch), tiles.n_tokens, HIDDEN, draws))
        counted = torch.ones_like(hidden) if everything else hidden
        return squared_error(batch, drawn, counted)

    return torch.optim.Adam(net.parameters(), lr=RATE, fused=True), loss


def speed(genes: int, repeats: int) -> None:
    # 78 x 65 elements, of which about four fifths are tissue.
    section = lattice(78, 64, 0.8, genes)
    pictures, maker, _ = pictures_of(section, 4)
    canvas = maker.canvas
    whole = torch.from_numpy(maker.canvas.image(pictures, fill=0.0))[:, None]
    flat = torch.from_numpy(pictures)
    print(
        f"{genes} genes, {canvas.height} x {canvas.width}, {len(canvas.occupied)} spots; CPU "
        f"seconds of an epoch, the fastest of {repeats}",
        flush=True,
    )
    for d, side, name in ((16, 4, "tile 4, width 16"), (32, 4, "tile 4, width 32"),
                          (32, None, "defaults, width 32")):  # fmt: skip
        tiles = cut_tiles(canvas.height, canvas.width, canvas.occupied, side)
        generator = torch.Generator().manual_seed(0)
        reference = Released(canvas.height, canvas.width, d)
        forms = {
            "ours": (*ours(tiles, d, everything=side is None), flat),
            "released": (
                torch.optim.Adam(reference.parameters(), lr=RATE),
                lambda batch, net=reference, g=generator: net.loss(batch, g),
                whole,
            ),
        }
        best = dict.fromkeys(forms, math.inf)
        with cpu_threads(1):
            for _ in range(repeats):
                for form, (opt, loss, x) in forms.items():
                    best[form] = min(best[form], epoch(opt, x, loss))
        print(
            f"{name:20s} {tiles.n_tokens:4d} tokens: ours {best['ours']:6.2f} s, released "
            f"({reference.n_tokens} tokens) {best['released']:6.2f} s, "
            f"ratio {best['ours'] / best['released']:.3f}",
            flush=True,
        )


# Memory


def memory_child(genes: int) -> None:
    """A whole run with one epoch of each kind; the peak of this process."""
    section = lattice(100, 100, 1.0, genes)
    before = peak_rss_bytes()
    params = SpaCEXParams.checked(
        n_genes=genes, max_side=128, threads=1, epochs_pretrain=1, min_steps=0, epochs_cluster=1,
        svg_draws=3,
    )  # fmt: skip
    spent: dict[str, float] = {}
    steps, start = get("spacex").fit([section], params), time.process_time()
    while True:
        try:
            event = next(steps)
        except StopIteration as stop:
            fit = stop.value
            break
        now = time.process_time()
        spent[event.phase] = spent.get(event.phase, 0.0) + now - start
        start = now
    found = {
        "section": before / 1e9, "peak": peak_rss_bytes() / 1e9, "spots": section.n_spots,
        "genes": fit.details["n_genes"], "modules": fit.details["n_modules"],
        "canvas": " x ".join(map(str, fit.details["canvas"])), "spent": spent,
    }  # fmt: skip
    print(json.dumps(found))


def memory(genes: int) -> None:
    out = subprocess.run(
        [sys.executable, __file__, "--child", "--genes", str(genes)],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    f = json.loads(out.stdout.splitlines()[-1])
    print(
        f"{f['genes']} genes in {f['modules']} modules, {f['spots']} spots, {f['canvas']}: peak "
        f"{f['peak']:.2f} GB (before: {f['section']:.2f}); CPU seconds: "
        + ", ".join(f"{phase} {seconds:.0f}" for phase, seconds in f["spent"].items())
    )


# Coherence on spots that were held out


@dataclass(frozen=True)
class Halves:
    """Pictures of one half of the spots, and unit maps of the other half."""

    shown: stm.Section
    genes: np.ndarray
    maps: np.ndarray


def halves(section: stm.Section, seed: int, n_top: int) -> Halves:
    first = np.random.default_rng(seed).random(section.n_spots) < 0.5
    shown, other = section.bare(first), section.bare(~first)
    least = min_cells_for(shown.n_spots)
    genes = select_genes(shown.counts(), n_top=n_top, min_cells=least)
    maker = ImageMaker.of(gene_canvas(other), sigma=1.5, standardise=True)
    maps = maker.draw(picture_values(other, genes))
    maps = maps - maps.mean(axis=1, keepdims=True)
    size = np.linalg.norm(maps, axis=1, keepdims=True)
    names = section.adata.var_names[genes].to_numpy()
    return Halves(shown, names, maps / np.maximum(size, 1e-9))


def coherence(maps: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Mean over genes, and over modules of two and more, of the correlation within modules."""
    of_gene, of_module = np.zeros(len(labels)), []
    for label in np.unique(labels):
        own = labels == label
        x, n = maps[own], int(own.sum())
        if n < 2:
            continue
        of_gene[own] = (x @ x.sum(axis=0) - np.square(x).sum(axis=1)) / (n - 1)
        of_module.append(of_gene[own].mean())
    return float(of_gene.mean()), float(np.mean(of_module))


def spacex_labels(half: Halves, k: int, seed: int) -> tuple[np.ndarray, float]:
    """(n_genes,) module of each gene, and CPU seconds."""
    columns = half.shown.adata.var_names.get_indexer(half.genes)
    # A picture depends on its gene and on the libraries: leaving the other genes out of the
    # choice is done by keeping these and asking for the fewest others.
    keep = ",".join(half.genes)
    params = SpaCEXParams.preset(
        "recommended", half.shown.platform, n_genes=20, keep_genes=keep, gene_modules=k,
        seed=seed, threads=1, svg_draws=0,
    )  # fmt: skip
    start = time.process_time()
    fit = drain(get("spacex").fit([half.shown], params))
    return np.asarray(fit.var["module"].codes)[columns], time.process_time() - start


def compare(name: str, seeds: list[int], n_top: int) -> pd.DataFrame:
    section, _ = labelled_sections([name])[name]
    rows = []
    for seed in seeds:
        half = halves(section, seed, n_top)
        k = automatic_modules(len(half.genes))
        labels, seconds = spacex_labels(half, k, seed)
        rows.append((name, seed, "SpaCEX", *coherence(half.maps, labels), k, seconds))
        preset = SpaCEXParams.preset("recommended", section.platform)
        canvas = gene_canvas(half.shown, max_side=preset.max_side)
        maker = ImageMaker.of(canvas, sigma=preset.smooth_sigma, standardise=preset.standardise)
        columns = half.shown.adata.var_names.get_indexer(half.genes)
        pictures = maker.draw(picture_values(half.shown, columns))
        for width in (8, 16, 32):
            start = time.process_time()
            scores = PCA(width, random_state=seed).fit_transform(pictures)
            labels = KMeans(k, n_init=10, random_state=seed).fit_predict(scores)
            spent = time.process_time() - start
            rows.append((name, seed, f"PCA {width}", *coherence(half.maps, labels), k, spent))
        print(pd.DataFrame(rows[-4:]).to_string(header=False, index=False), flush=True)
    columns = ["section", "seed", "modules of", "genes", "modules", "K", "CPU s"]
    return pd.DataFrame(rows, columns=columns)


def main() -> None:
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--speed", action="store_true")
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--coherence", nargs="+", metavar="SECTION")
    parser.add_argument("--genes", type=int, help="for --speed (512) and --memory (15,000)")
    parser.add_argument("--repeats", type=int, default=3, help="for --speed")
    parser.add_argument("--top", type=int, default=2000, help="genes, for --coherence")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="for --coherence")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        memory_child(options.genes)
        return
    if options.speed:
        speed(options.genes or 512, options.repeats)
    if options.memory:
        memory(options.genes or 15_000)
    if options.coherence:
        tables = [compare(name, options.seeds, options.top) for name in options.coherence]
        found = pd.concat(tables)
        mean = found.groupby(["section", "modules of"], sort=False)[["genes", "modules", "CPU s"]]
        print(mean.mean().round(4).to_string())


if __name__ == "__main__":
    main()
