"""What must be true of the rendered manifests beyond Kubernetes' own schema.

    python policy.py [--binaries target/debug] rendered.yaml…

Each rule is a function from all objects to its complaints. With --binaries, each container's configuration is also held against the
program itself: `<program> config check` refuses unknown keys and values that it cannot read.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

RULES = []


def rule(function):
    RULES.append(function)
    return function


def load(path):
    return [document for document in yaml.safe_load_all(Path(path).read_text()) if document]


def of(objects, *kinds):
    return [document for document in objects if document["kind"] in kinds]


def name(document):
    return f"{document['kind']}/{document['metadata']['name']}"


def pods(objects):
    """Each workload with its pod template."""
    workloads = of(objects, "Deployment", "StatefulSet", "DaemonSet", "Job")
    return [(document, document["spec"]["template"]) for document in workloads]


def containers(objects):
    for document, template in pods(objects):
        spec = template["spec"]
        for container in spec["containers"] + spec.get("initContainers", []):
            yield document, spec, container


def labels_of(template):
    return template["metadata"]["labels"]


def selects(selector, labels):
    return bool(selector) and all(labels.get(key) == value for key, value in selector.items())


@rule
def restricted_security(objects):
    for document, spec, container in containers(objects):
        pod, own = spec.get("securityContext", {}), container.get("securityContext", {})
        merged = {**pod, **own}
        facts = {
            "runAsNonRoot": merged.get("runAsNonRoot") is True,
            "a user that is not root": merged.get("runAsUser", 0) != 0,
            "seccompProfile RuntimeDefault": merged.get("seccompProfile", {}).get("type") == "RuntimeDefault",
            "allowPrivilegeEscalation false": own.get("allowPrivilegeEscalation") is False,
            "readOnlyRootFilesystem": own.get("readOnlyRootFilesystem") is True,
            "no capabilities": own.get("capabilities", {}) == {"drop": ["ALL"]},
            "no host namespaces": not any(spec.get(key) for key in ("hostNetwork", "hostPID", "hostIPC")),
            "no host paths": not any("hostPath" in volume for volume in spec.get("volumes", [])),
        }
        yield from (f"{name(document)}: wants {fact}" for fact, true in facts.items() if not true)


@rule
def namespace_enforces_it(objects):
    spaces = [document["metadata"] for document in of(objects, "Namespace")]
    labels = {space["name"]: space.get("labels", {}) for space in spaces}
    for document in objects:
        space = document["metadata"].get("namespace")
        if document["kind"] != "Namespace" and labels.get(space, {}).get("pod-security.kubernetes.io/enforce") != "restricted":
            yield f"{name(document)}: its namespace {space} does not enforce the restricted standard"


@rule
def own_account_without_token(objects):
    accounts = {document["metadata"]["name"]: document for document in of(objects, "ServiceAccount")}
    for document, template in pods(objects):
        spec = template["spec"]
        account = accounts.get(spec.get("serviceAccountName"))
        if account is None or account.get("automountServiceAccountToken") is not False:
            yield f"{name(document)}: wants a service account of its own without a token"
        if spec.get("automountServiceAccountToken") is not False:
            yield f"{name(document)}: mounts a service account token"
        if spec.get("enableServiceLinks") is not False:
            yield f"{name(document)}: enableServiceLinks puts foreign variables beside our configuration keys"


@rule
def resources(objects):
    for document, _, container in containers(objects):
        wants, limits = (container.get("resources", {}).get(key, {}) for key in ("requests", "limits"))
        if not ({"cpu", "memory"} <= wants.keys() and "memory" in limits):
            yield f"{name(document)}: wants requests for CPU and memory and a limit for memory"
        if "cpu" in limits:
            yield f"{name(document)}: a CPU limit throttles when it hurts most"


@rule
def probes(objects):
    paths = {"startupProbe": "/livez", "livenessProbe": "/livez", "readinessProbe": "/readyz"}
    for document, _, container in containers(of(objects, "Deployment")):
        for probe, path in paths.items():
            if container.get(probe, {}).get("httpGet") != {"path": path, "port": "ops"}:
                yield f"{name(document)}: {probe} wants {path} on the ops port"


@rule
def rollout_keeps_capacity(objects):
    for document in of(objects, "Deployment"):
        if document["spec"].get("strategy", {}).get("rollingUpdate", {}).get("maxUnavailable") != 0:
            yield f"{name(document)}: a rollout must not take pods away before new ones are ready"
        spread = document["spec"]["template"]["spec"].get("topologySpreadConstraints", [])
        if {"kubernetes.io/hostname", "topology.kubernetes.io/zone"} - {each["topologyKey"] for each in spread}:
            yield f"{name(document)}: wants to be spread over nodes and zones"


@rule
def time_to_leave(objects):
    """preStop, the delay and the grace of the service must end before Kubernetes kills the pod."""
    for document, spec, container in containers(of(objects, "Deployment")):
        configuration = settings(objects, container)
        before = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        needed = before + sum(seconds(configuration.get(f"OUTERACT_SHUTDOWN_{key}", "0s")) for key in ("DELAY", "GRACE"))
        has = spec.get("terminationGracePeriodSeconds", 30)
        if not 0 < before < needed or needed + 5 > has:
            yield f"{name(document)}: needs {needed} s to leave and 5 s to spare, and has {has} s"


def seconds(duration):
    number, unit = re.fullmatch(r"(\d+)(ms|s|m)", duration).groups()
    return int(number) * {"ms": 0.001, "s": 1, "m": 60}[unit]


@rule
def disruption_budget(objects):
    for document in of(objects, "Deployment"):
        labels = labels_of(document["spec"]["template"])
        budgets = [budget["spec"] for budget in of(objects, "PodDisruptionBudget")]
        budgets = [budget for budget in budgets if selects(budget["selector"]["matchLabels"], labels)]
        facts = [(budget.get("maxUnavailable"), budget.get("unhealthyPodEvictionPolicy")) for budget in budgets]
        if facts != [(1, "AlwaysAllow")]:
            yield f"{name(document)}: wants exactly one disruption budget: maxUnavailable 1, AlwaysAllow"


@rule
def services_reach_serving_pods_only(objects):
    for service in of(objects, "Service"):
        selector = service["spec"].get("selector")
        chosen = [(document, template) for document, template in pods(objects) if selects(selector, labels_of(template))]
        if [document["kind"] for document, _ in chosen] != ["Deployment"]:
            yield f"{name(service)}: selects {[name(document) for document, _ in chosen]} instead of one Deployment"
        for _, template in chosen:
            known = {port["name"] for port in template["spec"]["containers"][0].get("ports", [])}
            targets = {port["targetPort"] for port in service["spec"]["ports"]}
            yield from (f"{name(service)}: no port named {missing}" for missing in sorted(targets - known))
    headless = [service["spec"]["selector"] for service in of(objects, "Service") if service["spec"].get("clusterIP") == "None"]
    for document in of(objects, "Deployment"):
        if not any(selects(selector, labels_of(document["spec"]["template"])) for selector in headless):
            yield f"{name(document)}: wants a headless Service for clients that balance by themselves"


@rule
def network_is_closed_by_default(objects):
    policies = [policy["spec"] for policy in of(objects, "NetworkPolicy")]
    closed = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    if closed not in policies:
        yield "NetworkPolicy: wants one that closes everything"
    selectors = [policy["podSelector"].get("matchLabels") for policy in policies]
    for document, template in pods(objects):
        if not any(selects(selector, labels_of(template)) for selector in selectors):
            yield f"{name(document)}: no policy opens what it needs"
    for policy in of(objects, "NetworkPolicy"):
        for way in policy["spec"].get("ingress", []):
            if not way.get("from") or not way.get("ports"):
                yield f"{name(policy)}: lets in everybody"


@rule
def migration_before_service(objects):
    jobs = {document["metadata"]["name"]: document for document in of(objects, "Job")}
    for document in of(objects, "Deployment"):
        job = jobs.get(f"{document['metadata']['name']}-migration")
        if job is None:
            yield f"{name(document)}: wants a migration Job"
            continue
        ours, its = (each["spec"]["template"]["spec"]["containers"][0] for each in (document, job))
        if its.get("args") != ["migrate"] or its["command"] != ours["command"] or its["image"] != ours["image"]:
            yield f"{name(job)}: does not run `migrate` of the same program and image"
        if not {"ttlSecondsAfterFinished", "activeDeadlineSeconds"} <= job["spec"].keys():
            yield f"{name(job)}: wants an end and to be tidied away"


@rule
def images_are_versioned(objects):
    for document, _, container in containers(objects):
        version = re.search(r"(@sha256:[0-9a-f]{64}|:[^:/@]+)$", container["image"])
        if version is None or version.group() == ":latest":
            yield f"{name(document)}: image {container['image']} has no version"


@rule
def secrets_by_reference(objects):
    yield from (f"{name(document)}: secrets do not belong into manifests" for document in of(objects, "Secret"))
    for document, _, container in containers(objects):
        for key, value in settings(objects, container).items():
            secret = re.search(r"SECRET|SEAL_KEYS|TOKEN|PASSWORD|DATABASE_URL|REDIS_URL|OPERATOR_KEY", key)
            if secret and not key.endswith("_FILE") and value is not None:
                yield f"{name(document)}: {key} is in clear"


@rule
def references_resolve(objects):
    maps = {document["metadata"]["name"] for document in of(objects, "ConfigMap")}
    for document, spec, container in containers(objects):
        wanted = {source["configMapRef"]["name"] for source in container.get("envFrom", []) if "configMapRef" in source}
        yield from (f"{name(document)}: no ConfigMap {missing}" for missing in sorted(wanted - maps))
        mounts = {mount["mountPath"]: mount["name"] for mount in container.get("volumeMounts", [])}
        files = {f"{path}/{item['path']}" for path, volume in mounts.items() for item in mounted(spec, volume)}
        for key, value in settings(objects, container).items():
            if key.endswith("_FILE") and value not in files:
                yield f"{name(document)}: {key} names {value}, which is not mounted"


def mounted(spec, wanted):
    volumes = [volume for volume in spec.get("volumes", []) if volume["name"] == wanted]
    sources = [source for volume in volumes for source in volume.get("projected", {}).get("sources", [])]
    return [item for source in sources for item in source["secret"]["items"]]


def settings(objects, container):
    """The environment of a container; None stands for a value that only the cluster knows."""
    maps = {document["metadata"]["name"]: document["data"] for document in of(objects, "ConfigMap")}
    values = {}
    for source in container.get("envFrom", []):
        values.update(maps.get(source.get("configMapRef", {}).get("name"), {}))
    for entry in container.get("env", []):
        values[entry["name"]] = entry.get("value")
    return values


def complaints(objects):
    return [complaint for check in RULES for complaint in check(objects)]


SAMPLES = {
    "database-url": "postgres://role:password@127.0.0.1/outeract",
    "redis-url": "redis://127.0.0.1:6379",
    "seal-keys": "k1:" + "A" * 43 + "=\nhash:" + "A" * 43 + "=",
    "service-secret": "0" * 64,
    "app-secret": "0" * 32,
    "verify-token": "0" * 64,
    "app-id": "1000000000000001",
    "peers": "messaging=" + "0" * 64,
}


def refused(objects, binaries):
    """What the programs say of the configuration they would get."""
    for document, _, container in containers(objects):
        program = Path(binaries) / Path(container["command"][0]).name
        if not program.is_file():
            yield f"{name(document)}: {program} is not built"
            continue
        with tempfile.TemporaryDirectory() as directory:
            environment = {}
            for key, value in settings(objects, container).items():
                if key.endswith("_FILE"):
                    file = Path(directory) / Path(value).name
                    file.write_text(SAMPLES[file.name] + "\n")
                    value = str(file)
                environment[key] = (value or "").replace("$(POD_IP)", "127.0.0.1")
            for entry in container.get("env", []):
                source = entry.get("valueFrom", {})
                if "secretKeyRef" in source:
                    environment[entry["name"]] = SAMPLES[source["secretKeyRef"]["key"]]
                elif "fieldRef" in source:
                    environment[entry["name"]] = "127.0.0.1"
            check = subprocess.run([program, "config", "check"], env=environment, capture_output=True, text=True, timeout=20)
            if check.returncode != 0:
                said = (check.stdout + check.stderr).partition("the configuration has")
                yield f"{name(document)}: {program.name} config check: {(said[1] + said[2]) or said[0]}"


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--binaries")
    arguments.add_argument("files", nargs="+")
    arguments = arguments.parse_args()
    bad = 0
    for file in arguments.files:
        objects = load(file)
        found = complaints(objects) + (list(refused(objects, arguments.binaries)) if arguments.binaries else [])
        bad += len(found)
        for complaint in found:
            print(f"{Path(file).name}: {complaint}")
    print(f"policy: {len(RULES)} rules over {len(arguments.files)} renderings, {bad} complaints")
    sys.exit(bad > 0)


if __name__ == "__main__":
    main()
