// Written by `allowlist-gen export aks-bicep`: 0 hosts of the list
// sha256:7cf7c673a062c324a007d8d163c5c22ff8c74e1cb9e02fb7e59f0ef3f2d6dd5e.
// Registries: none.
// A client's setting, which it is free to ignore: this is no filter, and needs one behind it.
// The cluster's file begins with `import { httpProxyConfig } from 'aks-http-proxy.bicep'` and has
// `httpProxyConfig: httpProxyConfig` in the cluster's `properties`.
// Exactly the hosts of registries behind Private Link go directly, and their names must resolve to
// private addresses where the client is. Left out on purpose: all other hosts of the list, which
// are those of registries without a private address, and hand-written ones. They go through the
// proxy, or it would enforce nothing.
// A change reimages all node pools, also if only noProxy changes. Pods get the variables when they
// are started anew.
// AKS itself adds the API server, the cluster's networks and the machine; they aren't repeated
// here. A network excepts no name that resolves into it.
// The proxy must know the cluster by its addresses: AKS takes no user and no password. Windows node
// pools can't use a proxy.

@export()
var httpProxyConfig = {
  enabled: true
  httpProxy: 'http://proxy.corp.example:3128/'
  httpsProxy: 'http://proxy.corp.example:3128/'
  noProxy: [
  ]
  trustedCa: 'LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCk1JSUJtRENDQVQyZ0F3SUJBZ0lVSHBuZWJ0cDJOdTBjQ0p0K2tsVEFWQ0lrQy9zd0NnWUlLb1pJemowRUF3SXcKSURFZU1Cd0dBMVVFQXd3VlVISnZlSGtnUTBFZ2IyWWdkR2hsSUhSbGMzUnpNQ0FYRFRJMk1URXlNekF6TXpNMApNRm9ZRHpJeE1qWXhNRE13TURNek16UXdXakFnTVI0d0hBWURWUVFEREJWUWNtOTRlU0JEUVNCdlppQjBhR1VnCmRHVnpkSE13V1RBVEJnY3Foa2pPUFFJQkJnZ3Foa2pPUFFNQkJ3TkNBQVJtRXJWd25IQ080bDFjS05WeHp4QTgKcU1WUFVPanR6THVkenNhMnZLSkpLbEpUMjBHdWFtcjkrZjcraVpnZHkxdzJiRHQ0RExjbGtaMkZSbTRvMHVNaQpvMU13VVRBZEJnTlZIUTRFRmdRVVFRbjk0dnJhZWZlMDJpc2IxNDcwbktaWDBMVXdId1lEVlIwakJCZ3dGb0FVClFRbjk0dnJhZWZlMDJpc2IxNDcwbktaWDBMVXdEd1lEVlIwVEFRSC9CQVV3QXdFQi96QUtCZ2dxaGtqT1BRUUQKQWdOSkFEQkdBaUVBMUs1ckRmM3FGbDZWZEhVS1hNM2hwWXQzRURoQTZ4NFJZL2htZjgzbys4OENJUUREVjNuWgp5QW1venRJaktQZ3huR2dRSThtZ2pCL0M5RXEwOElLb2E4cE9WQT09Ci0tLS0tRU5EIENFUlRJRklDQVRFLS0tLS0K'
}
