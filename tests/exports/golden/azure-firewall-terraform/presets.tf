# Written by `allowlist-gen export azure-firewall-terraform`: 9 hosts of the list
# sha256:7cf7c673a062c324a007d8d163c5c22ff8c74e1cb9e02fb7e59f0ef3f2d6dd5e.
# Registries: arcmktplaceprod (eastus), contoso (eastus); and 5 other hosts. Presets:
# a23456789012345678901234567890123456789z, aks/cluster-extensions, aks/core, aks/workload-identity,
# az-acr-login.
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
      name             = "acr-arcmktplaceprod"
      description      = "arcmktplaceprod: eastus"
      source_addresses = var.source_addresses
      destination_fqdns = [
        # login server of arcmktplaceprod, preset aks/cluster-extensions: "images of extensions from the marketplace"
        "arcmktplaceprod.azurecr.io",
        # layers of arcmktplaceprod in eastus, preset aks/cluster-extensions: "layers of extensions from the marketplace"
        "arcmktplaceprod.eastus.data.azurecr.io",
      ]

      protocols {
        type = "Https"
        port = 443
      }
    }

    rule {
      name             = "acr-contoso"
      description      = "contoso: eastus"
      source_addresses = var.source_addresses
      destination_fqdns = [
        # login server of contoso
        "contoso.azurecr.io",
        # layers of contoso in eastus
        "contoso.eastus.data.azurecr.io",
      ]

      protocols {
        type = "Https"
        port = 443
      }
    }

    rule {
      name             = "other"
      description      = "hand-written hosts"
      source_addresses = var.source_addresses
      destination_fqdns = [
        # hand-written: "by hand"
        "build.example.com",
      ]

      protocols {
        type = "Https"
        port = 443
      }
    }

    rule {
      name             = "presets"
      description      = "hosts of several presets"
      source_addresses = var.source_addresses
      destination_fqdns = [
        # presets aks/core, aks/workload-identity, az-acr-login: "Microsoft Entra ID signs the cluster in"
        "login.microsoftonline.com",
      ]

      protocols {
        type = "Https"
        port = 443
      }
    }

    rule {
      name             = "preset-aks-core"
      description      = "hosts of the preset aks/core"
      source_addresses = var.source_addresses
      destination_fqdns = [
        # preset aks/core: "binaries of Kubernetes"
        "packages.aks.azure.com",
        # preset aks/core: "packages of Microsoft"
        "packages.microsoft.com",
      ]

      protocols {
        type = "Https"
        port = 443
      }
    }

    rule {
      name             = "preset-a23456789012345678901234567890123456789z"
      description      = "hosts of the preset a23456789012345678901234567890123456789z"
      source_addresses = var.source_addresses
      destination_fqdns = [
        # preset a23456789012345678901234567890123456789z: "of a preset with the longest name"
        "proxy.example.com",
      ]

      protocols {
        type = "Https"
        port = 443
      }
    }
  }
}
