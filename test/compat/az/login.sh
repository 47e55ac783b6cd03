# Every way in which the tool signs in, without a browser. CERTIFICATE is the option that
# names the file of a certificate.
. "$(dirname "$0")/lib.sh"
expect 'developer@coffer.local' az login --use-device-code --allow-no-subscriptions
tenant=$(az account show --query tenantId -o tsv)
expect '/secrets/s/' az keyvault secret set --vault-name demo -n s --value v
expect 'developer@coffer.local' az ad signed-in-user show
expect 'jane@coffer.local' az ad user create --display-name Jane --user-principal-name jane@coffer.local --password 'correct horse 9'
HOME=$PWD az ad sp create-for-rbac --name certificate --create-cert -o json 2>/dev/null >app.json || exit 1
app=$(grep -oE '"appId": "[^"]*"' app.json | cut -d'"' -f4)
file=$(grep -oE '"fileWithCertAndPrivateKey": "[^"]*"' app.json | cut -d'"' -f4)
expect '^$' az logout
expect "$app" az login --service-principal -u "$app" "$CERTIFICATE" "$file" --tenant "$tenant" --allow-no-subscriptions
expect '^$' az logout
expect 'jane@coffer.local' az login -u jane@coffer.local -p 'correct horse 9' --tenant "$tenant" --allow-no-subscriptions
refused 'AADSTS50126' az login -u jane@coffer.local -p wrong --tenant "$tenant" --allow-no-subscriptions
echo "login done, $count commands"
