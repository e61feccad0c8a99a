# Written by `allowlist-gen export azure-firewall-terraform`: 5 hosts of the list
# sha256:2e540330e889afbe5d6ef17cd697f9c84a73bd087718289091f26e17878e5455 (serial 7).
# Registries: contoso (eastus, westeurope), fabrikam (westus2).
# Clients: 10.10.0.0/16.
# By name: the target sees the name that a client asks for, and lets exactly these pass.
# The rules are a group of their own in the policy, and a deployment replaces them all.
# The firewall goes through network rules first: one that allows more, such as the service tag
# AzureContainerRegistry, opens every registry, whatever stands here.
# Rules by name allow what clients ask for in their TLS handshake. The firewall looks the name up
# itself, so clients and firewall should ask the same name servers.
# Rules by address allow the private addresses on the list, whatever is asked for there. Behind a
# registry's private endpoint there is only this registry; what is behind the addresses of a
# hand-written host, its owner knows.

variable "firewall_policy_id" {
  description = "The firewall policy that the rules go into"
  type        = string
}

variable "source_addresses" {
  description = "Whose traffic the rules are for"
  type        = list(string)
  default     = ["10.10.0.0/16"]
}

variable "priority" {
  description = "Among the other groups of the policy, from 100, which is first, to 65000"
  type        = number
  default     = 500
}

resource "azurerm_firewall_policy_rule_collection_group" "acr_allowlist" {
  name               = "acr-allowlist"
  firewall_policy_id = var.firewall_policy_id
  priority           = var.priority

  network_rule_collection {
    name     = "acr-by-address"
    priority = 400
    action   = "Allow"

    rule {
      name                  = "acr-contoso"
      description           = "contoso: eastus, westeurope"
      source_addresses      = var.source_addresses
      protocols             = ["TCP"]
      destination_ports     = ["443"]
      destination_addresses = ["10.20.0.4", "10.20.0.5", "10.20.0.6"]
    }
  }

  application_rule_collection {
    name     = "acr-by-name"
    priority = 500
    action   = "Allow"

    rule {
      name             = "acr-contoso"
      description      = "contoso: eastus, westeurope"
      source_addresses = var.source_addresses
      destination_fqdns = [
        # login server of contoso
        "contoso.azurecr.io",
        # layers of contoso in eastus
        "contoso.eastus.data.azurecr.io",
        # layers of contoso in westeurope
        "contoso.westeurope.data.azurecr.io",
      ]

      protocols {
        type = "Https"
        port = 443
      }
    }

    rule {
      name             = "acr-fabrikam"
      description      = "fabrikam: westus2"
      source_addresses = var.source_addresses
      destination_fqdns = [
        # login server of fabrikam
        "fabrikam.azurecr.io",
        # layers of fabrikam in westus2
        "fabrikam.westus2.data.azurecr.io",
      ]

      protocols {
        type = "Https"
        port = 443
      }
    }
  }
}
