// Written by `allowlist-gen export azure-firewall-bicep`: 5 hosts of the list
// sha256:dbb377f82dc875f419a5843e8487bfa750ff1a50b2f9d74d1eaf09763a2b5baa.
// Registries: contosodnl-e7ggejfuhzhgedc8 (eastus, westus2).
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
            name: 'acr-contosodnl-e7ggejfuhzhgedc8'
            description: 'contosodnl-e7ggejfuhzhgedc8: eastus, westus2'
            sourceAddresses: sourceAddresses
            protocols: [
              {
                protocolType: 'Https'
                port: 443
              }
            ]
            targetFqdns: [
              // login server of contosodnl-e7ggejfuhzhgedc8
              'contosodnl-e7ggejfuhzhgedc8.azurecr.io'
              // login server of contosodnl-e7ggejfuhzhgedc8 in eastus
              'contosodnl-e7ggejfuhzhgedc8.eastus.geo.azurecr.io'
              // login server of contosodnl-e7ggejfuhzhgedc8 in westus2
              'contosodnl-e7ggejfuhzhgedc8.westus2.geo.azurecr.io'
              // layers of contosodnl-e7ggejfuhzhgedc8 in eastus
              'contosodnl-e7ggejfuhzhgedc8.eastus.data.azurecr.io'
              // layers of contosodnl-e7ggejfuhzhgedc8 in westus2
              'contosodnl-e7ggejfuhzhgedc8.westus2.data.azurecr.io'
            ]
            terminateTLS: false
          }
        ]
      }
    ]
  }
}
