//! Running synchronous work beside asynchronous callers.

use corbie_core::{Error, ErrorKind, Result};

/// Runs `work` where it may block: on tokio's blocking threads, or here where no runtime is.
pub(crate) async fn blocking<T: Send + 'static>(
    subject: &str,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let Ok(runtime) = tokio::runtime::Handle::try_current() else {
        return work();
    };
    match runtime.spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) if error.is_panic() => {
            let cause = panic_message(error.into_panic().as_ref());
            Err(Error::new(ErrorKind::Internal, subject, cause))
        }
        Err(error) => Err(Error::new(ErrorKind::Cancelled, subject, error)),
    }
}

/// The words of a panic, as far as it has some.
pub(crate) fn panic_message(payload: &(dyn std::any::Any + Send)) -> String {
    let words = payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned());
    words.unwrap_or_else(|| "a panic without words".to_owned())
}
