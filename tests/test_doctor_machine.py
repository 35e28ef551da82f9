"""The doctor on the machine: Docker, Node, CDK, bundles, licence, disk; and the whole of it."""

import json
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from infra.context import read_options
from infra.doctor import weights
from infra.doctor.__main__ import examine, main
from infra.doctor.finding import Finding, Level
from infra.doctor.tools import CDK_VERSION, cdk, images
from infra.doctor.wanted import Model, Wanted, read_wanted
from lambda_image.engine.bundle.manifest import MANIFEST
from lambda_image.engine.convert.catalog import Entry, load_catalog
from prologue.world import WORLDS
from tests.doctor_house import application, program, stubbed, text
from tests.hub import COMMIT, FakeHub, fake_hub
from tests.image.build import demo_bundle

SECRETS = {
    "HF_TOKEN": "hf_SECRETofTheHub",
    "AWS_ACCESS_KEY_ID": "AKIDTEST",
    "AWS_SECRET_ACCESS_KEY": "SECRETofTheAccount",
    "AWS_SESSION_TOKEN": "SECRETofTheSession",
}
DOCKER = """case "$1 $2" in
"version --format") echo 29.1.0;;
"buildx version") echo github.com/docker/buildx v0.30.0;;
"info --format") echo "$IMAGES";;
*) exit 1;;
esac"""


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is all of the PATH, but for the shell."""
    folder = tmp_path / "bin"
    folder.mkdir()
    os.symlink(str(shutil.which("sh")), folder / "sh")
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.delenv("CDK_DOCKER", raising=False)
    monkeypatch.setenv("IMAGES", str(tmp_path))
    return folder


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeHub]:
    """A hub with one repository, whose licence must be accepted, and nobody's token."""
    source = tmp_path / "checkpoint"
    source.mkdir()
    (source / "config.json").write_text("{}")
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "none"))
    with fake_hub() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        hub.add("maker/model", source, gated=True)
        yield hub


def entry(*, gated: bool = True) -> Entry:
    known = load_catalog().find("llama3.1-8b")
    return known.model_copy(update={"source": "maker/model", "revision": COMMIT, "gated": gated})


def wanted(tmp_path: Path, name: str = "llama3.1-8b") -> Wanted:
    options = read_options({"curtain:models": name, "curtain:bundles": str(tmp_path / "models")})
    known = load_catalog().find(name)
    model = Model(name=name, entry=known, memory_mb=known.memory_mb, bundle=options.bundles / name)
    return Wanted(context={}, options=options, models=(model,))


def levels(found: Iterator[Finding]) -> dict[str, Level]:
    return {finding.about: finding.level for finding in found}


def test_a_machine_without_docker(path: Path) -> None:
    (found,) = images()
    assert found.level is Level.BLOCKS
    assert "docs.docker.com" in found.do


def test_an_engine_that_is_not_running(path: Path) -> None:
    program(path, "docker", "echo 'no daemon at tcp://user:SECRET@host' >&2; exit 1")
    (found,) = images()
    assert found.level is Level.BLOCKS
    assert "doesn't answer" in found.says
    assert "SECRET" not in text(found)


def test_docker_without_buildx(path: Path) -> None:
    program(path, "docker", '[ "$1" = version ] && echo 28.2.2')
    assert levels(images()) == {"Docker": Level.OK, "Docker buildx": Level.BLOCKS}


@pytest.mark.parametrize(
    ("server", "client", "level"),
    [
        ("20.10.24+dfsg1", "20.10.24+dfsg1", Level.BLOCKS),
        ("29.1.0", "20.10.7", Level.BLOCKS),
        ("22.06.0-beta.0", "29.1.0", Level.BLOCKS),
        ("23.0.0", "23.0.0", Level.OK),
        ("5.6.2", "5.6.2", Level.OK),  # podman behind docker's name
    ],
)
def test_docker_is_new_enough(path: Path, server: str, client: str, level: Level) -> None:
    answers = f'case "$3" in *Server*) echo {server};; *Client*) echo {client};; esac'
    program(path, "docker", f'case "$1" in version) {answers};; buildx) echo there;; esac')
    found = next(images())
    assert found.level is level
    assert ("23 or newer" in found.do) == (level is Level.BLOCKS)


def test_docker_with_all_that_is_needed(path: Path) -> None:
    program(path, "docker", DOCKER)
    assert set(levels(images()).values()) == {Level.OK}


def test_another_program_builds_as_cdk_is_told(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CDK_DOCKER", "podman")
    program(path, "podman", DOCKER)
    assert set(levels(images()).values()) == {Level.OK}


def test_the_cdk_comes_with_its_node(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(path, "cdk", "echo '3.0.0 (build 1)'")  # the accident; nobody asks it
    assert (cdk().level, cdk().says[:8]) == (Level.OK, CDK_VERSION)
    monkeypatch.setattr("infra.doctor.tools.find_spec", lambda name: None)
    assert cdk().level is Level.BLOCKS
    assert "requirements.txt" in cdk().do


def test_a_bundle_that_is_not_there(tmp_path: Path) -> None:
    found = weights.bundle(wanted(tmp_path).models[0])
    assert found.level is Level.BLOCKS
    assert found.do == "make model MODEL=llama3.1-8b"


def test_a_bundle_that_is_damaged(tmp_path: Path) -> None:
    model = wanted(tmp_path).models[0]
    model.bundle.mkdir(parents=True)
    (model.bundle / MANIFEST).write_text("{}")
    assert weights.bundle(model).level is Level.BLOCKS


def manifest(size: int) -> Any:
    """What a bundle of that size would say."""
    return SimpleNamespace(files={"weights.bin": SimpleNamespace(size=size)})


@pytest.mark.parametrize(("size", "level"), [(4_700_000_000, Level.OK), (10_400_000_000, Level.BLOCKS)])
def test_the_size_of_a_bundle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, level: Level
) -> None:
    model = wanted(tmp_path).models[0]
    model.bundle.mkdir(parents=True)
    monkeypatch.setattr(weights, "read_manifest", lambda folder: manifest(size))
    assert weights.bundle(model).level is level


def test_a_world_that_has_changed_since_the_bundle_was_packed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = sorted(path.parent.name for path in WORLDS.glob("*/world.yaml"))
    model = replace(wanted(tmp_path, "demo").models[0], bundle=demo_bundle())
    monkeypatch.setattr(weights, "WORLDS", shutil.copytree(WORLDS, tmp_path / "worlds"))
    assert [*weights.worlds(model, names)] == []
    changed = tmp_path / "worlds" / names[0] / "world.yaml"
    text = changed.read_text(encoding="utf-8")
    changed.write_text(re.sub(r"^system: [|>]-?\n +", r"\g<0>It is a Monday. ", text, flags=re.M))
    (found,) = weights.worlds(model, names)
    assert (found.level, found.do) == (Level.TODO, "make model MODEL=demo")
    assert found.says.startswith(f"{names[0]}: new, or changed")
    incomplete = replace(model, bundle=shutil.copytree(model.bundle, tmp_path / "bundle"))
    (incomplete.bundle / "tokenizer.json").unlink()
    (found,) = weights.worlds(incomplete, names)
    assert found.level is Level.BLOCKS
    assert "tokenizer.json" in found.says
    changed.write_text("name: [", encoding="utf-8")
    (found,) = weights.worlds(model, names)
    assert found.level is Level.BLOCKS
    assert str(changed) in found.says


def test_a_licence_without_a_token(hub: FakeHub) -> None:
    found = weights.licence(entry())
    assert found.level is Level.BLOCKS
    assert "huggingface.co/maker/model" in found.do
    assert hub.requests == []  # the catalog knows already


@pytest.mark.parametrize(("consent", "level"), [(True, Level.OK), (False, Level.BLOCKS)])
def test_a_licence_with_a_token(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch, consent: bool, level: Level
) -> None:
    monkeypatch.setenv("HF_TOKEN", SECRETS["HF_TOKEN"])
    hub.tokens[SECRETS["HF_TOKEN"]] = consent
    found = weights.licence(entry())
    assert found.level is level
    assert hub.fetched() == ["config.json"]
    assert SECRETS["HF_TOKEN"] not in text(found)


def test_a_token_that_the_hub_does_not_know(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_another")
    assert weights.licence(entry()).level is Level.BLOCKS


def test_an_open_model_needs_no_token(hub: FakeHub) -> None:
    hub.repositories["maker/model"].gated = False
    assert weights.licence(entry(gated=False)).level is Level.OK


def test_a_hub_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("HF_TOKEN", SECRETS["HF_TOKEN"])
    found = weights.licence(entry())
    assert found.level is Level.TODO
    assert SECRETS["HF_TOKEN"] not in text(found)


@pytest.mark.parametrize("token", ["hf_SECRET\x01SECRET", "hf_SECRET…SECRET"])
def test_a_token_that_no_header_takes(hub: FakeHub, monkeypatch: pytest.MonkeyPatch, token: str) -> None:
    monkeypatch.setenv("HF_TOKEN", token)
    found = weights.licence(entry())
    assert found.level is not Level.OK
    assert "SECRET" not in text(found)


def test_room_on_the_disk(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(path, "docker", DOCKER)
    weights_gb, parameters = 4_530_999_296, 8_030_261_248
    # The checkpoint, the bundle, and twice the two images: with weights and without.
    needed = 2 * parameters + weights_gb + 2 * (weights_gb + 2 * 450_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda place: SimpleNamespace(free=needed))
    assert weights.disk(wanted(tmp_path)).level is Level.OK
    monkeypatch.setattr(shutil, "disk_usage", lambda place: SimpleNamespace(free=needed - 1))
    found = weights.disk(wanted(tmp_path))
    assert found.level is Level.BLOCKS
    assert "31.5 GB are needed" in found.says


def test_weights_in_s3_need_no_room_in_an_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = tmp_path / "large"
    bundle.mkdir()
    (bundle / "weights.bin").write_bytes(bytes(2000))
    (bundle / "embedding.bin").write_bytes(bytes(300))
    large = SimpleNamespace(files={"weights.bin": SimpleNamespace(size=11 << 30)})
    monkeypatch.setattr(weights, "read_manifest", lambda folder: large)
    own = Model(name="large", entry=None, memory_mb=10_240, bundle=bundle)
    assert weights.bundle(own).level is Level.BLOCKS
    streamed = replace(own, streamed=True)
    assert weights.bundle(streamed).level is Level.OK
    assert (own.streamed_bytes, streamed.streamed_bytes, streamed.weights_bytes) == (0, 2000, 2300)


def test_images_in_a_machine_of_their_own(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(path, "docker", DOCKER)
    monkeypatch.setenv("IMAGES", "/var/lib/of-another-machine")
    found = weights.disk(wanted(tmp_path, "demo"))
    assert found.level is Level.TODO
    assert "1.8 GB" in found.do


def test_what_is_wanted_is_what_cdk_json_says(tmp_path: Path) -> None:
    settings = tmp_path / "cdk.json"
    settings.write_text(json.dumps({"context": {"curtain:models": ["demo"], "curtain:memory_mb": 2048}}))
    found = read_wanted({}, settings)
    assert [(model.name, model.memory_mb) for model in found.models] == [("demo", 2048)]
    assert read_wanted({"curtain:memory_mb": "4096"}, settings).memory_mb == 4096


def test_no_finding_prints_a_secret(
    path: Path, hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every service and program refuses, and puts the secrets into its complaint."""
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    spill = " ".join(SECRETS.values())
    for name in ("docker", "node"):
        program(path, name, f"echo '{spill}' >&2; exit 1")
    aws, session = stubbed()
    with session.answering("sts") as sts, session.answering("ssm") as ssm:
        caller = {"Account": "123456789012", "Arn": "arn:aws:iam::123456789012:user/me", "UserId": "1"}
        sts.add_response("get_caller_identity", caller)
        ssm.add_client_error("get_parameter", "Denied", spill)
        with session.answering("lambda") as lambdas, session.answering("service-quotas") as quotas:
            for operation in (
                "list_functions",
                "update_function_configuration",
                *["get_account_settings"] * 2,
            ):
                lambdas.add_client_error(operation, "Denied", spill)
            quotas.add_client_error("list_service_quotas", "Denied", spill)
            found = list(examine(wanted(tmp_path), aws))
    told = "\n".join(map(text, found))
    assert {"AWS credentials", "CDK bootstrap", "Lambda memory", "Docker", "Disk"} <= {f.about for f in found}
    assert not [name for name, value in SECRETS.items() if name != "AWS_ACCESS_KEY_ID" and value in told]


def test_the_command_fails_if_anything_blocks(path: Path, tmp_path: Path) -> None:
    arguments = ["--no-network", "--model", "demo", "-c", f"curtain:bundles={tmp_path}"]
    done = CliRunner().invoke(application(main), arguments)
    assert done.exit_code == 1
    assert "make model MODEL=demo" in done.output
    assert "would stop the deploy" in done.output


def test_the_command_succeeds_if_nothing_blocks(path: Path, tmp_path: Path) -> None:
    program(path, "docker", DOCKER)
    (tmp_path / "demo").symlink_to(demo_bundle())
    arguments = ["--no-network", "--model", "demo", "-c", f"curtain:bundles={tmp_path}"]
    done = CliRunner().invoke(application(main), arguments)
    assert done.exit_code == 0, done.output
    assert "Nothing stops the deploy." in done.output
