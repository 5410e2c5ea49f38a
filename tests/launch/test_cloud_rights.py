"""What the head of a cluster may do in a cloud: start and end its workers, and no more."""

import json
from pathlib import Path

import pytest
import yaml

LAUNCH = Path(__file__).parent.parent.parent / "cluster" / "launch"


@pytest.fixture(scope="module")
def aws():
    return yaml.safe_load((LAUNCH / "aws.yaml").read_text())


@pytest.fixture(scope="module")
def statements():
    policy = json.loads((LAUNCH / "aws-head-policy.json").read_text())
    assert policy["Version"] == "2012-10-17"
    return policy["Statement"]


@pytest.fixture(scope="module")
def gcp():
    return yaml.safe_load((LAUNCH / "gcp.yaml").read_text())


def each(value):
    return value if isinstance(value, list) else [value]


def test_the_aws_head_has_a_role_of_its_own_and_workers_have_none(aws):
    profiles = {
        name: kind["node_config"].get("IamInstanceProfile")
        for name, kind in aws["available_node_types"].items()
    }

    assert profiles == {"head": {"Name": "reinforce-head"}, "workers": None}


def test_no_right_in_aws_is_for_all_actions_or_all_of_what_it_changes(statements):
    for statement in statements:
        assert statement["Effect"] == "Allow"
        for action in each(statement["Action"]):
            assert "*" not in action
            assert action.startswith(("ec2:", "s3:"))
            if not action.startswith("ec2:Describe"):
                assert "*" not in each(statement["Resource"])


def test_machines_that_the_aws_head_starts_tags_or_ends_are_of_this_cluster_and_region(
    aws, statements
):
    touching = [s for s in statements if any(":instance/" in r for r in each(s["Resource"]))]

    assert {action for s in touching for action in each(s["Action"])} == {
        *("ec2:RunInstances", "ec2:CreateTags", "ec2:TerminateInstances")
    }
    for statement in touching:
        conditions = statement["Condition"]["StringEquals"]
        of_the_cluster = {
            value for key, value in conditions.items() if key.endswith("Tag/ray-cluster-name")
        }
        assert of_the_cluster == {aws["cluster_name"]}
    for statement in statements:
        for resource in each(statement["Resource"]):
            if resource.startswith("arn:aws:ec2:"):
                assert resource.split(":")[3] == aws["provider"]["region"]


def test_the_aws_head_starts_only_the_type_of_machine_that_workers_are(aws, statements):
    (types,) = [
        statement["Condition"]["StringEquals"]["ec2:InstanceType"]
        for statement in statements
        if "ec2:InstanceType" in statement.get("Condition", {}).get("StringEquals", {})
    ]

    assert types == aws["available_node_types"]["workers"]["node_config"]["InstanceType"]


def test_the_google_head_has_an_account_of_its_own_and_workers_have_none(gcp):
    kinds = gcp["available_node_types"]
    (account,) = kinds["head"]["node_config"]["serviceAccounts"]

    project = gcp["provider"]["project_id"]
    assert account["email"] == f"reinforce-head@{project}.iam.gserviceaccount.com"
    assert not any(scope.endswith("/cloud-platform") for scope in account["scopes"])
    assert "serviceAccounts" not in kinds["workers"]["node_config"]


def test_the_google_head_may_neither_act_as_others_nor_change_rights_networks_or_disks():
    role = yaml.safe_load((LAUNCH / "gcp-head-role.yaml").read_text())

    for permission in role["includedPermissions"]:
        _, kind, verb = permission.split(".")
        assert kind in ("instances", "disks", "subnetworks", "zoneOperations")
        assert kind == "instances" or verb in ("create", "get", "use", "useExternalIp")
        assert verb not in ("setIamPolicy", "setServiceAccount", "setMetadata")
