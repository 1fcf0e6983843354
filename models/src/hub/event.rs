use corbie_core::Error;

/// What happens while a model is looked for, fetched and loaded.
#[derive(Debug)]
#[non_exhaustive]
pub enum HubEvent<'a> {
    /// A place is asked.
    Trying {
        /// The place, as a model's name.
        place: &'a str,
    },
    /// A place did not answer or has not got it; the next one is tried.
    Failed {
        /// The place.
        place: &'a str,
        /// Why.
        error: &'a Error,
    },
    /// Another process fetches the same thing now.
    Waiting {
        /// What it fetches.
        what: &'a str,
    },
    /// A file is being fetched.
    Progress {
        /// Its name.
        file: &'a str,
        /// Bytes that are here.
        done: u64,
        /// Bytes in all, where known.
        total: Option<u64>,
    },
    /// A transfer broke off and is taken up again.
    Retrying {
        /// The file's name.
        file: &'a str,
        /// Why it broke off.
        error: &'a Error,
    },
    /// A file is here and checked.
    Fetched {
        /// Its name.
        file: &'a str,
    },
    /// A model is being read into memory.
    Loading {
        /// Its name.
        model: &'a str,
        /// The share that is done, from 0 to 1.
        done: f32,
    },
    /// A model is in memory.
    Loaded {
        /// Its name.
        model: &'a str,
    },
}

/// Who is told of [`HubEvent`]s.
pub type Report<'a> = &'a (dyn Fn(HubEvent<'_>) + Send + Sync);

/// Tells nobody.
pub fn silent(_: HubEvent<'_>) {}
