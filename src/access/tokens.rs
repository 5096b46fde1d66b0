//! Access tokens (JWT, HS256 and nothing else) and refresh tokens.

use std::collections::HashMap;
use std::sync::Once;

use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::signature::{self, Signer, Verifier};
use jsonwebtoken::{
    Algorithm, AlgorithmFamily, DecodingKey, EncodingKey, Header, Validation, decode, decode_header, encode,
};
use ring::hmac;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{AccessError, Rejection, Result, secret};
use crate::catalog::SigningKeyRow;
use crate::config::Vault;

/// Who makes and who reads the tokens.
const ISSUER: &str = "reelward";
/// Bytes of the longest token that is looked at.
const LONGEST: usize = 4096;
/// What a refresh token begins with.
const REFRESH_PREFIX: &str = "rr_";
/// Bytes of a session's id.
pub(super) const SESSION_ID: usize = 16;
/// Bytes of the code at the end of a refresh token.
const MAC: usize = 32;

/// HS256 over `ring`. No other algorithm exists here, so none can be chosen by a token's header.
struct Hs256(hmac::Key);

impl Signer<Vec<u8>> for Hs256 {
    fn try_sign(&self, message: &[u8]) -> std::result::Result<Vec<u8>, signature::Error> {
        Ok(hmac::sign(&self.0, message).as_ref().to_vec())
    }
}

impl Verifier<Vec<u8>> for Hs256 {
    fn verify(&self, message: &[u8], tag: &Vec<u8>) -> std::result::Result<(), signature::Error> {
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

fn signer(algorithm: &Algorithm, key: &EncodingKey) -> jsonwebtoken::errors::Result<Box<dyn JwtSigner>> {
    if *algorithm != Algorithm::HS256 || key.family() != AlgorithmFamily::Hmac {
        return refuse();
    }
    Ok(Box::new(Hs256(hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes()))))
}

fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> jsonwebtoken::errors::Result<Box<dyn JwtVerifier>> {
    if *algorithm != Algorithm::HS256 || key.family() != AlgorithmFamily::Hmac {
        return refuse();
    }
    Ok(Box::new(Hs256(hmac::Key::new(hmac::HMAC_SHA256, key.try_get_as_bytes()?))))
}

static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: signer,
    verifier_factory: verifier,
    key_utils: KeyUtils {
        rsa_pub_components_from_private_key: |_| refuse(),
        rsa_pub_components_from_public_key: |_| refuse(),
        ec_pub_components_from_private_key: |_, _| refuse(),
        ed_pub_components_from_private_key: |_, _| refuse(),
        compute_digest: |_, _| refuse(),
    },
};

/// Without a provider the crate panics at first use.
fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // Nothing else in this process installs one.
        let _ = PROVIDER.install_default();
    });
}

/// What an access token says. Times are seconds since the epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Claims {
    iss: String,
    /// Id of the user.
    pub(super) sub: String,
    /// Id of the session.
    pub(super) sid: String,
    /// Tells tokens of one second apart.
    jti: String,
    iat: i64,
    pub(super) exp: i64,
}

/// The keys that sign and verify access tokens.
pub(super) struct SigningKeys {
    keys: HashMap<String, (EncodingKey, DecodingKey)>,
    newest: Option<(i64, i64)>,
    validation: Validation,
}

impl std::fmt::Debug for SigningKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SigningKeys({} of them)", self.keys.len())
    }
}

/// Where a sealed signing key stands.
pub(super) fn context(id: i64) -> String {
    format!("signing_key/{id}")
}

impl SigningKeys {
    /// Opens the catalog's keys. What another installation's key sealed is of no use and left out.
    pub(super) fn open(vault: &Vault, rows: &[SigningKeyRow]) -> SigningKeys {
        install();
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_issuer(&[ISSUER]);
        validation.set_required_spec_claims(&["exp", "iss", "sub"]);
        validation.validate_exp = false; // against our own clock, without leeway
        let mut keys = SigningKeys { keys: HashMap::new(), newest: None, validation };
        for row in rows {
            if let Ok(secret) = vault.unseal(&context(row.id), &row.sealed)
                && secret.len() == 32
            {
                let pair = (EncodingKey::from_secret(&secret), DecodingKey::from_secret(&secret));
                keys.keys.insert(row.id.to_string(), pair);
                keys.newest = Some((row.id, row.created));
            }
        }
        keys
    }

    /// When the newest key was made; none where there is no key.
    pub(super) fn newest_created(&self) -> Option<i64> {
        self.newest.map(|(_, created)| created)
    }

    /// A token for a session; times are seconds since the epoch.
    pub(super) fn sign(&self, user: i64, session: &str, issued: i64, expires: i64) -> Result<String> {
        let id = self.newest.map(|(id, _)| id.to_string()).ok_or(AccessError::Cipher)?;
        let (key, _) = self.keys.get(&id).ok_or(AccessError::Cipher)?;
        let claims = Claims {
            iss: ISSUER.to_owned(),
            sub: user.to_string(),
            sid: session.to_owned(),
            jti: secret::to_text(&*secret::random::<12>()?),
            iat: issued,
            exp: expires,
        };
        let header = Header { kid: Some(id), ..Header::new(Algorithm::HS256) };
        encode(&header, &claims, key).map_err(|_| AccessError::Cipher)
    }

    /// What a token says, where one of our keys signed it and its time is not over. `now` in seconds since the epoch.
    pub(super) fn verify(&self, token: &str, now: i64) -> std::result::Result<Claims, Rejection> {
        if token.len() > LONGEST {
            return Err(Rejection::Invalid);
        }
        let header = decode_header(token).map_err(|_| Rejection::Invalid)?;
        let (_, key) = header.kid.and_then(|kid| self.keys.get(&kid)).ok_or(Rejection::Invalid)?;
        let claims = decode::<Claims>(token, key, &self.validation).map_err(|_| Rejection::Invalid)?.claims;
        if now >= claims.exp {
            return Err(Rejection::Expired);
        }
        Ok(claims)
    }
}

/// Makes and reads refresh tokens: session, generation, and a code that only this installation can make.
pub(super) struct RefreshTokens(hmac::Key);

impl RefreshTokens {
    pub(super) fn new(vault: &Vault) -> Result<RefreshTokens> {
        let key = vault.derive("refresh tokens")?;
        Ok(RefreshTokens(hmac::Key::new(hmac::HMAC_SHA256, key.as_ref())))
    }

    /// The token of a session's generation; none where the id is not one of ours.
    pub(super) fn token(&self, session: &str, generation: u32) -> Result<Zeroizing<String>> {
        let mut bytes =
            secret::from_text(session).filter(|id| id.len() == SESSION_ID).ok_or(AccessError::Cipher)?;
        bytes.extend_from_slice(&generation.to_be_bytes());
        let mac = hmac::sign(&self.0, &bytes);
        bytes.extend_from_slice(mac.as_ref());
        Ok(Zeroizing::new(format!("{REFRESH_PREFIX}{}", secret::to_text(&bytes))))
    }

    /// Session and generation of a token of ours.
    pub(super) fn read(&self, token: &str) -> std::result::Result<(String, u32), Rejection> {
        let text = token.strip_prefix(REFRESH_PREFIX).filter(|text| text.len() <= 128);
        let bytes = text.and_then(secret::from_text).ok_or(Rejection::Invalid)?;
        let (body, mac) = bytes
            .len()
            .checked_sub(MAC)
            .and_then(|at| bytes.split_at_checked(at))
            .ok_or(Rejection::Invalid)?;
        hmac::verify(&self.0, body, mac).map_err(|_| Rejection::Invalid)?;
        let (id, generation) = body.split_first_chunk::<SESSION_ID>().ok_or(Rejection::Invalid)?;
        let generation = generation.try_into().map_err(|_| Rejection::Invalid)?;
        Ok((secret::to_text(id), u32::from_be_bytes(generation)))
    }
}
