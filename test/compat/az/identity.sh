# The managed identity, as Cloud Shell or App Service have one.
. "$(dirname "$0")/lib.sh"
expect 'MSI' az login --identity --allow-no-subscriptions
expect '/secrets/s/' az keyvault secret set --vault-name demo -n s --value v
echo "identity done, $count commands"
