// Written by `allowlist-gen export azure-firewall-bicep`: 3 hosts of the list
// sha256:c2b947eeb9f0fed5d63e9aa8ef75aac81708f1b47aa069172051085a8c9e6a9b.
// Registries: contosogov of azurecr.us (usgovarizona, usgovvirginia).
// Clients: 10.10.0.0/16.
// By name: the target sees the name that a client asks for, and lets exactly these pass.
// The rules are a group of their own in the policy, and a deployment replaces them all.
// The firewall goes through network rules first: one that allows more, such as the service tag
// AzureContainerRegistry, opens every registry, whatever stands here.
// Rules by name allow what clients ask for in their TLS handshake. The firewall looks the name up
// itself, so clients and firewall should ask the same name servers.
// Rules by address allow the private addresses on the list, whatever is asked for there. Behind a
// registry's private endpoint there is only this registry; what is behind the addresses of a
// hand-written host, its owner knows.

@description('The firewall policy that the rules go into')
param firewallPolicyName string

@description('Whose traffic the rules are for')
param sourceAddresses array = [
  '10.10.0.0/16'
]

@description('Among the other groups of the policy, from 100, which is first, to 65000')
param priority int = 500

resource policy 'Microsoft.Network/firewallPolicies@2024-05-01' existing = {
  name: firewallPolicyName
}

resource group 'Microsoft.Network/firewallPolicies/ruleCollectionGroups@2024-05-01' = {
  parent: policy
  name: 'acr-allowlist'
  properties: {
    priority: priority
    ruleCollections: [
      {
        ruleCollectionType: 'FirewallPolicyFilterRuleCollection'
        name: 'acr-by-name'
        priority: 500
        action: {
          type: 'Allow'
        }
        rules: [
          {
            ruleType: 'ApplicationRule'
            name: 'acr-contosogov--us'
            description: 'contosogov of azurecr.us: usgovarizona, usgovvirginia'
            sourceAddresses: sourceAddresses
            protocols: [
              {
                protocolType: 'Https'
                port: 443
              }
            ]
            targetFqdns: [
              // login server of contosogov
              'contosogov.azurecr.us'
              // layers of contosogov in usgovarizona
              'contosogov.usgovarizona.data.azurecr.us'
              // layers of contosogov in usgovvirginia
              'contosogov.usgovvirginia.data.azurecr.us'
            ]
            terminateTLS: false
          }
        ]
      }
    ]
  }
}
