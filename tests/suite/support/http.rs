//! A small HTTP/1.1 client of our own, so that the tests see bytes and not a library's idea of them.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

/// Where a daemon listens.
#[derive(Debug, Clone)]
pub enum Place {
    /// `127.0.0.1:PORT`.
    Tcp(String),
    /// A socket file.
    Unix(PathBuf),
}

/// Calls one daemon, with one credential.
#[derive(Debug, Clone)]
pub struct Client {
    /// Where.
    pub place: Place,
    /// Headers sent with every request.
    pub headers: Vec<(String, String)>,
}

/// One answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Status.
    pub status: u16,
    /// Headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: Vec<u8>,
}

impl Answer {
    /// A header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {} {}", self.status, self.text()))
    }

    /// The error's code.
    pub fn code(&self) -> String {
        self.json()["error"]["code"]
            .as_str()
            .unwrap_or_else(|| panic!("no error: {}", self.text()))
            .to_owned()
    }
}

/// A connection of either kind.
pub trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

impl Client {
    /// Nobody, at an address.
    pub fn tcp(address: &str) -> Client {
        Client { place: Place::Tcp(address.to_owned()), headers: Vec::new() }
    }

    /// The owner, at the socket file.
    pub fn unix(path: impl Into<PathBuf>) -> Client {
        Client { place: Place::Unix(path.into()), headers: Vec::new() }
    }

    /// The same with a further header.
    pub fn with(&self, name: &str, value: &str) -> Client {
        let mut client = self.clone();
        client.headers.retain(|(found, _)| !found.eq_ignore_ascii_case(name));
        client.headers.push((name.to_owned(), value.to_owned()));
        client
    }

    /// The same with an access token.
    pub fn bearer(&self, token: &str) -> Client {
        self.with("Authorization", &format!("Bearer {token}"))
    }

    /// A connection.
    pub fn connect(&self) -> Box<dyn Stream> {
        let limit = Some(Duration::from_secs(60));
        match &self.place {
            Place::Tcp(address) => {
                let stream = TcpStream::connect(address).expect("the daemon listens");
                stream.set_read_timeout(limit).unwrap();
                Box::new(stream)
            }
            Place::Unix(path) => {
                let stream = UnixStream::connect(path).expect("the daemon listens");
                stream.set_read_timeout(limit).unwrap();
                Box::new(stream)
            }
        }
    }

    /// Sends a request with any body and headers; the answer.
    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut stream = self.connect();
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: reelward\r\nConnection: close\r\n");
        for (name, value) in
            self.headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).chain(headers.iter().copied())
        {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if !body.is_empty() || method == "POST" || method == "PUT" {
            head.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        head.push_str("\r\n");
        // A refused request may be answered, and its connection closed, before all of it is sent.
        let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
        read_answer(&mut BufReader::new(stream), method == "HEAD")
    }

    /// A request with a JSON body.
    pub fn call(&self, method: &str, path: &str, body: &Value) -> Answer {
        self.send(method, path, &[("Content-Type", "application/json")], body.to_string().as_bytes())
    }

    /// GET.
    pub fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], b"")
    }

    /// POST.
    pub fn post(&self, path: &str, body: &Value) -> Answer {
        self.call("POST", path, body)
    }

    /// PUT.
    pub fn put(&self, path: &str, body: &Value) -> Answer {
        self.call("PUT", path, body)
    }

    /// DELETE.
    pub fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, &[], b"")
    }

    /// GET, must be 200; the body.
    pub fn got(&self, path: &str) -> Value {
        let answer = self.get(path);
        assert_eq!(answer.status, 200, "GET {path}: {}", answer.text());
        answer.json()
    }

    /// POST, must succeed; the body.
    pub fn posted(&self, path: &str, body: &Value) -> Value {
        let answer = self.post(path, body);
        assert!(
            (200..300).contains(&answer.status),
            "POST {path} {body}: {} {}",
            answer.status,
            answer.text()
        );
        answer.json()
    }

    /// Opens an event stream: its lines, one at a time.
    pub fn events(&self, path: &str) -> EventLines {
        let mut stream = self.connect();
        let mut head = format!("GET {path} HTTP/1.1\r\nHost: reelward\r\nAccept: text/event-stream\r\n");
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        let mut reader = BufReader::new(stream);
        let (status, headers) = read_head(&mut reader);
        EventLines { status, headers, reader, pending: Vec::new() }
    }
}

/// An open event stream.
pub struct EventLines {
    /// Status of the answer.
    pub status: u16,
    /// Headers.
    pub headers: Vec<(String, String)>,
    reader: BufReader<Box<dyn Stream>>,
    pending: Vec<u8>,
}

impl EventLines {
    /// The next event as its fields; none when the stream ended or nothing came for a minute.
    pub fn next_event(&mut self) -> Option<Vec<(String, String)>> {
        let mut fields = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                if fields.is_empty() {
                    continue;
                }
                return Some(fields);
            }
            if let Some((name, value)) = line.split_once(':')
                && !name.is_empty()
            {
                fields.push((name.to_owned(), value.trim_start().to_owned()));
            }
        }
    }

    fn line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.pending.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = self.pending.drain(..=end).collect();
                return Some(String::from_utf8_lossy(&line).trim_end().to_owned());
            }
            let chunk = read_chunk(&mut self.reader)?;
            if chunk.is_empty() {
                return None;
            }
            self.pending.extend(chunk);
        }
    }
}

fn read_head(reader: &mut impl BufRead) -> (u16, Vec<(String, String)>) {
    let mut line = String::new();
    reader.read_line(&mut line).expect("a status line");
    let status = line.split(' ').nth(1).and_then(|text| text.parse().ok());
    let status = status.unwrap_or_else(|| panic!("no status line: {line:?}"));
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).expect("a header");
        let Some((name, value)) = line.trim_end().split_once(':') else { return (status, headers) };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
}

fn read_chunk(reader: &mut impl BufRead) -> Option<Vec<u8>> {
    let mut size = String::new();
    reader.read_line(&mut size).ok()?;
    let size = usize::from_str_radix(size.trim(), 16).ok()?;
    let mut chunk = vec![0; size + 2];
    reader.read_exact(&mut chunk).ok()?;
    chunk.truncate(size);
    Some(chunk)
}

fn read_answer(reader: &mut impl BufRead, head_only: bool) -> Answer {
    let (status, headers) = read_head(reader);
    let header = |name: &str| headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.clone());
    let mut body = Vec::new();
    if head_only {
    } else if header("transfer-encoding").as_deref() == Some("chunked") {
        while let Some(chunk) = read_chunk(reader) {
            if chunk.is_empty() {
                break;
            }
            body.extend(chunk);
        }
    } else if let Some(length) = header("content-length").and_then(|text| text.parse().ok()) {
        body.resize(length, 0);
        reader.read_exact(&mut body).expect("the whole body");
    } else {
        reader.read_to_end(&mut body).expect("the body");
    }
    Answer { status, headers, body }
}
