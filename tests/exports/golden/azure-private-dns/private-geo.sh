#!/usr/bin/env bash
# Written by `allowlist-gen export azure-private-dns`: 5 hosts of the list
# sha256:15b6516e5357a03266219efe747b2bc7d378780e3b6b599b1efb97b971ef7a1d.
# Registries: fabrikam (eastus, westeurope).
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

# login server of fabrikam
a privatelink.azurecr.io fabrikam 10.1.1.22

# login server of fabrikam in eastus
a privatelink.azurecr.io fabrikam.eastus.geo 10.1.1.24

# login server of fabrikam in westeurope
a privatelink.azurecr.io fabrikam.westeurope.geo 10.1.1.23

# layers of fabrikam in eastus
a privatelink.azurecr.io fabrikam.eastus.data 10.1.1.21

# layers of fabrikam in westeurope
a privatelink.azurecr.io fabrikam.westeurope.data 10.1.1.20
