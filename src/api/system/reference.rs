//! The OpenAPI file and a page that shows it, made here, without anything from elsewhere.

use std::fmt::Write;

use crate::api::call::{Answer, AnswerSpec, Call, Html, Reply, ReplyBody};
use crate::api::endpoint::{Counted, Endpoint, get};
use crate::api::error::ApiError;
use crate::api::openapi;

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        get("/api/v1/openapi.json", "reference.openapi", "The OpenAPI document")
            .public()
            .counted(Counted::Not)
            .cached()
            .answers(document),
        get("/api/v1/reference", "reference.page", "The OpenAPI document as a page")
            .public()
            .counted(Counted::Not)
            .answers(page),
    ]
}

/// JSON that is made already.
struct Document(Vec<u8>);

impl Answer for Document {
    fn spec() -> AnswerSpec {
        AnswerSpec { status: hyper::StatusCode::OK, content_type: "application/json", schema: None }
    }

    fn into_reply(self) -> Result<Reply, ApiError> {
        Ok(Reply {
            status: hyper::StatusCode::OK,
            content_type: "application/json",
            file_name: None,
            body: ReplyBody::Full(self.0.into()),
            resource: None,
        })
    }
}

fn document(_: &Call) -> Result<Document, ApiError> {
    serde_json::to_vec(&crate::api::openapi_document()).map(Document).map_err(ApiError::internal)
}

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1b1f24;\
background:#fff}h2{margin-top:2.2rem;border-bottom:1px solid #d8dee4;text-transform:capitalize}code{font:13px ui-monospace,\
monospace}details{border:1px solid #d8dee4;border-radius:6px;margin:.4rem 0;padding:.4rem .8rem}summary{cursor:pointer}\
b{display:inline-block;width:4.2rem;font:600 12px ui-monospace,monospace}.GET{color:#0969da}.POST{color:#1a7f37}.PUT{color:\
#9a6700}.DELETE{color:#cf222e}small{color:#59636e}pre{background:#f6f8fa;padding:.8rem;overflow:auto;border-radius:6px}\
@media(prefers-color-scheme:dark){body{background:#0d1117;color:#e6edf3}pre{background:#161b22}h2,details{border-color:#30363d}}";

fn page(_: &Call) -> Result<Html, ApiError> {
    let document = crate::api::openapi_document();
    let mut endpoints = crate::api::endpoints();
    endpoints.sort_by_key(|endpoint| (endpoint.group(), endpoint.path, endpoint.method.as_str().to_owned()));
    let mut body = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>Reelward API</title><style>{STYLE}</style><h1>Reelward API</h1><p>{} operations. The same as a file: \
         <a href=\"/api/v1/openapi.json\">openapi.json</a>. Sign in with <code>POST /api/v1/auth/login</code> and send \
         <code>Authorization: Bearer TOKEN</code>, or an API key as <code>X-API-Key</code>.</p>",
        endpoints.len()
    );
    let mut group = "";
    for endpoint in &endpoints {
        if endpoint.group() != group {
            group = endpoint.group();
            let _ = write!(body, "<h2>{}</h2>", escape(&group.replace('_', " ")));
        }
        let method = endpoint.method.as_str();
        let declared = &document["paths"][endpoint.path][method.to_ascii_lowercase()];
        let text = serde_json::to_string_pretty(declared).map_err(ApiError::internal)?;
        let _ = write!(
            body,
            "<details><summary><b class=\"{method}\">{method}</b> <code>{}</code> {} <small>{}</small></summary><pre>{}</pre></details>",
            escape(endpoint.path),
            escape(endpoint.summary),
            escape(&openapi::need_in_words(endpoint.need)),
            escape(&text)
        );
    }
    body.push_str("<h2>Schemas</h2>");
    let schemas = document["components"]["schemas"].as_object();
    for (name, schema) in schemas.into_iter().flatten() {
        let text = serde_json::to_string_pretty(schema).map_err(ApiError::internal)?;
        let _ = write!(
            body,
            "<details><summary><code>{}</code></summary><pre>{}</pre></details>",
            escape(name),
            escape(&text)
        );
    }
    body.push_str("</html>");
    Ok(Html { body, file_name: None })
}

/// Text for HTML.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
