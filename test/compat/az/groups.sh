# Groups of the directory: who is in one has what is given to it, and not for longer.
. "$(dirname "$0")/lib.sh"
az login --service-principal -u "$AZURE_CLIENT_ID" -p "$AZURE_CLIENT_SECRET" --tenant "$AZURE_TENANT_ID" >/dev/null || exit 1
az ad sp create-for-rbac -n member > member.json || exit 1
member() { sed -n "s/.*\"$1\": \"\(.*\)\".*/\1/p" member.json; }
az group create --name rg --location eastus >/dev/null || exit 1
az keyvault create -n demo-roles -g rg --enable-rbac-authorization true >/dev/null || exit 1
az keyvault create -n demo-policies -g rg $CREATE_FLAGS >/dev/null || exit 1
scope=$(az keyvault show -n demo-roles --query id -o tsv)
principal=$(az ad sp show --id "$(member appId)" --query id -o tsv)
as_member() { AZURE_CONFIG_DIR="$PWD/member" "$@"; }
as_member az login --service-principal -u "$(member appId)" -p "$(member password)" --tenant "$AZURE_TENANT_ID" --allow-no-subscriptions >/dev/null || exit 1

expect '"displayName": "readers"' az ad group create --display-name readers --mail-nickname readers --description "who reads"
expect 'already exists|"displayName": "readers"' az ad group create --display-name readers --mail-nickname readers
group=$(az ad group show --group readers --query id -o tsv)
expect "$group" az ad group list --display-name read --query '[].id' -o tsv
expect "$group" az ad group list --filter "displayName eq 'readers'" --query '[].id' -o tsv
expect "$AZURE_CLIENT_ID" az ad group owner list --group "$group" --query '[].appId' -o tsv
expect 'roleAssignments/' az role assignment create --role "Key Vault Secrets Officer" --assignee "$group" --scope "$scope"
expect '"secrets": \[' az keyvault set-policy -n demo-policies --object-id "$group" --secret-permissions get list set
for vault in demo-roles demo-policies; do refused 'Forbidden' as_member az keyvault secret set --vault-name $vault -n s --value v; done
expect '"value": false' az ad group member check --group readers --member-id "$principal"
expect '^$' az ad group member add --group readers --member-id "$principal"
refused 'already exist' az ad group member add --group readers --member-id "$principal"
expect '"value": true' az ad group member check --group readers --member-id "$principal"
expect "$principal" az ad group member list --group readers --query '[].id' -o tsv
expect '^$' az ad group get-member-groups --group "$group" -o tsv
for vault in demo-roles demo-policies; do expect "$vault.vault.azure.net/secrets/s/" as_member az keyvault secret set --vault-name $vault -n s --value v; done
expect 'Key Vault Secrets Officer' az role assignment list --assignee "$principal" --include-groups --all -o table
expect 'readers' az role assignment list --scope "$scope" --query '[].principalName' -o tsv
expect '^$' az ad group member remove --group readers --member-id "$principal"
for vault in demo-roles demo-policies; do refused 'Forbidden' as_member az keyvault secret show --vault-name $vault -n s; done

expect 'jane@coffer.local' az ad user create --display-name Jane --user-principal-name jane@coffer.local --password 'correct horse 9'
jane=$(az ad user show --id jane@coffer.local --query id -o tsv)
expect '^$' az ad group owner add --group "$group" --owner-object-id "$jane"
expect '^$' az ad group owner remove --group "$group" --owner-object-id "$jane"
expect '^$' az ad group member add --group "$group" --member-id "$jane"
expect 'readers' az ad user get-member-groups --id jane@coffer.local
as_member az login -u jane@coffer.local -p 'correct horse 9' --tenant "$AZURE_TENANT_ID" --allow-no-subscriptions >/dev/null || exit 1
expect '"value": "v"' as_member az keyvault secret show --vault-name demo-roles -n s
refused 'Insufficient privileges' as_member az ad group create --display-name mine --mail-nickname mine
refused 'Insufficient privileges' as_member az ad group member add --group "$group" --member-id "$principal"
expect '^$' az ad group delete --group readers
refused 'Forbidden' as_member az keyvault secret show --vault-name demo-roles -n s
refused 'not exist|ResourceNotFound|not found|No group' az ad group show --group readers
expect '^\[\]$' az role assignment list --scope "$scope" --query "[?principalType=='Group']"
echo "groups done, $count commands"
