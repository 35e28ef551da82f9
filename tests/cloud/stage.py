"""The deployed app with its functions' images behind it, and the addresses under which it is reached here."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from local.tickets import Admission
from tests.cloud.deployment import Deployment
from tests.cloud.edge import Edge
from tests.cloud.emulator import REGION
from tests.cloud.environments import Environments
from tests.cloud.roles import credentials, name_the_secret
from tests.cloud.serving import Serving
from tests.image.build import Image
from tests.image.engine import Docker
from tools.admittance import Door

PROXY = "MINISTACK_LAMBDA_PROXY_URL"  # where MiniStack posts an image function's events
LIGHT = 2  # of its containers: the machine has few cores
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
    edge: Edge | None = None
    page: str = ""

    @property
    def door(self) -> Door:
        return Door(self.websocket, self.admission, self.origin)

    @property
    def origin(self) -> str | None:
        return self.deployment.outputs.get("PageUrl")


@contextmanager
def staged(
    docker: Docker,
    deployment: Deployment,
    servers: Serving,
    images: Mapping[str, Image],
    *,
    admission: Admission | None = None,
    **settings: str,
) -> Iterator[Stage]:
    """Connects the deployed functions with containers of their images. Raises EngineError.

    Args:
        images: `prologue` and `model`.
        admission: default: with the access code.
        settings: of the light function, in place of deployed ones that lead out of this machine.
    """
    outputs, aws = deployment.outputs, deployment.aws
    api = urlsplit(outputs["WebSocketUrl"])
    assert api.netloc.endswith(f".execute-api.{REGION}.amazonaws.com"), outputs["WebSocketUrl"]
    reached = f"/_aws/execute-api/{api.netloc.split('.')[0]}{api.path}"
    functions = aws.client("lambda")

    def environments(target: str, name: str, most: int, **more: str) -> Environments:
        deployed = functions.get_function_configuration(FunctionName=name)
        assert deployed["PackageType"] == "Image"
        variables = deployed["Environment"]["Variables"]
        assert variables["CALLBACK_URL"] == f"https://{api.netloc}{api.path}", variables
        assert more.keys() <= variables.keys(), variables
        container = Environments(
            docker,
            images[target],
            variables={
                **variables,
                **aws.variables,
                **credentials(aws, name),
                "AWS_LAMBDA_FUNCTION_NAME": name,
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
