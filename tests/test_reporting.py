"""The HTML report: complete, self-contained, true to what the section holds."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import adjusted_rand_score
from tests.helpers import banded

import napari_stmask as stm
from napari_stmask.core.errors import OutputError, ParameterError
from napari_stmask.core.section import Section
from napari_stmask.viz.curves import curves_figure


@pytest.fixture(scope="module")
def done() -> Section:
    section, band = banded(20, 20, genes=120)
    section.adata.obs["layer"] = pd.Categorical([f"L{b}" for b in band])
    stm.run(
        "spamask", section, n_domains=4, epochs=6, replicates=1, hidden=8, latent=4, n_pcs_in=5,
        threads=1, device="cpu", n_pcs_out=5,
    )  # fmt: skip
    stm.recluster(section, "spamask", n_domains=3)
    return section


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [str(v) for k, v in attrs if k in ("src", "href")]
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_is_one_whole_file_that_loads_nothing(done, tmp_path) -> None:
    path = stm.report(done, tmp_path / "r.html")
    text = path.read_text(encoding="utf-8")
    page = _Links()
    page.feed(text)
    assert not page.open
    assert page.found
    assert all(link.startswith("data:image/") for link in page.found)
    assert "url(" not in text
    pictures = [base64.b64decode(x.split(",", 1)[1]) for x in page.found if "png" in x]
    assert len(pictures) == 2
    assert all(p.startswith(b"\x89PNG") for p in pictures)


def test_says_what_the_section_holds(done, tmp_path) -> None:
    text = stm.report(done, tmp_path / "r.html").read_text(encoding="utf-8")
    obs = done.adata.obs
    for name, count in obs["spamask"].value_counts().items():
        assert re.search(rf"<td>{name}</td><td class=\"n\">{count:,}</td>", text)
    ari = adjusted_rand_score(obs["spamask"], obs["layer"])
    assert f"{ari:.3f}" in text
    for word in ("Hidden", "SHA-256", "stm.recluster(section, &#39;spamask&#39;"):
        assert word in text
    assert 'class="changed">6<' in text
    assert "Loss curves of spamask" in text


def test_names_of_the_user_are_text_not_markup(tmp_path) -> None:
    section, _ = banded(10, 10, genes=60)
    stm.run(
        "spamask", section, n_domains=2, epochs=2, replicates=1, hidden=8, latent=4, n_pcs_in=5,
        threads=1, device="cpu", n_pcs_out=5,
    )  # fmt: skip
    obs = section.adata.obs
    obs["spamask"] = obs["spamask"].cat.rename_categories({"1": "<script>alert(1)</script>"})
    text = stm.report(section, tmp_path / "r.html").read_text(encoding="utf-8")
    assert "<script>" not in text
    assert "&lt;script&gt;" in text


def test_chosen_runs_only(done, tmp_path) -> None:
    text = stm.report(done, tmp_path / "r.html", keys=["spamask_k3"]).read_text(encoding="utf-8")
    assert 'id="spamask_k3"' in text
    assert 'id="spamask"' not in text


@pytest.mark.parametrize(
    ("keys", "name", "error", "message"),
    [
        (["nothing"], "r.html", ParameterError, "no run 'nothing'"),
        (None, "r.pdf", OutputError, "suffix"),
        (None, "missing/r.html", OutputError, "missing"),
    ],
)
def test_bad_questions(done, tmp_path, keys, name, error, message) -> None:
    with pytest.raises(error, match=message):
        stm.report(done, tmp_path / name, keys=keys)
    assert not list(tmp_path.rglob("r.*"))


def test_nothing_to_tell(tmp_path) -> None:
    section, _ = banded(5, 10, genes=60)
    with pytest.raises(ParameterError, match="run a method first"):
        stm.report(section, tmp_path / "r.html")


def test_command(done, tmp_path, call) -> None:
    stm.write(done, tmp_path / "done.h5ad")
    code, out, _ = call("report", tmp_path / "done.h5ad", "--out", tmp_path / "r.html")
    assert code == 0
    assert "written to" in out
    assert "SpaMask" in (tmp_path / "r.html").read_text(encoding="utf-8")


def test_curves_draw_every_term() -> None:
    figure = curves_figure({"a": [3.0, 2.0, 1.0], "b": [1.0, 0.5], "empty": []})
    drawn = {axes.get_title(): axes.lines[0].get_ydata() for axes in figure.axes}
    assert set(drawn) == {"a", "b"}
    np.testing.assert_array_equal(drawn["a"], [3, 2, 1])


def test_networks_of_a_run_share_the_field_of_a_term() -> None:
    figure = curves_figure({"a": [3.0, 2.0], "b (x)": [1.0], "a (2)": [4.0, 1.0], "a (12)": [5.0]})
    drawn = {
        axes.get_title(): [line.get_ydata().tolist() for line in axes.lines] for axes in figure.axes
    }
    assert drawn == {"a": [[3, 2], [4, 1], [5]], "b (x)": [[1]]}
