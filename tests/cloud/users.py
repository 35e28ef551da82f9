"""IAM users of the emulated account, who may open connections of one API and nothing else."""

import json
from collections.abc import Mapping

from tests.cloud.emulator import ACCOUNT, REGION, EmulatedAws


def user(aws: EmulatedAws, name: str, api: str) -> Mapping[str, str]:
    """Makes one; returns what the environment of its programs has."""
    iam = aws.client("iam")
    iam.create_user(UserName=name)
    connections = f"arn:aws:execute-api:{REGION}:{ACCOUNT}:{api}/prod/$connect"
    statement = {"Effect": "Allow", "Action": "execute-api:Invoke", "Resource": connections}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.put_user_policy(UserName=name, PolicyName="connect", PolicyDocument=policy)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return {
        **aws.variables,
        "AWS_ACCESS_KEY_ID": key["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"],
        "AWS_SESSION_TOKEN": "",
    }
