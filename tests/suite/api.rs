//! What holds for every endpoint, found by walking the declarations: who may call, what is refused, and how it is told.

use std::io::{Read, Write};

use serde_json::{Value, json};

use super::support::daemon::{Daemon, Start};
use super::support::http::Client;

/// Method, path template, declaration.
fn operations() -> Vec<(String, String, Value)> {
    let document = reelward::api::openapi_document();
    let mut all = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, declared) in methods.as_object().unwrap() {
            all.push((method.to_uppercase(), path.clone(), declared.clone()));
        }
    }
    assert!(all.len() > 120, "{} operations", all.len());
    all
}

/// The path with every parameter as an id that nobody has.
fn filled(path: &str) -> String {
    let fill = |part: &str| match part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) {
        Some(_) => "999999".to_owned(),
        None => part.to_owned(),
    };
    path.split('/').map(fill).collect::<Vec<_>>().join("/")
}

fn is_open(declared: &Value) -> bool {
    declared["security"] == json!([])
}

/// The level that the declaration's text names.
fn needs_more_than_reading(declared: &Value) -> bool {
    let text = declared["description"].as_str().unwrap();
    text.contains("`operate`") || text.contains("`administer`")
}

#[test]
fn nobody_gets_in_without_a_sign_in() {
    let state = tempfile::tempdir().unwrap();
    let (daemon, _) = Daemon::start(state.path());
    let nobody = daemon.nobody();
    for (method, path, declared) in operations() {
        if is_open(&declared) {
            continue;
        }
        for client in [
            &nobody,
            &nobody.bearer("nonsense"),
            &nobody.with("X-API-Key", "rw_nonsense"),
            &nobody.bearer(""),
        ] {
            let answer = client.call(&method, &filled(&path), &json!({}));
            assert_eq!(answer.status, 401, "{method} {path}: {}", answer.text());
            assert_eq!(answer.code(), "UNAUTHORIZED");
            assert!(answer.header("www-authenticate").is_some());
        }
    }
    daemon.stop();
}

#[test]
fn readers_change_nothing_and_operators_do_not_administer() {
    let state = tempfile::tempdir().unwrap();
    let (daemon, admin) = Daemon::start(state.path());
    let reader = daemon.user(&admin, "reader", "readonly");
    let operator = daemon.user(&admin, "operator", "operator");
    for (method, path, declared) in operations() {
        if needs_more_than_reading(&declared) {
            let answer = reader.call(&method, &filled(&path), &json!({}));
            assert_eq!(answer.status, 403, "{method} {path}: {}", answer.text());
            assert_eq!(answer.code(), "FORBIDDEN");
        }
        if declared["description"].as_str().unwrap().contains("`administer`") {
            let answer = operator.call(&method, &filled(&path), &json!({}));
            assert_eq!(answer.status, 403, "{method} {path}: {}", answer.text());
        }
    }
    daemon.stop();
}

#[test]
fn what_does_not_exist_is_not_found() {
    let state = tempfile::tempdir().unwrap();
    let (daemon, admin) = Daemon::start(state.path());
    for (method, path, declared) in operations() {
        if !path.contains('{') || method != "GET" && method != "DELETE" {
            continue;
        }
        let answer = admin.call(&method, &filled(&path), &json!({}));
        let later = declared["responses"].get("501").is_some();
        assert_eq!(answer.status, if later { 501 } else { 404 }, "{method} {path}: {}", answer.text());
        if !later {
            assert!(answer.code().ends_with("NOT_FOUND"), "{}", answer.text());
            assert!(answer.text().contains("999999"), "{method} {path} does not name it: {}", answer.text());
        }
    }
    assert_eq!(admin.get("/api/v1/tapes/abc").status, 400);
    assert_eq!(admin.get("/api/v1/nothing").code(), "NOT_FOUND");
    assert_eq!(admin.get("/").status, 404);
    daemon.stop();
}

#[test]
fn malformed_requests_are_refused_with_the_field_named() {
    let state = tempfile::tempdir().unwrap();
    let (daemon, admin) = Daemon::start(state.path());
    for (method, path, declared) in operations() {
        let address = filled(&path);
        if declared.get("requestBody").is_some() {
            let answer = admin.call(&method, &address, &json!({ "no_such_field": 1 }));
            assert_eq!(answer.status, 400, "{method} {path}: {}", answer.text());
            assert_eq!(answer.code(), "VALIDATION_ERROR");
            assert!(answer.json()["error"]["field"].is_string(), "{method} {path}: {}", answer.text());
            for body in ["{", "[]", "\"text\"", "{} {}", "\u{0}"] {
                let answer =
                    admin.send(&method, &address, &[("Content-Type", "application/json")], body.as_bytes());
                assert_eq!(answer.status, 400, "{method} {path} {body:?}: {}", answer.text());
            }
            let form = ("Content-Type", "application/x-www-form-urlencoded");
            let answer = admin.send(&method, &address, &[form], b"a=b");
            assert_eq!(answer.status, 415, "{method} {path}: {}", answer.text());
        }
        let other = if method == "PATCH" { "TRACE" } else { "PATCH" };
        let answer = admin.call(other, &address, &json!({}));
        assert_eq!(answer.status, 405, "{other} {path}: {}", answer.text());
        assert!(answer.header("allow").is_some_and(|allow| allow.contains(&method)), "{method} {path}");
    }
    daemon.stop();
}

#[test]
fn bodies_have_a_limit() {
    let state = tempfile::tempdir().unwrap();
    let start = Start { env: vec![("REELWARD_API__BODY_LIMIT".into(), "4096".into())], ..Start::default() };
    let daemon = Daemon::with(state.path(), &start);
    let admin = daemon.set_up();
    let large = json!({ "username": "x".repeat(5000) });
    for (method, path, declared) in operations() {
        if declared.get("requestBody").is_some() {
            let answer = admin.call(&method, &filled(&path), &large);
            assert_eq!(answer.status, 413, "{method} {path}: {}", answer.text());
        }
    }
    // A length that is only announced, and one that is not announced at all.
    let chunked = [("Content-Type", "application/json"), ("Transfer-Encoding", "chunked")];
    let mut stream = admin.connect();
    let mut head = "POST /api/v1/pools HTTP/1.1\r\nHost: r\r\nConnection: close\r\n".to_owned();
    for (name, value) in admin.headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).chain(chunked) {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    stream.write_all(format!("{head}\r\n").as_bytes()).unwrap();
    for _ in 0..8 {
        if stream.write_all(format!("400\r\n{}\r\n", " ".repeat(0x400)).as_bytes()).is_err() {
            break;
        }
    }
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    daemon.stop();
}

#[test]
fn limits_are_as_documented_and_told() {
    let state = tempfile::tempdir().unwrap();
    let daemon = Daemon::with(state.path(), &Start { limited: true, ..Start::default() });
    let admin = daemon.set_up();
    let mut last = None;
    for asked in 0..=100 {
        let answer = admin.get("/api/v1/pools");
        let header = |name: &str| answer.header(name).map(|text| text.parse::<i64>().unwrap());
        assert_eq!(header("x-ratelimit-limit"), Some(100));
        assert!(header("x-ratelimit-reset").unwrap() > jiff::Timestamp::now().as_second());
        assert_eq!(header("x-ratelimit-remaining"), Some((99 - asked).max(0)));
        last = Some(answer);
    }
    let last = last.unwrap();
    assert_eq!((last.status, last.code().as_str()), (429, "RATE_LIMITED"));
    assert!(last.header("retry-after").is_some());
    // Changing counts apart; so does the owner of the socket, without limit.
    assert_eq!(admin.post("/api/v1/pools", &json!({ "name": "A" })).status, 201);
    for _ in 0..120 {
        assert_eq!(daemon.owner().get("/api/v1/pools").status, 200);
    }
    daemon.stop();
}

#[test]
fn both_versions_of_http_keep_connections_and_ids() {
    let state = tempfile::tempdir().unwrap();
    let (daemon, admin) = Daemon::start(state.path());
    let answer = admin.with("X-Request-Id", "my-id_1").get("/api/v1/pools");
    assert_eq!(answer.header("x-request-id"), Some("my-id_1"));
    let made = admin.with("X-Request-Id", "a b\tc").get("/api/v1/pools");
    assert_eq!(made.header("x-request-id").map(str::len), Some(36));
    // curl speaks HTTP/2 with prior knowledge and reads what we compress.
    let version = std::process::Command::new("curl")
        .args(["-s", "--http2-prior-knowledge", "-o", "/dev/null", "-w", "%{http_version} %{http_code}"])
        .arg(format!("http://{}/health", daemon.address))
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&version.stdout), "2 200");
    let plain = daemon.nobody().get("/api/v1/openapi.json");
    let small = daemon.nobody().with("Accept-Encoding", "gzip, zstd").get("/api/v1/openapi.json");
    assert_eq!(small.header("content-encoding"), Some("zstd"));
    assert_eq!(zstd::decode_all(small.body.as_slice()).unwrap(), plain.body);
    let refused = daemon.nobody().with("Accept-Encoding", "zstd;q=0").get("/api/v1/openapi.json");
    assert_eq!(refused.header("content-encoding"), None);
    // Two requests over one connection.
    let mut stream = Client::tcp(&daemon.address).connect();
    let two =
        "GET /health HTTP/1.1\r\nHost: r\r\n\r\nGET /health HTTP/1.1\r\nHost: r\r\nConnection: close\r\n\r\n";
    stream.write_all(two.as_bytes()).unwrap();
    let mut answers = String::new();
    stream.read_to_string(&mut answers).unwrap();
    assert_eq!(answers.matches("HTTP/1.1 200").count(), 2, "{answers}");
    daemon.stop();
}

#[test]
fn pages_from_elsewhere_may_call_only_where_that_is_configured() {
    let state = tempfile::tempdir().unwrap();
    let origin = "https://console.example.org";
    let start = Start {
        env: vec![("REELWARD_API__CORS_ORIGINS".into(), format!("[\"{origin}\"]"))],
        ..Start::default()
    };
    let daemon = Daemon::with(state.path(), &start);
    let from = |origin: &str| daemon.nobody().with("Origin", origin);
    assert_eq!(from(origin).get("/health").header("access-control-allow-origin"), Some(origin));
    assert_eq!(
        from("https://elsewhere.example.org").get("/health").header("access-control-allow-origin"),
        None
    );
    assert_eq!(from(origin).send("OPTIONS", "/api/v1/tapes", &[], b"").status, 204);
    assert_eq!(daemon.nobody().send("OPTIONS", "/api/v1/tapes", &[], b"").status, 405);
    daemon.stop();
}

#[test]
fn beyond_loopback_connections_are_encrypted() {
    let state = tempfile::tempdir().unwrap();
    let args = vec!["--listen".into(), "0.0.0.0:0".into()];
    let daemon = Daemon::with(state.path(), &Start { args, ..Start::default() });
    let said = daemon.owner().got("/api/v1/health");
    assert_eq!(said["status"], "ok");
    let ports = daemon.listening();
    let secure = ports.iter().find(|url| url.starts_with("https://")).expect("an address with TLS");
    let port = secure.rsplit(':').next().unwrap();
    let certificate = state.path().join("tls/cert.pem");
    let curl = |url: &str| {
        let output = std::process::Command::new("curl")
            .args(["-s", "-m", "10", "-w", "%{http_version} %{http_code}", "-o", "/dev/null", "--cacert"])
            .arg(&certificate)
            .arg(url)
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert_eq!(curl(&format!("https://localhost:{port}/health")), "2 200");
    assert_eq!(curl(&format!("http://localhost:{port}/health")), "0 000");
    let key = std::fs::metadata(state.path().join("tls/key.pem")).unwrap();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&key.permissions()) & 0o777, 0o600);
    // Another certificate is taken at SIGHUP; the old one is no longer good for it.
    let old = std::fs::read(&certificate).unwrap();
    for file in ["cert.pem", "key.pem"] {
        std::fs::remove_file(state.path().join("tls").join(file)).unwrap();
    }
    let other = tempfile::tempdir().unwrap();
    let second = Daemon::with(
        other.path(),
        &Start { args: vec!["--listen".into(), "0.0.0.0:0".into()], ..Start::default() },
    );
    for file in ["cert.pem", "key.pem"] {
        std::fs::copy(other.path().join("tls").join(file), state.path().join("tls").join(file)).unwrap();
    }
    second.stop();
    daemon.signal(nix::sys::signal::Signal::SIGHUP);
    super::support::daemon::eventually("the new certificate", || {
        (curl(&format!("https://localhost:{port}/health")) == "2 200").then_some(())
    });
    std::fs::write(&certificate, old).unwrap();
    assert_eq!(curl(&format!("https://localhost:{port}/health")), "0 000");
    daemon.stop();
}
