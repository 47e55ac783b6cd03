package access

// dataPrefix begins every data action of a vault.
const dataPrefix = "Microsoft.KeyVault/vaults/"

// DataAction returns the data action that stands, in a vault with role assignments, for
// a permission of its access policies (documented). What is an exception for one operation
// alone is with the operation.
func DataAction(p Permission) string {
	if action, ok := dataActions[p.Collection+"/"+p.Verb]; ok {
		return dataPrefix + action
	}
	return dataPrefix + p.Collection + "/" + p.Verb + "/action"
}

// dataActions are those that are not COLLECTION/VERB/action.
var dataActions = map[string]string{
	"keys/get": "keys/read", "keys/list": "keys/read", "keys/delete": "keys/delete", "keys/wrapKey": "keys/wrap/action", "keys/unwrapKey": "keys/unwrap/action",
	"keys/getrotationpolicy": "keyrotationpolicies/read", "keys/setrotationpolicy": "keyrotationpolicies/write",
	"secrets/set": "secrets/setSecret/action", "secrets/get": "secrets/getSecret/action", "secrets/list": "secrets/readMetadata/action", "secrets/delete": "secrets/delete",
	"certificates/get": "certificates/read", "certificates/list": "certificates/read", "certificates/delete": "certificates/delete",
	"certificates/managecontacts": "certificatecontacts/write", "certificates/getissuers": "certificatecas/read", "certificates/listissuers": "certificatecas/read",
	"certificates/setissuers": "certificatecas/write", "certificates/deleteissuers": "certificatecas/delete",
}
