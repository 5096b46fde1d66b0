//! What existing clients of the tape surface rely on, held against the declarations and against a running daemon.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::support::http::Answer;

/// One documented operation.
#[derive(Debug, Clone, serde::Deserialize)]
pub struct Operation {
    /// Method.
    pub method: String,
    /// Path with `{parameters}`.
    pub path: String,
    /// Query parameters and their types.
    #[serde(default)]
    pub query: BTreeMap<String, String>,
    /// Fields of the body.
    #[serde(default)]
    pub body: Option<Value>,
    /// Fields of the reply.
    #[serde(default)]
    pub reply: Option<Value>,
}

/// The document, and which of its operations were answered.
pub struct Contract {
    operations: Vec<Operation>,
    answered: RefCell<BTreeSet<usize>>,
}

impl Contract {
    /// The tape document.
    pub fn tape() -> Contract {
        let operations: Vec<Operation> =
            serde_json::from_str(include_str!("../data/contract/tape.json")).expect("the contract is JSON");
        Contract { operations, answered: RefCell::default() }
    }

    /// An answer to the operation with this path template: it must have the documented fields.
    pub fn check(&self, method: &str, path: &str, answer: &Answer) -> Value {
        let found = self.operations.iter().position(|o| o.method == method && o.path == path);
        let at = found.unwrap_or_else(|| panic!("{method} {path} is not documented"));
        assert!((200..300).contains(&answer.status), "{method} {path}: {} {}", answer.status, answer.text());
        self.answered.borrow_mut().insert(at);
        let Some(reply) = self.operations.get(at).and_then(|o| o.reply.as_ref()) else { return Value::Null };
        let value = answer.json();
        let mut faults = Vec::new();
        compare(reply, &value, &format!("{method} {path}"), &mut faults);
        assert!(faults.is_empty(), "{}\nin {value}", faults.join("\n"));
        value
    }

    /// An operation that was seen to refuse in the documented way.
    pub fn refused(&self, method: &str, path: &str, answer: &Answer, status: u16) {
        let found = self.operations.iter().position(|o| o.method == method && o.path == path);
        let at = found.unwrap_or_else(|| panic!("{method} {path} is not documented"));
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.text());
        assert!(!answer.code().is_empty());
        self.answered.borrow_mut().insert(at);
    }

    /// Operations not answered yet.
    pub fn missing(&self) -> Vec<String> {
        let answered = self.answered.borrow();
        let left = self.operations.iter().enumerate().filter(|(at, _)| !answered.contains(at));
        left.map(|(_, o)| format!("{} {}", o.method, o.path)).collect()
    }
}

/// Every documented field is there, with its type; where the document shows null or a value, both may stand there.
fn compare(wanted: &Value, found: &Value, place: &str, faults: &mut Vec<String>) {
    match wanted {
        Value::Object(fields) => match found.as_object() {
            Some(map) => {
                for (name, wanted) in fields {
                    match map.get(name) {
                        Some(value) => compare(wanted, value, &format!("{place}.{name}"), faults),
                        None => faults.push(format!("{place}.{name} is missing")),
                    }
                }
            }
            None => faults.push(format!("{place} is no object")),
        },
        Value::Array(elements) => match (elements.first(), found.as_array()) {
            (Some(wanted), Some(items)) => {
                for (at, item) in items.iter().enumerate() {
                    compare(wanted, item, &format!("{place}[{at}]"), faults);
                }
            }
            (None, Some(_)) => {}
            _ => faults.push(format!("{place} is no array")),
        },
        Value::String(kind) => {
            let fits = match kind.as_str() {
                "integer" => found.is_i64() || found.is_u64() || found.is_null(),
                "number" => found.is_number() || found.is_null(),
                "boolean" => found.is_boolean(),
                "string" => found.is_string() || found.is_null(),
                "date-time" => {
                    found.is_null()
                        || found.as_str().is_some_and(|text| text.parse::<jiff::Timestamp>().is_ok())
                }
                "null" => true,
                _ => false,
            };
            if !fits {
                faults.push(format!("{place} should be {kind}, is {found}"));
            }
        }
        _ => faults.push(format!("{place}: the contract itself is wrong")),
    }
}

/// Follows references of a schema.
fn resolve<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    match schema.get("$ref").and_then(Value::as_str).and_then(|reference| reference.strip_prefix('#')) {
        Some(pointer) => document.pointer(pointer).unwrap_or(schema),
        None => schema,
    }
}

/// Every documented field stands in the schema.
fn in_schema(document: &Value, wanted: &Value, schema: &Value, place: &str, faults: &mut Vec<String>) {
    let schema = resolve(document, schema);
    let variants = ["anyOf", "oneOf", "allOf"].iter().find_map(|key| schema.get(*key)?.as_array());
    if let Some(variants) = variants {
        // The variant that is an object or an array, where the other is null.
        let told = variants.iter().map(|variant| {
            let mut told = Vec::new();
            in_schema(document, wanted, variant, place, &mut told);
            told
        });
        faults.extend(told.min_by_key(Vec::len).unwrap_or_default());
        return;
    }
    match wanted {
        Value::Object(fields) => {
            for (name, wanted) in fields {
                match schema.pointer(&format!("/properties/{name}")) {
                    Some(schema) => in_schema(document, wanted, schema, &format!("{place}.{name}"), faults),
                    None if schema.get("additionalProperties").is_some_and(|more| *more != false) => {}
                    // Any JSON at all.
                    None if schema.get("type").is_none() && schema.get("properties").is_none() => {}
                    None => faults.push(format!("{place}.{name} is not declared")),
                }
            }
        }
        Value::Array(elements) => match (elements.first(), schema.get("items")) {
            (Some(wanted), Some(items)) => in_schema(document, wanted, items, &format!("{place}[]"), faults),
            (None, _) => {}
            _ => faults.push(format!("{place} is not declared as an array")),
        },
        _ => {}
    }
}

#[test]
fn every_documented_operation_is_declared_with_its_fields() {
    let document = reelward::api::openapi_document();
    let contract = Contract::tape();
    assert_eq!(contract.operations.len(), 123);
    let mut faults = Vec::new();
    for operation in &contract.operations {
        let place = format!("{} {}", operation.method, operation.path);
        let path = format!("/paths/{}", operation.path.replace('/', "~1"));
        let declared = document.pointer(&format!("{path}/{}", operation.method.to_lowercase()));
        let Some(declared) = declared else {
            faults.push(format!("{place} is not declared"));
            continue;
        };
        let parameters = declared["parameters"].as_array().cloned().unwrap_or_default();
        for name in operation.query.keys() {
            if !parameters.iter().any(|parameter| parameter["name"] == **name && parameter["in"] == "query") {
                faults.push(format!("{place}?{name} is not declared"));
            }
        }
        if operation.path.contains("/proxmox/") {
            continue; // declared, answered with 501 until its time comes
        }
        if let Some(body) = &operation.body {
            let schema = &declared["requestBody"]["content"]["application/json"]["schema"];
            in_schema(&document, body, schema, &format!("{place} body"), &mut faults);
        }
        if let Some(reply) = &operation.reply {
            let done = ["200", "201", "202"].iter().find_map(|status| declared["responses"].get(*status));
            let schema =
                done.map(|done| &done["content"]["application/json"]["schema"]).unwrap_or(&Value::Null);
            in_schema(&document, reply, schema, &format!("{place} reply"), &mut faults);
        }
    }
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn the_errors_page_lists_every_code_with_its_status() {
    let page = include_str!("../../docs/errors.md");
    let document = reelward::api::openapi_document();
    let mut seen = BTreeSet::new();
    for methods in document["paths"].as_object().unwrap().values() {
        for declared in methods.as_object().unwrap().values() {
            for (status, answer) in declared["responses"].as_object().unwrap() {
                if !status.starts_with('2') {
                    let codes = answer["description"].as_str().unwrap().split(", ");
                    seen.extend(codes.map(|code| (status.clone(), code.to_owned())));
                }
            }
        }
    }
    assert!(seen.len() > 12, "{seen:?}");
    for (status, code) in seen {
        let row = page.lines().find(|line| line.starts_with("| `") && line.contains(&format!("`{code}`")));
        assert!(
            row.is_some_and(|row| row.contains(&format!("| {status} |"))),
            "{code} {status} is not in docs/errors.md"
        );
    }
}

#[test]
fn the_openapi_file_is_the_one_served() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/openapi/reelward.json");
    let made = serde_json::to_string_pretty(&reelward::api::openapi_document()).unwrap() + "\n";
    if std::env::var_os("REELWARD_TEST_WRITE_OPENAPI").is_some() {
        std::fs::write(path, &made).unwrap();
    }
    let kept = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        kept == made,
        "docs/openapi/reelward.json is not what the declarations make; write it with \
         REELWARD_TEST_WRITE_OPENAPI=1 cargo test --test suite the_openapi_file"
    );
}
