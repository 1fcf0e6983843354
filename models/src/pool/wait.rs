//! Waiting for a model, under any executor.

use std::pin::pin;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Instant;

use corbie_core::{ErrorKind, Result};
use futures::StreamExt;
use futures::channel::oneshot;
use futures::future::{Either, select};

use super::shared::{Asked, Key, Pinned, Shared, Step, error, overloaded};
use crate::hub::{HubEvent, Report};

/// A place in line, given back when it is dropped.
struct Ticket<'a> {
    shared: &'a Shared,
    number: u64,
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        self.shared.leave(self.number);
    }
}

/// The model, for as long as what comes back lives: loaded where it is not here, and waited for
/// until `deadline` at most. Loading goes on when the future is dropped.
///
/// # Errors
///
/// Those of loading; [`LimitExceeded`](ErrorKind::LimitExceeded) for a model that never fits, and
/// when the deadline passes; [`Overloaded`](ErrorKind::Overloaded) when no room could be made.
pub(super) async fn pinned(
    shared: &Arc<Shared>,
    key: &Key,
    deadline: Option<Instant>,
    report: Report<'_>,
) -> Result<Pinned> {
    let patience = Instant::now().checked_add(shared.options.patience);
    let mut ticket: Option<Ticket<'_>> = None;
    loop {
        match shared.ask(key, ticket.as_ref().map(|ticket| ticket.number))? {
            Asked::Here(model) => return Ok(model),
            Asked::InLine(number, woken) => {
                if ticket.is_none() {
                    ticket = Some(Ticket { shared, number });
                }
                let until = [deadline, patience].into_iter().flatten().min();
                if before(until, woken).await?.is_none() {
                    return Err(overloaded(key, shared.waiting()));
                }
            }
            Asked::Loading(mut steps) => {
                drop(ticket);
                loop {
                    match before(deadline, steps.next()).await? {
                        Some(Some(Step::Progress(done))) => report(HubEvent::Loading {
                            model: &key.name,
                            done,
                        }),
                        Some(Some(Step::Done(result))) => {
                            if result.is_ok() {
                                report(HubEvent::Loaded { model: &key.name });
                            }
                            return result;
                        }
                        Some(None) => {
                            return Err(error(ErrorKind::Internal, key, "loading it was given up"));
                        }
                        None => {
                            let cause = "loading it took longer than the request allows";
                            return Err(error(ErrorKind::LimitExceeded, key, cause)
                                .hint("allow more time, or warm the model up before"));
                        }
                    }
                }
            }
        }
    }
}

/// What `future` gives before `deadline`, or `None`.
async fn before<T>(
    deadline: Option<Instant>,
    future: impl Future<Output = T>,
) -> Result<Option<T>> {
    let Some(deadline) = deadline else {
        return Ok(Some(future.await));
    };
    let (ring, alarm) = oneshot::channel();
    // Dropped when the waiting ends, which ends the thread.
    let (_waiting, ended) = mpsc::channel::<()>();
    let sleep = move || {
        let time = deadline.saturating_duration_since(Instant::now());
        if ended.recv_timeout(time) == Err(mpsc::RecvTimeoutError::Timeout) {
            // Nobody may wait any more.
            let _ = ring.send(());
        }
    };
    std::thread::Builder::new()
        .name("corbie-alarm".into())
        .spawn(sleep)
        .map_err(|error| corbie_core::Error::io("waiting for a model", error))?;
    Ok(match select(pin!(future), alarm).await {
        Either::Left((value, _)) => Some(value),
        Either::Right(_) => None,
    })
}
