"""A VPC for the model functions, for those who must. By default there is none: only outside of one does a
function have Lambda's full network bandwidth, and only outside is idling free."""

from typing import Final

from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from constructs import Construct

from infra.parts import Vpc

# What Lambda needs to put a function into subnets. EC2 knows no resource to name for most of them.
_INTERFACES: Final = (
    "ec2:AssignPrivateIpAddresses",
    "ec2:CreateNetworkInterface",
    "ec2:DeleteNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:UnassignPrivateIpAddresses",
)


class Network(Construct):
    """A new VPC in two zones with one NAT gateway, because @connections can't be reached from inside without;
    or one that is there, whose subnets need NAT for the same reason.

    `files`: weights come out of S3; a new VPC then has an endpoint there, which costs nothing."""

    def __init__(self, scope: Construct, construct_id: str, *, wanted: Vpc | None, files: bool) -> None:
        super().__init__(scope, construct_id)
        if wanted is None:
            self.vpc: ec2.IVpc = self._new(files=files)
            self.subnets = ec2.SubnetSelection(subnet_type=ec2.SubnetType.PRIVATE_WITH_EGRESS)
        else:
            # Not looked up: that would need credentials at synth. A zone's name is only a label here.
            self.vpc = ec2.Vpc.from_vpc_attributes(
                self,
                "Vpc",
                vpc_id=wanted.id,
                availability_zones=[f"zone-{number}" for number in range(len(wanted.subnets))],
                private_subnet_ids=list(wanted.subnets),
            )
            self.subnets = ec2.SubnetSelection(subnets=self.vpc.private_subnets)
        self.security_groups: Final = [
            ec2.SecurityGroup.from_security_group_id(self, f"Group{number}", group, mutable=False)
            for number, group in enumerate(wanted.security_groups if wanted else (), 1)
        ] or [
            ec2.SecurityGroup(
                self, "Functions", vpc=self.vpc, description="Curtain: model functions, which nobody calls"
            )
        ]

    def let_in(self, role: iam.Role) -> None:
        role.add_to_policy(iam.PolicyStatement(actions=list(_INTERFACES), resources=["*"]))

    def _new(self, *, files: bool) -> ec2.Vpc:
        services = {"Table": ec2.GatewayVpcEndpointAwsService.DYNAMODB}
        if files:
            services["Files"] = ec2.GatewayVpcEndpointAwsService.S3
        return ec2.Vpc(
            self,
            "Vpc",
            max_azs=2,
            nat_gateways=1,
            subnet_configuration=[
                ec2.SubnetConfiguration(name="Public", subnet_type=ec2.SubnetType.PUBLIC),
                ec2.SubnetConfiguration(name="Private", subnet_type=ec2.SubnetType.PRIVATE_WITH_EGRESS),
            ],
            gateway_endpoints={
                name: ec2.GatewayVpcEndpointOptions(service=service) for name, service in services.items()
            },
        )
