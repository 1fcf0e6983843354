//! Keeping a decoder's panic and its deep recursion to itself.

use corbie_core::{Error, ErrorKind, Result};

use crate::blocking::panic_message;

/// Decoders recurse along a document's nesting. Address space only: untouched pages cost nothing.
const STACK_BYTES: usize = 256 << 20;

/// Runs `work` on a thread with a large stack; its panic becomes an error about `source`.
pub(crate) fn guarded<T: Send>(source: &str, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .name("parser".to_owned())
            .stack_size(STACK_BYTES)
            .spawn_scoped(scope, work)
            .map_err(|error| Error::io("the parser's thread", error))?;
        thread.join().unwrap_or_else(|payload| {
            let cause = format!("the parser gave up: {}", panic_message(payload.as_ref()));
            Err(Error::new(ErrorKind::Malformed, source, cause)
                .hint("the file is probably damaged"))
        })
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_panic_is_an_error_that_names_the_source() {
        let error = guarded::<()>("a.pdf", || panic!("no such object")).unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Malformed);
        assert!(error.to_string().starts_with("a.pdf: "));
        assert!(error.to_string().contains("no such object"));
        assert_eq!(guarded("b.pdf", || Ok(1)).unwrap(), 1);
    }
}
