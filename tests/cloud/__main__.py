"""`make test-cloud`: the real CDK CLI deploys the default app to an emulated AWS, whose functions the built
images answer, and real clients talk to it. The last line is one JSON document.

Needs Linux, a Docker Engine with buildx (or root on Debian, where one is unpacked), and the right to make a
mount namespace (root, or user namespaces).
"""

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.cloud import dropped, leftovers, roles, scenes
from tests.cloud.deployment import DeployError, Deployment, synthesize
from tests.cloud.emulator import EmulatorError, emulated_aws
from tests.cloud.registry import Registry
from tests.cloud.serving import Serving, serving
from tests.cloud.stage import Stage, staged
from tests.image.debian import NoMirrorError
from tests.image.engine import Docker, EngineError, container_engine
from tools.admittance import Unproven
from tools.cdk import REPOSITORY, CliError

SMOKE_S = 300


class Proof:
    """What was seen, and how long it took."""

    def __init__(self) -> None:
        self.document: dict[str, Any] = {"proven": {}, "seconds": {}}
        self._began = self._last = time.monotonic()

    def add(self, name: str, seen: Any = True) -> None:
        now = time.monotonic()
        self.document["proven"][name] = seen
        self.document["seconds"][name] = round(now - self._last, 1)
        print(f"{now - self._began:6.0f} s  {name}", file=sys.stderr, flush=True)
        self._last = now

    def whole(self) -> str:
        self.document["seconds"]["all"] = round(time.monotonic() - self._began, 1)
        return json.dumps(self.document, ensure_ascii=False)


def prove(docker: Docker, servers: Serving, scratch: Path) -> Proof:
    """Raises AssertionError, Unproven, and what deploying and the engine raise."""
    proof = Proof()
    assembly = synthesize(scratch)
    proof.add("synth", {"resources": len(assembly.template["Resources"])})
    with emulated_aws(scratch, assembly.cli_layer) as aws:
        registry = Registry(aws)
        deployment = Deployment(aws, assembly, scratch, servers.serve(registry.answer))
        deployment.bootstrap()
        proof.add("bootstrap")
        print(deployment.deploy(), flush=True)
        proof.add("deploy", {"outputs": deployment.outputs, "images": registry_calls(deployment)})
        proof.document["asserted on the template"] = dropped.asserted(deployment)
        proof.document["needs an account"] = dropped.NEEDS_AN_ACCOUNT
        aws.start(enforcing=True)
        proof.add("roles", roles.judged(deployment))
        try:
            with staged(docker, deployment, servers) as stage:
                proof.add("images behind the functions")
                proof.add("function URL refuses who isn't CloudFront", direct_call(deployment))
                proof.add("page", page(stage))
                proof.add("smoke", smoke(stage))
                for scene in scenes.SCENES:
                    proof.add(scene, scenes.play(stage, scene))
                need_quiet(stage)
        except Exception:
            print(aws.log[-4000:], file=sys.stderr)
            raise
        aws.start(enforcing=False)  # under enforcement CDK's own roles don't get far in MiniStack
        proof.add("make logs", deployment.logs().splitlines())
        registry.fill(deployment.pushed())
        said = deployment.destroy()
        left = leftovers.resources(aws)
        assert not left, f"left behind: {left}\n{said}"
        proof.add("destroy leaves nothing but CDK's own toolkit", said.splitlines()[-2])
    return proof


def registry_calls(deployment: Deployment) -> dict[str, dict[str, str]]:
    """How the CLI has each image built, for which platform, and that it pushes it."""
    calls = deployment.docker_calls()
    built = {}
    for tag, source in deployment.assembly.images.items():
        (build,) = [call for call in calls if call[0] == "build" and f"cdkasset-{tag}" in call]
        options = dict(zip(build[1:-1:2], build[2:-1:2], strict=True))
        assert options["--platform"] == "linux/arm64", build
        assert options["--target"] == source["dockerBuildTarget"], build
        assert ("--build-context" in options) == (options["--target"] == "model"), build
        assert any(call[0] == "push" and call[1].endswith(tag) for call in calls)
        built[options["--target"]] = {"platform": options["--platform"], "tag": tag}
    return built


def direct_call(deployment: Deployment) -> int:
    """The status that anybody's own request for a ticket gets."""
    host = deployment.outputs["TicketFunctionUrl"].removeprefix("https://").rstrip("/")
    request = urllib.request.Request(f"{deployment.aws.endpoint}/ticket", b"{}", {"Host": host})
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            status = int(answer.status)
    except urllib.error.HTTPError as refusal:
        status = refusal.code
    assert status == 403, f"the function URL answers anybody: {status}"
    return status


def page(stage: Stage) -> dict[str, Any]:
    """What the distribution serves: the page, its configuration, and the headers that guard it."""
    with urllib.request.urlopen(f"{stage.page}/", timeout=20) as answer:
        assert b"<title>" in answer.read()
        headers = {name.lower(): value for name, value in answer.headers.items()}
    with urllib.request.urlopen(f"{stage.page}/config.json", timeout=20) as answer:
        config = json.loads(answer.read())
    outputs = stage.deployment.outputs
    assert config["websocket"] == outputs["WebSocketUrl"]
    assert (config["auth"], config["ticket"], config["models"]) == ("access-code", "ticket", ["demo"])
    policy = headers["content-security-policy"]
    assert outputs["WebSocketUrl"].removesuffix("/prod") in policy
    assert "max-age" in headers["strict-transport-security"]
    return {"config": sorted(config), "content-security-policy": policy}


def smoke(stage: Stage) -> Any:
    """`make smoke`, as a user with an account runs it; its last line."""
    command = [sys.executable, "-m", "tools.smoke", stage.websocket, "--page", stage.page]
    done = subprocess.run(
        [*command, "--origin", stage.origin],
        cwd=REPOSITORY,
        env={**os.environ, "CURTAIN_CODE": stage.code},
        stdout=subprocess.PIPE,
        text=True,
        timeout=SMOKE_S,
        check=False,
    )
    print(done.stdout, flush=True)
    if done.returncode:
        raise Unproven(f"make smoke failed; the light function says:\n{stage.light.log[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def need_quiet(stage: Stage) -> None:
    """No invoke of the light function failed, and none of the model's that wasn't meant to; nothing that a
    listener said, and no credential, is in a log."""
    assert not stage.light.failures, stage.light.failures
    log = stage.light.log + stage.model.log
    for secret in (stage.code, "Tell me everything about this place"):
        assert secret not in log, f"a log has {secret!r}"


def main() -> None:
    try:
        with TemporaryDirectory() as scratch, container_engine() as docker, serving() as servers:
            proof = prove(docker, servers, Path(scratch))
    except (EngineError, NoMirrorError, EmulatorError, CliError, DeployError, Unproven) as error:
        sys.exit(f"error: {error}")
    print(proof.whole())


if __name__ == "__main__":
    main()
