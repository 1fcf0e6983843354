//! Where bytes come from: a folder, a file, or several of both.

mod folder;
mod open;
mod several;

pub use folder::{FolderOptions, FolderSource};
pub use several::Sources;
