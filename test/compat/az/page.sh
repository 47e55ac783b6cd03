# The set-up page of the public quickstart, in both of its forms.
. "$(dirname "$0")/lib.sh"
program=$1
expect '"state": "Enabled"' az login --service-principal -u "$AZURE_CLIENT_ID" -p "$AZURE_CLIENT_SECRET" --tenant "$AZURE_TENANT_ID"
az ad sp create-for-rbac -n "http://my-application" --skip-assignment > application.json || exit 1
app() { sed -n "s/.*\"$1\": \"\(.*\)\".*/\1/p" application.json; }
as_application() { AZURE_CLIENT_ID=$(app appId) AZURE_CLIENT_SECRET=$(app password) KEY_VAULT_NAME=$1 $program < <(echo "$2"); }
expect '"provisioningState": "Succeeded"' az group create --name KeyVault-PythonQS-rg --location eastus
expect '"vaultUri": "https://demo.vault.azure.net/"' az keyvault create --name demo --resource-group KeyVault-PythonQS-rg $CREATE_FLAGS
refused 'Forbidden' as_application demo page
expect '"certificates": \[' az keyvault set-policy --name demo --spn "$(app appId)" --resource-group KeyVault-PythonQS-rg --certificate-permissions delete get list create
expect 'can be recovered until' as_application demo page
AZURE_CLIENT_ID=$(app appId) AZURE_CLIENT_SECRET=$(app password) az login --service-principal -u "$(app appId)" -p "$(app password)" --tenant "$AZURE_TENANT_ID" --allow-no-subscriptions >/dev/null || exit 1
refused 'does not have certificates purge permission' az keyvault certificate purge --vault-name demo --name page
refused 'AuthorizationFailed|does not have authorization|No subscription|ResourceNotFound|not found' az group create --name other --location eastus
expect 'Enabled' az login --service-principal -u "$AZURE_CLIENT_ID" -p "$AZURE_CLIENT_SECRET" --tenant "$AZURE_TENANT_ID"

# The form with role assignments.
expect '"enableRbacAuthorization": true' az keyvault create --name demo-roles --resource-group KeyVault-PythonQS-rg --enable-rbac-authorization true
refused 'ForbiddenByRbac|not authorized' as_application demo-roles page
scope=$(az keyvault show --name demo-roles --query id -o tsv)
expect 'roleAssignments/' az role assignment create --role "Key Vault Certificates Officer" --assignee "$(app appId)" --scope "$scope"
expect 'can be recovered until' as_application demo-roles page
expect 'Key Vault Certificates Officer' az role assignment list --scope "$scope" -o table
expect '^$' az role assignment delete --role "Key Vault Certificates Officer" --assignee "$(app appId)" --scope "$scope"
refused 'ForbiddenByRbac|not authorized' as_application demo-roles page

# A second create-for-rbac makes a new password, and the first one ends at once.
cp application.json first.json
az ad sp create-for-rbac -n "http://my-application" > application.json || exit 1
refused 'AADSTS7000215|invalid_client' env AZURE_CONFIG_DIR="$PWD/fresh" az login --service-principal -u "$(app appId)" -p "$(sed -n 's/.*"password": "\(.*\)".*/\1/p' first.json)" --tenant "$AZURE_TENANT_ID"
expect '^$' az group delete --name KeyVault-PythonQS-rg
expect 'demo' az keyvault list-deleted -o table
expect '^$' az ad sp delete --id "$(app appId)"
echo "page done: $count commands"
