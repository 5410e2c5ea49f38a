"""The launch files of clouds and Kubernetes, against the schemas of those who read them."""

import json
import re
from pathlib import Path

import jsonschema
import pytest
import ray
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

HERE = Path(__file__).parent
LAUNCH = HERE.parent.parent / "cluster" / "launch"
CLOUDS = ["aws.yaml", "gcp.yaml"]


@pytest.fixture(params=CLOUDS)
def text(request):
    return (LAUNCH / request.param).read_text()


@pytest.fixture
def prepared(text):
    """What `ray up` would carry out: ours, and Ray's defaults for what we leave out."""
    return prepare_config(yaml.safe_load(text))


@pytest.fixture(scope="module")
def manifests():
    """The objects that `kubectl apply` makes, by kind."""
    objects = yaml.safe_load_all((LAUNCH / "kuberay-rayjob.yaml").read_text())
    return {each["kind"]: each for each in objects}


@pytest.fixture(scope="module")
def rayjob(manifests):
    return manifests["RayJob"]


def pod_templates(rayjob):
    """All pods of a job: who submits it, head, and workers."""
    cluster = rayjob["spec"]["rayClusterSpec"]
    groups = (cluster["headGroupSpec"], *cluster["workerGroupSpecs"])
    return [rayjob["spec"]["submitterPodTemplate"], *(group["template"] for group in groups)]


@pytest.fixture(scope="module")
def schema():
    return json.loads((HERE / "rayjob.v1.schema.json").read_text())


def test_ray_up_accepts_it(prepared):
    validate_config(prepared)


def test_ray_up_would_refuse_a_misspelt_key(text):
    config = yaml.safe_load(text) | {"max_worker": 3}

    with pytest.raises(jsonschema.ValidationError):
        validate_config(prepare_config(config))


def test_no_default_of_rays_puts_in_a_nightly_build_or_opens_the_dashboard(prepared):
    commands = [
        command
        for name, value in prepared.items()
        if name.endswith(("_commands",))
        for command in value
    ]

    assert commands
    for command in commands:
        assert "dev0" not in command
        assert "latest" not in command
        assert "0.0.0.0" not in command
    (head,) = [command for command in prepared["head_start_ray_commands"] if "--head" in command]
    assert "--dashboard-host=127.0.0.1" in head


def test_the_image_holds_the_installed_ray(text):
    image = yaml.safe_load(text)["docker"]["image"]

    assert re.fullmatch(r"rayproject/ray:(\d+\.\d+\.\d+)-py3\d+-cpu", image)[1] == ray.__version__


def test_every_node_has_the_token_and_asks_for_it(prepared):
    options = " ".join(prepared["docker"]["run_options"])
    path = re.search(r"RAY_AUTH_TOKEN_PATH=(\S+)", options)[1]

    assert "RAY_AUTH_MODE=token" in options
    assert prepared["file_mounts"][path].endswith(".ray/auth_token")


def test_workers_are_spot_machines_and_the_head_is_not(text):
    types = yaml.safe_load(text)["available_node_types"]

    assert "spot" in str(types["workers"]).lower()
    assert "spot" not in str(types["head"]).lower()
    assert types["head"]["resources"] == {"CPU": 0}


def test_nobody_reaches_ssh_from_everywhere(text):
    assert "0.0.0.0" not in text
    config = yaml.safe_load(text)
    for rule in config["provider"].get("security_group", {}).get("IpPermissions", []):
        assert all(addresses["CidrIp"].endswith("/32") for addresses in rule["IpRanges"])


def test_machines_that_are_not_needed_are_given_back(text):
    config = yaml.safe_load(text)

    assert config["provider"]["cache_stopped_nodes"] is False
    assert config["idle_timeout_minutes"] <= 5
    assert config["available_node_types"]["workers"]["min_workers"] == 0


def test_kuberay_accepts_the_job(rayjob, schema):
    jsonschema.validate(rayjob, schema)


def test_kuberay_would_refuse_a_misspelt_field(rayjob, schema):
    wrong = {**rayjob, "spec": {**rayjob["spec"], "backofLimit": 3}}

    with pytest.raises(jsonschema.ValidationError, match="backofLimit"):
        jsonschema.validate(wrong, schema)


def test_the_job_asks_for_a_token_goes_on_after_a_failure_and_keeps_checkpoints(rayjob):
    spec = rayjob["spec"]
    cluster = spec["rayClusterSpec"]

    assert cluster["authOptions"] == {"mode": "token"}
    assert cluster["rayVersion"] == ray.__version__
    assert cluster["autoscalerOptions"]["version"] == "v2"
    assert spec["backoffLimit"] > 0
    assert "--resume auto" in spec["entrypoint"]
    mounts = cluster["headGroupSpec"]["template"]["spec"]["containers"][0]["volumeMounts"]
    (folder,) = re.findall(r"--run.directory (\S+)", spec["entrypoint"])
    assert any(folder.startswith(mount["mountPath"]) for mount in mounts)


def test_nodes_of_ray_have_longer_to_stop_than_they_drain(rayjob):
    for template in pod_templates(rayjob)[1:]:
        assert template["spec"]["terminationGracePeriodSeconds"] > 30


def test_no_pod_of_the_job_is_root_or_makes_system_calls_beyond_the_default(rayjob):
    for template in pod_templates(rayjob):
        pod = template["spec"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in pod["containers"]:
            assert container["resources"]["limits"] == container["resources"]["requests"]


def test_no_container_of_the_job_gains_rights_or_writes_outside_its_volumes(rayjob):
    containers = [c for template in pod_templates(rayjob) for c in template["spec"]["containers"]]
    autoscaler = rayjob["spec"]["rayClusterSpec"]["autoscalerOptions"]
    for container in [*containers, autoscaler]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        }
        assert "/tmp" in [mount["mountPath"] for mount in container["volumeMounts"]]
    for template in pod_templates(rayjob):
        volumes = {volume["name"] for volume in template["spec"]["volumes"]}
        mounts = [m for c in template["spec"]["containers"] for m in c["volumeMounts"]]
        assert {mount["name"] for mount in mounts} == volumes


def test_only_the_head_talks_to_kubernetes(rayjob):
    with_token = [
        template
        for template in pod_templates(rayjob)
        if template["spec"].get("automountServiceAccountToken", True)
    ]

    assert with_token == [rayjob["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]]


def test_the_network_policy_holds_for_every_pod_of_the_job(manifests, rayjob):
    policy = manifests["NetworkPolicy"]["spec"]

    assert sorted(policy["policyTypes"]) == ["Egress", "Ingress"]
    for template in pod_templates(rayjob):
        labels = template["metadata"]["labels"].items()
        assert policy["podSelector"]["matchLabels"].items() <= labels


def test_pods_are_reached_by_each_other_and_the_operator_and_reach_no_plain_http(manifests):
    policy = manifests["NetworkPolicy"]["spec"]
    ours = {"podSelector": policy["podSelector"]}

    senders = [peer for rule in policy["ingress"] for peer in rule["from"]]
    (operator,) = [peer for peer in senders if peer != ours]
    assert operator["podSelector"]["matchLabels"]
    anywhere = [rule for rule in policy["egress"] if not rule.get("to")]
    assert [port["port"] for rule in anywhere for port in rule["ports"]] == [443, 6443]
    for rule in policy["egress"]:
        assert rule.get("to") == [ours] or rule["ports"]


def test_mlflow_of_the_job_is_let_through(manifests, rayjob):
    containers = [
        c for template in pod_templates(rayjob)[1:] for c in template["spec"]["containers"]
    ]
    uris = {e["value"] for c in containers for e in c["env"] if e["name"] == "MLFLOW_TRACKING_URI"}
    ((namespace, port),) = [
        re.fullmatch(r"http://mlflow\.(\w+):(\d+)", uri).groups() for uri in uris
    ]

    wanted = {
        "to": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}}],
        "ports": [{"port": int(port)}],
    }
    assert wanted in manifests["NetworkPolicy"]["spec"]["egress"]


def test_the_entrypoint_is_a_command_line_of_ours(rayjob):
    from reinforce.cluster.commands.arguments import parse_command
    from reinforce.cluster.commands.train import TrainCommand

    words = rayjob["spec"]["entrypoint"].split()
    assert words[:2] == ["reinforce", "train"]
    command = parse_command("train", TrainCommand, words[2:])
    config = command.config

    assert command.resume == "auto"
    assert config.cluster.address == "auto"
    assert config.run.name == "cartpole"
