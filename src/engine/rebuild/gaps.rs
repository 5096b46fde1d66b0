//! Which parts of the sets met are still missing.

use std::collections::BTreeMap;

use crate::catalog::Catalog;
use crate::engine::EngineError;
use crate::format::v1::index::SetDescription;

/// A part whose index was met, with a key or without.
struct Part {
    last: bool,
    volume: String,
    previous: Option<String>,
}

/// Parts met, by set and number.
#[derive(Default)]
pub(super) struct Seen(BTreeMap<String, BTreeMap<u32, Part>>);

impl Seen {
    pub(super) fn add(&mut self, description: &SetDescription) {
        let part = Part {
            last: description.last,
            volume: description.volume.clone(),
            previous: description.previous.clone(),
        };
        self.0.entry(description.set.clone()).or_default().insert(description.part, part);
    }

    /// A set of which a part without an index was met.
    pub(super) fn add_set(&mut self, set: &str) {
        self.0.entry(set.to_owned()).or_default();
    }

    pub(super) fn sets(&self) -> u64 {
        self.0.len() as u64
    }

    /// One line for each part that is missing between others or behind the last.
    pub(super) fn gaps(&self, catalog: &Catalog) -> Result<Vec<String>, EngineError> {
        let label = |uuid: &str| -> Result<String, EngineError> {
            Ok(catalog
                .volume_by_uuid(uuid)?
                .map_or_else(|| format!("the volume {uuid}"), |volume| volume.label))
        };
        let mut lines = Vec::new();
        for (set, seen) in &self.0 {
            let mut numbers: Vec<u32> = seen.keys().copied().collect();
            if let Some(known) = catalog.set_by_uuid(set)? {
                numbers.extend(catalog.parts_of(known.id)?.iter().map(|part| part.number));
            }
            numbers.sort_unstable();
            numbers.dedup();
            let Some(&highest) = numbers.last() else { continue };
            for missing in (1..highest).filter(|number| numbers.binary_search(number).is_err()) {
                let place = match seen.get(&(missing + 1)).and_then(|next| next.previous.as_deref()) {
                    Some(uuid) => format!("it lies on {}", label(uuid)?),
                    None => "its volume is not known".to_owned(),
                };
                lines.push(format!("set {set}: part {missing} is missing; {place}"));
            }
            if let Some(end) = seen.get(&highest)
                && !end.last
            {
                lines.push(format!(
                    "set {set}: part {} is missing; it lies on the volume that was written after {}",
                    highest + 1,
                    label(&end.volume)?
                ));
            }
        }
        Ok(lines)
    }
}
