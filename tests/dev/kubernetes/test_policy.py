"""Each rule of policy.py is shown to fire: the rendered base is clean, and one change to it is caught by the rule named."""

import copy
import os
import unittest

import policy

BASE = policy.load(os.environ["RENDERED"])


def first(objects, kind):
    return next(document for document in objects if document["kind"] == kind)


def pod(objects, kind="Deployment"):
    return first(objects, kind)["spec"]["template"]["spec"]


def container(objects, kind="Deployment"):
    return pod(objects, kind)["containers"][0]


def spec(objects, kind):
    return first(objects, kind)["spec"]


def secret_of(objects):
    return pod(objects)["volumes"][0]["projected"]["sources"][0]["secret"]


def named(objects, kind, wanted):
    return next(document for document in policy.of(objects, kind) if document["metadata"]["name"] == wanted)


def webhook_policy(objects):
    return named(objects, "NetworkPolicy", "outeract-webhook")


def config(objects, key, value):
    for document in policy.of(objects, "ConfigMap"):
        if key in document["data"]:
            document["data"][key] = value


MUTANTS = [
    ("restricted_security", lambda o: pod(o)["securityContext"].pop("runAsNonRoot")),
    ("restricted_security", lambda o: pod(o)["securityContext"].update(runAsUser=0)),
    ("restricted_security", lambda o: pod(o, "Job")["securityContext"].pop("seccompProfile")),
    ("restricted_security", lambda o: container(o)["securityContext"].update(allowPrivilegeEscalation=True)),
    ("restricted_security", lambda o: container(o, "Job")["securityContext"].pop("readOnlyRootFilesystem")),
    ("restricted_security", lambda o: container(o)["securityContext"]["capabilities"].update(add=["NET_ADMIN"])),
    ("restricted_security", lambda o: pod(o).update(hostNetwork=True)),
    ("restricted_security", lambda o: pod(o)["volumes"].append({"name": "host", "hostPath": {"path": "/"}})),
    ("namespace_enforces_it", lambda o: first(o, "Namespace")["metadata"].pop("labels")),
    ("namespace_enforces_it", lambda o: first(o, "Service")["metadata"].update(namespace="default")),
    ("own_account_without_token", lambda o: pod(o).update(automountServiceAccountToken=True)),
    ("own_account_without_token", lambda o: pod(o).pop("serviceAccountName")),
    ("own_account_without_token", lambda o: pod(o, "Job").pop("enableServiceLinks")),
    ("own_account_without_token", lambda o: first(o, "ServiceAccount").pop("automountServiceAccountToken")),
    ("resources", lambda o: container(o)["resources"]["limits"].pop("memory")),
    ("resources", lambda o: container(o)["resources"]["limits"].update(cpu="1")),
    ("resources", lambda o: container(o)["resources"]["requests"].pop("cpu")),
    ("probes", lambda o: container(o).pop("startupProbe")),
    ("probes", lambda o: container(o)["readinessProbe"]["httpGet"].update(path="/livez")),
    ("probes", lambda o: container(o)["livenessProbe"]["httpGet"].update(port="grpc")),
    ("rollout_keeps_capacity", lambda o: spec(o, "Deployment")["strategy"]["rollingUpdate"].update(maxUnavailable=1)),
    ("rollout_keeps_capacity", lambda o: pod(o)["topologySpreadConstraints"].pop()),
    ("time_to_leave", lambda o: pod(o).update(terminationGracePeriodSeconds=30)),
    ("time_to_leave", lambda o: container(o).pop("lifecycle")),
    ("time_to_leave", lambda o: config(o, "OUTERACT_SHUTDOWN_GRACE", "1m")),
    ("disruption_budget", lambda o: o.remove(first(o, "PodDisruptionBudget"))),
    ("disruption_budget", lambda o: spec(o, "PodDisruptionBudget").update(maxUnavailable=0)),
    ("services_reach_serving_pods_only", lambda o: spec(o, "Service")["selector"].pop("outeract/role")),
    ("services_reach_serving_pods_only", lambda o: spec(o, "Service")["ports"][0].update(targetPort="http")),
    ("services_reach_serving_pods_only", lambda o: o.remove(named(o, "Service", "outeract-webhook-headless"))),
    ("network_is_closed_by_default", lambda o: o.remove(named(o, "NetworkPolicy", "default-deny"))),
    ("network_is_closed_by_default", lambda o: o.remove(webhook_policy(o))),
    ("network_is_closed_by_default", lambda o: webhook_policy(o)["spec"]["ingress"][0].pop("from")),
    ("migration_before_service", lambda o: o.remove(first(o, "Job"))),
    ("migration_before_service", lambda o: container(o, "Job").update(args=["serve"])),
    ("migration_before_service", lambda o: container(o, "Job").update(image="registry.example/outeract-whatsapp:0.0.9")),
    ("migration_before_service", lambda o: spec(o, "Job").pop("ttlSecondsAfterFinished")),
    ("images_are_versioned", lambda o: container(o).update(image="registry.example/outeract-whatsapp")),
    ("images_are_versioned", lambda o: container(o).update(image="registry.example:5000/outeract-whatsapp:latest")),
    ("secrets_by_reference", lambda o: o.append({"kind": "Secret", "metadata": {"name": "s", "namespace": "outeract"}})),
    ("secrets_by_reference", lambda o: container(o)["env"].append({"name": "X_DATABASE_URL", "value": "postgres://u:p@h"})),
    ("references_resolve", lambda o: container(o)["envFrom"][0]["configMapRef"].update(name="absent")),
    ("references_resolve", lambda o: secret_of(o)["items"].pop()),
]


class Policy(unittest.TestCase):
    def test_the_base_is_clean(self):
        self.assertEqual(policy.complaints(BASE), [])

    def test_each_mutant_is_caught_by_its_rule(self):
        rules = {rule.__name__: rule for rule in policy.RULES}
        for number, (name, mutate) in enumerate(MUTANTS):
            with self.subTest(rule=name, mutant=number):
                changed = copy.deepcopy(BASE)
                mutate(changed)
                self.assertTrue(list(rules[name](changed)), "not caught")

    def test_each_rule_has_a_mutant(self):
        self.assertEqual({rule.__name__ for rule in policy.RULES}, {name for name, _ in MUTANTS})


if __name__ == "__main__":
    unittest.main()
