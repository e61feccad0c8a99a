#!/usr/bin/env bash
# Written by `allowlist-gen export azure-private-dns`: 3 hosts of the list
# sha256:2e540330e889afbe5d6ef17cd697f9c84a73bd087718289091f26e17878e5455 (serial 7).
# Registries: contoso (eastus, westeurope).
# Left out, as they have no private address: fabrikam.azurecr.io, fabrikam.westus2.data.azurecr.io.
# Answers to DNS questions, for registries behind private endpoints. Nothing is blocked: a client
# that knows an address doesn't have to ask.
# For zones that are kept by hand: a private endpoint with a DNS zone group writes its records
# itself.
# The zones must exist, and be linked to the networks that ask. Each record gets exactly the
# addresses of the list; a record that the list doesn't have stays as it is.
# Unless a zone's link falls back to the internet, a name that the zone doesn't have doesn't exist:
# every registry that is reached through Private Link needs all its hosts in it.

set -euo pipefail

: "${RESOURCE_GROUP:?set it to the resource group of the private zones}"

# a ZONE NAME ADDRESS...: the record has these addresses and no others.
a() {
  record_set a ipv4-address aRecords ipv4Address "$@"
}

aaaa() {
  record_set aaaa ipv6-address aaaaRecords ipv6Address "$@"
}

record_set() {
  local type=$1 option=$2 list=$3 key=$4 zone=$5 name=$6 first=$7 records
  shift 6
  printf -v records "{\"$key\":\"%s\"}," "$@"
  az network private-dns record-set "$type" add-record "${place[@]}" --zone-name "$zone" \
    --record-set-name "$name" "--$option" "$first" --output none
  az network private-dns record-set "$type" update "${place[@]}" --zone-name "$zone" \
    --name "$name" --set "$list=[${records%,}]" --output none
}

place=(--resource-group "$RESOURCE_GROUP")

# login server of contoso
a privatelink.azurecr.io contoso 10.20.0.6

# layers of contoso in eastus
a privatelink.azurecr.io contoso.eastus.data 10.20.0.4

# layers of contoso in westeurope
a privatelink.azurecr.io contoso.westeurope.data 10.20.0.5
