"""The app, deployed by the real CDK CLI to the emulated AWS."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from tests.cloud.emulator import EmulatedAws
from tests.image.build import demo_bundle
from tools.cdk import REPOSITORY, cli, environment
from tools.deploy import ASSEMBLY

STACK = "Curtain"
BUNDLES = "bundles"
LIMIT_S = 240  # a custom resource that fails to answer would otherwise be waited for, for an hour
DOCKER = """\
#!/bin/sh
printf '%s\\n' "$*" >>"$(dirname "$0")/docker.log"
[ "$1" != inspect ]
"""


class DeployError(RuntimeError):
    """The CLI failed; the message has its last words."""


def synthesize(scratch: Path) -> "Assembly":
    """`cdk synth` of the default app with the demo model. Raises NpmError, DeployError."""
    bundles = scratch / BUNDLES
    bundles.mkdir()
    (bundles / "demo").symlink_to(demo_bundle())
    made = Assembly(scratch / "assembly")
    _cdk("synth", "--quiet", "--output", str(made.folder), *_context(scratch), "--lookups=false")
    return made


def _context(scratch: Path, **options: str) -> list[str]:
    """The demo model's, and these."""
    given = {"models": "demo", "bundles": str(scratch / BUNDLES), **options}
    return [part for option, value in given.items() for part in ("-c", f"curtain:{option}={value}")]


@dataclass(frozen=True)
class Assembly:
    folder: Path

    @cached_property
    def template(self) -> dict[str, Any]:
        return self._json(f"{STACK}.template.json")

    @cached_property
    def images(self) -> dict[str, dict[str, Any]]:
        """How each image is to be built, by its tag."""
        assets = self._json(f"{STACK}.assets.json")["dockerImages"]
        return {tag: asset["source"] for tag, asset in assets.items()}

    @property
    def bucket_tags(self) -> dict[str, list[dict[str, str]]]:
        """Of each bucket that has any, by its logical id."""
        buckets = {
            name: one["Properties"]
            for name, one in self.template["Resources"].items()
            if one["Type"] == "AWS::S3::Bucket"
        }
        return {name: bucket["Tags"] for name, bucket in buckets.items() if "Tags" in bucket}

    @property
    def auth(self) -> str:
        """Its auth mode, as the light function is told of it."""
        functions = [one["Properties"] for one in self.template["Resources"].values()]
        variables = [one.get("Environment", {}).get("Variables", {}) for one in functions]
        (mode,) = {str(some["AUTH_MODE"]) for some in variables if "AUTH_MODE" in some}
        return mode

    @property
    def cli_layer(self) -> Path:
        """The AWS CLI that fills the page's bucket."""
        found = self.template["Resources"].values()
        (layer,) = [one for one in found if one["Type"] == "AWS::Lambda::LayerVersion"]
        return self.folder / f"asset.{layer['Properties']['Content']['S3Key']}"

    def _json(self, name: str) -> dict[str, Any]:
        document: dict[str, Any] = json.loads((self.folder / name).read_text(encoding="utf-8"))
        return document


@dataclass
class Deployment:
    aws: EmulatedAws
    assembly: Assembly
    scratch: Path
    registry: str  # the address of what stands in for ECR
    outputs: dict[str, str] = field(default_factory=dict)
    options: dict[str, str] = field(default_factory=dict)  # as it was last deployed
    _told: int = 0  # of what was pushed

    @property
    def environment(self) -> dict[str, str]:
        docker = self.scratch / "docker"
        docker.write_text(DOCKER, encoding="utf-8")
        docker.chmod(0o755)
        return {**self.aws.variables, "AWS_ENDPOINT_URL_ECR": self.registry, "CDK_DOCKER": str(docker)}

    def bootstrap(self) -> None:
        """As docs/deploy.md and the doctor have it. Raises DeployError."""
        _run([sys.executable, "-m", "tools.cdk", "bootstrap"], self.environment)

    def deploy(self) -> str:
        """What the CLI said, from its outputs on. Raises DeployError."""
        told = self.scratch / "outputs.json"
        said = self._cdk("deploy", STACK, "--require-approval", "never", "--outputs-file", str(told))
        self.outputs = json.loads(told.read_text(encoding="utf-8"))[STACK]
        return said[said.find("Outputs:") :]

    def make_deploy(self, **options: str) -> str:
        """As `make deploy` does it, over what is there; what it said. Raises DeployError."""
        self.aws.enforce(False)  # CDK's own roles don't get far in MiniStack
        command = [sys.executable, "-m", "tools.deploy", "--no-doctor", "--yes"]
        self.options = options
        said = _run([*command, *_context(self.scratch, **options)], self.environment)
        self.assembly = Assembly(ASSEMBLY)
        (stack,) = self.aws.client("cloudformation").describe_stacks(StackName=STACK)["Stacks"]
        self.outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
        return said

    def send_weights(self, s3: str) -> str:
        """As the model function's log says. `s3`: where S3 is. Raises DeployError."""
        command = [sys.executable, "-m", "tools.weights", *_context(self.scratch, **self.options)]
        return _run(command, {**self.environment, "AWS_ENDPOINT_URL_S3": s3})

    def docker_calls(self) -> list[list[str]]:
        """What the CLI asked of Docker, which builds nothing here."""
        lines = (self.scratch / "docker.log").read_text(encoding="utf-8").splitlines()
        return [line.split() for line in lines]

    def pushed(self) -> list[str]:
        """The images that were pushed since this was last asked."""
        pushed = [call[1] for call in self.docker_calls() if call[0] == "push"]
        new, self._told = pushed[self._told :], len(pushed)
        return new

    def destroy(self) -> str:
        """As `make destroy`. Raises DeployError."""
        self.aws.enforce(False)
        self._tag_buckets()
        return _run([sys.executable, "-m", "tools.destroy", "--yes"], self.environment)

    def _tag_buckets(self) -> None:
        """MiniStack drops their tags, and CDK's function empties none that isn't marked for it."""
        stacks, s3 = self.aws.client("cloudformation"), self.aws.client("s3")
        for name, tags in self.assembly.bucket_tags.items():
            (found,) = stacks.describe_stack_resources(StackName=STACK, LogicalResourceId=name)[
                "StackResources"
            ]
            s3.put_bucket_tagging(Bucket=found["PhysicalResourceId"], Tagging={"TagSet": tags})

    def access_code(self) -> str:
        """As `make code` says it, and the very command that the deploy prints."""
        python, *rest = self.outputs["AccessCode"].split()
        assert python == ".venv/bin/python", self.outputs["AccessCode"]
        printed = _run([sys.executable, *rest], self.environment).strip()
        assert printed == _run([sys.executable, "-m", "tools.code"], self.environment).strip()
        return printed

    def logs(self) -> str:
        """As `make logs`, of the last minutes. Containers here don't write there: a line is put in first."""
        logs = self.aws.client("logs")
        for group in ("PrologueLogs", "ModelLogs"):
            names = {"logGroupName": self.outputs[group], "logStreamName": "here"}
            logs.create_log_stream(**names)
            event = {"timestamp": int(time.time() * 1000), "message": f"this is in {group}"}
            logs.put_log_events(**names, logEvents=[event])
        said = _run([sys.executable, "-m", "tools.logs", "--no-follow"], self.environment)
        assert "prologue: this is in PrologueLogs" in said, said
        assert "this is in ModelLogs" in said, said
        return said

    def _cdk(self, *arguments: str) -> str:
        return _cdk(
            *arguments, "--app", str(self.assembly.folder), "--progress", "events", **self.environment
        )


def _cdk(*arguments: str, **more: str) -> str:
    return _run([*cli(), *arguments, "--no-notices", "--no-color"], more)


def _run(command: list[str], more: Mapping[str, str]) -> str:
    """Raises DeployError."""
    try:
        done = subprocess.run(
            command,
            cwd=REPOSITORY,
            env=environment(more),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as late:
        said = (late.stdout or b"")[-3000:]
        raise DeployError(f"{command[2:5]} took more than {LIMIT_S} s; it said:\n{said!r}") from None
    if done.returncode:
        raise DeployError(f"{' '.join(map(os.path.basename, command[:6]))} failed:\n{done.stdout[-3000:]}")
    return done.stdout
