# Written by `allowlist-gen export windows-firewall`: 9 hosts of the list
# sha256:7cf7c673a062c324a007d8d163c5c22ff8c74e1cb9e02fb7e59f0ef3f2d6dd5e.
# Registries: arcmktplaceprod (eastus), contoso (eastus); and 5 other hosts. Presets:
# a23456789012345678901234567890123456789z, aks/cluster-extensions, aks/core, aks/workload-identity,
# az-acr-login.
# Resolved: the target allows the addresses that it finds for these names. Public registries share
# their front ends, so other people's registries can be reached at the same addresses.
# The rules allow and deny nothing: outbound traffic has to be blocked by default, with rules for
# whatever else the machine needs, its DNS first.
# Windows learns the addresses from DNS questions that it sees: Microsoft Defender Antivirus has to
# be on, with network protection, and names that are looked up over HTTPS, by a proxy or in a cache
# stay unknown.
# The script can be run again: it removes all rules of its group, and the keywords of the hosts that
# are on the list, before it makes them anew. The keywords of hosts that left the list stay, and no
# rule of its uses them.

$ErrorActionPreference = 'Stop'
Remove-NetFirewallRule -Group 'acr-allowlist' -ErrorAction 'SilentlyContinue'

# arcmktplaceprod: eastus
# login server of arcmktplaceprod, preset aks/cluster-extensions: "images of extensions from the marketplace"
Remove-NetFirewallDynamicKeywordAddress -Id '{a3235bee-15d4-582b-b330-06553689b0ea}' -ErrorAction 'SilentlyContinue'
New-NetFirewallDynamicKeywordAddress -Id '{a3235bee-15d4-582b-b330-06553689b0ea}' -Keyword 'arcmktplaceprod.azurecr.io' -AutoResolve $true
# layers of arcmktplaceprod in eastus, preset aks/cluster-extensions: "layers of extensions from the marketplace"
Remove-NetFirewallDynamicKeywordAddress -Id '{97212591-0105-5f66-8186-b9497e04edef}' -ErrorAction 'SilentlyContinue'
New-NetFirewallDynamicKeywordAddress -Id '{97212591-0105-5f66-8186-b9497e04edef}' -Keyword 'arcmktplaceprod.eastus.data.azurecr.io' -AutoResolve $true

# contoso: eastus
# login server of contoso
Remove-NetFirewallDynamicKeywordAddress -Id '{ea4e7bc5-aa9e-586e-9e2f-00208863ef32}' -ErrorAction 'SilentlyContinue'
New-NetFirewallDynamicKeywordAddress -Id '{ea4e7bc5-aa9e-586e-9e2f-00208863ef32}' -Keyword 'contoso.azurecr.io' -AutoResolve $true
# layers of contoso in eastus
Remove-NetFirewallDynamicKeywordAddress -Id '{ba472cd6-6682-5c88-b555-6a7d08165202}' -ErrorAction 'SilentlyContinue'
New-NetFirewallDynamicKeywordAddress -Id '{ba472cd6-6682-5c88-b555-6a7d08165202}' -Keyword 'contoso.eastus.data.azurecr.io' -AutoResolve $true

# hand-written hosts
# hand-written: "by hand"
Remove-NetFirewallDynamicKeywordAddress -Id '{8768f2ad-fed0-5c8a-99ab-de33c3a65937}' -ErrorAction 'SilentlyContinue'
New-NetFirewallDynamicKeywordAddress -Id '{8768f2ad-fed0-5c8a-99ab-de33c3a65937}' -Keyword 'build.example.com' -AutoResolve $true

# hosts of several presets
# presets aks/core, aks/workload-identity, az-acr-login: "Microsoft Entra ID signs the cluster in"
Remove-NetFirewallDynamicKeywordAddress -Id '{1fa1c2b4-e9a8-55ac-9ae0-97dae2ff72e0}' -ErrorAction 'SilentlyContinue'
New-NetFirewallDynamicKeywordAddress -Id '{1fa1c2b4-e9a8-55ac-9ae0-97dae2ff72e0}' -Keyword 'login.microsoftonline.com' -AutoResolve $true

# hosts of the preset aks/core
# preset aks/core: "binaries of Kubernetes"
Remove-NetFirewallDynamicKeywordAddress -Id '{8ae09b01-69ff-52e4-adb4-b49d268269e5}' -ErrorAction 'SilentlyContinue'
New-NetFirewallDynamicKeywordAddress -Id '{8ae09b01-69ff-52e4-adb4-b49d268269e5}' -Keyword 'packages.aks.azure.com' -AutoResolve $true
# preset aks/core: "packages of Microsoft"
Remove-NetFirewallDynamicKeywordAddress -Id '{9c93048a-2e1f-541c-a4dc-8e9b62b12fbf}' -ErrorAction 'SilentlyContinue'
New-NetFirewallDynamicKeywordAddress -Id '{9c93048a-2e1f-541c-a4dc-8e9b62b12fbf}' -Keyword 'packages.microsoft.com' -AutoResolve $true

# hosts of the preset a23456789012345678901234567890123456789z
# preset a23456789012345678901234567890123456789z: "of a preset with the longest name"
Remove-NetFirewallDynamicKeywordAddress -Id '{e08c01cf-ffde-5b7e-a4c6-f2ff084525e6}' -ErrorAction 'SilentlyContinue'
New-NetFirewallDynamicKeywordAddress -Id '{e08c01cf-ffde-5b7e-a4c6-f2ff084525e6}' -Keyword 'proxy.example.com' -AutoResolve $true

New-NetFirewallRule -Name 'acr-arcmktplaceprod' -DisplayName 'acr-arcmktplaceprod' -Description 'arcmktplaceprod: eastus' -Group 'acr-allowlist' -Direction 'Outbound' -Action 'Allow' -Protocol 'TCP' -RemotePort '443' -RemoteDynamicKeywordAddresses '{a3235bee-15d4-582b-b330-06553689b0ea}','{97212591-0105-5f66-8186-b9497e04edef}'
New-NetFirewallRule -Name 'acr-contoso' -DisplayName 'acr-contoso' -Description 'contoso: eastus' -Group 'acr-allowlist' -Direction 'Outbound' -Action 'Allow' -Protocol 'TCP' -RemotePort '443' -RemoteDynamicKeywordAddresses '{ea4e7bc5-aa9e-586e-9e2f-00208863ef32}','{ba472cd6-6682-5c88-b555-6a7d08165202}'
New-NetFirewallRule -Name 'acr--other' -DisplayName 'acr--other' -Description 'hand-written hosts' -Group 'acr-allowlist' -Direction 'Outbound' -Action 'Allow' -Protocol 'TCP' -RemotePort '443' -RemoteDynamicKeywordAddresses '{8768f2ad-fed0-5c8a-99ab-de33c3a65937}'
New-NetFirewallRule -Name 'acr--presets' -DisplayName 'acr--presets' -Description 'hosts of several presets' -Group 'acr-allowlist' -Direction 'Outbound' -Action 'Allow' -Protocol 'TCP' -RemotePort '443' -RemoteDynamicKeywordAddresses '{1fa1c2b4-e9a8-55ac-9ae0-97dae2ff72e0}'
New-NetFirewallRule -Name 'acr--preset-aks-core' -DisplayName 'acr--preset-aks-core' -Description 'hosts of the preset aks/core' -Group 'acr-allowlist' -Direction 'Outbound' -Action 'Allow' -Protocol 'TCP' -RemotePort '443' -RemoteDynamicKeywordAddresses '{8ae09b01-69ff-52e4-adb4-b49d268269e5}','{9c93048a-2e1f-541c-a4dc-8e9b62b12fbf}'
New-NetFirewallRule -Name 'acr--preset-a23456789012345678901234567890123456789z' -DisplayName 'acr--preset-a23456789012345678901234567890123456789z' -Description 'hosts of the preset a23456789012345678901234567890123456789z' -Group 'acr-allowlist' -Direction 'Outbound' -Action 'Allow' -Protocol 'TCP' -RemotePort '443' -RemoteDynamicKeywordAddresses '{e08c01cf-ffde-5b7e-a4c6-f2ff084525e6}'
