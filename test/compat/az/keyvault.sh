# Commands of the group keyvault, each with its output checked.
. "$(dirname "$0")/lib.sh"
az login --service-principal -u "$AZURE_CLIENT_ID" -p "$AZURE_CLIENT_SECRET" --tenant "$AZURE_TENANT_ID" >/dev/null || exit 1
az group create --name rg --location "East US" >/dev/null || exit 1
me=$(az ad sp show --id "$AZURE_CLIENT_ID" --query id -o tsv)
expect '"name": "premium"' az keyvault create -n demo -g rg --sku premium --retention-days 7 --tags a=b $CREATE_FLAGS
expect '"purge"' az keyvault set-policy -n demo --object-id "$me" --certificate-permissions all purge --secret-permissions all purge --key-permissions all purge
expect '"a": "b"' az keyvault show -n demo
expect 'demo' az keyvault list -o tsv
expect 'demo' az keyvault list -g rg -o tsv
expect 'true' az group exists -n rg
expect 'eastus' az group show -n rg
refused 'RegionNotSupported' az keyvault check-name --name demo --resource-type hsm
expect '"enabledForDeployment": true' az keyvault update -n demo --enabled-for-deployment true
expect '10.1.0.0/24' az keyvault network-rule add -n demo --ip-address 10.1.0.0/24
expect '10.1.0.0/24' az keyvault network-rule list -n demo
expect '"ipRules": \[\]|"networkAcls": null|"name": "demo"' az keyvault network-rule remove -n demo --ip-address 10.1.0.0/24

policy=$(az keyvault certificate get-default-policy)
expect '"status": "completed"' az keyvault certificate create --vault-name demo -n web -p "$policy"
expect '"x509ThumbprintHex"' az keyvault certificate show --vault-name demo -n web
expect 'web' az keyvault certificate list --vault-name demo -o tsv
expect '/certificates/web/' az keyvault certificate list-versions --vault-name demo -n web
expect '"enabled": false' az keyvault certificate set-attributes --vault-name demo -n web --enabled false --tags x=y
expect '"enabled": true' az keyvault certificate set-attributes --vault-name demo -n web --enabled true
expect '^$' az keyvault certificate download --vault-name demo -n web -f web.pem
expect 'BEGIN CERTIFICATE' cat web.pem
expect '^$' az keyvault certificate download --vault-name demo -n web -f web.der -e DER
expect '^$' az keyvault certificate backup --vault-name demo -n web -f web.backup
expect '"status": "completed"' az keyvault certificate pending show --vault-name demo -n web
expect '^$' az keyvault secret download --vault-name demo -n web -f web.pfx -e base64
expect '/certificates/imported/' az keyvault certificate import --vault-name demo -n imported -f web.pfx
refused 'Forbidden|BadParameter|no private key|password|not' az keyvault certificate import --vault-name demo -n broken -f web.der
expect '"recoveryId"|^$' az keyvault certificate delete --vault-name demo -n web
expect 'web' az keyvault certificate list-deleted --vault-name demo -o tsv
expect '"scheduledPurgeDate"' az keyvault certificate show-deleted --vault-name demo -n web
expect 'web' az keyvault certificate recover --vault-name demo -n web
expect '.*' az keyvault certificate delete --vault-name demo -n web
expect '^$' az keyvault certificate purge --vault-name demo -n web
expect '/certificates/web/' az keyvault certificate restore --vault-name demo -f web.backup
expect 'someone@example.com' az keyvault certificate contact add --vault-name demo --email someone@example.com --name S --phone 1
expect 'someone@example.com' az keyvault certificate contact list --vault-name demo
expect '.*' az keyvault certificate contact delete --vault-name demo --email someone@example.com
expect '"provider": "Test"' az keyvault certificate issuer create --vault-name demo --issuer-name ca --provider-name Test
expect '"provider": "Test"' az keyvault certificate issuer show --vault-name demo --issuer-name ca
expect '/issuers/ca' az keyvault certificate issuer list --vault-name demo
expect 'admin@example.com' az keyvault certificate issuer admin add --vault-name demo --issuer-name ca --email admin@example.com --first-name A --last-name B --phone 1
expect 'admin@example.com' az keyvault certificate issuer admin list --vault-name demo --issuer-name ca
expect '.*' az keyvault certificate issuer admin delete --vault-name demo --issuer-name ca --email admin@example.com
expect '"accountId": "me"' az keyvault certificate issuer update --vault-name demo --issuer-name ca --account-id me
expect '"provider": "Test"' az keyvault certificate issuer delete --vault-name demo --issuer-name ca

expect '"value": "v1"' az keyvault secret set --vault-name demo -n s --value v1 --tags a=b --description text
expect '"value": "v1"' az keyvault secret show --vault-name demo -n s
expect '/secrets/s' az keyvault secret list --vault-name demo
expect '/secrets/s/' az keyvault secret list-versions --vault-name demo -n s
expect '"enabled": false' az keyvault secret set-attributes --vault-name demo -n s --enabled false
refused 'Forbidden' az keyvault secret show --vault-name demo -n s
expect '"enabled": true' az keyvault secret set-attributes --vault-name demo -n s --enabled true
expect '^$' az keyvault secret download --vault-name demo -n s -f s.txt
expect '^v1$' cat s.txt
expect '^$' az keyvault secret backup --vault-name demo -n s -f s.backup
expect '"recoveryId"' az keyvault secret delete --vault-name demo -n s
expect '/secrets/s' az keyvault secret list-deleted --vault-name demo
expect '"scheduledPurgeDate"' az keyvault secret show-deleted --vault-name demo -n s
expect '/secrets/s/' az keyvault secret recover --vault-name demo -n s
expect '"recoveryId"' az keyvault secret delete --vault-name demo -n s
expect '^$' az keyvault secret purge --vault-name demo -n s
expect '/secrets/s/' az keyvault secret restore --vault-name demo -f s.backup

expect '"kty": "RSA"' az keyvault key create --vault-name demo -n k --kty RSA --size 2048
expect '"crv": "P-256"' az keyvault key create --vault-name demo -n ec --kty EC --curve P-256
expect '"kty": "EC-HSM"' az keyvault key create --vault-name demo -n hsm --kty EC-HSM
expect '"kid"' az keyvault key show --vault-name demo -n k
expect '/keys/k' az keyvault key list --vault-name demo
expect '/keys/k/' az keyvault key list-versions --vault-name demo -n k
expect '"enabled": false' az keyvault key set-attributes --vault-name demo -n k --enabled false
expect '"enabled": true' az keyvault key set-attributes --vault-name demo -n k --enabled true
expect '"result"' az keyvault key encrypt --vault-name demo -n k -a RSA-OAEP-256 --value secret --data-type plaintext
sealed=$(az keyvault key encrypt --vault-name demo -n k -a RSA-OAEP-256 --value secret --data-type plaintext --query result -o tsv)
expect '"result": "secret"' az keyvault key decrypt --vault-name demo -n k -a RSA-OAEP-256 --value "$sealed" --data-type plaintext
expect '^$' az keyvault key download --vault-name demo -n k -f k.pem
expect 'BEGIN PUBLIC KEY' cat k.pem
expect '^$' az keyvault key backup --vault-name demo -n k -f k.backup
expect '/keys/k/' az keyvault key rotate --vault-name demo -n k
printf '{"lifetimeActions":[{"trigger":{"timeAfterCreate":"P30D"},"action":{"type":"Rotate"}}],"attributes":{"expiryTime":"P90D"}}' > rotation.json
expect 'P90D' az keyvault key rotation-policy update --vault-name demo -n k --value rotation.json
expect 'P90D' az keyvault key rotation-policy show --vault-name demo -n k
expect '"recoveryId"' az keyvault key delete --vault-name demo -n k
expect '/keys/k' az keyvault key list-deleted --vault-name demo
expect '"scheduledPurgeDate"' az keyvault key show-deleted --vault-name demo -n k
expect '/keys/k/' az keyvault key recover --vault-name demo -n k
expect '"recoveryId"' az keyvault key delete --vault-name demo -n k
expect '^$' az keyvault key purge --vault-name demo -n k
expect '/keys/k/' az keyvault key restore --vault-name demo -f k.backup
openssl genrsa -out imported.pem 2048 2>/dev/null
expect '/keys/pem/' az keyvault key import --vault-name demo -n pem --pem-file imported.pem

expect '^$|"name"' az keyvault delete-policy -n demo --object-id "$me"
refused 'Forbidden' az keyvault secret list --vault-name demo
expect '.*' az keyvault delete -n demo
expect 'demo' az keyvault list-deleted -o tsv
expect '"scheduledPurgeDate"' az keyvault show-deleted -n demo
refused 'deleted state|already exists|recover' az keyvault create -n demo -g rg
expect '"name": "demo"' az keyvault recover -n demo
expect '.*' az keyvault delete -n demo
expect '^$' az keyvault purge -n demo
expect '\[\]' az keyvault list-deleted
expect 'Key Vault Secrets User' az role definition list --name "Key Vault Secrets User"
expect '"displayName"' az ad app list --all
refused 'not found|could not be found|ResourceGroupNotFound' az group show -n nothing
expect '^$' az group delete -n rg
echo "keyvault done: $count commands"
