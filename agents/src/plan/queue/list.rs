//! A list of tasks from which none is lost.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

/// Tasks that were ever named, and what became of each: done, failed, in the queue, the same as
/// another, or one too many.
///
/// ```
/// use corbie_agents::plan::{Added, TaskList};
///
/// let mut list = TaskList::new(8);
/// assert_eq!(list.add("Add 2 and 3"), Added::Queued(0));
/// assert_eq!(list.add(" add 2 and 3. "), Added::Duplicate { of: 0 });
/// assert_eq!(list.add("Write the sum down"), Added::Queued(2));
/// list.prioritise(&[2, 7, 2]);
/// assert_eq!(list.queue(), [2, 0]);
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskList {
    most: usize,
    tasks: Vec<Listed>,
    queue: Vec<usize>,
    /// The number of the first task of each normalised text.
    by_text: HashMap<String, usize>,
}

/// A task and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// What is to be done.
    pub text: String,
    /// What became of it.
    pub state: State,
}

/// What became of a task in a [`TaskList`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It waits.
    Queued,
    /// It was taken and has not ended.
    Taken,
    /// It was done, with this result.
    Done(String),
    /// It failed, for this reason.
    Failed(String),
    /// Another task says the same.
    Duplicate {
        /// That task's number.
        of: usize,
        /// Why they are held to be the same.
        why: String,
    },
    /// The list was full.
    Declined,
}

/// What came of adding a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Added {
    /// It waits under this number.
    Queued(usize),
    /// It says what another one says.
    Duplicate {
        /// That task's number.
        of: usize,
    },
    /// The list is full.
    Declined,
}

impl TaskList {
    /// An empty list that takes so many tasks, duplicates not counted.
    pub fn new(most: usize) -> Self {
        Self {
            most,
            tasks: Vec::new(),
            queue: Vec::new(),
            by_text: HashMap::new(),
        }
    }

    /// Adds a task, unless it says what another one says, or the list is full.
    pub fn add(&mut self, text: &str) -> Added {
        let number = self.tasks.len();
        let normal = normalised(text);
        let known = self.by_text.get(&normal).copied();
        if let Some(of) = known {
            return self.duplicate(text, of, "the same words".to_owned());
        }
        let kept = self.by_text.len() < self.most;
        let state = match kept {
            true => State::Queued,
            false => State::Declined,
        };
        self.tasks.push(Listed {
            text: text.trim().to_owned(),
            state,
        });
        if !kept {
            return Added::Declined;
        }
        self.by_text.insert(normal, number);
        self.queue.push(number);
        Added::Queued(number)
    }

    /// Notes that a task says what another one says, for this reason.
    pub fn duplicate(&mut self, text: &str, of: usize, why: String) -> Added {
        let of = of.min(self.tasks.len().saturating_sub(1));
        self.tasks.push(Listed {
            text: text.trim().to_owned(),
            state: State::Duplicate { of, why },
        });
        Added::Duplicate { of }
    }

    /// Puts the queue in this order. Numbers that are not in the queue, or come again, say
    /// nothing; tasks that are not named stay behind the others in their old order.
    pub fn prioritise(&mut self, order: &[usize]) {
        let mut first = Vec::with_capacity(self.queue.len());
        for number in order {
            if self.queue.contains(number) && !first.contains(number) {
                first.push(*number);
            }
        }
        let rest = self.queue.iter().filter(|it| !first.contains(it));
        let rest: Vec<usize> = rest.copied().collect();
        first.extend(rest);
        self.queue = first;
    }

    /// Takes the first task of the queue.
    pub fn take(&mut self) -> Option<usize> {
        if self.queue.is_empty() {
            return None;
        }
        let number = self.queue.remove(0);
        self.set(number, State::Taken);
        Some(number)
    }

    /// Notes what became of a task that was taken.
    pub fn end(&mut self, number: usize, result: Result<String, String>) {
        let taken = self.tasks.get(number).map(|it| &it.state) == Some(&State::Taken);
        if taken {
            let state = match result {
                Ok(result) => State::Done(result),
                Err(why) => State::Failed(why),
            };
            self.set(number, state);
        }
    }

    fn set(&mut self, number: usize, state: State) {
        if let Some(task) = self.tasks.get_mut(number) {
            task.state = state;
        }
    }

    /// The numbers of the tasks that wait, in order.
    pub fn queue(&self) -> &[usize] {
        &self.queue
    }

    /// All tasks, by number.
    pub fn tasks(&self) -> &[Listed] {
        &self.tasks
    }
}

/// A text without what does not change what it says: case, white space, punctuation.
fn normalised(text: &str) -> String {
    let words = text
        .split(|c: char| !c.is_alphanumeric() && !matches!(c, '+' | '-' | '*' | '/' | '%'))
        .filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(" ").to_lowercase()
}
