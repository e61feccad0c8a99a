//! Decides what a list says of one host and port, as the proxy decides it: an exact entry first, then patterns, and a
//! storage host only by the entry that names that very account. A test holds both to one answer.

use std::collections::HashMap;

use ringfence_config::{Allowlist, Entry, HostPattern, Hostname, PatternSet, Port, Role, guard};

/// A list that can be asked.
#[derive(Debug, Clone)]
pub struct Judge {
    exact: HashMap<Hostname, Entry>,
    patterns: PatternSet,
    /// What `patterns` answers with the position of.
    wildcards: Vec<Entry>,
}

/// Why a list denies a host and port, in the order in which it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Denial {
    /// The list is empty.
    NoPolicy,
    /// The list is past its end. No [`Judge`] says so, for it has no clock; a log does.
    PolicyExpired,
    /// A storage host, and no entry that names the account.
    StorageForbidden,
    /// No entry stands for the host.
    NotInPolicy,
    /// An entry does, on other ports.
    PortNotAllowed,
}

impl Denial {
    /// Every one.
    pub const ALL: [Self; 5] = [
        Self::NoPolicy,
        Self::PolicyExpired,
        Self::StorageForbidden,
        Self::NotInPolicy,
        Self::PortNotAllowed,
    ];

    /// The proxy's code for it, in logs and answers.
    pub fn code(self) -> &'static str {
        match self {
            Self::NoPolicy => "no_policy",
            Self::PolicyExpired => "policy_expired",
            Self::StorageForbidden => "storage_forbidden",
            Self::NotInPolicy => "not_in_policy",
            Self::PortNotAllowed => "port_not_allowed",
        }
    }

    /// The one with that code.
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|denial| denial.code() == code)
    }
}

impl Judge {
    /// Compiles `list`.
    pub fn new(list: &Allowlist) -> Self {
        let mut exact = HashMap::new();
        let (mut wildcards, mut globs) = (Vec::new(), Vec::new());
        for entry in list.entries() {
            match &entry.host {
                HostPattern::Exact(host) => {
                    exact.insert(host.clone(), entry.clone());
                }
                HostPattern::Wildcard(wildcard) => {
                    globs.push(wildcard);
                    wildcards.push(entry.clone());
                }
            }
        }
        let patterns = PatternSet::new(globs);
        Self { exact, patterns, wildcards }
    }

    /// The entry that admits `host` on `port`, or why none does.
    ///
    /// ```
    /// use allowlist_gen::judge::{Denial, Judge};
    /// use ringfence_config::{Allowlist, Entry, Port, Role};
    ///
    /// let entry = Entry::new("contoso.azurecr.io".parse()?, Role::Login("contoso".parse()?));
    /// let judge = Judge::new(&Allowlist::new([entry])?);
    /// assert!(judge.decide(&"contoso.azurecr.io".parse()?, Port::HTTPS).is_ok());
    /// let denied = judge.decide(&"exfil.blob.core.windows.net".parse()?, Port::HTTPS);
    /// assert_eq!(denied.unwrap_err(), Denial::StorageForbidden);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn decide(&self, host: &Hostname, port: Port) -> Result<&Entry, Denial> {
        if self.exact.is_empty() && self.wildcards.is_empty() {
            return Err(Denial::NoPolicy);
        }
        let position = || self.patterns.first_match(host);
        let entry = self.exact.get(host).or_else(|| self.wildcards.get(position()?));
        let is_account = entry.is_some_and(|entry| entry.role == Role::StorageAccount);
        if guard::is_storage(host) && !is_account {
            return Err(Denial::StorageForbidden);
        }
        let entry = entry.ok_or(Denial::NotInPolicy)?;
        if entry.ports.contains(port) { Ok(entry) } else { Err(Denial::PortNotAllowed) }
    }
}
