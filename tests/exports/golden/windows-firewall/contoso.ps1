# Written by `allowlist-gen export windows-firewall`: 5 hosts of the list
# sha256:2e540330e889afbe5d6ef17cd697f9c84a73bd087718289091f26e17878e5455 (serial 7).
# Registries: contoso (eastus, westeurope), fabrikam (westus2).
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

# contoso: eastus, westeurope
# login server of contoso
Remove-NetFirewallDynamicKeywordAddress -Id '{ea4e7bc5-aa9e-586e-9e2f-00208863ef32}' -ErrorAction 'SilentlyContinue'
New-NetFirewallDynamicKeywordAddress -Id '{ea4e7bc5-aa9e-586e-9e2f-00208863ef32}' -Keyword 'contoso.azurecr.io' -AutoResolve $true
# layers of contoso in eastus
Remove-NetFirewallDynamicKeywordAddress -Id '{ba472cd6-6682-5c88-b555-6a7d08165202}' -ErrorAction 'SilentlyContinue'
New-NetFirewallDynamicKeywordAddress -Id '{ba472cd6-6682-5c88-b555-6a7d08165202}' -Keyword 'contoso.eastus.data.azurecr.io' -AutoResolve $true
# layers of contoso in westeurope
Remove-NetFirewallDynamicKeywordAddress -Id '{1cabd512-f5ac-5d81-93db-7702fe492161}' -ErrorAction 'SilentlyContinue'
New-NetFirewallDynamicKeywordAddress -Id '{1cabd512-f5ac-5d81-93db-7702fe492161}' -Keyword 'contoso.westeurope.data.azurecr.io' -AutoResolve $true

# fabrikam: westus2
# login server of fabrikam
Remove-NetFirewallDynamicKeywordAddress -Id '{2a545cc4-fea2-509d-a0a4-1c1ffaff4bd9}' -ErrorAction 'SilentlyContinue'
New-NetFirewallDynamicKeywordAddress -Id '{2a545cc4-fea2-509d-a0a4-1c1ffaff4bd9}' -Keyword 'fabrikam.azurecr.io' -AutoResolve $true
# layers of fabrikam in westus2
Remove-NetFirewallDynamicKeywordAddress -Id '{16cb7719-bf29-593f-b615-af22e1fa7066}' -ErrorAction 'SilentlyContinue'
New-NetFirewallDynamicKeywordAddress -Id '{16cb7719-bf29-593f-b615-af22e1fa7066}' -Keyword 'fabrikam.westus2.data.azurecr.io' -AutoResolve $true

New-NetFirewallRule -Name 'acr-contoso' -DisplayName 'acr-contoso' -Description 'contoso: eastus, westeurope' -Group 'acr-allowlist' -Direction 'Outbound' -Action 'Allow' -Protocol 'TCP' -RemotePort '443' -RemoteDynamicKeywordAddresses '{ea4e7bc5-aa9e-586e-9e2f-00208863ef32}','{ba472cd6-6682-5c88-b555-6a7d08165202}','{1cabd512-f5ac-5d81-93db-7702fe492161}'
New-NetFirewallRule -Name 'acr-fabrikam' -DisplayName 'acr-fabrikam' -Description 'fabrikam: westus2' -Group 'acr-allowlist' -Direction 'Outbound' -Action 'Allow' -Protocol 'TCP' -RemotePort '443' -RemoteDynamicKeywordAddresses '{2a545cc4-fea2-509d-a0a4-1c1ffaff4bd9}','{16cb7719-bf29-593f-b615-af22e1fa7066}'
