package arm

// A list is a page of resources.
type list[T any] struct {
	Value    []T    `json:"value"`
	NextLink string `json:"nextLink,omitempty"`
}

func listOf[T any](items []T) list[T] {
	if items == nil {
		items = []T{}
	}
	return list[T]{Value: items}
}

type tenantResource struct {
	ID             string   `json:"id"`
	TenantID       string   `json:"tenantId"`
	CountryCode    string   `json:"countryCode"`
	DisplayName    string   `json:"displayName"`
	Domains        []string `json:"domains"`
	DefaultDomain  string   `json:"defaultDomain"`
	TenantCategory string   `json:"tenantCategory"`
	TenantType     string   `json:"tenantType"`
}

type subscriptionResource struct {
	ID                  string               `json:"id"`
	AuthorizationSource string               `json:"authorizationSource"`
	ManagedByTenants    []string             `json:"managedByTenants"`
	SubscriptionID      string               `json:"subscriptionId"`
	TenantID            string               `json:"tenantId"`
	DisplayName         string               `json:"displayName"`
	State               string               `json:"state"`
	Policies            subscriptionPolicies `json:"subscriptionPolicies"`
}

type subscriptionPolicies struct {
	LocationPlacementID string `json:"locationPlacementId"`
	QuotaID             string `json:"quotaId"`
	SpendingLimit       string `json:"spendingLimit"`
}

type subscriptionList struct {
	Value []subscriptionResource `json:"value"`
	Count countDetail            `json:"count"`
}

type countDetail struct {
	Type  string `json:"type"`
	Value int    `json:"value"`
}

type locationResource struct {
	ID                  string           `json:"id"`
	Name                string           `json:"name"`
	Type                string           `json:"type"`
	DisplayName         string           `json:"displayName"`
	RegionalDisplayName string           `json:"regionalDisplayName"`
	Metadata            locationMetadata `json:"metadata"`
}

type locationMetadata struct {
	RegionType       string   `json:"regionType"`
	RegionCategory   string   `json:"regionCategory"`
	GeographyGroup   string   `json:"geographyGroup"`
	Longitude        string   `json:"longitude"`
	Latitude         string   `json:"latitude"`
	PhysicalLocation string   `json:"physicalLocation"`
	PairedRegion     []string `json:"pairedRegion"`
}

type providerResource struct {
	ID                 string         `json:"id"`
	Namespace          string         `json:"namespace"`
	RegistrationPolicy string         `json:"registrationPolicy"`
	RegistrationState  string         `json:"registrationState"`
	ResourceTypes      []providerType `json:"resourceTypes"`
}

type providerType struct {
	ResourceType string   `json:"resourceType"`
	Locations    []string `json:"locations"`
	APIVersions  []string `json:"apiVersions"`
	Capabilities string   `json:"capabilities"`
}

type groupResource struct {
	ID         string            `json:"id"`
	Name       string            `json:"name"`
	Type       string            `json:"type"`
	Location   string            `json:"location"`
	Tags       map[string]string `json:"tags,omitempty"`
	Properties provisioningState `json:"properties"`
}

type provisioningState struct {
	State string `json:"provisioningState"`
}

type groupInput struct {
	Location string            `json:"location"`
	Tags     map[string]string `json:"tags"`
}

// genericResource is a row of the list of all resources; it has no properties.
type genericResource struct {
	ID       string            `json:"id"`
	Name     string            `json:"name"`
	Type     string            `json:"type"`
	Location string            `json:"location"`
	Tags     map[string]string `json:"tags"`
}

type vaultResource struct {
	ID         string            `json:"id"`
	Name       string            `json:"name"`
	Type       string            `json:"type"`
	Location   string            `json:"location"`
	Tags       map[string]string `json:"tags"`
	SystemData *systemData       `json:"systemData,omitempty"`
	Properties vaultProperties   `json:"properties"`
}

type systemData struct {
	CreatedBy          string `json:"createdBy"`
	CreatedByType      string `json:"createdByType"`
	CreatedAt          string `json:"createdAt"`
	LastModifiedBy     string `json:"lastModifiedBy"`
	LastModifiedByType string `json:"lastModifiedByType"`
	LastModifiedAt     string `json:"lastModifiedAt"`
}

// vaultProperties stand in the order of the service (recorded).
type vaultProperties struct {
	SKU                vaultSKU       `json:"sku"`
	TenantID           string         `json:"tenantId"`
	NetworkAcls        *networkAcls   `json:"networkAcls,omitempty"`
	AccessPolicies     []accessPolicy `json:"accessPolicies"`
	Deployment         bool           `json:"enabledForDeployment"`
	DiskEncryption     *bool          `json:"enabledForDiskEncryption,omitempty"`
	TemplateDeployment *bool          `json:"enabledForTemplateDeployment,omitempty"`
	SoftDelete         bool           `json:"enableSoftDelete"`
	RetentionDays      int            `json:"softDeleteRetentionInDays"`
	RBAC               *bool          `json:"enableRbacAuthorization,omitempty"`
	PurgeProtection    bool           `json:"enablePurgeProtection,omitempty"`
	VaultURI           string         `json:"vaultUri"`
	ProvisioningState  string         `json:"provisioningState"`
	PublicAccess       string         `json:"publicNetworkAccess"`
}

type vaultSKU struct {
	Family string `json:"family"`
	Name   string `json:"name"`
}

type networkAcls struct {
	Bypass        string       `json:"bypass"`
	DefaultAction string       `json:"defaultAction"`
	IPRules       []ipRule     `json:"ipRules"`
	Subnets       []subnetRule `json:"virtualNetworkRules"`
}

type ipRule struct {
	Value string `json:"value"`
}

type subnetRule struct {
	ID string `json:"id"`
}

type accessPolicy struct {
	TenantID      string      `json:"tenantId"`
	ObjectID      string      `json:"objectId"`
	ApplicationID string      `json:"applicationId,omitempty"`
	Permissions   permissions `json:"permissions"`
}

type permissions struct {
	Keys         []string `json:"keys"`
	Secrets      []string `json:"secrets"`
	Certificates []string `json:"certificates"`
	Storage      []string `json:"storage,omitempty"`
}

type vaultInput struct {
	Location   string            `json:"location"`
	Tags       map[string]string `json:"tags"`
	Properties *struct {
		SKU                *vaultSKU       `json:"sku"`
		TenantID           string          `json:"tenantId"`
		NetworkAcls        *networkAcls    `json:"networkAcls"`
		AccessPolicies     *[]accessPolicy `json:"accessPolicies"`
		Deployment         *bool           `json:"enabledForDeployment"`
		DiskEncryption     *bool           `json:"enabledForDiskEncryption"`
		TemplateDeployment *bool           `json:"enabledForTemplateDeployment"`
		SoftDelete         *bool           `json:"enableSoftDelete"`
		RetentionDays      *int            `json:"softDeleteRetentionInDays"`
		RBAC               *bool           `json:"enableRbacAuthorization"`
		PurgeProtection    *bool           `json:"enablePurgeProtection"`
		PublicAccess       *string         `json:"publicNetworkAccess"`
		CreateMode         string          `json:"createMode"`
	} `json:"properties"`
}

type policiesInput struct {
	Properties struct {
		AccessPolicies []accessPolicy `json:"accessPolicies"`
	} `json:"properties"`
}

type policiesResource struct {
	ID         string             `json:"id"`
	Type       string             `json:"type"`
	Location   string             `json:"location"`
	Properties policiesProperties `json:"properties"`
}

type policiesProperties struct {
	AccessPolicies []accessPolicy `json:"accessPolicies"`
}

type deletedVaultResource struct {
	ID         string                 `json:"id"`
	Name       string                 `json:"name"`
	Type       string                 `json:"type"`
	Properties deletedVaultProperties `json:"properties"`
}

type deletedVaultProperties struct {
	VaultID            string            `json:"vaultId"`
	Location           string            `json:"location"`
	Tags               map[string]string `json:"tags"`
	DeletionDate       string            `json:"deletionDate"`
	ScheduledPurgeDate string            `json:"scheduledPurgeDate"`
	PurgeProtection    bool              `json:"purgeProtectionEnabled,omitempty"`
}

type operationResult struct {
	Created    string `json:"createdDateTime"`
	LastAction string `json:"lastActionDateTime"`
	Status     string `json:"status"`
}

type nameInput struct {
	Name string `json:"name"`
	Type string `json:"type"`
}

type nameAvailability struct {
	Available bool   `json:"nameAvailable"`
	Reason    string `json:"reason,omitempty"`
	Message   string `json:"message,omitempty"`
}

type roleDefinition struct {
	Properties roleDefinitionProperties `json:"properties"`
	ID         string                   `json:"id"`
	Type       string                   `json:"type"`
	Name       string                   `json:"name"`
}

type roleDefinitionProperties struct {
	RoleName         string           `json:"roleName"`
	Type             string           `json:"type"`
	Description      string           `json:"description"`
	AssignableScopes []string         `json:"assignableScopes"`
	Permissions      []rolePermission `json:"permissions"`
	CreatedOn        string           `json:"createdOn"`
	UpdatedOn        string           `json:"updatedOn"`
	CreatedBy        *string          `json:"createdBy"`
	UpdatedBy        *string          `json:"updatedBy"`
}

type rolePermission struct {
	Actions        []string `json:"actions"`
	NotActions     []string `json:"notActions"`
	DataActions    []string `json:"dataActions"`
	NotDataActions []string `json:"notDataActions"`
}

type roleDefinitionInput struct {
	Properties struct {
		RoleName         string           `json:"roleName"`
		Description      string           `json:"description"`
		AssignableScopes []string         `json:"assignableScopes"`
		Permissions      []rolePermission `json:"permissions"`
	} `json:"properties"`
}

type roleAssignment struct {
	Properties roleAssignmentProperties `json:"properties"`
	ID         string                   `json:"id"`
	Type       string                   `json:"type"`
	Name       string                   `json:"name"`
}

type roleAssignmentProperties struct {
	RoleDefinitionID  string  `json:"roleDefinitionId"`
	PrincipalID       string  `json:"principalId"`
	PrincipalType     string  `json:"principalType"`
	Scope             string  `json:"scope"`
	Condition         *string `json:"condition"`
	ConditionVersion  *string `json:"conditionVersion"`
	CreatedOn         string  `json:"createdOn"`
	UpdatedOn         string  `json:"updatedOn"`
	CreatedBy         *string `json:"createdBy"`
	UpdatedBy         *string `json:"updatedBy"`
	DelegatedIdentity *string `json:"delegatedManagedIdentityResourceId"`
	Description       *string `json:"description"`
}

type roleAssignmentInput struct {
	Properties struct {
		RoleDefinitionID string  `json:"roleDefinitionId"`
		PrincipalID      string  `json:"principalId"`
		PrincipalType    string  `json:"principalType"`
		Condition        *string `json:"condition"`
		Description      *string `json:"description"`
	} `json:"properties"`
}
