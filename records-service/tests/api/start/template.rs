//! The templates of `aws` as JSON, with the parameters' defaults and the account of the local
//! AWS in the places of their functions, as a stack without a key of its own would be.

use std::{collections::BTreeMap, fs};

use dev_stack::sqs::{ACCOUNT, REGION};
use serde_json::{Map, Value};

/// What the templates refer to, by name.
pub(super) type Names = BTreeMap<String, String>;

/// The file at a path below the root of the workspace.
pub(super) fn file(path: &str) -> String {
    fs::read_to_string(format!("{}/../{path}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

/// The resources of a template.
pub(super) fn resources(name: &str) -> Map<String, Value> {
    // Tags are left out in reading: `!Ref X` reads as "X".
    let template: Value = serde_saphyr::from_str(&file(&format!("aws/{name}"))).unwrap();
    let mut names = Names::from(
        [("AWS::Partition", "aws"), ("AWS::Region", REGION), ("AWS::AccountId", ACCOUNT)]
            .map(|(name, value)| (name.to_owned(), value.to_owned())),
    );
    for (name, parameter) in template["Parameters"].as_object().unwrap() {
        let default = parameter["Default"].as_str().unwrap_or_default();
        names.insert(name.clone(), default.to_owned());
    }
    for (name, resource) in template["Resources"].as_object().unwrap() {
        if let Some(queue) = resource["Properties"]["QueueName"].as_str() {
            let queue = substituted(queue, &names);
            let arn = format!("arn:aws:sqs:{REGION}:{ACCOUNT}:{queue}");
            names.insert(format!("{name}.Arn"), arn);
        }
    }
    let conditions = template["Conditions"].as_object().unwrap();
    let resolved = resolved(&template["Resources"], &names, conditions);
    resolved.as_object().unwrap().clone()
}

fn substituted(text: &str, names: &Names) -> String {
    if let Some(value) = names.get(text) {
        return value.clone();
    }
    let put_in = |text: String, (name, value): (&String, &String)| {
        text.replace(&format!("${{{name}}}"), value)
    };
    names.iter().fold(text.to_owned(), put_in)
}

/// Every condition is taken for false, for each asks for a parameter that is empty by default.
fn resolved(value: &Value, names: &Names, conditions: &Map<String, Value>) -> Value {
    let resolve = |value| resolved(value, names, conditions);
    match value {
        Value::String(text) if text == "AWS::NoValue" => Value::Null,
        Value::String(text) => substituted(text, names).into(),
        Value::Array(values) => match values.as_slice() {
            [Value::String(condition), _, otherwise] if conditions.contains_key(condition) => {
                resolve(otherwise)
            }
            values => values.iter().map(resolve).filter(|value| !value.is_null()).collect(),
        },
        Value::Object(entries) => {
            entries.iter().map(|(name, value)| (name.clone(), resolve(value))).collect()
        }
        other => other.clone(),
    }
}
