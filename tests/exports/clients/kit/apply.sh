#!/bin/sh
# Gives a cluster its proxy: apply.sh RESOURCE-GROUP CLUSTER
#
# This reimages all node pools. README.md says what has to be in place before.
set -eu
if [ $# -ne 2 ]; then
  echo "usage: $0 RESOURCE-GROUP CLUSTER" >&2
  exit 2
fi
cd -- "$(dirname -- "$0")"
exec az aks update --resource-group "$1" --name "$2" --http-proxy-config aks-http-proxy.json
