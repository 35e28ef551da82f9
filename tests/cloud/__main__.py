"""`make test-cloud`: the real CDK CLI deploys the default app to an emulated AWS, whose functions the built
images answer, and real clients talk to it; then the same in every other auth mode and with the weights in S3,
and it is all taken away again. The last line is one JSON document.

Needs Linux, a Docker Engine with buildx (or root on Debian, where one is unpacked), and the right to make a
mount namespace (root, or user namespaces).
"""

import asyncio
import json
import sys
import urllib.error
import urllib.request
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.cloud import commands, doors, dropped, leftovers, modes, roles, scenes
from tests.cloud.deployment import DeployError, Deployment, synthesize
from tests.cloud.emulator import EmulatorError, emulated_aws
from tests.cloud.proof import Proof
from tests.cloud.registry import Registry
from tests.cloud.serving import Serving, serving
from tests.cloud.stage import Stage, images, staged
from tests.image.debian import NoMirrorError
from tests.image.engine import Docker, EngineError, container_engine
from tools.admittance import Unproven
from tools.npm import NpmError


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
        registry.fill(deployment.pushed())
        proof.document["asserted on the template"] = dropped.asserted(deployment)
        proof.document["needs an account"] = dropped.NEEDS_AN_ACCOUNT
        aws.enforce(True)
        proof.add("roles", roles.judged(deployment))
        images(docker, assembly)
        proof.add("images")
        try:
            with staged(docker, deployment, servers) as stage:
                access_code(proof, stage)
            for name, mode in modes.MODES.items():
                proof.add(f"{name}: make deploy", mode.deploy(deployment))
                registry.fill(deployment.pushed())
                for what, seen in mode.played(deployment, partial(staged, docker, deployment, servers)):
                    proof.add(f"{name}: {what}", seen)
        except Exception:
            print(aws.log[-4000:], file=sys.stderr)
            raise
        proof.add("make logs", deployment.logs().splitlines()[-2:])
        said = deployment.destroy()
        left = leftovers.resources(aws)
        if anew := leftovers.made_anew(left, said):
            proof.add("log groups deleted, then made anew by the emulator for a late line", anew)
        assert not left, f"left behind: {left}\n{said}"
        proof.add("destroy leaves nothing but CDK's own toolkit", said.splitlines()[-2])
    return proof


def access_code(proof: Proof, stage: Stage) -> None:
    """The default: whoever has the code may talk. Everything else is proven in this house, too."""
    spare = asyncio.run(stage.door.spare())
    proof.add("function URL refuses who isn't CloudFront", direct_call(stage.deployment))
    proof.add("page", page(stage))
    proof.add("refused", doors.refused(stage))
    proof.add("make chat", commands.chat(stage).splitlines())
    proof.add("smoke", commands.smoke(stage))
    for name, scene in scenes.SCENES.items():
        proof.add(name, scenes.play(stage, scene))
    proof.add("one address guesses the code", doors.guesses(stage))
    with doors.asleep(stage):
        proof.add("refused with a ticket that has expired", asyncio.run(stage.door.outlived(*spare)))
    stage.need_quiet()


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


def main() -> None:
    try:
        with TemporaryDirectory() as scratch, container_engine() as docker, serving() as servers:
            proof = prove(docker, servers, Path(scratch))
    except (EngineError, NoMirrorError, EmulatorError, NpmError, DeployError, Unproven) as error:
        sys.exit(f"error: {error}")
    print(proof.whole())


if __name__ == "__main__":
    main()
