"""Prometheus, Alertmanager and Grafana are told of every service, and of each other, in words that they take."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from dashboards import FOLDER
from tellonce.observability.alerts import ALERTS
from tellonce.observability.metrics import PORTS

DEPLOY = Path(__file__).parents[2] / "deploy"
PROMETHEUS = DEPLOY / "prometheus" / "prometheus.yml"
ALERTMANAGER = DEPLOY / "alertmanager" / "alertmanager.yml"
PROVISIONING = DEPLOY / "grafana" / "provisioning"
WILDCARD = "0.0.0.0"  # noqa: S104 - within a container, whose port is published nowhere

Service = dict[str, Any]


def read(path: Path) -> dict[str, Any]:
    """A YAML file."""
    return dict(YAML(typ="safe").load(path))


def targets() -> dict[str, set[str]]:
    """What Prometheus reads, by job."""
    return {
        job["job_name"]: {target for group in job["static_configs"] for target in group["targets"]}
        for job in read(PROMETHEUS)["scrape_configs"]
    }


def mounted(service: Service) -> dict[str, str]:
    """Where a service's volumes are, by where they come from."""
    return {volume["source"]: volume["target"] for volume in service["volumes"]}


def test_prometheus_takes_its_file(promtool: str) -> None:
    """The oldest Prometheus that we care for takes the file and the rules that it names."""
    done = subprocess.run([promtool, "check", "config", str(PROMETHEUS)], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "rules found" in done.stdout


def test_prometheus_reads_every_service(services: dict[str, Service]) -> None:
    """Each relay, applier and reconciler of the containers' file is read at its port, and nothing else is."""
    commands = {"relay": "relay", "consume": "applier", "reconcile": "reconciler"}
    wanted: dict[str, set[str]] = {str(kind): set() for kind in PORTS}
    for name, service in services.items():
        kind = commands.get((service.get("command") or [""])[0])
        if kind is not None and "operator" not in service.get("profiles", ()):
            wanted[kind].add(f"{name}:{PORTS[kind]}")  # type: ignore[index]  # a StrEnum's text is its key

    assert targets() == wanted


def test_services_that_are_read_listen_where_prometheus_is(services: dict[str, Service]) -> None:
    """Whatever Prometheus reads answers beyond its own container, and to no other machine."""
    for job in targets().values():
        for target in job:
            service = services[target.partition(":")[0]]
            assert service["environment"]["TELLONCE_METRICS_HOST"] == WILDCARD, target
            assert not service.get("ports"), target


def test_alertmanager_takes_its_file(amtool: str) -> None:
    """Alertmanager's own tool finds nothing wrong with the file."""
    done = subprocess.run([amtool, "check-config", str(ALERTMANAGER)], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(("severity", "receiver"), [("page", "night"), ("ticket", "morning")])
def test_only_a_page_wakes_somebody(amtool: str, severity: str, receiver: str) -> None:
    """What can wait goes to another receiver than what cannot."""
    labels = [f"severity={severity}", "department=provident-fund"]
    command = [amtool, "config", "routes", "test", f"--config.file={ALERTMANAGER}", *labels]

    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.stdout.split() == [receiver], done.stderr


def test_a_department_is_one_message() -> None:
    """Thirty views of one department that are late do not wake somebody thirty times, and two departments are two."""
    route = read(ALERTMANAGER)["route"]

    assert route["group_by"] == ["department"]
    assert all("group_by" not in child for child in route["routes"])


def test_alerts_that_are_held_back_are_there() -> None:
    """A rule that holds back what follows from something else names alerts that there are."""
    known = {alert.name for alert in ALERTS} | {"TellonceAbsent", "TellonceOutboxOld"}

    for rule in read(ALERTMANAGER)["inhibit_rules"]:
        for matcher in (*rule["source_matchers"], *rule["target_matchers"]):
            name, _, values = matcher.partition("=~")
            assert name == "alertname"
            assert set(values.strip('"').split("|")) <= known


def test_servers_find_each_other(services: dict[str, Service]) -> None:
    """Prometheus hands its alerts to Alertmanager, and Grafana asks Prometheus, by the names of their services."""
    (manager,) = read(PROMETHEUS)["alerting"]["alertmanagers"]
    (source,) = read(PROVISIONING / "datasources" / "prometheus.yml")["datasources"]

    assert manager["static_configs"] == [{"targets": ["alertmanager:9093"]}]
    assert source["url"] == "http://prometheus:9090"
    for name, port in (("alertmanager", 9093), ("prometheus", 9090)):
        assert [each["target"] for each in services[name]["ports"]] == [port]


def test_grafana_shows_the_city_to_whoever_comes_and_lets_nobody_change_it(services: dict[str, Service]) -> None:
    """No login is needed, there is no account, and the first page is the overview, from the files alone."""
    grafana = services["grafana"]
    (provider,) = read(PROVISIONING / "dashboards" / "tellonce.yml")["providers"]
    settings, folders = grafana["environment"], mounted(grafana)

    assert settings["GF_AUTH_ANONYMOUS_ENABLED"] == "true"
    assert settings["GF_AUTH_ANONYMOUS_ORG_ROLE"] == "Viewer"
    assert settings["GF_AUTH_DISABLE_LOGIN_FORM"] == "true"
    assert settings["GF_SECURITY_DISABLE_INITIAL_ADMIN_CREATION"] == "true"
    assert folders[str(FOLDER)] == provider["options"]["path"]
    assert settings["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"] == f"{provider['options']['path']}/city.json"
    assert (FOLDER / "city.json").exists()
    assert folders[str(PROVISIONING)] == "/etc/grafana/provisioning"
    assert provider["allowUiUpdates"] is False


def test_grafana_gets_no_plugin_from_the_internet(services: dict[str, Service]) -> None:
    """With its files read-only it could not put one in place, and would be left without it."""
    assert services["grafana"]["environment"]["GF_PLUGINS_PREINSTALL_DISABLED"] == "true"


def test_prometheus_and_grafana_agree_on_how_often_is_looked() -> None:
    """Grafana draws no gaps: it knows how often Prometheus reads."""
    (source,) = read(PROVISIONING / "datasources" / "prometheus.yml")["datasources"]

    assert source["jsonData"]["timeInterval"] == read(PROMETHEUS)["global"]["scrape_interval"]
