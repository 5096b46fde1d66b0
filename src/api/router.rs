//! Paths to endpoints. Static parts stand before parameters; one trailing slash does not matter.

use hyper::Method;
use matchit::InsertError;

use super::endpoint::Endpoint;

/// All endpoints by path and method.
pub(super) struct Router {
    endpoints: Vec<Endpoint>,
    paths: matchit::Router<Vec<usize>>,
}

/// What a path leads to.
pub(super) enum Routed<'r> {
    /// An endpoint and the parameters of its path, decoded.
    To(&'r Endpoint, Vec<(String, String)>),
    /// Only these methods.
    OtherMethods(Vec<&'r Method>),
    /// Nothing.
    Nowhere,
}

impl Router {
    /// Sorts the declarations by path.
    ///
    /// # Errors
    /// Two paths that cannot be told apart, or one declared twice for a method.
    pub(super) fn new(endpoints: Vec<Endpoint>) -> Result<Router, String> {
        let mut by_path: Vec<(&'static str, Vec<usize>)> = Vec::new();
        for (at, endpoint) in endpoints.iter().enumerate() {
            match by_path.iter_mut().find(|(path, _)| *path == endpoint.path) {
                Some((_, found)) => {
                    let twice = found
                        .iter()
                        .any(|&other| endpoints.get(other).map(|e| &e.method) == Some(&endpoint.method));
                    if twice {
                        return Err(format!("{} {} is declared twice", endpoint.method, endpoint.path));
                    }
                    found.push(at);
                }
                None => by_path.push((endpoint.path, vec![at])),
            }
        }
        let mut paths = matchit::Router::new();
        for (path, found) in by_path {
            paths.insert(path, found).map_err(|error: InsertError| format!("{path}: {error}"))?;
        }
        Ok(Router { endpoints, paths })
    }

    /// What `method` on `path` means.
    pub(super) fn route(&self, method: &Method, path: &str) -> Routed<'_> {
        let trimmed = if path.len() > 1 { path.strip_suffix('/').unwrap_or(path) } else { path };
        let Ok(found) = self.paths.at(trimmed) else { return Routed::Nowhere };
        let method = if method == Method::HEAD { &Method::GET } else { method };
        let here = || found.value.iter().filter_map(|&at| self.endpoints.get(at));
        match here().find(|endpoint| endpoint.method == *method) {
            Some(endpoint) => {
                let decoded = found.params.iter().map(|(name, value)| (name.to_owned(), decode(value)));
                Routed::To(endpoint, decoded.collect())
            }
            None => Routed::OtherMethods(here().map(|endpoint| &endpoint.method).collect()),
        }
    }
}

/// Percent-decoded (RFC 3986, section 2.1); what is not UTF-8 is replaced.
fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let hex = |byte: &u8| char::from(*byte).to_digit(16);
        match (first, tail) {
            (b'%', [high, low, after @ ..]) if hex(high).is_some() && hex(low).is_some() => {
                let value = hex(high).unwrap_or_default() * 16 + hex(low).unwrap_or_default();
                bytes.push(u8::try_from(value).unwrap_or_default());
                rest = after;
            }
            _ => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_declaration_has_its_place() {
        assert!(Router::new(crate::api::endpoints()).is_ok());
    }

    #[test]
    fn a_declaration_made_twice_is_told() {
        let twice = [crate::api::endpoints(), crate::api::endpoints()].concat();
        assert!(Router::new(twice).is_err_and(|told| told.contains("twice")));
    }

    #[test]
    fn paths_are_decoded() {
        assert_eq!(decode("a%20b%2fc%zz%4"), "a b/c%zz%4");
    }
}
