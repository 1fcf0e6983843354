use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use crate::Clock;

/// A clock that stands still until it is moved.
///
/// ```
/// use std::time::Duration;
///
/// use corbie_core::{Clock, testing::FakeClock};
///
/// let clock = FakeClock::at(1_700_000_000);
/// let before = clock.now();
/// clock.advance(Duration::from_secs(60));
/// assert_eq!(clock.now(), before + Duration::from_secs(60));
/// ```
#[derive(Debug)]
pub struct FakeClock(Mutex<SystemTime>);

impl FakeClock {
    /// A clock that stands so many seconds after the beginning of 1970, UTC.
    pub fn at(seconds: u64) -> Self {
        Self(Mutex::new(
            SystemTime::UNIX_EPOCH + Duration::from_secs(seconds),
        ))
    }

    /// Moves it on.
    pub fn advance(&self, by: Duration) {
        *self.0.lock().unwrap() += by;
    }
}

impl Clock for FakeClock {
    fn now(&self) -> SystemTime {
        *self.0.lock().unwrap()
    }
}
