//! Knows the names of Azure's regions. The set is open: a name that is not here is worth a look,
//! never an error.
//!
//! Sources: <https://learn.microsoft.com/azure/reliability/regions-list>, and azure-cli's own
//! tables.

use ringfence_config::registry::Region;

/// Whether `region` is a name that Azure has published or that its own clients use.
pub(crate) fn is_known(region: &Region) -> bool {
    KNOWN.binary_search(&region.as_str()).is_ok()
}

/// Sorted.
const KNOWN: &[&str] = &[
    "australiacentral",
    "australiacentral2",
    "australiaeast",
    "australiasoutheast",
    "austriaeast",
    "belgiumcentral",
    "bleufrancecentral",
    "bleufrancesouth",
    "brazilsouth",
    "brazilsoutheast",
    "canadacentral",
    "canadaeast",
    "centralindia",
    "centralus",
    "centraluseuap",
    "chilecentral",
    "chinaeast",
    "chinaeast2",
    "chinaeast3",
    "chinanorth",
    "chinanorth2",
    "chinanorth3",
    "deloscloudgermanycentral",
    "deloscloudgermanynorth",
    "denmarkeast",
    "eastasia",
    "eastus",
    "eastus2",
    "eastus2euap",
    "eastus3",
    "eastusstg",
    "francecentral",
    "francesouth",
    "germanycentral",
    "germanynorth",
    "germanynortheast",
    "germanywestcentral",
    "indiasouthcentral",
    "indonesiacentral",
    "israelcentral",
    "israelnorthwest",
    "italynorth",
    "japaneast",
    "japanwest",
    "jioindiacentral",
    "jioindiawest",
    "koreacentral",
    "koreasouth",
    "malaysiasouth",
    "malaysiawest",
    "mexicocentral",
    "newzealandnorth",
    "northcentralus",
    "northeastus5",
    "northeurope",
    "norwayeast",
    "norwaywest",
    "polandcentral",
    "qatarcentral",
    "southafricanorth",
    "southafricawest",
    "southcentralus",
    "southcentralus2",
    "southcentralusstg",
    "southeastasia",
    "southeastasia3",
    "southeastus",
    "southeastus3",
    "southeastus5",
    "southindia",
    "southwestus",
    "spaincentral",
    "swedencentral",
    "swedensouth",
    "switzerlandnorth",
    "switzerlandwest",
    "taiwannorth",
    "taiwannorthwest",
    "uaecentral",
    "uaenorth",
    "uksouth",
    "ukwest",
    "usdodcentral",
    "usdodeast",
    "usgovarizona",
    "usgoviowa",
    "usgovtexas",
    "usgovvirginia",
    "usnateast",
    "usnatwest",
    "usseceast",
    "ussecwest",
    "ussecwestcentral",
    "westcentralus",
    "westeurope",
    "westindia",
    "westus",
    "westus2",
    "westus3",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_complete() {
        assert!(KNOWN.is_sorted());
        let published = include_str!("../../tests/fixtures/azure/data/regions.json");
        let published: serde_json::Value = serde_json::from_str(published).expect("JSON");
        let regions = published["regions"].as_array().expect("a list");
        assert_eq!(regions.len(), KNOWN.len());
        for region in regions {
            let name = region["name"].as_str().expect("a name");
            assert!(is_known(&name.parse().expect("a region")), "{name}");
        }
        assert!(!is_known(&"atlantis1".parse().expect("well-formed")));
    }
}
