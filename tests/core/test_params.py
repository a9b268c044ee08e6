import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_stmask.core.errors import ParameterError
from napari_stmask.core.params import describe
from napari_stmask.core.provenance import as_command, as_python
from napari_stmask.models import available, params_of

METHODS = available()


@pytest.mark.parametrize("method", METHODS)
def test_every_field_is_described(method: str) -> None:
    fields = describe(params_of(method))
    assert len({f.title for f in fields}) == len(fields)
    for field in fields:
        assert field.description.endswith("."), field.name
        assert len(field.title) < 32
        if field.kind in ("int", "float"):
            assert field.minimum is not None, field.name
            assert field.maximum is not None, field.name
            if field.default is None:
                assert field.optional, field.name
            else:
                assert field.minimum <= field.default <= field.maximum
        if field.kind == "choice":
            assert field.default in field.choices


@pytest.mark.parametrize("method", METHODS)
def test_presets_are_valid_and_round_trip(method: str) -> None:
    model = params_of(method)
    for name in model.PRESETS:
        preset = model.preset(name)
        assert model.model_validate_json(preset.model_dump_json()) == preset
    for platform in ("visium", "visium_hd", "stereoseq", "st", "imaging", "unknown"):
        assert model.preset("recommended", platform) == model.preset(
            model.PLATFORM_PRESET[platform]
        )


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"n_domain": 3}, "no parameter 'n_domain'"),
        ({"n_domains": 0}, "from 1 to 100"),
        ({"n_domains": "seven"}, "n_domains = 'seven'"),
        ({"clustering": "dbscan"}, "mixture, kmeans, leiden"),
        ({"learning_rate": 0}, "from 1e-06 to 0.1"),
    ],
)
def test_mistakes_are_named(values: dict, words: str) -> None:
    with pytest.raises(ParameterError, match=words):
        params_of("spamask").checked(**values)


def test_unknown_names() -> None:
    with pytest.raises(ParameterError, match="no preset 'fast'"):
        params_of("spamask").preset("fast")
    with pytest.raises(ParameterError, match="no method 'stagate'"):
        params_of("stagate")


def test_parameters_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        params_of("spamask").preset().n_domains = 3


@given(
    k=st.integers(1, 100), smooth=st.booleans(), rate=st.floats(0, 0.9), name=st.text(max_size=9)
)
def test_python_and_command_say_every_change(k: int, smooth: bool, rate: float, name: str) -> None:
    params = params_of("spamask").preset(
        "st", n_domains=k, smooth_labels=smooth, node_mask_rate=rate
    )
    script = as_python("spamask", name or None, params)
    seen = {}

    class Fake:
        @staticmethod
        def read(path):
            return path

        @staticmethod
        def run(method, section, *, preset, **values):
            seen.update(values, method=method, section=section, preset=preset)

    code = script.replace("import napari_stmask as stm\n", "")
    exec(compile(code, "script", "exec"), {"stm": Fake})
    method, preset = seen.pop("method"), seen.pop("preset")
    assert (method, preset) == ("spamask", "defaults")
    assert seen.pop("section") == (name or ...)
    assert params_of("spamask").preset("defaults", **seen) == params
    assert as_command("spamask", name or None, params).startswith("napari-stmask run spamask")


def test_schema_snapshot() -> None:
    """Names and defaults of public parameters change deliberately or not at all."""
    names = list(json.loads(params_of("spamask")().model_dump_json()))
    assert names[:7] == [
        "n_domains", "auto_domains", "clustering", "smooth_labels", "seed", "n_pcs_out", "device",
    ]  # fmt: skip
    assert {"neighbours", "epochs", "denoise", "replicates", "mask_mode", "link_weight"} <= set(
        names
    )


def test_recipes_repeat_the_reading() -> None:
    params = params_of("spamask").preset("stereoseq")
    reading = {"bin": "cell", "mask": "m a.tif", "filtered": False, "columns": {"x": "a b"}}
    script = as_python("spamask", "c.gem", params, reading=reading)
    assert "stm.read('c.gem', bin='cell', mask='m a.tif', filtered=False, columns={" in script
    command = as_command("spamask", "c.gem", params, reading=reading)
    assert "--bin cell --mask 'm a.tif' --no-filtered --column 'x=a b'" in command
