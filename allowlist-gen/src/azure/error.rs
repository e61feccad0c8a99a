//! Why Azure could not be asked, or not all of it.

use std::io;

use ringfence_config::snippet::escape;

use super::credential::Kind;
use super::id::ResourcePath;

/// Why nothing was discovered: half of an answer is none.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The machine gives no event loop.
    #[error("can't start: {0}")]
    Runtime(io::Error),
    /// No HTTP client can be made.
    #[error("can't set up TLS: {0}")]
    Client(reqwest::Error),
    /// A file of authorities is none.
    #[error("{0} is not a file of certificates: {1}")]
    Authorities(String, String),
    /// Nobody is trusted.
    #[error("this machine trusts no certificate authority: {0}")]
    NoRoots(String),
    /// An audience that can't be asked for.
    #[error("`{0}` is not an audience: write a URL, as in https://management.azure.com")]
    Audience(String),
    /// An authority in the environment that is none.
    #[error("AZURE_AUTHORITY_HOST is `{0}`: {1}")]
    Authority(String, String),
    /// A variable that a credential needs.
    #[error("the credential {0} needs `{1}` in the environment")]
    Unset(Kind, &'static str),
    /// A certificate's file can't be read.
    #[error("can't read {0}: {1}")]
    CertificateFile(String, io::Error),
    /// A certificate's file can't be used.
    #[error("{0} is no certificate to sign in with: {1}")]
    Certificate(String, String),
    /// No token.
    #[error("can't sign in with the credential {0}: {1}")]
    SignIn(Kind, String),
    /// No token in time.
    #[error("can't sign in with the credential {0}: nothing answered in time")]
    SignInTimeout(Kind),
    /// Nothing says which registries.
    #[error("which registries? there is no subscription, and no resource id of a registry")]
    NoSubscription,
    /// There are none.
    #[error("there is no registry in {0}")]
    NoRegistries(String),
    /// Some of those that were asked for are not there.
    #[error("no registry `{}` in {}", .0.join("`, `"), .1)]
    UnknownRegistries(Vec<String>, String),
    /// A resource that was asked for by its id, and isn't there.
    #[error("`{0}` doesn't exist, or you may not know of it ({1}): {2}")]
    NotFound(ResourcePath, String, String),
    /// The registries themselves, or what was asked for by its id, may not be read.
    #[error("`{0}` can't be read ({1}): {2}")]
    Forbidden(ResourcePath, String, String),
    /// ARM doesn't take the token.
    #[error("Azure doesn't accept the credential for `{0}` ({1}): {2}")]
    Unauthorized(ResourcePath, String, String),
    /// An answer that isn't expected.
    #[error("Azure answered `{0}` with {1} ({2}): {3}")]
    Status(ResourcePath, u16, String, String),
    /// Requests go out again and again, and Azure still wants fewer.
    #[error("Azure wants fewer requests, and has put off `{0}` for too long")]
    Throttled(ResourcePath),
    /// ARM or the authority can't be reached.
    #[error("can't reach {host}: {why}")]
    Transport {
        /// Where it should be.
        host: String,
        /// The chain of causes.
        why: String,
    },
    /// Something sends us elsewhere.
    #[error("`{0}` is redirected to `{1}`, which is not followed: the token stays with Azure")]
    Redirect(ResourcePath, String),
    /// A listing goes on elsewhere.
    #[error(
        "the listing `{0}` goes on at `{1}`, which is not Azure's resource manager: nothing was sent there"
    )]
    ForeignPage(ResourcePath, String),
    /// A listing goes on for ever.
    #[error("the listing `{0}` doesn't end: {1}")]
    Endless(ResourcePath, &'static str),
    /// An answer that can't be read.
    #[error("what came for `{0}` is {1}")]
    Body(ResourcePath, Body),
    /// A reference to a resource that is no reference.
    #[error("`{0}` refers to `{1}`, which is not a resource id")]
    Reference(ResourcePath, String),
}

/// What is wrong with a body.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Body {
    /// More than anything could be.
    #[error("longer than {0} MiB")]
    TooLong(usize),
    /// Not JSON, or not all of it.
    #[error("not JSON ({kind}): {why}")]
    NotJson {
        /// What it claims to be.
        kind: String,
        /// What is wrong with it.
        why: String,
    },
    /// JSON without what must be there.
    #[error("not what it should be: {0}")]
    Shape(String),
}

impl Error {
    /// What to do about it, if that is more than to correct what the message names; commands stand on lines of their
    /// own.
    pub fn remedy(&self) -> Option<String> {
        let text = match self {
            Self::Unset(_, "AZURE_TENANT_ID") => "or give `--tenant`",
            Self::Unset(_, "AZURE_CLIENT_ID") => "or give `--client-id`",
            Self::NoSubscription => {
                "give a subscription, or the id of a registry\n  \
                 az account show --query id --output tsv\n  \
                 az acr show --name NAME --query id --output tsv"
            }
            Self::SignIn(Kind::Cli, _) => "az login",
            Self::SignIn(Kind::ManagedIdentity, _) | Self::SignInTimeout(Kind::ManagedIdentity) => {
                "this needs a machine of Azure's with an identity; elsewhere, say which credential to use\n  \
                 --credential cli (after az login), client-secret, client-certificate, workload-identity"
            }
            Self::NoRegistries(_) | Self::UnknownRegistries(..) => {
                "see which there are, and give the right `--subscription`, `--resource-group` and `--cloud`\n  \
                 az acr list --subscription ID --query [].id --output tsv"
            }
            Self::Forbidden(path, ..) => {
                return Some(format!(
                    "let whoever runs this read it; the role Reader will do\n  \
                     az role assignment create --role Reader --assignee WHO --scope {}",
                    scope(path)
                ));
            }
            Self::NotFound(..) => "check the id, and the subscription in it",
            Self::Unauthorized(..) => {
                "sign in to the tenant of that subscription: `--tenant`\n  \
                 az account show --subscription ID --query tenantId --output tsv"
            }
            Self::Transport { .. } => {
                "see that this machine reaches it, through the proxy in HTTPS_PROXY if there is one; whom to trust \
                 besides the machine's authorities says `--azure-ca FILE`"
            }
            Self::NoRoots(_) => "install ca-certificates, or give `--azure-ca FILE`",
            Self::Throttled(_) => "run it later, or for fewer registries at once",
            Self::Body(_, Body::NotJson { .. }) => {
                "something between here and Azure may have answered: a proxy, a portal"
            }
            _ => return None,
        };
        Some(text.to_owned())
    }

    /// The message in one line that can't move a terminal's cursor: much of it was written elsewhere.
    pub fn line(&self) -> String {
        escape(&self.to_string())
    }
}

/// The group or the subscription that holds a listing, or the resource itself.
fn scope(path: &ResourcePath) -> String {
    let text = path.to_string();
    let is_listing = !path.segments().count().is_multiple_of(2);
    match text.to_ascii_lowercase().rfind("/providers/") {
        Some(at) if is_listing => text[..at].to_owned(),
        _ => text,
    }
}
