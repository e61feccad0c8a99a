# Written by `allowlist-gen export windows-firewall`: 5 hosts of the list
# sha256:f5a868d0051c5b54df8721d104ddce210427d1299ea2ec197dd8b00b867c6091.
# Registries: contoso (eastus); and 3 other hosts.
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

# contoso
# login server of contoso
Remove-NetFirewallDynamicKeywordAddress -Id '{ea4e7bc5-aa9e-586e-9e2f-00208863ef32}' -ErrorAction 'SilentlyContinue'
New-NetFirewallDynamicKeywordAddress -Id '{ea4e7bc5-aa9e-586e-9e2f-00208863ef32}' -Keyword 'contoso.azurecr.io' -AutoResolve $true

# contoso: eastus
# layers of contoso in eastus
Remove-NetFirewallDynamicKeywordAddress -Id '{ba472cd6-6682-5c88-b555-6a7d08165202}' -ErrorAction 'SilentlyContinue'
New-NetFirewallDynamicKeywordAddress -Id '{ba472cd6-6682-5c88-b555-6a7d08165202}' -Keyword 'contoso.eastus.data.azurecr.io' -AutoResolve $true

# hand-written hosts
# storage account: "build cache, private to this subscription"
Remove-NetFirewallDynamicKeywordAddress -Id '{8facf24d-af9b-55e4-ae78-957f1f11d73c}' -ErrorAction 'SilentlyContinue'
New-NetFirewallDynamicKeywordAddress -Id '{8facf24d-af9b-55e4-ae78-957f1f11d73c}' -Keyword 'contosobuildcache.blob.core.windows.net' -AutoResolve $true
# hand-written: "long names are names"
Remove-NetFirewallDynamicKeywordAddress -Id '{9f7d0bd2-a0af-508e-a8a0-aebaee5a97c2}' -ErrorAction 'SilentlyContinue'
New-NetFirewallDynamicKeywordAddress -Id '{9f7d0bd2-a0af-508e-a8a0-aebaee5a97c2}' -Keyword 'a-name-that-is-as-long-as-a-label-may-be-in-all-of-the-dns-here.a-name-that-is-as-long-as-a-label-may-be-in-all-of-the-dns-here.a-name-that-is-as-long-as-a-label-may-be-in-all-of-the-dns-here.example' -AutoResolve $true

# hand-written hosts
# hand-written: "the build service"
Remove-NetFirewallDynamicKeywordAddress -Id '{5c93d733-06f4-5510-87b2-430c7119b443}' -ErrorAction 'SilentlyContinue'
New-NetFirewallDynamicKeywordAddress -Id '{5c93d733-06f4-5510-87b2-430c7119b443}' -Keyword 'build.example' -AutoResolve $true

New-NetFirewallRule -Name 'acr-contoso' -DisplayName 'acr-contoso' -Description 'contoso' -Group 'acr-allowlist' -Direction 'Outbound' -Action 'Allow' -Protocol 'TCP' -RemotePort '443' -RemoteDynamicKeywordAddresses '{ea4e7bc5-aa9e-586e-9e2f-00208863ef32}'
New-NetFirewallRule -Name 'acr-contoso--443-8443' -DisplayName 'acr-contoso--443-8443' -Description 'contoso: eastus' -Group 'acr-allowlist' -Direction 'Outbound' -Action 'Allow' -Protocol 'TCP' -RemotePort '443','8443' -RemoteDynamicKeywordAddresses '{ba472cd6-6682-5c88-b555-6a7d08165202}'
New-NetFirewallRule -Name 'acr--other' -DisplayName 'acr--other' -Description 'hand-written hosts' -Group 'acr-allowlist' -Direction 'Outbound' -Action 'Allow' -Protocol 'TCP' -RemotePort '443' -RemoteDynamicKeywordAddresses '{8facf24d-af9b-55e4-ae78-957f1f11d73c}','{9f7d0bd2-a0af-508e-a8a0-aebaee5a97c2}'
New-NetFirewallRule -Name 'acr--other--8443' -DisplayName 'acr--other--8443' -Description 'hand-written hosts' -Group 'acr-allowlist' -Direction 'Outbound' -Action 'Allow' -Protocol 'TCP' -RemotePort '8443' -RemoteDynamicKeywordAddresses '{5c93d733-06f4-5510-87b2-430c7119b443}'
