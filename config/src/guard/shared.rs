//! Domains whose subdomains belong to many owners. The public suffix list knows more, but it can only be
//! asked about one name: a pattern above a suffix (`*.linode.com`) needs the suffix here.

/// Domains of which no pattern may reach a subdomain.
/// <https://learn.microsoft.com/azure/security/fundamentals/azure-domains>
pub(super) const DOMAINS: &[&str] = &[
    // Azure: content delivery and routing.
    "azureedge.net",
    "azureedge.cn",
    "azurefd.net",
    "azurefd.us",
    "azurefd.cn",
    "msecnd.net",
    "trafficmanager.net",
    "usgovtrafficmanager.net",
    "trafficmanager.cn",
    "devtunnels.ms",
    // Azure: compute and applications.
    "cloudapp.azure.com",
    "cloudapp.net",
    "cloudapp.usgovcloudapi.net",
    "cloudapp.chinacloudapi.cn",
    "azurewebsites.net",
    "azurewebsites.us",
    "chinacloudsites.cn",
    "azurestaticapps.net",
    "azurecontainerapps.io",
    "azurecontainerapps.us",
    "azurecontainer.io",
    "azure-api.net",
    "azure-api.us",
    "azure-api.cn",
    "azure-mobile.net",
    "azmk8s.io",
    "azureml.net",
    "azureml.ms",
    "ml.azure.com",
    "batch.azure.com",
    "logic.azure.com",
    "azuredatabricks.net",
    "databricks.azure.us",
    "databricks.azure.cn",
    "databricksapps.com",
    "databricksapps.us",
    // Azure: data, secrets, telemetry, identity, devices, development.
    "documents.azure.com",
    "documents.azure.us",
    "documents.azure.cn",
    "cosmos.azure.com",
    "database.windows.net",
    "database.usgovcloudapi.net",
    "database.chinacloudapi.cn",
    "database.azure.com",
    "servicebus.windows.net",
    "servicebus.usgovcloudapi.net",
    "servicebus.chinacloudapi.cn",
    "eventgrid.azure.net",
    "eventgrid.azure.us",
    "eventgrid.azure.cn",
    "redis.cache.windows.net",
    "redis.azure.net",
    "search.windows.net",
    "azurehdinsight.net",
    "azuresynapse.net",
    "kusto.windows.net",
    "vault.azure.net",
    "vault.usgovcloudapi.net",
    "vault.azure.cn",
    "managedhsm.azure.net",
    "azconfig.io",
    "azconfig.azure.us",
    "azconfig.azure.cn",
    "opinsights.azure.com",
    "monitor.azure.com",
    "applicationinsights.azure.com",
    "grafana.azure.com",
    "openai.azure.com",
    "openai.azure.us",
    "cognitiveservices.azure.com",
    "services.ai.azure.com",
    "models.ai.azure.com",
    "communication.azure.com",
    "azure-devices.net",
    "azure-devices.us",
    "azure-devices.cn",
    "azureiotcentral.com",
    "digitaltwins.azure.net",
    "service.signalr.net",
    "signalr.azure.us",
    "signalr.azure.cn",
    "webpubsub.azure.com",
    "webpubsub.azure.us",
    "webpubsub.azure.cn",
    "visualstudio.com",
    "dev.azure.com",
    "onmicrosoft.com",
    "sharepoint.com",
    "sharepoint.us",
    "sharepoint.cn",
    "dynamics.com",
    // Amazon.
    "cloudfront.net",
    "on.aws",
    "amazonwebservices.com.cn",
    "amazonwebservices.eu",
    "amazoncognito.com",
    "amazonlightsail.com",
    "amplifyapp.com",
    "awsapprunner.com",
    "awsapps.com",
    "awsglobalaccelerator.com",
    "elasticbeanstalk.com",
    "repost.aws",
    "sagemaker.aws",
    "sagemaker.com.cn",
    // Google.
    "appspot.com",
    "run.app",
    "cloudfunctions.net",
    "cloudworkstations.dev",
    "gateway.dev",
    "googleusercontent.com",
    "usercontent.goog",
    "web.app",
    "firebaseapp.com",
    "firebaseio.com",
    "firebasedatabase.app",
    "pkg.dev",
    "gcr.io",
    // Cloudflare, Akamai, Fastly and other content delivery.
    "cloudflarestorage.com",
    "workers.dev",
    "pages.dev",
    "trycloudflare.com",
    "akamaized.net",
    "fastly.net",
    "b-cdn.net",
    "cdn77.org",
    // Other clouds.
    "members.linode.com",
    "nodebalancer.linode.com",
    "linodeusercontent.com",
    "hosting.ovh.net",
    "webpaas.ovh.net",
    "ent.platform.sh",
    "eu.platform.sh",
    "us.platform.sh",
    "up.railway.app",
    "services.clever-cloud.com",
    "aivencloud.com",
    "snowflakecomputing.com",
    // Hosts of other people's code, files and applications, and tunnels.
    "github.io",
    "githubusercontent.com",
    "ghcr.io",
    "gitlab.io",
    "dropboxusercontent.com",
    "herokuapp.com",
    "vercel.app",
    "netlify.app",
    "fly.dev",
    "onrender.com",
    "replit.dev",
    "ngrok.io",
    "ngrok-free.app",
    "at.ply.gg",
    "direct.quickconnect.to",
    "ipfs.nftstorage.link",
    "ipfs.storacha.link",
    "ipfs.w3s.link",
    "loca.lt",
    "localto.net",
    "serveo.net",
];

/// Of these, the ones that answer themselves, for everyone.
pub(super) const SERVICES_AT_THE_APEX: &[&str] =
    &["cosmos.azure.com", "dev.azure.com", "gcr.io", "ghcr.io", "ml.azure.com", "visualstudio.com"];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::guard::storage;
    use crate::hostname::Hostname;

    #[test]
    fn the_tables_say_each_domain_once() {
        let mut seen = HashSet::new();
        for domain in DOMAINS.iter().copied().chain(storage::mixed_domains()) {
            let host: Hostname = domain.parse().expect(domain);
            assert_eq!(host.as_str(), domain);
            assert!(!storage::is_storage(&host), "{domain} is storage already");
            assert!(seen.insert(domain), "{domain} stands twice");
        }
        assert!(SERVICES_AT_THE_APEX.iter().all(|domain| DOMAINS.contains(domain)));
    }
}
