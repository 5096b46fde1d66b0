//! The peer of the API's bench: nothing but hyper, jsonwebtoken and a constant answer.
//!
//! `bare_hyper BODY-FILE` prints its address and a token, then serves `GET` of any path: 401 without that kind of token, else
//! the file's bytes as JSON.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a bench fails by panicking

use std::convert::Infallible;
use std::io::Write;

use bytes::Bytes;
use http_body_util::Full;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, header};
use hyper_util::rt::{TokioExecutor, TokioIo};
use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::signature::{self, Signer, Verifier};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use ring::hmac;
use serde::{Deserialize, Serialize};

struct Hs256(hmac::Key);

impl Signer<Vec<u8>> for Hs256 {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, signature::Error> {
        Ok(hmac::sign(&self.0, message).as_ref().to_vec())
    }
}
impl Verifier<Vec<u8>> for Hs256 {
    fn verify(&self, message: &[u8], tag: &Vec<u8>) -> Result<(), signature::Error> {
        hmac::verify(&self.0, message, tag).map_err(|_| signature::Error::new())
    }
}
impl JwtSigner for Hs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}
impl JwtVerifier for Hs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

fn refuse<T>() -> jsonwebtoken::errors::Result<T> {
    Err(Error::from(ErrorKind::InvalidAlgorithm))
}

static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: |_, key| Ok(Box::new(Hs256(hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes())))),
    verifier_factory: |_, key| {
        Ok(Box::new(Hs256(hmac::Key::new(hmac::HMAC_SHA256, key.try_get_as_bytes()?))))
    },
    key_utils: KeyUtils {
        rsa_pub_components_from_private_key: |_| refuse(),
        rsa_pub_components_from_public_key: |_| refuse(),
        ec_pub_components_from_private_key: |_, _| refuse(),
        ed_pub_components_from_private_key: |_, _| refuse(),
        compute_digest: |_, _| refuse(),
    },
};

#[derive(Serialize, Deserialize)]
struct Claims {
    sub: String,
    sid: String,
    exp: u64,
}

fn main() {
    let Some(file) = std::env::args().nth(1).filter(|argument| !argument.starts_with("--")) else { return };
    let body = Bytes::from(std::fs::read(file).unwrap());
    PROVIDER.install_default().unwrap();
    let secret = [7; 32];
    let claims = Claims { sub: "1".into(), sid: "0123456789abcdef".into(), exp: u64::MAX / 2 };
    let token = encode(&Header::new(Algorithm::HS256), &claims, &EncodingKey::from_secret(&secret)).unwrap();
    let (key, validation) = (DecodingKey::from_secret(&secret), Validation::new(Algorithm::HS256));
    let shared: &'static _ = Box::leak(Box::new((key, validation, body)));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        println!("{} {token}", listener.local_addr().unwrap());
        std::io::stdout().flush().unwrap();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            tokio::spawn(async move {
                let service = service_fn(move |request: Request<hyper::body::Incoming>| async move {
                    let (key, validation, body) = shared;
                    let token =
                        request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
                    let token = token.and_then(|value| value.strip_prefix("Bearer "));
                    let good = token.is_some_and(|token| decode::<Claims>(token, key, validation).is_ok());
                    let mut response =
                        Response::new(Full::new(if good { body.clone() } else { Bytes::new() }));
                    if !good {
                        *response.status_mut() = StatusCode::UNAUTHORIZED;
                    }
                    let json = header::HeaderValue::from_static("application/json");
                    response.headers_mut().insert(header::CONTENT_TYPE, json);
                    Ok::<_, Infallible>(response)
                });
                let builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                let _ = builder.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
}
