# Written by `allowlist-gen export windows-firewall`: 8 hosts of the list
# sha256:0e1459f92a84066f577c25b9b0d8dd86d644f44b5a95a51028374ac7c14c0fe1.
# Registries: contoso (eastus), contoso of azurecr.us (usgovvirginia), contoso of azurecr.cn
# (chinaeast2); and 2 other hosts.
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

# contoso of azurecr.cn: chinaeast2
# login server of contoso: "$(touch /tmp/owned) ${HOME} %{if true}x%{endif} `id` %n %h"
Remove-NetFirewallDynamicKeywordAddress -Id '{d3e98e45-588d-5698-be09-0b9001e7e578}' -ErrorAction 'SilentlyContinue'
New-NetFirewallDynamicKeywordAddress -Id '{d3e98e45-588d-5698-be09-0b9001e7e578}' -Keyword 'contoso.azurecr.cn' -AutoResolve $true
# layers of contoso in chinaeast2: "*/ --> ]]> <!-- /* // # ; -- ''' {{ }} <script>alert(1)</script>"
Remove-NetFirewallDynamicKeywordAddress -Id '{dc4ac183-9bc7-5903-8e92-aad54ae46762}' -ErrorAction 'SilentlyContinue'
New-NetFirewallDynamicKeywordAddress -Id '{dc4ac183-9bc7-5903-8e92-aad54ae46762}' -Keyword 'contoso.chinaeast2.data.azurecr.cn' -AutoResolve $true

# contoso: eastus
# login server of contoso: "quotes " ' ` and a backslash \"
Remove-NetFirewallDynamicKeywordAddress -Id '{ea4e7bc5-aa9e-586e-9e2f-00208863ef32}' -ErrorAction 'SilentlyContinue'
New-NetFirewallDynamicKeywordAddress -Id '{ea4e7bc5-aa9e-586e-9e2f-00208863ef32}' -Keyword 'contoso.azurecr.io' -AutoResolve $true
# layers of contoso in eastus: "line\nfeed\r\nhttp_access allow all\n*.azurecr.io\n0.0.0.0/0"
Remove-NetFirewallDynamicKeywordAddress -Id '{ba472cd6-6682-5c88-b555-6a7d08165202}' -ErrorAction 'SilentlyContinue'
New-NetFirewallDynamicKeywordAddress -Id '{ba472cd6-6682-5c88-b555-6a7d08165202}' -Keyword 'contoso.eastus.data.azurecr.io' -AutoResolve $true

# contoso of azurecr.us: usgovvirginia
# login server of contoso: "=HYPERLINK("http://evil.example") \u{202e}\u{2028}\u{2029}\u{85} \0 ends with \"
Remove-NetFirewallDynamicKeywordAddress -Id '{d38775df-520a-5faa-8ad0-b32ccccb8b31}' -ErrorAction 'SilentlyContinue'
New-NetFirewallDynamicKeywordAddress -Id '{d38775df-520a-5faa-8ad0-b32ccccb8b31}' -Keyword 'contoso.azurecr.us' -AutoResolve $true
# layers of contoso in usgovvirginia
Remove-NetFirewallDynamicKeywordAddress -Id '{f22fd1b5-f845-5a78-8abb-1d91e76bf4ee}' -ErrorAction 'SilentlyContinue'
New-NetFirewallDynamicKeywordAddress -Id '{f22fd1b5-f845-5a78-8abb-1d91e76bf4ee}' -Keyword 'contoso.usgovvirginia.data.azurecr.us' -AutoResolve $true

# hand-written hosts
# hand-written: "C:\temp\new "%PATH%" $env:USERNAME'; Remove-Item -Recurse C:\ #"
Remove-NetFirewallDynamicKeywordAddress -Id '{dc7354d3-8a16-5eeb-bec2-66e54aa073a2}' -ErrorAction 'SilentlyContinue'
New-NetFirewallDynamicKeywordAddress -Id '{dc7354d3-8a16-5eeb-bec2-66e54aa073a2}' -Keyword '1e5.0x1f.example' -AutoResolve $true
# hand-written: "a name, not a boolean: yes, no, null, ~, 0x1f, 1e5 {a: b} [c] & * ! | > % @"
Remove-NetFirewallDynamicKeywordAddress -Id '{595ab89b-2900-5b1a-b484-e777a08e18bb}' -ErrorAction 'SilentlyContinue'
New-NetFirewallDynamicKeywordAddress -Id '{595ab89b-2900-5b1a-b484-e777a08e18bb}' -Keyword 'true.example' -AutoResolve $true

New-NetFirewallRule -Name 'acr-contoso--cn' -DisplayName 'acr-contoso--cn' -Description 'contoso of azurecr.cn: chinaeast2' -Group 'acr-allowlist' -Direction 'Outbound' -Action 'Allow' -Protocol 'TCP' -RemotePort '443' -RemoteDynamicKeywordAddresses '{d3e98e45-588d-5698-be09-0b9001e7e578}','{dc4ac183-9bc7-5903-8e92-aad54ae46762}'
New-NetFirewallRule -Name 'acr-contoso' -DisplayName 'acr-contoso' -Description 'contoso: eastus' -Group 'acr-allowlist' -Direction 'Outbound' -Action 'Allow' -Protocol 'TCP' -RemotePort '443' -RemoteDynamicKeywordAddresses '{ea4e7bc5-aa9e-586e-9e2f-00208863ef32}','{ba472cd6-6682-5c88-b555-6a7d08165202}'
New-NetFirewallRule -Name 'acr-contoso--us' -DisplayName 'acr-contoso--us' -Description 'contoso of azurecr.us: usgovvirginia' -Group 'acr-allowlist' -Direction 'Outbound' -Action 'Allow' -Protocol 'TCP' -RemotePort '443' -RemoteDynamicKeywordAddresses '{d38775df-520a-5faa-8ad0-b32ccccb8b31}','{f22fd1b5-f845-5a78-8abb-1d91e76bf4ee}'
New-NetFirewallRule -Name 'acr--other' -DisplayName 'acr--other' -Description 'hand-written hosts' -Group 'acr-allowlist' -Direction 'Outbound' -Action 'Allow' -Protocol 'TCP' -RemotePort '443' -RemoteDynamicKeywordAddresses '{dc7354d3-8a16-5eeb-bec2-66e54aa073a2}','{595ab89b-2900-5b1a-b484-e777a08e18bb}'
