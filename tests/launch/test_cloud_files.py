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
def rayjob():
    job, _ = yaml.safe_load_all((LAUNCH / "kuberay-rayjob.yaml").read_text())
    return job


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


def test_pods_of_the_job_are_not_root_and_have_longer_to_stop_than_they_drain(rayjob):
    cluster = rayjob["spec"]["rayClusterSpec"]
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        pod = group["template"]["spec"]
        assert pod["terminationGracePeriodSeconds"] > 30
        assert pod["securityContext"]["runAsNonRoot"] is True
        for container in pod["containers"]:
            assert container["resources"]["limits"] == container["resources"]["requests"]


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
