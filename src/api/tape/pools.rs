//! Pools of tapes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::fields::{name, nullable, prose};
use crate::access::Resource;
use crate::api::call::{Call, Created, Json, Made, Status};
use crate::api::endpoint::{Endpoint, delete, get, post, put};
use crate::api::error::{ApiError, Code};
use crate::api::work::{now, time};
use crate::catalog::{NewPool, Pool, PoolId};

pub(super) fn endpoints() -> Vec<Endpoint> {
    const P: Resource = Resource::Pools;
    vec![
        get("/api/v1/pools", "pools.list", "List pools").needs(P).cached().answers(list),
        post("/api/v1/pools", "pools.create", "Add a pool").needs(P).error(Code::Conflict).takes(create),
        get("/api/v1/pools/{id}", "pools.get", "One pool").needs(P).cached().answers(one),
        put("/api/v1/pools/{id}", "pools.update", "Change a pool; a new name is that of its tapes too")
            .needs(P)
            .error(Code::Conflict)
            .takes(update),
        delete("/api/v1/pools/{id}", "pools.delete", "Forget a pool that no tape and no job uses")
            .needs(P)
            .error(Code::Conflict)
            .answers(remove),
    ]
}

/// A pool.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Pool")]
struct PoolBody {
    id: i64,
    name: String,
    description: String,
    /// Days after which a backup set in it expires; never when null.
    retention_days: Option<u32>,
    /// Tapes in it.
    tape_count: u64,
    created_at: String,
    updated_at: String,
}

#[derive(Debug, Serialize, JsonSchema)]
struct PoolList {
    pools: Vec<PoolBody>,
}

fn body(call: &Call, pool: Pool) -> Result<PoolBody, ApiError> {
    Ok(PoolBody {
        id: pool.id.0,
        tape_count: call.api.catalog.tape_count(&pool.name)?,
        name: pool.name,
        description: pool.description,
        retention_days: pool.retention_days,
        created_at: time(pool.created),
        updated_at: time(pool.updated),
    })
}

fn list(call: &Call) -> Result<Json<PoolList>, ApiError> {
    let pools = call.api.catalog.pools()?.into_iter().map(|pool| body(call, pool));
    Ok(Json(PoolList { pools: pools.collect::<Result<_, _>>()? }))
}

fn pool(call: &Call) -> Result<Pool, ApiError> {
    Ok(call.api.catalog.pool(PoolId(call.id("id")?))?)
}

fn one(call: &Call) -> Result<Json<PoolBody>, ApiError> {
    Ok(Json(body(call, pool(call)?)?))
}

/// A pool to add.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NewPoolBody {
    #[schemars(length(min = 1, max = 200))]
    name: String,
    description: Option<String>,
    /// Days; never when left out, null or 0.
    retention_days: Option<u32>,
}

/// 0 means never, as null does.
fn days(given: Option<u32>) -> Result<Option<u32>, ApiError> {
    match given {
        Some(36_501..) => {
            Err(ApiError::field("retention_days", "is more than 100 years; null keeps for ever"))
        }
        given => Ok(given.filter(|days| *days > 0)),
    }
}

fn create(call: &Call, new: NewPoolBody) -> Result<Made<Created<PoolBody>>, ApiError> {
    name("name", &new.name)?;
    prose("description", new.description.as_deref().unwrap_or_default())?;
    let id = call.api.catalog.add_pool(&NewPool {
        name: new.name,
        description: new.description.unwrap_or_default(),
        retention_days: days(new.retention_days)?,
        created: now(),
    })?;
    Ok(Made(id.0, Created(body(call, call.api.catalog.pool(id)?)?)))
}

/// What may be changed about a pool; what is left out stays.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PoolChange {
    #[schemars(length(min = 1, max = 200))]
    name: Option<String>,
    description: Option<String>,
    /// Days; never when null or 0.
    #[serde(default, deserialize_with = "nullable")]
    #[schemars(with = "Option<u32>")]
    retention_days: Option<Option<u32>>,
}

fn update(call: &Call, change: PoolChange) -> Result<Json<PoolBody>, ApiError> {
    let known = pool(call)?;
    let changed = Pool {
        name: change.name.unwrap_or_else(|| known.name.clone()),
        description: change.description.unwrap_or_else(|| known.description.clone()),
        retention_days: change.retention_days.map_or(Ok(known.retention_days), days)?,
        updated: now(),
        ..known
    };
    name("name", &changed.name)?;
    prose("description", &changed.description)?;
    call.api.catalog.update_pool(&changed)?;
    Ok(Json(body(call, changed)?))
}

fn remove(call: &Call) -> Result<Json<Status>, ApiError> {
    call.api.catalog.remove_pool(pool(call)?.id)?;
    Ok(Status::ok("deleted"))
}
