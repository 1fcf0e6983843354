//! Names that stay below a folder.

/// Whether each component of a path written with `/` is an ordinary name: not empty, not `.` or
/// `..`, without NUL. Such a path can leave the folder that it is looked up in through symbolic
/// links only, so whoever opens it follows none.
///
/// ```
/// use corbie_core::is_plain_path;
///
/// assert!(is_plain_path("notes/三月.md"));
/// for name in ["../notes", "/etc/passwd", "notes//a", "", "a\0"] {
///     assert!(!is_plain_path(name));
/// }
/// ```
pub fn is_plain_path(path: &str) -> bool {
    path.split('/')
        .all(|part| !matches!(part, "" | "." | "..") && !part.contains('\0'))
}
