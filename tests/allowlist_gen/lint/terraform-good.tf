resource "azurerm_firewall_application_rule_collection" "registries" {
  name                = "registries"
  azure_firewall_name = "hub"
  resource_group_name = "hub"
  priority            = 100
  action              = "Allow"

  rule {
    name             = "acr"
    source_addresses = ["10.10.0.0/16"]
    target_fqdns = [
      "contoso.azurecr.io",
      "contoso.eastus.data.azurecr.io",
      "login.microsoftonline.com",
    ]
    protocol {
      port = "443"
      type = "Https"
    }
  }
}
