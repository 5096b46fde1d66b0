//! Fields that several resources have.

use std::collections::HashMap;
use std::path::Path;

use serde::{Deserialize, Deserializer};

use crate::api::call::Call;
use crate::api::error::ApiError;
use crate::catalog::{Pool, PoolId};
use crate::engine::check_destination;

/// A field that may be left out, be `null`, or have a value: `None`, `Some(None)`, `Some(Some(value))`.
pub(super) fn nullable<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::<T>::deserialize(deserializer).map(Some)
}

/// A pool that a body names.
///
/// # Errors
/// 400 that names the field.
pub(super) fn pool(call: &Call, field: &str, id: i64) -> Result<Pool, ApiError> {
    call.api.catalog.pool(PoolId(id)).map_err(|error| match error {
        crate::catalog::CatalogError::NotFound { .. } => ApiError::field(field, format!("no pool {id}")),
        error => error.into(),
    })
}

/// Ids of pools by name.
pub(super) fn pool_ids(call: &Call) -> Result<HashMap<String, i64>, ApiError> {
    Ok(call.api.catalog.pools()?.into_iter().map(|pool| (pool.name, pool.id.0)).collect())
}

/// A text for people: no control characters but line ends, and not without end.
///
/// # Errors
/// 400 that names the field.
pub(super) fn prose(field: &str, text: &str) -> Result<(), ApiError> {
    const LONGEST: usize = 10_000;
    if text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
        return Err(ApiError::field(field, "must not hold control characters"));
    }
    if text.len() > LONGEST {
        return Err(ApiError::field(field, format!("is longer than {LONGEST} bytes")));
    }
    Ok(())
}

/// A directory to restore into: from `/` on, and not the state directory.
///
/// # Errors
/// 400 that names `dest_path`.
pub(super) fn destination(call: &Call, path: &Path) -> Result<(), ApiError> {
    check_destination(path).map_err(|fault| ApiError::field("dest_path", fault))?;
    if call.api.appliance.holds(path) {
        let path = path.display();
        let text = format!("{path} lies in the state directory of this daemon: restore to another place");
        return Err(ApiError::field("dest_path", text));
    }
    Ok(())
}

/// A short name: not empty, at most 200 bytes, no control characters.
///
/// # Errors
/// 400 that names the field.
pub(super) fn name(field: &str, text: &str) -> Result<(), ApiError> {
    super::drives::named(field, text)?;
    match text.len() {
        ..=200 => Ok(()),
        _ => Err(ApiError::field(field, "is longer than 200 bytes")),
    }
}

/// The window that a caller asks for: at most 1000 rows, 100 unless given.
pub(super) fn window(limit: Option<u32>, offset: Option<u32>) -> Result<(usize, usize), ApiError> {
    let limit = limit.unwrap_or(100);
    if !(1..=1000).contains(&limit) {
        return Err(ApiError::field("limit", "must be from 1 to 1000"));
    }
    Ok((limit as usize, offset.unwrap_or(0) as usize))
}
