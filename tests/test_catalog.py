"""The catalog: what it says of each model, what it refuses, and the table made from it."""

import json
import re
from pathlib import Path

import pytest

from lambda_image.engine.bundle.config import read_config
from lambda_image.engine.convert.catalog import CATALOG, REPOSITORY, CatalogError, load_catalog
from local.options import BadOption, find_model
from tools.models import TARGET, updated

# As the publishers count them (the hub's page of each model); a tied head counts once.
PUBLISHED = {
    "llama3.1-8b": 8_030_261_248,
    "llama3-8b": 8_030_261_248,
    "llama3.2-1b": 1_235_814_400,
    "llama3.2-3b": 3_212_749_824,
    "mistral-7b": 7_241_732_096,
    "codellama-7b": 6_738_546_688,
    "qwen2.5-1.5b": 1_543_714_304,
    "qwen2.5-7b": 7_615_616_512,
    "qwen3-1.7b": 1_720_574_976,
    "qwen3-4b": 4_022_468_096,
    "smollm2-135m": 134_515_008,
    "smollm2-360m": 361_821_120,
    "smollm2-1.7b": 1_711_376_384,
}


def test_shapes_have_the_published_number_of_parameters() -> None:
    models = load_catalog().models
    assert {name: models[name].parameters for name in PUBLISHED} == PUBLISHED
    assert set(models) == {*PUBLISHED, "demo"}


def test_the_demo_model_is_what_lies_in_this_repository() -> None:
    entry = load_catalog().find("demo")
    assert entry.reference == str(REPOSITORY / "models" / "demo")
    assert entry.config.model == read_config(REPOSITORY / "models" / "demo" / "config.json")


def test_every_hub_source_is_pinned_and_fits_into_a_function() -> None:
    catalog = load_catalog()
    assert catalog.cloud_default == "llama3.1-8b"
    assert catalog.local_default == "demo"
    for entry in catalog.models.values():
        assert entry.is_local or re.fullmatch(r"[\w.-]+/[\w.-]+@[0-9a-f]{40}", entry.reference)
        assert entry.bundle_bytes <= 0.6 * entry.parameters
        kv_bytes = entry.context_length * entry.kv_bytes_per_token
        assert (entry.bundle_bytes + kv_bytes) / 2**20 < entry.memory_mb <= 10_240


def test_memory_of_the_8b_model() -> None:
    """4,531 MB of weights, 8,192 tokens of 32 layers x 8 heads x 128 x (key, value) x 2 bytes, a gigabyte."""
    entry = load_catalog().find("llama3.1-8b")
    assert entry.kv_bytes_per_token == 32 * 8 * 128 * 2 * 2
    assert entry.memory_mb == pytest.approx((8_030_261_248 * 0.5645) / 2**20 + 1024 + 1024, abs=64)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("llama3.1", "llama3.1-8b"),
        ("Llama3.1-8B", "llama3.1-8b"),
        ("llama3", "llama3-8b"),
        ("llama3.2-1b", "llama3.2-1b"),
        ("mistral", "mistral-7b"),
        ("codellama", "codellama-7b"),
    ],
)
def test_torchchats_names_are_known(name: str, found: str) -> None:
    assert load_catalog().find(name).name == found


@pytest.mark.parametrize(
    ("name", "near"), [("lama3.1-8b", "llama3.1-8b"), ("qwen3", "qwen3-4b"), ("x", "demo")]
)
def test_an_unknown_name_shows_names_near_it(name: str, near: str) -> None:
    with pytest.raises(CatalogError, match=rf"no model '{name}' in the catalog; .*{near}"):
        load_catalog().find(name)


def changed(tmp_path: Path, old: str, new: str) -> Path:
    text = CATALOG.read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / "models.toml"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('licence = "Llama 3.1 Community"', "licence = ", r"models\.toml: Invalid value \(at line \d+"),
        ('licence = "Llama 3.1 Community"', "", r"models\.llama3\.1-8b\.licence: Field required"),
        ("gated = true", 'gated = "yes"', r"models\.llama3\.1-8b\.gated: .*boolean"),
        ("gated = true", "gated = true\ngates = 2", r"models\.llama3\.1-8b\.gates: Extra"),
        ("0e9e39f249a1", "main-", r"models\.llama3\.1-8b\.revision: .*pattern"),
        ('revision = "0e9e', '#"', r"models\.llama3\.1-8b: .*needs a revision"),
        ("context_length = 8192", "context_length = 200000", r"llama3\.1-8b: .*exceeds the model's own"),
        ("context_length = 8192", "context_length = 120000", r"needs \d+ MB, the largest .* lower context"),
        ("hidden_size = 4096", "hidden_size = 0", r"models\.llama3\.1-8b\.config\.hidden_size: .*greater"),
        ("LlamaForCausalLM", "MambaForCausalLM", r"llama3\.1-8b: .*MambaForCausalLM.* isn't supported"),
        ('rope_type = "llama3"', 'rope_type = "yarn"', r"llama3\.1-8b: .*rope type 'yarn' isn't supported"),
        ('local_default = "demo"', 'local_default = "toy"', r"local_default = 'toy' is none of the models"),
        ('["mistral", ', '["llama3", ', r"'llama3' names two models"),
    ],
)
def test_a_mistake_is_named_with_file_and_key(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = changed(tmp_path, old, new)
    with pytest.raises(CatalogError, match=message) as refused:
        load_catalog(path)
    assert str(refused.value).startswith(f"{path}: ")


def test_a_catalog_that_isnt_there(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match=r"nothing\.toml"):
        load_catalog(tmp_path / "nothing.toml")


def test_config_json_is_what_the_engine_reads(tmp_path: Path) -> None:
    for entry in load_catalog().models.values():
        path = tmp_path / "config.json"
        path.write_text(json.dumps(entry.config.config_json()), encoding="utf-8")
        assert read_config(path) == entry.config.model


def test_the_documented_table_is_up_to_date() -> None:
    text = TARGET.read_text(encoding="utf-8")
    assert updated(text, load_catalog()) == text, "run `make docs`"


def test_the_stage_takes_names_of_the_catalog_and_folders(tmp_path: Path) -> None:
    demo = find_model("demo")
    assert (demo.name, demo.entry) == ("demo", load_catalog().find("demo"))
    hub = find_model("llama3.2-1b-chat")
    assert hub.name == "llama3.2-1b"
    assert hub.source == load_catalog().find("llama3.2-1b").reference
    (tmp_path / "config.json").write_text("{}")
    folder = find_model(str(tmp_path))
    assert (folder.name, folder.source, folder.entry) == (tmp_path.name, str(tmp_path), None)
    with pytest.raises(BadOption, match=r"--model gpt-5: no folder .* known: .*demo"):
        find_model("gpt-5")
