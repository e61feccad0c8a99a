# Written by `allowlist-gen export azure-private-dns-terraform`: 5 hosts of the list
# sha256:15b6516e5357a03266219efe747b2bc7d378780e3b6b599b1efb97b971ef7a1d.
# Registries: fabrikam (eastus, westeurope).
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

# login server of fabrikam
resource "azurerm_private_dns_a_record" "acr_fabrikam" {
  name                = "fabrikam"
  zone_name           = "privatelink.azurecr.io"
  resource_group_name = var.resource_group_name
  ttl                 = 300
  records             = ["10.1.1.22"]
}

# login server of fabrikam in eastus
resource "azurerm_private_dns_a_record" "acr_fabrikam_eastus_geo" {
  name                = "fabrikam.eastus.geo"
  zone_name           = "privatelink.azurecr.io"
  resource_group_name = var.resource_group_name
  ttl                 = 300
  records             = ["10.1.1.24"]
}

# login server of fabrikam in westeurope
resource "azurerm_private_dns_a_record" "acr_fabrikam_westeurope_geo" {
  name                = "fabrikam.westeurope.geo"
  zone_name           = "privatelink.azurecr.io"
  resource_group_name = var.resource_group_name
  ttl                 = 300
  records             = ["10.1.1.23"]
}

# layers of fabrikam in eastus
resource "azurerm_private_dns_a_record" "acr_fabrikam_eastus_data" {
  name                = "fabrikam.eastus.data"
  zone_name           = "privatelink.azurecr.io"
  resource_group_name = var.resource_group_name
  ttl                 = 300
  records             = ["10.1.1.21"]
}

# layers of fabrikam in westeurope
resource "azurerm_private_dns_a_record" "acr_fabrikam_westeurope_data" {
  name                = "fabrikam.westeurope.data"
  zone_name           = "privatelink.azurecr.io"
  resource_group_name = var.resource_group_name
  ttl                 = 300
  records             = ["10.1.1.20"]
}
