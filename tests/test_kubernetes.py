"""The Kubernetes manifest in docs/ is valid, and agrees with the server and the Dockerfile."""
from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import pytest

from tfpoets.serving.connections import HEALTH_PATH

kubernetes_validate = pytest.importorskip("kubernetes_validate")
yaml = pytest.importorskip("yaml")
ROOT = Path(__file__).resolve().parents[1]
# The oldest and the newest version that the manifest is checked for.
VERSIONS = ("1.29", "1.35")


@pytest.fixture(scope="module")
def resources() -> dict[str, Any]:
    """The resources of the manifest, by kind."""
    documents = yaml.safe_load_all((ROOT / "docs" / "kubernetes.yaml").read_text("utf-8"))
    return {document["kind"]: document for document in documents}


@pytest.mark.parametrize("version", VERSIONS)
def test_the_manifest_is_valid(resources: dict[str, Any], version: str) -> None:
    assert len(resources) == 5
    for resource in resources.values():
        kubernetes_validate.validate(resource, version, strict=True)
    misspelt = copy.deepcopy(resources["Deployment"])
    misspelt["spec"]["template"]["spec"]["containers"][0]["readynessProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(misspelt, version, strict=True)


def test_the_manifest_agrees_with_the_server(resources: dict[str, Any]) -> None:
    template = resources["Deployment"]["spec"]["template"]
    container, = template["spec"]["containers"]
    dockerfile = (ROOT / "Dockerfile").read_text("utf-8")
    port, = container["ports"]
    assert port["containerPort"] == int(re.findall(r"^EXPOSE (\d+)$", dockerfile, re.MULTILINE)[0])
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe]["httpGet"] == {"path": HEALTH_PATH, "port": port["name"]}
    assert template["metadata"]["annotations"]["prometheus.io/port"] == str(port["containerPort"])
    mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
    assert set(re.findall(r"--graph=(/\w+)/", dockerfile)) <= mounts
    labels = template["metadata"]["labels"]
    for selector in (resources["Deployment"]["spec"]["selector"]["matchLabels"],
                     resources["Service"]["spec"]["selector"],
                     resources["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"]):
        assert selector.items() <= labels.items()
    budget, scaler = resources["PodDisruptionBudget"]["spec"], resources["HorizontalPodAutoscaler"]["spec"]
    assert budget["minAvailable"] < scaler["minReplicas"] == resources["Deployment"]["spec"]["replicas"]
    assert scaler["scaleTargetRef"]["name"] == resources["Deployment"]["metadata"]["name"]
