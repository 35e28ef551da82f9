"""The deployed roles: a function's containers have the credentials of its role, and MiniStack enforces it."""

import json
from collections.abc import Iterable, Mapping

from botocore.exceptions import ClientError

from tests.cloud.deployment import Deployment
from tests.cloud.emulator import ACCOUNT, REGION, EmulatedAws
from tools.admittance import Unproven

HERE = f"{REGION}:{ACCOUNT}"

Question = tuple[str, str, bool]  # an action, on what, and whether it is allowed


def judged(deployment: Deployment) -> dict[str, int]:
    """Decisions on what each function does, and on what none ever may. Raises Unproven."""
    outputs = deployment.outputs
    table = f"arn:aws:dynamodb:{HERE}:table/{outputs['SessionTable']}"
    model = f"arn:aws:lambda:{HERE}:function:{outputs['ModelFunctions']}"
    light = f"arn:aws:lambda:{HERE}:function:{outputs['PrologueFunction']}"
    api = outputs["WebSocketUrl"].removeprefix("wss://").split(".")[0]
    posts = f"arn:aws:execute-api:{HERE}:{api}/prod/POST/@connections/abc="
    both = [
        ("dynamodb:PutItem", table, True),
        ("dynamodb:UpdateItem", table, True),
        ("execute-api:ManageConnections", posts, True),
        ("dynamodb:Scan", table, False),
        ("dynamodb:DeleteTable", table, False),
        ("dynamodb:GetItem", f"{table}-of-somebody-else", False),
        ("execute-api:ManageConnections", posts.replace("/POST/", "/DELETE/"), False),
        ("s3:ListAllMyBuckets", "*", False),
        ("iam:PassRole", "*", False),
        ("lambda:InvokeFunction", light, False),
    ]
    wanted = {
        outputs["PrologueFunction"]: [*both, ("lambda:InvokeFunction", model, True)],
        outputs["ModelFunctions"]: [*both, ("lambda:InvokeFunction", model, False)],
    }
    _is_enforced(deployment)
    return decided(deployment, wanted)


def decided(deployment: Deployment, wanted: Mapping[str, Iterable[Question]]) -> dict[str, int]:
    """How many decisions of each kind there are, by the deployed policies. Raises Unproven for another one.

    `wanted`: by function.
    """
    functions, iam = (deployment.aws.client(name) for name in ("lambda", "iam"))
    found = {"allowed": 0, "denied": 0}
    for function, questions in wanted.items():
        role = functions.get_function_configuration(FunctionName=function)["Role"]
        for action, resource, expected in questions:
            (decision,) = iam.simulate_principal_policy(
                PolicySourceArn=role, ActionNames=[action], ResourceArns=[resource]
            )["EvaluationResults"]
            if (decision["EvalDecision"] == "allowed") != expected:
                raise Unproven(f"{function}: {action} on {resource} is {decision['EvalDecision']}")
            found["allowed" if expected else "denied"] += 1
    return found


def credentials(aws: EmulatedAws, function: str) -> Mapping[str, str]:
    """What Lambda puts into the function's environment: its role's, for an hour."""
    role = aws.client("lambda").get_function_configuration(FunctionName=function)["Role"]
    made = aws.client("sts").assume_role(RoleArn=role, RoleSessionName=function[:64])["Credentials"]
    return {
        "AWS_ACCESS_KEY_ID": made["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": made["SecretAccessKey"],
        "AWS_SESSION_TOKEN": made["SessionToken"],
    }


def name_the_secret(deployment: Deployment) -> None:
    """A secret's Ref is its ARN on AWS, and only its name in MiniStack: puts the ARN into the policy."""
    aws, name = deployment.aws, deployment.outputs["SecretArn"]
    arn = aws.client("secretsmanager").describe_secret(SecretId=name)["ARN"]
    light = aws.client("lambda").get_function_configuration(
        FunctionName=deployment.outputs["PrologueFunction"]
    )
    role, iam = light["Role"].rpartition("/")[2], aws.client("iam")
    for policy in iam.list_role_policies(RoleName=role)["PolicyNames"]:
        document = json.dumps(iam.get_role_policy(RoleName=role, PolicyName=policy)["PolicyDocument"])
        whole = document.replace(f'"{name}"', f'"{arn}"')
        iam.put_role_policy(RoleName=role, PolicyName=policy, PolicyDocument=whole)


def _is_enforced(deployment: Deployment) -> None:
    """Raises Unproven if the model function, which may never, can invoke itself."""
    own = deployment.outputs["ModelFunctions"]
    functions = deployment.aws.client("lambda", credentials(deployment.aws, own))
    try:
        functions.invoke(FunctionName=own, InvocationType="Event")
    except ClientError as error:
        if error.response["Error"]["Code"] == "AccessDeniedException":
            return
        raise
    raise Unproven("the emulated AWS enforces no roles")
