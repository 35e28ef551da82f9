"""Synthesizes the stack in this process, over bundles that are nothing but a manifest."""

import json
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import aws_cdk as cdk

from infra.context import PREFIX, read_options
from infra.curtain_stack import CurtainStack
from infra.options import Options

REPOSITORY = Path(__file__).parents[2]
CDK = json.loads((REPOSITORY / "cdk.json").read_text(encoding="utf-8"))["context"]
Resource = dict[str, Any]


@dataclass(frozen=True)
class Synth:
    options: Options
    directory: Path
    template: dict[str, Any]

    def of_type(self, kind: str) -> dict[str, Resource]:
        """Resources by logical id; `kind` as CloudFormation writes it, without AWS::."""
        found: dict[str, Resource] = self.template["Resources"]
        return {name: resource for name, resource in found.items() if resource["Type"] == f"AWS::{kind}"}

    def only(self, kind: str) -> Resource:
        """The properties of the one that there is."""
        (resource,) = self.of_type(kind).values()
        properties: Resource = resource["Properties"]
        return properties

    def images(self) -> dict[str, dict[str, Any]]:
        """How each image is built, by its hash."""
        assets = json.loads((self.directory / "Curtain.assets.json").read_text(encoding="utf-8"))
        return {digest: asset["source"] for digest, asset in assets["dockerImages"].items()}

    def light(self) -> Resource:
        return self._functions(light=True)[0]

    def models(self) -> list[Resource]:
        return self._functions(light=False)

    def _functions(self, *, light: bool) -> list[Resource]:
        found = self.of_type("Lambda::Function").values()
        images = [one["Properties"] for one in found if one["Properties"].get("PackageType") == "Image"]
        return [one for one in images if ("MODELS" in one["Environment"]["Variables"]) == light]


def make_app(folder: Path, options: dict[str, Any]) -> tuple[cdk.App, CurtainStack]:
    """The app as `app.py` makes it, with cdk.json's context and these options over it."""
    context = {**CDK, "curtain:models": ["demo"], "curtain:bundles": str(bundles())}
    context |= {f"{PREFIX}{name}": value for name, value in options.items()}
    app = cdk.App(outdir=str(folder), context=context, analytics_reporting=False)
    return app, CurtainStack(app, "Curtain", options=read_options(context))


def synth(**options: Any) -> Synth:
    """Each combination once in a process."""
    return _synth(json.dumps(options, sort_keys=True))


@cache
def bundles() -> Path:
    """A folder with every bundle that tests name."""
    folder = _scratch() / "bundles"
    for model in ("demo", "smollm2-135m", "llama3.1-8b"):
        (folder / model).mkdir(parents=True)
        (folder / model / "manifest.json").write_text(json.dumps({"name": model}), encoding="utf-8")
    return folder


@cache
def _synth(written: str) -> Synth:
    folder = Path(tempfile.mkdtemp(dir=_scratch()))
    app, stack = make_app(folder, json.loads(written))
    app.synth()
    template = json.loads((folder / "Curtain.template.json").read_text(encoding="utf-8"))
    return Synth(stack.options, folder, template)


@cache
def _scratch() -> Path:
    _KEPT.append(kept := tempfile.TemporaryDirectory(prefix="curtain-synth-"))
    return Path(kept.name)


_KEPT: list[tempfile.TemporaryDirectory[str]] = []
