//! What time it is.

use std::time::SystemTime;

/// Tells the time. What depends on the time takes one, so that tests can turn its hands.
///
/// ```
/// use corbie_core::{Clock, SystemClock};
///
/// let past = std::time::SystemTime::UNIX_EPOCH;
/// assert!(SystemClock.now() > past);
/// ```
pub trait Clock: Send + Sync {
    /// The time now.
    fn now(&self) -> SystemTime;
}

/// The clock of the operating system.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }
}
