//! Recognises what a JSON value is: an envelope around resources, or one resource of some kind.

use serde_json::Value;

use super::Error;
use super::node::Node;
use super::private_link;
use super::record::{self, Record};

/// Reads a document: one resource, a list of them, or an envelope around such a list.
pub(super) fn read(node: &Node<'_>) -> Result<Vec<Record>, Error> {
    let Value::Object(object) = node.value() else {
        return match node.value() {
            Value::Array(items) if items.is_empty() => Ok(vec![Record::EmptyList(node.file())]),
            Value::Array(_) => read_items(node),
            _ => Err(Error::Unrecognised(node.place(), node.kind().to_owned())),
        };
    };
    let is_list = |key: &str| object.get(key).is_some_and(Value::is_array);
    if is_list("value") {
        ends_here(node, "nextLink")?;
        return read_listing(node);
    }
    if is_list("data") && object.contains_key("count") {
        ends_here(node, "skip_token")?;
        ends_here(node, "$skipToken")?;
        // The service says `totalRecords`; az prints it in snake case.
        for total in ["totalRecords", "total_records"] {
            let number = |key| node.key(key).and_then(|node| node.value().as_u64());
            if number("count") < number(total) {
                return Err(Error::Incomplete(node.place(), total));
            }
        }
        return read(&node.require("data")?);
    }
    let kind = kind(node)?;
    let mut records = Vec::from_iter(read_resource(node, kind)?);
    records.extend(private_link::read(node, kind)?.into_iter().map(Record::PrivateLink));
    Ok(records)
}

/// Azure's listings don't say of what they are; one that was fetched for somebody has an `id` that does, so that
/// an empty one says something, too.
fn read_listing(node: &Node<'_>) -> Result<Vec<Record>, Error> {
    let items = node.require_list("value")?;
    let Some(id) = node.key("id") else {
        return read(&node.require("value")?);
    };
    let said = private_link::read_listing(&id, &items)?.into_iter().map(Record::PrivateLink);
    let id = id.resource_id()?;
    let mut records = match (id.name(), id.registry()) {
        ("replications", Some(registry)) if items.is_empty() => {
            vec![Record::NoReplications(node.place(), registry)]
        }
        ("privateEndpointConnections", Some(registry)) if items.is_empty() => {
            vec![Record::NoConnections(node.place(), registry)]
        }
        ("listUsages", Some(registry)) => {
            let quota = |item| record::quota(item, Some(registry.clone()));
            items.iter().filter_map(quota).collect()
        }
        ("connectedRegistries", Some(registry)) => {
            let connected = |item| record::connected(item, registry.clone());
            items.iter().filter_map(connected).collect()
        }
        // Said by the listing itself.
        ("privateDnsZoneGroups", _) => Vec::new(),
        _ if items.is_empty() => Vec::new(),
        _ => read_items(&node.require("value")?)?,
    };
    records.extend(said);
    Ok(records)
}

fn read_items(list: &Node<'_>) -> Result<Vec<Record>, Error> {
    let mut records = Vec::new();
    for item in list.items()? {
        records.extend(read(&item)?);
    }
    Ok(records)
}

fn ends_here(node: &Node<'_>, key: &'static str) -> Result<(), Error> {
    match node.key(key) {
        Some(link) if link.value().as_str() != Some("") => {
            Err(Error::Incomplete(node.place(), key))
        }
        _ => Ok(()),
    }
}

/// Reads one object; `None` for a DNS record that holds no addresses of a registry.
fn read_resource(node: &Node<'_>, kind: Kind) -> Result<Option<Record>, Error> {
    let record = match kind {
        Kind::Registry => Record::Registry(Box::new(record::registry(node)?)),
        Kind::ShowEndpoints => Record::ShowEndpoints(record::show_endpoints(node)?),
        Kind::Replication => record::replication(node)?,
        Kind::Connection => record::connection(node)?,
        Kind::PrivateEndpoint => Record::PrivateEndpoint(record::private_endpoint(node)?),
        Kind::Interface => Record::Interface(record::interface(node)?),
        Kind::Subnet => Record::Subnet(record::subnet(node)?),
        Kind::Quota => return Ok(record::quota(node, None)),
        Kind::Connected => return record::connected_alone(node),
        Kind::Unreadable => Record::Unreadable(record::unreadable(node)?),
        Kind::DnsRecord => return Ok(record::dns_record(node)?.map(Record::DnsRecord)),
        Kind::Zone | Kind::ZoneGroup | Kind::PassedOver => return Ok(None),
    };
    Ok(Some(record))
}

#[derive(Clone, Copy)]
pub(super) enum Kind {
    Registry,
    ShowEndpoints,
    Replication,
    Connection,
    PrivateEndpoint,
    Interface,
    DnsRecord,
    Subnet,
    Quota,
    Connected,
    Zone,
    ZoneGroup,
    /// Something beside a registry that says nothing of its hosts.
    PassedOver,
    Unreadable,
}

/// By its resource type where it has one, otherwise by the keys that only it has.
fn kind(node: &Node<'_>) -> Result<Kind, Error> {
    if let Some(name) = node.key("type") {
        // Resource Graph folds the case of types.
        return match name.text()?.to_ascii_lowercase().as_str() {
            "microsoft.containerregistry/registries" => Ok(Kind::Registry),
            "microsoft.containerregistry/registries/replications" => Ok(Kind::Replication),
            "microsoft.containerregistry/registries/privateendpointconnections" => {
                Ok(Kind::Connection)
            }
            "microsoft.network/privateendpoints" => Ok(Kind::PrivateEndpoint),
            "microsoft.network/networkinterfaces" => Ok(Kind::Interface),
            "microsoft.network/privatednszones/a" => Ok(Kind::DnsRecord),
            "microsoft.containerregistry/registries/connectedregistries" => Ok(Kind::Connected),
            "microsoft.network/virtualnetworks/subnets" => Ok(Kind::Subnet),
            "microsoft.network/privatednszones" => Ok(Kind::Zone),
            "microsoft.network/privateendpoints/privatednszonegroups" => Ok(Kind::ZoneGroup),
            dns if dns.starts_with("microsoft.network/privatednszones/") => Ok(Kind::PassedOver),
            _ => Err(unrecognised(node, &format!("a `{}`", name.word()?))),
        };
    }
    let has = |key| node.key(key).is_some();
    if has("error") && has("registry") {
        Ok(Kind::Unreadable)
    } else if has("dataEndpoints") {
        Ok(Kind::ShowEndpoints)
    } else if has("loginServer") {
        Ok(Kind::Registry)
    } else if has("regionEndpointEnabled") {
        Ok(Kind::Replication)
    } else if has("privateLinkServiceConnectionState") && has("privateEndpoint") {
        Ok(Kind::Connection)
    } else if has("customDnsConfigs") || has("privateLinkServiceConnections") {
        Ok(Kind::PrivateEndpoint)
    } else if has("privateDnsZoneConfigs") {
        Ok(Kind::ZoneGroup)
    } else if has("ipConfigurations") {
        Ok(Kind::Interface)
    } else if has("aRecords") {
        Ok(Kind::DnsRecord)
    } else if has("currentValue") && has("limit") {
        Ok(Kind::Quota)
    } else if has("responses") {
        Err(unrecognised(
            node,
            "an example from an API specification, with the reply under `responses`",
        ))
    } else if has("httpProxy") || has("noProxy") {
        Err(unrecognised(node, "the proxy settings of a cluster"))
    } else if has("requiredMembers") {
        Err(unrecognised(node, "a private link resource"))
    } else if let Some(error) = node.key("error") {
        let code = error.key("code").and_then(|code| code.word().ok());
        Err(unrecognised(node, &format!("an error from Azure (`{}`)", code.unwrap_or_default())))
    } else {
        Err(unrecognised(node, &keys(node)))
    }
}

fn unrecognised(node: &Node<'_>, found: &str) -> Error {
    Error::Unrecognised(node.place(), found.to_owned())
}

fn keys(node: &Node<'_>) -> String {
    let keys: Vec<String> = node
        .value()
        .as_object()
        .into_iter()
        .flat_map(serde_json::Map::keys)
        .map(|key| format!("`{}`", key.escape_debug()))
        .collect();
    match keys.len() {
        0 => "an empty object".to_owned(),
        1..=4 => format!("an object with {}", keys.join(", ")),
        more => format!("an object with {} and {} other keys", keys[..3].join(", "), more - 3),
    }
}
