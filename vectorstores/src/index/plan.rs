//! What an ingest has to do: the ledger, the store and the source compared.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use corbie_core::{Item, Listing, Skipped};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::ledger::Row;
use super::report::Outcome;

/// What becomes of documents that are known when a source is brought in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cleanup {
    /// Nothing is replaced or deleted: only what is new is added.
    None,
    /// Changed documents are replaced, vanished ones stay: for sources that list a part.
    Incremental,
    /// Changed documents are replaced; those of this root that have vanished are deleted.
    #[default]
    Scoped,
    /// The collection becomes what the source lists: documents of other roots are deleted too.
    Full,
}

/// What is to be done, in order.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Plan {
    /// Sources whose chunks go.
    pub forget: Vec<String>,
    /// Documents to write.
    pub work: Vec<Work>,
    /// Sources of which nothing needs to be done.
    pub unchanged: Vec<String>,
    /// Files that cannot be taken in.
    pub failed: Vec<Skipped>,
    /// Points in the store that the ledger knows nothing of: left by an ingest that was
    /// interrupted between writing and recording.
    pub orphans: HashSet<Uuid>,
}

/// One document to write.
#[derive(Debug, PartialEq)]
pub(crate) enum Work {
    /// Read and parse the item.
    Read(Item, Outcome),
    /// Cut the text that the ledger keeps; the file is not needed.
    Recut(String, Outcome),
}

impl Work {
    pub(crate) fn source(&self) -> &str {
        match self {
            Self::Read(item, _) => &item.source,
            Self::Recut(source, _) => source,
        }
    }

    pub(crate) fn outcome(&self) -> Outcome {
        match self {
            Self::Read(_, outcome) | Self::Recut(_, outcome) => *outcome,
        }
    }
}

/// Plans the ingest of `listing` from `root` into a collection that knows `rows` and whose store
/// holds the points `present`.
pub(crate) fn plan(
    rows: &HashMap<String, Row>,
    present: &HashSet<Uuid>,
    listing: Listing,
    root: &str,
    recipe: &str,
    cleanup: Cleanup,
) -> Plan {
    let known: HashSet<Uuid> = rows.values().flat_map(|row| &row.chunks).copied().collect();
    let mut plan = Plan {
        orphans: present.difference(&known).copied().collect(),
        ..Plan::default()
    };
    let mut listed: HashSet<String> = HashSet::new();
    let mut unreadable: Vec<String> = Vec::new();
    for skipped in listing.skipped {
        listed.insert(skipped.source.clone());
        unreadable.push(format!("{}/", skipped.source.trim_end_matches('/')));
        plan.failed.push(skipped);
    }
    for item in listing.items {
        listed.insert(item.source.clone());
        match rows.get(&item.source) {
            None => plan.work.push(Work::Read(item, Outcome::Added)),
            Some(row) if row.root != root && cleanup != Cleanup::Full && belongs_elsewhere(row) => {
                plan.failed.push(Skipped {
                    reason: format!(
                        "the collection has a file of this name from {} \
                         (ingest a folder that holds both)",
                        row.root
                    ),
                    source: item.source,
                });
            }
            Some(row)
                if cleanup != Cleanup::None
                    && (row.fingerprint != item.fingerprint || row.root != root) =>
            {
                plan.work.push(Work::Read(item, Outcome::Updated));
            }
            Some(row) => match mend(row, present, recipe) {
                Some(outcome) => plan.work.push(Work::Recut(item.source, outcome)),
                None => plan.unchanged.push(item.source),
            },
        }
    }
    for (source, row) in rows {
        if listed.contains(source) {
            continue;
        }
        let vanished = match cleanup {
            Cleanup::None | Cleanup::Incremental => false,
            Cleanup::Scoped => row.root == root,
            Cleanup::Full => true,
        };
        // What lies in a folder that could not be read has not vanished.
        let hidden = unreadable.iter().any(|folder| source.starts_with(folder));
        if vanished && !hidden {
            plan.forget.push(source.clone());
        } else if let Some(outcome) = mend(row, present, recipe) {
            plan.work.push(Work::Recut(source.clone(), outcome));
        }
    }
    plan.forget.sort_unstable();
    plan.work.sort_by(|a, b| a.source().cmp(b.source()));
    plan
}

/// What an unchanged document needs, if anything.
fn mend(row: &Row, present: &HashSet<Uuid>, recipe: &str) -> Option<Outcome> {
    if row.recipe != recipe {
        return Some(Outcome::Updated);
    }
    let lost = row.chunks.iter().any(|id| !present.contains(id));
    lost.then_some(Outcome::Restored)
}

/// A folder that is no longer there gives its names up: it was moved or renamed.
fn belongs_elsewhere(row: &Row) -> bool {
    row.root.contains("://") || Path::new(&row.root).exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(source: &str, fingerprint: &str) -> Item {
        Item {
            source: source.into(),
            fingerprint: fingerprint.into(),
        }
    }

    fn row(root: &str, fingerprint: &str, chunk: u128) -> Row {
        Row {
            root: root.into(),
            fingerprint: fingerprint.into(),
            recipe: "r".into(),
            chunks: vec![Uuid::from_u128(chunk)],
        }
    }

    #[test]
    fn each_file_gets_what_it_needs() {
        let here = std::env::temp_dir().display().to_string();
        let rows: HashMap<String, Row> = [
            ("same", row("/a", "1", 1)),
            ("changed", row("/a", "1", 2)),
            ("gone", row("/a", "1", 3)),
            ("lost", row("/a", "1", 4)),
            ("elsewhere", row("/b", "1", 5)),
            ("lost elsewhere", row("/b", "1", 6)),
            ("clash", row(&here, "1", 7)),
            ("unreadable", row("/a", "1", 8)),
        ]
        .map(|(source, row)| (source.to_owned(), row))
        .into();
        let present = [1, 2, 3, 5, 7, 8, 99].map(Uuid::from_u128).into();
        let listing = Listing {
            items: vec![
                item("changed", "2"),
                item("clash", "1"),
                item("lost", "1"),
                item("new", "1"),
                item("same", "1"),
            ],
            skipped: vec![Skipped {
                source: "unreadable".into(),
                reason: "no permission".into(),
            }],
        };
        let plan = plan(&rows, &present, listing, "/a", "r", Cleanup::Scoped);
        assert_eq!(plan.forget, ["gone"]);
        assert_eq!(plan.unchanged, ["same"]);
        assert_eq!(
            plan.work,
            [
                Work::Read(item("changed", "2"), Outcome::Updated),
                Work::Recut("lost".into(), Outcome::Restored),
                Work::Recut("lost elsewhere".into(), Outcome::Restored),
                Work::Read(item("new", "1"), Outcome::Added),
            ]
        );
        let failed: Vec<&str> = plan.failed.iter().map(|f| f.source.as_str()).collect();
        assert_eq!(failed, ["unreadable", "clash"]);
        assert_eq!(plan.orphans, [Uuid::from_u128(99)].into());
    }

    #[test]
    fn another_recipe_cuts_everything_anew() {
        let rows = [("a".to_owned(), row("/a", "1", 1))].into();
        let listing = Listing {
            items: vec![item("a", "1")],
            skipped: Vec::new(),
        };
        let present = [Uuid::from_u128(1)].into();
        let plan = plan(&rows, &present, listing, "/a", "other", Cleanup::Scoped);
        assert_eq!(plan.work, [Work::Recut("a".into(), Outcome::Updated)]);
    }

    #[test]
    fn a_moved_folder_keeps_its_documents() {
        let rows = [("a".to_owned(), row("/no/such/folder", "1", 1))].into();
        let listing = Listing {
            items: vec![item("a", "1")],
            skipped: Vec::new(),
        };
        let plan = plan(&rows, &HashSet::new(), listing, "/a", "r", Cleanup::Scoped);
        assert_eq!(plan.work, [Work::Read(item("a", "1"), Outcome::Updated)]);
    }

    #[test]
    fn each_mode_replaces_and_deletes_what_it_says() {
        let here = std::env::temp_dir().display().to_string();
        let rows: HashMap<String, Row> = [
            ("changed", row("/a", "1", 1)),
            ("gone", row("/a", "1", 2)),
            ("shut/in", row("/a", "1", 3)),
            ("other", row(&here, "1", 4)),
            ("taken", row(&here, "1", 5)),
        ]
        .map(|(source, row)| (source.to_owned(), row))
        .into();
        let present = (1..=5).map(Uuid::from_u128).collect();
        let table: [(Cleanup, &[&str], &[&str], usize); 4] = [
            (Cleanup::None, &["new"], &[], 2),
            (Cleanup::Incremental, &["changed", "new"], &[], 2),
            (Cleanup::Scoped, &["changed", "new"], &["gone"], 2),
            (
                Cleanup::Full,
                &["changed", "new", "taken"],
                &["gone", "other"],
                1,
            ),
        ];
        for (cleanup, work, forget, failed) in table {
            let items = ["changed", "new", "taken"].map(|name| item(name, "2"));
            let listing = Listing {
                items: items.into(),
                skipped: vec![Skipped {
                    source: "shut".into(),
                    reason: "no permission".into(),
                }],
            };
            let plan = plan(&rows, &present, listing, "/a", "r", cleanup);
            let sources: Vec<&str> = plan.work.iter().map(Work::source).collect();
            assert_eq!(sources, work, "{cleanup:?}");
            assert_eq!(plan.forget, forget, "{cleanup:?}");
            assert_eq!(plan.failed.len(), failed, "{cleanup:?}");
        }
    }
}
