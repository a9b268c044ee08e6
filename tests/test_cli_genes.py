"""``napari-stmask genes``: every question on a small run, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from tests.models.spacex_helpers import settings, striped

import napari_stmask as stm
from napari_stmask import cli_genes
from napari_stmask.cli import read_one
from napari_stmask.core.section import Section
from napari_stmask.gui.genes.values import coverage_facts
from napari_stmask.pipeline import as_section

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every file of this module is read by a process of its own: once is enough."""
    monkeypatch.setattr(cli_genes, "read_one", _read)


@cache
def _kept(path: Path, changed: int) -> Section:
    return read_one(path, {})


def _read(path: Path, reading: dict[str, Any]) -> Section:
    assert not any(reading[name] for name in reading if name != "filtered")
    return _kept(path, path.stat().st_mtime_ns)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with a run, and regions in obs."""
    section = striped()
    stm.run("spacex", section, params=settings())
    x = section.coords[:, 0]
    side = np.where(x < 0.4 * x.max(), "left", "other").astype(object)
    side[x > 0.9 * x.max()] = None
    section.adata.obs["side"] = pd.Categorical(side)
    path = tmp_path_factory.mktemp("genes") / "run.h5ad"
    stm.write(section, path)
    return path


def answer(call: Call, *arguments: object) -> dict:
    code, out, error = call("genes", *arguments, "--json")
    assert code == 0, error
    return json.loads(out)


def refusal(call: Call, *arguments: object) -> str:
    code, out, error = call("genes", *arguments)
    assert code == 2
    assert out == ""
    assert "Traceback" not in error
    return error


def test_modules(call: Call, run: Path, tmp_path: Path) -> None:
    atlas = stm.genes_of(read_one(run, {}))
    table = tmp_path / "modules.csv"
    found = answer(call, "modules", run, "--out", table)
    assert [row["module"] for row in found["modules"]] == list(atlas.modules)
    assert len(pd.read_csv(table)) == len(atlas.modules)
    genes = answer(call, "modules", run, "--members")["genes"]
    assert {row["gene"] for row in genes} == set(atlas.genes)


def test_svgs_are_scored_again(call: Call, run: Path) -> None:
    found = answer(call, "svgs", run, "--draws", 8, "--null", "zinb")
    table = pd.DataFrame(found["svgs"])
    assert list(table["rank"]) == list(range(1, len(table) + 1))
    # Genes with a pattern come first: 32 of 48.
    first = table["gene"].head(20).str.removeprefix("GENE").astype(int)
    assert (first < 32).mean() > 0.9
    assert found["significant"] == (table["q"] < 0.05).sum()


def test_partners_and_family(call: Call, run: Path) -> None:
    partners = answer(call, "partners", run, "--gene", "GENE000", "--k", 3)["partners"]
    assert len(partners) == 3
    family = answer(call, "family", run, "--genes", "GENE000, GENE001,GENE004")
    assert sorted(row["gene"] for row in family["family"]) == ["GENE000", "GENE001", "GENE004"]
    assert np.shape(family["linkage"]) == (2, 4)


def test_network_has_hubs_of_every_module(call: Call, run: Path) -> None:
    found = answer(call, "network", run, "--k", 5, "--q", 0.2, "--draws", 4, "--hubs", 1)
    assert {"gene_a", "gene_b", "similarity", "p", "q"} <= set(found["edges"][0])
    modules = stm.genes_of(cli_genes.read_one(run, {})).modules
    assert {row["module"] for row in found["hubs"]} <= set(modules)


def test_a_run_does_not_differ_from_itself(call: Call, run: Path) -> None:
    found = answer(call, "compare", run, "--other", run)
    assert (found["n_changed"], found["pairs"]) == (0, [])
    rewired = answer(call, "compare", run, "--other", run, "--rewired")["genes"]
    assert max(row["rewiring"] for row in rewired) == 0


def test_enrichment_finds_the_pattern(call: Call, run: Path, tmp_path: Path) -> None:
    atlas = stm.genes_of(cli_genes.read_one(run, {}))
    sets = tmp_path / "sets.gmt"
    sets.write_text("own\tx\t" + "\t".join(atlas.members("1")) + "\n", encoding="utf-8")
    best = answer(call, "enrichment", run, "--gene-sets", sets)["sets"][0]
    assert (best["module"], best["set"]) == ("1", "own")
    assert best["q"] < 0.01


def test_query_finds_genes_of_the_region(call: Call, run: Path) -> None:
    found = answer(call, "query", run, "--regions", "side", "--level", "left=10")["genes"]
    first = [int(row["gene"].removeprefix("GENE")) for row in found[:5]]
    assert all(gene % 4 == 0 and gene < 32 for gene in first)


def test_coverage_writes_a_section_of_its_own(call: Call, run: Path, tmp_path: Path) -> None:
    target = striped(seed=1)
    target.adata = target.adata[:, :36].copy()
    panel, written = tmp_path / "panel.h5ad", tmp_path / "imputed.h5ad"
    stm.write(target, panel)
    found = answer(call, "coverage", run, "--target", panel, "--write", written)
    names = {row["gene"] for row in found["imputed"]}
    assert names == {f"GENE{i:03d}" for i in range(36, 48)}
    made = ad.read_h5ad(written)
    assert set(made.var_names[made.var["imputed"]]) == names
    assert np.isfinite(made.var.loc[sorted(names), "imputation_confidence"]).all()
    assert ad.read_h5ad(panel).n_vars == 36
    # The window knows it for a section with imputed genes.
    facts = coverage_facts(as_section(made))
    assert facts is not None
    assert (facts["imputed"], facts["shared"], facts["engine"]) == (12, 36, "ridge")


def test_a_human_reads_lines(call: Call, run: Path) -> None:
    code, out, _ = call("genes", "modules", run)
    assert code == 0
    assert "48 genes in" in out


def test_mistakes_cost_one_sentence(call: Call, run: Path, tmp_path: Path) -> None:
    assert "GENE999" in refusal(call, "partners", run, "--gene", "GENE999")
    assert "no gene modules of a run 'mine'" in refusal(call, "modules", run, "--key", "mine")
    assert "no column 'region'" in refusal(
        call, "query", run, "--regions", "region", "--level", "a=5"
    )
    assert "has no 'right'" in refusal(
        call, "query", run, "--regions", "side", "--level", "right=5"
    )
    for level in ("left=0", "left=101", "left=nan"):
        assert "percentage above 0" in refusal(
            call, "query", run, "--regions", "side", "--level", level
        )
    twice = ("--level", "left=5", "--level", "left=9")
    assert "twice" in refusal(call, "query", run, "--regions", "side", *twice)
    missing = refusal(call, "query", run, "--regions", "side", "--level", "nan=5")
    assert "use one of: left, other." in missing
    for level in ("left", "left=much", "=5"):
        assert "NAME=PERCENT" in refusal(call, "query", run, "--regions", "side", "--level", level)
    assert ".csv" in refusal(call, "modules", run, "--out", tmp_path / "modules.txt")
    assert ".h5ad" in refusal(call, "coverage", run, "--target", run, "--write", tmp_path / "x.csv")
    empty = tmp_path / "plain.h5ad"
    stm.write(striped(), empty)
    assert "run SpaCEX" in refusal(call, "modules", empty)
