//! Long work: the queue, its workers, schedules, events.
