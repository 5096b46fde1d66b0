//! What happens to every call, in this order: route, authenticate, count, authorise, read the body, record, run, answer.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::channel::Channel;
use http_body_util::{BodyExt, Either, Full, LengthLimitError, Limited};
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};

use super::Api;
use super::call::{Call, EVENT_STREAM, Reply, ReplyBody};
use super::endpoint::{Counted, Endpoint, Need, Surface};
use super::error::{ApiError, Code};
use super::memo::Memo;
use super::router::{Routed, Router};
use crate::access::{Class, Credential, Decision, Principal};

/// The body must be here within this time.
const BODY_TIME: Duration = Duration::from_secs(30);
/// Answers from this size on are compressed where the client takes it.
const WORTH_COMPRESSING: usize = 1024;
/// A request's own id may be this long.
const ID_LENGTH: usize = 64;

/// A body on its way out.
pub(super) type OutBody = Either<Full<Bytes>, Channel<Bytes, Infallible>>;

/// Who is at the other end of a connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer {
    /// Address; loopback for the Unix socket.
    pub address: IpAddr,
    /// The owner of the Unix socket, or root.
    pub is_owner: bool,
}

/// All that serving a call takes.
pub(super) struct Dispatch {
    api: Api,
    router: Router,
    memo: Memo,
    owner: Arc<Principal>,
}

/// A request after its head was judged.
struct Admitted<'d> {
    endpoint: &'d Endpoint,
    parameters: Vec<(String, String)>,
    principal: Option<Arc<Principal>>,
}

impl Dispatch {
    pub(super) fn new(api: Api, router: Router) -> Dispatch {
        Dispatch { api, router, memo: Memo::default(), owner: Arc::new(Principal::local()) }
    }

    /// Answers one request, whatever it is.
    pub(super) async fn answer<B>(self: &Arc<Self>, request: Request<B>, peer: Peer) -> Response<OutBody>
    where
        B: hyper::body::Body<Data = Bytes> + Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let id = request_id(request.headers());
        let origin = self.allowed_origin(request.headers());
        let zstd = takes_zstd(request.headers());
        let mut decision = None;
        let mut response = if let (Some(_), &Method::OPTIONS) = (&origin, request.method()) {
            preflight()
        } else {
            match self.process(request, peer, &id, &mut decision).await {
                Ok(reply) => self.respond(reply, zstd),
                Err((error, surface)) => refused(&error, surface, &id),
            }
        };
        let headers = response.headers_mut();
        if let Some(decision) = decision.filter(|decision| decision.limit > 0) {
            limit_headers(headers, &decision);
        }
        if let Some(origin) = origin {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            headers.append(header::VARY, HeaderValue::from_static("Origin"));
        }
        if let Ok(id) = HeaderValue::from_str(&id) {
            headers.insert(HeaderName::from_static("x-request-id"), id);
        }
        headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        response
    }

    async fn process<B>(
        self: &Arc<Self>,
        request: Request<B>,
        peer: Peer,
        id: &str,
        decision: &mut Option<Decision>,
    ) -> Result<Reply, (ApiError, Surface)>
    where
        B: hyper::body::Body<Data = Bytes> + Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let (head, body) = request.into_parts();
        let Admitted { endpoint, parameters, principal } = match self.admit(&head, peer, decision) {
            Ok(admitted) => admitted,
            Err(refused) => {
                self.drain(body).await;
                return Err(refused);
            }
        };
        let surface = endpoint.surface;
        let told = |error| (error, surface);
        let query = head.uri.query().unwrap_or_default().to_owned();
        let key =
            (endpoint.cached && head.method != Method::HEAD).then(|| format!("{}?{query}", head.uri.path()));
        let changes = self.api.catalog.changes();
        if let Some(kept) = key.as_deref().and_then(|key| self.memo.get(key, changes)) {
            return Ok(Reply {
                status: endpoint.answer.status,
                content_type: endpoint.answer.content_type,
                file_name: None,
                body: ReplyBody::Full(kept),
                resource: None,
            });
        }
        let body = self.collect(body).await.map_err(told)?;
        let call = Call {
            api: self.api.clone(),
            principal,
            address: peer.address,
            request_id: id.to_owned(),
            parameters,
            query,
            body,
            headers: head.headers,
        };
        let endpoint = endpoint.clone();
        let done = tokio::task::spawn_blocking(move || run(&endpoint, &call)).await;
        let reply = match done {
            Ok(result) => result.map_err(told)?,
            Err(panicked) => return Err((ApiError::internal(panicked), surface)),
        };
        if let (Some(key), ReplyBody::Full(bytes)) = (key, &reply.body) {
            self.memo.put(key, changes, bytes);
        }
        Ok(reply)
    }

    /// Everything that can be judged before the body is read.
    fn admit(
        &self,
        head: &hyper::http::request::Parts,
        peer: Peer,
        decision: &mut Option<Decision>,
    ) -> Result<Admitted<'_>, (ApiError, Surface)> {
        let path = head.uri.path();
        let (endpoint, parameters) = match self.router.route(&head.method, path) {
            Routed::To(endpoint, parameters) => (endpoint, parameters),
            Routed::OtherMethods(methods) => {
                let names: Vec<&str> = methods.iter().map(|method| method.as_str()).collect();
                let text = format!("{} does not take {}; it takes {}", path, head.method, names.join(", "));
                let error =
                    ApiError { field: Some(names.join(", ")), ..ApiError::new(Code::MethodNotAllowed, text) };
                return Err((error, surface_of(path)));
            }
            Routed::Nowhere => {
                let text = format!("{path}: nothing here; GET /api/v1/openapi.json lists what there is");
                return Err((ApiError::new(Code::NotFound, text), surface_of(path)));
            }
        };
        let told = |error| (error, endpoint.surface);
        let authenticated = self.authenticate(head, endpoint, peer);
        let principal = authenticated.as_ref().ok().and_then(Option::as_ref);
        let class = match endpoint.counted {
            Counted::Authentication => Some(Class::Auth),
            Counted::Read => Some(Class::Read),
            Counted::Write => Some(Class::Write),
            Counted::Not => None,
        };
        if let (Some(class), false) = (class, peer.is_owner) {
            let judged = self.api.limits.check(class, principal.map(AsRef::as_ref), peer.address);
            *decision = Some(judged);
            if !judged.allowed {
                let now = jiff::Timestamp::now().as_second();
                let wait = u64::try_from(judged.reset_unix - now).unwrap_or(0).max(1);
                let text = format!("too many requests; try again in {wait} s");
                let error = ApiError { retry_after: Some(wait), ..ApiError::new(Code::RateLimited, text) };
                return Err(told(error));
            }
        }
        let principal = match endpoint.need {
            // A credential that is no good does not keep anybody from what is open to all.
            Need::Nobody => authenticated.ok().flatten(),
            Need::SignedIn | Need::Level(..) => {
                Some(authenticated.map_err(told)?.ok_or_else(|| told(ApiError::unauthorized()))?)
            }
        };
        if let (Need::Level(resource, level), Some(principal)) = (endpoint.need, &principal)
            && !principal.may(resource, level)
        {
            let text = format!(
                "{} may not do this: it needs {} on {}, and the role {} does not have it",
                principal.name,
                level.as_str(),
                resource.as_str(),
                principal.role
            );
            return Err(told(ApiError::new(Code::Forbidden, text)));
        }
        Ok(Admitted { endpoint, parameters, principal })
    }

    /// Who calls; `None` without any credential.
    fn authenticate(
        &self,
        head: &hyper::http::request::Parts,
        endpoint: &Endpoint,
        peer: Peer,
    ) -> Result<Option<Arc<Principal>>, ApiError> {
        if peer.is_owner {
            return Ok(Some(self.owner.clone()));
        }
        let text = |name: HeaderName| head.headers.get(name).map(|value| value.to_str().unwrap_or_default());
        let bearer = text(header::AUTHORIZATION).map(|value| match value.split_once(' ') {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim(),
            _ => "",
        });
        let credentials: Vec<Credential<'_>> = [
            text(HeaderName::from_static("x-api-key")).map(|key| Credential::ApiKey(key.trim())),
            bearer.map(Credential::Bearer),
        ]
        .into_iter()
        .flatten()
        .collect();
        // Where both are sent, both must be good; the key is who calls.
        let mut caller = None;
        for credential in &credentials {
            let principal = self.api.access.authenticate(credential, peer.address)?;
            caller.get_or_insert(Arc::new(principal));
        }
        // URLs end up in logs and histories: a ticket opens a stream and nothing else.
        match credentials.is_empty() && endpoint.answer.content_type == EVENT_STREAM {
            true => self.by_ticket(head),
            false => Ok(caller),
        }
    }

    /// Event streams of browsers cannot send headers: a ticket, good once, stands in the query.
    fn by_ticket(&self, head: &hyper::http::request::Parts) -> Result<Option<Arc<Principal>>, ApiError> {
        let query = head.uri.query().unwrap_or_default();
        let ticket = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "ticket");
        match ticket {
            Some((_, ticket)) => Ok(Some(Arc::new(self.api.access.redeem_ticket(&ticket)?))),
            None => Ok(None),
        }
    }

    async fn collect<B>(&self, body: B) -> Result<Bytes, ApiError>
    where
        B: hyper::body::Body<Data = Bytes> + Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let limit = self.api.config.api.body_limit;
        let body = std::pin::pin!(Limited::new(body, limit));
        match tokio::time::timeout(BODY_TIME, body.collect()).await {
            Ok(Ok(collected)) => Ok(collected.to_bytes()),
            Ok(Err(error)) if error.downcast_ref::<LengthLimitError>().is_some() => Err(ApiError::new(
                Code::TooLarge,
                format!("the body is larger than {limit} bytes, which is all that is taken"),
            )),
            Ok(Err(error)) => {
                Err(ApiError::new(Code::ValidationError, format!("the body did not arrive whole: {error}")))
            }
            Err(_) => Err(ApiError::new(
                Code::RequestTimeout,
                format!("the body did not arrive within {} s", BODY_TIME.as_secs()),
            )),
        }
    }

    /// Reads a small body of a refused request, so that the client sees the answer and the connection goes on.
    async fn drain<B>(&self, body: B)
    where
        B: hyper::body::Body<Data = Bytes> + Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let body = std::pin::pin!(Limited::new(body, 64 << 10));
        let _ = tokio::time::timeout(Duration::from_secs(2), body.collect()).await;
    }

    fn allowed_origin(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        let origin = headers.get(header::ORIGIN)?;
        let listed =
            self.api.config.api.cors_origins.iter().any(|allowed| allowed.as_bytes() == origin.as_bytes());
        listed.then(|| origin.clone())
    }

    fn respond(&self, reply: Reply, zstd: bool) -> Response<OutBody> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(reply.content_type));
        if let Some(name) = &reply.file_name
            && let Ok(value) =
                HeaderValue::from_str(&format!("attachment; filename=\"{}\"", name.replace('"', "")))
        {
            headers.insert(header::CONTENT_DISPOSITION, value);
        }
        let body = match reply.body {
            ReplyBody::Full(bytes) => {
                let mut bytes = bytes;
                if bytes.len() >= WORTH_COMPRESSING {
                    headers.append(header::VARY, HeaderValue::from_static("Accept-Encoding"));
                    if zstd && let Ok(small) = zstd::bulk::compress(&bytes, 1) {
                        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("zstd"));
                        bytes = small.into();
                    }
                }
                Either::Left(Full::new(bytes))
            }
            ReplyBody::Stream(pieces) => Either::Right(self.stream(pieces)),
        };
        let mut response = Response::new(body);
        *response.status_mut() = reply.status;
        *response.headers_mut() = headers;
        response
    }

    /// Passes pieces on until their sender, the client or the daemon ends.
    fn stream(&self, mut pieces: tokio::sync::mpsc::Receiver<Bytes>) -> Channel<Bytes, Infallible> {
        let (mut sender, body) = Channel::new(1);
        let mut control = self.api.control.watch();
        tokio::spawn(async move {
            loop {
                let piece = tokio::select! {
                    piece = pieces.recv() => piece,
                    _ = control.changed() => None,
                };
                let Some(piece) = piece else { return };
                if sender.send_data(piece).await.is_err() {
                    return;
                }
            }
        });
        body
    }
}

/// Runs a handler, with its row in the audit log.
fn run(endpoint: &Endpoint, call: &Call) -> Result<Reply, ApiError> {
    let _long = match endpoint.long {
        true => Some(call.api.long.enter().ok_or_else(|| {
            let text = "as many backups and restores as are allowed are running; wait for one to end";
            ApiError { retry_after: Some(60), ..ApiError::new(Code::Unavailable, text) }
        })?),
        false => None,
    };
    let recorded = match endpoint.audited {
        true => Some(super::audit::begin(endpoint, call)?),
        false => None,
    };
    let result = (endpoint.run)(call);
    if let Some(recorded) = recorded {
        super::audit::finish(call, recorded, &result);
    }
    result
}

/// The document a path belongs to, where no endpoint tells.
fn surface_of(_path: &str) -> Surface {
    Surface::Tape
}

fn refused(error: &ApiError, surface: Surface, id: &str) -> Response<OutBody> {
    let status = error.code.status();
    if let Some(cause) = &error.cause {
        tracing::error!(request = id, code = error.code.as_str(), cause = %crate::engine::chain(cause.as_ref()), "a call failed");
    }
    let mut body = error.envelope(surface);
    let allow = (error.code == Code::MethodNotAllowed).then(|| error.field.clone()).flatten();
    if allow.is_some()
        && let Some(inner) = body.get_mut("error").and_then(|inner| inner.as_object_mut())
    {
        inner.remove("field");
    }
    let mut response = Response::new(Either::Left(Full::new(body.to_string().into())));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(allow) = allow.and_then(|allow| HeaderValue::from_str(&allow).ok()) {
        headers.insert(header::ALLOW, allow);
    }
    if let Some(seconds) = error.retry_after {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    if status == StatusCode::UNAUTHORIZED {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"reelward\""));
    }
    response
}

fn preflight() -> Response<OutBody> {
    let mut response = Response::new(Either::Left(Full::default()));
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    for (name, value) in [
        (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, PUT, DELETE"),
        (
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            "Authorization, Content-Type, Last-Event-ID, X-API-Key, X-Request-Id",
        ),
        (header::ACCESS_CONTROL_MAX_AGE, "600"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

fn limit_headers(headers: &mut HeaderMap, decision: &Decision) {
    for (name, value) in [
        ("x-ratelimit-limit", i64::from(decision.limit)),
        ("x-ratelimit-remaining", i64::from(decision.remaining)),
        ("x-ratelimit-reset", decision.reset_unix),
    ] {
        headers.insert(HeaderName::from_static(name), HeaderValue::from(value));
    }
}

/// The client's own id where it is harmless, else a new one.
fn request_id(headers: &HeaderMap) -> String {
    let given = headers.get("x-request-id").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let harmless = given.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    if !given.is_empty() && given.len() <= ID_LENGTH && harmless {
        return given.to_owned();
    }
    crate::engine::new_uuid()
}

fn takes_zstd(headers: &HeaderMap) -> bool {
    let accepted =
        headers.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
    accepted.split(',').any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        let refused =
            |quality: &str| quality.strip_prefix("q=").and_then(|q| q.parse().ok()) == Some(0.0_f32);
        parts.next().is_some_and(|name| name.eq_ignore_ascii_case("zstd")) && !parts.any(refused)
    })
}
