# Written by `allowlist-gen export azure-firewall-terraform`: 3 hosts of the list
# sha256:c2b947eeb9f0fed5d63e9aa8ef75aac81708f1b47aa069172051085a8c9e6a9b.
# Registries: contosogov of azurecr.us (usgovarizona, usgovvirginia).
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

  application_rule_collection {
    name     = "acr-by-name"
    priority = 500
    action   = "Allow"

    rule {
      name             = "acr-contosogov--us"
      description      = "contosogov of azurecr.us: usgovarizona, usgovvirginia"
      source_addresses = var.source_addresses
      destination_fqdns = [
        # login server of contosogov
        "contosogov.azurecr.us",
        # layers of contosogov in usgovarizona
        "contosogov.usgovarizona.data.azurecr.us",
        # layers of contosogov in usgovvirginia
        "contosogov.usgovvirginia.data.azurecr.us",
      ]

      protocols {
        type = "Https"
        port = 443
      }
    }
  }
}
