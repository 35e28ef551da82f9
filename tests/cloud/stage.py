"""The deployed app with its functions' images behind it, and the addresses under which it is reached here."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from lambda_image.engine.bundle.manifest import WEIGHTS
from local.tickets import Admission
from tests.cloud.deployment import Assembly, Deployment
from tests.cloud.edge import Edge
from tests.cloud.emulator import REGION
from tests.cloud.environments import Environments
from tests.cloud.roles import credentials, name_the_secret
from tests.cloud.secure import Secure
from tests.cloud.serving import Serving
from tests.image.build import Image, build, native
from tests.image.engine import Docker
from tools.admittance import Door
from tools.smoke import FAQ, SAID

PROXY = "MINISTACK_LAMBDA_PROXY_URL"  # where MiniStack posts an image function's events
LIGHT = 2  # of its containers: the machine has few cores
# Tickets and other tokens; and the keys to stories, as a frame or its model would show them.
SECRET = re.compile(r"eyJ[\w-]{16,}\.[\w-]{16,}|resume_key\W{1,5}\w{8,}")
INVOKED = "/2015-03-31/functions/function/invocations"


@dataclass(frozen=True)
class Stage:
    """A user would be at the page's own name; here it is an address of this machine.

    `admission`: how a listener gets in who may. `edge`, `page`: where the auth mode has a page.
    """

    deployment: Deployment
    light: Environments
    model: Environments
    websocket: str
    admission: Admission
    capacity: int
    secure: str  # where S3 is reached
    edge: Edge | None = None
    page: str = ""

    @property
    def door(self) -> Door:
        return Door(self.websocket, self.admission, self.origin)

    @property
    def origin(self) -> str | None:
        return self.deployment.outputs.get("PageUrl")

    def need_quiet(self) -> None:
        """No invoke of the light function failed; no credential and nothing that a listener said is in a log.

        Raises AssertionError.
        """
        assert not self.light.failures, self.light.failures
        log = self.light.log + self.model.log
        for said in filter(None, (self.admission.code, self.admission.token, FAQ, *SAID)):
            assert said not in log, f"a log has {said!r}"
        assert not (found := SECRET.search(log)), f"a log has {found[0]!r}"


def images(docker: Docker, assembly: Assembly) -> dict[str, Image]:
    """By target, as the CLI would have them made, but for this machine's architecture. Raises EngineError."""
    return {
        source["dockerBuildTarget"]: _image(
            docker,
            assembly.folder / source["directory"],
            source["dockerBuildTarget"],
            source.get("dockerBuildContexts", {}).get("bundle"),
        )
        for source in assembly.images.values()
    }


@cache
def _image(docker: Docker, context: Path, target: str, bundle: str | None) -> Image:
    """The context is what synth has put aside; the tag is a fixed one, lest images pile up."""
    given = Path(bundle) if bundle else None
    kind = "-streamed" if given and not (given / WEIGHTS).exists() else ""
    tag = f"curtain-{target}{kind}:cloud"
    return build(docker, target, native(), context=context, bundle=given, tag=tag)


@contextmanager
def staged(
    docker: Docker,
    deployment: Deployment,
    servers: Serving,
    *,
    admission: Admission | None = None,
    **settings: str,
) -> Iterator[Stage]:
    """Connects the deployed functions with containers of their images. Raises EngineError.

    Args:
        admission: default: with the access code.
        settings: of the light function, in place of deployed ones that lead out of this machine.
    """
    outputs, aws = deployment.outputs, deployment.aws
    api = urlsplit(outputs["WebSocketUrl"])
    assert api.netloc.endswith(f".execute-api.{REGION}.amazonaws.com"), outputs["WebSocketUrl"]
    reached = f"/_aws/execute-api/{api.netloc.split('.')[0]}{api.path}"
    functions = aws.client("lambda")
    built, secure = images(docker, deployment.assembly), servers.serve(Secure(aws).answer)

    def environments(target: str, name: str, most: int, **more: str) -> Environments:
        deployed = functions.get_function_configuration(FunctionName=name)
        assert deployed["PackageType"] == "Image"
        variables = deployed["Environment"]["Variables"]
        assert variables["CALLBACK_URL"] == f"https://{api.netloc}{api.path}", variables
        assert more.keys() <= variables.keys(), variables
        container = Environments(
            docker,
            built[target],
            variables={
                **variables,
                **aws.variables,
                **credentials(aws, name),
                "AWS_LAMBDA_FUNCTION_NAME": name,
                "AWS_ENDPOINT_URL_S3": secure,
                "CALLBACK_URL": f"{aws.endpoint}{reached}",
                **more,
            },
            memory_mb=deployed["MemorySize"],
            most=most,
        )
        address = servers.serve(container.answer) + INVOKED
        functions.update_function_configuration(
            FunctionName=name, Environment={"Variables": {**variables, PROXY: address}}
        )
        return container

    light = environments("prologue", outputs["PrologueFunction"], LIGHT, **settings)
    capacity = int(_variables(functions, outputs["PrologueFunction"])["CAPACITY"])
    model = environments("model", outputs["ModelFunctions"], capacity)
    edge, page = None, ""
    if "PageUrl" in outputs:
        name_the_secret(deployment)
        edge = Edge(aws, urlsplit(outputs["PageUrl"]).netloc)
        page = servers.serve(edge.answer)
        admission = admission or Admission(code=deployment.access_code())
        admission = replace(admission, ticket_url=f"{page}/ticket")
    assert admission is not None
    try:
        yield Stage(
            deployment,
            light,
            model,
            websocket=f"ws://{urlsplit(aws.endpoint).netloc}{reached}",
            admission=admission,
            capacity=capacity,
            secure=secure,
            edge=edge,
            page=page,
        )
    finally:
        for one in (light, model):
            one.stop()


def _variables(functions: Any, name: str) -> dict[str, str]:
    found: dict[str, str] = functions.get_function_configuration(FunctionName=name)["Environment"][
        "Variables"
    ]
    return found
