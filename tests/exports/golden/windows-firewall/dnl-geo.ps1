# Written by `allowlist-gen export windows-firewall`: 5 hosts of the list
# sha256:dbb377f82dc875f419a5843e8487bfa750ff1a50b2f9d74d1eaf09763a2b5baa.
# Registries: contosodnl-e7ggejfuhzhgedc8 (eastus, westus2).
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

# contosodnl-e7ggejfuhzhgedc8: eastus, westus2
# login server of contosodnl-e7ggejfuhzhgedc8
Remove-NetFirewallDynamicKeywordAddress -Id '{1fb69f75-9cb6-54f7-bee2-a10312d72a43}' -ErrorAction 'SilentlyContinue'
New-NetFirewallDynamicKeywordAddress -Id '{1fb69f75-9cb6-54f7-bee2-a10312d72a43}' -Keyword 'contosodnl-e7ggejfuhzhgedc8.azurecr.io' -AutoResolve $true
# login server of contosodnl-e7ggejfuhzhgedc8 in eastus
Remove-NetFirewallDynamicKeywordAddress -Id '{35f1eb41-9977-5bd7-8932-2967252eeead}' -ErrorAction 'SilentlyContinue'
New-NetFirewallDynamicKeywordAddress -Id '{35f1eb41-9977-5bd7-8932-2967252eeead}' -Keyword 'contosodnl-e7ggejfuhzhgedc8.eastus.geo.azurecr.io' -AutoResolve $true
# login server of contosodnl-e7ggejfuhzhgedc8 in westus2
Remove-NetFirewallDynamicKeywordAddress -Id '{54d8ad66-cb01-5364-bdf8-c7a6e7a47ad1}' -ErrorAction 'SilentlyContinue'
New-NetFirewallDynamicKeywordAddress -Id '{54d8ad66-cb01-5364-bdf8-c7a6e7a47ad1}' -Keyword 'contosodnl-e7ggejfuhzhgedc8.westus2.geo.azurecr.io' -AutoResolve $true
# layers of contosodnl-e7ggejfuhzhgedc8 in eastus
Remove-NetFirewallDynamicKeywordAddress -Id '{8832b399-80de-5408-8c9c-d57219787319}' -ErrorAction 'SilentlyContinue'
New-NetFirewallDynamicKeywordAddress -Id '{8832b399-80de-5408-8c9c-d57219787319}' -Keyword 'contosodnl-e7ggejfuhzhgedc8.eastus.data.azurecr.io' -AutoResolve $true
# layers of contosodnl-e7ggejfuhzhgedc8 in westus2
Remove-NetFirewallDynamicKeywordAddress -Id '{7b2977bb-8f8b-5e08-b584-03c2593b9a4c}' -ErrorAction 'SilentlyContinue'
New-NetFirewallDynamicKeywordAddress -Id '{7b2977bb-8f8b-5e08-b584-03c2593b9a4c}' -Keyword 'contosodnl-e7ggejfuhzhgedc8.westus2.data.azurecr.io' -AutoResolve $true

New-NetFirewallRule -Name 'acr-contosodnl-e7ggejfuhzhgedc8' -DisplayName 'acr-contosodnl-e7ggejfuhzhgedc8' -Description 'contosodnl-e7ggejfuhzhgedc8: eastus, westus2' -Group 'acr-allowlist' -Direction 'Outbound' -Action 'Allow' -Protocol 'TCP' -RemotePort '443' -RemoteDynamicKeywordAddresses '{1fb69f75-9cb6-54f7-bee2-a10312d72a43}','{35f1eb41-9977-5bd7-8932-2967252eeead}','{54d8ad66-cb01-5364-bdf8-c7a6e7a47ad1}','{8832b399-80de-5408-8c9c-d57219787319}','{7b2977bb-8f8b-5e08-b584-03c2593b9a4c}'
