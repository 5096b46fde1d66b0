//! `iscsi://[user[%secret]@]host[:port]/iqn/lun`.

use std::fmt;
use std::ops::RangeInclusive;

use zeroize::Zeroizing;

/// What the names of iSCSI devices begin with.
pub const SCHEME: &str = "iscsi://";
/// Where the secret comes from when the URL has a user and no secret.
pub const SECRET_VARIABLE: &str = "REELWARD_ISCSI_SECRET";

const DEFAULT_PORT: u16 = 3260;
/// RFC 7143 clause 4.2.7.1.
const LONGEST_NAME: usize = 223;
/// Single-level LUNs that libiscsi can address (SAM-5 clause 4.7.3, flat space addressing).
const LUNS: RangeInclusive<i32> = 0..=16_383;

/// A name that is no iSCSI URL. It may hold a secret, so it is not shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}; write iscsi://[USER[%SECRET]@]HOST[:PORT]/TARGET/LUN")]
pub struct UrlError(&'static str);

impl UrlError {
    /// What is wrong, without the form of a device's name.
    pub fn reason(&self) -> &'static str {
        self.0
    }
}

/// One logical unit of one target.
#[derive(Clone, PartialEq, Eq)]
pub struct Target {
    /// `host:port`.
    pub(super) portal: String,
    /// The target's name, `iqn.`, `eui.` or `naa.`.
    pub(super) name: String,
    /// Logical unit number.
    pub(super) lun: i32,
    /// CHAP user.
    pub(super) user: Option<String>,
    /// CHAP secret; empty without a user.
    pub(super) secret: Zeroizing<String>,
}

/// An address at which targets are asked for.
#[derive(Clone, PartialEq, Eq)]
pub struct Portal {
    /// `host:port`.
    pub(super) address: String,
    /// CHAP user.
    pub(super) user: Option<String>,
    /// CHAP secret; empty without a user.
    pub(super) secret: Zeroizing<String>,
}

impl Portal {
    /// Reads `[iscsi://][user[%secret]@]host[:port]`; `secret` is in use where there is a user and no secret of its own.
    ///
    /// # Errors
    /// What is missing or wrong; the text itself is never shown.
    pub fn parse(text: &str, secret: Option<&str>) -> Result<Portal, UrlError> {
        let rest = text.strip_prefix(SCHEME).unwrap_or(text);
        let (user, secret, address) = split_login(rest, secret)?;
        let address = address.strip_suffix('/').unwrap_or(address);
        if address.contains(['/', '%', '#']) || address.contains(char::is_whitespace) {
            return Err(UrlError("only host and port name a portal"));
        }
        Ok(Portal { address: with_port(address)?, user, secret })
    }

    /// One logical unit of a target that was found here, behind `address` as the target told it.
    pub(super) fn target(&self, address: &str, name: &str, lun: i32) -> Target {
        Target {
            portal: address.to_owned(),
            name: name.to_owned(),
            lun,
            user: self.user.clone(),
            secret: self.secret.clone(),
        }
    }
}

/// Without user and secret.
impl fmt::Display for Portal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}", self.address)
    }
}

/// Without the secret.
impl fmt::Debug for Portal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Portal").field("url", &self.to_string()).field("user", &self.user).finish()
    }
}

/// User, secret and the rest of `[user[%secret]@]rest`.
fn split_login<'a>(
    text: &'a str,
    secret: Option<&str>,
) -> Result<(Option<String>, Zeroizing<String>, &'a str), UrlError> {
    // A secret may hold any character; names of hosts and targets hold no `@`.
    let (login, rest) = text.rsplit_once('@').map_or((None, text), |(login, rest)| (Some(login), rest));
    let (user, own) =
        match login.map(|login| login.split_once('%').map_or((login, None), |(u, s)| (u, Some(s)))) {
            Some(("", _)) => return Err(UrlError("the user name is empty")),
            Some((user, own)) => (Some(user.to_owned()), own),
            None => (None, None),
        };
    let secret = match (&user, own.or(secret)) {
        (None, _) => "",
        (Some(_), Some(secret)) => secret,
        (Some(_), None) => return Err(UrlError("a user without a secret: set REELWARD_ISCSI_SECRET")),
    };
    Ok((user, Zeroizing::new(secret.to_owned()), rest))
}

impl Target {
    /// The URL with its user and without the secret: what names the device for the next command.
    pub fn url(&self) -> String {
        let user = self.user.as_ref().map(|user| format!("{user}@")).unwrap_or_default();
        format!("{SCHEME}{user}{}/{}/{}", self.portal, self.name, self.lun)
    }

    /// The same target, another logical unit.
    pub fn with_lun(&self, lun: i32) -> Target {
        Target { lun, ..self.clone() }
    }

    /// Reads a URL; `secret` is in use where the URL has a user and no secret of its own.
    ///
    /// # Errors
    /// What is missing or wrong; the URL itself is never shown.
    pub fn parse(url: &str, secret: Option<&str>) -> Result<Target, UrlError> {
        let rest = url.strip_prefix(SCHEME).ok_or(UrlError("no iscsi:// at the beginning"))?;
        let (user, secret, rest) = split_login(rest, secret)?;
        let mut parts = rest.split('/');
        let (Some(portal), Some(name), Some(lun), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(UrlError("host, target name and LUN are needed"));
        };
        let known = ["iqn.", "eui.", "naa."].iter().any(|kind| name.starts_with(kind));
        if !known || name.len() > LONGEST_NAME {
            return Err(UrlError("the target name is none: it begins with iqn., eui. or naa."));
        }
        let lun =
            lun.parse().ok().filter(|lun| LUNS.contains(lun)).ok_or(UrlError("the LUN is no number"))?;
        Ok(Target { portal: with_port(portal)?, name: name.to_owned(), lun, user, secret })
    }
}

/// `host:port`; IPv6 addresses stand in brackets.
fn with_port(portal: &str) -> Result<String, UrlError> {
    let (host, port) = match portal.rsplit_once(':') {
        Some((host, port)) if !portal.ends_with(']') => (host, Some(port)),
        _ => (portal, None),
    };
    let bracketed = host.starts_with('[') && host.ends_with(']');
    if host.is_empty() || (host.contains(':') && !bracketed) {
        return Err(UrlError("the host is none; an IPv6 address stands in [brackets]"));
    }
    let port = port.map_or(Ok(DEFAULT_PORT), str::parse).map_err(|_| UrlError("the port is no number"))?;
    Ok(format!("{host}:{port}"))
}

/// Without user and secret.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}/{}/{}", self.portal, self.name, self.lun)
    }
}

/// Without the secret.
impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target").field("url", &self.to_string()).field("user", &self.user).finish()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_of_targets_are_read() {
        let plain = Target::parse("iscsi://gateway/iqn.2026-01.test:vtl/3", None).unwrap();
        assert_eq!((plain.portal.as_str(), plain.lun, plain.user), ("gateway:3260", 3, None));
        let chap =
            Target::parse("iscsi://me%p/a@ss%@[fe80::1]:13260/iqn.2026-01.test:vtl/0", Some("x")).unwrap();
        assert_eq!(chap.portal, "[fe80::1]:13260");
        assert_eq!((chap.user.as_deref(), chap.secret.as_str()), (Some("me"), "p/a@ss%"));
        let from_outside = Target::parse("iscsi://me@[::1]/iqn.x/0", Some("outside")).unwrap();
        assert_eq!((from_outside.portal.as_str(), from_outside.secret.as_str()), ("[::1]:3260", "outside"));
    }

    #[test]
    fn what_is_no_name_is_told() {
        for wrong in [
            "",
            "iscsi://",
            "iscsi://host",
            "iscsi://host/iqn.x",
            "iscsi://host/iqn.x/",
            "iscsi://host/iqn.x/-1",
            "iscsi://host/iqn.x/16384",
            "iscsi://host/iqn.x/0/1",
            "iscsi://host/disk/0",
            "iscsi:///iqn.x/0",
            "iscsi://host:port/iqn.x/0",
            "iscsi://host:99999/iqn.x/0",
            "iscsi://fe80::1/iqn.x/0",
            "iscsi://%secret@host/iqn.x/0",
            "iscsi://me@host/iqn.x/0",
        ] {
            assert!(Target::parse(wrong, None).is_err(), "{wrong}");
        }
    }

    #[test]
    fn portals_are_read() {
        for (text, address) in [
            ("gateway", "gateway:3260"),
            ("iscsi://10.0.0.1:13260/", "10.0.0.1:13260"),
            ("[::1]", "[::1]:3260"),
        ] {
            let portal = Portal::parse(text, None).unwrap();
            assert_eq!((portal.address.as_str(), portal.user), (address, None));
        }
        let chap = Portal::parse("iscsi://me@host", Some("hidden-secret")).unwrap();
        let target = chap.target("10.0.0.9:3260", "iqn.2026-01.test:vtl", 2);
        assert_eq!(target.secret.as_str(), "hidden-secret");
        assert_eq!(target.url(), "iscsi://me@10.0.0.9:3260/iqn.2026-01.test:vtl/2");
        assert_eq!(target.with_lun(7).to_string(), "iscsi://10.0.0.9:3260/iqn.2026-01.test:vtl/7");
        assert!(!format!("{chap} {chap:?} {}", target.url()).contains("hidden-secret"));
        for wrong in ["", "iscsi://", "host/iqn.x", "host:port", "fe80::1", "me@host", "a b", "@host"] {
            assert!(Portal::parse(wrong, None).is_err(), "{wrong}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        #[test]
        fn no_secret_is_ever_shown(secret in "[A-Z/@%]{12,20}", tail in "(host/iqn.x/0|host/x/0|host)") {
            match Target::parse(&format!("iscsi://user%{secret}@{tail}"), None) {
                Ok(target) => {
                    prop_assert_eq!(target.secret.as_str(), secret.as_str());
                    let shown = format!("{target} {target:?}");
                    prop_assert!(!shown.contains(&secret));
                }
                Err(error) => {
                    let shown = format!("{error} {error:?}");
                    prop_assert!(!shown.contains(&secret));
                }
            }
        }

        #[test]
        fn nothing_panics(text in "(iscsi://)?.{0,40}") {
            let _ = Target::parse(&text, Some("s"));
            let _ = Portal::parse(&text, Some("s"));
        }
    }
}
