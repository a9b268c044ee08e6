"""Sections, gaps, settings, and the run as text."""

from __future__ import annotations

import shlex
from types import SimpleNamespace

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication
from tests.gui.helpers import click
from tests.gui.integrate_helpers import open_three, slice_of, turn

from napari_stmask.core.joint import JointParams
from napari_stmask.features.alignment import given
from napari_stmask.gui.integrate.poses import Chain
from napari_stmask.gui.integrate.recipe import Recipe, as_command, as_python
from napari_stmask.models import params_of


@pytest.fixture
def three(viewer):
    return open_three(viewer)


@pytest.fixture
def dock(three):
    return three[1]


def kind(dock, name):
    dock.sections.kind.setCurrentIndex(dock.sections.kind.findData(name))


def test_choice_order_and_gaps(dock, three, viewer, qtbot):
    items, _ = three
    table = dock.sections.table
    assert "3 sections" in dock.sections.facts.text()
    assert "36 common genes; scale known" in dock.sections.facts.text()
    table.setCurrentCell(0, 0)
    click(qtbot, dock.sections.down)
    assert [item.label for item in dock.items()] == ["b", "a", "c"]
    assert table.currentRow() == 1
    # Only serial sections have gaps, below all but the last.
    assert [table.item(row, 4).text() for row in range(3)] == ["", "", ""]
    kind(dock, "serial")
    assert "top to bottom" in dock.sections.means.text()
    assert [table.item(row, 4).text() for row in range(3)] == ["10", "10", ""]
    assert dock.gaps() is None
    table.item(1, 4).setText("300")
    assert dock.gaps() == [10.0, 300.0]
    dock.sections.spacing.setValue(25)
    assert dock.gaps() == [25.0, 300.0]
    table.item(1, 4).setText("nothing")
    assert dock.gaps() is None
    qtbot.keyClick(table, Qt.Key.Key_Up)
    table.item(0, 0).setCheckState(Qt.CheckState.Unchecked)
    assert [item.label for item in dock.items()] == ["a", "c"]
    assert [table.item(row, 4).text() for row in range(3)] == ["", "25", ""]
    # A section that comes later is ticked, and keeps the order of the others.
    dock.session.add(slice_of("d", seed=5))
    assert [item.label for item in dock.items()] == ["a", "c", "d"]
    del items


def test_what_stands_in_the_way(dock, three, qtbot):
    items, _ = three
    run = dock.run_part
    assert run.run.isEnabled(), run.run.toolTip()
    run.key.setText("1")
    assert "Result name" in run.run.toolTip()
    items[1].section.adata.obs["taken"] = np.arange(items[1].section.n_spots)
    run.key.setText("taken")
    assert run.run.toolTip().startswith("b: Result name")
    run.key.setText("fine")
    assert run.run.isEnabled()
    run.joint.set_values({"links": "quota"})
    assert "no common frame" in run.run.toolTip()
    kind(dock, "serial")
    assert run.run.isEnabled(), run.run.toolTip()
    items[2].section.um_per_px = None
    dock._on_session()
    assert "scale of c is unknown" in run.run.toolTip()
    dock.sections.table.item(2, 0).setCheckState(Qt.CheckState.Unchecked)
    assert run.run.isEnabled(), run.run.toolTip()
    dock.sections.table.item(1, 0).setCheckState(Qt.CheckState.Unchecked)
    assert "Tick two" in run.run.toolTip()
    assert dock.sections.facts.text() == "Tick two or more sections."


def test_settings_that_count(dock):
    form = dock.run_part.joint
    assert form.fields["arrangement"].isHidden()
    assert form.fields["refresh"].isEnabled()
    assert not form.fields["cross_reach"].isEnabled()
    kind(dock, "serial")
    assert form.fields["cross_reach"].isEnabled()
    assert not form.fields["refresh"].isEnabled()
    assert dock.run_part.joint_params().arrangement == "serial"
    dock.align.flip.setChecked(False)
    assert dock.run_part.joint_params().flip == "never"
    for row in range(dock.run_part.methods.count()):
        dock.run_part.methods.setCurrentIndex(row)
        assert dock.run_part.key.text() == dock.run_part.method
    dock.open_tab("Run")


def test_an_estimate(dock, qtbot):
    dock.open_tab("Run")
    qtbot.waitUntil(lambda: dock.run_part.cost.text().startswith("Estimate"), timeout=60_000)


def recipe(**options):
    sections = [slice_of("a"), slice_of("b", turn(10), seed=1)]
    for section in sections:
        section.source, section.reading = f"/data/{section.name}.h5ad", {"image": "none"}
    params = params_of("spamask").checked(n_domains=4)
    joint = options.pop("joint", JointParams(arrangement="serial", spacing_um=25))
    return Recipe("spamask", "joint", sections, ["a", "b"], joint, params, **options)


def run_script(script):
    """What a copied script gives to ``integrate``."""
    found = {}

    def integrate(method, sections, **options):
        found.update(options, method=method, read=sections)
        return SimpleNamespace(sections=[])

    stm = SimpleNamespace(read=lambda path, **o: (path, o), integrate=integrate)
    exec(script.replace("import napari_stmask as stm", ""), {"stm": stm})
    return found


def test_a_script_says_everything():
    asked = recipe(gaps=[300.0], accept_poor=True, poses=[given(np.eye(3)), given(turn(10))])
    found = run_script(as_python(asked))
    assert found["read"][1] == ("/data/b.h5ad", {"name": "b", "image": "none"})
    assert found["method"] == "spamask"
    assert found["key_added"] == "joint"
    assert found["gaps_um"] == [300.0]
    assert found["accept_poor"] is True
    np.testing.assert_allclose(found["transforms"][1], turn(10), atol=1e-6)
    assert found["preset"] == "defaults"
    # What is said is what the settings are.
    from napari_stmask.integration import split_values

    rest = {k: v for k, v in found.items() if k in JointParams.model_fields}
    assert JointParams(**rest) == asked.joint
    assert split_values({"n_domains": found["n_domains"]})[1] == {"n_domains": 4}


def test_a_command_that_the_command_line_takes():
    import click as click_library
    import typer

    from napari_stmask import cli_integrate

    text = as_command(recipe(gaps=[300.0], poses=[given(np.eye(3)), given(turn(10))]))
    assert text.splitlines()[0].startswith("# Save the poses as poses.json")
    words = shlex.split(text.splitlines()[1])
    assert words[:5] == [
        "napari-stmask", "integrate", "spamask", "/data/a.h5ad", "/data/b.h5ad"
    ]  # fmt: skip
    app = typer.Typer()
    cli_integrate.register(app)
    group = typer.main.get_command(app)
    context = click_library.Context(group)
    for word in words[1:3]:
        context = click_library.Context(group, parent=context)
        group = group.get_command(context, word)
    made = group.make_context(words[2], words[3:])
    assert made.params["arrangement"] == "serial"
    assert made.params["spacing_um"] == 25
    assert made.params["gaps_um"] == "300"
    assert made.params["key"] == "joint"


def test_sections_read_in_different_ways_have_no_command():
    asked = recipe()
    asked.sections[1].reading = {"image": "lowres"}
    with pytest.raises(Exception, match="different options"):
        as_command(asked)


def test_copies(dock, three, qtbot):
    items, _ = three
    run = dock.run_part
    dock.open_tab("Run")
    assert not run.python.isEnabled()
    assert "not read from a file" in run.python.toolTip()
    for item in items:
        item.section.source = f"/data/{item.label}.h5ad"
    kind(dock, "serial")
    click(qtbot, run.python)
    script = QApplication.clipboard().text()
    found = run_script(script)
    assert [path for path, _ in found["read"]] == [f"/data/{n}.h5ad" for n in "abc"]
    assert found["arrangement"] == "serial"
    assert "transforms" not in found
    # Poses that a run finds again need not be said; those set by hand must.
    sections = [item.section for item in items]
    dock.align._use(Chain(sections, [given(np.eye(3))] * 3))
    dock.align._show()
    click(qtbot, run.command)
    assert "--transforms poses.json" in QApplication.clipboard().text()


def test_nothing_is_cut_at_420_pixels(dock):
    for title, page in dock.pages.items():
        dock.open_tab(title)
        QApplication.processEvents()
        assert page.minimumSizeHint().width() <= 340, title
    assert dock.tabs.sizeHint().width() <= 400
