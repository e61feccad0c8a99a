# Written by `allowlist-gen export windows-firewall`: 3 hosts of the list
# sha256:c2b947eeb9f0fed5d63e9aa8ef75aac81708f1b47aa069172051085a8c9e6a9b.
# Registries: contosogov of azurecr.us (usgovarizona, usgovvirginia).
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

# contosogov of azurecr.us: usgovarizona, usgovvirginia
# login server of contosogov
Remove-NetFirewallDynamicKeywordAddress -Id '{8ecd4150-bb0e-5020-ae0c-000f5141cb7e}' -ErrorAction 'SilentlyContinue'
New-NetFirewallDynamicKeywordAddress -Id '{8ecd4150-bb0e-5020-ae0c-000f5141cb7e}' -Keyword 'contosogov.azurecr.us' -AutoResolve $true
# layers of contosogov in usgovarizona
Remove-NetFirewallDynamicKeywordAddress -Id '{85cf7d46-de86-53cb-8c95-8285407c1729}' -ErrorAction 'SilentlyContinue'
New-NetFirewallDynamicKeywordAddress -Id '{85cf7d46-de86-53cb-8c95-8285407c1729}' -Keyword 'contosogov.usgovarizona.data.azurecr.us' -AutoResolve $true
# layers of contosogov in usgovvirginia
Remove-NetFirewallDynamicKeywordAddress -Id '{c62899cf-cd18-58e9-853b-b3e80d235579}' -ErrorAction 'SilentlyContinue'
New-NetFirewallDynamicKeywordAddress -Id '{c62899cf-cd18-58e9-853b-b3e80d235579}' -Keyword 'contosogov.usgovvirginia.data.azurecr.us' -AutoResolve $true

New-NetFirewallRule -Name 'acr-contosogov--us' -DisplayName 'acr-contosogov--us' -Description 'contosogov of azurecr.us: usgovarizona, usgovvirginia' -Group 'acr-allowlist' -Direction 'Outbound' -Action 'Allow' -Protocol 'TCP' -RemotePort '443' -RemoteDynamicKeywordAddresses '{8ecd4150-bb0e-5020-ae0c-000f5141cb7e}','{85cf7d46-de86-53cb-8c95-8285407c1729}','{c62899cf-cd18-58e9-853b-b3e80d235579}'
