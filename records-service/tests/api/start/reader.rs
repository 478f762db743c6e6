//! The policy of `aws/organization-reader.yaml` lets the rows of one organization be read, and
//! nothing else. There is no IAM on this machine, so its conditions are judged here by IAM's rules.

use std::collections::BTreeSet;

use serde_json::Value;

use super::template::file;

/// Read without its tags, the template has the parameter's name where the organization's id goes.
const OURS: &str = "OrganizationId";

/// The one statement about rows.
fn statement() -> Value {
    let template: Value = serde_saphyr::from_str(&file("aws/organization-reader.yaml")).unwrap();
    let policy = &template["Resources"]["OrganizationReader"]["Properties"]["PolicyDocument"];
    let [rows, key] = policy["Statement"].as_array().unwrap().as_slice() else {
        panic!("{policy}")
    };
    assert!(!key.to_string().contains("dynamodb:"), "{key}");
    rows.clone()
}

/// Whether a request that names these partition keys meets a condition of the kinds that we use.
/// Source: "Set operators for multivalued context keys" and "Null condition operator" in the IAM
/// user guide.
fn meets(condition: &Value, keys: &[&str]) -> bool {
    condition.as_object().unwrap().iter().all(|(operator, wanted)| {
        let wanted = &wanted["dynamodb:LeadingKeys"];
        match operator.as_str() {
            "ForAllValues:StringEquals" => {
                let allowed: Vec<_> =
                    wanted.as_array().unwrap().iter().map(|it| it.as_str().unwrap()).collect();
                keys.iter().all(|key| allowed.contains(key))
            }
            "Null" => wanted.as_str().unwrap() == keys.is_empty().to_string(),
            other => panic!("{other} is judged nowhere"),
        }
    })
}

#[test]
fn a_reader_of_one_organization_gets_its_rows_alone_whatever_is_asked_for_with_them() {
    let statement = statement();
    let condition = &statement["Condition"];

    assert!(meets(condition, &[OURS]));
    for keys in [&["org_other"][..], &[OURS, "org_other"], &["-preflight"], &["00"], &[]] {
        assert!(!meets(condition, keys), "{keys:?}");
    }
}

#[test]
fn without_its_null_condition_a_request_that_names_no_key_would_pass() {
    let mut condition = statement()["Condition"].clone();

    condition.as_object_mut().unwrap().remove("Null").unwrap();

    assert!(meets(&condition, &[]));
    assert!(!meets(&condition, &["org_other"]));
}

#[test]
fn a_reader_only_reads_and_only_tables_whose_partitions_are_organizations() {
    let statement = statement();
    let texts = |name: &str| -> BTreeSet<String> {
        serde_json::from_value(statement[name].clone()).unwrap()
    };

    assert_eq!(statement["Effect"], "Allow");
    let actions = ["dynamodb:GetItem", "dynamodb:BatchGetItem", "dynamodb:Query"];
    assert_eq!(texts("Action"), actions.map(ToOwned::to_owned).into());
    let resources = texts("Resource");
    let resources: BTreeSet<_> =
        resources.iter().map(|arn| arn.split_once(":table/").unwrap().1).collect();
    let expected = ["${RecordsTable}", "${AuditTable}", "${AuditTable}/index/by-record"];
    assert_eq!(resources, expected.into());
}
