//! What happened: a list, and a stream that can be taken up again.

use std::time::Duration;

use bytes::Bytes;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::access::{Level, Resource};
use crate::api::call::{Call, Created, EventStream, Json};
use crate::api::endpoint::{Counted, Endpoint, get, post};
use crate::api::error::ApiError;
use crate::api::work::time;
use crate::catalog::EventId;
use crate::tasks::{Event, KEPT, QUEUE};

/// A comment is sent this often, so that nothing between here and the client takes the stream for dead.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// How often it is looked at whether whoever listens still may.
const LOOK: Duration = Duration::from_secs(1);
/// Milliseconds after which a client that was cut off comes again.
const RETRY: u32 = 3000;

pub(super) fn endpoints() -> Vec<Endpoint> {
    const E: Resource = Resource::Events;
    vec![
        get("/api/v1/events", "events.list", "What happened, the newest first").needs(E).asks(list),
        get("/api/v1/events/stream", "events.stream", "What happens, as server-sent events")
            .needs(E)
            .counted(Counted::Not)
            .asks(stream),
        post(
            "/api/v1/events/ticket",
            "events.ticket",
            "A ticket, good once, for a stream that cannot send headers",
        )
        .needs_level(E, Level::Read)
        .unaudited()
        .answers(ticket),
    ]
}

/// An event.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Event")]
struct EventBody {
    /// Rises; null for progress, which is told but not kept.
    id: Option<i64>,
    /// `job.completed`, `task.progress`, ...
    #[serde(rename = "type")]
    kind: String,
    /// `info`, `warning` or `error`.
    severity: &'static str,
    message: String,
    timestamp: String,
    task_id: Option<i64>,
    job_id: Option<i64>,
    tape_id: Option<i64>,
    drive_id: Option<i64>,
    /// What belongs to this type.
    data: serde_json::Value,
}

fn body(event: &Event) -> EventBody {
    let what = &event.what;
    EventBody {
        id: event.id.map(|id| id.0),
        kind: what.kind.clone(),
        severity: what.severity.as_str(),
        message: what.message.clone(),
        timestamp: time(what.time),
        task_id: what.task.map(|task| task.0),
        job_id: what.job,
        tape_id: what.volume.map(|volume| volume.0),
        drive_id: what.drive,
        data: what.data.clone(),
    }
}

/// Which events.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    /// At most this many, 100 unless told otherwise, 1000 at most.
    limit: Option<u32>,
    /// Only those with a smaller id.
    before: Option<i64>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct EventList {
    events: Vec<EventBody>,
}

fn list(call: &Call, query: ListQuery) -> Result<Json<EventList>, ApiError> {
    let limit = query.limit.unwrap_or(100).clamp(1, 1000);
    let events = call.api.tasks.events().newest(limit, query.before.map(EventId))?;
    Ok(Json(EventList { events: events.iter().map(body).collect() }))
}

/// A ticket.
#[derive(Debug, Serialize, JsonSchema)]
struct Ticket {
    /// To be sent as `?ticket=`; good once, for half a minute.
    ticket: String,
}

fn ticket(call: &Call) -> Result<Created<Ticket>, ApiError> {
    Ok(Created(Ticket { ticket: call.api.access.issue_ticket(call.principal()?)? }))
}

/// Where to begin.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct StreamQuery {
    /// Go on behind this event; the header `Last-Event-ID` goes before it. Without both: from now on.
    last_event_id: Option<i64>,
    /// From `POST /api/v1/events/ticket`, instead of a header.
    #[allow(dead_code, reason = "read before the call gets here")]
    ticket: Option<String>,
}

/// One event on the wire.
fn piece(event: &Event) -> Bytes {
    // JSON text has no line breaks of its own.
    let json = serde_json::to_string(&body(event)).unwrap_or_default();
    let id = event.id.map(|id| format!("id: {id}\n")).unwrap_or_default();
    format!("{id}event: {}\ndata: {json}\n\n", event.what.kind).into()
}

fn stream(call: &Call, query: StreamQuery) -> Result<EventStream, ApiError> {
    let header = call.headers.get("last-event-id").map(|value| {
        let text = value.to_str().unwrap_or_default().trim();
        text.parse::<i64>().map_err(|_| ApiError::field("Last-Event-ID", format!("{text:?} is not a number")))
    });
    let last = header.transpose()?.or(query.last_event_id);
    // Room for all that is kept, and for what a slow client may have waiting.
    let (sender, receiver) = mpsc::channel::<Bytes>(KEPT as usize + QUEUE);
    let hello = Bytes::from(format!("retry: {RETRY}\n\n"));
    sender.try_send(hello).map_err(ApiError::internal)?;
    let alive = sender.downgrade();
    let (access, principal) = (call.api.access.clone(), call.principal()?.clone());
    let events = call.api.tasks.events();
    let callback: crate::tasks::Callback = Box::new(move |event| sender.try_send(piece(event)).is_ok());
    let subscribed = match last {
        Some(last) => events.follow_with(EventId(last), callback)?,
        None => events.subscribe_with(callback),
    };
    // The subscription lives as long as the client listens. It holds the only sender: one that is too slow sees its stream
    // end, and comes again with the last id it saw.
    tokio::runtime::Handle::current().spawn(async move {
        let _subscribed = subscribed;
        let mut silent = Duration::ZERO;
        loop {
            tokio::time::sleep(LOOK).await;
            let Some(sender) = alive.upgrade() else { return };
            // Whoever is not known any more, or may not look any more, hears no more.
            if !access.still(&principal).is_ok_and(|now| now.may(Resource::Events, Level::Read)) {
                return;
            }
            silent += LOOK;
            if sender.is_closed() {
                return;
            }
            if silent >= KEEP_ALIVE {
                silent = Duration::ZERO;
                if sender.try_send(Bytes::from_static(b": keep-alive\n\n")).is_err() {
                    return;
                }
            }
        }
    });
    Ok(EventStream(receiver))
}
