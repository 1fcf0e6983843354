//! Tools that every agent may want.

mod calculator;
mod clock;
#[cfg(feature = "code")]
mod code;
#[cfg(feature = "fetch")]
mod fetch;
mod files;
mod search;
mod todo;

pub use calculator::{calculate, calculator};
pub use clock::ClockOptions;
#[cfg(feature = "code")]
pub use code::CodeOptions;
#[cfg(feature = "fetch")]
pub use fetch::{FetchOptions, Hosts, SystemHosts};
pub use files::FilesOptions;
pub use search::search;
pub use todo::{Todo, TodoList};
