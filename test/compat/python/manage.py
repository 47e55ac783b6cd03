"""Every method of the control plane's client for vaults; roles, groups and subscriptions
beside it."""

import base64
import json
import os
import time
import uuid

from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.identity import DefaultAzureCredential
from azure.keyvault.secrets import SecretClient
from azure.mgmt.authorization import AuthorizationManagementClient
from azure.mgmt.keyvault import KeyVaultManagementClient
from azure.mgmt.resource.resources import ResourceManagementClient
from azure.mgmt.resource.subscriptions import SubscriptionClient

from watch import watch

GROUP, PLACE = "rg", "eastus"
credential = DefaultAzureCredential()
token = credential.get_token("https://management.azure.com/.default").token
me = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
tenant, person = me["tid"], me["oid"]


def fails(kind, code, call, *args, **kwargs):
    try:
        call(*args, **kwargs)
    except kind as e:
        assert e.error.code == code, e
        return e
    raise AssertionError(f"no {code}")


places = SubscriptionClient(credential)
assert [t.tenant_id for t in places.tenants.list()] == [tenant]
(subscription,) = [s.subscription_id for s in places.subscriptions.list()]
assert places.subscriptions.get(subscription).state == "Enabled"
assert PLACE in [l.name for l in places.subscriptions.list_locations(subscription)]
fails(ResourceNotFoundError, "SubscriptionNotFound", places.subscriptions.get, str(uuid.uuid4()))

resources = ResourceManagementClient(credential, subscription)
assert resources.providers.get("Microsoft.KeyVault").registration_state == "Registered"
assert "Microsoft.Authorization" in [p.namespace for p in resources.providers.list()]
made = resources.resource_groups.create_or_update(GROUP, {"location": "East US", "tags": {"a": "b"}})
assert made.location == PLACE and made.tags == {"a": "b"} and made.properties.provisioning_state == "Succeeded"
assert resources.resource_groups.update(GROUP, {"tags": {"c": "d"}}).tags == {"c": "d"}
assert resources.resource_groups.check_existence(GROUP) and not resources.resource_groups.check_existence("nothing")
assert [g.name for g in resources.resource_groups.list()].count(GROUP) == 1

client = KeyVaultManagementClient(credential, subscription)
vaults = client.vaults
done = watch(vaults)


def entry(*secrets):
    return {"tenantId": tenant, "objectId": person, "permissions": {"secrets": list(secrets)}}


def wanted(**properties):
    base = {"tenantId": tenant, "sku": {"family": "A", "name": "standard"}, "accessPolicies": [entry("get")], "enableRbacAuthorization": False}
    return {"location": PLACE, "tags": {"a": "b"}, "properties": base | properties}


assert vaults.check_name_availability({"name": "made-1", "type": "Microsoft.KeyVault/vaults"}).name_available
for name in "made-1", "made-2", "made-3":
    vault = vaults.begin_create_or_update(GROUP, name, wanted(softDeleteRetentionInDays=7)).result()
    assert vault.properties.vault_uri.rstrip("/") == f"https://{name}.vault.azure.net" and vault.properties.provisioning_state == "Succeeded"
taken = vaults.check_name_availability({"name": "made-1", "type": "Microsoft.KeyVault/vaults"})
assert not taken.name_available and taken.reason == "AlreadyExists"
assert [v.name for v in vaults.list_by_resource_group(GROUP, top=2)] == ["made-1", "made-2", "made-3"]
assert [v.name for v in vaults.list_by_subscription(top=1)] == ["made-1", "made-2", "made-3"]
assert [v.name for v in vaults.list()] == ["made-1", "made-2", "made-3"]
assert [r.name for r in resources.resources.list_by_resource_group(GROUP, filter="resourceType eq 'Microsoft.KeyVault/vaults'")] == ["made-1", "made-2", "made-3"]
for kind, secrets, left in ("add", ["set"], {"get", "set"}), ("remove", ["get"], {"set"}), ("replace", ["list"], {"list"}):
    answer = vaults.update_access_policy(GROUP, "made-1", kind, {"properties": {"accessPolicies": [entry(*secrets)]}})
    (held,) = answer.properties.access_policies
    assert set(held.permissions.secrets) == left, held
    (held,) = vaults.get(GROUP, "made-1").properties.access_policies
    assert set(held.permissions.secrets) == left, held
patched = vaults.update(GROUP, "made-1", {"tags": {"x": "y"}, "properties": {"enabledForDeployment": True}})
assert patched.tags == {"x": "y"} and patched.properties.enabled_for_deployment
put = vaults.begin_create_or_update
fails(HttpResponseError, "BadRequest", put, GROUP, "made-1", wanted(softDeleteRetentionInDays=8))
fails(HttpResponseError, "LocationNotAvailableForResourceType", put, GROUP, "made-9", wanted() | {"location": "nowhere"})
fails(ResourceExistsError, "InvalidResourceLocation", put, GROUP, "made-1", wanted() | {"location": "westus"})
fails(ResourceNotFoundError, "ResourceGroupNotFound", put, "nothing", "made-9", wanted())
fails(ResourceNotFoundError, "ResourceNotFound", vaults.get, GROUP, "made-9")

# A role holds, and ends, with the next request.
vaults.begin_create_or_update(GROUP, "made-4", wanted(enableRbacAuthorization=True, accessPolicies=[])).result()
secrets = SecretClient("https://made-4.vault.azure.net", credential)
roles = AuthorizationManagementClient(credential, subscription)
scope = f"/subscriptions/{subscription}"
(officer,) = roles.role_definitions.list(scope, filter="roleName eq 'Key Vault Secrets Officer'")
own = {"role_name": "Secret Setter", "role_type": "CustomRole", "assignable_scopes": [scope], "permissions": [{"dataActions": ["Microsoft.KeyVault/vaults/secrets/setSecret/action"]}]}
guid = str(uuid.uuid4())
for description in "once", "twice":
    setter = roles.role_definitions.create_or_update(scope, guid, {**own, "description": description})
    assert setter.description == description and roles.role_definitions.get(scope, guid).role_name == "Secret Setter"
vault = f"{scope}/resourceGroups/{GROUP}/providers/Microsoft.KeyVault/vaults/made-4"
for at in scope, f"{scope}/resourceGroups/{GROUP}", vault, f"{vault}/secrets/s":
    for role in officer, setter:
        fails(HttpResponseError, "Forbidden", secrets.set_secret, "s", "v")
        body = {"role_definition_id": role.id, "principal_id": person, "principal_type": "ServicePrincipal"}
        held = roles.role_assignments.create(at, str(uuid.uuid4()), body)
        secrets.set_secret("s", "v")
        fails(ResourceExistsError, "RoleAssignmentExists", roles.role_assignments.create, at, str(uuid.uuid4()), body)
        assert held.id in [a.id for a in roles.role_assignments.list_for_scope(at, filter="atScope()")]
        assert roles.role_assignments.get_by_id(held.id).scope == at
        assert roles.role_assignments.delete_by_id(held.id).id == held.id
fails(ResourceNotFoundError, "RoleAssignmentNotFound", roles.role_assignments.get, at, held.name)
roles.role_definitions.delete(scope, guid)

for name in "made-1", "made-2":
    vaults.delete(GROUP, name)
deleted = vaults.get_deleted("made-1", PLACE)
assert (deleted.properties.scheduled_purge_date - deleted.properties.deletion_date).days == 7
assert sorted(d.name for d in vaults.list_deleted()) == ["made-1", "made-2"]
fails(ResourceExistsError, "ConflictError", put, GROUP, "made-1", wanted())
back = put(GROUP, "made-1", {"location": PLACE, "properties": {"tenantId": tenant, "sku": {"family": "A", "name": "standard"}, "createMode": "recover"}}).result()
assert back.tags == {"x": "y"} and back.properties.enabled_for_deployment
start = time.monotonic()
vaults.begin_purge_deleted("made-2", PLACE).result()
resources.resource_groups.begin_delete(GROUP).result()
assert sorted(d.name for d in vaults.list_deleted()) == ["made-1", "made-3", "made-4"]
fails(ResourceNotFoundError, "ResourceGroupNotFound", resources.resource_groups.get, GROUP)
done()
print(f"manage done; purging and deleting took {time.monotonic() - start:.1f} s")
