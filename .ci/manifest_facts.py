"""Checks on rendered manifests what no schema knows: that names, labels, ports and times agree with each
other, with the README's table of variables, and with how long each process takes to stop.

    manifest_facts.py README.md RENDERED.yaml...    from the root of the repository
"""

import re
import sys

import yaml

# Where each process says how long its stopping may take: what it drains, its ops port, its last traces.
EVERY_PROCESS = ["service-kit/src/ops.rs", "service-kit/src/telemetry/exporter.rs"]
STOPPING = {
    "auth-frontend": ["auth-frontend/src/app.rs", *EVERY_PROCESS],
    "records-service": ["records-service/src/app.rs", *EVERY_PROCESS],
    "audit-worker": ["records-service/src/audit/app.rs", *EVERY_PROCESS],
}
# Secrets are in no file: docs/deploy.md tells how they are made.
SECRETS = {
    "auth-frontend": {"AUTH0_CLIENT_SECRET", "AUTH0_SECRET"},
    "records-service": {"PAGE_TOKEN_SECRET"},
    "auth-frontend-tls": {"tls.crt", "tls.key", "ca.crt"},
    "records-service-tls": {"tls.crt", "tls.key", "ca.crt"},
}


def documented_variables(readme):
    rows = [line.split("|")[1] for line in open(readme) if line.startswith("| `")]
    return {name for row in rows for name in re.findall(r"`([A-Z][A-Z0-9_]+)`", row)}


def stopping(process):
    """Seconds from SIGTERM to the end at most."""
    seconds = 0
    for path in STOPPING.get(process, []):
        limits = r"^const (?:DRAIN|\w+_DRAIN|DRAIN_LIMIT|FLUSH): .*from_secs\((\d+)\);"
        found = re.findall(limits, open(path).read(), re.M)
        if not found:
            sys.exit(f"{path} does not say how long stopping takes")
        seconds += sum(map(int, found))
    return seconds


class Overlay:
    """The objects of one overlay; each check yields what is wrong."""

    def __init__(self, path):
        self.objects = [one for one in yaml.safe_load_all(open(path)) if one]
        self.pods = [one for one in self.objects if one["kind"] in ("Deployment", "Job")]

    def of(self, kind):
        """Name, namespace and content of each object of a kind."""
        for one in self.objects:
            if one["kind"] == kind:
                yield one["metadata"]["name"], one["metadata"].get("namespace"), one.get("spec", one)

    def has(self, kind, name, namespace):
        return any((name, namespace) == (one, its) for one, its, _ in self.of(kind))

    def selected(self, namespace, labels):
        """The pods that have these labels."""
        templates = [
            one["spec"]["template"] for one in self.pods if one["metadata"]["namespace"] == namespace
        ]
        return [pod for pod in templates if labels.items() <= pod["metadata"]["labels"].items()]

    def environment(self, variables):
        for name, _, config in self.of("ConfigMap"):
            for variable in config["data"].keys() - variables:
                if not variable.startswith("AWS_"):  # The AWS SDK's own.
                    yield f"{name}: {variable} is not in the README"
        for one in self.pods:
            name, namespace = one["metadata"]["name"], one["metadata"]["namespace"]
            pod = one["spec"]["template"]["spec"]
            account = pod.get("serviceAccountName")
            if account and not self.has("ServiceAccount", account, namespace):
                yield f"{name}: there is no ServiceAccount {account}"
            secrets = {
                secret
                for volume in pod.get("volumes", [])
                if "secret" in volume
                for secret in SECRETS[volume["secret"]["secretName"]]
            }
            for source in pod["containers"][0].get("envFrom", []):
                if not self.has("ConfigMap", source["configMapRef"]["name"], namespace):
                    yield f"{name}: there is no ConfigMap {source['configMapRef']['name']}"
            for variable in pod["containers"][0].get("env", []):
                variable, file = variable["name"].removesuffix("_FILE"), variable["value"]
                if file.startswith("/var/run/secrets") and file.rpartition("/")[2] not in secrets & {variable}:
                    yield f"{name}: {variable} is not in a Secret that it mounts"
                if file.startswith("/var/run/tls") and file.rpartition("/")[2] not in secrets:
                    yield f"{name}: {file} is not in a Secret that it mounts"
                if variable not in variables and not variable.startswith("DEV_STACK_"):
                    yield f"{name}: {variable} is not in the README"

    def lifecycles(self):
        for name, namespace, spec in self.of("Deployment"):
            pod, container = spec["template"], spec["template"]["spec"]["containers"][0]
            pause = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
            if pod["spec"]["terminationGracePeriodSeconds"] < pause + stopping(name):
                yield f"{name}: killed before {pause} s of preStop and {stopping(name)} s of stopping are over"
            if self.selected(namespace, spec["selector"]["matchLabels"]) != [pod]:
                yield f"{name}: its selector is not for its pods alone"
            if namespace != "org-records":
                continue
            for probe, path in ("startup", "/livez"), ("liveness", "/livez"), ("readiness", "/readyz"):
                if container[f"{probe}Probe"]["httpGet"] != {"path": path, "port": "ops"}:
                    yield f"{name}: the {probe} probe does not ask the ops port for {path}"
            ops = [str(port["containerPort"]) for port in container["ports"] if port["name"] == "ops"]
            if [pod["metadata"]["annotations"]["prometheus.io/port"]] != ops:
                yield f"{name}: Prometheus is not sent to the ops port"

    def targets(self):
        for name, _, scaler in self.of("HorizontalPodAutoscaler"):
            scaled = [spec for one, _, spec in self.of("Deployment") if one == scaler["scaleTargetRef"]["name"]]
            if len(scaled) != 1 or "replicas" in scaled[0]:
                yield f"autoscaler {name}: there is no such Deployment, or it has a number of its own"
        for name, namespace, budget in self.of("PodDisruptionBudget"):
            if len(self.selected(namespace, budget["selector"]["matchLabels"])) != 1:
                yield f"disruption budget {name}: is not for the pods of one Deployment"
        for name, namespace, ingress in self.of("Ingress"):
            for path in [path for rule in ingress["rules"] for path in rule["http"]["paths"]]:
                if not self.has("Service", path["backend"]["service"]["name"], namespace):
                    yield f"Ingress {name}: there is no Service {path['backend']['service']['name']}"
        for name, namespace, service in self.of("Service"):
            pods = self.selected(namespace, service["selector"])
            for port in service["ports"]:
                yield from listening(f"Service {name}", pods, "name", port["targetPort"])

    def policies(self):
        for name, namespace, policy in self.of("NetworkPolicy"):
            pods = self.selected(namespace, policy["podSelector"].get("matchLabels", {}))
            for port in [port for rule in policy.get("ingress", []) for port in rule["ports"]]:
                yield from listening(f"NetworkPolicy {name}", pods, "containerPort", port["port"])
            for rule in policy.get("egress", []):
                for peer in [peer for peer in rule["to"] if peer.keys() == {"podSelector"}]:
                    peers = self.selected(namespace, peer["podSelector"]["matchLabels"])
                    for port in rule["ports"]:
                        yield from listening(f"NetworkPolicy {name}", peers, "containerPort", port["port"])


def listening(who, pods, key, port):
    """Every one of the pods, of which there are some, has the port."""
    containers = [pod["spec"]["containers"][0] for pod in pods]
    if not containers or any(port not in [one[key] for one in each.get("ports", [])] for each in containers):
        yield f"{who}: port {port} is not one of the pods it selects"


def main(readme, *paths):
    variables = documented_variables(readme)
    wrong = [
        f"{path}: {what}"
        for path in paths
        for overlay in [Overlay(path)]
        for found in (overlay.environment(variables), overlay.lifecycles(), overlay.targets(), overlay.policies())
        for what in found
    ]
    print("\n".join(wrong) or f"{len(paths)} overlays agree with themselves and with {readme}")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
