variable "more" {
  type = list(string)
}

resource "azurerm_firewall_policy_rule_collection_group" "registries" {
  name               = "registries"
  firewall_policy_id = azurerm_firewall_policy.hub.id
  priority           = 300

  application_rule_collection {
    name     = "registries"
    priority = 200
    action   = "Allow"

    rule {
      name             = "acr"
      source_addresses = ["10.10.0.0/16"]
      destination_fqdns = [
        "contoso.azurecr.io",
        "*.data.azurecr.io",
        "*.blob.core.windows.net",
      ]
      protocols {
        type = "Https"
        port = 443
      }
    }

    rule {
      name              = "more"
      source_addresses  = ["10.10.0.0/16"]
      destination_fqdns = var.more
      protocols {
        type = "Https"
        port = 443
      }
    }

    dynamic "rule" {
      for_each = var.rules
      content {
        name = rule.value
      }
    }
  }

  network_rule_collection {
    name     = "by-address"
    priority = 100
    action   = "Allow"

    rule {
      name                  = "acr"
      source_addresses      = ["10.10.0.0/16"]
      protocols             = ["TCP"]
      destination_ports     = ["443"]
      destination_addresses = ["AzureContainerRegistry"]
    }
  }
}

resource "azurerm_kubernetes_cluster" "main" {
  name = "main"
  http_proxy_config {
    http_proxy = "http://proxy.corp.example:3128/"
    no_proxy   = ["localhost", ".azurecr.io"]
  }
}

resource "aws_networkfirewall_rule_group" "registries" {
  capacity = 100
  name     = "registries"
  type     = "STATEFUL"
  rule_group {
    rules_source {
      rules_source_list {
        generated_rules_type = "ALLOWLIST"
        target_types         = ["TLS_SNI"]
        targets              = [".azurecr.io"]
      }
    }
  }
}
