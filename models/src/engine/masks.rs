//! Asking guides for their masks on a thread of their own, beside the decoder's pass.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};

use corbie_core::{Error, ErrorKind, Result};

use super::Guide;
use crate::constraint::Mask;

/// A guide that is asked, for the request of this index.
struct Question {
    index: usize,
    guide: Box<dyn Guide>,
    left: usize,
}

/// What a guide answered.
pub(super) struct Answer {
    pub index: usize,
    pub guide: Box<dyn Guide>,
    pub mask: Result<Option<Mask>>,
}

/// The thread, which ends with its handle. It is started when first asked.
#[derive(Default)]
pub(super) struct Masks {
    thread: Option<(Sender<Question>, Receiver<Answer>)>,
    asked: usize,
}

impl Masks {
    /// Asks `guide` what may come next.
    ///
    /// # Errors
    ///
    /// When there is no thread to ask it.
    pub fn ask(&mut self, index: usize, guide: Box<dyn Guide>, left: usize) -> Result<()> {
        let question = Question { index, guide, left };
        let thread = match &mut self.thread {
            Some(thread) => thread,
            none => none.insert(start()?),
        };
        thread.0.send(question).map_err(|_| gone())?;
        self.asked += 1;
        Ok(())
    }

    /// Gives the answers to all questions.
    ///
    /// # Errors
    ///
    /// When the thread is gone.
    pub fn answers(&mut self) -> Result<Vec<Answer>> {
        let Some((_, answers)) = &self.thread else {
            return Ok(Vec::new());
        };
        let count = std::mem::take(&mut self.asked);
        (0..count)
            .map(|_| answers.recv().map_err(|_| gone()))
            .collect()
    }
}

fn start() -> Result<(Sender<Question>, Receiver<Answer>)> {
    let (ask, questions) = channel::<Question>();
    let (reply, answers) = channel();
    std::thread::Builder::new()
        .name("corbie-masks".into())
        .spawn(move || {
            for Question { index, guide, left } in questions {
                let mut guide = guide;
                let mask = catch_unwind(AssertUnwindSafe(|| guide.mask(left)));
                let mask = mask.unwrap_or_else(|_| Err(gone()));
                if reply.send(Answer { index, guide, mask }).is_err() {
                    return;
                }
            }
        })
        .map_err(|error| Error::io("thread of masks", error))?;
    Ok((ask, answers))
}

fn gone() -> Error {
    let cause = "the thread that computes token masks failed";
    Error::new(ErrorKind::Internal, "local engine", cause).hint("please report it, with the log")
}
