# Written by `allowlist-gen export azure-private-dns-terraform`: 3 hosts of the list
# sha256:2e540330e889afbe5d6ef17cd697f9c84a73bd087718289091f26e17878e5455 (serial 7).
# Registries: contoso (eastus, westeurope).
# Left out, as they have no private address: fabrikam.azurecr.io, fabrikam.westus2.data.azurecr.io.
# Answers to DNS questions, for registries behind private endpoints. Nothing is blocked: a client
# that knows an address doesn't have to ask.
# For zones that are kept by hand: a private endpoint with a DNS zone group writes its records
# itself.
# The zones must exist in the one resource group that is asked for, and be linked to the networks
# that ask. Terraform keeps exactly these records, and deletes one that leaves the list.
# Terraform makes no record that is there already: bring it in first, by an `import` block with its
# id.
# Unless a zone's link falls back to the internet, a name that the zone doesn't have doesn't exist:
# every registry that is reached through Private Link needs all its hosts in it.

variable "resource_group_name" {
  description = "The resource group of the private zones"
  type        = string
}

# login server of contoso
resource "azurerm_private_dns_a_record" "acr_contoso" {
  name                = "contoso"
  zone_name           = "privatelink.azurecr.io"
  resource_group_name = var.resource_group_name
  ttl                 = 300
  records             = ["10.20.0.6"]
}

# layers of contoso in eastus
resource "azurerm_private_dns_a_record" "acr_contoso_eastus_data" {
  name                = "contoso.eastus.data"
  zone_name           = "privatelink.azurecr.io"
  resource_group_name = var.resource_group_name
  ttl                 = 300
  records             = ["10.20.0.4"]
}

# layers of contoso in westeurope
resource "azurerm_private_dns_a_record" "acr_contoso_westeurope_data" {
  name                = "contoso.westeurope.data"
  zone_name           = "privatelink.azurecr.io"
  resource_group_name = var.resource_group_name
  ttl                 = 300
  records             = ["10.20.0.5"]
}
