#!/usr/bin/env bash
# Written by `allowlist-gen export azure-nsg`: 8 hosts of the list
# sha256:0e1459f92a84066f577c25b9b0d8dd86d644f44b5a95a51028374ac7c14c0fe1.
# Registries: contoso (eastus), contoso of azurecr.us (usgovvirginia), contoso of azurecr.cn
# (chinaeast2); and 2 other hosts.
# Clients: 10.10.0.0/16.
# By address: the target knows no names, so only the addresses of private endpoints are written. The
# public front ends are shared between registries: an address of theirs also reaches other people's.
# The rules allow, and by default everything else is allowed, too: the group needs a rule after them
# that denies what goes out to the virtual network and the internet. Its name mustn't begin with
# `allowlist-`.
# The rules have priorities from 200 on, or from what the variable FIRST_PRIORITY says: rules before
# them are looked at first, and one that denies the rest has a greater number than the last of them.
# Rules whose names begin with `allowlist-` are this script's: it deletes those that aren't on the
# list, and those that change their priority are gone for a moment.
# Clients reach only addresses of their own family, so no rule joins an IPv4 client to an IPv6
# address.

set -euo pipefail

resource_group=${RESOURCE_GROUP:?"set RESOURCE_GROUP to the resource group of the network security group"}
nsg=${NSG:?"set NSG to the name of the network security group"}
first=${FIRST_PRIORITY:-200}

if ((first < 100 || first + 4 - 1 > 4096)); then
  echo "FIRST_PRIORITY: 4 rules have to fit between 100 and 4096" >&2
  exit 2
fi

rules=(
  allowlist-acr-contoso--cn
  allowlist-acr-contoso
  allowlist-acr-contoso--us
  allowlist-other
)

# priority NAME: the one that the rule has among these; nothing if it isn't among them.
priority() {
  local place
  for place in "${!rules[@]}"; do
    if [[ ${rules[place]} == "$1" ]]; then
      echo $((first + place))
    fi
  done
}

# What is there under another name or with another priority would be in the way.
there=$(az network nsg rule list --resource-group "$resource_group" --nsg-name "$nsg" \
  --query "[?starts_with(name, 'allowlist-')].[name, priority]" --output tsv)
while read -r rule has; do
  if [[ -n $rule && $(priority "$rule") != "$has" ]]; then
    az network nsg rule delete --resource-group "$resource_group" --nsg-name "$nsg" --name "$rule" --output none
  fi
done <<<"$there"

# allow NAME CLIENTS ADDRESSES PORTS
allow() {
  local clients addresses ports
  read -ra clients <<<"$2"
  read -ra addresses <<<"$3"
  read -ra ports <<<"$4"
  az network nsg rule create --resource-group "$resource_group" --nsg-name "$nsg" --name "$1" \
    --priority "$(priority "$1")" --direction Outbound --access Allow --protocol Tcp \
    --source-address-prefixes "${clients[@]}" --source-port-ranges '*' \
    --destination-address-prefixes "${addresses[@]}" --destination-port-ranges "${ports[@]}" \
    --output none
}

# contoso of azurecr.cn: chinaeast2
allow allowlist-acr-contoso--cn '10.10.0.0/16' '10.30.0.4/32 10.30.0.6/32' '443'

# contoso: eastus
allow allowlist-acr-contoso '10.10.0.0/16' '10.20.0.4/32 10.20.0.6/32' '443'

# contoso of azurecr.us: usgovvirginia
allow allowlist-acr-contoso--us '10.10.0.0/16' '10.40.0.4/32 10.40.0.6/32' '443'

# hand-written hosts
allow allowlist-other '10.10.0.0/16' '10.50.0.1/32 10.50.0.2/32' '443'
