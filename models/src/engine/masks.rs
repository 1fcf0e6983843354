//! Asking guides for their masks beside the decoder's pass.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::channel;

use corbie_core::{Error, ErrorKind, Result};

use super::Guide;
use crate::constraint::Mask;

/// A guide that is asked, for the request of this index.
pub(super) struct Question {
    pub index: usize,
    pub guide: Box<dyn Guide>,
    pub left: usize,
}

/// What a guide answered.
pub(super) struct Answer {
    pub index: usize,
    pub guide: Box<dyn Guide>,
    pub mask: Result<Option<Mask>>,
}

/// Does `work` while the questions are answered by threads of the pool that it works on: most
/// masks take less time than waking another thread would. A guide that panics is gone.
pub(super) fn beside<T>(questions: Vec<Question>, work: impl FnOnce() -> T) -> (T, Vec<Answer>) {
    if questions.is_empty() {
        return (work(), Vec::new());
    }
    let (reply, answers) = channel();
    let done = rayon::in_place_scope(|scope| {
        for question in questions {
            let reply = reply.clone();
            // The receiver outlives the scope.
            scope.spawn(move |_| drop(reply.send(question.answer())));
        }
        work()
    });
    drop(reply);
    (done, answers.into_iter().collect())
}

impl Question {
    fn answer(self) -> Answer {
        let Self {
            index,
            mut guide,
            left,
        } = self;
        let mask = catch_unwind(AssertUnwindSafe(|| guide.mask(left)));
        Answer {
            index,
            guide,
            mask: mask.unwrap_or_else(|_| Err(broken())),
        }
    }
}

fn broken() -> Error {
    let cause = "what computes token masks failed";
    Error::new(ErrorKind::Internal, "local engine", cause).hint("please report it, with the log")
}
