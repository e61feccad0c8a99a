# Written by `allowlist-gen export windows-firewall`: 5 hosts of the list
# sha256:15b6516e5357a03266219efe747b2bc7d378780e3b6b599b1efb97b971ef7a1d.
# Registries: fabrikam (eastus, westeurope).
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

# fabrikam: eastus, westeurope
# login server of fabrikam
Remove-NetFirewallDynamicKeywordAddress -Id '{2a545cc4-fea2-509d-a0a4-1c1ffaff4bd9}' -ErrorAction 'SilentlyContinue'
New-NetFirewallDynamicKeywordAddress -Id '{2a545cc4-fea2-509d-a0a4-1c1ffaff4bd9}' -Keyword 'fabrikam.azurecr.io' -AutoResolve $true
# login server of fabrikam in eastus
Remove-NetFirewallDynamicKeywordAddress -Id '{1c52584d-1f9f-54af-af4d-b53c2371e7a6}' -ErrorAction 'SilentlyContinue'
New-NetFirewallDynamicKeywordAddress -Id '{1c52584d-1f9f-54af-af4d-b53c2371e7a6}' -Keyword 'fabrikam.eastus.geo.azurecr.io' -AutoResolve $true
# login server of fabrikam in westeurope
Remove-NetFirewallDynamicKeywordAddress -Id '{ca2aabca-5c99-5edc-9a23-a64573c722fe}' -ErrorAction 'SilentlyContinue'
New-NetFirewallDynamicKeywordAddress -Id '{ca2aabca-5c99-5edc-9a23-a64573c722fe}' -Keyword 'fabrikam.westeurope.geo.azurecr.io' -AutoResolve $true
# layers of fabrikam in eastus
Remove-NetFirewallDynamicKeywordAddress -Id '{deecb73c-7139-500c-b1d8-a6f7e42ee189}' -ErrorAction 'SilentlyContinue'
New-NetFirewallDynamicKeywordAddress -Id '{deecb73c-7139-500c-b1d8-a6f7e42ee189}' -Keyword 'fabrikam.eastus.data.azurecr.io' -AutoResolve $true
# layers of fabrikam in westeurope
Remove-NetFirewallDynamicKeywordAddress -Id '{280a2994-79b9-509f-9f70-f109a58868b5}' -ErrorAction 'SilentlyContinue'
New-NetFirewallDynamicKeywordAddress -Id '{280a2994-79b9-509f-9f70-f109a58868b5}' -Keyword 'fabrikam.westeurope.data.azurecr.io' -AutoResolve $true

New-NetFirewallRule -Name 'acr-fabrikam' -DisplayName 'acr-fabrikam' -Description 'fabrikam: eastus, westeurope' -Group 'acr-allowlist' -Direction 'Outbound' -Action 'Allow' -Protocol 'TCP' -RemotePort '443' -RemoteDynamicKeywordAddresses '{2a545cc4-fea2-509d-a0a4-1c1ffaff4bd9}','{1c52584d-1f9f-54af-af4d-b53c2371e7a6}','{ca2aabca-5c99-5edc-9a23-a64573c722fe}','{deecb73c-7139-500c-b1d8-a6f7e42ee189}','{280a2994-79b9-509f-9f70-f109a58868b5}'
