//! The OpenAPI 3.1 document, from the declarations.

use std::collections::BTreeMap;

use schemars::generate::SchemaSettings;
use schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::endpoint::{Counted, Endpoint, Need};
use super::error::Code;
use crate::access::Level;

/// Where the schemas of bodies and replies stand.
const SCHEMAS: &str = "/components/schemas";

/// The document of these endpoints.
pub(super) fn document(endpoints: &[Endpoint]) -> Value {
    let settings = |settings: SchemaSettings| {
        settings.with(|settings| {
            settings.definitions_path = SCHEMAS.into();
            settings.meta_schema = None;
        })
    };
    let mut out = settings(SchemaSettings::draft2020_12().for_serialize()).into_generator();
    let mut into = settings(SchemaSettings::draft2020_12().for_deserialize()).into_generator();
    let mut paths: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    for endpoint in endpoints {
        let operation = operation(endpoint, &mut out, &mut into);
        paths
            .entry(endpoint.path)
            .or_default()
            .insert(endpoint.method.as_str().to_ascii_lowercase(), operation);
    }
    let mut schemas: BTreeMap<String, Value> = BTreeMap::new();
    for (name, schema) in into.take_definitions(true).into_iter().chain(out.take_definitions(true)) {
        schemas.insert(name, schema);
    }
    schemas.insert("Error".into(), error_schema());
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Reelward",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Tape backup appliance. Every operation is declared once in the source; this document is made of those declarations.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "security": [ { "bearer": [] }, { "apiKey": [] } ],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "bearer": { "type": "http", "scheme": "bearer", "bearerFormat": "JWT" },
                "apiKey": { "type": "apiKey", "in": "header", "name": "X-API-Key" },
            },
            "schemas": schemas,
        },
    })
}

fn operation(endpoint: &Endpoint, out: &mut SchemaGenerator, into: &mut SchemaGenerator) -> Value {
    let mut operation = json!({
        "operationId": endpoint.name,
        "summary": endpoint.summary,
        "tags": [endpoint.group()],
        "responses": responses(endpoint, out),
    });
    let needs = match endpoint.need {
        Need::Nobody => "Needs no sign-in.".to_owned(),
        Need::SignedIn => "Needs a sign-in.".to_owned(),
        Need::Level(resource, level) => {
            format!("Needs the level `{}` on `{}`.", level.as_str(), resource.as_str())
        }
    };
    if let Some(map) = operation.as_object_mut() {
        map.insert("description".into(), needs.into());
        if endpoint.need == Need::Nobody {
            map.insert("security".into(), json!([]));
        }
        let mut parameters: Vec<Value> =
            endpoint.parameters().map(|name| path_parameter(endpoint, name)).collect();
        if let Some(query) = endpoint.query {
            parameters.extend(query_parameters(query, into));
        }
        if !parameters.is_empty() {
            map.insert("parameters".into(), parameters.into());
        }
        if let Some(body) = endpoint.body {
            let schema = body(into);
            let required = !required_names(&schema, into).is_empty();
            map.insert(
                "requestBody".into(),
                json!({ "required": required, "content": { "application/json": { "schema": schema } } }),
            );
        }
    }
    operation
}

fn path_parameter(endpoint: &Endpoint, name: &'static str) -> Value {
    let schema = match endpoint.is_integer(name) {
        true => json!({ "type": "integer", "format": "int64" }),
        false => json!({ "type": "string", "minLength": 1 }),
    };
    json!({ "name": name, "in": "path", "required": true, "schema": schema })
}

/// The definition behind a schema that only refers to it.
fn resolved<'a>(schema: &'a Schema, generator: &'a SchemaGenerator) -> Option<&'a Value> {
    let Some(reference) = schema.get("$ref").and_then(Value::as_str) else { return Some(schema.as_value()) };
    generator.definitions().get(reference.rsplit('/').next().unwrap_or_default())
}

fn required_names(schema: &Schema, generator: &SchemaGenerator) -> Vec<String> {
    let required = resolved(schema, generator).and_then(|found| found.get("required"));
    let names = required.and_then(Value::as_array).into_iter().flatten();
    names.filter_map(|name| name.as_str().map(str::to_owned)).collect()
}

/// Each property of the query's type is a parameter.
fn query_parameters(query: super::endpoint::SchemaOf, generator: &mut SchemaGenerator) -> Vec<Value> {
    let schema = query(generator);
    let required = required_names(&schema, generator);
    let Some(properties) = resolved(&schema, generator).and_then(|found| found.get("properties")) else {
        return Vec::new();
    };
    let of = |(name, schema): (&String, &Value)| {
        let mut schema = schema.clone();
        let description = schema.as_object_mut().and_then(|map| map.remove("description"));
        // In a query a parameter is there or not; it is never null.
        if let Some(kinds) = schema.get_mut("type")
            && let Some(list) = kinds.as_array()
        {
            let kept: Vec<Value> = list.iter().filter(|kind| *kind != "null").cloned().collect();
            *kinds = match kept.as_slice() {
                [one] => one.clone(),
                _ => kept.into(),
            };
        }
        if let Some(options) = schema.get("anyOf").and_then(Value::as_array) {
            let kept: Vec<&Value> = options
                .iter()
                .filter(|option| option.get("type").is_none_or(|kind| kind != "null"))
                .collect();
            if let [one] = kept.as_slice() {
                schema = (*one).clone();
            }
        }
        let mut parameter =
            json!({ "name": name, "in": "query", "required": required.contains(name), "schema": schema });
        if let (Some(map), Some(description)) = (parameter.as_object_mut(), description) {
            map.insert("description".into(), description);
        }
        parameter
    };
    properties.as_object().into_iter().flatten().map(of).collect()
}

/// Errors that the kind of an endpoint brings, and its own.
pub(super) fn error_codes(endpoint: &Endpoint) -> Vec<Code> {
    let mut codes = endpoint.errors.clone();
    codes.push(Code::InternalError);
    if endpoint.need != Need::Nobody {
        codes.push(Code::Unauthorized);
    }
    if matches!(endpoint.need, Need::Level(..)) {
        codes.push(Code::Forbidden);
    }
    if endpoint.counted != Counted::Not {
        codes.push(Code::RateLimited);
    }
    if endpoint.parameters().next().is_some() {
        codes.push(Code::NotFound);
    }
    if endpoint.query.is_some() || endpoint.parameters().any(|name| endpoint.is_integer(name)) {
        codes.push(Code::ValidationError);
    }
    if endpoint.body.is_some() {
        codes.extend([Code::ValidationError, Code::UnsupportedMediaType]);
    }
    // Any request may carry one.
    codes.extend([Code::TooLarge, Code::RequestTimeout]);
    if endpoint.long {
        codes.push(Code::Unavailable);
    }
    codes.sort_unstable();
    codes.dedup();
    codes
}

fn responses(endpoint: &Endpoint, generator: &mut SchemaGenerator) -> Value {
    let mut responses: BTreeMap<String, Value> = BTreeMap::new();
    let content = match endpoint.answer.schema {
        Some(schema) => json!({ "schema": schema(generator) }),
        None => json!({}),
    };
    responses.insert(
        endpoint.answer.status.as_str().to_owned(),
        json!({ "description": "Done", "content": { endpoint.answer.content_type: content } }),
    );
    let mut by_status: BTreeMap<u16, Vec<&str>> = BTreeMap::new();
    for code in error_codes(endpoint) {
        by_status.entry(code.status().as_u16()).or_default().push(code.as_str());
    }
    for (status, codes) in by_status {
        responses.insert(
            status.to_string(),
            json!({
                "description": codes.join(", "),
                "content": { "application/json": { "schema": { "$ref": format!("#{SCHEMAS}/Error") } } },
            }),
        );
    }
    json!(responses)
}

fn error_schema() -> Value {
    json!({
        "type": "object",
        "required": ["error"],
        "properties": {
            "error": {
                "type": "object",
                "required": ["code", "message"],
                "properties": {
                    "code": { "type": "string", "description": "What a program may match" },
                    "message": { "type": "string", "description": "For people" },
                    "field": { "type": "string", "description": "The field of the body, the query or the path that is wrong" },
                },
            },
        },
    })
}

/// A level in words, for the page.
pub(super) fn need_in_words(need: Need) -> String {
    match need {
        Need::Nobody => "open to all".into(),
        Need::SignedIn => "signed in".into(),
        Need::Level(resource, Level::Read) => format!("read {}", resource.as_str()),
        Need::Level(resource, Level::Operate) => format!("operate {}", resource.as_str()),
        Need::Level(resource, Level::Administer) => format!("administer {}", resource.as_str()),
    }
}
