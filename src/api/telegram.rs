//! One message to a Telegram chat: an HTTPS request to the service's only address.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{self, ClientConfig, ClientConnection, RootCertStore, StreamOwned};

const HOST: &str = "api.telegram.org";
const LIMIT: Duration = Duration::from_secs(15);
/// Longest answer that is looked at.
const LONGEST: u64 = 64 << 10;

/// Why a message did not go out. No text holds the token.
#[derive(Debug, thiserror::Error)]
pub(super) enum TelegramError {
    /// The name of the service has no address that may be used.
    #[error("{HOST} cannot be found")]
    Resolve(#[source] io::Error),
    /// The connection failed.
    #[error("{HOST} cannot be reached")]
    Connect(#[source] io::Error),
    /// TLS failed.
    #[error("{HOST}: no secure connection")]
    Tls(#[source] rustls::Error),
    /// The service refused.
    #[error("{HOST} answered {status}: {text}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// What it says.
        text: String,
    },
    /// The answer is none.
    #[error("{HOST}: the answer cannot be understood")]
    Answer,
}

/// A token may be given as it stands in the service's addresses, behind `bot`.
fn bare(token: &str) -> &str {
    token.strip_prefix("bot").unwrap_or(token)
}

/// A number, a colon, letters, digits, `_` and `-`: safe in a path.
pub(super) fn is_token(text: &str) -> bool {
    bare(text).split_once(':').is_some_and(|(number, secret)| {
        // Whatever cannot leave the path of a request line: the service itself knows its tokens.
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
        !number.is_empty()
            && number.bytes().all(|byte| byte.is_ascii_digit())
            && (1..=100).contains(&secret.len())
            && secret.bytes().all(is_plain)
    })
}

/// A number, or `@` and a name.
pub(super) fn is_chat(text: &str) -> bool {
    let name = text.strip_prefix('@').filter(|name| !name.is_empty());
    text.parse::<i64>().is_ok()
        || name.is_some_and(|name| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'))
}

/// Sends; waits for the answer at most half a minute.
pub(super) fn send(token: &str, chat: &str, text: &str) -> Result<(), TelegramError> {
    let addresses = (HOST, 443).to_socket_addrs().map_err(TelegramError::Resolve)?;
    let none = || TelegramError::Resolve(io::Error::other("no public address"));
    let address = addresses.into_iter().find(|address| is_public(*address)).ok_or_else(none)?;
    let stream = TcpStream::connect_timeout(&address, LIMIT).map_err(TelegramError::Connect)?;
    let limited = stream.set_read_timeout(Some(LIMIT)).and_then(|()| stream.set_write_timeout(Some(LIMIT)));
    limited.map_err(TelegramError::Connect)?;
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(TelegramError::Tls)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(HOST).map_err(|_| TelegramError::Answer)?;
    let connection = ClientConnection::new(Arc::new(config), name).map_err(TelegramError::Tls)?;
    exchange(&mut StreamOwned::new(connection, stream), token, chat, text)
}

/// Never an address inside: a name service that lies must not lead there.
fn is_public(address: SocketAddr) -> bool {
    match address.ip().to_canonical() {
        IpAddr::V4(ip) => {
            !(ip.is_loopback()
                || ip.is_private()
                || ip.is_link_local()
                || ip.is_unspecified()
                || ip.is_broadcast())
        }
        IpAddr::V6(ip) => {
            !(ip.is_loopback() || ip.is_unspecified() || ip.is_unique_local() || ip.is_unicast_link_local())
        }
    }
}

fn exchange(
    stream: &mut (impl Read + Write),
    token: &str,
    chat: &str,
    text: &str,
) -> Result<(), TelegramError> {
    let body = serde_json::json!({ "chat_id": chat, "text": text }).to_string();
    let head = format!(
        "POST /bot{}/sendMessage HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n",
        bare(token),
        body.len()
    );
    let sent = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes()));
    sent.and_then(|()| stream.flush()).map_err(TelegramError::Connect)?;
    let mut answer = Vec::new();
    // A peer that ends without saying so in TLS has said all the same.
    match stream.take(LONGEST).read_to_end(&mut answer) {
        Err(error) if answer.is_empty() => return Err(TelegramError::Connect(error)),
        _ => {}
    }
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").ok_or(TelegramError::Answer)?;
    let status =
        head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or(TelegramError::Answer)?;
    if status == 200 {
        return Ok(());
    }
    let start = body.find('{').unwrap_or(0);
    let told = body.get(start..).and_then(|json| serde_json::Deserializer::from_str(json).into_iter().next());
    let told: Option<serde_json::Value> = told.and_then(Result::ok);
    let text = told.and_then(|json| Some(json.get("description")?.as_str()?.to_owned())).unwrap_or_default();
    Err(TelegramError::Refused { status, text })
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fake {
        sent: Vec<u8>,
        answer: io::Cursor<Vec<u8>>,
    }

    impl Read for Fake {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.answer.read(buffer)
        }
    }

    impl Write for Fake {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.sent.write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn exchanged(answer: &str) -> (String, Result<(), TelegramError>) {
        let mut fake = Fake { sent: Vec::new(), answer: io::Cursor::new(answer.as_bytes().to_vec()) };
        let result = exchange(&mut fake, "123:secretsecret", "-5", "a \"text\"");
        (String::from_utf8(fake.sent).unwrap(), result)
    }

    #[test]
    fn a_message_is_one_request() {
        let (sent, result) = exchanged("HTTP/1.1 200 OK\r\n\r\n{\"ok\":true}");
        result.unwrap();
        let (head, body) = sent.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("POST /bot123:secretsecret/sendMessage HTTP/1.1\r\n"));
        assert!(head.contains(&format!("Content-Length: {}", body.len())));
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(body, serde_json::json!({ "chat_id": "-5", "text": "a \"text\"" }));
    }

    #[test]
    fn a_refusal_is_told_without_the_token() {
        let refused = "HTTP/1.1 401 Unauthorized\r\nTransfer-Encoding: chunked\r\n\r\n1e\r\n{\"ok\":false,\"description\":\"Unauthorized\"}\r\n0\r\n\r\n";
        let told = exchanged(refused).1.unwrap_err().to_string();
        assert!(
            told.contains("401") && told.contains("Unauthorized") && !told.contains("secretsecret"),
            "{told}"
        );
        for wrong in ["", "HTTP/1.1", "HTTP/1.1 x\r\n\r\n"] {
            assert!(matches!(exchanged(wrong).1, Err(TelegramError::Answer)), "{wrong:?}");
        }
    }

    #[test]
    fn only_public_addresses() {
        for inside in [
            "127.0.0.1:443",
            "10.0.0.1:443",
            "169.254.169.254:443",
            "[::1]:443",
            "[::ffff:10.0.0.1]:443",
            "[fe80::1]:443",
        ] {
            assert!(!is_public(inside.parse().unwrap()), "{inside}");
        }
        assert!(is_public("149.154.167.220:443".parse().unwrap()));
    }

    #[test]
    fn tokens_and_chats() {
        assert!(
            is_token("123456:ABC-DEF_1234ghIkl")
                && is_token("bot123:ABC")
                && is_chat("-100123")
                && is_chat("@channel_1")
        );
        for wrong in
            ["", "abc", "123:", "bot123:", "x:ABCDEFGHIJKL", "123:ABCDEFGHIJ/../KL", "123:ABCDEFGHIJ KL"]
        {
            assert!(!is_token(wrong), "{wrong}");
        }
        assert!(!is_chat("") && !is_chat("@") && !is_chat("a b"));
    }
}
