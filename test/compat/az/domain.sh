# An installation on a domain of its own: the tool is told where it is by one document. It is
# started with the environment that coffer init prints, and DOMAIN with the port.
. "$(dirname "$0")/lib.sh"
cat > cloud.json <<END
{"endpoints": {
   "resourceManager": "https://management.$DOMAIN", "management": "https://management.$DOMAIN",
   "activeDirectory": "https://login.$DOMAIN/adfs", "activeDirectoryResourceId": "https://management.$DOMAIN",
   "activeDirectoryGraphResourceId": "https://graph.$DOMAIN/", "microsoftGraphResourceId": "https://graph.$DOMAIN/"},
 "suffixes": {"keyvaultDns": ".vault.$DOMAIN", "mhsmDns": ".managedhsm.vault.$DOMAIN"}}
END
unset AZURE_AUTHORITY_HOST
export AZURE_CONFIG_DIR=$PWD/config
expect '.*' az cloud register -n coffer --cloud-config @cloud.json
expect '.*' az cloud set -n coffer
expect '"state": "Enabled"' az login --service-principal -u "$AZURE_CLIENT_ID" -p "$AZURE_CLIENT_SECRET" --tenant "$TENANT"
expect "$TENANT" az account show --query tenantId -o tsv
expect '"provisioningState": "Succeeded"' az group create --name rg --location eastus
expect "https://demo.vault.$DOMAIN/" az keyvault create -n demo -g rg --enable-rbac-authorization true
az ad sp create-for-rbac -n program > program.json || exit 1
program() { sed -n "s/.*\"$1\": \"\(.*\)\".*/\1/p" program.json; }
expect 'roleAssignments/' az role assignment create --role "Key Vault Administrator" --assignee "$(program appId)" --scope "$(az keyvault show -n demo --query id -o tsv)"
expect 'jane@coffer.test' az ad user create --display-name Jane --user-principal-name jane@coffer.test --password 'correct horse 9'
expect 'readers' az ad group create --display-name readers --mail-nickname readers
expect "$(program appId)" az login --service-principal -u "$(program appId)" -p "$(program password)" --tenant "$TENANT" --allow-no-subscriptions
expect "https://demo.vault.$DOMAIN/secrets/s/" az keyvault secret set --vault-name demo -n s --value v
expect '"value": "v"' az keyvault secret show --vault-name demo -n s
expect '"value": "v"' az keyvault secret show --id "https://demo.vault.$DOMAIN/secrets/s"
expect '"status": "completed"' az keyvault certificate create --vault-name demo -n web -p "$(az keyvault certificate get-default-policy)"
expect '"kid"' az keyvault key create --vault-name demo -n k --kty EC
expect '/secrets/s"' az rest --method get --url "https://demo.vault.$DOMAIN/secrets?api-version=7.4" --resource "https://vault.$DOMAIN"
expect 'jane@coffer.test' az login -u jane@coffer.test -p 'correct horse 9' --tenant "$TENANT" --allow-no-subscriptions
refused 'Forbidden|not authorized' az keyvault secret show --vault-name demo -n s

# The same without a command: the tool asks for the document.
export AZURE_CONFIG_DIR=$PWD/asked ARM_CLOUD_METADATA_URL="https://management.$DOMAIN/metadata/endpoints?api-version=2019-05-01"
mkdir -p "$AZURE_CONFIG_DIR"
expect '"state": "Enabled"' az login --service-principal -u "$AZURE_CLIENT_ID" -p "$AZURE_CLIENT_SECRET" --tenant "$TENANT"
expect "https://demo.vault.$DOMAIN/" az keyvault show -n demo --query properties.vaultUri -o tsv
expect '.*' az keyvault delete -n demo
expect '^$' az keyvault purge -n demo
expect '^$' az group delete --name rg
echo "domain done, $count commands"
