use proptest::prelude::*;
use ring::hmac;

use super::super::secret::{from_text, to_text};
use super::*;

/// The key that signs, as only somebody with the vault can know it.
fn signing_secret(rig: &Rig) -> (String, Vec<u8>) {
    let rows = rig.catalog.access_rows().unwrap().signing_keys;
    let row = rows.last().unwrap();
    let vault = Vault::open_with(rig.state.path(), None).unwrap();
    let secret = vault.unseal(&format!("signing_key/{}", row.id), &row.sealed).unwrap();
    (row.id.to_string(), secret.to_vec())
}

fn token(header: &serde_json::Value, claims: &serde_json::Value, tag: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let body =
        format!("{}.{}", to_text(header.to_string().as_bytes()), to_text(claims.to_string().as_bytes()));
    let tag = to_text(&tag(body.as_bytes()));
    format!("{body}.{tag}")
}

fn claims_of(token: &str) -> serde_json::Value {
    serde_json::from_slice(&from_text(token.split('.').nth(1).unwrap()).unwrap()).unwrap()
}

#[test]
fn only_hs256_with_our_key_is_believed() {
    let rig = Rig::new();
    let (signed_in, _) = rig.somebody("a", ADMIN);
    let (kid, secret) = signing_secret(&rig);
    let claims = claims_of(&signed_in.access_token);
    let sign = |algorithm: hmac::Algorithm| {
        let key = hmac::Key::new(algorithm, &secret);
        move |body: &[u8]| hmac::sign(&key, body).as_ref().to_vec()
    };
    let header = |alg: &str| serde_json::json!({ "alg": alg, "typ": "JWT", "kid": kid });
    // The forger's tools work: with the right algorithm the token is believed.
    let genuine = token(&header("HS256"), &claims, sign(hmac::HMAC_SHA256));
    assert!(rig.principal(&genuine).is_ok());
    let forged = [
        token(&header("none"), &claims, |_| Vec::new()),
        token(&header("None"), &claims, |_| Vec::new()),
        token(&header("HS256"), &claims, |_| Vec::new()),
        token(&header("HS512"), &claims, sign(hmac::HMAC_SHA512)),
        token(&header("HS384"), &claims, sign(hmac::HMAC_SHA384)),
        token(&header("EdDSA"), &claims, sign(hmac::HMAC_SHA256)),
        token(&header("RS256"), &claims, sign(hmac::HMAC_SHA256)),
        token(&header("ES256"), &claims, sign(hmac::HMAC_SHA256)),
        token(&serde_json::json!({ "alg": "HS256", "kid": "99" }), &claims, sign(hmac::HMAC_SHA256)),
        token(&serde_json::json!({ "alg": "HS256" }), &claims, sign(hmac::HMAC_SHA256)),
        token(&header("HS256"), &claims, |body| {
            hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &[0; 32]), body).as_ref().to_vec()
        }),
    ];
    for forged in forged {
        assert_eq!(rejection(rig.principal(&forged)), Rejection::Invalid, "{forged}");
    }
    for (field, value) in [
        ("iss", serde_json::json!("other")),
        ("exp", serde_json::json!("later")),
        ("exp", serde_json::Value::Null),
        ("sid", serde_json::Value::Null),
        ("aud", serde_json::json!("other")),
    ] {
        let mut claims = claims.clone();
        claims[field] = value;
        let wrong = token(&header("HS256"), &claims, sign(hmac::HMAC_SHA256));
        assert_eq!(rejection(rig.principal(&wrong)), Rejection::Invalid, "{field}");
    }
    let mut elsewhere = claims.clone();
    elsewhere["sid"] = "AAAAAAAAAAAAAAAAAAAAAA".into();
    let ended = token(&header("HS256"), &elsewhere, sign(hmac::HMAC_SHA256));
    assert_eq!(rejection(rig.principal(&ended)), Rejection::Ended);
}

#[test]
fn a_new_signing_key_leaves_tokens_their_time() {
    let rig = Rig::new();
    let (first, _) = rig.somebody("a", ADMIN);
    rig.access.rotate_signing_key().unwrap();
    rig.access.rotate_signing_key().unwrap();
    let second = rig.sign_in("a");
    let (kid, _) = signing_secret(&rig);
    assert_eq!(kid, "3");
    assert!(rig.principal(&first.access_token).is_ok() && rig.principal(&second.access_token).is_ok());
    let kids =
        || rig.catalog.access_rows().unwrap().signing_keys.iter().map(|key| key.id).collect::<Vec<_>>();
    assert_eq!(kids(), [1, 2, 3]);
    rig.pass(901);
    rig.access.rotate_signing_key().unwrap();
    assert_eq!(kids(), [3, 4], "what signed nothing that is still good is gone");
    // In time it is changed by itself.
    rig.access.tend().unwrap();
    assert_eq!(kids().len(), 2);
    rig.pass(30 * 24 * 3600);
    rig.access.tend().unwrap();
    assert_eq!(kids(), [4, 5]);
}

#[test]
fn a_lost_installation_key_costs_the_sessions_only() {
    let rig = Rig::new();
    let (signed_in, _) = rig.somebody("a", ADMIN);
    std::fs::remove_file(rig.state.path().join("secret.key")).unwrap();
    let again = rig.other_process();
    let token = Credential::Bearer(&signed_in.access_token);
    assert_eq!(rejection(again.authenticate(&token, HERE)), Rejection::Invalid);
    assert_eq!(rejection(again.refresh(&signed_in.refresh_token, HERE)), Rejection::Invalid);
    let new = again.sign_in("a", PASSWORD, HERE).unwrap();
    assert!(again.authenticate(&Credential::Bearer(&new.access_token), HERE).is_ok());
}

#[test]
fn tickets_stand_for_who_got_them() {
    let rig = Rig::new();
    let (_, principal) = rig.somebody("a", OPERATOR);
    let ticket = rig.access.issue_ticket(&principal).unwrap();
    assert_eq!(rig.access.redeem_ticket(&ticket).unwrap().kind, principal.kind);
    assert_eq!(rejection(rig.access.redeem_ticket(&ticket)), Rejection::Invalid);
    let late = rig.access.issue_ticket(&principal).unwrap();
    rig.pass(30);
    assert_eq!(rejection(rig.access.redeem_ticket(&late)), Rejection::Expired);
    let ended = rig.access.issue_ticket(&principal).unwrap();
    assert!(rig.access.still(&principal).is_ok());
    rig.access.sign_out(&principal).unwrap();
    assert_eq!(rejection(rig.access.redeem_ticket(&ended)), Rejection::Ended);
    assert_eq!(rejection(rig.access.still(&principal)), Rejection::Ended);
}

#[test]
fn altered_and_random_tokens_are_never_believed() {
    let rig = Rig::new();
    let (signed_in, principal) = rig.somebody("a", ADMIN);
    let key = rig.access.create_api_key(&principal, "k", ADMIN, None).unwrap().secret;
    let access = signed_in.access_token.clone();
    let refresh = signed_in.refresh_token.to_string();
    let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.";
    proptest!(ProptestConfig::with_cases(512), |(
        at in any::<prop::sample::Index>(),
        letter in prop::sample::select(letters.to_vec()),
        cut in any::<prop::sample::Index>(),
        random in "\\PC{0,120}",
        shaped in "(rw_|rr_)?[A-Za-z0-9_-]{0,60}(\\.[A-Za-z0-9_-]{0,60}){0,3}",
    )| {
        for genuine in [&access, &refresh, &*key] {
            let mut altered = genuine.clone().into_bytes();
            altered[at.index(genuine.len())] = letter;
            let altered = String::from_utf8(altered).unwrap();
            let cut = &genuine[..cut.index(genuine.len())];
            for wrong in [altered.as_str(), cut, &random, &shaped, &format!("{genuine}A")] {
                if wrong == genuine {
                    continue;
                }
                prop_assert!(rig.access.authenticate(&Credential::Bearer(wrong), HERE).is_err(), "{}", wrong);
                prop_assert!(rig.access.authenticate(&Credential::ApiKey(wrong), HERE).is_err(), "{}", wrong);
                prop_assert!(rig.access.refresh(wrong, HERE).is_err(), "{}", wrong);
                prop_assert!(rig.access.redeem_ticket(wrong).is_err(), "{}", wrong);
            }
        }
    });
    // Nothing of that cost the session.
    assert!(rig.principal(&access).is_ok());
    assert!(rig.access.refresh(&refresh, HERE).is_ok());
    assert!(rig.principal(&key).is_ok());
    for swapped in [&*refresh, &key] {
        assert!(rig.access.authenticate(&Credential::Bearer(&refresh), HERE).is_err(), "{swapped}");
    }
    assert!(rig.access.refresh(&access, HERE).is_err() && rig.access.refresh(&key, HERE).is_err());
}
