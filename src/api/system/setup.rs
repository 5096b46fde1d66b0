//! The first start: the first admin is made by whoever has the set-up token.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::api::call::{Call, Created, Json, Made};
use crate::api::endpoint::{Counted, Endpoint, get, post};
use crate::api::error::{ApiError, Code};
use crate::api::tape::UserBody;

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        get("/api/v1/setup", "setup.state", "Whether the first admin has to be made")
            .public()
            .counted(Counted::Authentication)
            .answers(state),
        post("/api/v1/setup", "setup.complete", "Make the first admin, with the token of the first start")
            .public()
            .counted(Counted::Authentication)
            .error(Code::Forbidden)
            .error(Code::Conflict)
            .error(Code::RateLimited)
            .takes(complete),
    ]
}

/// Whether there is somebody who can sign in.
#[derive(Debug, Serialize, JsonSchema)]
struct SetupState {
    /// The token stands in the journal and in the file `setup-token` of the state directory.
    needed: bool,
}

fn state(call: &Call) -> Result<Json<SetupState>, ApiError> {
    Ok(Json(SetupState { needed: call.api.access.setup_token()?.is_some() }))
}

/// The first admin.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Setup {
    /// Of the first start; dashes and case do not matter.
    token: String,
    /// Letters, digits and `. _ - @ +`.
    #[schemars(length(min = 1, max = 64))]
    username: String,
    #[schemars(length(min = 8, max = 1024))]
    password: String,
}

fn complete(call: &Call, body: Setup) -> Result<Made<Created<UserBody>>, ApiError> {
    let (token, password) = (Zeroizing::new(body.token), Zeroizing::new(body.password));
    let user = call.api.access.complete_setup(&token, &body.username, &password, call.address)?;
    Ok(Made(user.id, Created(user.into())))
}
