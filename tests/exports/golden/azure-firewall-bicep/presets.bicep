// Written by `allowlist-gen export azure-firewall-bicep`: 9 hosts of the list
// sha256:7cf7c673a062c324a007d8d163c5c22ff8c74e1cb9e02fb7e59f0ef3f2d6dd5e.
// Registries: arcmktplaceprod (eastus), contoso (eastus); and 5 other hosts. Presets:
// a23456789012345678901234567890123456789z, aks/cluster-extensions, aks/core,
// aks/workload-identity, az-acr-login.
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
            name: 'acr-arcmktplaceprod'
            description: 'arcmktplaceprod: eastus'
            sourceAddresses: sourceAddresses
            protocols: [
              {
                protocolType: 'Https'
                port: 443
              }
            ]
            targetFqdns: [
              // login server of arcmktplaceprod, preset aks/cluster-extensions: "images of extensions from the marketplace"
              'arcmktplaceprod.azurecr.io'
              // layers of arcmktplaceprod in eastus, preset aks/cluster-extensions: "layers of extensions from the marketplace"
              'arcmktplaceprod.eastus.data.azurecr.io'
            ]
            terminateTLS: false
          }
          {
            ruleType: 'ApplicationRule'
            name: 'acr-contoso'
            description: 'contoso: eastus'
            sourceAddresses: sourceAddresses
            protocols: [
              {
                protocolType: 'Https'
                port: 443
              }
            ]
            targetFqdns: [
              // login server of contoso
              'contoso.azurecr.io'
              // layers of contoso in eastus
              'contoso.eastus.data.azurecr.io'
            ]
            terminateTLS: false
          }
          {
            ruleType: 'ApplicationRule'
            name: 'other'
            description: 'hand-written hosts'
            sourceAddresses: sourceAddresses
            protocols: [
              {
                protocolType: 'Https'
                port: 443
              }
            ]
            targetFqdns: [
              // hand-written: "by hand"
              'build.example.com'
            ]
            terminateTLS: false
          }
          {
            ruleType: 'ApplicationRule'
            name: 'presets'
            description: 'hosts of several presets'
            sourceAddresses: sourceAddresses
            protocols: [
              {
                protocolType: 'Https'
                port: 443
              }
            ]
            targetFqdns: [
              // presets aks/core, aks/workload-identity, az-acr-login: "Microsoft Entra ID signs the cluster in"
              'login.microsoftonline.com'
            ]
            terminateTLS: false
          }
          {
            ruleType: 'ApplicationRule'
            name: 'preset-aks-core'
            description: 'hosts of the preset aks/core'
            sourceAddresses: sourceAddresses
            protocols: [
              {
                protocolType: 'Https'
                port: 443
              }
            ]
            targetFqdns: [
              // preset aks/core: "binaries of Kubernetes"
              'packages.aks.azure.com'
              // preset aks/core: "packages of Microsoft"
              'packages.microsoft.com'
            ]
            terminateTLS: false
          }
          {
            ruleType: 'ApplicationRule'
            name: 'preset-a23456789012345678901234567890123456789z'
            description: 'hosts of the preset a23456789012345678901234567890123456789z'
            sourceAddresses: sourceAddresses
            protocols: [
              {
                protocolType: 'Https'
                port: 443
              }
            ]
            targetFqdns: [
              // preset a23456789012345678901234567890123456789z: "of a preset with the longest name"
              'proxy.example.com'
            ]
            terminateTLS: false
          }
        ]
      }
    ]
  }
}
