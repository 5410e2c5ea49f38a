"""docker-compose.yml as a text: what must hold without a daemon. `make compose-test` runs it."""

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent.parent
FILES = ["docker-compose.yml", "docker-compose.s3.yml"]


def seconds(text):
    return int(re.fullmatch(r"(\d+)s", text)[1])


@pytest.fixture(params=FILES)
def compose(request):
    return yaml.safe_load((ROOT / request.param).read_text())


@pytest.fixture
def stack():
    return yaml.safe_load((ROOT / "docker-compose.yml").read_text())


@pytest.fixture
def services(stack):
    """Every service of both files; what the second says of one of the first is laid over it."""
    services = stack["services"]
    for name, service in yaml.safe_load((ROOT / FILES[1]).read_text())["services"].items():
        services[name] = services.get(name, {}) | service
    return services


def test_everything_is_published_on_loopback_only(compose):
    for service in compose["services"].values():
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:")


def test_every_service_that_stays_has_a_health_check_and_a_restart_policy(services):
    for name, service in services.items():
        if name != "train":
            assert service["restart"] == "unless-stopped", name
            assert "healthcheck" in service, name


def test_no_service_takes_all_memory_processors_processes_or_disk(services):
    for name, service in services.items():
        assert "mem_limit" in service, name
        if name == "ray-worker":
            assert f"--num-cpus={service['cpus']}" in service["command"]
        else:  # a number: docker-compose 1.29 reads a text as a duration, Compose v2 does not
            assert service["cpu_quota"] in range(100_000, 400_001), name
        assert 0 < service["pids_limit"] <= 4096, name
        assert set(service["logging"]["options"]) == {"max-size", "max-file"}, name


def test_no_service_has_capabilities_gains_rights_or_writes_to_its_image(services):
    for name, service in services.items():
        assert service["cap_drop"] == ["ALL"], name
        assert not {"cap_add", "privileged"} & set(service), name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["read_only"] is True, name
        places = [*service.get("tmpfs", []), *service.get("volumes", [])]
        assert any(re.match(r"/tmp(:|$)", place) for place in places), name


def test_no_image_of_others_starts_as_root(services):
    for name, service in services.items():
        assert "build" in service or service["user"] not in ("root", "0", 0), name


def test_the_list_of_trusted_runs_lies_on_a_volume_like_the_runs(services):
    dockerfile = (ROOT / "cluster" / "Dockerfile").read_text()
    (state,) = re.findall(r"XDG_STATE_HOME=(\S+)", dockerfile)
    assert any(
        state.startswith(f"{place.partition(':')[2]}/") and not place.startswith(".")
        for place in services["ray-head"]["volumes"]
        if ":" in place
    )


def test_ray_spills_to_a_disk_and_not_into_memory(services):
    for name in ("ray-head", "ray-worker"):
        assert "/tmp" in services[name]["volumes"]
        assert "tmpfs" not in services[name]


def test_a_node_of_ray_has_longer_to_stop_than_it_drains(stack):
    drain_s = 30  # RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S
    for name in ("ray-head", "ray-worker"):
        assert seconds(stack["services"][name]["stop_grace_period"]) > drain_s


def test_shared_memory_holds_the_object_store_and_a_tenth_more(stack):
    for name in ("ray-head", "ray-worker"):
        service = stack["services"][name]
        store = int(re.search(r"--object-store-memory=(\d+)", service["command"])[1])
        megabytes = int(re.fullmatch(r"(\d+)mb", service["shm_size"])[1])
        assert megabytes << 20 >= 1.1 * store


def test_all_of_ray_asks_for_a_token_that_is_a_secret(stack):
    for name in ("ray-head", "ray-worker", "train"):
        service = stack["services"][name]
        assert service["environment"]["RAY_AUTH_MODE"] == "token"
        assert service["environment"]["RAY_AUTH_TOKEN_PATH"] == "/run/secrets/ray_token"
        assert service["secrets"] == ["ray_token"]


def test_no_secret_has_a_default_or_stands_in_the_environment(compose):
    for secret in compose["secrets"].values():
        assert secret["file"].startswith("./secrets/")
    for service in compose["services"].values():
        for name, value in service.get("environment", {}).items():
            if re.search("PASSWORD|TOKEN|SECRET", name):
                assert str(value).startswith("/run/secrets/"), name


def mounted(service):
    """What lies in the checkout, by its place in the container."""
    binds = [place.split(":") for place in service["volumes"] if place.startswith("./")]
    assert all(mode == "ro" for _, _, mode in binds)
    return {place: ROOT / path for path, place, _ in binds}


def test_monitoring_starts_only_when_it_is_asked_for(services):
    profiles = {name: service.get("profiles") for name, service in services.items()}

    assert [name for name, given in profiles.items() if given == ["monitoring"]] == [
        "prometheus",
        "grafana",
    ]


def test_prometheus_asks_the_head_with_its_token_for_the_nodes(stack):
    prometheus, head = stack["services"]["prometheus"], stack["services"]["ray-head"]
    option, place = prometheus["command"].split()[0].split("=")
    config = yaml.safe_load(mounted(prometheus)[place].read_text())
    (job,) = config["scrape_configs"]
    (discovery,) = job["http_sd_configs"]

    assert option == "--config.file"
    assert discovery["url"] == "http://ray-head:8265/api/prometheus/sd"
    assert head["ports"][0].endswith(":8265")
    (secret,) = prometheus["secrets"]
    file = f"/run/secrets/{secret}"
    assert discovery["authorization"] == {"type": "Bearer", "credentials_file": file}
    assert head["environment"]["RAY_AUTH_TOKEN_PATH"] == f"/run/secrets/{secret}"


def test_grafana_has_our_dashboard_and_its_data_from_the_start(stack):
    grafana = stack["services"]["grafana"]
    files, provisioning = mounted(grafana), "/etc/grafana/provisioning"
    sources = yaml.safe_load(files[f"{provisioning}/datasources/reinforce.yml"].read_text())
    shown = yaml.safe_load(files[f"{provisioning}/dashboards/reinforce.yml"].read_text())
    home = grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    (variable, _) = json.loads(files[home].read_text())["templating"]["list"]

    assert home.startswith(f"{shown['providers'][0]['options']['path']}/")
    (source,) = sources["datasources"]
    assert source["url"] == "http://prometheus:9090"
    assert source["isDefault"]
    assert variable["query"] == source["type"], "the dashboard finds it by its kind"


def test_mlflow_is_let_in_by_its_name_in_the_network(stack):
    hosts = stack["services"]["mlflow"]["environment"]["MLFLOW_SERVER_ALLOWED_HOSTS"].split(",")

    assert {"mlflow:*", "localhost:*", "127.0.0.1:*"} == set(hosts)


def test_the_image_does_not_run_as_root_and_installs_nothing_when_it_starts():
    lines = (ROOT / "cluster" / "Dockerfile").read_text().splitlines()

    assert "USER reinforce" in lines
    assert not any(line.startswith(("ENTRYPOINT", "CMD")) and "pip" in line for line in lines)


def test_secrets_and_runs_are_kept_out_of_the_image_and_of_git():
    ignored = (ROOT / ".dockerignore").read_text().splitlines()

    assert ignored[1] == "*"
    assert not any("secret" in line or "runs" in line for line in ignored[2:])
    assert "secrets/" in (ROOT / ".gitignore").read_text().splitlines()


def test_secrets_are_made_once_and_closed_to_others_of_the_machine(tmp_path):
    command = ["make", "--silent", "--file", ROOT / "Makefile", "secrets"]

    first, second = (
        subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    )

    folder = tmp_path / "secrets"
    named = {
        name for file in FILES for name in yaml.safe_load((ROOT / file).read_text())["secrets"]
    }
    assert {path.name for path in folder.iterdir()} == named
    assert len({path.read_text() for path in folder.iterdir()}) == len(named)
    assert all(len(path.read_text()) == 64 for path in folder.iterdir())
    assert folder.stat().st_mode & 0o777 == 0o700
    assert first.count("made secrets/") == len(named)
    assert second == ""
