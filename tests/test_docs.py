"""The documentation says what the code does: tables, examples, commands and links.

``python tests/test_docs.py`` writes the generated tables anew.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import numpy as np
import pytest
import typer
import yaml

import napari_stmask as stm
from napari_stmask import cli
from napari_stmask.core.params import FieldInfo, Params, describe
from napari_stmask.models import available, params_of, predictors

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
METHOD_PAGES = {
    name: ROOT / "docs" / "methods" / f"{name}.md" for name in (*available(), *predictors())
}
TABLES = ("parameters", "presets")
TABLE_PAGES = METHOD_PAGES | {"integration": ROOT / "docs" / "integration.md"}
_FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```[ \t]*$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_NOT_OURS = {
    "binned_outputs/",
    "segmented_outputs/",
    "square_016um/",
    "spatial/",
    "outs/",
    "stmask-demo/",
}
"""Folders of Space Ranger and of the demo."""
page = pytest.mark.parametrize("path", PAGES, ids=lambda p: str(p.relative_to(ROOT)))


# Tables that are derived from the parameter models


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if value is None:
        return "automatic"
    return f"{value:g}" if isinstance(value, float) else f"{value}"


def _allowed(field: FieldInfo) -> str:
    if field.choices:
        return ", ".join(field.choices)
    if field.kind == "bool":
        return "on, off"
    if field.kind == "text":
        return "text"
    bounds = (field.minimum, field.maximum)
    assert None not in bounds, f"{field.name} has no bounds"
    low, high = (f"{b:,.0f}" if field.kind == "int" else f"{b:g}" for b in bounds)
    return f"{low} to {high}"


def parameter_table(params: type[Params]) -> list[str]:
    """One row per parameter: default, what is allowed, level and meaning."""
    rows = ["| parameter | default | allowed | level | meaning |", "|---|---|---|---|---|"]
    for f in describe(params):
        level = "advanced" if f.advanced else "basic"
        rows.append(
            f"| `{f.name}` | {_shown(f.default)} | {_allowed(f)} | {level} | {f.description} |"
        )
    return rows


def preset_table(params: type[Params]) -> list[str]:
    """One row per parameter that a preset changes, one column per preset."""
    names = list(params.PRESETS)
    rows = [f"| parameter | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    for f in describe(params):
        if any(f.name in changed for changed in params.PRESETS.values()):
            values = (params.PRESETS[n].get(f.name) for n in names)
            cells = ("" if v is None else _shown(v) for v in values)
            rows.append(f"| `{f.name}` | {' | '.join(cells)} |")
    return rows


def _table(kind: str, method: str) -> str:
    make = parameter_table if kind == "parameters" else preset_table
    return "\n".join(make(_params(method)))


def _params(page: str) -> type[Params]:
    """The parameter model that a page has the tables of."""
    return stm.JointParams if page == "integration" else params_of(page)


def _between(kind: str) -> re.Pattern[str]:
    return re.compile(rf"(<!-- {kind}: start -->\n)(.*?)(<!-- {kind}: end -->)", re.DOTALL)


@pytest.mark.parametrize("kind", TABLES)
@pytest.mark.parametrize("method", TABLE_PAGES)
def test_tables_are_those_of_the_code(method: str, kind: str) -> None:
    text = TABLE_PAGES[method].read_text(encoding="utf-8")
    found = _between(kind).search(text)
    assert found, f"{TABLE_PAGES[method]} has no table of {kind}"
    message = f"{kind} of {method} have changed: run python tests/test_docs.py"
    assert found.group(2).strip() == _table(kind, method), message


@pytest.mark.parametrize("method", TABLE_PAGES)
def test_every_parameter_stands_in_the_table_with_default_and_bounds(method: str) -> None:
    """Reads the page as a reader would, not as `parameter_table` writes it."""
    text = TABLE_PAGES[method].read_text(encoding="utf-8")
    found = _between("parameters").search(text)
    assert found
    lines = [line.split("|") for line in found.group(2).splitlines() if line.startswith("| `")]
    rows = {cells[1].strip(" `"): [c.strip() for c in cells] for cells in lines if len(cells) == 7}
    fields = describe(_params(method))
    assert list(rows) == [f.name for f in fields]
    for f in fields:
        default, allowed = rows[f.name][2], rows[f.name][3]
        if f.kind == "bool":
            assert default == ("on" if f.default else "off")
        elif f.kind == "choice":
            assert default == f.default
            assert allowed.split(", ") == list(f.choices)
        elif f.kind == "text":
            assert (default, allowed) == (f.default, "text")
        else:
            low, high = (float(b.replace(",", "")) for b in allowed.split(" to "))
            number = None if default == "automatic" and f.optional else float(default)
            assert (number, low, high) == (f.default, f.minimum, f.maximum)


# Examples


def _blocks(path: Path) -> Iterator[tuple[str, str, int]]:
    """Info string, text and first line number of every fenced block."""
    text = path.read_text(encoding="utf-8")
    for found in _FENCE.finditer(text):
        yield found.group(1).strip(), found.group(2), text.count("\n", 0, found.start()) + 2


def _run_blocks(path: Path) -> dict[str, object]:
    """Execute the ``python`` blocks of a page in order, in one namespace."""
    space: dict[str, object] = {"__name__": path.stem}
    ran = 0
    for info, code, line in _blocks(path):
        if info == "python":
            # Blank lines in front, so that a traceback names the line of the page.
            exec(compile("\n" * (line - 1) + code, str(path), "exec"), space)
            ran += 1
    assert ran, f"{path.name} has no python block"
    return space


def test_examples_of_the_readme(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    section = _run_blocks(ROOT / "README.md")["section"]
    assert section.adata.obs["spamask"].nunique() == 6
    assert np.isfinite(section.adata.obsm["X_spamask"]).all()
    again = stm.read(tmp_path / "sample.h5ad")
    assert again.adata.obs["spamask"].notna().all()
    assert "training 20/20" in capsys.readouterr().out


def test_tutorial(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    space = _run_blocks(ROOT / "docs" / "tutorial.md")
    adata = space["section"].adata
    assert adata.obs["spamask"].nunique() == 6
    assert adata.obs["spamask_confidence"].between(0, 1).all()
    assert adata.obsm["X_spamask"].shape == (adata.n_obs, 2 * 32)
    assert adata.obsp["spamask_graph"].shape == (adata.n_obs, adata.n_obs)
    assert adata.layers["spamask_denoised"].shape == adata.shape
    assert adata.var["spamask_denoised"].any()
    assert len(adata.uns["spamask_colors"]) == 6
    assert set(space["result"].scores) == {"spamask", "pca", "neighbour_pca"}
    assert space["record"]["params"]["epochs"] == 20
    assert space["applied"].domains.n_domains == 6
    for name in ("result.h5ad", "result.csv", "model.safetensors"):
        assert (tmp_path / name).stat().st_size > 0
    out = capsys.readouterr().out
    assert "cancelled at:" in out
    assert "neighbour_pca" in out


def test_blocks_that_do_not_run_are_python_too() -> None:
    for path in PAGES:
        for info, code, line in _blocks(path):
            if info == "python no-run":
                compile("\n" * (line - 1) + code, str(path), "exec")
            else:
                assert info in ("python", "bash", "text", "toml"), f"{path.name}:{line}: {info!r}"


# Commands


@pytest.fixture(scope="module")
def command() -> click.Group:
    group = typer.main.get_command(cli.whole_app())
    assert hasattr(group, "commands")
    return group


def _command_lines(path: Path) -> Iterator[str]:
    """Calls of ``napari-stmask`` in bash blocks and in inline code."""
    text = path.read_text(encoding="utf-8")
    for info, code, _ in _blocks(path):
        if info == "bash":
            yield from (line for line in code.splitlines() if line.startswith("napari-stmask"))
    yield from re.findall(r"`(napari-stmask [^`\n]+)`", _FENCE.sub("", text))


@page
def test_commands_and_their_options_exist(path: Path, command: click.Group) -> None:
    for line in _command_lines(path):
        words = shlex.split(line)[1:]
        now = command
        while words and words[0] in getattr(now, "commands", {}):
            now = now.commands[words.pop(0)]
        if now is command:
            pytest.fail(f"{path.name}: there is no command '{line}'")
        if getattr(now, "commands", None):
            # ``run METHOD``, ``analyse ANALYSIS``: any will do, they share the options that docs
            # name this way
            assert words[0].isupper() or words[0] == "mymethod", f"{path.name}: {line}"
            now = next(iter(now.commands.values()))
        known = {flag for option in now.params for flag in (*option.opts, *option.secondary_opts)}
        unknown = {w for w in words if w.startswith("--")} - known
        assert not unknown, f"{path.name}: '{line}' has no option {unknown}"


@page
def test_options_named_alone_exist(path: Path, command: click.Group) -> None:
    """``--json`` and the like, in inline code of their own."""
    known: set[str] = set()
    waiting: list[click.Command] = [command]
    while waiting:
        now = waiting.pop()
        waiting += getattr(now, "commands", {}).values()
        known |= {flag for option in now.params for flag in (*option.opts, *option.secondary_opts)}
    text = _FENCE.sub("", path.read_text(encoding="utf-8"))
    for call in re.findall(r"`(--[a-z][^`\n]*)`", text):
        flag = call.split()[0]
        assert flag in known, f"{path.name}: no command has the option {flag}"


def test_every_command_is_listed_in_the_readme(command: click.Group) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for name in command.commands:
        assert f"| `napari-stmask {name}" in text, name


def test_output_of_params_in_the_readme(monkeypatch, capsys) -> None:
    blocks = list(_blocks(ROOT / "README.md"))
    shown = next(
        i for i, (_, code, _) in enumerate(blocks) if code.startswith("napari-stmask params")
    )
    monkeypatch.setattr("sys.argv", shlex.split(blocks[shown][1]))
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert not stop.value.code
    printed = capsys.readouterr().out.splitlines()
    assert set(blocks[shown + 1][1].splitlines()) - {"..."} <= set(printed)


# Links and names


def _anchor(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@page
def test_links_resolve(path: Path) -> None:
    for target in _LINK.findall(_FENCE.sub("", path.read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        file = (path.parent / name).resolve() if name else path
        assert file.exists(), f"{path.name} links to {target}"
        assert file.is_relative_to(ROOT), f"{path.name} links out of the project: {target}"
        if anchor:
            headings = re.findall(r"^#+ (.+)$", file.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in map(_anchor, headings), f"{path.name} links to {target}"


@page
def test_public_names_exist(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for name in re.findall(r"\bstm\.([A-Za-z_]\w*)", text):
        assert name in stm.__all__, f"{path.name}: stm.{name}"


@page
def test_files_named_in_code_exist(path: Path) -> None:
    """Paths such as ``io/read.py`` or ``scripts/test.sh`` in inline code."""
    homes = (ROOT, ROOT / "src" / "napari_stmask")
    # The page on the structure also names the two rooms that were renamed.
    planned = {"run.py", "methods/"} if path.name == "architecture.md" else set()
    text = _FENCE.sub("", path.read_text(encoding="utf-8"))
    for name in (
        set(re.findall(r"`((?:[\w-]+/)*[\w-]+\.(?:py|sh|yaml)|(?:[\w-]+/)+)`", text)) - planned
    ):
        ours = any((home / name).exists() for home in homes)
        assert ours or name in _NOT_OURS, f"{path.name}: {name}"


def test_citation_file() -> None:
    data = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert data["cff-version"] == "1.2.0"
    assert {"message", "title", "authors"} <= data.keys()
    dois = {reference["doi"] for reference in data["references"]}
    from napari_stmask.models import get, predictor

    # A method whose paper has none, or could not be found.
    found = {get(n).doi for n in available()} | {predictor(n).doi for n in predictors()}
    assert found - {""} <= dois
    pyproject = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert f'version = "{data["version"]}"' in pyproject


def _rewrite() -> None:
    for method, path in TABLE_PAGES.items():
        text = path.read_text(encoding="utf-8")
        for kind in TABLES:
            table = _table(kind, method)
            text = _between(kind).sub(lambda m, t=table: f"{m[1]}{t}\n{m[3]}", text)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    _rewrite()
