//! Tools that every agent may want.

mod calculator;
mod clock;
mod files;
mod search;
mod todo;

pub use calculator::{calculate, calculator};
pub use clock::ClockOptions;
pub use files::FilesOptions;
pub use search::search;
pub use todo::{Todo, TodoList};
