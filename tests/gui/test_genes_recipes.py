"""What the dock of gene modules copies as text; needs no window."""

from __future__ import annotations

import copy

import pytest
from tests.gui.genes_helpers import check_command, trained

from napari_stmask.gui.genes.known import GeneRun
from napari_stmask.gui.genes.recipe import Recipe, as_command, as_python


@pytest.fixture(scope="module")
def both():
    return trained("a"), trained("b", seed=1)


def stored(section, source, reading=None):
    """A run of no window."""
    section = copy.copy(section)
    section.source, section.reading = source, reading or {}
    return GeneRun("id", section.name, "spacex", section, section.adata.varm["X_spacex"])


def test_recipes_of_a_run_that_is_in_no_file(both):
    run = stored(both[0], "a b.h5ad", {"image": "hires"})
    recipe = Recipe("partners", ["print(genes.partners('G', k=3))"], [("gene", "G"), ("k", 3)])
    script = as_python(run, recipe, unsaved=[run])
    compile(script, "script", "exec")
    assert script.index("stm.read('a b.h5ad', image='hires')") < script.index("stm.run(")
    assert "gene_modules=4" in script
    first, second = as_command(run, recipe, unsaved=[run]).splitlines()
    assert first.startswith("napari-stmask run spacex 'a b.h5ad'")
    assert first.endswith("--out result.h5ad")
    assert second == "napari-stmask genes partners result.h5ad --gene G --k 3 --key spacex"
    command = as_command(run, recipe, unsaved=[])
    assert command == (
        "napari-stmask genes partners 'a b.h5ad' --gene G --k 3 --image hires --key spacex"
    )
    check_command(command)


def test_only_the_run_that_no_file_has_is_made_again(both):
    run, other = stored(both[0], "a.h5ad"), stored(both[1], "b.h5ad")
    recipe = Recipe("compare", ["print(others)"], [], ("other", other.section, other), "--other")
    script = as_python(run, recipe, unsaved=[other])
    assert script.count("stm.run(") == 1
    assert script.index("stm.genes_of(section") < script.index("stm.run(")
    first, second = as_command(run, recipe, unsaved=[other]).splitlines()
    assert first.startswith("napari-stmask run spacex b.h5ad")
    assert second.startswith("napari-stmask genes compare a.h5ad --other other.h5ad")
    first, second = as_command(run, recipe, unsaved=[run]).splitlines()
    assert first.startswith("napari-stmask run spacex a.h5ad")
    assert second.startswith("napari-stmask genes compare result.h5ad --other b.h5ad")


def test_what_was_drawn_is_read_from_the_saved_file(both):
    run = stored(both[0], "a.h5ad", {"image": "hires"})
    recipe = Recipe("query", ["print(drain(genes))"], saved="drawn.h5ad")
    script = as_python(run, recipe, unsaved=[run])
    assert "stm.read('drawn.h5ad')" in script
    # The saved file has the run, a new one would lack the drawing.
    assert "stm.run(" not in script
    assert "a.h5ad" not in script
    note, command = as_command(run, recipe, unsaved=[run]).splitlines()
    assert "Save the section as drawn.h5ad" in note
    assert command == "napari-stmask genes query drawn.h5ad --key spacex"
