"""The deployed app with its functions' images behind it, and the addresses under which it is reached here."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from local.tickets import Admission
from tests.cloud.deployment import Deployment
from tests.cloud.edge import Edge
from tests.cloud.emulator import REGION
from tests.cloud.environments import Environments
from tests.cloud.roles import credentials
from tests.cloud.serving import Serving
from tests.image.build import build, native
from tests.image.engine import Docker
from tools.admittance import Door

PROXY = "MINISTACK_LAMBDA_PROXY_URL"  # where MiniStack posts an image function's events
LIGHT = 2  # of its containers: the machine has few cores
INVOKED = "/2015-03-31/functions/function/invocations"


@dataclass(frozen=True)
class Stage:
    """A user would be at `page`'s own name; here it is an address of this machine."""

    deployment: Deployment
    light: Environments
    model: Environments
    edge: Edge
    websocket: str
    page: str
    code: str
    capacity: int

    @property
    def door(self) -> Door:
        ticket = Admission(code=self.code, ticket_url=f"{self.page}/ticket")
        return Door(self.websocket, ticket, self.origin)

    @property
    def origin(self) -> str:
        return self.deployment.outputs["PageUrl"]


@contextmanager
def staged(docker: Docker, deployment: Deployment, servers: Serving) -> Iterator[Stage]:
    """Connects the deployed functions with containers of their images. Raises EngineError."""
    outputs, aws = deployment.outputs, deployment.aws
    api = urlsplit(outputs["WebSocketUrl"])
    assert api.netloc.endswith(f".execute-api.{REGION}.amazonaws.com"), outputs["WebSocketUrl"]
    reached = f"/_aws/execute-api/{api.netloc.split('.')[0]}{api.path}"
    functions = aws.client("lambda")

    def environments(target: str, name: str, most: int) -> Environments:
        deployed = functions.get_function_configuration(FunctionName=name)
        assert deployed["PackageType"] == "Image"
        variables = deployed["Environment"]["Variables"]
        assert variables["CALLBACK_URL"] == f"https://{api.netloc}{api.path}", variables
        container = Environments(
            docker,
            build(docker, target, native()),
            variables={
                **variables,
                **aws.variables,
                **credentials(aws, name),
                "AWS_LAMBDA_FUNCTION_NAME": name,
                "CALLBACK_URL": f"{aws.endpoint}{reached}",
            },
            memory_mb=deployed["MemorySize"],
            most=most,
        )
        address = servers.serve(container.answer) + INVOKED
        functions.update_function_configuration(
            FunctionName=name, Environment={"Variables": {**variables, PROXY: address}}
        )
        return container

    light = environments("prologue", outputs["PrologueFunction"], LIGHT)
    capacity = int(_variables(functions, outputs["PrologueFunction"])["CAPACITY"])
    model = environments("model", outputs["ModelFunctions"], capacity)
    edge = Edge(aws, urlsplit(outputs["PageUrl"]).netloc)
    try:
        yield Stage(
            deployment,
            light,
            model,
            edge,
            websocket=f"ws://{urlsplit(aws.endpoint).netloc}{reached}",
            page=servers.serve(edge.answer),
            code=deployment.access_code(),
            capacity=capacity,
        )
    finally:
        for one in (light, model):
            one.stop()


def _variables(functions: Any, name: str) -> dict[str, str]:
    found: dict[str, str] = functions.get_function_configuration(FunctionName=name)["Environment"][
        "Variables"
    ]
    return found
